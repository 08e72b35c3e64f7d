"""Write tracks as "CVAT for video 1.1", to correct them by hand in CVAT."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from sslmot import files
from sslmot.data.clip import Add, Clip
from sslmot.data.mot import FrameResult


class _Shape(NamedTuple):
    frame: int  # from 0, as CVAT counts
    box: list[float]
    score: float
    kind: int


@contextmanager
def cvat(path: Path, clip: Clip) -> Iterator[Add]:
    """Open an XML file of CVAT.

    A track has the class that most of its boxes have. Boxes that no detection confirms are no
    keyframes, so CVAT draws them anew when their neighbours are corrected.
    """
    tracks: defaultdict[int, list[_Shape]] = defaultdict(list)
    last = 0

    def add(result: FrameResult) -> None:
        nonlocal last
        last = max(last, result.frame)
        kinds = [-1] * len(result.ids) if result.classes is None else result.classes.tolist()
        for identity, *shape in zip(
            result.ids.tolist(), result.boxes.tolist(), result.scores.tolist(), kinds, strict=True
        ):
            tracks[identity].append(_Shape(result.frame - 1, *shape))

    with files.replacing(path) as file:
        yield add
        file.writelines(line + "\n" for line in _document(tracks, clip, last))


def _document(tracks: dict[int, list[_Shape]], clip: Clip, length: int) -> Iterator[str]:
    """Yield the lines of the file."""
    labels = {
        identity: clip.class_name(Counter(s.kind for s in shapes).most_common(1)[0][0])
        for identity, shapes in tracks.items()
    }
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield f"  <meta><task><name>{escape(clip.name)}</name><size>{length}</size>"
    yield "    <mode>interpolation</mode><labels>"
    for label in sorted(set(labels.values())):
        yield f"      <label><name>{escape(label)}</name><attributes></attributes></label>"
    yield "    </labels>"
    if clip.size is not None:
        width, height = clip.size
        yield (
            f"    <original_size><width>{width}</width><height>{height}</height></original_size>"
        )
    yield "  </task></meta>"
    for identity in sorted(tracks):
        shapes = sorted(tracks[identity])
        yield f'  <track id="{identity}" label={quoteattr(labels[identity])} source="auto">'
        for shape, after in pairwise([*shapes, None]):
            assert shape is not None
            yield _box(shape, shape.frame, outside=False)
            # Without it, CVAT would draw the box until the next one, or the end of the clip.
            if shape.frame + 1 < (length if after is None else after.frame):
                yield _box(shape, shape.frame + 1, outside=True)
        yield "  </track>"
    yield "</annotations>"


def _box(shape: _Shape, frame: int, *, outside: bool) -> str:
    sides = zip(("xtl", "ytl", "xbr", "ybr"), shape.box, strict=True)
    corners = " ".join(f'{name}="{side:.2f}"' for name, side in sides)
    keyframe = outside or not math.isnan(shape.score)
    return (
        f'    <box frame="{frame}" keyframe="{keyframe:d}" outside="{outside:d}" occluded="0" '
        f'{corners} z_order="0"></box>'
    )
