"""Footage and its detections: crops of people, linked into tracklets where that is certain."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot import reading
from sslmot.data.crops import CropSet, cut
from sslmot.data.image_files import MOST_PIXELS
from sslmot.data.mot import EveryFrame, Sequence, read_detections
from sslmot.data.tracklets import link
from sslmot.types import Boxes, Frame

MIN_HEIGHT = 24
"""Pixels. A lower box, blown up to a crop of 128 rows or more, shows no more than colours."""

MOST_CROPS = 200_000
"""Of a clip; of longer footage only every so many-th frame is kept, for 5 GB at 128x64 at most."""

MIN_INSIDE = 0.5
"""Share of a box that must lie in the frame, else the crop shows a part of a person."""


class Video:
    """The frames of a video file; iterating again starts again.

    Args:
        path: Any file that OpenCV reads.

    Attributes:
        path: As given.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video, as far as OpenCV knows; on iteration where it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not reading.is_file(self.path):
            raise FileNotFoundError(f"path: expected a video file, got {path}")
        capture = self._open()
        # Below 1 where the container does not say.
        self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()

    def __len__(self) -> int:
        """Number of frames as the container says; decoding may give a few more or less.

        Raises:
            TypeError: The container does not say.
        """
        if self._length < 1:
            raise TypeError(f"{self.path} does not say how many frames it has")
        return self._length

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        """Decode frame after frame: its number, from 1, and (H, W, 3) uint8, BGR."""
        capture, t = self._open(), 0
        try:
            while True:
                decoded, frame = capture.read()
                if not decoded:
                    break
                t += 1
                yield t, np.asarray(frame, np.uint8)
        finally:
            capture.release()
        if t == 0:
            raise ValueError(f"path: expected a video, got {self.path}: no frame can be decoded")

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise ValueError(f"path: expected a video, got {self.path}: OpenCV cannot open it")
        width, height = (
            capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if width * height > MOST_PIXELS:
            capture.release()
            raise ValueError(
                f"path: expected a video of at most {MOST_PIXELS} pixels, got {self.path} of "
                f"{width:.0f}x{height:.0f}"
            )
        return capture


def read_video_crops(
    video: Video | str | Path,
    detections_path: str | Path,
    size: tuple[int, int],
    frames: range | None = None,
) -> CropSet:
    """Cut the detected people out of a video.

    Args:
        video: The video or its path.
        detections_path: Detections of people in the format of MOTChallenge, frames from 1; see
            `sslmot.data.mot.read_detections`.
        size: Height and width of a crop, pixels.
        frames: Numbers of the frames to read, one after the other; all by default.

    Warns:
        UserWarning: The video ends before the last detections.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file cannot be read, or no frame has a detection.
    """
    video = video if isinstance(video, Video) else Video(video)
    detections = _within(read_detections(detections_path), frames, detections_path)
    count = 0

    def counted() -> Iterator[tuple[int, Frame]]:
        nonlocal count
        for t, frame in video:
            count = t
            yield t, frame
            if frames is not None and t == frames[-1]:
                break

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
    video: Video, detections_path: str | Path, last: int
) -> Iterator[tuple[int, Frame]]:
    """Decode a video as far as its detections go.

    Args:
        video: The video.
        detections_path: Where its detections are from.
        last: The last frame that has some.

    Yields:
        The number of a frame, from 1, and (H, W, 3) uint8, BGR.

    Warns:
        UserWarning: The video ends before.
    """
    t = 0
    for t, frame in video:
        yield t, frame
        if t == last:
            return
    warnings.warn(_too_short(video, t, detections_path, last), stacklevel=2)


def read_video_detections(detections_path: str | Path) -> EveryFrame:
    """Read the detections of a video, which say how long it is.

    Returns:
        Of each frame, 1 to the last that has some, what `sslmot.data.mot.read_detections` returns.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is malformed, or nothing was detected.
    """
    found = read_detections(detections_path)
    if not found:
        raise ValueError(f"detections_path: expected detections, got none in {detections_path}")
    return EveryFrame(found, max(found))


def read_sequence_crops(
    sequence: Sequence, size: tuple[int, int], frames: range | None = None
) -> CropSet:
    """Cut the people of a MOTChallenge sequence out by its public detections, never by its labels.

    Args:
        sequence: With frames.
        size: Height and width of a crop, pixels.
        frames: Numbers of the frames to read, one after the other; all by default.

    Warns:
        UserWarning: Frames that cannot be read; they are skipped.

    Raises:
        FileNotFoundError: All frames, or the detections, are missing.
        ValueError: The detections are malformed, or there are none in the chosen frames.
    """
    if not sequence.has_frames:
        raise FileNotFoundError(
            f"{sequence.name}: expected frames in {sequence.image_dir}, found none"
        )
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

    Boxes are clipped to the frame; those lower than `MIN_HEIGHT` then, or with less than
    `MIN_INSIDE` left of them, are left out. All frames are linked, but of more than `MOST_CROPS`
    boxes only those of some frames are cut out.

    Args:
        frames: Numbers and (H, W, 3) uint8 BGR frames, each once; read in one pass.
        detections: Of frames, (N, 4 or more) float32 ``x1, y1, x2, y2, ...``, pixels.
        size: Height and width of a crop, pixels.
        name: Of the clip.

    Returns:
        The crops, in order of frames; perhaps none.
    """
    # One allocation, touched only as far as it is filled.
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
    """The detections in some frames: what is left out is not linked either."""
    within = {t: rows for t, rows in detections.items() if frames is None or t in frames}
    if frames is not None and not within:
        raise ValueError(
            f"frames: expected some that {path} has detections in, "
            f"got {frames.start}-{frames.stop - 1}"
        )
    return within


def _too_short(video: Video, count: int, detections_path: str | Path, last: int) -> str:
    return (
        f"{video.path} has {count} frames, {detections_path} detections up to frame {last}: "
        "do they belong together?"
    )


def _clip_name(name: str, frames: range | None) -> str:
    """What an encoder's file says that it has learned from."""
    return name if frames is None else f"{name}, frames {frames[0]}-{frames[-1]}"


def _usable(boxes: Boxes, width: int, height: int) -> Boxes:
    """Boxes clipped to the frame, without those that are of no use."""
    clipped: Boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
    area, inside = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, clipped))
    high_enough = clipped[:, 3] - clipped[:, 1] >= MIN_HEIGHT
    usable: Boxes = clipped[high_enough & (area > 0) & (inside >= MIN_INSIDE * area)]
    return usable
