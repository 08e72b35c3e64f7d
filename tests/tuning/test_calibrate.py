"""Thresholds from footage without labels: how they are computed and stored."""

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest

from sslmot.appearance.calibration import CALIBRATED, fields_from_json
from sslmot.appearance.histogram import ColorHistogram
from sslmot.cli import main
from sslmot.data import mot
from sslmot.data.tracklets import link
from sslmot.tracking.config import TrackerConfig
from sslmot.tuning.calibrate import (
    GAP,
    MIN_PAIRS,
    MIN_TRACKLETS,
    calibrate,
)
from sslmot.tuning.footage import Footage

FIELDS = {"tau": 0.1, "min_affinity": 0.25, "lost_affinity": 0.5}


def walk(people=12, frames=100, common=0.5, own=0.4, seed=0):
    """Make people side by side: cosines are about ``common``, ``common + own`` for one person."""
    rng = np.random.default_rng(seed)
    noise = 1 - common - own
    people_features = np.zeros((people, 65))
    people_features[:, 0] = math.sqrt(common)
    people_features[:, 1:] = math.sqrt(own) * unit(rng.normal(size=(people, 64)))
    left = np.arange(people)[:, None] * 100.0
    detections, embeddings = [], []
    for t in range(frames):
        box = np.hstack([left + t, 0 * left + 50, left + t + 40, 0 * left + 150, 0 * left + 0.9])
        order = rng.permutation(people)
        rows = people_features + np.hstack(
            [np.zeros((people, 1)), math.sqrt(noise) * unit(rng.normal(size=(people, 64)))]
        )
        detections.append(box[order].astype(np.float32))
        embeddings.append(rows[order].astype(np.float32))
    return Footage("reid_max_speed", detections, embeddings)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# What is found


def test_thresholds_lie_between_the_different_and_the_same():
    found = calibrate(walk())
    assert found.different.pairs == 99 * 12 * 11
    assert found.same.pairs == 40 * 12
    assert (found.gap, found.tracklets) == (60, 12)
    assert found.different.median == pytest.approx(0.5, abs=0.05)
    # The averaged feature has little noise, so it is more similar than two single features.
    assert 0.9 < found.same.median < 1
    high, same = found.different.high, found.same.median
    assert found.different.median < high < found.lost_cosine < same
    assert found.min_cosine == pytest.approx(high, abs=0.01)
    assert found.lost_cosine == pytest.approx(high + 2 / 3 * (same - high), abs=0.01)


def test_only_thresholds_change():
    config = TrackerConfig(ema=0.5, lost_affinity=0.5, min_hits=2)
    found = calibrate(walk(), config)
    assert found.gap == GAP
    assert found.fields == {name: getattr(found.config, name) for name in CALIBRATED}
    fitted = {"tau": found.config.tau, "min_affinity": found.config.min_affinity}
    assert found.config == dataclasses.replace(config, **fitted)
    for cosine, affinity in (
        (found.min_cosine, found.config.min_affinity),
        (found.lost_cosine, 0.5),
    ):
        assert math.exp((cosine - 1) / found.config.tau) == pytest.approx(affinity)
    assert 0 < found.config.min_affinity < found.config.lost_affinity


def test_better_features_leave_a_wider_margin():
    found = [calibrate(walk(common=0.9 - own, own=own)) for own in (0.2, 0.4, 0.6, 0.8)]
    margins = [c.same.median - c.lost_cosine for c in found]
    assert margins == sorted(margins)
    assert margins[-1] > 3 * margins[0] > 0
    taus = [c.config.tau for c in found]
    assert taus == sorted(taus)


@pytest.mark.parametrize("delta", [0.0, 0.5, 0.9])
def test_pairs_one_by_one(delta, monkeypatch):
    """Compared with loops over tracklets, some of which are interrupted."""
    monkeypatch.setattr("sslmot.tuning.calibrate.GAP", 20)
    footage = walk(people=16, frames=50, seed=1)
    for t in (7, 8, 30):
        footage.detections[t][:5, 2] -= 30  # too narrow for a link
    tracklets = link({t: rows[:, :4] for t, rows in enumerate(footage.detections)})
    rows = [unit(z) for z in footage.embeddings]
    where = {}
    for t, numbers in tracklets.items():
        for i, number in enumerate(numbers.tolist()):
            if number >= 0:
                where.setdefault(number, []).append((t, i))
    different, same = [], []
    for places in where.values():
        memory = []
        for n, (t, i) in enumerate(places):
            if n:
                different += [memory[-1] @ z for j, z in enumerate(rows[t]) if j != i]
                share = min(delta, n / (n + 1))
                mixed = share * memory[-1] + (1 - share) * rows[t][i]
                memory.append(mixed / np.linalg.norm(mixed))
            else:
                memory.append(rows[t][i])
            if n >= 20:
                same.append(memory[n - 20] @ rows[t][i])
    found = calibrate(footage, TrackerConfig(ema=delta))
    assert found.gap == 20
    assert found.tracklets == sum(len(places) > 20 for places in where.values())
    for got, cosines in ((found.different, different), (found.same, same)):
        assert got == pytest.approx((len(cosines), *np.percentile(cosines, (5, 50, 95))), abs=1e-6)


def test_a_constant_part_of_all_features_changes_only_the_temperature():
    footage, share = walk(), 0.75
    plain = calibrate(footage)
    squeezed = [
        np.hstack([math.sqrt(1 - share) * unit(z), np.full((len(z), 1), math.sqrt(share))])
        for z in footage.embeddings
    ]
    found = calibrate(dataclasses.replace(footage, embeddings=squeezed))
    assert found.config.tau == pytest.approx((1 - share) * plain.config.tau, rel=0.1)
    assert found.config.min_affinity == pytest.approx(plain.config.min_affinity, rel=0.1)


def test_the_same_footage_gives_the_same():
    assert calibrate(walk()) == calibrate(walk())


def test_lengths_of_features_and_unknown_ones_do_not_matter():
    footage = walk(people=13)
    twelve = [(d[:, 0] - t < 1150) for t, d in enumerate(footage.detections)]
    without = Footage(
        "twelve",
        [d[keep] for d, keep in zip(footage.detections, twelve, strict=True)],
        [z[keep] for z, keep in zip(footage.embeddings, twelve, strict=True)],
    )
    rng = np.random.default_rng(1)
    for z, keep in zip(footage.embeddings, twelve, strict=True):
        z *= rng.uniform(0.1, 10, (len(z), 1)).astype(np.float32) * keep[:, None]
    found, expected = calibrate(footage), calibrate(without)
    assert found.different == pytest.approx(expected.different, abs=1e-6)
    assert found.same == pytest.approx(expected.same, abs=1e-6)


def test_shorter_footage_has_a_shorter_gap():
    found = calibrate(walk(frames=50))
    assert found.gap == 49
    assert found.tracklets == 12
    assert calibrate(walk(frames=31)).gap == 30  # half of the gap


# Too little


@pytest.mark.parametrize(
    ("footage", "message"),
    [
        (
            walk(people=MIN_TRACKLETS - 1),
            f"footage: expected {MIN_TRACKLETS} or more tracklets that last for 30 frames, got 9",
        ),
        (walk(frames=30), f"{MIN_TRACKLETS} or more tracklets that last for 30 .*, got 0"),
        (Footage("empty", [], []), "tracklets that last for 30 frames, got 0"),
        (Footage("motion", walk().detections), "footage: expected embeddings .*, got none"),
        (walk(common=0.9, own=0.0), "the median cosine of a person with itself 60 frames"),
    ],
)
def test_footage_with_too_little_data(footage, message):
    with pytest.raises(ValueError, match=message):
        calibrate(footage)


def test_people_who_are_alone():
    # One person after the other, each for 41 frames.
    one = walk(people=1, frames=41)
    footage = Footage("alone", [], [])
    for i in range(MIN_TRACKLETS):
        shift = np.float32([500 * i, 0, 500 * i, 0, 0])
        footage.detections.extend(d + shift for d in one.detections)
        footage.embeddings.extend(one.embeddings)
    with pytest.raises(ValueError, match=f"{MIN_PAIRS} or more pairs of a tracklet .*, got 0"):
        calibrate(footage)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((12, 65), np.nan), "finite, .*, got NaN or inf in frame 2"),
        (np.ones((11, 65)), r"a row for each detection, got \(11, 65\) for 12 in frame 2"),
        (np.ones((12, 64)), r"of one width, .*, got \(12, 64\) for 12 in frame 2"),
    ],
)
def test_faulty_embeddings(rows, message):
    footage = walk()
    footage.embeddings[1] = rows
    with pytest.raises(ValueError, match=message):
        calibrate(footage)


@pytest.mark.parametrize("affinity", [0.0, 1.0])
def test_an_affinity_without_a_temperature(affinity):
    with pytest.raises(ValueError, match="lost_affinity: expected a number between 0 and 1, both"):
        calibrate(walk(), TrackerConfig(lost_affinity=affinity))


# The calibration of an encoder


def test_the_calibration_of_the_histogram():
    assert fields_from_json(json.dumps(dict(ColorHistogram.calibration)))


def test_the_calibration_in_a_file(tmp_path):
    pytest.importorskip("torch")
    from sslmot.appearance.encoder import Encoder, EncoderConfig

    encoder = Encoder(EncoderConfig("resnet18", (64, 32), projection=(24, 16)), device="cpu")
    assert encoder.calibration == {}
    encoder.save(path := tmp_path / "encoder.safetensors", {"trained on": "nothing"})
    assert Encoder.load(path).calibration == {}
    encoder.calibration = FIELDS
    encoder.save(path, {"trained on": "nothing"})
    for _ in range(2):
        loaded = Encoder.load(path, "cpu")
        assert loaded.calibration == FIELDS
        assert loaded.metadata == {"trained on": "nothing"}
        loaded.save(path)
    # It belongs to this feature, not to the other.
    assert Encoder.load(path, "cpu", feature="projection").calibration == FIELDS
    assert Encoder.load(path, "cpu", feature="backbone").calibration == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "calibration: expected a JSON object of tau, min_affinity, lost_affinity, got {"),
        ("[1]", r"calibration: expected a JSON object of .*, got \[1\]"),
        ('{"tau": 0.1}', "calibration: expected a JSON object of"),
        (json.dumps({**FIELDS, "max_age": 3}), "calibration: expected a JSON object of"),
        (json.dumps({**FIELDS, "tau": 0}), "calibration: tau: expected a number of .*, got 0"),
        (json.dumps({**FIELDS, "tau": math.nan}), "calibration: tau: expected .*, got nan"),
        (json.dumps({**FIELDS, "min_affinity": 2}), "calibration: min_affinity: expected"),
        (json.dumps({**FIELDS, "lost_affinity": "1"}), "calibration: lost_affinity: expected"),
    ],
)
def test_damaged(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fields_from_json(text)
    pytest.importorskip("torch")
    from sslmot.appearance.encoder import Encoder, EncoderConfig

    encoder = Encoder(EncoderConfig("resnet18", (32, 16), projection=None, feature="backbone"))
    encoder.save(tmp_path / "e.safetensors", {"sslmot.calibration": text}, half=True)
    with pytest.raises(ValueError, match=rf"e\.safetensors: {message}"):
        Encoder.load(tmp_path / "e.safetensors")


# The command


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Write a sequence of people with two colours each, as a folder and as a video."""
    rng, footage, size = np.random.default_rng(0), walk(frames=40), (1240, 160)
    colours = rng.integers(0, 256, (12, 2, 3))
    root = tmp_path_factory.mktemp("data")
    detections = dict(enumerate(footage.detections, 1))
    sequence = mot.write_sequence(root, "clip", 30, size, detections)
    sequence.image_dir.mkdir()
    coder = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(sequence.path / "clip.avi"), coder, 30, size)
    for t, dets in detections.items():
        frame = np.full((size[1], size[0], 3), 128, np.uint8)
        for left in dets[:, 0].astype(int):
            person = colours[(left - t + 1) // 100] + rng.normal(0, 20, (2, 3))
            frame[50:100, left : left + 40], frame[100:150, left : left + 40] = person.clip(0, 255)
        cv2.imwrite(str(sequence.image_dir / f"{t:06d}.jpg"), frame)
        video.write(frame)
    video.release()
    return sequence


def run(capsys, *arguments):
    main(["calibrate", *map(str, arguments)])
    return capsys.readouterr().out


def fails(capsys, *arguments):
    with pytest.raises(SystemExit):
        run(capsys, *arguments)
    return capsys.readouterr().err


def test_command_on_a_sequence_and_a_video(clip, tmp_path, capsys):
    texts = [
        run(capsys, clip.path, "--histogram", "--output", tmp_path / "new" / "sequence.yaml"),
        run(
            *(capsys, clip.path / "clip.avi", "--detections", clip.detections_path),
            *("--histogram", "--output", tmp_path / "video.yaml"),
        ),
    ]
    names = ("new/sequence.yaml", "video.yaml")
    for text, name in zip(texts, names, strict=True):
        assert text.splitlines()[-1] == str(tmp_path / name)
    sequence, video = (TrackerConfig.load(tmp_path / name, whole=True) for name in names)
    assert f"tau {sequence.tau:g}\n" in texts[0]
    assert sequence != TrackerConfig()
    # The same frames, compressed.
    assert video.tau == pytest.approx(sequence.tau, rel=0.1)
    assert video.min_affinity == pytest.approx(sequence.min_affinity, rel=0.2)


@pytest.mark.slow
def test_command_writes_the_encoder_with_its_calibration(clip, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from sslmot.appearance.encoder import Encoder, EncoderConfig

    plain, calibrated = tmp_path / "plain.safetensors", tmp_path / "calibrated.safetensors"
    config = EncoderConfig("resnet18", (32, 16), projection=None, feature="backbone")
    Encoder(config).save(plain, {"trained on": "nothing"})
    run(capsys, clip.path, "--weights", plain, "--output", calibrated)
    run(capsys, clip.path, "--weights", plain, "--output", tmp_path / "config.yaml")
    before, after = Encoder.load(plain), Encoder.load(calibrated)
    settings = TrackerConfig.load(tmp_path / "config.yaml")
    assert after.calibration == {name: getattr(settings, name) for name in CALIBRATED}
    assert after.metadata == before.metadata
    for name, tensor in before.network.state_dict().items():
        assert torch.equal(tensor, after.network.state_dict()[name])


def test_command_that_does_not_fit(clip, tmp_path, capsys):
    video = clip.path / "clip.avi"
    for arguments, message in (
        ([video], "--detections: expected a file with a video, got none"),
        (
            [clip.path, "--detections", clip.detections_path],
            "--detections: expected none with a sequence, which has its own",
        ),
        (
            [clip.path, "--output", tmp_path / "encoder.safetensors"],
            "--output: expected a file .yaml, got",
        ),
        ([tmp_path / "nowhere"], f"path: expected a video or a folder, got {tmp_path}/nowhere"),
        ([tmp_path], "a sequence: expected a file"),
    ):
        assert f"sslmot calibrate: {message}" in fails(capsys, *arguments, "--histogram")
    message = "--output: expected a file .yaml or .safetensors, got config.json"
    assert message in fails(capsys, clip.path, "--output", "config.json")
    assert not list(tmp_path.iterdir())


def test_command_makes_the_folder_before_embedding(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr(ColorHistogram, "__call__")
    (tmp_path / "taken").write_text("")
    message = fails(capsys, clip.path, "--histogram", "--output", tmp_path / "taken" / "c.yaml")
    assert str(tmp_path / "taken") in message


@pytest.mark.processor
@pytest.mark.slow
def test_command_on_real_footage(data_root, tmp_path, capsys):
    sequence = data_root / "MOT17" / "train" / "MOT17-09-FRCNN"
    if not (sequence / "img1").is_dir():
        pytest.skip(f"no frames in {sequence}")
    text = run(capsys, sequence, "--histogram", "--output", tmp_path / "config.yaml")
    assert "one person, 60 frames later" in text
    found = TrackerConfig.load(tmp_path / "config.yaml")
    assert found == dataclasses.replace(TrackerConfig(), tau=0.216, min_affinity=0.241)
    # The calibration of the histogram is near, and more lenient.
    assert found.tau == ColorHistogram.calibration["tau"]
    for name in ("min_affinity", "lost_affinity"):
        assert 0 < getattr(found, name) - ColorHistogram.calibration[name] < 0.1
