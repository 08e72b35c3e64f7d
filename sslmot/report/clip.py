"""Read the results of clips, and find the sequences and videos that they came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.data.frames import FrameSource, open_frames
from sslmot.data.mot import MOST_FRAMES, GroundTruth, Sequence, read_results, sequences
from sslmot.data.video import read_video_detections
from sslmot.types import Boxes, Frame, Rows


@dataclass(frozen=True, eq=False)
class Clip:
    """The results of a clip, one row for each box, and what is known of its source.

    Attributes:
        path: The results.
        frames: (R,) int64, from 1, ascending.
        ids: (R,) int64.
        boxes: (R, 4) float32, xyxy pixels, 0-based.
        scores: (R,) float32.
        record: What ``sslmot track`` wrote beside the results; empty if the file is missing.
        source: The sequence, or the frames of a video or of images, None if it is not given.
        truth: Ground truth of a sequence, None if there is none.
        detections_path: Detections of a video, None if they are not given.
    """

    path: Path
    frames: Rows
    ids: Rows
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    record: Mapping[str, Any]
    source: Sequence | FrameSource | None
    truth: GroundTruth | None
    detections_path: Path | None

    @property
    def name(self) -> str:
        """Name of the clip."""
        return self.path.stem

    @property
    def length(self) -> int:
        """Number of frames, as far as it is known: at least up to the last box."""
        last = int(self.frames.max(initial=1))
        if isinstance(self.source, Sequence):
            return self.source.length
        recorded = self.record.get("frames")
        return max(last, recorded) if type(recorded) is int else last

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, None if unknown."""
        stated = self.source.stated if isinstance(self.source, Sequence) else self.source
        given = None if stated is None else stated.frame_rate
        return self.record.get("frame_rate") if given is None else given

    @property
    def stride(self) -> int:
        """Frames between neighbouring results: 1, or more where not every frame is tracked."""
        return int(np.diff(np.unique(self.frames)).min(initial=2**31)) if self._several else 1

    @property
    def _several(self) -> bool:
        return len(np.unique(self.frames)) > 1

    @property
    def has_frames(self) -> bool:
        """Whether the source has pictures."""
        return self.source is not None and (
            not isinstance(self.source, Sequence) or self.source.has_frames
        )

    def detections(self) -> Mapping[int, npt.NDArray[np.float32]] | None:
        """Read the detections of all frames, None if they are not given."""
        if isinstance(self.source, Sequence):
            given = reading.is_file(self.source.detections_path)
            return self.source.detections() if given else None
        return None if self.detections_path is None else read_video_detections(self.detections_path)

    def pictures(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, Frame]]:
        """Read frames of the source in order. Those that cannot be read are left out.

        Args:
            wanted: Their numbers, from 1. None for all.

        Yields:
            The number of a frame, and (H, W, 3) uint8, BGR.
        """
        numbers = None if wanted is None else set(wanted)
        if isinstance(self.source, Sequence):
            for t in sorted(numbers) if numbers is not None else range(1, self.source.length + 1):
                with suppress(OSError, ValueError):
                    frame = self.source.frame(t)
                    yield t, frame
        elif self.source is not None:
            for t, read, _ in self.source.frames(None if numbers is None else max(numbers)):
                if read is not None and (numbers is None or t in numbers):
                    yield t, read


def read_clips(
    results: str | Path, source: str | Path | None = None, detections: str | Path | None = None
) -> list[Clip]:
    """Read results, sorted by name.

    Args:
        results: A folder of ``NAME.txt`` (MOTChallenge) with ``NAME.json`` beside them, or one such
            text file.
        source: A sequence, a folder of sequences, or a video: those with the same names are used.
        detections: Detections of the video, in the MOTChallenge format.

    Raises:
        FileNotFoundError: There are no results, or the source does not exist.
        ValueError: A file is malformed, or no results are of the source.
    """
    results = Path(results)
    paths = sorted(results.glob("*.txt")) if results.is_dir() else [results]
    if not paths:
        raise FileNotFoundError(f"results: expected files NAME.txt in {results}, found none")
    sources = _sources(source, detections)
    clips = [_read(path, sources.get(path.stem), detections) for path in paths]
    if sources and not any(clip.source is not None for clip in clips):
        names = ", ".join(clip.name for clip in clips[:5])
        found = ", ".join(list(sources)[:5])
        raise ValueError(f"source: expected the source of {names}, got {found}")
    return clips


def rows_by_frame(frames: Rows) -> dict[int, Rows]:
    """Return the rows of each frame, in their order."""
    order = np.argsort(frames, kind="stable")
    numbers, starts = np.unique(frames[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    return {
        int(t): order[start:end]
        for t, start, end in zip(numbers, starts, ends[: len(starts)], strict=True)
    }


def _sources(
    source: str | Path | None, detections: str | Path | None
) -> dict[str, Sequence | FrameSource]:
    """Open the sequences, or the frames, by name."""
    found: dict[str, Sequence | FrameSource] = {}
    if source is not None and any(
        reading.is_file(ini)
        for ini in (Path(source) / "seqinfo.ini", *Path(source).glob("*/seqinfo.ini"))
    ):
        found = {sequence.name: sequence for sequence in sequences(source)}
    elif source is not None:
        frames = open_frames(source)
        found = {frames.name: frames}
    if detections is not None and not any(isinstance(f, FrameSource) for f in found.values()):
        raise ValueError("detections: expected none without a video or images")
    return found


def _read(path: Path, source: Sequence | FrameSource | None, detections: str | Path | None) -> Clip:
    length = source.length if isinstance(source, Sequence) else None
    results = read_results(path, length)
    truth = None
    if isinstance(source, Sequence) and reading.is_file(source.ground_truth_path):
        truth = source.ground_truth()
    return Clip(
        path=path,
        frames=np.repeat(
            np.array([r.frame for r in results], np.int64), [len(r.ids) for r in results]
        ),
        ids=np.concatenate([np.empty(0, np.int64), *(r.ids for r in results)]),
        boxes=np.concatenate([np.empty((0, 4), np.float32), *(r.boxes for r in results)]),
        scores=np.concatenate([np.empty(0, np.float32), *(r.scores for r in results)]),
        record=_read_record(path.with_suffix(".json")),
        source=source,
        truth=truth,
        detections_path=Path(detections)
        if detections and isinstance(source, FrameSource)
        else None,
    )


def _read_record(path: Path) -> Mapping[str, Any]:
    """Read what ``sslmot track`` wrote beside the results, and check what is used of it."""
    if not reading.is_file(path):
        return {}
    record = reading.read_json(path)
    checks: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "frames": ("a number of frames", lambda v: type(v) is int and 0 <= v <= MOST_FRAMES),
        "frame_rate": ("a positive number", lambda v: _is_number(v) and 0 < v < 1e6),
        "seconds": ("a number of seconds", lambda v: _is_number(v) and v >= 0),
        "config": ("an object", lambda v: isinstance(v, dict)),
    }
    for key, (expected, right) in checks.items():
        if key in record and not right(record[key]):
            raise ValueError(f"{path}: {key}: expected {expected}, got {record[key]!r:.200}")
    return record


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
