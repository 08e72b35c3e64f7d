"""Read videos and sequences with detections, and cut out person crops with tracklets.

Frames that cannot be read are left out, see `sslmot.data.frames`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.coco import read_coco_detections
from sslmot.data.crops import CropSet, cut
from sslmot.data.frames import FrameSource, NumberedFrame, Video
from sslmot.data.mot import EveryFrame, Sequence, read_detections
from sslmot.data.tracklets import link
from sslmot.types import Boxes, Frame

MIN_HEIGHT = 24
"""Minimum height of a box, pixels. Enlarged to 128 rows, a lower box shows colours only."""

MOST_CROPS = 200_000
"""Limit of crops per clip (5 GB at 128x64). Of longer footage only every n-th frame is used."""

MIN_INSIDE = 0.5
"""Minimum share of a box inside the frame. Otherwise the crop shows only a part of a person."""


def read_video_crops(
    video: Video | str | Path,
    detections_path: str | Path,
    size: tuple[int, int],
    frames: range | None = None,
) -> CropSet:
    """Cut the detected people out of a video.

    Args:
        video: The video or its path.
        detections_path: Detections of people in the MOTChallenge format, frames from 1, see
            `sslmot.data.mot.read_detections`.
        size: Height and width of a crop, pixels.
        frames: Numbers of the frames to read, consecutive. All by default.

    Warns:
        UserWarning: The video ends before the last detections.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, or no frame has a detection.
    """
    video = video if isinstance(video, Video) else Video(video)
    found = read_detections(detections_path, size=video.size)
    detections = _within(found, frames, detections_path)
    count = 0

    def counted() -> Iterator[tuple[int, Frame]]:
        nonlocal count
        for t, frame, _ in video.frames(None if frames is None else frames[-1]):
            count = t
            if frame is not None:
                yield t, frame

    crops = crops_of_frames(counted(), detections, size, _clip_name(video.path.name, frames))
    if not any(t <= count for t in detections):
        got = f"frames {min(detections)} to {max(detections)}" if detections else "none"
        raise ValueError(
            f"{detections_path}: expected detections in the {count} frames of {video.path}, "
            f"got {got}"
        )
    if max(detections) > count:
        warnings.warn(_too_short(video, count, detections_path, max(detections)), stacklevel=2)
    return crops


def frames_with_detections(
    source: FrameSource, detections_path: str | Path, last: int
) -> Iterator[NumberedFrame]:
    """Read frames up to the last frame with detections.

    Args:
        source: The frames.
        detections_path: File of the detections, for the warning.
        last: Number of the last frame with detections.

    Yields:
        As an iteration of the source.

    Warns:
        UserWarning: The source ends before that frame, or frames cannot be read.
    """
    t = 0
    for t, frame, seconds in source.frames(last):
        yield t, frame, seconds
    if t != last:
        warnings.warn(_too_short(source, t, detections_path, last), stacklevel=2)


def read_video_detections(
    detections_path: str | Path, size: tuple[int, int] | None = None
) -> EveryFrame:
    """Read the detections of a clip.

    Args:
        detections_path: A file in the MOTChallenge format, or COCO's JSON if its name ends with
            ".json".
        size: Width and height of a frame, pixels, if known.

    Returns:
        The detections of frames 1 to the last frame with detections, as
        `sslmot.data.mot.read_detections` or `sslmot.data.coco.read_coco_detections` returns them.

    Warns:
        UserWarning: The numbers look as if they had another meaning.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is malformed or contains no detection.
    """
    found: Mapping[int, npt.NDArray[np.float32]]
    if Path(detections_path).suffix.lower() == ".json":
        found = read_coco_detections(detections_path, size)
    else:
        found = read_detections(detections_path, size=size)
    if not found:
        raise ValueError(f"{detections_path}: expected detections, got none")
    return EveryFrame(found, max(found))


def read_sequence_crops(
    sequence: Sequence, size: tuple[int, int], frames: range | None = None
) -> CropSet:
    """Cut the people out of a MOTChallenge sequence, by its public detections and not its labels.

    Args:
        sequence: A sequence with frames.
        size: Height and width of a crop, pixels.
        frames: Numbers of the frames to read, consecutive. All by default.

    Warns:
        UserWarning: Some frames cannot be read. They are skipped.

    Raises:
        FileNotFoundError: All frames, or the detections, are missing.
        ValueError: The detections are malformed, or the chosen frames have none.
    """
    if not sequence.has_frames:
        raise FileNotFoundError(f"{sequence.name}: {sequence.expected_frames}")
    detections = _within(sequence.detections().found, frames, sequence.detections_path)
    skipped = []

    def readable() -> Iterator[tuple[int, Frame]]:
        for t in detections:
            try:
                yield t, sequence.frame(t)
            except (FileNotFoundError, ValueError) as error:
                skipped.append(str(error))

    crops = crops_of_frames(readable(), detections, size, _clip_name(sequence.name, frames))
    if skipped:
        warnings.warn(
            f"{len(skipped)} frames of {sequence.name} skipped, the first: {skipped[0]}",
            stacklevel=2,
        )
    return replace(crops, skipped=tuple(skipped))


def crops_of_frames(
    frames: Iterable[tuple[int, Frame]],
    detections: Mapping[int, npt.NDArray[np.float32]],
    size: tuple[int, int],
    name: str,
) -> CropSet:
    """Cut detected people out of the frames of one clip, and link them into tracklets.

    Boxes are clipped to the frame. A box is left out if it is then lower than `MIN_HEIGHT`, or if
    less than `MIN_INSIDE` of it is left. All frames are used for linking. With more than
    `MOST_CROPS` boxes, only every n-th frame is cut.

    Args:
        frames: Frame numbers, each once, with (H, W, 3) uint8 BGR frames. They are read once.
        detections: (N, 4 or more) float32 for each frame, ``x1, y1, x2, y2, ...``, pixels.
        size: Height and width of a crop, pixels.
        name: Name of the clip.

    Returns:
        The crops in the order of frames. There may be none.
    """
    # Memory pages beyond the crops that are cut are never touched.
    every = max(1, -(-sum(map(len, detections.values())) // MOST_CROPS))
    most = sum(len(rows) for t, rows in detections.items() if t % every == 0)
    images = np.empty((most, *size, 3), np.uint8)
    boxes: dict[int, Boxes] = {}
    count = 0
    total = max(detections, default=None)
    for t, frame in tqdm(frames, desc=name, unit=" frames", total=total, disable=None):
        if t in detections:
            boxes[t] = _usable(detections[t][:, :4], frame.shape[1], frame.shape[0])
            if t % every == 0:
                first, count = count, count + len(boxes[t])
                images[first:count] = cut(frame, boxes[t], size)
    tracklets = link(boxes)
    kept = [t for t in boxes if t % every == 0]
    return CropSet(
        images=images[:count],
        clips=np.zeros(count, np.int32),
        frames=np.repeat(np.array(kept, np.int64), [len(boxes[t]) for t in kept]),
        tracklets=np.concatenate([np.empty(0, np.int64), *(tracklets[t] for t in kept)]),
        clip_names=(name,),
    )


def _within(
    detections: Mapping[int, npt.NDArray[np.float32]], frames: range | None, path: str | Path
) -> dict[int, npt.NDArray[np.float32]]:
    """Select the detections of ``frames``, so that other frames are not linked either."""
    within = {t: rows for t, rows in detections.items() if frames is None or t in frames}
    if frames is not None and not within:
        raise ValueError(
            f"frames: expected frames with detections in {path}, "
            f"got {frames.start}-{frames.stop - 1}"
        )
    return within


def _too_short(source: FrameSource, count: int, detections_path: str | Path, last: int) -> str:
    return (
        f"{source} has {count} frames, {detections_path} detections up to frame {last}: "
        "do they belong together?"
    )


def _clip_name(name: str, frames: range | None) -> str:
    """Return the name of a clip with its frames. An encoder's file stores it as training data."""
    return name if frames is None else f"{name}, frames {frames[0]}-{frames[-1]}"


def _usable(boxes: Boxes, width: int, height: int) -> Boxes:
    """Clip boxes to the frame, and drop boxes that are too low or mostly outside."""
    clipped: Boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    area, inside = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, clipped))
    high_enough = clipped[:, 3] - clipped[:, 1] >= MIN_HEIGHT
    usable: Boxes = clipped[high_enough & (area > 0) & (inside >= MIN_INSIDE * area)]
    return usable
