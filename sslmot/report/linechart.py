"""Draw line charts, such as the curves of a training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslmot.report.axes import ticks
from sslmot.report.markup import Markup, element
from sslmot.report.words import number

MOST_SERIES = 8
"""Number of line styles."""

_MOST_POINTS = 400
"""Limit of the points of a line. Of more, neighbours are averaged."""

_LEFT, _BOTTOM, _TOP, _HEIGHT = 46, 22, 8, 180
"""Margins and height of a chart, pixels."""


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
    drawn = [_thinned(s) for s in series]
    xs = np.concatenate([s.x for s in drawn] or [np.zeros(0)])
    ys = np.concatenate([s.y for s in drawn] or [np.zeros(0)])
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
    for tick in ticks(low, high, 5):
        y = f"{100 * (high - tick) / (high - low):.2f}%"
        parts += [
            element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"),
            element("text", number(tick), x=0, dx=-6, y=y, class_="tick end"),
        ]
    for tick in ticks(left, right, 5):
        x = f"{100 * (tick - left) / (right - left):.2f}%"
        parts.append(element("text", f"{tick:,.0f}", x=x, y="100%", dy=15, class_="tick middle"))
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
        for s in drawn
        if len(s.x)
    ]
    return element(
        "svg",
        element(
            "svg",
            *parts,
            element("svg", *lines, viewBox="0 0 1000 1000", preserveAspectRatio="none"),
            x=_LEFT,
            y=_TOP,
            style=f"width:calc(100% - {_LEFT + 10}px)",
            height=_HEIGHT - _TOP - _BOTTOM,
            overflow="visible",
        ),
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


def _thinned(series: Series) -> Series:
    """Leave out what is not finite, and average neighbours where there are too many points."""
    finite = np.isfinite(series.y) & np.isfinite(series.x)
    x, y = series.x[finite], series.y[finite]
    every = -(-len(x) // _MOST_POINTS)
    if every > 1:
        starts = np.arange(0, len(x), every)
        sizes = np.diff(np.r_[starts, len(x)])
        x, y = (np.add.reduceat(v, starts) / sizes for v in (x, y))
    return Series(series.name, x, y, series.style)
