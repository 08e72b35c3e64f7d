"""Encoders: architecture, files and features."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from sslmot import FeatureExtractor, tensors  # noqa: E402
from sslmot.appearance import encoder as encoder_module  # noqa: E402
from sslmot.appearance.encoder import Encoder, EncoderConfig, EncoderNetwork  # noqa: E402
from sslmot.appearance.resnet import resnet  # noqa: E402

SMALL = EncoderConfig("resnet18", crop_size=(64, 32), projection=(24, 20, 16))
FRAME = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
BOXES = np.array(
    [
        [5, 5, 45, 100],
        [30.5, 10, 60, 90.25],
        [-10, 0, 40, 130],
        [90, 20, 130, 110],
        [0, 0, 160, 120],
    ],
    np.float32,
)
KEY = "sslmot.encoder"


@pytest.fixture(scope="module")
def encoder():
    """Return an encoder with random normalisation statistics, as after training."""
    encoder = Encoder(SMALL, device="cpu", bfloat16=False)
    encoder.network.train()
    with torch.no_grad():
        for _ in range(3):
            encoder.network(torch.randn(16, 3, 64, 32))
    return encoder


@pytest.fixture
def path(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.safetensors", {"trained on": "nothing"})
    return tmp_path / "encoder.safetensors"


def rewrite(path, change=None, metadata=None, drop=()):
    """Change some tensors and metadata of the file."""
    with safe_open(path, "pt") as file:
        notes = {**file.metadata(), **(metadata or {})}
    tensors = {k: v for k, v in {**load_file(path), **(change or {})}.items() if k not in drop}
    save_file(tensors, path, {k: v for k, v in notes.items() if v is not None})


# Architecture.


@pytest.mark.parametrize(
    ("name", "parameters", "dim"),
    [
        ("resnet18", 11_176_512, 512),
        ("resnet50", 23_508_032, 2048),
        ("resnet101", 42_500_160, 2048),
    ],
)
def test_size_of_the_backbones(name, parameters, dim):
    with torch.device("meta"):
        network = resnet(name)
        features = network.eval()(torch.empty(2, 3, 128, 64))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert features.shape == (2, dim)
    assert network.dim == dim


def test_parameters_are_named_as_in_torchvision():
    shapes = {k: tuple(v.shape) for k, v in resnet("resnet50").state_dict().items()}
    assert len(shapes) == 318  # 320 in torchvision, without fc.weight and fc.bias
    for name, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "bn1.num_batches_tracked": (),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.bias": (256,),
        "layer2.0.conv1.weight": (128, 256, 1, 1),
        "layer2.0.downsample.0.weight": (512, 256, 1, 1),
        "layer3.5.bn2.weight": (256,),
        "layer4.2.conv2.weight": (512, 512, 3, 3),
    }.items():
        assert shapes[name] == shape
    basic = resnet("resnet18").state_dict()
    assert len(basic) == 120
    assert basic["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert "layer1.0.downsample.0.weight" not in basic


def test_a_bottleneck_has_its_stride_on_the_3x3():
    block = resnet("resnet50").layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


def test_forward_of_a_small_resnet_step_by_step():
    network = resnet("resnet18").eval()
    x = torch.randn(2, 3, 64, 32)
    f = torch.nn.functional

    def norm(x, bn):
        return f.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    y = f.max_pool2d(
        norm(f.conv2d(x, network.conv1.weight, None, 2, 3), network.bn1).relu(), 3, 2, 1
    )
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for b in layer:
            short = y
            if b.downsample is not None:
                short = norm(f.conv2d(y, b.downsample[0].weight, None, 2), b.downsample[1])
            stride = 1 if b.downsample is None else 2
            y = norm(f.conv2d(y, b.conv1.weight, None, stride, 1), b.bn1).relu()
            y = (norm(f.conv2d(y, b.conv2.weight, None, 1, 1), b.bn2) + short).relu()
    torch.testing.assert_close(network(x), f.adaptive_avg_pool2d(y, 1).flatten(1))


def test_an_unknown_architecture():
    with pytest.raises(ValueError, match="expected one of resnet18, resnet50, resnet101"):
        resnet("resnet34")


def test_projection_is_that_of_simsiam():
    network = EncoderNetwork(SMALL)
    kinds = [type(layer).__name__ for layer in network.projection]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert network.projection[7].weight is None
    network.train()
    z = network(torch.randn(32, 3, 64, 32))
    assert z.shape == (32, 16)
    torch.testing.assert_close(z.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    z.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_parts_are_averages_of_stripes_of_three_maps():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = resnet("resnet18").eval()
    striped = resnet("resnet18", parts=4).eval()
    striped.load_state_dict(whole.state_dict())
    assert striped.dim == 4 * 128 + 4 * 256 + 512
    x = torch.randn(2, 3, 256, 128)
    maps = []
    for layer in (whole.layer2, whole.layer3, whole.layer4):
        layer.register_forward_hook(lambda module, args, out: maps.append(out.double()))
    with torch.no_grad():
        f = striped(x)
        average = whole(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(128, 32, 16), (256, 16, 8), (512, 8, 4)]
    torch.testing.assert_close(average, maps[-1].mean(dim=(2, 3)).float())
    expected = []
    for values, count in zip(maps, (4, 4, 1), strict=True):
        height, width = values.shape[2:]
        places = [(column + 0.5) / width - 0.5 for column in range(width)]
        weights = [math.exp(-((place / 0.2) ** 2) / 2) for place in places]
        part = torch.zeros(2, values.shape[1], count, dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                share = weights[column] / sum(weights) / (height // count)
                part[:, :, row * count // height] += values[:, :, row, column] * share
        part = part.flatten(1)  # stripes of a channel, head to foot
        expected.append(part / part.norm(dim=1, keepdim=True))
    torch.testing.assert_close(f.double(), torch.cat(expected, dim=1), rtol=1e-4, atol=1e-6)


def test_the_sides_of_a_box_are_not_used():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (200, 300, 3), np.uint8)
    boxes = np.array([[50.0, 20, 150, 180], [-20, -10, 30, 90]], np.float32)
    narrow = boxes.copy()
    narrow[:, 0] += [10, 5]
    narrow[:, 2] -= [10, 5]
    all_of_it = Encoder(SMALL, device="cpu")
    middle = Encoder(dataclasses.replace(SMALL, middle=0.8), device="cpu")
    np.testing.assert_allclose(middle(frame, boxes), all_of_it(frame, narrow), atol=1e-3)
    assert np.abs(middle(frame, boxes) - all_of_it(frame, boxes)).max() > 1e-2


def test_instance_and_batch_normalisation_share_the_channels():
    network = resnet("resnet18", ibn=True)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    # Names as in the authors' checkpoints. The last layer and other normalisations do not change.
    assert shapes["layer1.0.bn1.IN.weight"] == (32,)
    assert shapes["layer3.1.bn1.BN.running_var"] == (128,)
    assert shapes["layer1.0.bn2.weight"] == (64,)
    assert shapes["layer4.0.bn1.weight"] == (512,)
    norm = network.layer2[0].bn1.eval()
    with torch.no_grad():
        norm.IN.weight.uniform_(0.5, 2)
        norm.IN.bias.uniform_(-1, 1)
        norm.BN.running_mean.uniform_(-1, 1)
        norm.BN.running_var.uniform_(0.5, 2)
        x = 3 * torch.randn(2, 128, 6, 3) + 1
        y = norm(x)
    for n in range(2):
        for c in range(128):
            channel = x[n, c].double()
            if c < 64:
                mean, var = channel.mean(), channel.var(correction=0)
                weight, bias = norm.IN.weight[c].double(), norm.IN.bias[c].double()
            else:
                mean, var = norm.BN.running_mean[c - 64], norm.BN.running_var[c - 64]
                weight, bias = 1, 0
            expected = (channel - mean) / (var + 1e-5).sqrt() * weight + bias
            torch.testing.assert_close(y[n, c].double(), expected, atol=1e-5, rtol=1e-4)


# Configuration.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "vgg"}, "architecture: expected one of resnet18.*got 'vgg'"),
        ({"crop_size": (0, 64)}, "crop_size: expected"),
        ({"crop_size": (128.0, 64)}, "crop_size: expected"),
        ({"crop_size": 128}, "crop_size: expected"),
        ({"mean": (0.5, 0.5)}, "mean: expected"),
        ({"mean": (123.7, 116.3, 103.5)}, "mean: expected"),
        ({"std": (0.2, 0.0, 0.2)}, "std: expected"),
        ({"std": (0.2, float("nan"), 0.2)}, "std: expected"),
        ({"projection": 2048}, "projection: expected a tuple of int"),
        ({"parts": 3}, "parts: expected one of 1, 2, 4, 8, got 3"),
        ({"middle": 0.0}, "middle: expected a number of 0.1 to 1, got 0.0"),
        ({"middle": True}, "middle: expected a number of 0.1 to 1, got True"),
        ({"ibn": 1}, "ibn: expected True or False, got 1"),
        ({"projection": (2048, 0, 1)}, "projection: expected"),
        ({"projection": None}, "feature: expected backbone with projection None"),
        ({"feature": "z"}, "feature: expected one of projection, backbone, got 'z'"),
    ],
)
def test_the_config_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**change)


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(),
        SMALL,
        EncoderConfig(projection=None, feature="backbone"),
        EncoderConfig("resnet18", projection=(), parts=4, ibn=True),
    ],
)
def test_the_config_survives_json(config):
    assert EncoderConfig.from_json(config.to_json()) == config


def test_the_batch_size_is_checked():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        Encoder(SMALL, batch_size=0)


# Features.


def test_features_are_those_of_the_crops(encoder):
    from sslmot.appearance.crops import crop

    assert isinstance(encoder, FeatureExtractor)
    features = encoder(FRAME, BOXES)
    assert features.shape == (5, 16) == (5, encoder.dim)
    assert features.dtype == np.float32
    assert not encoder.network.training
    with torch.no_grad():
        expected = encoder.network(torch.from_numpy(crop(FRAME, BOXES, (64, 32))))
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)


def test_the_backbone_can_be_the_feature(encoder):
    by_backbone = Encoder(dataclasses.replace(SMALL, feature="backbone"), device="cpu")
    alone = Encoder(dataclasses.replace(SMALL, feature="backbone", projection=None), device="cpu")
    assert by_backbone.dim == alone.dim == 512
    features = by_backbone(FRAME, BOXES)
    assert features.shape == (5, 512)
    np.testing.assert_array_equal(alone(FRAME, BOXES), features)


def test_a_file_is_read_with_either_feature(encoder, path):
    by_projection, by_backbone = (
        Encoder.load(path, "cpu", feature=feature, bfloat16=False) for feature in (None, "backbone")
    )
    np.testing.assert_allclose(by_projection(FRAME, BOXES), encoder(FRAME, BOXES), atol=1e-4)
    assert by_backbone(FRAME, BOXES).shape == (5, 512)
    with pytest.raises(ValueError, match="feature: expected one of projection, backbone, got 'z'"):
        Encoder.load(path, "cpu", feature="z")


def test_the_projection_can_be_one_normalisation():
    config = EncoderConfig("resnet18", crop_size=(64, 32), projection=())
    encoder = Encoder(config, device="cpu", bfloat16=False)
    assert encoder.dim == 512
    x = torch.randn(16, 3, 64, 32)
    z = encoder.network.train()(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(512), atol=1e-4, rtol=0)


def test_embed_crops_matches_boxes(encoder):
    from sslmot.appearance.crops import crop

    crops = torch.from_numpy(crop(FRAME, BOXES, (64, 32)))
    crops[1] = 0
    features = encoder.embed_crops(crops)
    assert (features[1] == 0).all()
    np.testing.assert_allclose(features[2:].numpy(), encoder(FRAME, BOXES)[2:], atol=1e-4)


def test_the_weights_of_the_package():
    encoder = Encoder.load(device="cpu")
    assert encoder.config.architecture == "efficientnet_lite0"
    about = json.loads(encoder.metadata["sslmot.training"])
    assert about["config"]["method"] == "sslmot"
    features = encoder(FRAME, BOXES)
    assert features.shape == (5, encoder.dim)
    assert np.isfinite(features).all()


def test_the_seed_sets_the_weights_and_not_torch_s_generator():
    state = torch.random.get_rng_state()
    a, b, c = (Encoder(SMALL, seed, device="cpu") for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(a(FRAME, BOXES), b(FRAME, BOXES))
    assert not np.allclose(a(FRAME, BOXES), c(FRAME, BOXES))


def test_the_same_call_gives_the_same_features(encoder):
    np.testing.assert_array_equal(encoder(FRAME, BOXES), encoder(FRAME, BOXES))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_frames_are_embedded_together_as_alone(batch_size, device):
    encoder = Encoder(SMALL, device=device, batch_size=batch_size, bfloat16=False)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (120 + 10 * i, 160, 3), np.uint8) for i in range(3)]
    boxes = [np.float32([[i, 5, 40 + i, 90]] * n) for i, n in enumerate((2, 0, 3))]
    passes, embed_crops = [], encoder.embed_crops
    encoder.embed_crops = lambda crops: passes.append(len(crops)) or embed_crops(crops)
    together = encoder.embed_frames(frames, boxes)
    assert sum(passes) == 5
    assert max(passes) <= batch_size
    assert len(passes) == -(-5 // batch_size)
    for frame, some, features in zip(frames, boxes, together, strict=True):
        alone = encoder(frame, some)
        assert type(features) is type(alone)
        assert features.shape == (len(some), encoder.dim)
        np.testing.assert_allclose(
            np.asarray(torch.as_tensor(features).cpu()),
            np.asarray(torch.as_tensor(alone).cpu()),
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_sent_frame_has_the_same_features(device):
    encoder = Encoder(SMALL, device=device, bfloat16=False)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(20)]
    boxes = np.float32([[0, 5, 40, 90], [50, 5, 90, 100]])
    alone = [torch.as_tensor(encoder(frame.copy(), boxes)).cpu() for frame in frames]
    for frame in frames:  # more than the limit
        encoder.send(frame)
    if device == "cuda":
        assert len(encoder._uploads._sent) == 8
    for frame, expected in zip(frames, alone, strict=True):
        found = torch.as_tensor(encoder(frame, boxes)).cpu()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="frame: expected"):
        encoder.send(np.zeros((4, 4), np.uint8))


def test_as_many_frames_as_boxes():
    with pytest.raises(ValueError, match="boxes: expected those of 1 frames, got 2"):
        Encoder(SMALL).embed_frames([np.zeros((9, 9, 3), np.uint8)], [[], []])


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_do_not_change_features(encoder, path, batch_size):
    batched = Encoder.load(path, "cpu", batch_size=batch_size, bfloat16=False)
    np.testing.assert_allclose(batched(FRAME, BOXES), encoder(FRAME, BOXES), atol=1e-4)


@pytest.mark.parametrize(
    ("has", "limit", "expected"),
    [
        ({"avx512_bf16": True}, None, True),
        ({"amx_bf16": True, "avx2": True}, "AVX512_CORE_AMX", True),
        ({"bf16": True}, "", True),
        ({"avx512_bf16": True, "amx_bf16": True}, "avx2", False),
        ({"avx512_bf16": True}, "AVX512_CORE", False),
        ({"avx512_bf16": True}, "AVX512_CORE_VNNI", False),
        ({"avx2": True, "amx_bf16": False}, None, False),
    ],
)
def test_bfloat16_is_used_where_hardware_has_it_and_onednn_may_use_it(
    has, limit, expected, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert encoder_module.computes_in_bfloat16(torch.device("cpu")) is expected


def test_threads_share_one_network_for_inference(monkeypatch):
    encoder = Encoder(SMALL, device="cpu", bfloat16=False)
    assert encoder.thread_safe
    made, folded = [], encoder.folded
    monkeypatch.setattr(encoder, "folded", lambda *a, **k: (made.append(1), folded(*a, **k))[1])
    alone = Encoder(SMALL, device="cpu", bfloat16=False)(FRAME, BOXES)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoder(FRAME, BOXES), range(8)))
    assert len(made) == 1
    for features in found:
        np.testing.assert_allclose(features, alone, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_close(path, device):
    exact, fast = (Encoder.load(path, device, bfloat16=b) for b in (False, True))
    a, b = (torch.as_tensor(e(FRAME, BOXES)) for e in (exact, fast))
    assert b.dtype == torch.float32
    assert not torch.equal(a, b)
    assert torch.cosine_similarity(a, b).min() > 0.99


def test_unknown_boxes_have_zero_rows(encoder):
    boxes = np.array([[5, 5, 5, 90], [500, 0, 540, 90], [9, 9, 2, 2], *BOXES[:1]], np.float32)
    features = encoder(FRAME, boxes)
    assert (features[:3] == 0).all()
    np.testing.assert_allclose(features[3], encoder(FRAME, BOXES[:1])[0], atol=1e-4)


def test_no_boxes(encoder):
    features = encoder(FRAME, np.zeros((0, 4), np.float32))
    assert features.shape == (0, 16)
    assert features.dtype == np.float32


def test_devices(encoder, path, device):
    here = Encoder.load(path, device, bfloat16=False)
    assert here.device.type == device
    for frame in (FRAME, torch.from_numpy(FRAME).to(device)):
        features = here(frame, BOXES)
        if device == "cpu":
            assert isinstance(features, np.ndarray)
        else:
            assert features.device.type == device
            features = features.cpu().numpy()
        # By default TF32 is off for matrices and on for convolutions.
        np.testing.assert_allclose(
            features, encoder(FRAME, BOXES), atol=1e-4 if device == "cpu" else 0.05
        )


def test_errors_of_crops_pass_through(encoder):
    with pytest.raises(ValueError, match="frame: expected"):
        encoder(FRAME[..., 0], BOXES)
    with pytest.raises(ValueError, match="boxes: expected"):
        encoder(FRAME, BOXES[:, :3])


# Files.


def test_half_precision_is_half_the_size(encoder, tmp_path):
    for name, half in (("whole", False), ("half", True)):
        encoder.save(tmp_path / name, half=half)
    assert (tmp_path / "half").stat().st_size < 0.51 * (tmp_path / "whole").stat().st_size
    z = Encoder.load(tmp_path / "half", "cpu", bfloat16=False)(FRAME, BOXES)
    cosine = torch.cosine_similarity(torch.from_numpy(z), torch.from_numpy(encoder(FRAME, BOXES)))
    assert cosine.min() > 0.999


def test_save_and_load(encoder, path):
    loaded = Encoder.load(str(path), "cpu", bfloat16=False)
    assert loaded.config == SMALL
    assert loaded.metadata == {"trained on": "nothing"}
    np.testing.assert_array_equal(loaded(FRAME, BOXES), encoder(FRAME, BOXES))
    expected = encoder.network.state_dict()
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, expected[name])
    assert json.loads(safe_open(path, "pt").metadata()[KEY])["architecture"] == "resnet18"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    loaded.save(path, {"and": "again"})
    assert Encoder.load(path).metadata == {"trained on": "nothing", "and": "again"}


def test_a_fingerprint_is_of_config_and_weights(encoder, path, tmp_path, device):
    same = Encoder.load(path, device)
    assert len(same.fingerprint) == 64
    assert same.fingerprint == encoder.fingerprint == Encoder.load(path, "cpu").fingerprint
    others = [Encoder(SMALL, seed, device="cpu") for seed in (1, 2)]
    others.append(Encoder.load(path, "cpu", feature="backbone"))
    retrained = Encoder.load(path, "cpu")
    with torch.no_grad():
        retrained.network.backbone.bn1.bias[0] += 1e-6
    encoder.save(tmp_path / "half", half=True)
    others += [retrained, Encoder.load(tmp_path / "half", "cpu")]
    assert len({same.fingerprint, *(other.fingerprint for other in others)}) == 6


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.slow
def test_resnet101_round_trip(tmp_path):
    config = EncoderConfig("resnet101", (32, 32), projection=None, feature="backbone")
    encoder = Encoder(config, device="cpu")
    encoder.save(tmp_path / "a")
    loaded = Encoder.load(tmp_path / "a", "cpu")
    assert loaded.config == config
    np.testing.assert_array_equal(loaded(FRAME, BOXES[:1]), encoder(FRAME, BOXES[:1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision(encoder, path, dtype):
    halved = {k: v.to(dtype) for k, v in load_file(path).items() if v.is_floating_point()}
    rewrite(path, halved)
    loaded = Encoder.load(path, "cpu", bfloat16=False)
    assert loaded.network.backbone.conv1.weight.dtype == torch.float32
    a, b = (torch.from_numpy(e(FRAME, BOXES)) for e in (encoder, loaded))
    assert torch.cosine_similarity(a, b).min() > 0.99


def test_a_failed_save_leaves_the_file_alone(encoder, path):
    before = path.read_bytes()
    with pytest.raises(Exception, match="str"):
        encoder.save(path, {"number": 1})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Encoder.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_not_a_safetensors_file(tmp_path, content):
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.file: expected"):
        Encoder.load(path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "encoder.safetensors: "),
        ("[]", "config: expected a mapping of architecture, .*, got"),
        ('{"width": 3}', "config: expected some of .*crop_size.*, got 'width'"),
        (SMALL.to_json().replace("resnet18", "resnet34"), "architecture: expected .*'resnet34'"),
        (SMALL.to_json().replace('"resnet18"', "{}"), "architecture: expected"),
        (SMALL.to_json().replace("64", "NaN"), "crop_size: expected"),
        (SMALL.to_json().replace("24", "1" + "0" * 400), "projection: expected"),
        (SMALL.to_json().replace("feature", "features"), "config: expected"),
    ],
)
def test_a_wrong_config(path, config, message):
    rewrite(path, metadata={KEY: config})
    with pytest.raises(
        ValueError, match=f"encoder.safetensors: .*{message}" if message[0] != "e" else message
    ):
        Encoder.load(path)


def test_a_field_that_an_older_file_lacks_has_its_default():
    text = SMALL.to_json().replace(', "parts": 1, "middle": 1.0, "ibn": false', "")
    assert "parts" not in text
    assert EncoderConfig.from_json(text) == SMALL


def test_no_config(path):
    rewrite(path, metadata={KEY: None})
    with pytest.raises(
        ValueError, match=r"expected 'sslmot.encoder' in the metadata, got \['trained"
    ):
        Encoder.load(path)


def test_wrong_tensors(path):
    original = path.read_bytes()
    rewrite(path, drop=["backbone.conv1.weight"])
    with pytest.raises(
        ValueError, match=r"encoder.safetensors: expected tensor backbone.conv1.weight"
    ):
        Encoder.load(path)
    path.write_bytes(original)
    rewrite(path, {"fc.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"encoder.safetensors: expected no tensor fc.weight"):
        Encoder.load(path)
    path.write_bytes(original)
    rewrite(path, {"projection.6.weight": torch.zeros(8, 20)})
    with pytest.raises(
        ValueError, match=r"projection.6.weight: expected \(16, 20\) .*float32, got \(8, 20\)"
    ):
        Encoder.load(path)
    path.write_bytes(original)
    rewrite(path, {"projection.6.weight": torch.zeros(16, 20, dtype=torch.int8)})
    with pytest.raises(ValueError, match=r"projection.6.weight: .*got \(16, 20\) torch.int8"):
        Encoder.load(path)
    path.write_bytes(original)
    rewrite(path, {"projection.6.weight": torch.full((16, 20), torch.nan)})
    with pytest.raises(ValueError, match=r"projection.6.weight: expected finite numbers, got NaN"):
        Encoder.load(path)


def test_without_torch_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sslmot\n"
        "try: sslmot.Encoder\n"
        "except ImportError as error: sys.exit('pip install sslmot[encoder]' not in str(error))\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sizes_come_from_the_tensors_before_anything_is_allocated(tmp_path, monkeypatch):
    """A file of 400 bytes must not allocate gigabytes."""
    path = tmp_path / "small.safetensors"
    config = json.loads(EncoderConfig("resnet18").to_json())
    one = {"backbone.conv1.weight": torch.zeros(1)}
    monkeypatch.setattr(encoder_module, "resnet", on_meta_alone(encoder_module.resnet))
    for widths, message in (
        ([16384] * 40, "config: projection: expected at most 16 layers, got 40"),
        ([16384] * 16, "expected tensor backbone.bn1.bias, got none"),
    ):
        tensors.write(path, one, {"sslmot.encoder": json.dumps(config | {"projection": widths})})
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {message}"):
            Encoder.load(path, "cpu")


def on_meta_alone(make):
    def made(*arguments):
        network = make(*arguments)
        assert all(p.is_meta for p in network.parameters())
        return network

    return made


@pytest.mark.parametrize("text", ["[" * 20_000, '{"a": ' * 20_000])
def test_notes_that_are_too_deep(tmp_path, text):
    path = tmp_path / "deep.safetensors"
    notes = {"sslmot.encoder": text}
    tensors.write(path, {"a": torch.zeros(1)}, notes)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: "):
        Encoder.load(path, "cpu")
