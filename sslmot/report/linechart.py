"""Draw line charts, such as the curves of a training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslmot.report.axes import labels, ticks
from sslmot.report.markup import Markup, element
from sslmot.report.words import number

MOST_SERIES = 8
"""Number of line styles."""

_MOST_POINTS = 600
"""Limit of the points of a line. Of more, neighbours are averaged."""

_HEIGHT = 150
"""Height of a chart without its margins, pixels."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line.

    Attributes:
        name: Its name.
        x: (N,) float64, ascending.
        y: (N,) float64. Values that are not finite are left out.
        style: Number of its style, 0 to `MOST_SERIES` - 1.
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    style: int


def line_chart(series: list[Series], name: str, *, zero: bool = False) -> Markup:
    """Draw lines with axes.

    Args:
        series: The lines.
        name: Accessible name of the chart.
        zero: Whether the y axis begins at 0.
    """
    series = [_finite(s) for s in series]
    xs = np.concatenate([np.zeros(0), *(s.x for s in series)])
    ys = np.concatenate([np.zeros(0), *(s.y for s in series)])
    if not len(xs):
        return element("p", "There is nothing to draw.", class_="note")
    left, right = float(xs.min()), float(xs.max())
    low, high = 0.0 if zero else float(ys.min()), float(ys.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    if right == left:
        left, right = left - 0.5, right + 0.5
    margin = 0.04 * (high - low)
    low, high = low if zero else low - margin, high + margin
    parts = []
    marks = ticks(low, high, 5)
    for tick, text in zip(marks, labels(marks), strict=True):
        y = f"{100 * (high - tick) / (high - low):.2f}%"
        parts += [
            element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"),
            element("text", text, x=0, dx=-6, y=y, class_="tick end"),
        ]
    marks = ticks(left, right, 5)
    for tick, text in zip(marks, labels(marks), strict=True):
        x = f"{100 * (tick - left) / (right - left):.2f}%"
        parts.append(element("text", text, x=x, y="100%", dy=16, class_="tick middle"))
    lines = [
        element(
            "path",
            element("title", f"{s.name}: {number(float(s.y[-1]))} at the end"),
            d="M"
            + "L".join(
                f"{1000 * (x - left) / (right - left):.1f} {1000 * (high - y) / (high - low):.1f}"
                for x, y in zip(s.x.tolist(), s.y.tolist(), strict=True)
            )
            + ("" if len(s.x) > 1 else "h0"),
            class_=f"line style{s.style % MOST_SERIES}",
        )
        for s in map(_thinned, series)
        if len(s.x)
    ]
    return element(
        "svg",
        *parts,
        element("svg", *lines, viewBox="0 0 1000 1000", preserveAspectRatio="none"),
        class_="linechart",
        height=_HEIGHT,
        role="img",
        aria_label=name,
    )


def legend(series: list[tuple[str, int]]) -> Markup:
    """List names with the look of their lines."""
    return element(
        "ul",
        *(
            element(
                "li",
                element(
                    "svg",
                    element("path", d="M0 6H28", class_=f"line style{style % MOST_SERIES}"),
                    width=28,
                    height=12,
                    aria_hidden="true",
                ),
                name,
            )
            for name, style in series
        ),
        class_="legend",
    )


def _finite(series: Series) -> Series:
    """Leave out what is not finite."""
    finite = np.isfinite(series.y) & np.isfinite(series.x)
    return Series(series.name, series.x[finite], series.y[finite], series.style)


def _thinned(series: Series) -> Series:
    """Average neighbours where there are too many points."""
    x, y = series.x, series.y
    every = -(-len(x) // _MOST_POINTS)
    if every > 1:
        starts = np.arange(0, len(x), every)
        sizes = np.diff(np.r_[starts, len(x)])
        x, y = (np.add.reduceat(v, starts) / sizes for v in (x, y))
    return Series(series.name, x, y, series.style)
