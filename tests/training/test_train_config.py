"""Settings of a training: every field is checked, and a file gives back what was saved."""

import dataclasses
import json
import math
import re

import pytest

from sslmot.training.config import TrainConfig

FIELDS = {
    field.name: getattr(TrainConfig(), field.name) for field in dataclasses.fields(TrainConfig)
}
CHOICES = {
    "method": ("sslmot", "simsiam", "byol", "barlow"),
    "loss": ("acd", "contrast", "cosine", "mse"),
    "normalize": ("vectors", "rows"),
    "head": ("mlp", "norm"),
    "backbone": ("resnet18", "resnet50", "resnet101", "efficientnet_lite0"),
    "feature": ("projection", "backbone"),
    "views": ("auto", "image", "poses", "poses+image", "poses+gate+image"),
    "augmentation": ("paper", "ablation", "both", "crowd", "camera", "colour"),
    "sampler": ("auto", "plain", "tracklet", "pairs", "identities"),
}
INTEGERS = {
    "batch_size": 4,
    "epochs": 1,
    "refresh": 1,
    "seed": 0,
    "stay": 0,
    "transit": 1,
    "neighbours": 1,
}
NUMBERS = ("temperature", "learning_rate", "balance", "distance", "warmup", "momentum",
           "weight_decay", "middle")  # fmt: skip


def test_every_field_is_in_this_file():
    known = {*CHOICES, *INTEGERS, *NUMBERS, "crop_size", "ibn", "parts", "initial", "poses"}
    known |= {"held_out", "initial_share", "teacher"}
    assert known == set(FIELDS)


@pytest.mark.parametrize("field", CHOICES)
def test_choices(field):
    base = {"head": "mlp", "loss": "acd", "method": "sslmot"}
    for choice in CHOICES[field]:
        if field == "views":
            base["poses"] = "" if choice == "image" else "poses"
        if field == "backbone":
            base["ibn"] = choice.startswith("resnet")
        assert getattr(TrainConfig(**(base | {field: choice})), field) == choice
    one_of = ", ".join(CHOICES[field])
    for wrong in ("", CHOICES[field][0].upper(), 0, True, None, [CHOICES[field][0]]):
        message = f"{field}: expected one of {one_of}, got {wrong!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            TrainConfig(**{field: wrong})


@pytest.mark.parametrize("field", INTEGERS)
def test_integers(field):
    low = INTEGERS[field]
    for right in (low, low + 1, 16):
        assert getattr(TrainConfig(**{field: right}), field) == right
    for wrong in (low - 1, -5, float(low + 1), True, str(low), None, math.nan):
        message = f"{field}: expected an integer of {low} or more, got {wrong!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            TrainConfig(**{field: wrong})


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("wrong", [-0.1, -1, math.inf, -math.inf, math.nan, True, None, "0.1", [1]])
def test_numbers(field, wrong):
    message = rf"^{field}: expected .*a number of .*, got {re.escape(repr(wrong))}$"
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{field: wrong})


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("temperature", (1e-6, 0.1, 1, 10), (0, 9e-7, 10.1)),
        ("learning_rate", (1e-6, 0.1, 1, 100), (0, 9e-7, 100.1)),
        ("balance", ("auto", 0, 0.005, 1e6), ("Auto", "", 1e400)),
        ("distance", (0.1, 0.5, 1), (1.01,)),
        ("warmup", (0, 0.5, 10), ()),
        ("momentum", (0, 0.9), (1.1,)),
        ("weight_decay", (0, 1e-4), (1.1,)),
        ("middle", (0.1, 0.8, 1), (0, 1.01)),
    ],
)
def test_ranges(field, right, wrong):
    for value in right:
        assert getattr(TrainConfig(**{field: value}), field) == value
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{field}: expected "):
            TrainConfig(**{field: value})


def test_crop_size():
    for right in ((64, 32), (128, 64), (1024, 33)):
        assert TrainConfig(crop_size=right).crop_size == right
    for wrong in ((63, 64), (64, 31), (1025, 64), (64,), (64, 64, 3), (64.0, 64), [64, 64], 64,
                  None, "64", ("64", "64"), (True, 64)):  # fmt: skip
        message = (
            f"crop_size: expected a tuple of 2 integers of (64, 32) to (1024, 1024), got {wrong!r}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            TrainConfig(crop_size=wrong)


@pytest.mark.parametrize("field", ["initial", "teacher", "poses"])
@pytest.mark.parametrize("wrong", [None, 1, True, b"weights", ["weights"]])
def test_paths(field, wrong):
    message = f"{field}: expected a text, got {wrong!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TrainConfig(**{field: wrong})


def test_warmup_ends_before_the_training():
    assert TrainConfig(warmup=3, epochs=3).warmup == 3
    with pytest.raises(ValueError, match=r"^warmup: expected at most epochs \(3\), got 3.1$"):
        TrainConfig(warmup=3.1, epochs=3)


def test_views_and_poses_go_together():
    with pytest.raises(ValueError, match=r"poses: expected a folder of make-poses with views pos"):
        TrainConfig(views="poses")
    with pytest.raises(ValueError, match=r"poses: expected none with views image, got 'folder'"):
        TrainConfig(views="image", poses="folder")


def test_norm_goes_with_acd_and_contrast_alone():
    for method in CHOICES["method"]:
        for loss in CHOICES["loss"]:
            fields = {"method": method, "loss": loss, "head": "norm"}
            if method != "sslmot" or loss in ("acd", "contrast"):
                assert TrainConfig(**fields).head == "norm"
            else:
                with pytest.raises(ValueError, match=r"^head: expected mlp .*, got norm$"):
                    TrainConfig(**fields)


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 1


# As a mapping and as a file.

OTHER = TrainConfig(
    method="sslmot",
    loss="contrast",
    normalize="rows",
    balance=0.005,
    temperature=0.3,
    head="norm",
    backbone="resnet18",
    parts=2,
    crop_size=(96, 48),
    initial="weights of ü: 'run', #1.safetensors",
    feature="backbone",
    augmentation="colour",
    sampler="identities",
    batch_size=6,
    epochs=7,
    refresh=3,
    learning_rate=1e-5,
    warmup=1.5,
    momentum=0.8,
    weight_decay=3e-7,
    seed=11,
    stay=21,
    transit=31,
    neighbours=5,
    distance=0.25,
)
configs = pytest.mark.parametrize(
    "config", [TrainConfig(), OTHER, TrainConfig(initial="1e5"), TrainConfig(initial="yes")]
)


@configs
def test_a_file_gives_back_what_was_saved(config, tmp_path):
    config.save(tmp_path / "config.yaml")
    loaded = TrainConfig.load(str(tmp_path / "config.yaml"))
    assert loaded == config
    assert [type(v) for v in dataclasses.astuple(loaded)] == [
        type(v) for v in dataclasses.astuple(config)
    ]


@configs
def test_json_gives_back_what_was_written(config):
    assert list(config.to_dict()) == list(FIELDS)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_is_absent_has_its_default(tmp_path):
    assert TrainConfig.from_dict({}) == TrainConfig()
    assert TrainConfig.from_dict({"epochs": 3}) == TrainConfig(epochs=3)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert TrainConfig.load(tmp_path / "empty.yaml") == TrainConfig()


def test_an_exponent_is_a_number(tmp_path):
    (tmp_path / "config.yaml").write_text("weight_decay: 1e-4\nlearning_rate: 2.5e1\n")
    config = TrainConfig.load(tmp_path / "config.yaml")
    assert (config.weight_decay, config.learning_rate) == (1e-4, 25)


def test_parts_and_ibn():
    assert [TrainConfig(parts=parts).parts for parts in (1, 2, 4, 8)] == [1, 2, 4, 8]
    for wrong in (0, 3, 16, True, 2.0, "2", None):
        with pytest.raises(ValueError, match=f"parts: expected one of 1, 2, 4, 8, got {wrong!r}"):
            TrainConfig(parts=wrong)
    with pytest.raises(ValueError, match="ibn: expected True or False, got 1"):
        TrainConfig(ibn=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "initial_share: expected 0 without initial weights, got 0.5"),
        (
            {"initial": "a.pth", "head": "mlp", "loss": "acd"},
            "initial_share: expected 0 with a pro",
        ),
        (
            {"initial": "a.pth", "method": "byol", "feature": "backbone"},
            "initial_share: expected 0",
        ),
    ],
)
def test_a_share_of_the_initial_weights_needs_these_and_no_projection(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(initial_share=0.5, **fields)


def test_the_paper_does_not_change_with_the_defaults():
    paper = TrainConfig.paper()
    assert (paper.loss, paper.head, paper.backbone) == ("acd", "mlp", "resnet50")
    assert (paper.sampler, paper.batch_size, paper.learning_rate) == ("plain", 512, 0.05)
    assert TrainConfig.paper(epochs=7).epochs == 7


def test_lists_are_tuples():
    assert TrainConfig.from_dict({"crop_size": [96, 48]}).crop_size == (96, 48)
    with pytest.raises(ValueError, match=re.escape("config: crop_size: expected")):
        TrainConfig.from_dict({"crop_size": [96]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch: 3", "expected some of method, loss, .*, distance.*, got 'epoch'"),
        ("1: 3", "expected some of method, .*, got 1"),
        ("epochs: many", "epochs: expected an integer of 1 or more, got 'many'"),
        ("epochs: 0", "epochs: expected an integer of 1 or more, got 0"),
        ("epochs: [3]", r"epochs: expected an integer of 1 or more, got \(3,\)"),
        ("method: [sslmot]", r"method: expected one of .*, got \('sslmot',\)"),
        ("initial:", "initial: expected a text, got None"),
        ("{head: norm, loss: mse}", "head: expected mlp"),
        ("- epochs", r"expected a mapping of method, loss, .*, got \['epochs'\]"),
        ("epochs", "expected a mapping of .*, got 'epochs'"),
        ("epochs: [3", "expected YAML, got while parsing"),
        ("!!python/object/apply:os.getcwd []", "expected YAML, got an alias or a tag"),
    ],
)
def test_errors_name_the_file(text, expected, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)^{re.escape(str(path))}: {expected}"):
        TrainConfig.load(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd", b"epochs: \x00"])
def test_a_file_that_is_no_text(content, tmp_path):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.yaml: expected (YAML|a text in UTF-8), got"):
        TrainConfig.load(tmp_path / "bad.yaml")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml"):
        TrainConfig.load(tmp_path / "absent.yaml")


def test_errors_of_a_mapping_name_their_source():
    with pytest.raises(ValueError, match=r"^checkpoint: seed: expected an integer of 0 or more"):
        TrainConfig.from_dict({"seed": -1}, "checkpoint")
    with pytest.raises(ValueError, match=r"^checkpoint: expected a mapping of .*, got None$"):
        TrainConfig.from_dict(None, "checkpoint")


@pytest.mark.parametrize(("text", "lacking"), [("", "method, loss"), ("method: byol", "loss, ")])
def test_the_file_of_a_run_holds_every_field(text, lacking, tmp_path):
    """Otherwise an empty file, from a full disk, would be a run with the defaults."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    TrainConfig.load(path)
    with pytest.raises(
        ValueError, match=f"config.yaml: expected all fields, got none of {lacking}"
    ):
        TrainConfig.load(path, whole=True)
    OTHER.save(path)
    assert TrainConfig.load(path, whole=True) == OTHER
