"""The commands of pose views, from person crops to an encoder."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("kornia")

from sslmot.cli import main


def fails(capsys, *arguments):
    """Return the one line on stderr of a command that exits with 2, without messages of LiteRT."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as status:
        main([str(argument) for argument in arguments])
    assert status.value.code == 2
    return capsys.readouterr()[1].splitlines()[-1]


@pytest.fixture(scope="module")
def pose_model(data_root):
    pytest.importorskip("ai_edge_litert")
    return str(data_root / "weights" / "pose_landmark_full.tflite")


@pytest.fixture(scope="module")
def photographs(data_root, tmp_path_factory):
    """Copy each 60th of 3,000 crops of Market-1501."""
    folder = tmp_path_factory.mktemp("photographs") / "people"
    folder.mkdir()
    files = sorted((data_root / "Market-1501" / "bounding_box_train").glob("*.jpg"))
    for path in files[:3000:60]:
        shutil.copy(path, folder / path.name)
    return str(folder)


TINY = "--pairs flip --width 4 --blocks 1 --epochs 1 --batch-size 8"


@pytest.mark.slow
def test_from_photographs_to_an_encoder(photographs, pose_model, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    model = ["--pose-model", pose_model]
    main(["train-pngan", photographs, *model, *TINY.split(), "--output", "runs/pngan"])
    assert capfd.readouterr()[0].splitlines()[-1] == "runs/pngan/generator.safetensors"
    assert len(list(Path("runs/pngan/samples").iterdir())) == 1
    main(["train-pngan", "--resume", "runs/pngan"])
    joints = list(Path("runs/joints").iterdir())
    assert len(joints) == 1
    found = joints[0].stat().st_mtime_ns
    main(["make-poses", photographs, "--pngan", "runs/pngan", *model])
    assert joints[0].stat().st_mtime_ns == found  # cached, not estimated again
    settings = "--poses runs/poses --sampler plain --epochs 1 --batch-size 16"
    main(["train", photographs, *settings.split(), "--output", "runs/encoder"])
    assert "views: poses+gate+image" in Path("runs/encoder/config.yaml").read_text()
    assert Path("runs/encoder/encoder.safetensors").is_file()


def test_labels_are_needed(data_root, photographs, pose_model, tmp_path, capsys):
    sources = [photographs, photographs]
    arguments = [*sources, "--pairs", "identity", "--pose-model", pose_model]
    message = fails(capsys, "train-pngan", *arguments, "--output", tmp_path / "run")
    assert message.endswith("paths: expected a single labelled source for pairs identity")
    assert not (tmp_path / "run").exists()


def test_no_pose_model(photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    message = fails(capsys, "train-pngan", photographs)
    assert "expected a pose model, found no pose_landmark_full.tflite" in message
    assert "`sslmot pose-model extract` gets one" in message


def test_tracklet_pairs_of_photographs(photographs, pose_model, tmp_path, capsys):
    arguments = ["--pose-model", pose_model, "--joints", tmp_path / "joints"]
    message = fails(capsys, "train-pngan", photographs, *arguments, "--output", tmp_path / "run")
    assert "expected two full bodies of a tracklet" in message


def test_missing_arguments(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "paths: expected one source or more" in fails(capsys, "train-pngan", "--pairs", "flip")
    assert "--pngan: expected a run" in fails(capsys, "make-poses", tmp_path)
    assert "--resume: expected no sources" in fails(
        capsys, "train-pngan", "--resume", tmp_path, "--epochs", "3"
    )
    assert "resume: expected a run with" in fails(capsys, "train-pngan", "--resume", tmp_path)
