"""Track a sequence or a video from disk, and write results in the MOTChallenge format."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot import files
from sslmot.data.mot import FrameResult, Sequence, write_results
from sslmot.data.video import Video, frames_with_detections, read_video_detections
from sslmot.offline.interpolate import interpolate
from sslmot.offline.prefetch import prefetch
from sslmot.tracking.tracker import Tracker
from sslmot.types import FeatureExtractor, Frame


class Speed(NamedTuple):
    """Time taken by a clip.

    Attributes:
        frames: Number of frames.
        tracking: Seconds in ``Tracker.step``, including appearance.
        total: Seconds including the reading of frames, which runs mostly in parallel.
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
    """Track a sequence with its public detections.

    Write ``<sequence>.txt`` (MOTChallenge) and ``<sequence>.json``: the number of frames, the
    seconds in ``Tracker.step`` and the settings.

    Args:
        sequence: The sequence.
        tracker: A new or reset tracker. It gets the frame rate of the sequence.
        output: Output folder. It is created if missing.
        appearance: Whether to read the frames and embed the boxes with the tracker's extractor. If
            False, track by motion only.
        max_gap: Maximum gap that is filled after the last frame, see
            :func:`~sslmot.offline.interpolate.interpolate`. None to write the online results.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: There are no frames, or a frame is missing.
        ValueError: The detections or a frame are malformed, or ``max_gap`` is out of range.
        OSError: The output cannot be written.
    """
    if appearance and not sequence.has_frames:
        raise FileNotFoundError(
            f"{sequence.name}: expected frames in {sequence.path / sequence.image_dir}, found "
            "none; without frames track by motion only (--motion-only)"
        )
    frames = ((t, sequence.frame(t) if appearance else None) for t in range(1, sequence.length + 1))
    tracker.frame_rate = sequence.frame_rate
    return _track(
        sequence.name,
        frames,
        sequence.detections(),
        tracker,
        output,
        appearance=appearance,
        max_gap=max_gap,
        progress=progress,
    )


def track_video(
    path: str | Path,
    detections_path: str | Path,
    tracker: Tracker,
    output: Path,
    *,
    appearance: bool = True,
    max_gap: int | None = None,
    progress: bool = False,
) -> Speed:
    """Track a video up to the last frame with detections.

    Write ``<stem>.txt`` and ``<stem>.json``, as :func:`track_sequence`.

    Args:
        path: The video.
        detections_path: Its detections in the MOTChallenge format, frames from 1.
        tracker: A new or reset tracker. It gets the frame rate of the video.
        output: Output folder. It is created if missing.
        appearance: As for :func:`track_sequence`. If False, no frame is decoded.
        max_gap: As for :func:`track_sequence`.
        progress: Whether to show a progress bar.

    Warns:
        UserWarning: The video ends before the last detections. Only with appearance.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, there are no detections, or ``max_gap`` is out of range.
        OSError: The output cannot be written.
    """
    video, detections = Video(path), read_video_detections(detections_path)
    frames: Iterable[tuple[int, Frame | None]] = (
        frames_with_detections(video, detections_path, len(detections))
        if appearance
        else ((t, None) for t in detections)
    )
    tracker.frame_rate = video.frame_rate
    return _track(
        video.path.stem,
        frames,
        detections,
        tracker,
        output,
        appearance=appearance,
        max_gap=max_gap,
        progress=progress,
    )


def _sent(
    frames: Iterable[tuple[int, Frame | None]], extractor: FeatureExtractor
) -> Iterator[tuple[int, Frame | None]]:
    """Yield frames, and start to send each to the extractor's GPU if it has one."""
    send = getattr(extractor, "send", None)
    for t, frame in frames:
        if send is not None and frame is not None:
            send(frame)
        yield t, frame


def _track(
    name: str,
    frames: Iterable[tuple[int, Frame | None]],
    detections: Mapping[int, npt.NDArray[np.float32]],
    tracker: Tracker,
    output: Path,
    *,
    appearance: bool,
    max_gap: int | None,
    progress: bool,
) -> Speed:
    """Track a clip, given as numbered frames and the detections of all frames."""
    if appearance:
        frames = prefetch(_sent(frames, tracker.extractor))
    # Fail now, not after the last frame.
    output.mkdir(parents=True, exist_ok=True)
    if max_gap is not None:
        interpolate([], max_gap)
    results, tracking = [], 0.0
    start = time.perf_counter()
    for t, frame in tqdm(
        frames,
        desc=name,
        total=len(detections),
        unit=" frames",
        disable=None if progress else True,
    ):
        begin = time.perf_counter()
        tracks = tracker.step(frame, detections[t])
        tracking += time.perf_counter() - begin
        results.append(FrameResult(t, tracks.ids, tracks.boxes, tracks.scores))
    speed = Speed(len(results), tracking, time.perf_counter() - start)
    if max_gap is not None:
        results = interpolate(results, max_gap)
    write_results(output / f"{name}.txt", results)
    record = {
        "frames": speed.frames,
        "seconds": round(speed.tracking, 6),
        "seconds_with_reading": round(speed.total, 6),
        "appearance": type(tracker.extractor).__name__ if appearance else None,
        "interpolated": max_gap,
        "frame_rate": tracker.frame_rate,
        "config": {
            # JSON has no infinity.
            k: str(v) if isinstance(v, float) and math.isinf(v) else v
            for k, v in dataclasses.asdict(tracker.config).items()
        },
        "version": version("sslmot"),
    }
    text = json.dumps(record, indent=1) + "\n"
    files.write(output / f"{name}.json", text.encode())
    return speed
