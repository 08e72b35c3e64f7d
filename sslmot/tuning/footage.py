"""Embed footage once and track it many times, to tune and to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.frames import SequenceFrames, Video
from sslmot.data.mot import FrameResult, Sequence
from sslmot.data.video import frames_with_detections, read_video_detections
from sslmot.inputs import to_numpy
from sslmot.tracking.tracker import Tracker
from sslmot.types import FeatureExtractor, Features, Frame


@dataclass(frozen=True, eq=False)
class Footage:
    """Detections and embeddings of a clip, for a tracker, without the frames.

    Camera motion cannot be estimated without frames, so ``TrackerConfig.camera_motion`` has no
    effect.

    Attributes:
        name: Name of the clip.
        detections: (N, 5) float32 ``x1, y1, x2, y2, score`` or (N, 6) with a class for each frame,
            pixels.
        embeddings: (N, D) float32 for each frame, or None to track by motion only.
        frame_rate: Frames a second.
    """

    name: str
    detections: list[npt.NDArray[np.float32]]
    embeddings: list[Features] | None = None
    frame_rate: float = 30.0

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.detections)


def embed_sequence(
    sequence: Sequence, extractor: FeatureExtractor | None = None, *, progress: bool = False
) -> Footage:
    """Read a MOTChallenge sequence with its public detections, and embed them.

    Args:
        sequence: The sequence. It needs frames only with an extractor.
        extractor: Extractor of features. None for motion only, which reads no frame.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed.
    """
    frames = ((t, frame) for t, frame, _ in SequenceFrames(sequence)) if extractor else ()
    detections = sequence.detections()
    return embed_clip(
        sequence.name,
        frames,
        detections,
        extractor,
        frame_rate=sequence.frame_rate,
        progress=progress,
    )


def embed_video(
    path: str | Path,
    detections_path: str | Path,
    extractor: FeatureExtractor | None = None,
    *,
    progress: bool = False,
) -> Footage:
    """Read a video with detections, and embed them.

    Args:
        path: The video.
        detections_path: Its detections in the MOTChallenge format, frames from 1.
        extractor: As for :func:`embed_sequence`.
        progress: Whether to show a progress bar.

    Warns:
        UserWarning: The video ends before the last detections. Only with an extractor.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, or there are no detections.
    """
    video = Video(path)
    detections = read_video_detections(detections_path, video.size)
    read = frames_with_detections(video, detections_path, len(detections))
    frames = ((t, frame) for t, frame, _ in read)
    return embed_clip(
        video.path.stem,
        frames,
        detections,
        extractor,
        frame_rate=video.frame_rate,
        progress=progress,
    )


def embed_clip(
    name: str,
    frames: Iterable[tuple[int, Frame | None]],
    detections: Mapping[int, npt.NDArray[np.float32]],
    extractor: FeatureExtractor | None,
    *,
    frame_rate: float = 30.0,
    progress: bool = False,
) -> Footage:
    """Embed the detections of all frames of a clip.

    Args:
        name: Name of the clip.
        frames: Numbers and (H, W, 3) uint8 BGR frames, in order. Read only with an extractor.
            None for a frame that cannot be read: its embeddings are zeros.
        detections: (N, 5) or (N, 6) float32 for frames 1 to the last.
        extractor: Extractor of features. None for motion only.
        frame_rate: Frames a second.
        progress: Whether to show a progress bar.
    """
    rows = [detections[t] for t in range(1, len(detections) + 1)]
    if extractor is None:
        return Footage(name, rows, frame_rate=frame_rate)
    found: dict[int, Features] = {}
    bar = tqdm(
        frames, desc=name, unit=" frames", total=len(rows), disable=None if progress else True
    )
    for t, frame in bar:
        if frame is not None and t in detections and len(detections[t]):
            features = to_numpy(extractor(frame, detections[t][:, :4].copy()), "features")
            found[t] = np.asarray(features, np.float32)
    if not found:
        return Footage(name, rows, frame_rate=frame_rate)
    nothing = np.zeros_like(next(iter(found.values()))[:1])
    embeddings = [
        found.get(t, np.repeat(nothing, len(row), axis=0)) for t, row in enumerate(rows, 1)
    ]
    return Footage(name, rows, embeddings, frame_rate)


def track(footage: Footage, tracker: Tracker) -> list[FrameResult]:
    """Track a clip.

    Args:
        footage: The clip.
        tracker: A new or reset tracker.

    Returns:
        The tracks of each frame. Frames are numbered from 1.
    """
    results = []
    for t, dets in enumerate(footage.detections):
        embeddings = None if footage.embeddings is None else footage.embeddings[t]
        tracks = tracker.step(None, dets, embeddings=embeddings)
        results.append(FrameResult(t + 1, tracks.ids, tracks.boxes, tracks.scores))
    return results
