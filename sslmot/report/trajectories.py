"""Draw the trajectories of identities on a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot.report.clip import Clip
from sslmot.report.colours import colour
from sslmot.report.markup import Markup, element
from sslmot.report.timeline import join_frames

MOST_LINES = 60
"""Limit of the trajectories."""

_TOLERANCE = 1.0
"""A simplified line is at most so far from its points, in thousandths of the picture's width."""

_NEAR = 4
"""A point is averaged with so many before and after it."""


def trajectories(
    clip: Clip, size: tuple[int, int], picture: str | None, name: str
) -> tuple[Markup, int]:
    """Draw the path of each identity's foot point, with a dashed line over gaps.

    Args:
        clip: The clip.
        size: Width and height of a frame, pixels.
        picture: Data URI of a frame to draw on, if there is one.
        name: Accessible name of the chart.

    Returns:
        The chart, and how many short trajectories are left out.
    """
    ids, lengths = np.unique(clip.ids, return_counts=True)
    chosen = sorted(range(len(ids)), key=lambda i: (-lengths[i], ids[i]))[:MOST_LINES]
    width, height = size
    lines, texts = [], []
    for identity in sorted(int(ids[i]) for i in chosen):
        mine = clip.ids == identity
        boxes = clip.boxes[mine].astype(np.float64)
        points = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]])
        points = points.clip(0, size) * (1000 / width)
        end = points[-1]
        frames = clip.frames[mine]
        parts, joints = [], []
        spans = join_frames(frames.tolist(), clip.stride)
        for i, (first, last) in enumerate(spans):
            inside = (frames >= first) & (frames <= last)
            smooth = _smoothed(points[inside])
            parts.append(_path(simplify(smooth, _TOLERANCE)))
            if i:
                joints.append(_path(np.array([end, smooth[0]])))
            end = smooth[-1]
        tint = colour(identity)
        title = element("title", f"identity {identity}, {len(frames):,} frames")
        lines.append(
            element(
                "g",
                title,
                element("path", d="".join(joints), class_="gap") if joints else None,
                element("path", d="".join(parts)),
                class_="path",
                stroke=tint,
                data_id=identity,
            )
        )
        x, y = end / (10, 10 * height / width)
        texts.append(
            element(
                "text",
                str(identity),
                x=f"{min(max(x, 1), 97):.1f}%",
                y=f"{min(max(y, 3), 99):.1f}%",
                style=f"fill:{tint}",
                data_id=identity,
            )
        )
    chart = element(
        "svg",
        None
        if picture is None
        else element("image", href=picture, width="100%", height="100%", class_="still"),
        element("rect", width="100%", height="100%", class_="shade"),
        element(
            "svg",
            *lines,
            viewBox=f"0 0 1000 {1000 * height / width:.2f}",
            preserveAspectRatio="none",
        ),
        element("g", *texts, class_="ends", aria_hidden="true"),
        class_="trajectories",
        style=f"aspect-ratio:{width}/{height}",
        role="img",
        aria_label=name,
    )
    return chart, len(ids) - len(chosen)


def simplify(points: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.float64]:
    """Drop points of a line that lie within a distance of the line through the others.

    Args:
        points: (N, 2).
        tolerance: The distance.

    Returns:
        Some of the points, with the first and the last (Douglas-Peucker).
    """
    kept = np.zeros(len(points), np.bool_)
    kept[[0, -1]] = True
    parts = [(0, len(points) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        a, ab = points[first], points[last] - points[first]
        apart = points[first + 1 : last] - a
        along = (apart @ ab / max(ab @ ab, 1e-12)).clip(0, 1)
        distance = np.hypot(*(apart - along[:, None] * ab).T)
        far = int(distance.argmax())
        if distance[far] > tolerance:
            middle = first + 1 + far
            kept[middle] = True
            parts += [(first, middle), (middle, last)]
    return points[kept]


def _smoothed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average each point with its neighbours: boxes shake."""
    padded = np.concatenate([points[:1].repeat(_NEAR, 0), points, points[-1:].repeat(_NEAR, 0)])
    sums = np.cumsum(np.concatenate([np.zeros((1, 2)), padded]), axis=0)
    means: npt.NDArray[np.float64] = (sums[2 * _NEAR + 1 :] - sums[: -2 * _NEAR - 1]) / (
        2 * _NEAR + 1
    )
    return means


def _path(points: npt.NDArray[np.float64]) -> str:
    """Return the commands of a path. A single point is a dot, by a line to itself."""
    if len(points) == 1:
        points = points.repeat(2, axis=0)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist())
