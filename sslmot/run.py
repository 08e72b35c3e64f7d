"""Tracks a sequence from disk and writes what MOTChallenge asks for."""

from __future__ import annotations

import dataclasses
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from sslmot.data.mot import FrameResult, Sequence, write_results
from sslmot.interpolate import interpolate
from sslmot.tracker import Tracker


class Speed(NamedTuple):
    """How long a sequence took.

    Attributes:
        frames: Their number.
        tracking: Seconds in ``Tracker.step``, appearance included.
        total: Seconds with the reading of frames.
    """

    frames: int
    tracking: float
    total: float


def track_sequence(
    sequence: Sequence,
    tracker: Tracker,
    output: Path,
    *,
    appearance: bool = True,
    max_gap: int | None = None,
    progress: bool = False,
) -> Speed:
    """Track a sequence with its own detections.

    Writes ``<sequence>.txt`` (MOTChallenge) and ``<sequence>.json``: the number of frames, the
    seconds in ``Tracker.step`` and the settings.

    Args:
        sequence: What to track.
        tracker: Fresh, or reset.
        output: Folder; made where it is missing.
        appearance: Read the frames and let the tracker's extractor describe the boxes; else by
            motion alone.
        max_gap: Fill gaps of so many frames after the last frame, by
            :func:`~sslmot.interpolate.interpolate`; None to write what was tracked online.
        progress: Show a bar.

    Raises:
        FileNotFoundError: There are no frames, or one is missing.
        ValueError: The detections or a frame are malformed, or ``max_gap`` is out of range.
        OSError: The output cannot be written.
    """
    if appearance and not sequence.has_frames:
        raise FileNotFoundError(
            f"{sequence.name}: expected frames in {sequence.path / sequence.image_dir}, found "
            "none; without frames track by motion alone (--motion-only)"
        )
    detections = sequence.detections()
    # To fail now rather than after the last frame.
    output.mkdir(parents=True, exist_ok=True)
    if max_gap is not None:
        interpolate([], max_gap)
    results, tracking = [], 0.0
    start = time.perf_counter()
    for t in tqdm(
        range(1, sequence.length + 1),
        desc=sequence.name,
        unit=" frames",
        disable=None if progress else True,
    ):
        frame = sequence.frame(t) if appearance else None
        begin = time.perf_counter()
        tracks = tracker.step(frame, detections[t])
        tracking += time.perf_counter() - begin
        results.append(FrameResult(t, tracks.ids, tracks.boxes, tracks.scores))
    total = time.perf_counter() - start
    if max_gap is not None:
        results = interpolate(results, max_gap)
    write_results(output / f"{sequence.name}.txt", results)
    record = {
        "frames": sequence.length,
        "seconds": round(tracking, 6),
        "seconds_with_reading": round(total, 6),
        "appearance": type(tracker.extractor).__name__ if appearance else None,
        "interpolated": max_gap,
        "config": {
            k: str(v) if v == float("inf") else v
            for k, v in dataclasses.asdict(tracker.config).items()
        },
        "version": version("sslmot"),
    }
    (output / f"{sequence.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    return Speed(sequence.length, tracking, total)
