"""Exported encoders give the same features, and say how to make crops."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sslmot.appearance.crops import crop  # noqa: E402
from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402
from sslmot.appearance.export import export, notes  # noqa: E402
from sslmot.cli import main  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:DeprecationWarning")
FRAME = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
BOXES = np.array(
    [[5, 5, 45, 100], [30.5, 10, 60, 90.25], [-10, 0, 40, 130], [500, 0, 540, 90]], np.float32
)


def run_onnx(path):
    """Return a function that computes features with ONNX Runtime, and the notes."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return (
        lambda crops: session.run(["features"], {"crops": crops})[0],
        session.get_modelmeta().custom_metadata_map,
    )


def run_torchscript(path):
    extra = {"sslmot.json": ""}
    network = torch.jit.load(str(path), _extra_files=extra)
    return (
        lambda crops: network(torch.from_numpy(crops)).numpy(),
        json.loads(extra["sslmot.json"]),
    )


RUN = {"onnx": run_onnx, "torchscript": run_torchscript}
CONFIGS = [
    EncoderConfig("resnet18", (64, 64), projection=(), parts=4, middle=0.8, ibn=True),
    EncoderConfig("efficientnet_lite0", (64, 64), projection=(), parts=4),
    EncoderConfig("resnet18", (48, 32), projection=(24, 16), mean=(0.5, 0.4, 0.3)),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("format", RUN)
@pytest.mark.processor
def test_features_are_those_of_the_encoder(format, config, tmp_path, device):
    if format == "onnx":
        pytest.importorskip("onnx")
    encoder = Encoder(config, seed=2, device=device, bfloat16=False)
    export(encoder, tmp_path / "file", format)
    assert encoder.device.type == device
    run, about = RUN[format](tmp_path / "file")
    # Only with the notes in the file.
    assert about["channels"] == "RGB"
    assert about["fingerprint"] == encoder.fingerprint
    size, mean, std, middle = (json.loads(about[k]) for k in ("size", "mean", "std", "middle"))
    crops = crop(FRAME, BOXES, tuple(size), tuple(mean), tuple(std), middle=middle)
    expected = np.asarray(torch.as_tensor(encoder(FRAME, BOXES)).cpu())
    expected[:3] /= np.linalg.norm(expected[:3], axis=1, keepdims=True)
    tolerance = 1e-5 if device == "cpu" else 5e-3
    for n in (4, 1, 2):  # any batch size
        features = run(crops[:n])
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected[:n], atol=tolerance)


def test_the_command(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    encoder = Encoder(CONFIGS[1], device="cpu")
    encoder.save("mine.safetensors")
    main(["export", "mine.safetensors"])
    main(["export", "mine.safetensors", "--format", "torchscript", "--output", "made/mine.pt"])
    assert capsys.readouterr()[0].splitlines() == ["encoder.onnx", "made/mine.pt"]
    assert run_onnx("encoder.onnx")[1] == notes(encoder)
    assert run_torchscript("made/mine.pt")[1] == notes(encoder)


def test_errors(tmp_path, monkeypatch, capsys):
    encoder = Encoder(CONFIGS[1], device="cpu")
    with pytest.raises(ValueError, match="format: expected onnx or torchscript, got 'tflite'"):
        export(encoder, tmp_path / "file", "tflite")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install sslmot\[export\]"):
        export(encoder, tmp_path / "file")
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path / "none.safetensors")])
    assert "none.safetensors" in capsys.readouterr()[1]
    assert not list(tmp_path.iterdir())
