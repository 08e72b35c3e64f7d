"""Read the frames of a video, a folder of images, a sequence, a camera or a network stream.

`open_frames` finds the kind of a source. All kinds are iterated in the same way.
"""

from __future__ import annotations

import glob
import math
import os
import re
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import cv2
import numpy as np

from sslmot import reading
from sslmot.data.image_files import MOST_PIXELS, SUFFIXES, read_image
from sslmot.data.mot import Sequence
from sslmot.types import Frame

NumberedFrame: TypeAlias = tuple[int, Frame | None, float | None]
"""Number from 1, (H, W, 3) uint8 BGR or None if it cannot be read, and seconds or None."""

LONGEST_WAIT = 30.0
"""Limit of seconds before a dropped stream is opened again. The first wait is one second."""

# A read of OpenCV fails for a frame that cannot be decoded, and at the end. After a damaged frame
# the decoder can fail up to the next key frame, which may be ten seconds later or more.
_MOST_FAILED = 1000
_MOST_FAILED_LIVE = 10  # a dropped stream may take seconds to fail
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CUT_ADDRESS = re.compile(r"(?:rtsps?|rtmps?|rtp|https?|udp|tcp|srt):/[^/]", re.IGNORECASE)
_TEXT_HEAD = 4096  # bytes of a file that tell a text from a video

_Read: TypeAlias = tuple[int, Frame | str, float | None]  # a text says why there is no frame


class FrameSource(ABC):
    """The frames of a clip or a camera, in order.

    An iteration yields `NumberedFrame` tuples: the number of a frame from 1, the frame, and its
    time in seconds from any origin, always above the one before (None if the source has no clock).

    A frame that cannot be read keeps its number. None is in its place, and the iteration goes on.
    At its end, a warning gives the number of such frames, and `unreadable` lists them.

    Attributes:
        name: Name for result files.
        length: Number of frames that the source declares, or None. A video's may be wrong.
        frame_rate: Frames a second, or None if unknown.
        size: Width and height of a frame, pixels, or None if unknown.
        unreadable: The frames of the last iteration that cannot be read, with the reason of each.
    """

    name: str
    length: int | None
    frame_rate: float | None
    size: tuple[int, int] | None

    def __init__(self) -> None:
        self.unreadable: dict[int, str] = {}

    def __iter__(self) -> Iterator[NumberedFrame]:
        return self.frames()

    def frames(self, last: int | None = None) -> Iterator[NumberedFrame]:
        """Yield the frames up to a number.

        Args:
            last: Number of the last frame, or None for all.

        Warns:
            UserWarning: Frames cannot be read, or a video ends long before its declared end.

        Raises:
            ValueError: No frame can be read.
        """
        self.unreadable = {}
        number, seconds = 0, None
        with closing(self._read()) as found:
            for number, frame, seconds in found:
                if isinstance(frame, str):
                    self.unreadable[number] = frame
                    yield number, None, seconds
                else:
                    yield number, frame, seconds
                if number == last:
                    break
        count = len(self.unreadable)
        if count == number:
            reason = f": {self.unreadable[1]}" if count else ""
            raise ValueError(f"{self}: expected frames, got none that can be read{reason}")
        if count:
            first, reason = next(iter(self.unreadable.items()))
            warnings.warn(
                f"{self}: {count} of {number} frames cannot be read, the first is frame {first}: "
                f"{reason}",
                stacklevel=2,
            )
        if number != last and (problem := self._shortage(number, seconds)) is not None:
            warnings.warn(f"{self}: {problem}", stacklevel=2)

    @abstractmethod
    def __str__(self) -> str:
        """Return the place of the source, for errors and warnings."""

    @abstractmethod
    def _read(self) -> Generator[_Read, None, None]:
        """Yield frames, or the reason why there is none."""

    def _shortage(self, number: int, seconds: float | None) -> str | None:
        """Return text for a warning if the frames end too early."""
        return None


class Video(FrameSource):
    """The frames of a video file. Each iteration starts at the first frame.

    A frame that cannot be decoded has its number, as far as the decoder reports it. VP8 and VP9,
    and damaged containers, lose frames without an error. Times are those of the container.

    Args:
        path: A video file that OpenCV can read.

    Attributes:
        path: As given.
        frame_rate: Frames a second, 30 where the container does not store it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is a text, or OpenCV cannot open it.
    """

    frame_rate: float

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path)
        if not reading.is_file(self.path):
            raise FileNotFoundError(f"path: expected a video file, got {path}")
        if _is_text(self.path):  # which FFmpeg would draw
            raise ValueError(f"path: expected a video, got a text file: {path}")
        self.name = self.path.stem
        capture = self._open()
        self.length, frame_rate, self.size = _properties(capture)
        self.frame_rate = 30.0 if frame_rate is None else frame_rate
        capture.release()

    def __str__(self) -> str:
        return str(self.path)

    def _read(self) -> Generator[_Read, None, None]:
        capture = self._open()
        try:
            yield from _decoded(capture, self.frame_rate)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        return _opened(str(self.path), f"path: expected a video, got {self.path}")

    def _shortage(self, number: int, seconds: float | None) -> str | None:
        # In seconds, since the number of frames is often an estimate from the duration.
        if self.length is None or seconds is None:
            return None
        declared = self.length / self.frame_rate
        if seconds + max(1.0, 0.01 * declared) >= declared:
            return None
        return f"ends after {seconds:.1f} of {declared:.1f} seconds (frame {number})"


class Stream(FrameSource):
    """The frames of a camera or a network stream, as they come.

    A stream that drops is opened again after 1, 2, 4, ... 30 seconds, and so on until it is there.
    The numbers of frames go on. Times are those of this computer, since the iteration began. A
    video file at an address ends at its end.

    Args:
        address: Number of a camera, its device file, or an address such as ``rtsp://host/path``.

    Raises:
        ValueError: It cannot be opened.
    """

    def __init__(self, address: int | str) -> None:
        super().__init__()
        self._address = address
        if isinstance(address, int):
            self.name = f"camera-{address}"
        else:
            parts = urlsplit(address)
            self.name = re.sub(r"\W+", "-", f"{parts.hostname or ''}{parts.path}").strip("-")
        self._next: cv2.VideoCapture | None = self._open()
        self.length, self.frame_rate, self.size = _properties(self._next)

    def __str__(self) -> str:
        if isinstance(self._address, int):
            return f"camera {self._address}"
        return re.sub(r"//[^/]*@", "//", self._address)  # without a password

    def _read(self) -> Generator[_Read, None, None]:
        # The first iteration continues with the capture that was opened to see the size.
        capture, self._next = self._next or self._open(), None
        number, seconds, wait = 0, None, 1.0
        try:
            if self.length is not None:
                yield from _decoded(capture, self.frame_rate or 30.0)
                return
            start = time.monotonic()
            while True:
                live = _decoded(capture, self.frame_rate or 30.0, number, seconds, start)
                for number, frame, seconds in live:
                    wait = 1.0
                    yield number, frame, seconds
                capture.release()
                warnings.warn(f"{self}: dropped after frame {number}, is reopened", stacklevel=2)
                while True:
                    time.sleep(wait)
                    wait = min(2 * wait, LONGEST_WAIT)
                    try:
                        capture = self._open()
                        break
                    except ValueError:
                        continue
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        return _opened(self._address, f"source: expected a camera or a stream, got {self}")


class Images(FrameSource):
    """The frames of a clip that are image files. They are numbered from 1, in the given order.

    All must have the size of the first that can be read.

    Args:
        paths: The files.
        name: Name of the clip.

    Raises:
        ValueError: There is no file.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], name: str) -> None:
        super().__init__()
        self.paths = [Path(path) for path in paths]
        if not self.paths:
            raise ValueError("paths: expected images, got none")
        self.name, self.length, self.frame_rate, self.size = name, len(self.paths), None, None
        for path in self.paths:
            if not isinstance(frame := self._frame(path), str):
                self.size = frame.shape[1], frame.shape[0]
                break

    def __str__(self) -> str:
        return str(self.paths[0].parent)

    def _read(self) -> Generator[_Read, None, None]:
        for number, path in enumerate(self.paths, 1):
            yield number, self._frame(path), None

    def _frame(self, path: Path) -> Frame | str:
        try:
            frame = read_image(path)
        except (OSError, ValueError) as error:
            return str(error)
        size = frame.shape[1], frame.shape[0]
        if self.size not in (None, size):
            return f"{path}: expected width and height {self.size}, got {size}"
        return frame


class SequenceFrames(FrameSource):
    """The frames of a MOTChallenge sequence.

    An iteration raises a FileNotFoundError if there are none. It names a file that was found.

    Args:
        sequence: The sequence.
    """

    def __init__(self, sequence: Sequence) -> None:
        super().__init__()
        self.sequence = sequence
        self.name, self.length = sequence.name, sequence.length
        self.frame_rate, self.size = sequence.stated.frame_rate, sequence.size

    def __str__(self) -> str:
        return str(self.sequence.path)

    def _read(self) -> Generator[_Read, None, None]:
        if not self.sequence.has_frames:
            raise FileNotFoundError(f"{self.name}: {self.sequence.expected_frames}")
        for number in range(1, self.sequence.length + 1):
            try:
                frame: Frame | str = self.sequence.frame(number)
            except (OSError, ValueError) as error:
                frame = str(error)
            yield number, frame, None


def open_frames(source: int | str | os.PathLike[str] | Sequence) -> FrameSource:
    """Open a source of frames.

    Args:
        source: A video file; a folder of images, or a pattern such as ``shots/*.png``, in natural
            order (``2.jpg`` before ``10.jpg``); a MOTChallenge sequence or its folder; the number
            of a camera, also as text; or an address such as ``rtsp://host/path``. An address must
            be a str, since a ``Path`` merges its two slashes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such source, or cannot be opened.
    """
    if isinstance(source, Sequence):
        return SequenceFrames(source)
    if isinstance(source, int):
        return Stream(source)
    text = os.fspath(source)
    if _ADDRESS.match(text):
        return Stream(text)
    path = Path(text)
    if reading.is_file(path):
        return Images([path], path.stem) if path.suffix.lower() in SUFFIXES else Video(path)
    if path.is_dir():
        if reading.is_file(path / "seqinfo.ini"):
            return SequenceFrames(Sequence.open(path))
        found = [each for each in path.iterdir() if not each.name.startswith(".")]
        return _images(found, path.absolute().name, f"source: expected images in {text}")
    if path.is_char_device():
        return Stream(text)
    if text.isdecimal():
        return Stream(int(text))
    if _CUT_ADDRESS.match(text):
        raise ValueError(f"source: expected an address as a str, got a path {text}")
    if glob.has_magic(text):
        # A pattern may be absolute, which Path.glob refuses.
        found = [Path(name) for name in glob.iglob(text, recursive=True)]  # noqa: PTH207
        name = found[0].absolute().parent.name if found else ""
        return _images(found, name, f"source: expected images {text}")
    raise FileNotFoundError(
        "source: expected a video, a folder of images, a sequence, a camera or an address, "
        f"got {text}, which does not exist"
    )


def _images(found: list[Path], name: str, expected: str) -> Images:
    paths = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not paths:
        got = f"only files such as {min(found)}" if found else "none"
        raise ValueError(f"{expected} ({', '.join(SUFFIXES)}), found {got}")

    def natural(path: str | os.PathLike[str]) -> tuple[list[str | int], str]:
        parts = re.split(r"([0-9]+)", str(path).casefold())
        return [int(p) if i % 2 else p for i, p in enumerate(parts)], str(path)

    return Images(sorted(paths, key=natural), name)


def _decoded(
    capture: cv2.VideoCapture,
    frame_rate: float,
    number: int = 0,
    before: float | None = None,
    start: float | None = None,
) -> Iterator[_Read]:
    """Decode frames until the end, or until a stream drops.

    Args:
        capture: An open capture.
        frame_rate: Frames a second, for frames without a time of their own.
        number: Number of the frame before.
        before: Its time, or None if there is none.
        start: Time of the clock at second 0 of a stream, or None to use the times of a file.
    """
    failed, most = 0, _MOST_FAILED if start is None else _MOST_FAILED_LIVE
    while failed < most:
        good, frame = capture.read()
        if not good:
            failed += 1
            continue
        if start is None:
            seconds = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        else:
            seconds = time.monotonic() - start
        least = seconds if before is None else before + 1e-6 * (failed + 1)
        if not least <= seconds < math.inf:
            seconds = (before or 0.0) + (failed + 1) / frame_rate
        # The frames that failed since are evenly between.
        gap = 1 / frame_rate if before is None else (seconds - before) / (failed + 1)
        for i in range(failed, 0, -1):
            number += 1
            yield number, "cannot be decoded", seconds - i * gap
        number += 1
        yield number, np.asarray(frame, np.uint8), seconds
        before, failed = seconds, 0


def _opened(target: int | str, expected: str) -> cv2.VideoCapture:
    """Open a capture. Errors begin with ``expected``."""
    capture = cv2.VideoCapture(target)
    if not capture.isOpened():
        raise ValueError(f"{expected}: OpenCV cannot open it")
    width, height = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MOST_PIXELS:
        capture.release()
        raise ValueError(f"{expected} of {width:.0f}x{height:.0f}, more than {MOST_PIXELS} pixels")
    return capture


def _properties(
    capture: cv2.VideoCapture,
) -> tuple[int | None, float | None, tuple[int, int] | None]:
    """Return the number of frames, the frame rate and the size, each None if unknown."""
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    frame_rate = float(capture.get(cv2.CAP_PROP_FPS))
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return (
        int(length) if length >= 1 else None,
        frame_rate if 1e-3 < frame_rate < 1e6 else None,
        (width, height) if width > 0 and height > 0 else None,
    )


def _is_text(path: Path) -> bool:
    """Return whether a file begins as a text in UTF-8."""
    head = reading.read(path, head=_TEXT_HEAD)
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not a character that was cut off
            return False
        text = head[: error.start].decode()
    return bool(text) and all(c >= " " or c in "\t\n\r\f\x1b" for c in text)
