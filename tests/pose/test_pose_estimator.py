"""Pose models: BlazePose, ONNX by two runtimes, their cache, and where BlazePose comes from."""

import hashlib
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch

from sslmot import tensors
from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD
from sslmot.data.crops import CropSet
from sslmot.data.images import read_image_folder
from sslmot.pose import download
from sslmot.pose import estimator as module
from sslmot.pose.estimator import estimate, fingerprint
from sslmot.pose.full_body import full_body
from sslmot.pose.joints import JOINTS, from_coco17, mirror
from sslmot.pose.model import load_pose_model
from sslmot.pose.onnx import OnnxPose, heatmap_peaks


def crop_set(images):
    n = len(images)
    return CropSet(images, np.zeros(n, np.int32), np.arange(n), np.full(n, -1), ("a",))


def images(n, size=(8, 4), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), dtype=np.uint8)


class Fake:
    """Returns joints that identify their image, and counts its inputs."""

    def __init__(self, fingerprint="a" * 64, fails_after=None):
        self.fingerprint, self.seen, self.fails_after = fingerprint, [], fails_after

    def __call__(self, crops):
        if self.fails_after is not None and len(self.seen) >= self.fails_after:
            raise KeyboardInterrupt
        self.seen += [crop.tobytes() for crop in crops]
        return self.of(crops)

    def of(self, crops):
        joints = np.zeros((len(crops), 18, 3), np.float32)
        joints[:, 0] = crops[:, 0, 0]
        joints[:, 1, 0] = int(self.fingerprint[0], 16)
        return joints


# A set of crops and its cache.


@pytest.mark.parametrize("n", [0, 1, 64, 150])
def test_each_crop_gets_its_joints(n, tmp_path):
    crops, fake = crop_set(images(n)), Fake()
    for cache in (None, tmp_path / "new" / "cache"):
        joints = estimate(crops, fake, cache)
        assert joints.shape == (n, 18, 3)
        assert joints.dtype == np.float32
        np.testing.assert_array_equal(joints, fake.of(crops.images))


def test_one_image_is_looked_at_once():
    some = images(5)
    order = np.random.default_rng(0).integers(0, 5, 300)
    fake = Fake()
    joints = estimate(crop_set(some[order]), fake, None)
    np.testing.assert_array_equal(joints, fake.of(some[order]))
    assert len(fake.seen) == 5


def test_known_crops_are_not_looked_at_again(tmp_path):
    some, fake = images(150), Fake()
    estimate(crop_set(some[:100]), fake, tmp_path)
    assert len(fake.seen) == 100
    again = Fake()
    shuffled = some[np.random.default_rng(0).permutation(150)]
    np.testing.assert_array_equal(estimate(crop_set(shuffled), again, tmp_path), fake.of(shuffled))
    assert sorted(again.seen) == sorted(image.tobytes() for image in some[100:])


def test_the_same_bytes_in_another_shape_are_another_crop(tmp_path):
    some, fake = images(3, (8, 4)), Fake()
    estimate(crop_set(some), fake, tmp_path)
    estimate(crop_set(some.reshape(3, 4, 8, 3)), fake, tmp_path)
    assert len(fake.seen) == 6


def test_the_file(tmp_path):
    some, fake = images(70), Fake("0123456789abcdef" * 4)
    joints = estimate(crop_set(some), fake, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["joints-0123456789abcdef.safetensors"]
    arrays, _ = tensors.read(tmp_path / "joints-0123456789abcdef.safetensors")
    assert sorted(arrays) == ["digests", "joints"]
    for row, image in enumerate(some):
        content = repr(image.shape).encode() + image.tobytes()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        place = [bytes(d) for d in arrays["digests"].numpy()].index(digest)
        np.testing.assert_array_equal(arrays["joints"][place].numpy(), joints[row])


def test_each_model_has_its_own_file(tmp_path):
    crops = crop_set(images(4))
    first, second = Fake("1" * 64), Fake("2" * 64)
    a, b = estimate(crops, first, tmp_path), estimate(crops, second, tmp_path)
    assert (a != b).any()
    assert len(second.seen) == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    crops = crop_set(images(64 * 6))
    with pytest.raises(KeyboardInterrupt):
        estimate(crops, Fake(fails_after=64 * 5), tmp_path)
    rest = Fake()
    np.testing.assert_array_equal(estimate(crops, rest, tmp_path), rest.of(crops.images))
    assert len(rest.seen) == 64 * 2  # four batches of five had been saved


KILLED = """
import sys, time
import numpy as np
import test_pose_estimator as t
from pathlib import Path

class Slow(t.Fake):
    def __call__(self, crops):
        print(len(self.seen), flush=True)
        time.sleep(0.05)
        return super().__call__(crops)

t.module.SAVE_EVERY = 1
t.estimate(t.crop_set(t.images(64 * 200)), Slow(), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with run:
        for _ in range(4):
            assert run.stdout.readline()
        run.send_signal(signal.SIGKILL)
    crops, rest = crop_set(images(64 * 200)), Fake()
    np.testing.assert_array_equal(estimate(crops, rest, tmp_path), rest.of(crops.images))
    assert 0 < len(rest.seen) <= 64 * 197


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"digests": np.zeros((2, 16), np.uint8)}, "'joints'"),
        (
            {"digests": np.zeros((2, 16), np.uint8), "joints": np.zeros((3, 18, 3), "f4")},
            r"\(2, 16",
        ),
        ({"digests": np.zeros((3, 16), np.int8), "joints": np.zeros((3, 18, 3), "f4")}, "int8"),
        ({"digests": np.zeros((3, 16), np.uint8), "joints": np.zeros((3, 17, 3), "f4")}, "joints"),
    ],
)
def test_a_cache_that_is_none(tmp_path, arrays, message):
    fake = Fake()
    path = tmp_path / f"joints-{fake.fingerprint[:16]}.safetensors"
    tensors.write(path, {name: torch.from_numpy(a) for name, a in arrays.items()}, {})
    with pytest.raises(ValueError, match=f"joints-a+.safetensors: expected .*{message}"):
        estimate(crop_set(images(2)), fake, tmp_path)


def test_a_damaged_cache(tmp_path):
    fake = Fake()
    estimate(crop_set(images(9)), fake, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"joints-a+.safetensors: expected a safetensors file"):
        estimate(crop_set(images(9)), fake, tmp_path)


@pytest.mark.parametrize("wrong", [(9, 17, 3), (8, 18, 3)])
def test_an_estimator_that_gives_something_else(wrong, tmp_path):
    fake = Fake()
    fake.of = lambda crops: np.zeros(wrong, np.float32)
    with pytest.raises(ValueError, match="estimator: expected"):
        estimate(crop_set(images(9)), fake, tmp_path)
    assert not list(tmp_path.iterdir())


# Which model.


def test_other_paths(tmp_path):
    with pytest.raises(
        ValueError, match=r"path: expected a pose model, \.tflite or \.onnx, got .*"
    ):
        load_pose_model(tmp_path / "model.pth")
    for name in ("a.tflite", "a.onnx"):
        with pytest.raises(FileNotFoundError, match=f"{name}; `sslmot pose-model extract`"):
            load_pose_model(tmp_path / name)


def test_a_fingerprint_is_of_model_and_settings():
    seen = [fingerprint(b"a"), fingerprint(b"b"), fingerprint(b"a", 1), fingerprint(b"a", 2)]
    assert len(set(seen)) == 4
    assert fingerprint(b"a", 1) == seen[2]
    assert all(len(s) == 64 for s in seen)


# BlazePose.


@pytest.fixture(scope="module")
def weights(data_root):
    path = data_root / "weights/pose_landmark_full.tflite"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="module")
def blazepose(weights):
    pytest.importorskip("ai_edge_litert")
    return load_pose_model(weights)


@pytest.fixture(scope="module")
def people(data_root, tmp_path_factory):
    folder = data_root / "Market-1501" / "bounding_box_train"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    few = tmp_path_factory.mktemp("people")
    for path in sorted(folder.iterdir())[::300]:
        if path.suffix == ".jpg":
            (few / path.name).symlink_to(path)
    return read_image_folder(few, (128, 64)).images


@pytest.mark.processor
def test_people_have_their_heads_up_and_their_feet_down(blazepose, people):
    joints = blazepose(people)
    assert joints.shape == (len(people), 18, 3)
    assert joints.dtype == np.float32
    assert 0 <= joints[..., 2].min() <= joints[..., 2].max() <= 1
    full = joints[full_body(joints)]
    assert 0.3 < len(full) / len(people) < 0.9
    middle = dict(zip(JOINTS, np.median(full[..., :2], axis=0), strict=True))
    for name, low, high in (("nose", 0.05, 0.25), ("right_hip", 0.4, 0.6), ("left_ankle", 0.8, 1)):
        assert low < middle[name][1] < high
        assert 0.2 < middle[name][0] < 0.8


@pytest.mark.processor
def test_a_flipped_crop_has_mirrored_joints(blazepose, people):
    joints = blazepose(people)
    full = full_body(joints)
    flipped = mirror(blazepose(people[full][:, :, ::-1]))
    away = np.abs(flipped[..., :2] - joints[full][..., :2]) * [64, 128]
    assert np.median(away) < 2  # pixels


@pytest.mark.processor
def test_noise_shows_no_person(blazepose):
    plain = np.full((2, 128, 64, 3), 127, np.uint8)
    joints = blazepose(np.concatenate([plain, images(4, (128, 64))]))
    assert joints[..., 2].max() < 0.5
    assert not full_body(joints).any()


def test_the_answer_does_not_depend_on_the_company(blazepose, people):
    together = blazepose(people[:5])
    for i in range(5):
        np.testing.assert_array_equal(blazepose(people[i : i + 1])[0], together[i])
    assert blazepose(people[:0]).shape == (0, 18, 3)


@pytest.mark.processor
def test_a_larger_crop_of_the_same_shows_the_same(blazepose, people):
    full = people[full_body(blazepose(people))]
    double = full.repeat(2, axis=1).repeat(2, axis=2)
    away = np.abs(blazepose(double) - blazepose(full))[..., :2] * [64, 128]
    assert np.median(away) < 1.5


def test_files_that_are_no_blazepose(tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "a.tflite"
    path.write_bytes(b"not a model at all" * 9)
    with pytest.raises(ValueError, match=r"a\.tflite: expected a BlazePose model, got "):
        load_pose_model(path)


def test_another_tflite_model(weights, monkeypatch):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    outputs = [{"shape": np.array([1, 7]), "index": 3}]
    monkeypatch.setattr(interpreter.Interpreter, "get_output_details", lambda self: outputs)
    with pytest.raises(ValueError, match=r"\(1, 256, 256, 3\), outputs \(1, 7\)"):
        load_pose_model(weights)


def test_without_ai_edge_litert(tmp_path, monkeypatch):
    (tmp_path / "a.tflite").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"ai-edge-litert: pip install sslmot\[pose\]"):
        load_pose_model(tmp_path / "a.tflite")


# ONNX.


@pytest.fixture(params=["onnxruntime", "opencv"])
def runtime(request, monkeypatch):
    if request.param == "opencv":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        pytest.importorskip("onnxruntime")
    return request.param


def write_onnx(path, nodes, constants, output, sides=(64, 48), batch=1):
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    value = helper.make_tensor_value_info
    outputs = [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in output.items()]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outs, **more) for kind, inputs, outs, more in nodes],
        "pose",
        [value("image", onnx.TensorProto.FLOAT, [batch, 3, *sides])],
        outputs,
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    return path


def red_heatmaps(path, joints=17, **more):
    """A model whose heatmaps, 4 pixels a cell, are the red of the image: 0 to 1."""
    weights = np.zeros((joints, 3, 4, 4), np.float32)
    weights[:, 0] = IMAGENET_STD[0] / 16  # undoes the normalisation
    bias = np.full(joints, IMAGENET_MEAN[0], np.float32)
    node = ("Conv", ["image", "weights", "bias"], ["maps"], {"strides": [4, 4]})
    shape = [more.get("batch", 1), joints, "h", "w"]
    return write_onnx(path, [node], {"weights": weights, "bias": bias}, {"maps": shape}, **more)


def coordinates(path, points, **more):
    """A model that returns the same points for any image."""
    points = np.float32(points)[None]
    nodes = [
        ("GlobalAveragePool", ["image"], ["mean"], {}),
        ("Reshape", ["mean", "row"], ["colour"], {}),
        ("MatMul", ["colour", "zeros"], ["nothing"], {}),
        ("Add", ["nothing", "points"], ["flat"], {}),
        ("Reshape", ["flat", "shape"], ["out"], {}),
    ]
    constants = {
        "row": np.array([1, 3], np.int64),
        "zeros": np.zeros((3, points.size), np.float32),
        "points": points.reshape(1, -1),
        "shape": np.array(points.shape, np.int64),
    }
    return write_onnx(path, nodes, constants, {"out": points.shape}, **more)


@pytest.mark.parametrize("joints", [17, 18])
@pytest.mark.parametrize("sides", [(64, 48), (64, 64), ("H", "W")])
def test_heatmaps_find_the_red_spot(tmp_path, runtime, joints, sides):
    estimator = load_pose_model(red_heatmaps(tmp_path / "a.onnx", joints, sides=sides, batch="N"))
    crops = np.full((2, 128, 64, 3), 255, np.uint8)  # other colours must not count
    spots = [(25, 70, 1.0), (54, 16, 0.8)]
    y, x = np.mgrid[:128, :64] + 0.5
    for crop, (x0, y0, c) in zip(crops, spots, strict=True):
        crop[..., 0] = 255 * c * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 128)
    found = estimator(crops)
    assert found.shape == (2, 18, 3)
    assert found.dtype == np.float32
    # Four pixels of the input, which is 256x192 where the model, or OpenCV, does not say.
    cell = 2.5 if sides[0] == "H" or runtime == "opencv" else 10
    for pose, (x0, y0, c) in zip(found, spots, strict=True):
        assert np.abs(pose[:, :2] * [64, 128] - [x0, y0]).max() <= 1.1 * cell
        assert (pose[:, 2] == pose[0, 2]).all()
        assert 0.5 * c < pose[0, 2] < c + 0.01  # a cell shows the mean of the spot


def test_the_names_and_the_unit_of_coordinates(tmp_path, runtime):
    points = np.random.default_rng(0).uniform(0, 1, (17, 3)).astype(np.float32)
    points[:, :2] *= [192, 256]
    path = coordinates(tmp_path / "a.onnx", points, sides=(256, 192))
    crops = images(3, (128, 64))
    # In an input of 256x192 a crop of 128x64, 1.6 times as large, is 205x102 in the middle.
    middle = (points[:, :2] - [96, 128]) / [102, 205] + 0.5
    expected = np.concatenate([middle, points[:, 2:]], axis=1)[None].astype(np.float32)
    for joints in load_pose_model(path)(crops):
        np.testing.assert_allclose(joints, from_coco17(expected)[0], atol=0.006)


def test_coordinates_of_18_joints_without_confidence(tmp_path, runtime):
    path = coordinates(tmp_path / "a.onnx", [[24 + i, 32] for i in range(18)])
    joints = OnnxPose(path, size=(64, 48))(images(1, (64, 48)))[0]
    np.testing.assert_allclose(joints[:, 0], 0.5 + np.arange(18) * 1.25 / 48, atol=0.01)
    np.testing.assert_allclose(joints[:, 1], 0.5, atol=0.01)
    assert (joints[:, 2] == 1).all()


def test_confidence_is_from_0_to_1(tmp_path, runtime):
    points = [[1, 1, c] for c in np.linspace(-3, 3, 18)]
    joints = load_pose_model(coordinates(tmp_path / "a.onnx", points))(images(1))
    assert joints[..., 2].min() == 0
    assert joints[..., 2].max() == 1


def test_fingerprints_of_onnx(tmp_path, runtime):
    path = red_heatmaps(tmp_path / "a.onnx", sides=("H", "W"))
    other = red_heatmaps(tmp_path / "b.onnx", 18, sides=("H", "W"))
    seen = [
        OnnxPose(path).fingerprint,
        OnnxPose(other).fingerprint,
        OnnxPose(path, size=(64, 64)).fingerprint,
        OnnxPose(path, mean=(0, 0, 0)).fingerprint,
        OnnxPose(path, std=(1, 1, 1)).fingerprint,
    ]
    assert len(set(seen)) == 5
    assert OnnxPose(path).fingerprint == seen[0]


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda path: red_heatmaps(path, 16), r"\(1, 16, .*\)"),
        (lambda path: red_heatmaps(path, 57), r"\(1, 57, .*\)"),
        (lambda path: coordinates(path, np.zeros((17, 4))), r"\(1, 17, 4\)"),
        (lambda path: coordinates(path, np.zeros((33, 3))), r"\(1, 33, 3\)"),
    ],
)
def test_models_of_another_shape(tmp_path, runtime, make, got):
    expected = r"a\.onnx: expected heatmaps \(N, J, h, w\) or coordinates .*, got "
    with pytest.raises(ValueError, match=expected + got):
        load_pose_model(make(tmp_path / "a.onnx"))


def test_other_files(tmp_path, runtime):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"a\.onnx: expected a model of images"):
        load_pose_model(path)
    nodes = [("Relu", ["image"], ["a"], {}), ("Neg", ["image"], ["b"], {})]
    write_onnx(path, nodes, {}, {"a": [1, 3, 64, 48], "b": [1, 3, 64, 48]})
    with pytest.raises(ValueError, match="got 2 outputs instead of one"):
        load_pose_model(path)


def slow_peak(heat):
    h, w = heat.shape
    y, x = max(((y, x) for y in range(h) for x in range(w)), key=lambda p: heat[p])
    moved = [float(x), float(y)]
    if 0 < x < w - 1:
        moved[0] += 0.25 * np.sign(heat[y, x + 1] - heat[y, x - 1])
    if 0 < y < h - 1:
        moved[1] += 0.25 * np.sign(heat[y + 1, x] - heat[y - 1, x])
    return [*moved, heat[y, x]]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (1, 6)])
def test_heatmap_peaks(size):
    maps = np.random.default_rng(0).integers(0, 9, (3, 20, *size)).astype(np.float32)
    peaks = heatmap_peaks(maps)
    assert peaks.dtype == np.float32
    expected = [[slow_peak(heat) for heat in person] for person in maps]
    np.testing.assert_array_equal(peaks, np.float32(expected))


# The model out of the wheel.


def wheel(folder, content, member=download.MEMBER):
    path = folder / "mediapipe-0.10.21-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def offline(monkeypatch, content, **more):
    """Replaces the download by a wheel made here."""
    monkeypatch.setattr(download, "_download", lambda folder: wheel(folder, content, **more))


def test_the_known_model_is_written_whole(tmp_path, monkeypatch, weights):
    content = weights.read_bytes()
    assert len(content) == download.SIZE
    offline(monkeypatch, content)
    output = tmp_path / "pose.tflite"
    output.write_text("an old one")
    download.extract(output)
    assert output.read_bytes() == content
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, r"pose_landmark_full\.tflite: expected 6440512 bytes of SHA-256 .*, got 5 of "),
        ({"member": "other.tflite"}, "expected a wheel with mediapipe/modules/.*, got "),
    ],
)
def test_another_model_is_refused(tmp_path, monkeypatch, more, message):
    offline(monkeypatch, b"model", **more)
    with pytest.raises(ValueError, match=message):
        download.extract(tmp_path / "pose.tflite")
    assert not list(tmp_path.iterdir())


def test_a_damaged_wheel(tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(b"no zip")
    with pytest.raises(
        ValueError, match=r"a\.whl: expected a wheel with .*, got File is not a zip"
    ):
        download.take_model(path)


def test_no_folder_to_write_to(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"output: expected a file in a folder, found no"):
        download.extract(tmp_path / "none" / "pose.tflite")


def test_no_download(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(download, "WHEEL", "mediapipe==0.0.1.sslmot")
    with pytest.raises(OSError, match=r"0\.0\.1\.sslmot: cannot be downloaded: ERROR: "):
        download.extract(tmp_path / "pose.tflite")
    assert not list(tmp_path.iterdir())
