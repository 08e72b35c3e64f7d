"""Draw a timeline: a row of bars for each person or identity.

Widths are percentages, heights and text are pixels. So the chart fills a wide page. On a phone it
scrolls inside its figure, while the row labels stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sslmot.report.axes import ticks
from sslmot.report.colours import colour
from sslmot.report.markup import Markup, element
from sslmot.report.words import SPACE, duration

ROW = 24
BAR = 16
AXIS = 26
"""Heights of a row, a bar and the axis, pixels."""

_LEAST_WIDTH, _MOST_WIDTH = 640, 2400
"""Limits of the width from which on the chart scrolls, pixels."""

_LEAST_BAR = 0.2
"""Least width of a bar, percent: one frame of a long clip is still seen."""


@dataclass(frozen=True)
class Bar:
    """A bar of a row.

    Attributes:
        first: First frame.
        last: Last frame.
        identity: The identity that it shows.
        text: Text on the bar.
        title: Its description.
        faint: Whether it is a box that no person matches.
    """

    first: int
    last: int
    identity: int
    text: str
    title: str
    faint: bool = False


@dataclass(frozen=True)
class Mark:
    """A mark of a row, such as a switch.

    Attributes:
        frame: Frame.
        title: Its description.
        link: Where it leads, None for nowhere.
        hollow: Whether it is drawn hollow.
    """

    frame: int
    title: str
    link: str | None = None
    hollow: bool = False


@dataclass
class Row:
    """A row.

    Attributes:
        label: Text to the left.
        spans: Frames (first, last) in which the person is in view, drawn behind the bars.
        bars: Bars.
        marks: Marks, drawn on top.
    """

    label: str
    spans: list[tuple[int, int]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def timeline(
    rows: list[Row], length: int, frame_rate: float | None, kind: str, name: str
) -> Markup:
    """Draw rows over the frames of a clip.

    Args:
        rows: The rows, from top to bottom.
        length: Number of frames.
        frame_rate: Frames per second; the axis has frame numbers if it is None.
        kind: What a row is, such as "person".
        name: Accessible name of the chart.
    """
    height = AXIS + ROW * len(rows) + 6
    least = min(max(_LEAST_WIDTH, length), _MOST_WIDTH)
    widest = max(len(kind), *(len(row.label) for row in rows))
    return element(
        "div",
        element(
            "svg",
            element("text", kind, x="100%", dx=-8, y=14, class_="tick end"),
            *(
                element("text", row.label, x="100%", dx=-8, y=_middle(i), class_="row-label")
                for i, row in enumerate(rows)
            ),
            class_="labels",
            width=12 + 7 * widest,
            height=height,
            aria_hidden="true",
        ),
        element(
            "div",
            element(
                "svg",
                _axis(length, frame_rate, height),
                *(_row(i, row, kind, length, least) for i, row in enumerate(rows)),
                class_="bars",
                height=height,
                style=f"min-width:{least}px",
                role="group",
                aria_label=name,
            ),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"{name}, scrollable",
        ),
        class_="timeline",
    )


def _middle(i: int) -> float:
    return AXIS + ROW * (i + 0.5)


def _axis(length: int, frame_rate: float | None, height: int) -> Markup:
    """Draw grid lines with times, or with frame numbers."""
    parts = []
    rate = frame_rate or 1.0
    for tick in ticks(0, length / rate, 8):
        x = f"{min(100 * tick * rate / length, 100):.2f}%"
        text = duration(tick).replace(f".0{SPACE}", SPACE) if frame_rate else f"{tick:,.0f}"
        parts.append(element("line", x1=x, x2=x, y1=AXIS - 6, y2=height, class_="grid"))
        if tick * rate <= 0.96 * length:
            parts.append(element("text", text, x=x, dx=3, y=14, class_="tick"))
    return element("g", *parts, aria_hidden="true")


def _row(i: int, row: Row, kind: str, length: int, least: int) -> Markup:
    y, top = _middle(i), _middle(i) - BAR / 2

    def share(first: float, last: float) -> tuple[str, str, float]:
        """Return place and width of frames ``first`` to ``last``."""
        width = max(100 * (last - first + 1) / length, _LEAST_BAR)
        return f"{100 * (first - 1) / length:.2f}%", f"{width:.2f}%", width / 100

    parts = []
    for first, last in row.spans:
        x, width, _ = share(first, last)
        parts.append(element("rect", x=x, width=width, y=top, height=BAR, class_="view"))
    for previous, bar in zip(row.bars, row.bars[1:], strict=False):
        if not row.spans and bar.first > previous.last + 1:
            x, end = (f"{100 * f / length:.2f}%" for f in (previous.last, bar.first - 1))
            parts.append(element("line", x1=x, x2=end, y1=y, y2=y, class_="gap"))
    for bar in row.bars:
        x, width, part = share(bar.first, bar.last)
        # Text only where it fits the narrowest chart.
        fits = part * least > 7 * len(bar.text) + 8
        parts.append(
            element(
                "g",
                element("title", bar.title),
                element(
                    "rect",
                    x=x,
                    width=width,
                    y=top,
                    height=BAR,
                    rx=2,
                    fill=None if bar.faint else colour(bar.identity),
                ),
                element("text", bar.text, x=x, dx=4, y=y, class_="on-bar") if fits else None,
                class_="bar faint" if bar.faint else "bar",
                tabindex=-1,
                role="img",
                aria_label=f"{kind} {row.label}: {bar.title}",
                data_id=bar.identity,
            )
        )
    for mark in row.marks:
        x = f"{100 * (mark.frame - 1) / length:.2f}%"
        # A nested svg puts a path, whose numbers are pixels, at a percentage.
        shape = element(
            "svg",
            element("title", mark.title),
            element("path", d=f"M0 4V{BAR + 3}"),
            element("path", d="M-5 -3H5L0 5Z", class_="head"),
            x=x,
            y=top - 2,
            class_="mark hollow" if mark.hollow else "mark",
            overflow="visible",
        )
        if mark.link is not None:
            shape = element("a", shape, href=mark.link, aria_label=mark.title)
        parts.append(shape)
    return element("g", *parts, class_="row", role="group", aria_label=f"{kind} {row.label}")


def join_frames(frames: list[int], most: int) -> list[tuple[int, int]]:
    """Join ascending frames to spans (first, last) where at most ``most`` apart."""
    spans: list[tuple[int, int]] = []
    for frame in frames:
        if spans and frame - spans[-1][1] <= most:
            spans[-1] = spans[-1][0], frame
        else:
            spans.append((frame, frame))
    return spans
