"""The command line as in the README, on real and generated sequences."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import sslmot
from sslmot.cli import main
from sslmot.data import mot
from sslmot.data.video import Video
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import demo, longest_gaps, write_crowd
from sslmot.offline.interpolate import interpolate


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Write a generated sequence with frames, of 2 seconds."""
    config = CrowdConfig(people=6, frames=60, width=640, height=360, seed=3)
    return write_crowd(Crowd(config), tmp_path_factory.mktemp("data") / "crowd")


@pytest.fixture(scope="module")
def video(crowd, tmp_path_factory):
    """Write the same sequence as a video."""
    path = tmp_path_factory.mktemp("video") / "my_video.mp4"
    writer = cv2.VideoWriter("", 0, 0, (0, 0))
    assert writer.open(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (640, 360))
    for t in range(1, 61):
        writer.write(crowd.frame(t))
    writer.release()
    return path


def fails(capsys, *arguments):
    """Return the error of a command that exits with 2, without output and traceback."""
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert not out
    return err


def test_track_and_evaluate(crowd, tmp_path, capsys):
    main(["track", str(crowd.path), "--output", str(tmp_path), "--histogram"])
    out, _ = capsys.readouterr()
    assert f"{tmp_path / 'crowd.txt'}: 60 frames" in out
    results = mot.read_results(tmp_path / "crowd.txt", crowd.length)
    assert len(results) > 50
    record = json.loads((tmp_path / "crowd.json").read_text())
    assert record["frames"] == 60
    assert record["appearance"] == "ColorHistogram"

    main(["evaluate", str(crowd.path), "--results", str(tmp_path)])
    header, _, row = capsys.readouterr()[0].splitlines()
    columns = "HOTA AssA DetA MOTA IDF1 FP FN IDsw MT ML Frag Hz"
    assert " ".join(header.split()) == columns
    name, *numbers = row.split()
    assert name == "crowd"
    assert float(numbers[0]) > 50
    assert float(numbers[-1]) > 10

    output = tmp_path / "new" / "scores.json"
    arguments = ["evaluate", str(crowd.path), "--results", str(tmp_path), "--output"]
    main([*arguments, str(output)])
    scores = json.loads(output.read_text())
    assert list(scores) == ["crowd"]
    assert [f"{scores['crowd'][k]:.1f}" for k in ("hota", "assa")] == numbers[:2]
    assert scores["crowd"]["fp"] == int(numbers[5])
    capsys.readouterr()
    before = (tmp_path / "crowd.txt").read_bytes()
    fails(capsys, *arguments, tmp_path / "crowd.txt")
    assert (tmp_path / "crowd.txt").read_bytes() == before


def test_the_same_command_gives_the_same_file(crowd, tmp_path):
    for name in ("one", "two"):
        main(["track", str(crowd.path), "--output", str(tmp_path / name), "--histogram"])
    assert (tmp_path / "one/crowd.txt").read_bytes() == (tmp_path / "two/crowd.txt").read_bytes()


def test_settings_are_flags(crowd, tmp_path):
    flags = "--max-age 7 --no-camera-motion --tau 0.5 --reid-false-alarms inf "
    flags += "--high-score 0.3 --new-track-max-iou 1"
    main(["track", str(crowd.path), "--output", str(tmp_path), "--motion-only", *flags.split()])
    record = json.loads((tmp_path / "crowd.json").read_text())
    assert record["appearance"] is None
    expected = {
        "max_age": 7.0,
        "tau": 0.5,
        "camera_motion": False,
        "reid_false_alarms": "inf",
    }
    expected |= {"high_score": 0.3, "new_track_max_iou": 1}
    assert expected.items() <= record["config"].items()
    main(["track", str(crowd.path), "--output", str(tmp_path), "--paper", "--min-hits", "2"])
    record = json.loads((tmp_path / "crowd.json").read_text())
    assert (record["config"]["motion"], record["config"]["min_hits"]) == ("none", 2)
    assert (record["config"]["high_score"], record["config"]["instant_confirm_score"]) == (
        "-inf",
        "inf",
    )
    flags = ["--motion-only", "--paper", "--min-affinity", "0.6"]
    main(["track", str(crowd.path), "--output", str(tmp_path), *flags])
    record = json.loads((tmp_path / "crowd.json").read_text())
    assert record["config"]["min_affinity"] == 0.6


def test_gaps_are_filled_offline(crowd, tmp_path):
    tracked = {}
    for name, flags in (("online", []), ("offline", ["--interpolate", "20"])):
        main(["track", str(crowd.path), "--output", str(tmp_path / name), "--motion-only", *flags])
        tracked[name] = mot.read_results(tmp_path / name / "crowd.txt", crowd.length)
        record = json.loads((tmp_path / name / "crowd.json").read_text())
        assert record["interpolated"] == (20 if flags else None)
    expected = interpolate(tracked["online"], 20)
    boxes = [sum(len(r.ids) for r in results) for results in (tracked["online"], expected)]
    assert boxes[0] < boxes[1]
    for one, other in zip(tracked["offline"], expected, strict=True):
        assert one.frame == other.frame
        assert one.ids.tolist() == other.ids.tolist()
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)  # two decimals in a file


def test_track_a_video(crowd, video, tmp_path, capsys):
    clip = [str(video), "--detections", str(crowd.detections_path), "--output", str(tmp_path)]
    main(["track", *clip, "--histogram"])
    assert f"{tmp_path / 'my_video.txt'}: 60 frames" in capsys.readouterr()[0]
    assert len(mot.read_results(tmp_path / "my_video.txt", 60)) > 50
    record = json.loads((tmp_path / "my_video.json").read_text())
    assert (record["frames"], record["appearance"]) == (60, "ColorHistogram")


def test_a_video_with_motion_only_is_not_decoded(crowd, video, tmp_path, monkeypatch):
    monkeypatch.delattr(Video, "_read")
    flags = ["--output", str(tmp_path), "--motion-only", "--interpolate", "20"]
    main(["track", str(video), "--detections", str(crowd.detections_path), *flags])
    main(["track", str(crowd.path), *flags])
    expected = (tmp_path / "crowd.txt").read_bytes()
    assert (tmp_path / "my_video.txt").read_bytes() == expected
    assert json.loads((tmp_path / "my_video.json").read_text())["appearance"] is None


def test_a_video_shorter_than_its_detections(crowd, video, tmp_path, capsys):
    longer = tmp_path / "det.txt"
    longer.write_text(crowd.detections_path.read_text() + "90,-1,5,5,50,100,0.9\n")
    flags = ["--output", str(tmp_path), "--histogram"]
    main(["track", str(video), "--detections", str(longer), *flags])
    out, err = capsys.readouterr()
    assert "has 60 frames" in err
    assert "up to frame 90: do they belong together?" in err
    assert "60 frames" in out


def test_track_with_an_encoder(crowd, tmp_path):
    pytest.importorskip("torch")
    from sslmot.appearance.encoder import Encoder, EncoderConfig

    weights = tmp_path / "encoder.safetensors"
    Encoder(EncoderConfig(architecture="resnet18", projection=())).save(weights)
    # Ten frames are enough for a network on a CPU.
    short = mot.write_sequence(
        tmp_path, "short", 30, (640, 360), {t: crowd.detections()[t] for t in range(1, 11)}
    )
    (short.path / "img1").symlink_to(crowd.path / "img1")
    for flags in (["--weights", str(weights)], []):
        main(["track", str(short.path), "--output", str(tmp_path), *flags])
        assert json.loads((tmp_path / "short.json").read_text())["appearance"] == "Encoder"
        assert mot.read_results(tmp_path / "short.txt")


TRAIN = "--backbone resnet18 --crop-size 64 32 --batch-size 8 --epochs 1 --device cpu"


@pytest.mark.slow
def test_train_on_a_sequence_and_score_the_encoder(crowd, tmp_path, monkeypatch, capsys):
    pytest.importorskip("kornia")
    from sslmot.training.config import TrainConfig

    monkeypatch.chdir(tmp_path)
    main(["train", str(crowd.path), *TRAIN.split()])
    weights = Path("runs", "crowd", "encoder.safetensors")
    out, _ = capsys.readouterr()
    assert out.splitlines()[-1] == str(weights)
    # Training uses the tracklets of the sequence.
    config = TrainConfig.load("runs/crowd/config.yaml")
    assert (config.sampler, config.crop_size, config.epochs) == ("pairs", (64, 32), 1)

    main(["train", "--resume", "runs/crowd"])
    scores = {}
    for flags in (["--weights", str(weights)], ["--histogram"]):
        capsys.readouterr()
        main(["evaluate-reid", str(crowd.path), *flags])
        header, _, *rows = capsys.readouterr()[0].splitlines()
        assert header.split() == ["gap", "queries", "rank-1", "rank-5", "mAP", "AUC"]
        assert rows[0].split()[:2] == ["crowd", "15"]
        scores[flags[0]] = float(rows[0].split()[-1])
    assert scores["--histogram"] > 0.9


@pytest.mark.slow
def test_settings_of_a_training_from_a_file(crowd, tmp_path, monkeypatch):
    pytest.importorskip("kornia")
    from sslmot.training.config import TrainConfig

    monkeypatch.chdir(tmp_path)
    Path("settings.yaml").write_text("sampler: tracklet\nepochs: 5\nlearning_rate: 0.01\n")
    main(["train", str(crowd.path), "--config", "settings.yaml", *TRAIN.split()])
    config = TrainConfig.load("runs/crowd/config.yaml")
    # Flags have priority over the file.
    assert (config.sampler, config.epochs, config.learning_rate) == ("tracklet", 1, 0.01)


@pytest.mark.slow
def test_train_on_a_video(crowd, video, tmp_path, monkeypatch):
    pytest.importorskip("kornia")
    monkeypatch.chdir(tmp_path)
    detections = ["--detections", str(crowd.detections_path)]
    main(["train", str(video), *detections, *TRAIN.split()])
    assert Path("runs/my_video/encoder.safetensors").is_file()


class TestErrors:
    def test_no_such_path(self, tmp_path, capsys):
        path = tmp_path / "nowhere.mp4"
        message = fails(capsys, "track", path, "--detections", "nowhere.txt")
        assert message.startswith("sslmot track: source: expected a video, a folder of images, a ")
        assert message.endswith(f", got {path}, which does not exist\n")

    def test_clips_that_do_not_fit(self, crowd, video, tmp_path, capsys):
        detections = ["--detections", crowd.detections_path]
        empty = tmp_path / "empty.txt"
        empty.write_text("")
        for arguments, message in (
            ([video], f"detections: expected a file of {video}, or a detector, got none"),
            (
                [video, crowd.path, *detections],
                "detections: expected a file for each of 2 clips, got 1",
            ),
            (
                [video, *detections, "--sequences", "09"],
                f"sequences: expected none with {video}, which has none",
            ),
            (
                [video, *detections, "--detector", "DPM"],
                f"sequences: expected none with {video}, which has none",
            ),
            (
                [video, *detections, "--detector", "os:nothing"],
                "--detector: expected a function of os, got 'nothing'",
            ),
            (
                [video, *detections, "--detector", "os:fspath"],
                "detections: expected none beside a detector",
            ),
            (
                [video, "--detections", tmp_path / "none.txt"],
                f"detections: expected a file {tmp_path / 'none.txt'}",
            ),
            ([video, "--detections", empty], f"{empty}: expected detections, got none"),
            (
                [video, *detections, "--gallery", tmp_path / "new.npz"],
                "--gallery: expected none with --motion-only",
            ),
        ):
            output = ["--output", tmp_path / "results", "--motion-only"]
            said = fails(capsys, "track", *arguments, *output)
            assert said.startswith(f"sslmot track: {message}")
        assert not (tmp_path / "results").exists()

    def test_bad_setting(self, crowd, capsys):
        message = fails(capsys, "track", crowd.path, "--tau", "-1")
        assert message == "sslmot track: tau: expected a number of 1e-06 to 1e+06, got -1.0\n"

    def test_a_gap_of_no_frames(self, crowd, tmp_path, capsys, monkeypatch):
        """The error comes before the first frame is tracked."""
        monkeypatch.delattr(sslmot.Tracker, "step")
        flags = ["--motion-only", "--output", tmp_path, "--interpolate", "0"]
        message = fails(capsys, "track", crowd.path, *flags)
        assert message == "sslmot track: max_gap: expected an integer of 1 or more, got 0\n"

    def test_a_malformed_line(self, crowd, tmp_path, capsys):
        broken = mot.write_sequence(tmp_path, "broken", 30, (64, 48), {1: np.ones((0, 5))})
        broken.detections_path.write_text("1,-1,5,5,10,10,1\n1,-1,5,5,ten,10,1\n")
        message = fails(capsys, "track", broken.path, "--motion-only", "--output", tmp_path)
        assert f"{broken.detections_path}:2: expected" in message

    def test_no_frames(self, tmp_path, capsys):
        bare = mot.write_sequence(tmp_path, "bare", 30, (64, 48), {1: np.ones((0, 5))})
        message = fails(capsys, "track", bare.path, "--output", tmp_path)
        assert "bare: expected frames such as " in message
        assert "--motion-only" in message
        main(["track", str(bare.path), "--output", str(tmp_path), "--motion-only"])

    def test_a_missing_frame(self, crowd, tmp_path, capsys):
        torn = mot.write_sequence(tmp_path, "torn", 30, (640, 360), crowd.detections())
        (torn.path / "img1").mkdir()
        for t in {*range(1, 61)} - {3, 7}:
            (torn.path / f"img1/{t:06d}.jpg").symlink_to(crowd.path / f"img1/{t:06d}.jpg")
        main(["track", str(torn.path), "--output", str(tmp_path), "--histogram"])
        message = "torn: 2 of 60 frames cannot be read, the first is frame 3: "
        assert message in capsys.readouterr().err
        # The other frames are tracked, under their numbers.
        found = {result.frame for result in mot.read_results(tmp_path / "torn.txt")}
        assert len(found) > 50
        assert found.isdisjoint({3, 7})
        assert json.loads((tmp_path / "torn.json").read_text())["complete"] is True

    def test_an_output_that_is_a_file(self, crowd, tmp_path, capsys, monkeypatch):
        """The error comes before the first frame is tracked."""
        monkeypatch.delattr(sslmot.Tracker, "step")
        (tmp_path / "taken").write_text("")
        assert "taken" in fails(capsys, "track", crowd.path, "--output", tmp_path / "taken")

    def test_weights_that_are_a_folder(self, crowd, tmp_path, capsys):
        pytest.importorskip("torch")
        fails(capsys, "track", crowd.path, "--weights", tmp_path)

    def test_unknown_sequences_and_detectors(self, crowd, capsys):
        root = crowd.path.parent
        assert "expected some of" in fails(capsys, "track", root, "--sequences", "99")
        assert "expected one that" in fails(capsys, "evaluate", root, "--detector", "DPM")

    def test_no_results(self, crowd, tmp_path, capsys):
        assert "crowd" in fails(capsys, "evaluate", crowd.path, "--results", tmp_path)

    def test_resume_takes_no_settings(self, tmp_path, capsys):
        message = fails(capsys, "train", "--resume", tmp_path, "--batch-size", "8")
        assert "--resume: expected no sources and no settings" in message

    def test_resume_without_a_run(self, tmp_path, capsys):
        pytest.importorskip("kornia")
        message = fails(capsys, "train", "--resume", tmp_path)
        assert "resume: expected a run with" in message

    def test_ctrl_c_in_a_training_says_how_to_go_on(self, crowd, tmp_path, capsys, monkeypatch):
        pytest.importorskip("kornia")
        import sslmot.training.trainer

        def stop(_, __, output, **___):
            output.mkdir()
            (output / "config.yaml").write_text("")
            raise KeyboardInterrupt

        monkeypatch.setattr(sslmot.training.trainer, "train", stop)
        with pytest.raises(SystemExit) as exit_:
            main(["train", str(crowd.path), "--output", str(tmp_path / "run")])
        assert exit_.value.code == 130
        said = f"stopped; to go on: sslmot train --resume {tmp_path / 'run'}"
        assert said in capsys.readouterr()[1]

    def test_an_export_with_the_name_of_another_format(self, tmp_path, capsys):
        pytest.importorskip("torch")
        flags = ["--format", "torchscript", "--output", tmp_path / "encoder.onnx"]
        message = fails(capsys, "export", *flags)
        assert "--output: expected a name with .pt for torchscript, got " in message
        assert not (tmp_path / "encoder.onnx").exists()

    @pytest.mark.parametrize("text", ["a: b: c\n  x: [", "- " + "x" * 60000, "x" * 60000 + ": 1"])
    def test_a_config_that_is_another_file(self, crowd, tmp_path, capsys, text):
        (tmp_path / "config.yaml").write_text(text)
        message = fails(capsys, "track", crowd.path, "--config", tmp_path / "config.yaml")
        assert message.startswith(f"sslmot track: {tmp_path / 'config.yaml'}: expected ")
        assert message.count("\n") == 1
        assert len(message) < 1500

    def test_train_without_a_source(self, capsys):
        assert "paths: expected one source or more, got none" in fails(capsys, "train")

    def test_train_on_an_empty_folder(self, tmp_path, capsys):
        message = fails(capsys, "train", tmp_path, "--output", tmp_path / "run")
        assert "expected person crops" in message
        assert not (tmp_path / "run").exists()

    def test_a_bad_training_setting(self, tmp_path, capsys):
        message = fails(capsys, "train", tmp_path, "--batch-size", "1")
        assert "batch_size: expected an integer of 4 or more, got 1" in message
        (tmp_path / "settings.yaml").write_text("lr: 1\n")
        message = fails(capsys, "train", tmp_path, "--config", tmp_path / "settings.yaml")
        assert "settings.yaml: expected some of method, loss" in message

    def test_feature_of_a_histogram(self, crowd, capsys):
        message = fails(capsys, "evaluate-reid", crowd.path, "--histogram", "--feature", "backbone")
        assert "--feature: expected none with --histogram" in message

    def test_weights_without_appearance(self, crowd, capsys):
        message = fails(capsys, "track", crowd.path, "--motion-only", "--weights", "w")
        assert "--weights, --histogram: expected none with --motion-only" in message


def test_a_root_of_which_one_sequence_is_tracked(data_root, tmp_path, capsys):
    """The README's example. Sequences without results are named, the others are scored."""
    root = str(data_root / "MOT17/train")
    main(["track", "--sequences", "09", root, "--motion-only", "--output", str(tmp_path)])
    capsys.readouterr()
    main(["evaluate", root, "--results", str(tmp_path)])
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["MOT17-09-FRCNN"]
    assert err.startswith("note: ")
    assert "MOT17-02-FRCNN" in err


def test_real_frames_with_the_default_appearance(data_root, tmp_path):
    """`sslmot track` on twenty JPEGs of MOT17-09."""
    whole = mot.Sequence.open(data_root / "MOT17/train/MOT17-09-FRCNN")
    detections = whole.detections()
    short = mot.write_sequence(
        tmp_path, "short", 30, (1920, 1080), {t: detections[t] for t in range(1, 21)}
    )
    (short.path / "img1").symlink_to(whole.path / "img1")
    main(["track", str(short.path), "--output", str(tmp_path)])
    found = sum(len(result.ids) for result in mot.read_results(tmp_path / "short.txt"))
    assert found > 0.8 * sum(len(detections[t]) for t in range(2, 21))


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    demo(tmp_path, people=8, frames=45, seed=1)
    out, _ = capsys.readouterr()
    rows = [line.split() for line in out.splitlines() if line.startswith(("appearance", "motion"))]
    assert [row[0] for row in rows] == ["appearance", "motion"]
    assert all(float(row[1]) > 40 for row in rows)  # HOTA
    video = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 45
    assert cv2.imread(str(tmp_path / "demo.jpg")).shape[2] == 3
    sequence = mot.Sequence.open(tmp_path / "crowd")
    assert sequence.frame(45).shape == (720, 1280, 3)


def test_captions_say_whether_the_person_is_the_same(crowd):
    truth = crowd.ground_truth()
    one, other = (
        {
            int(t): box
            for t, box, i in zip(truth.frames, truth.boxes, truth.ids, strict=True)
            if i == person
        }
        for person in (1, 2)
    )
    frames = sorted(one.keys() & other.keys())
    first, last = frames[0], frames[-1]
    assert last > first + 2

    def results(box):
        ids, scores = np.array([5]), np.ones(1)
        return [
            mot.FrameResult(first, ids, one[first][None], scores),
            mot.FrameResult(last, ids, box[last][None], scores),
        ]

    assert longest_gaps(results(one), crowd)[last].endswith("5 again")
    assert longest_gaps(results(other), crowd)[last].endswith("5 now another person")


def test_every_setting_is_explained(capsys):
    with pytest.raises(SystemExit):
        main(["track", "--help"])
    text = " ".join(capsys.readouterr()[0].split())
    assert "--tau X Temperature of the affinity" in text
    assert "(default: 0.05; in the paper: inf)" in text
    for field in dataclasses.fields(sslmot.TrackerConfig):
        flag = "--" + field.name.replace("_", "-")
        explained = re.search(rf" {flag}( N| X| {{kalman,none}}|, --no-[\w-]+) [\"A-Z]\w+", text)
        assert explained, flag


@pytest.mark.parametrize("arguments", [["--help"], ["track", "--help"], ["--version"]])
def test_help(arguments):
    run = subprocess.run(
        [sys.executable, "-m", "sslmot", *arguments], capture_output=True, text=True, check=True
    )
    assert "sslmot" in run.stdout
    assert not run.stderr
