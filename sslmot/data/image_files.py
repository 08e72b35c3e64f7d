"""Read an image file, with limits on its size."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from sslmot import reading
from sslmot.types import Frame

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Suffixes of image files, in lower or upper case."""

MOST_PIXELS = 2**26
"""Limit of pixels per image. Phones make 50 million pixels, 8K video 33 million."""

_MOST_BYTES = 2**28
_MOST_MARKERS = 2**16  # limit of markers of a JPEG
# A marker of a JPEG with a segment, or its end. 00 and the restart markers are parts of the data.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd8]", re.DOTALL)
_NO_SIZE = (0xC4, 0xC8, 0xCC)  # the JPEG markers in C0 to CF that are not frame headers
_END = 0xD9


def read_image(path: str | os.PathLike[str]) -> Frame:
    """Read a JPEG, PNG, BMP or WebP file.

    Bytes after the image are ignored: phones append a short video to a JPEG.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not such an image, is truncated, or has more than `MOST_PIXELS`.
    """
    path = Path(path)
    data = reading.read(path, _MOST_BYTES)
    # Check the size before decoding: a file of a few kilobytes can declare gigabytes.
    width, height = _size(data)
    if not 1 <= width * height <= MOST_PIXELS:
        got = f"{width}x{height}" if width * height else "no readable image"
        raise ValueError(
            f"{path}: expected a JPEG, PNG, BMP or WebP of at most {MOST_PIXELS} pixels, got {got}"
        )
    # OpenCV would fill the rest of a truncated JPEG with grey.
    if data.startswith(b"\xff\xd8") and all(code != _END for code, _ in _jpeg_markers(data)):
        raise ValueError(f"{path}: expected a whole JPEG, got one without its end")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"{path}: expected an image, got no readable image ({error})") from error
    if image is None:
        raise ValueError(f"{path}: expected an image, got no readable image")
    return np.asarray(image, np.uint8)


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height from the header of an image, (0, 0) if it is malformed."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            width, height = _png_size(data)
        elif data.startswith(b"\xff\xd8\xff"):
            width, height = _jpeg_size(data)
        elif data.startswith(b"BM"):
            old = struct.unpack_from("<I", data, 14) == (12,)
            width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            width, height = _webp_size(data)
        else:
            return 0, 0
    except struct.error:  # truncated
        return 0, 0
    return abs(width), abs(height)  # a BMP stored from top to bottom has a negative height


def _png_size(data: bytes) -> tuple[int, int]:
    """Return the size of a PNG, (0, 0) if a chunk is truncated.

    OpenCV allocates the declared size of a chunk before it reads the chunk.
    """
    place, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if place > len(data):
            return 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return the size from the frame header of a JPEG."""
    for code, place in _jpeg_markers(data):
        if 0xC0 <= code <= 0xCF and code not in _NO_SIZE:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
    return 0, 0


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker of a JPEG up to its end, and the place of its segment.

    The segments are skipped, since a thumbnail in one of them has markers of its own. Some cameras
    write other bytes between segments.
    """
    place = 2
    for _ in range(_MOST_MARKERS):
        found = _MARKER.search(data, place)
        if found is None:
            return
        place = found.end()
        yield data[place - 1], place
        if data[place - 1] == _END or place + 2 > len(data):
            return
        place += int.from_bytes(data[place : place + 2], "big")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":  # width and height in three bytes each
        low, middle, high = struct.unpack_from("<HHH", data, 24)
        return (low | (middle & 0xFF) << 16) + 1, (middle >> 8 | high << 8) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
