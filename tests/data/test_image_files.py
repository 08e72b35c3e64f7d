"""Images are read, and images that would fill the memory are rejected before decoding."""

import os
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from sslmot.data.image_files import MOST_PIXELS, SUFFIXES, read_image
from sslmot.data.images import read_image_folder

IMAGE = np.random.default_rng(0).integers(0, 256, (37, 21, 3), np.uint8)


def png(width, height, chunks=((b"IDAT", b""),)):
    """Return a PNG that declares a size."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_are_read(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    cv2.imwrite(str(path), IMAGE)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path)))


def test_lossless_webp_with_transparency_is_read(tmp_path):
    path = tmp_path / "image.webp"
    transparent = np.dstack([IMAGE, IMAGE[..., :1]])
    cv2.imwrite(str(path), transparent, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert read_image(path).shape == IMAGE.shape


def large_png(_):
    # 20,000 rows of zeros, compressed. The file is complete and could be decoded.
    rows = zlib.compress(bytes((3 * 20_000 + 1) * 1000)) * 1
    return png(20_000, 20_000, [(b"IDAT", rows)])


def large_bmp(data):
    return data[:18] + struct.pack("<ii", 20_000, -20_000) + data[26:]


def large_jpeg(data):
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 20_000, 20_000) + data[place + 4 :]


def large_webp(_):
    data = cv2.imencode(".webp", IMAGE, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes()
    assert data[12:16] == b"VP8 "
    return data[:26] + struct.pack("<HH", 16_383, 16_383) + data[30:]


def large_lossless_webp(_):
    data = cv2.imencode(".webp", IMAGE, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert data[12:16] == b"VP8L"
    return data[:21] + b"\xff" * 4 + data[25:]


@pytest.mark.parametrize(
    ("suffix", "enlarge"),
    [
        (".png", large_png),
        (".bmp", large_bmp),
        (".jpg", large_jpeg),
        (".webp", large_webp),
        (".webp", large_lossless_webp),
    ],
)
def test_the_size_is_checked_before_decoding(tmp_path, monkeypatch, suffix, enlarge):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(enlarge(cv2.imencode(suffix, IMAGE)[1].tobytes()))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=rf"image\{suffix}: expected .* at most {MOST_PIXELS} pix"):
        read_image(path)


def test_a_missing_chunk_is_not_allocated(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    data = cv2.imencode(".png", IMAGE)[1].tobytes()
    place = data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + struct.pack(">I", 0x7F7F7F7F) + data[place + 4 :])
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"image\.png: expected .*got no readable image"):
        read_image(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_image_that_was_cut_off(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    data = cv2.imencode(suffix, IMAGE)[1].tobytes()
    for length in (0, 3, 20, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=rf"image\{suffix}: expected"):
            read_image(path)


JPEGS = {
    "baseline": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_with_a_tail(tmp_path, kind):
    """Phones append a video to a photo, which may be longer than the photo."""
    data = cv2.imencode(".jpg", IMAGE, JPEGS[kind])[1].tobytes()
    path = tmp_path / "MVIMG.jpg"
    for tail in (b"\0", b"\0\0\0\x18ftypmp42" + bytes(5 * len(data)), data[: len(data) // 2]):
        path.write_bytes(data + tail)
        np.testing.assert_array_equal(read_image(path), cv2.imdecode(np.frombuffer(data, "u1"), 1))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_was_cut_off_behind_its_thumbnail(tmp_path, kind):
    """The end of the thumbnail is not the end of the image."""
    data = cv2.imencode(".jpg", IMAGE, JPEGS[kind])[1].tobytes()
    thumbnail = cv2.imencode(".jpg", np.repeat(IMAGE, 8, axis=0))[1].tobytes()
    exif = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + exif + data[2:])
    assert read_image(path).shape == IMAGE.shape
    for cut in (1, 2, 10, len(data) // 2):
        path.write_bytes(data[:2] + exif + data[2:-cut])
        with pytest.raises(ValueError, match=r"a\.jpg: expected a whole JPEG"):
            read_image(path)


def test_a_jpeg_of_markers_only_takes_no_time(tmp_path):
    path = tmp_path / "a.jpg"
    for filler in (b"\xff", b"\xff\x01\x00\x02", b"\xff\xd0"):
        path.write_bytes(b"\xff\xd8" + filler * 2_000_000 + b"\x00")
        with pytest.raises(ValueError, match=r"a\.jpg: expected a JPEG, PNG, BMP or WebP"):
            read_image(path)


def test_a_folder_with_a_pipe_and_a_device(tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), IMAGE)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "large.png").write_bytes(large_png(None))
    tracemalloc.start()
    with pytest.warns(UserWarning, match="4 of 5 images cannot be read"):
        crops = read_image_folder(tmp_path, (16, 8))
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert len(crops) == 1


@pytest.mark.parametrize("between", [b"\x00", b"\xff\xff\xff", b"\x00\x12\xff", b"\xff\xd0"])
def test_bytes_between_the_markers_of_a_jpeg(between, tmp_path):
    """Some cameras write them, and OpenCV accepts them."""
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    at = data.index(b"\xff\xdb")
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:at] + between + data[at:])
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path)))


def test_a_jpeg_of_fill_bytes_has_no_size(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xff\xd9")
    with pytest.raises(ValueError, match=r"a\.jpg: expected a JPEG, PNG, BMP or WebP"):
        read_image(path)
