"""The kind of a source is detected from its files."""

import shutil

import cv2
import numpy as np
import pytest

from sslmot.data.sources import read_sources
from sslmot.data.video import Video

SIZE = (16, 8)
ROWS = "1,-1,11,3,20,40,0.9\n2,-1,12,3,20,40,0.9\n"


def image(path, colour=90, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), colour, np.uint8))


@pytest.fixture
def market(tmp_path):
    for i in range(1, 9):
        image(tmp_path / "market" / "bounding_box_train" / f"{i:04d}_c1s1_{i:06d}_01.jpg", i)
    return tmp_path / "market"


@pytest.fixture
def mot(tmp_path):
    for name in ("MOT17-05-DPM", "MOT17-05-SDP", "MOT17-07-SDP"):
        sequence(tmp_path / "mot" / name)
    return tmp_path / "mot"


def sequence(path, text=ROWS):
    (path / "det").mkdir(parents=True)
    (path / "gt").mkdir()
    (path / "gt" / "gt.txt").write_text("labels must not be read")
    (path / "det" / "det.txt").write_text(text)
    (path / "seqinfo.ini").write_text(
        f"[Sequence]\nname={path.name}\nimDir=img1\nframeRate=30\nseqLength=2\n"
        "imWidth=48\nimHeight=64\nimExt=.png\n"
    )
    for t in (1, 2):
        image(path / "img1" / f"{t:06d}.png")


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        image(tmp_path / "folder" / "some" / f"{i}.png")
    return tmp_path / "folder"


def make_video(path, text=ROWS):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (48, 64))
    assert writer.isOpened()
    for _ in range(2):
        writer.write(np.full((64, 48, 3), 90, np.uint8))
    writer.release()
    path.with_suffix(".txt").write_text(text)
    return path, path.with_suffix(".txt")


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "street.avi")


def test_market1501(market):
    for path in (market, market / "bounding_box_train"):
        crops = read_sources([path], SIZE)
        assert crops.clip_names == ("c1s1",)
        assert crops.frames.tolist() == [2, 3, 4, 5, 6, 8]  # 1 and 7 are held out


def test_a_root_of_sequences(mot):
    crops = read_sources([mot], SIZE, detector="SDP")
    assert crops.clip_names == ("MOT17-05-SDP", "MOT17-07-SDP")
    assert crops.clips.tolist() == [0, 0, 1, 1]
    assert crops.frames.tolist() == [1, 2] * 2
    assert crops.tracklets.tolist() == [0, 0, 1, 1]
    assert read_sources([mot], SIZE, sequences=["07"]).clip_names == ("MOT17-07-SDP",)
    # Variants of a sequence have the same frames.
    for sequences in (None, ["05"]):
        with pytest.raises(ValueError, match=r"detector: expected one of DPM, FRCNN, SDP"):
            read_sources([mot], SIZE, sequences=sequences)
    one = read_sources([str(mot / "MOT17-07-SDP")], SIZE)
    assert one.clip_names == ("MOT17-07-SDP",)


def test_a_sequence_without_people_among_others(mot):
    (mot / "MOT17-07-SDP" / "det" / "det.txt").write_text("")
    assert read_sources([mot], SIZE, detector="SDP").clips.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"expected person crops in .*MOT17-07-SDP, found none"):
        read_sources([mot / "MOT17-07-SDP"], SIZE)


def test_sequences_without_frames_are_left_out(mot):
    shutil.rmtree(mot / "MOT17-05-SDP" / "img1")
    with pytest.warns(UserWarning, match="no frames of MOT17-05-SDP: left out"):
        crops = read_sources([mot], SIZE, detector="SDP")
    assert crops.clip_names == ("MOT17-07-SDP",)
    with pytest.raises(FileNotFoundError, match="expected a sequence with frames, found none"):
        read_sources([mot / "MOT17-05-SDP"], SIZE)


def test_a_video(video):
    path, text = video
    crops = read_sources([path], SIZE, detections=[text])
    assert crops.clip_names == ("street.avi",)
    assert crops.tracklets.tolist() == [0, 0]


def test_some_frames_of_footage(video, mot):
    """Other frames are not used, also not for links."""
    path, text = video
    for frames, found in ((range(1, 3), [0, 0]), (range(2, 9), [-1])):
        crops = read_sources([path], SIZE, detections=[text], frames=frames)
        assert crops.tracklets.tolist() == found
        assert crops.frames.tolist() == [1, 2][-len(found) :]
        assert crops.clip_names == (f"street.avi, frames {frames[0]}-{frames[-1]}",)
    crops = read_sources([mot / "MOT17-07-SDP"], SIZE, frames=range(1, 2))
    assert (crops.frames.tolist(), crops.tracklets.tolist()) == ([1], [-1])
    assert crops.clip_names == ("MOT17-07-SDP, frames 1-1",)


def test_a_video_is_decoded_up_to_the_last_chosen_frame(video, monkeypatch):
    path, text = video
    decoded = []
    read = Video._read
    monkeypatch.setattr(
        Video, "_read", lambda self: ((decoded.append(each[0]), each)[1] for each in read(self))
    )
    read_sources([path], SIZE, detections=[text], frames=range(1, 2))
    assert decoded == [1]


def test_missing_frames(video, mot, folder):
    path, text = video
    for source, files in (([path], [text]), ([mot / "MOT17-07-SDP"], None)):
        with pytest.raises(ValueError, match=r"frames: expected frames with det.*, got 3-9"):
            read_sources(source, SIZE, detections=files, frames=range(3, 10))
    with pytest.raises(ValueError, match="frames: expected a video or a MOTChallenge source"):
        read_sources([folder], SIZE, frames=range(1, 2))


def test_a_folder_of_images(folder):
    crops = read_sources([folder], SIZE)
    assert crops.clip_names == ("folder/some",)
    assert len(crops) == 3


def test_several_sources(market, mot, folder, video, tmp_path):
    second = make_video(tmp_path / "yard.avi", "2,-1,11,3,20,40,0.9\n")
    crops = read_sources(
        [video[0], market, second[0], mot, folder],
        SIZE,
        sequences=["07"],
        detections=[video[1], second[1]],
    )
    assert crops.clip_names == ("street.avi", "c1s1", "yard.avi", "MOT17-07-SDP", "folder/some")
    assert crops.clips.tolist() == [0] * 2 + [1] * 6 + [2] + [3] * 2 + [4] * 3
    assert crops.tracklets.tolist() == [0, 0] + [-1] * 7 + [1, 1] + [-1] * 3
    assert crops.size == SIZE


def test_missing_sources(tmp_path):
    with pytest.raises(ValueError, match="paths: expected one source or more, got none"):
        read_sources([], SIZE)
    with pytest.raises(FileNotFoundError, match=r"expected a folder or a video, got .*none"):
        read_sources([tmp_path / "none"], SIZE)
    with pytest.raises(ValueError, match=r"expected person crops in .*, found none"):
        read_sources([tmp_path], SIZE)


def test_no_crop_in_a_video(video):
    path, text = video
    text.write_text("1,-1,11,3,20,9,0.9\n")  # too small to be used
    with pytest.raises(ValueError, match=r"expected person crops in .*street\.avi, found none"):
        read_sources([path], SIZE, detections=[text])


def test_detections_and_videos_go_together(video, folder):
    path, text = video
    for paths, files, count, got in [
        ([path], None, 1, "none"),
        ([path, path], [text], 2, ".*street.txt"),
        ([path], [text, text], 1, ".*street.txt, .*street.txt"),
        ([folder], [text], 0, ".*street.txt"),
    ]:
        expected = rf"detections: expected a file for each video \({count} among .*got {got}"
        with pytest.raises(ValueError, match=expected):
            read_sources(paths, SIZE, detections=files)


def test_a_file_that_is_not_a_video(video, tmp_path):
    with pytest.raises(ValueError, match=r"path: expected a video, got .*street\.txt"):
        read_sources([video[1]], SIZE, detections=[video[1]])


def test_arguments_for_motchallenge_only(folder, mot):
    with pytest.raises(ValueError, match="sequences: expected a MOTChallenge source with it"):
        read_sources([folder], SIZE, sequences=["09"])
    with pytest.raises(ValueError, match="detector: expected a MOTChallenge source with it"):
        read_sources([folder], SIZE, detector="SDP")
    with pytest.raises(ValueError, match=r"sequences: expected some of .*'09'"):
        read_sources([folder, mot], SIZE, sequences=["09"])
