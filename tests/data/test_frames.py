"""Sources of frames: videos, images, sequences, cameras and streams, whole and damaged."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot.data import frames as module
from sslmot.data.frames import Images, SequenceFrames, Stream, Video, open_frames
from sslmot.data.mot import Sequence

SIZE = (96, 64)
CODECS = {"MJPG": "avi", "mp4v": "mp4", "VP80": "webm", "FFV1": "mkv"}


def frame(t):
    """Return a frame whose bars are the bits of its number."""
    image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    for bit in range(8):
        if t >> bit & 1:
            image[:, 12 * bit : 12 * bit + 12] = 220
    return image


def number(image):
    """Read the number back."""
    return sum((image[:, 12 * bit + 3 : 12 * bit + 9].mean() > 130) << bit for bit in range(8))


def write_video(path, count, codec="MJPG", rate=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, SIZE)
    if not writer.isOpened():
        pytest.skip(f"OpenCV cannot write {codec}")
    for t in range(1, count + 1):
        writer.write(frame(t))
    writer.release()
    return path


def pictures(data):
    """Return the start and end of each picture of an AVI or MP4 with JPEGs."""
    starts = [m.start() for m in re.finditer(b"\xff\xd8\xff", data)]
    return [(start, data.index(b"\xff\xd9", start) + 2) for start in starts]


def damage(path, *numbers):
    """Overwrite JPEGs of a video with zeros."""
    data = bytearray(path.read_bytes())
    found = pictures(data)
    for t in numbers:
        start, end = found[t - 1]
        data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def read(source, last=None):
    """Return the numbers in the pictures by the numbers of the frames, None for no picture."""
    found = list(source.frames(last))
    assert [t for t, _, _ in found] == list(range(1, len(found) + 1))
    times = [seconds for _, _, seconds in found]
    if None not in times:
        assert (np.diff(times) > 0).all()
    return {t: None if image is None else number(image) for t, image, _ in found}


# Videos


@pytest.mark.parametrize("codec", CODECS)
def test_a_video(tmp_path, codec):
    path = write_video(tmp_path / f"the street.{CODECS[codec]}", 20, codec)
    video = open_frames(str(path))
    assert isinstance(video, Video)
    about = (video.name, video.length, video.frame_rate, video.size, str(video))
    assert about == ("the street", 20, 10, SIZE, str(path))
    for _ in range(2):  # each iteration starts at the first frame
        seen = list(video)
        assert [t for t, _, _ in seen] == list(range(1, 21))
        assert [number(image) for _, image, _ in seen] == list(range(1, 21))
        np.testing.assert_allclose([s for _, _, s in seen], np.arange(20) / 10, atol=2e-3)
    assert seen[0][1].dtype == np.uint8
    assert not video.unreadable
    assert read(video, 3) == {1: 1, 2: 2, 3: 3}


def test_a_frame_that_cannot_be_decoded_keeps_its_number(tmp_path):
    path = damage(write_video(tmp_path / "a.avi", 60), 20)
    video = Video(path)
    expected = rf"^{re.escape(str(path))}: 1 of 60 frames cannot be read, the first is frame 20: "
    with pytest.warns(UserWarning, match=expected) as caught:
        found = read(video)
    assert len(caught) == 1
    assert found == {t: None if t == 20 else t for t in range(1, 61)}
    assert video.unreadable == {20: "cannot be decoded"}
    assert read(video, 19)[19] == 19  # no warning about frames that are not read
    assert not video.unreadable
    with pytest.warns(UserWarning, match="1 of 25 frames cannot be read"):
        assert read(video, 25)[25] == 25


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3), (5, 6, 7, 8, 9, 10, 30), range(3, 59)])
@pytest.mark.parametrize("suffix", ["avi", "mp4"])
def test_many_frames_that_cannot_be_decoded(tmp_path, numbers, suffix):
    path = damage(write_video(tmp_path / f"a.{suffix}", 60), *numbers)
    with pytest.warns(UserWarning, match=f"{len(numbers)} of 60 frames .* is frame {numbers[0]}"):
        found = read(Video(path))
    assert found == {t: None if t in numbers else t for t in range(1, 61)}


def test_times_of_frames_that_cannot_be_decoded(tmp_path):
    path = damage(write_video(tmp_path / "a.avi", 12), 1, 5, 6)
    with pytest.warns(UserWarning, match="3 of 12"):
        times = [seconds for _, _, seconds in Video(path)]
    np.testing.assert_allclose(times, np.arange(12) / 10, atol=1e-6)


def test_damaged_bytes_in_an_mp4(tmp_path):
    path = write_video(tmp_path / "a.mp4", 59, "mp4v")
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 4 + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[place : place + 257] = np.random.default_rng(0).integers(0, 256, 257, np.uint8).tobytes()
    path.write_bytes(data)
    video = Video(path)
    with pytest.warns(UserWarning, match=r"a\.mp4: \d+ of 59 frames cannot be read"):
        found = read(video)
    assert len(found) == 59
    assert [found[t] for t in (1, 2, 3)] == [1, 2, 3]
    assert None in found.values()


def test_a_video_that_was_cut_off(tmp_path):
    path = write_video(tmp_path / "a.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: pictures(data)[29][1]])
    with pytest.warns(UserWarning, match=r"a\.avi: ends after 2\.\d of 6\.0 seconds"):
        found = read(Video(path))
    assert 28 <= len(found) <= 30
    assert read(Video(path), 20)[20] == 20  # asked for no more: no warning


def test_a_video_of_which_no_frame_can_be_read(tmp_path):
    path = damage(write_video(tmp_path / "a.avi", 3), 1, 2, 3)
    with pytest.raises(ValueError, match=r"a\.avi: expected frames, got none that can be read"):
        list(Video(path))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")  # OpenCV opens it by its suffix
    with pytest.raises(ValueError, match=r"broken\.jpg: expected frames, got none"):
        list(Video(tmp_path / "broken.jpg"))


class Capture:
    """Stands for cv2.VideoCapture. It contains one, since subclasses of OpenCV's types crash."""

    def __init__(self, capture, properties):
        self.capture, self.properties = capture, properties

    def __getattr__(self, name):
        return getattr(self.capture, name)

    def get(self, prop):
        return self.properties.get(prop, self.capture.get(prop))


def test_a_container_without_length_and_times(tmp_path, monkeypatch):
    path, capture = write_video(tmp_path / "a.avi", 4), cv2.VideoCapture
    nothing = {cv2.CAP_PROP_FRAME_COUNT: -1, cv2.CAP_PROP_FPS: 0, cv2.CAP_PROP_POS_MSEC: 0}
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Capture(capture(path), nothing))
    video = Video(path)
    assert (video.length, video.frame_rate) == (None, 30)
    np.testing.assert_allclose([seconds for _, _, seconds in video], np.arange(4) / 30)


@pytest.mark.parametrize(
    "text",
    ["not a video\n" * 900, "1,-1,10,20,30,40,1\n", "Stra\u00dfe " * 2000, "#EXTM3U\na.mp4\n"],
)
def test_a_text_is_no_video(tmp_path, text):
    """FFmpeg would draw it."""
    for name in ("notes.txt", "notes.mp4"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=rf"expected a video, got a text file: .*{name}"):
            open_frames(path)


def test_other_files_are_no_videos(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(10_000))
    for name in ("empty.mp4", "noise.mp4"):
        with pytest.raises(ValueError, match=f"expected a video, got .*{name}: OpenCV cannot open"):
            open_frames(tmp_path / name)
    for missing in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(FileNotFoundError, match="path: expected a video file, got "):
            Video(missing)
    with pytest.raises(FileNotFoundError, match=r"source: .*none\.mp4, which does not exist"):
        open_frames(tmp_path / "none.mp4")


# Images


def write_images(folder, names):
    folder.mkdir(exist_ok=True)
    for t, name in enumerate(names, 1):
        cv2.imwrite(str(folder / name), frame(t))
    return folder


def test_a_folder_of_images_in_natural_order(tmp_path):
    names = ["shot 1.png", "shot 2.JPG", "Shot 10.png", "shot 10b.bmp", "shot 100.jpeg"]
    folder = write_images(tmp_path / "my shots", names)
    (folder / "notes.txt").write_text("no image")
    (folder / "._shot 1.png").write_text("of a Mac")
    source = open_frames(folder)
    assert isinstance(source, Images)
    about = (source.name, source.length, source.frame_rate, source.size)
    assert about == ("my shots", 5, None, SIZE)
    assert read(source) == {t: t for t in range(1, 6)}
    assert [seconds for _, _, seconds in source] == [None] * 5
    assert read(source, 2) == {1: 1, 2: 2}


@pytest.mark.parametrize("absolute", [True, False])
def test_a_pattern(tmp_path, monkeypatch, absolute):
    write_images(tmp_path / "cam", [f"{i}.png" for i in range(1, 13)])
    write_images(tmp_path / "cam", ["left.jpg"])
    monkeypatch.chdir(tmp_path)
    source = open_frames(str(tmp_path / "cam" / "*.png") if absolute else "cam/[0-9]*.png")
    assert (source.name, source.length) == ("cam", 12)
    assert read(source) == {t: t for t in range(1, 13)}
    with pytest.raises(ValueError, match=r"expected images cam/\*\.tif .*found none"):
        open_frames("cam/*.tif")


def test_one_image(tmp_path):
    write_images(tmp_path, ["a.png"])
    source = open_frames(tmp_path / "a.png")
    assert (source.name, read(source)) == ("a", {1: 1})


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match=r"expected images in .* \(\.jpg, .*found none"):
        open_frames(tmp_path)
    (tmp_path / "a.tif").touch()
    with pytest.raises(ValueError, match=r"found only files such as .*a\.tif"):
        open_frames(tmp_path)


def spoil(folder, names):
    """Spoil images in several ways."""
    whole = (folder / names[2]).read_bytes()
    (folder / names[1]).unlink()
    (folder / names[2]).write_bytes(whole[: len(whole) // 2])
    (folder / names[3]).write_bytes(b"")
    cv2.imwrite(str(folder / names[4]), frame(5)[:, :50])
    (folder / names[5]).write_bytes((folder / names[5]).read_bytes() + bytes(50_000))  # fine


def test_images_that_cannot_be_read(tmp_path):
    names = [f"{t:06d}.jpg" for t in range(1, 9)]
    source = open_frames(write_images(tmp_path / "cam", names))
    spoil(tmp_path / "cam", names)
    with pytest.warns(UserWarning, match="cam: 4 of 8 frames cannot be read, .* frame 2: ") as one:
        found = read(source)
    assert len(one) == 1
    assert found == {1: 1, 2: None, 3: None, 4: None, 5: None, 6: 6, 7: 7, 8: 8}
    assert "whole JPEG" in source.unreadable[3]
    assert "expected width and height (96, 64), got (50, 64)" in source.unreadable[5]
    for name in names:
        (tmp_path / "cam" / name).write_bytes(b"")
    source = open_frames(tmp_path / "cam")
    assert source.size is None
    with pytest.raises(ValueError, match=r"cam: expected frames, got none .*000001\.jpg"):
        list(source)


# Sequences


@pytest.fixture
def sequence(tmp_path):
    write_images(tmp_path / "img1", [f"{t:06d}.jpg" for t in range(1, 9)])
    (tmp_path / "seqinfo.ini").write_text(
        "[Sequence]\nname=x\nseqLength=8\nframeRate=25\nimWidth=96\nimHeight=64\n"
    )
    return Sequence.open(tmp_path)


def test_a_sequence(sequence):
    for source in (open_frames(sequence), open_frames(str(sequence.path))):
        assert isinstance(source, SequenceFrames)
        about = (source.name, source.length, source.frame_rate, source.size)
        assert about == (sequence.name, 8, 25, SIZE)
        assert read(source) == {t: t for t in range(1, 9)}


def test_frames_of_a_sequence_that_cannot_be_read(sequence):
    spoil(sequence.image_dir, [f"{t:06d}.jpg" for t in range(1, 9)])
    source = open_frames(Sequence.open(sequence.path))
    with pytest.warns(UserWarning, match="4 of 8 frames cannot be read, the first is frame 2: "):
        found = read(source)
    assert found == {1: 1, 2: None, 3: None, 4: None, 5: None, 6: 6, 7: 7, 8: 8}
    assert "frame 2 of" in source.unreadable[2]
    assert "whole JPEG" in source.unreadable[3]


def test_a_sequence_without_frames(sequence):
    for path in sequence.image_dir.iterdir():
        path.rename(path.with_name(f"left-{path.name}"))
    frames = open_frames(sequence.path)
    with pytest.raises(FileNotFoundError, match=r"found only files such as left-000001\.jpg"):
        next(iter(frames))


def test_real_frames(data_root):
    path = data_root / "MOT17" / "train" / "MOT17-09-FRCNN"
    if not path.is_dir():
        pytest.skip(f"no {path}")
    source = open_frames(path)
    assert (source.name, source.length, source.size) == ("MOT17-09-FRCNN", 525, (1920, 1080))
    found = list(source.frames(3))
    assert [(t, image.shape) for t, image, _ in found] == [(t, (1080, 1920, 3)) for t in (1, 2, 3)]


# Cameras and streams


class Live:
    """Stands for cv2.VideoCapture of a stream: each opening gives the next connection.

    A connection is a list of pictures, in which None is a read that fails. Reads after its end
    fail. In place of a connection, None means that it cannot be opened.
    """

    def __init__(self, monkeypatch, *connections, length=-1):
        self.connections, self.length = list(connections), length
        self.addresses, self.waits, self.open, self.now = [], [], 0, 100.0
        monkeypatch.setattr(cv2, "VideoCapture", self.connect)
        monkeypatch.setattr(module.time, "sleep", self.waits.append)
        monkeypatch.setattr(module.time, "monotonic", self.clock)

    def clock(self):
        self.now += 0.25
        return self.now

    def connect(self, address):
        self.addresses.append(address)
        return Connection(self, self.connections.pop(0))


class Connection:
    def __init__(self, live, connection):
        self.live, self.pictures = live, connection
        live.open += connection is not None

    def isOpened(self):  # noqa: N802
        return self.pictures is not None

    def read(self):
        image = self.pictures.pop(0) if self.pictures else None
        return image is not None, image

    def get(self, prop):
        known = {
            cv2.CAP_PROP_FRAME_WIDTH: SIZE[0],
            cv2.CAP_PROP_FRAME_HEIGHT: SIZE[1],
            cv2.CAP_PROP_FPS: 25.0,
            cv2.CAP_PROP_FRAME_COUNT: self.live.length,
        }
        return known.get(prop, 0.0)

    def release(self):
        self.live.open -= self.pictures is not None
        self.pictures = None


def shots(*numbers):
    return [None if t is None else frame(t) for t in numbers]


URL = "rtsp://admin:secret@10.0.0.7:554/street/1?channel=2"


def test_a_stream_that_drops_is_opened_again(monkeypatch):
    live = Live(
        monkeypatch, shots(1, 2), None, None, shots(), *[None] * 4, shots(3), shots(4, 5, 6)
    )
    stream = open_frames(URL)
    assert isinstance(stream, Stream)
    about = (stream.name, stream.length, stream.frame_rate, stream.size)
    assert about == ("10-0-0-7-street-1", None, 25, SIZE)
    with pytest.warns(UserWarning, match="dropped after frame") as caught:
        assert read(stream, 5) == {t: t for t in range(1, 6)}
    shown = "rtsp://10.0.0.7:554/street/1?channel=2"
    assert [str(w.message) for w in caught] == [
        f"{shown}: dropped after frame {t}, is reopened" for t in (2, 2, 3)
    ]
    assert live.waits == [1, 2, 4, 8, 16, 30, 30, 30, 1]
    assert set(live.addresses) == {URL}
    assert live.open == 0


def test_a_stream_that_fails_a_few_reads_goes_on(monkeypatch):
    Live(monkeypatch, shots(None, 2, None, None, 5))
    stream = open_frames(URL)
    with pytest.warns(UserWarning, match="3 of 5 frames cannot be read"):
        assert read(stream, 5) == {1: None, 2: 2, 3: None, 4: None, 5: 5}


def test_times_of_a_stream_go_on(monkeypatch):
    live = Live(monkeypatch, shots(1, 2), shots(3))
    monkeypatch.setattr(module.time, "sleep", lambda s: setattr(live, "now", live.now + s))
    with pytest.warns(UserWarning, match="dropped after frame 2"):
        times = [seconds for _, _, seconds in open_frames(URL).frames(3)]
    assert times == [0.25, 0.5, 1.75]


def test_times_of_failed_reads_after_a_drop(monkeypatch):
    live = Live(monkeypatch, shots(1), shots(*[None] * 9, 11))
    monkeypatch.setattr(module.time, "sleep", lambda s: setattr(live, "now", live.now + s))
    with pytest.warns(UserWarning, match="dropped after|cannot be read"):
        found = read(open_frames(URL), 11)
    assert found == {1: 1, **dict.fromkeys(range(2, 11)), 11: 11}


def test_a_stream_that_cannot_be_opened(monkeypatch):
    Live(monkeypatch, None)
    with pytest.raises(ValueError, match=r"expected a camera or a stream, got rtsp://10") as caught:
        open_frames(URL)
    assert "secret" not in str(caught.value)


def test_a_file_at_an_address_ends(monkeypatch):
    live = Live(monkeypatch, shots(1, None, 3), length=3)
    stream = open_frames("http://example.org/clips/a.mp4")
    assert (stream.name, stream.length) == ("example-org-clips-a-mp4", 3)
    with pytest.warns(UserWarning, match=r"a\.mp4: 1 of 3 frames cannot be read"):
        assert read(stream) == {1: 1, 2: None, 3: 3}
    assert (live.waits, live.open) == ([], 0)


@pytest.mark.parametrize("number_of_camera", [0, "0", "12"])
def test_a_camera(monkeypatch, tmp_path, number_of_camera):
    monkeypatch.chdir(tmp_path)
    live = Live(monkeypatch, shots(1, 2))
    camera = open_frames(number_of_camera)
    assert camera.name == f"camera-{number_of_camera}"
    assert live.addresses == [int(number_of_camera)]
    assert read(camera, 2) == {1: 1, 2: 2}
    assert live.open == 0


def test_a_folder_may_be_called_0(monkeypatch, tmp_path):
    write_images(tmp_path / "0", ["1.png"])
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_frames("0"), Images)


def test_an_address_that_was_a_path():
    for address in ("rtsp://host/street", "https://host/a.mp4"):
        with pytest.raises(ValueError, match="expected an address as a str, got a path "):
            open_frames(Path(address))


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError, match=r"a\.mp4"):
        open_frames(tmp_path / "a.mp4")
