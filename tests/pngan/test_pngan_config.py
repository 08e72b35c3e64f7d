"""Settings of PN-GAN's training: every field is checked, and a file gives back what was saved."""

import dataclasses
import json
import math
import re
import subprocess
import sys

import pytest

from sslmot.pngan.config import PnganConfig

OTHER = PnganConfig("identity", (64, 32), 8, 2, 4, 3, 1e-5, 0.5, 7)


def test_the_defaults_are_the_papers():
    config = PnganConfig()
    assert (config.crop_size, config.width, config.blocks) == ((128, 64), 64, 9)
    assert (config.batch_size, config.epochs, config.learning_rate) == (32, 20, 2e-4)
    assert config.l1 == 10


@pytest.mark.parametrize(
    ("field", "right", "wrong", "expected"),
    [
        (
            "pairs",
            ("tracklet", "pseudo", "identity", "flip"),
            ("", "Flip", None, 1, ["flip"]),
            "one of tracklet, pseudo, identity, flip",
        ),
        (
            "crop_size",
            ((32, 16), (128, 64), (256, 100)),
            ((28, 16), (32, 12), (128, 66), (126, 64), (1028, 64), (128,), [128, 64], (128.0, 64),
             "128", None),
            "a tuple of 2 integers of (32, 16) to (1024, 1024) in steps of 4",
        ),
        ("width", (1, 64), (0, -1, 8.0, True, "8", None), "an integer of 1 to 1024"),
        ("blocks", (1, 9), (0, 1.0), "an integer of 1 to 1024"),
        ("batch_size", (1, 32), (0, 1.0), "an integer of 1 or more"),
        ("epochs", (1, 20), (0, 1.0), "an integer of 1 or more"),
        ("seed", (0, 2**63 - 1), (-1, 2**63, 0.0), "an integer of 0 or more"),
        ("learning_rate", (1e-6, 1), (0, 1.1, math.nan, True, "1"), "a number of 1e-06 to 1"),
        ("l1", (0, 100.0), (-0.1, math.inf, math.nan, None), "a number of 0 or more"),
    ],
)  # fmt: skip
def test_fields(field, right, wrong, expected):
    for value in right:
        assert getattr(PnganConfig(**{field: value}), field) == value
    for value in wrong:
        message = f"{field}: expected {expected}, got {value!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            PnganConfig(**{field: value})


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PnganConfig().epochs = 1


@pytest.mark.parametrize("config", [PnganConfig(), OTHER])
def test_a_file_gives_back_what_was_saved(config, tmp_path):
    config.save(tmp_path / "config.yaml")
    assert PnganConfig.load(tmp_path / "config.yaml") == config
    assert PnganConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "bad.yaml"
    for text, expected in (
        ("lambda: 3", "expected some of pairs, crop_size, .*, got 'lambda'"),
        ("epochs: 0", "epochs: expected an integer of 1 or more, got 0"),
        ("- epochs", "expected a mapping of pairs, .*, got"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {expected}"):
            PnganConfig.load(path)


def test_needs_no_torch():
    code = "import sys, sslmot.pngan.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
