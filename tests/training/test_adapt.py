"""Camera adaptation: an encoder is trained further on the footage that it is used on."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia")
pytest.importorskip("tensorboard")

from safetensors.torch import load_file, save_file  # noqa: E402

from sslmot.appearance.encoder import SHIPPED, Encoder, EncoderConfig  # noqa: E402
from sslmot.appearance.resnet import resnet  # noqa: E402
from sslmot.cli import main  # noqa: E402
from sslmot.data.crops import CropSet  # noqa: E402
from sslmot.data.sources import read_sources  # noqa: E402
from sslmot.demo.crowd import Crowd, CrowdConfig  # noqa: E402
from sslmot.demo.run import write_crowd  # noqa: E402
from sslmot.training import trainer  # noqa: E402
from sslmot.training.adapt import adapt, adaptation  # noqa: E402
from sslmot.training.config import TrainConfig  # noqa: E402

SIZE = (64, 32)
SMALL = EncoderConfig("resnet18", SIZE, projection=(), parts=2, middle=0.7, ibn=True)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A generated video of 40 frames, and its detections."""
    folder = tmp_path_factory.mktemp("footage")
    crowd = Crowd(CrowdConfig(people=6, frames=40, width=640, height=360, seed=3))
    sequence = write_crowd(crowd, folder / "crowd")
    video = folder / "street.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 30, (640, 360))
    assert writer.isOpened()
    for t in range(1, 41):
        writer.write(sequence.frame(t))
    writer.release()
    return video, sequence.detections_path


@pytest.fixture(scope="module")
def crops(footage):
    return read_sources(footage[:1], SIZE, detections=footage[1:], frames=range(1, 31))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    Encoder(SMALL, device="cpu").save(path, half=True)  # as the shipped one is
    return path


@pytest.fixture(scope="module")
def adapted(crops, weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "adapt"
    return adapt(crops, output, weights, epochs=1, device="cpu")


def some(crops, chosen):
    """The crops of a set at an index."""
    columns = (getattr(crops, name)[chosen] for name in ("images", "clips", "frames", "tracklets"))
    return CropSet(*columns, crops.clip_names)


@pytest.mark.processor
@pytest.mark.slow
def test_the_encoder_has_changed(adapted, weights, footage):
    before, after = (Encoder.load(path, device="cpu") for path in (weights, adapted))
    assert after.config == before.config
    _, frame = cv2.VideoCapture(str(footage[0])).read()
    box = [[100, 100, 160, 260]]
    one, other = (encoder(frame, box)[0] for encoder in (before, after))
    assert np.isfinite(other).all()
    assert one @ other < 0.999 * np.linalg.norm(one) * np.linalg.norm(other)


@pytest.mark.slow
def test_the_file_says_what_it_has_learned_from(adapted, crops):
    about = json.loads(Encoder.load(adapted, device="cpu").metadata["sslmot.training"])
    assert (about["crops"], about["clips"]) == (len(crops), ["street.mp4, frames 1-30"])


@pytest.mark.slow
def test_the_same_footage_gives_the_same_encoder(adapted, crops, weights, tmp_path):
    again = adapt(crops, tmp_path / "again", weights, epochs=1, device="cpu")
    assert again == tmp_path / "again" / "encoder.safetensors"
    first, second = load_file(adapted), load_file(again)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scores", "kept"), [((0.9, 0.7, 0.8), 0), ((0.5, 0.7, 0.8), 2), ((1.0, 1.0, 0.9), 1)]
)
def test_the_best_encoder_is_kept(crops, weights, tmp_path, monkeypatch, scores, kept):
    found = iter(scores)
    monkeypatch.setattr("sslmot.training.trainer.separation", lambda *_: next(found))
    path = adapt(crops, tmp_path / "run", weights, epochs=2, device="cpu")
    about = json.loads(Encoder.load(path, device="cpu").metadata["sslmot.training"])
    assert about["epochs"] == kept
    same = load_file(path)["backbone.conv1.weight"] == load_file(weights)["backbone.conv1.weight"]
    # An epoch is one step here, and the rate of the first is 0.
    assert bool(same.all()) == (kept < 2)
    # A resumed run compares with the encoder that was kept.
    monkeypatch.setattr("sslmot.training.trainer.separation", lambda *_: 1.0)
    assert trainer.resume(tmp_path / "run", device="cpu").metadata == Encoder.load(path).metadata


@pytest.mark.slow
def test_the_command(footage, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("small.safetensors").symlink_to(weights)
    flags = ["--weights", "small.safetensors", "--frames", "11-30", "--epochs", "1"]
    flags += ["--device", "cpu"]
    main(["adapt", str(footage[0]), "--detections", str(footage[1]), *flags])
    path, use = capsys.readouterr()[0].splitlines()[-2:]
    assert path == str(Path("runs/adapt/encoder.safetensors"))
    assert f"sslmot track ... --weights {path}" in use
    frames = CropSet.load("runs/adapt/crops").frames
    assert (frames.min(), frames.max()) == (11, 30)
    # It resumes from any working directory.
    assert Path(TrainConfig.load("runs/adapt/config.yaml").initial).is_absolute()
    monkeypatch.chdir("/")
    Path(tmp_path / "runs/adapt/checkpoint.safetensors").unlink()
    before = load_file(tmp_path / path)
    main(["train", "--resume", str(tmp_path / "runs/adapt")])
    after = load_file(tmp_path / path)
    torch.testing.assert_close(after, before)


def test_the_settings_are_those_of_the_encoder(weights):
    config = adaptation()
    assert (config.initial, config.epochs, config.sampler) == (str(SHIPPED), 4, "pairs")
    small = {"backbone": "efficientnet_lite0", "ibn": False}
    recipe = {"epochs": 4, "sampler": "pairs", "held_out": 0.2, "initial_share": 0.5}
    assert config == TrainConfig(initial=str(SHIPPED), **small, **recipe)
    small = adaptation(weights, epochs=2)
    assert (small.crop_size, small.parts, small.middle, small.epochs) == (SIZE, 2, 0.7, 2)


class TestErrors:
    def test_too_little_is_linked(self, crops, weights, tmp_path):
        few = some(crops, np.flatnonzero(crops.tracklets >= 0)[:40])
        with pytest.raises(ValueError, match=r"crops: expected 64 or more .*got \d+ of 40 crops"):
            adapt(few, tmp_path / "run", weights)
        assert not (tmp_path / "run").exists()

    def test_no_tracklets_are_in_view_together(self, crops, weights, tmp_path):
        count = len(crops)
        alone = CropSet(
            crops.images, crops.clips, np.arange(count), np.arange(count) // 20, crops.clip_names
        )
        with pytest.raises(ValueError, match=r"crops: expected people .* together, got \d+ track"):
            adapt(alone, tmp_path / "run", weights)

    def test_weights_of_another_kind(self, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_file(resnet("resnet18").state_dict(), path)
        with pytest.raises(ValueError, match=r"weights\.safetensors: expected 'sslmot.encoder'"):
            adaptation(path)
        for kind, message in (
            ({"projection": (64, 64)}, r"projection \(\), .* got .* with \(64, 64\)"),
            ({"projection": None, "feature": "backbone"}, r"projection \(\), .* with None"),
            ({"projection": (), "mean": (0.5, 0.5, 0.5)}, r"mean \(0.485, .* with \(0.5, "),
        ):
            Encoder(EncoderConfig("resnet18", SIZE, **kind), device="cpu").save(path)
            with pytest.raises(ValueError, match=rf"weights: expected an encoder with {message}"):
                adaptation(path)

    @pytest.mark.parametrize("frames", ["7", "0-9", "9-1", "1-x", "-3-9", "1-2-3"])
    def test_flags_that_are_no_frames(self, frames, capsys):
        with pytest.raises(SystemExit):
            main(["adapt", "video.mp4", f"--frames={frames}"])
        assert (
            f"--frames: expected frames A-B, such as 1-262, got {frames}"
            in (capsys.readouterr()[1])
        )

    def test_frames_without_detections(self, footage, weights, tmp_path, capsys):
        flags = ["--weights", str(weights), "--output", str(tmp_path), "--frames", "41-80"]
        with pytest.raises(SystemExit):
            main(["adapt", str(footage[0]), "--detections", str(footage[1]), *flags])
        assert "frames: expected frames with detections in" in capsys.readouterr()[1]

    def test_clips_that_do_not_fit(self, footage, tmp_path, capsys):
        for arguments, message in (
            ([tmp_path / "nowhere.mp4"], f"path: expected a video or a folder, got {tmp_path}/now"),
            (footage[:1], "--detections: expected a file with a video, got none"),
            ([tmp_path, "--detections", footage[1]], "--detections: expected none with a sequence"),
        ):
            with pytest.raises(SystemExit):
                main(["adapt", *map(str, arguments), "--output", str(tmp_path / "run")])
            assert f"sslmot adapt: {message}" in capsys.readouterr()[1]

    @pytest.mark.slow
    def test_a_run_that_is_there(self, footage, adapted, capsys):
        """The error comes before the footage is read."""
        clip = [str(footage[0]), "--detections", "nowhere.txt"]
        with pytest.raises(SystemExit):
            main(["adapt", *clip, "--output", str(adapted.parent)])
        assert f"(sslmot train --resume {adapted.parent} goes on" in capsys.readouterr()[1]
