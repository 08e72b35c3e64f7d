"""Footage that is described once and tracked many times: to calibrate, to tune, to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.mot import FrameResult, Sequence
from sslmot.data.video import Video, frames_with_detections, read_video_detections
from sslmot.inputs import to_numpy
from sslmot.tracking.tracker import Tracker
from sslmot.types import FeatureExtractor, Features, Frame


@dataclass(frozen=True, eq=False)
class Footage:
    """All that a tracker is given of a clip, frame by frame, except the frames.

    They are not kept: tracking it knows no camera motion (``TrackerConfig.camera`` has no effect).

    Attributes:
        name: Of the clip.
        detections: Of each frame, from the first, (N, 5) float32 ``x1, y1, x2, y2, score`` or
            (N, 6) with a class, pixels.
        embeddings: Of each frame (N, D) float32, or None: by motion alone.
    """

    name: str
    detections: list[npt.NDArray[np.float32]]
    embeddings: list[Features] | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.detections)


def embed_sequence(
    sequence: Sequence, extractor: FeatureExtractor | None = None, *, progress: bool = False
) -> Footage:
    """Read a MOTChallenge sequence with its public detections.

    Args:
        sequence: With frames, where there is an extractor.
        extractor: What describes the boxes; None for motion alone, which reads no frame.
        progress: Show a bar.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed.
    """
    frames = ((t, sequence.frame(t)) for t in range(1, sequence.length + 1)) if extractor else ()
    detections = sequence.detections()
    return describe(sequence.name, frames, detections, extractor, progress=progress)


def embed_video(
    path: str | Path,
    detections_path: str | Path,
    extractor: FeatureExtractor | None = None,
    *,
    progress: bool = False,
) -> Footage:
    """Read a video with detections in the format of MOTChallenge, frames from 1.

    Args:
        path: Of the video.
        detections_path: Of its detections.
        extractor: As for :func:`embed_sequence`.
        progress: Show a bar.

    Warns:
        UserWarning: The video, where it is read, ends before the last detections.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, or nothing was detected.
    """
    video, detections = Video(path), read_video_detections(detections_path)
    frames = frames_with_detections(video, detections_path, len(detections))
    return describe(video.path.stem, frames, detections, extractor, progress=progress)


def describe(
    name: str,
    frames: Iterable[tuple[int, Frame]],
    detections: Mapping[int, npt.NDArray[np.float32]],
    extractor: FeatureExtractor | None,
    *,
    progress: bool = False,
) -> Footage:
    """Describe the detections of all frames of a clip.

    Args:
        name: Of the clip.
        frames: Numbers and (H, W, 3) uint8 BGR frames, in order; read where there is an extractor.
        detections: Of frames 1 to the last, (N, 5) or (N, 6) float32.
        extractor: What describes the boxes; None for motion alone.
        progress: Show a bar.
    """
    rows = [detections[t] for t in range(1, len(detections) + 1)]
    if extractor is None:
        return Footage(name, rows)
    found: dict[int, Features] = {}
    bar = tqdm(
        frames, desc=name, unit=" frames", total=len(rows), disable=None if progress else True
    )
    for t, frame in bar:
        if t in detections and len(detections[t]):
            features = to_numpy(extractor(frame, detections[t][:, :4].copy()), "features")
            found[t] = np.asarray(features, np.float32)
    if not found:
        return Footage(name, rows)
    nothing = np.zeros_like(next(iter(found.values()))[:1])
    embeddings = [
        found.get(t, np.repeat(nothing, len(row), axis=0)) for t, row in enumerate(rows, 1)
    ]
    return Footage(name, rows, embeddings)


def track(footage: Footage, tracker: Tracker) -> list[FrameResult]:
    """Track a clip.

    Args:
        footage: The clip.
        tracker: Fresh, or reset.

    Returns:
        Of each frame its number, from 1, and its tracks.
    """
    results = []
    for t, dets in enumerate(footage.detections):
        embeddings = None if footage.embeddings is None else footage.embeddings[t]
        tracks = tracker.step(None, dets, embeddings=embeddings)
        results.append(FrameResult(t + 1, tracks.ids, tracks.boxes, tracks.scores))
    return results
