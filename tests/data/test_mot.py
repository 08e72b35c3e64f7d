"""Reading and writing MOTChallenge files."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import ColorHistogram, Tracker
from sslmot.data.mot import (
    MOST_FRAMES,
    FrameResult,
    GroundTruth,
    Sequence,
    read_detections,
    read_results,
    sequences,
    write_detections,
    write_results,
    write_sequence,
)
from sslmot.data.video import read_sequence_crops, read_video_detections

NAMES = [f"MOT17-{number}-FRCNN" for number in ("02", "05", "09", "10", "11")]


def folder(root: Path, name: str, *, det: str = "", gt: str | None = None, length: int = 3) -> Path:
    """Write a sequence from the text of its files."""
    path = root / name
    (path / "det").mkdir(parents=True)
    (path / "det" / "det.txt").write_text(det)
    if gt is not None:
        (path / "gt").mkdir()
        (path / "gt" / "gt.txt").write_text(gt)
    (path / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nimDir=img1\nframeRate=30\nseqLength={length}\n"
        "imWidth=64\nimHeight=48\nimExt=.jpg\n\n"
    )
    return path


# Real files


@pytest.mark.parametrize("name", NAMES)
def test_mot17_reads_and_writes_back_the_same_numbers(
    data_root: Path, name: str, tmp_path: Path
) -> None:
    sequence = Sequence.open(data_root / "MOT17" / "train" / name)
    assert sequence.name == name
    detections, gt = sequence.detections(), sequence.ground_truth()
    assert list(detections) == list(range(1, sequence.length + 1))
    size = (sequence.width, sequence.height)
    copy = write_sequence(tmp_path, name, sequence.frame_rate, size, detections, gt)
    same = ("name", "frame_rate", "length", "width", "height", "image_ext")
    assert [getattr(copy, field) for field in same] == [getattr(sequence, field) for field in same]

    def columns(path: Path) -> np.ndarray:
        rows = np.loadtxt(path, delimiter=",")
        return rows[np.argsort(rows[:, 0], kind="stable")]

    # Detections come back sorted by frame, the order within a frame is that of the file.
    np.testing.assert_array_equal(columns(copy.detections_path), columns(sequence.detections_path))
    before, after = (np.loadtxt(s.ground_truth_path, delimiter=",") for s in (sequence, copy))
    np.testing.assert_array_equal(after[:, :8], before[:, :8])
    np.testing.assert_allclose(after[:, 8], before[:, 8], atol=5e-6)


def test_mot17_boxes_are_zero_based_corners(data_root: Path) -> None:
    sequence = Sequence.open(data_root / "MOT17" / "train" / "MOT17-09-FRCNN")
    assert (sequence.frame_rate, sequence.length) == (30, 525)
    # First line of frame 170 in the file: 170,-1,1001.4,18.3,400,1062.7,1
    expected = np.array([1000.4, 17.3, 1400.4, 1080.0, 1], np.float32)
    first = sequence.detections()[170][0]
    np.testing.assert_array_equal(first, expected)
    assert first.dtype == np.float32
    gt = sequence.ground_truth()
    # 1,1,260,450,102,262,1,1,1
    assert (gt.frames[0], gt.ids[0], gt.considered[0], gt.classes[0]) == (1, 1, True, 1)
    assert gt.boxes[0].tolist() == [259, 449, 361, 711]
    assert gt.visibility[0] == 1
    assert len(gt) == 10411


def test_mot17_frames(data_root: Path) -> None:
    first, nine = sequences(data_root / "MOT17" / "train", ["02", "09"])
    assert nine.has_frames
    image = nine.frame(525)
    assert image.shape == (1080, 1920, 3)
    assert image.dtype == np.uint8
    assert not first.has_frames
    with pytest.raises(FileNotFoundError, match=r"frame 7 of MOT17-02-FRCNN.*000007\.jpg"):
        first.frame(7)


# Layouts


def test_mot15_shape(tmp_path: Path) -> None:
    path = folder(
        tmp_path,
        "TUD-Campus",
        det="2,-1,11,21,30.125,40,67.567,-1,-1,-1\n1,-1,1,1,5,5,-0.3,-9.63,-2.5,0\n",
        gt="1,4,11,21,30,40,1,-1,-1,-1\n2,4,11,21,30,40,0,4.5,5.5,0\n",
    )
    sequence = Sequence.open(path)
    with pytest.warns(UserWarning, match=r"det\.txt: scores of -0\.3 to 67\.57: expected 0 to 1$"):
        detections, gt = sequence.detections(), sequence.ground_truth()
    np.testing.assert_array_equal(detections[1], np.array([[0, 0, 5, 5, -0.3]], np.float32))
    np.testing.assert_array_equal(
        detections[2], np.array([[10, 20, 40.125, 60, 67.567]], np.float32)
    )
    assert detections[3].shape == (0, 5)
    assert gt.considered.tolist() == [True, False]
    assert gt.classes.tolist() == [1, 1]
    assert gt.visibility.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["MOT16-02", "MOT20-01"])
def test_mot16_and_mot20_shape(tmp_path: Path, name: str) -> None:
    path = folder(
        tmp_path,
        name,
        det="1,-1,757,692,96,209,1,-1,-1,-1\n",
        gt="1,1,199,813,140,268,1,1,0.83643\n1,2,5,6,7,8,0,11,0\n",
    )
    sequence = Sequence.open(path)
    np.testing.assert_array_equal(sequence.detections()[1], [[756, 691, 852, 900, 1]])
    gt = sequence.ground_truth()
    assert gt.classes.tolist() == [1, 11]
    assert gt.considered.tolist() == [True, False]
    np.testing.assert_array_equal(gt.visibility, np.array([0.83643, 0], np.float32))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("1,-1,1,1,5,5,.5,3\n", 6),
        ("1,-1,1,1,5,5,.5,3,1\n", 6),
        ("1,-1,1,1,5,5,.5,-1\n", 5),
        ("1,-1,1,1,5,5,.5,3,-1,-1\n", 6),  # as results have it
        ("1,-1,1,1,5,5,.5,-1,-1,-1\n", 5),
        ("1,-1,1,1,5,5,.5,3,2.5,0\n", 5),  # a position in the world
        ("1,-1,1,1,5,5,.5,3,\n", 6),
        ("1, -1, 1, 1, 5, 5, .5\r\n", 5),
        ("", 5),
    ],
)
def test_class_column(tmp_path: Path, text: str, width: int) -> None:
    (tmp_path / "det.txt").write_text(text)
    detections = read_detections(tmp_path / "det.txt", 2)
    assert [len(rows) for rows in detections.values()] == [bool(text), 0]
    assert all(rows.shape[1] == width for rows in detections.values())
    if width == 6:
        assert detections[1][0, 5] == 3


@pytest.mark.parametrize(("scores", "read"), [(("-1", "-1.0"), [1, 1]), (("-1", "0.5"), [-1, 0.5])])
def test_unknown_scores_are_one(tmp_path: Path, scores: tuple[str, str], read: list[float]) -> None:
    """Only if all are -1. Otherwise -1 is a score."""
    lines = [f"1,-1,1,1,5,5,{score},-1,-1,-1\n" for score in scores]
    (tmp_path / "det.txt").write_text("".join(lines))
    assert read_detections(tmp_path / "det.txt")[1][:, 4].tolist() == read


def test_select_sequences(tmp_path: Path) -> None:
    for number in ("09", "02"):
        for detector in ("SDP", "DPM", "FRCNN"):
            folder(tmp_path, f"MOT17-{number}-{detector}")
    folder(tmp_path, "ADL-Rundle-6")
    (tmp_path / "results").mkdir()

    def names(*selection: object) -> list[str]:
        return [sequence.name for sequence in sequences(tmp_path, *selection)]  # type: ignore[arg-type]

    nine = ["MOT17-09-DPM", "MOT17-09-FRCNN", "MOT17-09-SDP"]
    assert names() == ["ADL-Rundle-6", *(n.replace("09", "02") for n in nine), *nine]
    assert names(["09"]) == names("MOT17-09") == nine
    assert names(["09", "MOT17-02-SDP"]) == ["MOT17-02-SDP", *nine]
    assert names(None, "SDP") == ["MOT17-02-SDP", "MOT17-09-SDP"]
    assert names(["Rundle-6", "09-DPM"]) == ["ADL-Rundle-6", "MOT17-09-DPM"]
    assert [s.name for s in sequences(tmp_path / "MOT17-09-DPM")] == ["MOT17-09-DPM"]
    with pytest.raises(
        ValueError, match=r"sequences: expected .*ADL-Rundle-6, MOT17-02-DPM.*got '9'"
    ):
        names(["9"])
    with pytest.raises(ValueError, match="detector: expected DPM, FRCNN or SDP, got 'YOLO'"):
        names(None, "YOLO")
    with pytest.raises(ValueError, match=r"detector: expected one .*ADL-Rundle-6.*got 'SDP'"):
        sequences(tmp_path / "ADL-Rundle-6", detector="SDP")
    with pytest.raises(FileNotFoundError, match=r"results: expected a sequence .* found none"):
        sequences(tmp_path / "results")


def test_a_full_name_has_priority_over_a_part(tmp_path: Path) -> None:
    folder(tmp_path, "crowd")
    folder(tmp_path, "crowd-hard")
    assert [s.name for s in sequences(tmp_path, "crowd")] == ["crowd"]


def test_relative_path_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder(tmp_path, "crowd"))
    assert Sequence.open(".").name == "crowd"


# Frames


def test_frames(tmp_path: Path) -> None:
    sequence = Sequence.open(folder(tmp_path, "crowd"))
    assert not sequence.has_frames
    sequence.image_dir.mkdir()
    image = np.full((48, 64, 3), (200, 30, 60), np.uint8)
    cv2.imwrite(str(sequence.image_dir / "000001.jpg"), image)
    cv2.imwrite(str(sequence.image_dir / "000002.jpg"), image[:, :32])
    (sequence.image_dir / "000003.jpg").write_text("no image")
    assert Sequence.open(sequence.path).has_frames
    assert np.abs(sequence.frame(1).astype(int) - image).max() < 8
    with pytest.raises(ValueError, match=r"000002.jpg: expected an image \(48, 64, 3\).*48, 32"):
        sequence.frame(2)
    with pytest.raises(ValueError, match=r"000003.jpg: .*got no readable image"):
        sequence.frame(3)
    for t in (0, 4):
        with pytest.raises(ValueError, match=f"t: expected a frame of crowd, 1 to 3, got {t}"):
            sequence.frame(t)


# The names of frames


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("00000001.jpg", ".jpg"),
        ("0000001.jpg", ".jpg"),
        ("1.jpg", ".jpg"),
        ("000001.JPG", ".jpg"),
        ("000001.jpg", "jpg"),
        ("000001.jpeg", ".jpg"),
        ("000001.png", ".jpg"),
    ],
)
def test_names_of_frames(tmp_path: Path, name: str, extension: str) -> None:
    path = folder(tmp_path, "crowd")
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace("imExt=.jpg", f"imExt={extension}"))
    (path / "img1").mkdir()
    image = np.full((48, 64, 3), 90, np.uint8)
    cv2.imwrite(str(path / "img1" / name), image)
    sequence = Sequence.open(path)
    assert sequence.has_frames
    np.testing.assert_array_equal(sequence.frame(1), image)
    with pytest.raises(FileNotFoundError, match=r"frame 2 of crowd: .*000002\.jpg"):
        sequence.frame(2)


def test_the_usual_name_comes_first(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd")
    (path / "img1").mkdir()
    for i, name in enumerate(["00000001.jpg", "000001.jpg", "000001.png", "1.jpg"]):
        cv2.imwrite(str(path / "img1" / name), np.full((48, 64, 3), 50 * i, np.uint8))
    assert Sequence.open(path).frame(1).mean() == 50


def test_frames_of_other_names_are_in_the_error(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd", det="1,-1,1,1,5,5,.5\n")
    sequence = Sequence.open(path)
    assert sequence.expected_frames.endswith("img1/000001.jpg, found none")
    (path / "img1").mkdir()
    (path / "img1" / "Thumbs.db").touch()
    (path / "img1" / "left_7.jpg").touch()
    (path / "img1" / "4.jpg").touch()  # the clip has three frames
    assert not Sequence.open(path).has_frames
    expected = r"crowd: expected frames such as .*img1/000001\.jpg, found only files such as 4\.jpg"
    with pytest.raises(FileNotFoundError, match=expected):
        read_sequence_crops(Sequence.open(path), (16, 8))


def test_a_cut_off_frame_is_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd")
    (path / "img1").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    (path / "img1" / "000001.jpg").write_bytes(data[: len(data) // 2])
    (path / "img1" / "000002.jpg").write_bytes(data + bytes(4 * len(data)))  # a motion photo
    sequence = Sequence.open(path)
    with pytest.raises(ValueError, match=r"000001\.jpg: expected a whole JPEG"):
        sequence.frame(1)
    assert sequence.frame(2).shape == (48, 64, 3)


# Errors


def test_name_and_length_are_enough_for_scoring(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd", gt="1,1,1,1,5,5,1,1,1\n", det="1,-1,1,1,5,5,1\n")
    (path / "seqinfo.ini").write_text("\ufeff[Sequence]\nname=crowd\nseqLength=3\n", "utf-8")
    sequence = Sequence.open(path)
    assert (sequence.name, sequence.length, sequence.size) == ("crowd", 3, None)
    assert len(sequence.ground_truth()) == len(sequence.detections()[1]) == 1
    for key, field in (("frameRate", "frame_rate"), ("imWidth", "width"), ("imHeight", "height")):
        with pytest.raises(ValueError, match=rf"seqinfo\.ini: {key}: expected a pos.* got nothing"):
            getattr(sequence, field)
    (path / "img1").mkdir()
    cv2.imwrite(str(path / "img1" / "000001.jpg"), np.zeros((20, 30, 3), np.uint8))
    assert Sequence.open(path).frame(1).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seqLength=3\n", "", "seqLength: expected a positive number, got nothing"),
        ("seqLength=3", "seqLength=2.5", "seqLength: expected a positive number, got 2.5"),
        ("frameRate=30", "frameRate=fast", "frameRate: expected a positive number, got fast"),
        ("imWidth=64", "imWidth=-1", "imWidth: expected a positive number, got -1"),
        ("imHeight=48", "imHeight=nan", "imHeight: expected a positive number, got nan"),
        ("[Sequence]", "[Other]", r"expected a section \[Sequence\]"),
        ("[Sequence]\n", "", r"expected a section \[Sequence\]"),
    ],
)
def test_malformed_seqinfo(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = folder(tmp_path, "crowd")
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace(old, new))
    with pytest.raises(ValueError, match=rf"seqinfo\.ini: {message}"):
        Sequence.open(path)


def test_fractional_frame_rate(tmp_path: Path) -> None:
    path = folder(tmp_path, "AVG-TownCentre")
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace("frameRate=30", "frameRate=2.5"))
    assert Sequence.open(path).frame_rate == 2.5


GOOD = "1,3,1,1,5,5,0.5"
BAD_LINES = [
    ("1,3,1,1,5,5", "7 columns"),
    ("1,3,1,1,5,5,0.5,-1,-1,-1,-1", "7 columns"),
    ("1,3,1,1,5,5,0.5,-1,-1,-1", "7 columns"),
    ("1,3,1,1,5,5,", "7 columns"),
    ("1,3,1,1,5,5,0.5,,", "7 columns"),
    ("1,3,1,x,5,5,0.5", "numbers"),
    ("1,3,1,,5,5,0.5", "numbers"),
    ("1,3,1,\ufffd,5,5,0.5", "numbers"),
    ("1,3,1,nan,5,5,0.5", "finite numbers"),
    ("1,3,1,1,5,5,inf", "finite numbers"),
    ("inf,3,1,1,5,5,0.5", "finite numbers"),
    ("0,3,1,1,5,5,0.5", "a frame from 1 to 9"),
    ("1.5,3,1,1,5,5,0.5", "a frame from 1 to 9"),
    ("10,3,1,1,5,5,0.5", "a frame from 1 to 9"),
]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        *BAD_LINES,
        ("1,-1,1,1,-0.1,5,0.5", "no negative width or height"),
        ("1,-1,1,1,5,-5,0.5", "no negative width or height"),
    ],
)
def test_malformed_detections(tmp_path: Path, bad: str, expected: str) -> None:
    path = tmp_path / "det.txt"
    path.write_text(f"{GOOD}\n{GOOD}\n{bad}\n{GOOD}\n")
    with pytest.raises(ValueError, match=rf"det\.txt:3: expected {expected}") as caught:
        read_detections(path, 9)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        *BAD_LINES,
        ("1,3,1,1,-0.1,5,0.5", "no negative width or height"),
        ("1,-1,1,1,5,5,0.5", "a whole id below 1e7"),
        ("1,1.5,1,1,5,5,0.5", "a whole id below 1e7"),
        ("1,2147483648,1,1,5,5,0.5", "a whole id below 1e7"),
        ("1,3,7,8,5,5,0.5", "an id once a frame"),
    ],
)
def test_malformed_results(tmp_path: Path, bad: str, expected: str) -> None:
    path = tmp_path / "crowd.txt"
    path.write_text(f"{GOOD}\n2{GOOD[1:]}\n{bad}\n3{GOOD[1:]}\n")
    with pytest.raises(ValueError, match=rf"crowd\.txt:3: expected {expected}"):
        read_results(path, 9)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("2,1,1,1,5,5,1", "9 or 10 columns"),
        ("2,1,1,1,5,5,1,-1,-1,-1", "9 columns"),
        ("4,1,1,1,5,5,1,1,1", "a frame from 1 to 3"),
        ("1,1,1,1,5,5,1,1,1", "an id once a frame"),
    ],
)
def test_malformed_ground_truth(tmp_path: Path, bad: str, expected: str) -> None:
    good = "1,1,1,1,5,5,1,1,1"
    sequence = Sequence.open(folder(tmp_path, "crowd", gt=f"{good}\n{bad}\n"))
    if expected.startswith("9 or"):
        sequence.ground_truth_path.write_text(f"{bad}\n")
    line = 1 if expected.startswith("9 or") else 2
    with pytest.raises(ValueError, match=rf"gt\.txt:{line}: expected {expected}"):
        sequence.ground_truth()


def test_binary_file_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_bytes(b"1,-1,1,1,5,5,1\n1,-1,\xff\xfe,1,5,5,1\n")
    with pytest.raises(ValueError, match=r"det\.txt:2: expected numbers"):
        read_detections(path, 9)


def test_missing_files(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd")
    sequence = Sequence.open(path)
    sequence.detections_path.unlink()
    with pytest.raises(FileNotFoundError, match=r"detections: expected a file .*crowd/det/det.txt"):
        sequence.detections()
    with pytest.raises(FileNotFoundError, match=r"ground truth of crowd: .*crowd/gt/gt.txt"):
        sequence.ground_truth()
    with pytest.raises(FileNotFoundError, match=r"results: expected a file .*crowd\.txt"):
        read_results(tmp_path / "crowd.txt")
    with pytest.raises(FileNotFoundError, match=r"a sequence: expected a file .*seqinfo.ini"):
        Sequence.open(tmp_path)


def test_large_files(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    lines = [f"{i // 40 + 1},-1,{i % 1900}.12,33.4,50.1,60.2,0.9\n" for i in range(20_000)]
    path.write_text("".join(lines))
    detections = read_detections(path, 500)
    assert {len(rows) for rows in detections.values()} == {40}
    path.write_text("".join([*lines, "1,-1,x,1,1,1,1\n"]))
    with pytest.raises(ValueError, match=r":20001: expected numbers"):
        read_detections(path, 500)


# What programs write in these files


LINES = "1,-1,10,20,30,40,0.5{end}\n2,-1,10,20,30,40,0.5{end}\n"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + LINES.format(end=""),
        LINES.format(end=","),
        LINES.format(end=", \r"),
        "\n" + LINES.format(end="\n \t\r\n") + "\n\n",
        "\ufeff\n" + LINES.format(end=",\n"),
    ],
)
def test_marks_blank_lines_and_a_last_comma(tmp_path: Path, text: str) -> None:
    path = folder(tmp_path, "crowd", length=2) / "det" / "det.txt"
    path.write_text(text, encoding="utf-8")
    for detections in (read_detections(path), Sequence.open(tmp_path / "crowd").detections()):
        for t in (1, 2):
            np.testing.assert_array_equal(detections[t], [[9, 19, 39, 59, 0.5]])
    for name in ("gt", "results"):
        end = ",1,1" if name == "gt" else ""
        lines = text.replace("-1,10", "7,10").replace("0.5", "1" + end)
        (path.parent / "gt.txt").write_text(lines, encoding="utf-8")
        (tmp_path / "crowd" / "gt").mkdir(exist_ok=True)
        (path.parent / "gt.txt").replace(tmp_path / "crowd" / "gt" / "gt.txt")
        if name == "gt":
            assert Sequence.open(tmp_path / "crowd").ground_truth().ids.tolist() == [7, 7]
        else:
            found = read_results(tmp_path / "crowd" / "gt" / "gt.txt")
            assert [r.ids.tolist() for r in found] == [[7], [7]]


def test_blank_lines_count_in_the_number_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text(f"\n{GOOD}\n\n1,-1,1,x,5,5,0.5\n")
    with pytest.raises(ValueError, match=r"det\.txt:4: expected numbers"):
        read_detections(tmp_path / "det.txt")
    (tmp_path / "det.txt").write_text(f"\n{GOOD}\n\n1,-1,1,1,5,-5,0.5\n")
    with pytest.raises(ValueError, match=r"det\.txt:4: expected no negative width"):
        read_detections(tmp_path / "det.txt")


def test_a_flat_box_is_kept(tmp_path: Path) -> None:
    """Detectors clip boxes to the picture. The tracker takes them."""
    (tmp_path / "det.txt").write_text("1,-1,1,1,5,5,.5\n1,-1,641,1,0,5,.5\n2,-1,1,1,5,0,.5\n")
    detections = read_detections(tmp_path / "det.txt")
    np.testing.assert_array_equal(detections[1], [[0, 0, 5, 5, 0.5], [640, 0, 640, 5, 0.5]])
    np.testing.assert_array_equal(detections[2], [[0, 0, 5, 0, 0.5]])
    tracker = Tracker(extractor=ColorHistogram())
    tracks = tracker.step(np.zeros((48, 64, 3), np.uint8), detections[1])
    assert np.isfinite(tracks.boxes).all()


@pytest.mark.parametrize("bad", ["1,-1,1,1,5,5,.5,1.5", "1,-1,1,1,5,5,.5,1.5,-1,-1"])
def test_a_class_is_whole(tmp_path: Path, bad: str) -> None:
    (tmp_path / "det.txt").write_text(f"{bad}\n")
    with pytest.raises(ValueError, match=r"det\.txt:1: expected a whole class, got"):
        read_detections(tmp_path / "det.txt")


edge = st.floats(-1000, 1000, width=32)
side = st.sampled_from([0.0, 0.003, 0.005, 1.0, 37.25]) | st.floats(0, 500, width=32)


@settings(max_examples=50, deadline=None)
@given(
    boxes=st.lists(st.tuples(edge, edge, side, side, st.floats(-1, 1, width=32)), max_size=6),
    category=st.none() | st.integers(-5, 2**24),
)
def test_written_detections_are_read(
    tmp_path_factory: pytest.TempPathFactory,
    boxes: list[tuple[float, ...]],
    category: int | None,
) -> None:
    rows = np.array([(x, y, x + w, y + h, s) for x, y, w, h, s in boxes]).reshape(-1, 5)
    if category is not None:
        rows = np.column_stack([rows, np.full(len(rows), category)])
    path = tmp_path_factory.mktemp("written") / "det.txt"
    write_detections(path, {3: rows})
    with warnings.catch_warnings():  # of boxes that look normalised
        warnings.simplefilter("ignore")
        found = read_detections(path, 3)[3]
    assert len(found) == len(rows)
    np.testing.assert_allclose(found[:, :4], rows[:, :4], atol=0.02)
    if category not in (None, -1) and len(rows):
        assert found[:, 5].tolist() == [category] * len(rows)


def test_results_keep_their_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    classes = np.array([2, 0])
    write_results(path, [FrameResult(1, *one(2), classes), FrameResult(2, *one(1))])
    assert [line.split(",")[7] for line in path.read_text().split()] == ["2", "0", "-1"]
    first, second = read_results(path)
    assert first.classes is not None
    assert second.classes is not None
    assert (first.classes.tolist(), second.classes.tolist()) == ([2, 0], [-1])
    assert first.classes.dtype == np.int32
    write_results(path, [FrameResult(1, *one(2))])
    assert [r.classes for r in read_results(path)] == [None]
    for text in ("1,3,1,1,5,5,.5,2.5,3,0\n", "1,3,1,1,5,5,.5,0.5\n"):
        path.write_text(text)
        assert [r.classes for r in read_results(path)] == [None]
    with pytest.raises(ValueError, match=r"frame 1: expected whole ids .* whole classes"):
        write_results(path, [FrameResult(1, *one(1), np.array([0.5]))])
    with pytest.raises(ValueError, match=r"frame 1: expected ids .*\(2,\)"):
        write_results(path, [FrameResult(1, *one(1), np.array([1, 2]))])


def one(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes = np.arange(4 * n, dtype=np.float32).reshape(n, 4)
    return np.arange(n) + 1, boxes, np.ones(n, np.float32)


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("1,-1,10,20,30,40,12\n1,-1,10,20,30,40,99\n", None, "scores of 12 to 99: expected 0 to 1"),
        ("1,-1,.1,.2,.3,.4,.5\n", None, r"all 1 boxes lie within 0\.1 to 0\.6: .* normalised"),
        (
            "1,-1,400,200,500,300,.5\n" * 12,
            (640, 480),
            "100% of 12 boxes reach far beyond .* 640x480",
        ),
    ],
)
def test_doubtful_detections_give_a_warning(
    tmp_path: Path, text: str, size: tuple[int, int] | None, message: str
) -> None:
    path = tmp_path / "det.txt"
    path.write_text(text)
    with pytest.warns(UserWarning, match=rf"det\.txt: {message}") as caught:
        read_detections(path, size=size)
    assert len(caught) == 1
    path = folder(tmp_path, "crowd", det=text)
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace("=64", "=640").replace("=48", "=480"))
    with pytest.warns(UserWarning, match=rf"det\.txt: {message}"):
        Sequence.open(path).detections()


# Writing

hundredths = st.integers(-400_000, 400_000).map(lambda n: n / 100)
sizes = st.integers(0, 400_000).map(lambda n: n / 100)
scores = st.integers(-999_999, 999_999).map(lambda n: n / 10_000)
rows = st.tuples(
    st.integers(1, 5), st.integers(0, 30), hundredths, hundredths, sizes, sizes, scores
)


@settings(max_examples=50, deadline=None)
@given(table=st.lists(rows, unique_by=lambda row: row[:2], max_size=20))
def test_results_survive_reading_and_writing(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[float, ...]]
) -> None:
    directory = tmp_path_factory.mktemp("results")
    table = sorted(table, key=lambda row: row[0])
    text = "".join(
        f"{t},{i},{left:.2f},{top:.2f},{width:.2f},{height:.2f},{score:.6g},-1,-1,-1\n"
        for t, i, left, top, width, height, score in table
    )
    (directory / "a.txt").write_text(text)
    results = read_results(directory / "a.txt")
    assert sum(len(result.ids) for result in results) == len(table)
    write_results(directory / "b.txt", results)
    assert (directory / "b.txt").read_text() == text


def test_results_are_one_based_with_two_decimals(tmp_path: Path) -> None:
    path = tmp_path / "new" / "crowd.txt"
    write_results(
        path,
        [
            (1, [7, 3], [[-1.001, 0, 9.336, 5], [0, 0, 1, 1]], [0.123456789, 1]),
            (2, [], np.empty((0, 4)), []),
        ],
    )
    assert path.read_text() == (
        "1,7,0.00,1.00,10.34,5.00,0.123457,-1,-1,-1\n1,3,1.00,1.00,1.00,1.00,1,-1,-1,-1\n"
    )
    assert list(tmp_path.glob("**/.*")) == []


BOX = [[0.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((0, [1], BOX, [1]), "expected frames from 1, each once, got 0"),
        ((1, [1], BOX, [1]), "expected frames from 1, each once, got 1"),
        ((2, [1, 2], BOX, [1]), r"frame 2: expected ids \(N,\).*got \(2,\), \(1, 4\), \(1,\)"),
        ((2, [1], [0, 0, 1, 1], [1]), r"frame 2: expected ids \(N,\)"),
        ((2, [1], [[0, 0, np.nan, 1]], [1]), "frame 2: expected whole ids"),
        ((2, [1], BOX, [np.inf]), "frame 2: expected whole ids"),
        ((2, [1], [[2, 0, 1, 1]], [1]), "frame 2: expected whole ids"),
        ((2, [-1], BOX, [1]), "frame 2: expected whole ids"),
        ((2, [2**31], BOX, [1]), "frame 2: expected whole ids"),
        ((2, [0.5], BOX, [1]), "frame 2: expected whole ids"),
        ((2, [4, 4], BOX * 2, [1, 1]), "frame 2: expected an id once"),
    ],
)
def test_bad_results_leave_the_file_as_it_was(
    tmp_path: Path, bad: tuple[object, ...], message: str
) -> None:
    path = tmp_path / "crowd.txt"
    path.write_text("before")
    with pytest.raises(ValueError, match=message):
        write_results(path, [(1, [1], BOX, [1]), bad])  # type: ignore[list-item]
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def one_person(n: int) -> GroundTruth:
    return GroundTruth(
        frames=np.arange(1, n + 1),
        ids=np.full(n, 5),
        boxes=np.tile(np.array([3, 4, 13, 24.25], np.float32), (n, 1)),
        considered=np.ones(n, np.bool_),
        classes=np.ones(n, np.int64),
        visibility=np.full(n, 0.5, np.float32),
    )


def test_written_sequence_reads_back(tmp_path: Path) -> None:
    detections = {
        1: np.array([[0, 1, 20.5, 41.25, 0.875]], np.float32),
        2: np.empty((0, 5), np.float32),
    }
    sequence = write_sequence(tmp_path, "crowd", 12.5, (64, 48), detections, one_person(2))
    assert sequence == Sequence.open(tmp_path / "crowd")
    assert (sequence.frame_rate, sequence.length) == (12.5, 2)
    assert (sequence.width, sequence.height) == (64, 48)
    for t, expected in detections.items():
        np.testing.assert_array_equal(sequence.detections()[t], expected)
    for field, expected in vars(one_person(2)).items():
        np.testing.assert_array_equal(getattr(sequence.ground_truth(), field), expected)


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        ({}, "detections: expected consecutive frames from 1"),
        ({2: np.empty((0, 5))}, r"detections: expected consecutive frames from 1, got \[2\]"),
        ({1: np.ones((2, 4))}, r"detections, frame 1: expected \(N, 5\) or \(N, 6\), got \(2, 4\)"),
        ({1: [[0, 0, 1, np.nan, 1]]}, r"frame 1: expected numbers up to 1e\+09"),
        ({1: [[0, 0, 2e9, 1, 1]]}, r"frame 1: expected numbers up to 1e\+09"),
        ({1: [[0, 0, 1, 1, np.inf]]}, r"frame 1: expected numbers up to 1e\+09"),
        ({1: [[0, 2, 1, 1, 1]]}, r"frame 1: expected numbers .*, xyxy"),
        ({1: [[0, 0, 1, 1, 1, 0.5]]}, r"frame 1: expected numbers .* and whole classes"),
        (
            {1: [[0, 0, 1, 1, 1]], 2: [[0, 0, 1, 1, 1, 3]]},
            r"detections, frame 2: expected \(N, 5\) as before, got \(1, 6\)",
        ),
    ],
)
def test_a_sequence_that_cannot_be_read_back(
    tmp_path: Path, detections: dict[int, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_sequence(tmp_path, "crowd", 30, (64, 48), detections)


def test_ground_truth_that_cannot_be_read_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gt\.txt:2: expected a frame from 1 to 1"):
        write_sequence(tmp_path, "crowd", 30, (64, 48), {1: np.empty((0, 5))}, one_person(2))


def test_frames_without_detections_take_no_memory(tmp_path: Path) -> None:
    det = tmp_path / "det.txt"
    det.write_text(f"{MOST_FRAMES},-1,1,1,5,5,.5\n")
    tracemalloc.start()
    detections = read_detections(det, MOST_FRAMES)
    video = read_video_detections(det)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert len(detections) == len(video) == MOST_FRAMES
    assert detections[3].shape == (0, 5)
    assert detections[MOST_FRAMES].shape == (1, 5)
    assert 0 not in detections
    with pytest.raises(KeyError):
        detections[MOST_FRAMES + 1]
    det.write_text("2147483647,-1,1,1,5,5,.5\n")
    for read in (read_detections, read_video_detections):
        with pytest.raises(ValueError, match=r"det\.txt:1: expected a frame from 1 to 10000000"):
            read(det)


def test_a_sequence_with_too_many_frames(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd")
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace("seqLength=3", "seqLength=2147483647"))
    with pytest.raises(ValueError, match=r"seqinfo\.ini: seqLength: .* of at most 1e\+07, got 214"):
        Sequence.open(path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("seqinfo.ini", lambda sequence: Sequence.open(sequence.path)),
        ("det/det.txt", Sequence.detections),
        ("gt/gt.txt", Sequence.ground_truth),
        ("img1/000001.jpg", lambda sequence: sequence.frame(1)),
    ],
)
def test_a_pipe_does_not_block(
    tmp_path: Path, name: str, read: Callable[[Sequence], object]
) -> None:
    path = folder(tmp_path, "crowd")
    sequence = Sequence.open(path)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(FileNotFoundError, match=name.split("/")[-1]):
        read(sequence)


def test_an_invalid_name_of_the_frames_folder(tmp_path: Path) -> None:
    path = folder(tmp_path, "crowd")
    ini = path / "seqinfo.ini"
    ini.write_text(ini.read_text().replace("imDir=img1", "imDir=" + "a" * 5000))
    assert not Sequence.open(path).has_frames


@pytest.mark.parametrize(
    "line", ["1,-1,1,1,4294967296,5,.5", "1,-1,1,1,5,5,2e9", "1,-1,-2e9,1,5,5,1"]
)
def test_detections_that_a_tracker_rejects(tmp_path: Path, line: str) -> None:
    (tmp_path / "det.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"det\.txt:1: expected"):
        read_detections(tmp_path / "det.txt")


def test_frames_are_found_by_any_integer_type(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("2,-1,1,2,3,4,0.5\n")
    detections = read_detections(tmp_path / "det.txt", 3)
    for two in (2, np.int64(2), np.int32(2)):
        assert len(detections[two]) == 1
    assert 0 not in detections
    assert "1" not in detections
    with pytest.raises(ValueError, match="read-only"):
        detections[1].sort()
    with pytest.raises(KeyError):
        detections[4]
