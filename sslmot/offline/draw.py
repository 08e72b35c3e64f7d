"""Draw tracks (boxes, ids and trails) on frames, write videos and contact sheets."""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.types import Frame

FONT = cv2.FONT_HERSHEY_DUPLEX


def colour(identity: int) -> tuple[int, int, int]:
    """Return the colour of an id. Ids with near numbers get clearly different colours.

    Args:
        identity: Any integer.

    Returns:
        Blue, green, red; 0 to 255.
    """
    # Steps of the golden ratio spread any number of hues evenly. Hues are close to each other after
    # 8, 13 and 21 ids, so these get another tone: bright, pale or dark.
    saturation, value = ((0.9, 1.0), (0.4, 1.0), (0.9, 0.55))[(identity + identity // 21) % 3]
    red, green, blue = colorsys.hsv_to_rgb(identity * 0.618034 % 1, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def annotate(
    frame: Frame,
    ids: npt.ArrayLike,
    boxes: npt.ArrayLike,
    *,
    trails: Mapping[int, Sequence[tuple[float, float]]] | None = None,
) -> Frame:
    """Draw tracks on a copy of a frame.

    Args:
        frame: (H, W, 3) uint8, BGR. It does not change.
        ids: (N,) integers.
        boxes: (N, 4) xyxy pixels. They are clipped to the frame.
        trails: Past points (x, y) of some ids in pixels, oldest first. Older points are fainter.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ValueError: An argument has a wrong shape or type, or a box is not finite.
    """
    ids, boxes = _check(frame, ids, boxes)
    picture = frame.copy()
    height, width = frame.shape[:2]
    scale = max(width, height) / 1280
    line = max(1, round(2 * scale))
    for identity, points in (trails or {}).items():
        _trail(picture, np.asarray(points, np.float64), colour(identity), line)
    corners = np.clip(boxes, 0, (width, height) * 2)
    # The lowest box is usually the nearest to the camera, so it is drawn last, on top.
    for i in np.argsort(corners[:, 3], kind="stable"):
        x1, y1, x2, y2 = (round(float(value)) for value in corners[i])
        if x2 > x1 and y2 > y1:
            tint = colour(int(ids[i]))
            cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), tint, line)
            _label(picture, str(ids[i]), (x1, y1), tint, scale)
    return picture


class Annotator:
    """Draws the tracks of consecutive frames, with a trail of past foot points for each track.

    Args:
        trail: Length of a trail in frames. The trail of an id that is missing for longer is
            dropped. If the id returns earlier, its trail continues. 0 draws no trails.

    Raises:
        ValueError: ``trail`` is negative.
    """

    def __init__(self, trail: int = 45) -> None:
        if trail < 0:
            raise ValueError(f"trail: expected 0 or more frames, got {trail}")
        self.trail = trail
        self._now = 0
        # The past foot points of each id: (frame, x, y).
        self._past: dict[int, deque[tuple[int, float, float]]] = {}

    def __call__(self, frame: Frame, ids: npt.ArrayLike, boxes: npt.ArrayLike) -> Frame:
        """Draw the tracks of the next frame.

        Args:
            frame: (H, W, 3) uint8, BGR. It does not change.
            ids: (N,) integers.
            boxes: (N, 4) xyxy pixels.

        Returns:
            (H, W, 3) uint8, BGR.

        Raises:
            ValueError: An argument has a wrong shape or type, or a box is not finite.
        """
        ids, boxes = _check(frame, ids, boxes)
        self._now += 1
        for identity, (x1, _, x2, y2) in zip(ids.tolist(), boxes.tolist(), strict=True):
            self._past.setdefault(identity, deque()).append((self._now, (x1 + x2) / 2, y2))
        for identity, past in list(self._past.items()):
            while past and past[0][0] <= self._now - self.trail:
                past.popleft()
            if not past:
                del self._past[identity]
        return annotate(frame, ids, boxes, trails=self.trails)

    @property
    def trails(self) -> dict[int, list[tuple[float, float]]]:
        """Past foot points (x, y) of each id with a trail, pixels, oldest first."""
        return {identity: [(x, y) for _, x, y in past] for identity, past in self._past.items()}


class VideoWriter:
    """Writes frames to an MP4 file. It is a context manager.

    The first frame determines the size.

    Args:
        path: The file, in an existing folder.
        frame_rate: Frames per second.
    """

    def __init__(self, path: str | Path, frame_rate: float) -> None:
        self.path = Path(path)
        self.frame_rate = frame_rate
        self._size: tuple[int, int] | None = None
        self._writer = cv2.VideoWriter()

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Args:
            frame: (H, W, 3) uint8, BGR.

        Raises:
            OSError: The file cannot be written.
            ValueError: The frame has a wrong type, or another size than the first frame.
        """
        _check_frame(frame)
        height, width = frame.shape[:2]
        if self._size is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            if not self._writer.open(str(self.path), codec, self.frame_rate, (width, height)):
                raise OSError(
                    f"{self.path}: cannot write a video of {width}x{height} at "
                    f"{self.frame_rate:g} frames a second"
                )
            self._size = width, height
        elif not self._writer.isOpened():
            raise OSError(f"{self.path}: the video is closed")
        # OpenCV would silently drop a frame of another size.
        if (width, height) != self._size:
            expected = "x".join(map(str, self._size))
            raise ValueError(f"frame: expected {expected} pixels, got {width}x{height}")
        self._writer.write(frame)

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def window(title: str) -> Iterator[Callable[[Frame, npt.ArrayLike, npt.ArrayLike], bool]]:
    """Open a window for the tracks of a clip.

    Args:
        title: Title of the window.

    Yields:
        A function that shows a frame with ids and boxes, as `Annotator` takes them. It returns
        False once Q or Escape was pressed, or the window was closed.

    Raises:
        OSError: There is no display, or OpenCV was built without windows.
    """
    draw = Annotator()

    def show(frame: Frame, ids: npt.ArrayLike, boxes: npt.ArrayLike) -> bool:
        cv2.imshow(title, draw(frame, ids, boxes))
        closed = cv2.waitKey(1) & 0xFF in (ord("q"), 27)
        return not closed and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1

    try:
        cv2.namedWindow(title, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise OSError(f"cannot open a window: {error.err or error}") from None
    try:
        yield show
    finally:
        cv2.destroyWindow(title)


def contact_sheet(
    frames: Sequence[Frame],
    columns: int,
    *,
    captions: Iterable[str] = (),
    width: int = 1920,
) -> Frame:
    """Arrange several frames in one picture, row by row.

    Args:
        frames: One or more frames, (H, W, 3) uint8, all of the same size.
        columns: Number of frames in a row.
        captions: Text for the corner of each frame, from the first frame on.
        width: Approximate width of the picture, pixels.

    Returns:
        (H', W', 3) uint8, BGR. Empty cells at the end are white.

    Raises:
        ValueError: There is no frame or no column, or the frames differ in size.
    """
    if not frames or columns < 1:
        raise ValueError(
            f"frames, columns: expected at least one of each, got {len(frames)}, {columns}"
        )
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"frames: expected one size, got {sorted(sizes)}")
    _check_frame(frames[0])
    high, wide = frames[0].shape[:2]
    gap = max(1, width // 240)
    cell = max(1, (width - gap) // columns - gap)
    tall = max(1, round(cell * high / wide))
    rows = -(-len(frames) // columns)
    shape = (rows * (tall + gap) + gap, columns * (cell + gap) + gap, 3)
    sheet = np.full(shape, 255, np.uint8)
    texts = [*captions]
    for i, frame in enumerate(frames):
        # Area averaging works only for shrinking.
        how = cv2.INTER_AREA if cell < wide else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(frame, (cell, tall), interpolation=how), np.uint8)
        if i < len(texts):
            _label(small, texts[i], (0, 0), (255, 255, 255), cell / 640)
        row, column = divmod(i, columns)
        y, x = gap + row * (tall + gap), gap + column * (cell + gap)
        sheet[y : y + tall, x : x + cell] = small
    return sheet


def _check(
    frame: Frame, ids: npt.ArrayLike, boxes: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    _check_frame(frame)
    ids = np.asarray(ids)
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"boxes: expected (N, 4) finite numbers, got {boxes.shape}")
    if ids.shape != boxes.shape[:1] or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"ids: expected {boxes.shape[:1]} integers, got {ids.shape} {ids.dtype}")
    return ids.astype(np.int64), boxes


def _check_frame(frame: Frame) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")


def _trail(
    picture: Frame, points: npt.NDArray[np.float64], tint: tuple[int, int, int], line: int
) -> None:
    """Draw a line through the points. Older parts are fainter."""
    height, width = picture.shape[:2]
    if len(points) < 2 or not np.isfinite(points).all():
        return
    # The colour of each segment is mixed with one pixel below it. This looks like transparency,
    # and is much faster.
    inside = np.clip(points[1:], 0, (width - 1, height - 1)).astype(int)
    strength = (np.arange(1, len(points)) / (len(points) - 1))[:, None]
    under = picture[inside[:, 1], inside[:, 0]]
    shades = ((1 - strength) * under + strength * tint).tolist()
    ends = np.clip(points, -32000, 32000).round().astype(int).tolist()
    for (a, b), shade in zip(pairwise(ends), shades, strict=True):
        cv2.line(picture, a, b, shade, line, cv2.LINE_AA)


def _label(
    picture: Frame, text: str, corner: tuple[int, int], tint: tuple[int, int, int], scale: float
) -> None:
    """Draw text on a filled rectangle above a corner, or below it if there is no space above."""
    size, stroke = 0.6 * scale, max(1, round(1.2 * scale))
    (wide, tall), _ = cv2.getTextSize(text, FONT, size, stroke)
    pad = max(2, round(4 * scale))
    height, width = picture.shape[:2]
    x = max(0, min(corner[0], width - wide - 2 * pad))
    y = corner[1] - tall - 2 * pad
    y = y if y >= 0 else min(corner[1], max(0, height - tall - 2 * pad))
    cv2.rectangle(picture, (x, y), (x + wide + 2 * pad, y + tall + 2 * pad), tint, cv2.FILLED)
    bright = 0.114 * tint[0] + 0.587 * tint[1] + 0.299 * tint[2] > 128
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(picture, text, (x + pad, y + pad + tall), FONT, size, ink, stroke, cv2.LINE_AA)
