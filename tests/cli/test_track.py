"""``sslmot track``: sources, detectors, formats, and what it refuses or says instead of silence."""

import json
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from sslmot import Gallery
from sslmot.cli import main
from sslmot.data import mot
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Write a generated sequence with frames, of a second."""
    config = CrowdConfig(people=5, frames=30, width=320, height=180, seed=3)
    return write_crowd(Crowd(config), tmp_path_factory.mktemp("data") / "crowd")


def write_video(path, crowd):
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 180))
    for t in range(1, crowd.length + 1):
        writer.write(crowd.frame(t))
    writer.release()
    return path


@pytest.fixture
def video(crowd, tmp_path):
    return write_video(tmp_path / "clip.mp4", crowd)


@pytest.fixture
def track(crowd, tmp_path):
    """Track with the crowd's detections and colour histograms, into tmp_path / "out"."""

    def run(*arguments, detections=True):
        flags = ["--detections", crowd.detections_path] if detections else []
        output = [] if "--output" in arguments else ["--output", tmp_path / "out"]
        main([str(a) for a in ("track", *arguments, *flags, *output, "--histogram")])
        return tmp_path / "out"

    return run


def refused(capsys, run, *arguments, **options):
    with pytest.raises(SystemExit) as exit_:
        run(*arguments, **options)
    assert exit_.value.code == 2
    return capsys.readouterr()[1]


class TestSources:
    def test_images_of_a_folder_and_of_a_pattern(self, crowd, track):
        out = track(crowd.image_dir, "--frame-rate", crowd.frame_rate)
        first = (out / "img1.txt").read_bytes()
        assert len(mot.read_results(out / "img1.txt")) > 20
        track(crowd.path, detections=False)
        assert (out / "crowd.txt").read_bytes() == first
        (out / "img1.json").unlink()
        track(f"{crowd.image_dir}/0000*.jpg", "--frame-rate", crowd.frame_rate)
        assert (out / "img1.txt").read_bytes() == first

    def test_coco_detections(self, crowd, track, tmp_path):
        rows = [
            {"image_id": t, "category_id": 0, "score": float(s),
             "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]}
            for t, found in crowd.detections().items() for x1, y1, x2, y2, s in found
        ]  # fmt: skip
        (tmp_path / "found.json").write_text(json.dumps(rows))
        flags = ["--detections", tmp_path / "found.json"]
        out = track(crowd.path, *flags, detections=False)
        ours = mot.read_results(out / "crowd.txt")
        track(crowd.path, detections=False)
        for one, other in zip(ours, mot.read_results(out / "crowd.txt"), strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
        assert {int(c) for result in ours for c in result.classes} == {0}

    def test_a_function_detects(self, crowd, video, track, tmp_path, monkeypatch):
        (tmp_path / "my_detector.py").write_text(
            "from sslmot.data.mot import Sequence\n"
            f"found = iter(Sequence.open({str(crowd.path)!r}).detections().values())\n"
            "def detect(frame):\n"
            "    assert frame.shape == (180, 320, 3)\n"
            "    return next(found)\n"
        )
        monkeypatch.chdir(tmp_path)
        out = track(video, "--detector", "my_detector:detect", detections=False)
        detected = (out / "clip.txt").read_bytes()
        track(video)
        assert (out / "clip.txt").read_bytes() == detected

    def test_a_model_detects(self, data_root, track, tmp_path):
        pytest.importorskip("onnxruntime")
        model = data_root / "weights" / "yolox_nano_416.onnx"
        images = data_root / "MOT17" / "train" / "MOT17-09-FRCNN" / "img1"
        flags = ["--frame-rate", 30, "--format", "mot,csv"]
        out = track(f"{images}/00000[1-6].jpg", "--detector", model, *flags, detections=False)
        results = mot.read_results(out / "img1.txt")
        assert [result.frame for result in results] == [2, 3, 4, 5, 6]
        assert ",person\n" in (out / "img1.csv").read_text()

    def test_several_sources_of_one_name(self, crowd, track, tmp_path):
        for camera in ("cam1", "cam2"):
            write_video(tmp_path / camera / "video.mp4", crowd)
        both = [tmp_path / "cam1/video.mp4", tmp_path / "cam2/video.mp4"]
        out = track(*both, "--detections", crowd.detections_path)
        assert (out / "cam1-video.txt").read_bytes() == (out / "cam2-video.txt").read_bytes()

    def test_a_source_twice(self, crowd, video, track, capsys):
        said = refused(capsys, track, video, video, "--detections", crowd.detections_path)
        assert f"sources: expected each once, got {video} twice" in said

    def test_frames_that_cannot_be_read(self, crowd, track, tmp_path, capsys):
        images = tmp_path / "shots"
        images.mkdir()
        for t in range(1, 31):
            (images / f"{t}.jpg").symlink_to(crowd.image_dir / f"{t:06d}.jpg")
        (images / "12.jpg").unlink()
        (images / "12.jpg").write_bytes((crowd.image_dir / "000012.jpg").read_bytes()[:3000])
        out = track(images, "--frame-rate", crowd.frame_rate)
        said = capsys.readouterr()[1]
        assert "1 of 30 frames cannot be read, the first is frame 12" in said
        results = {r.frame: r.ids.tolist() for r in mot.read_results(out / "shots.txt")}
        assert 12 not in results
        assert {*results[11]} <= {*results[13]}
        assert max(results) == 30

    def test_an_address_stays_one(self, track, capsys):
        said = refused(capsys, track, "rtsp://127.0.0.1:9/none")
        assert "rtsp://127.0.0.1:9/none" in said


class TestOutputs:
    def test_formats_and_a_video(self, crowd, video, track):
        out = track(video, "--format", "mot,jsonl,csv,coco,cvat", "--save-video")
        names = ["clip.coco.json", "clip.csv", "clip.cvat.xml", "clip.json", "clip.jsonl",
                 "clip.mp4", "clip.txt"]  # fmt: skip
        assert sorted(path.name for path in out.iterdir()) == names
        capture = cv2.VideoCapture(str(out / "clip.mp4"))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 30
        drawn = capture.read()[1], capture.read()[1]
        assert np.abs(drawn[1].astype(int) - crowd.frame(2)).max() > 100  # boxes
        rows = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
        ids = {(r.frame, int(i)) for r in mot.read_results(out / "clip.txt") for i in r.ids}
        assert {(row["frame"], row["id"]) for row in rows} == ids

    def test_an_unknown_format(self, video, track, capsys):
        assert "expected some of mot, jsonl" in refused(capsys, track, video, "--format", "xls")

    def test_a_gallery_recognises_across_sources(self, crowd, video, track, tmp_path):
        known = tmp_path / "people.npz"
        out = track(video, "--gallery", known)
        first = {int(i) for r in mot.read_results(out / "clip.txt") for i in r.ids}
        assert len(Gallery.load(known)) == len(first) > 0
        track(crowd.path, "--gallery", known, detections=False)
        again = {int(i) for r in mot.read_results(out / "crowd.txt") for i in r.ids}
        assert again == first

    def test_a_window(self, video, track, monkeypatch):
        shown = []
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
        monkeypatch.setattr(cv2, "imshow", lambda title, frame: shown.append((title, frame.shape)))
        monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 5 else -1)
        out = track(video, "--show")
        assert shown == [("clip", (180, 320, 3))] * 5
        assert max(r.frame for r in mot.read_results(out / "clip.txt")) == 5

    def test_no_display(self, video, track, monkeypatch, capsys):
        def fail(*_):
            raise cv2.error("no display")

        monkeypatch.setattr(cv2, "namedWindow", fail)
        assert "cannot open a window" in refused(capsys, track, video, "--show")


class TestRefusals:
    @pytest.mark.parametrize("link", [False, True])
    def test_detections_are_never_replaced(self, crowd, video, track, tmp_path, capsys, link):
        given = tmp_path / "clip.txt"
        given.write_bytes(crowd.detections_path.read_bytes())
        where = tmp_path
        if link:
            where = tmp_path / "out"
            where.mkdir()
            (where / "clip.txt").symlink_to(given)
        flags = ["--detections", given, "--output", where]
        said = refused(capsys, track, video, *flags, detections=False)
        assert "output: expected another file than an input, got " in said
        assert given.read_bytes() == crowd.detections_path.read_bytes()

    def test_a_video_never_replaces_the_source(self, video, track, tmp_path, capsys):
        before = video.read_bytes()
        said = refused(capsys, track, video, "--save-video", "--output", tmp_path)
        assert "output: expected another file than an input, got " in said
        assert video.read_bytes() == before

    def test_results_of_another_clip_are_kept(self, crowd, video, track, tmp_path, capsys):
        out = track(video)
        track(video)  # of the same clip they are replaced
        before = (out / "clip.txt").read_bytes()
        other = write_video(tmp_path / "other" / "clip.mp4", crowd)
        said = refused(capsys, track, other)
        assert f"expected a folder without results of another clip, got {out} with those of" in said
        assert (out / "clip.txt").read_bytes() == before


class TestWarnings:
    def write(self, crowd, path, change):
        found = {t: change(rows.copy()) for t, rows in crowd.detections().items()}
        mot.write_detections(path, found)
        return path

    def test_scores_that_are_all_low(self, crowd, video, track, tmp_path, capsys):
        def low(rows):
            rows[:, 4] *= 0.3
            return rows

        flags = ["--detections", self.write(crowd, tmp_path / "low.txt", low)]
        track(video, *flags, detections=False)
        said = capsys.readouterr()[1]
        assert "clip: no tracks of " in said
        assert "no score is 0.5 or more (high_score), the best is 0.2" in said

    def test_scores_in_percent(self, crowd, video, track, tmp_path, capsys):
        def percent(rows):
            rows[:, 4] *= 100
            return rows

        flags = ["--detections", self.write(crowd, tmp_path / "percent.txt", percent)]
        track(video, *flags, detections=False)
        assert "are they percent?" in capsys.readouterr()[1]


def run_in_background(crowd, video, out, *flags):
    """Start a tracking that takes long, and wait until frames were tracked."""
    code = (
        "import signal, sys, time, sslmot.tracking.tracker as t; from sslmot.cli import main\n"
        # A shell makes its jobs in the background ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "step = t.Tracker.step\n"
        "def slow(self, *a, **k):\n"
        "    print('step', flush=True); time.sleep(.2); return step(self, *a, **k)\n"
        "t.Tracker.step = slow\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["track", video, "--detections", crowd.detections_path, "--output", out,
                 "--histogram", *flags]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(6):
        assert process.stdout.readline() == "step\n"
    return process


def test_ctrl_c_leaves_whole_results_up_to_the_last_frame(crowd, video, tmp_path):
    flags = ["--format", "mot,jsonl,coco", "--save-video"]
    process = run_in_background(crowd, video, tmp_path / "out", *flags)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the files hold the frames before" in err
    record = json.loads((tmp_path / "out/clip.json").read_text())
    assert record["complete"] is False
    assert 4 <= record["frames"] < 30
    coco = json.loads((tmp_path / "out/clip.coco.json").read_text())
    assert len(coco["images"]) == record["frames"]
    results = mot.read_results(tmp_path / "out/clip.txt")
    assert max(r.frame for r in results) <= record["frames"]
    lines = (tmp_path / "out/clip.jsonl").read_text().splitlines()
    assert len(lines) == sum(len(r.ids) for r in results)
    capture = cv2.VideoCapture(str(tmp_path / "out/clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == record["frames"]


def test_a_kill_leaves_the_results_of_before(crowd, video, track, tmp_path):
    out = track(video)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    process = run_in_background(crowd, video, out)
    process.kill()
    process.communicate(timeout=60)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    track(video)
    assert sorted(path.name for path in out.iterdir()) == sorted(before)
