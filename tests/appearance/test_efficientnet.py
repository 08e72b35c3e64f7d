"""EfficientNet-Lite0: its layers, and the translation of ImageNet's weights."""

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.nn.functional import conv2d, pad  # noqa: E402

from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from sslmot.appearance.efficientnet import (  # noqa: E402
    EfficientNetLite0,
    HalvingConv,
    is_imagenet,
    of_imagenet,
)
from sslmot.appearance.encoder import EncoderConfig  # noqa: E402

# Of each block: index, whether it expands.
BLOCKS = [(i, i > 0) for i in range(16)]


def imagenet():
    """Return random weights with the names and shapes of the package's file."""
    network = EfficientNetLite0()
    generator = torch.Generator().manual_seed(0)
    ours = network.state_dict()

    def like(name):
        tensor = ours[name]
        if tensor.dtype == torch.int64:
            return tensor
        noise = torch.rand(tensor.shape, generator=generator)
        return 0.2 * noise - 0.1 if tensor.ndim > 1 else noise + 0.5

    weights = {"_conv_stem.weight": like("stem.0.weight")}
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    weights |= {f"_bn0.{s}": like(f"stem.1.{s}") for s in statistics}
    places = [(i, j) for i, stage in enumerate(network.stages) for j in range(len(stage))]
    for block, expands in BLOCKS:
        stage, place = places[block]
        for part, conv, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            if part == "expand" and not expands:
                continue
            of = f"stages.{stage}.{place}.{part}"
            weights[f"_blocks.{block}.{conv}.weight"] = like(f"{of}.0.weight")
            weights |= {f"_blocks.{block}.{norm}.{s}": like(f"{of}.1.{s}") for s in statistics}
    head = {
        "_conv_head.weight": torch.zeros(1280, 320, 1, 1),
        "_bn1.weight": torch.zeros(1280),
        "_fc.weight": torch.zeros(1000, 1280),
    }
    return weights | head


def same(x, size, stride):
    """Pad as TensorFlow does for padding="SAME"."""
    amounts = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        amounts += [total // 2, total - total // 2]
    return pad(x, amounts)


def reference(weights, images, ends):
    """Run the network of the package's weights on bytes (N, 3, H, W), in float64."""
    w = {k: v.double() for k, v in weights.items()}

    def norm(x, name):
        mean, variance, scale, shift = (
            w[f"{name}.{s}"][:, None, None]
            for s in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-3) * scale + shift

    def conv(x, name, stride=1, groups=1):
        weight = w[f"{name}.weight"]
        x = same(x, weight.shape[2], stride)
        return conv2d(x, weight, stride=stride, groups=groups)

    x = (images.double() - 127) / 128
    x = norm(conv(x, "_conv_stem", 2), "_bn0").clamp(0, 6)
    maps = []
    for block, expands in BLOCKS:
        of, y = f"_blocks.{block}", x
        if expands:
            y = norm(conv(y, f"{of}._expand_conv"), f"{of}._bn0").clamp(0, 6)
        stride = 2 if block in (1, 3, 5, 11) else 1
        y = conv(y, f"{of}._depthwise_conv", stride, y.shape[1])
        y = norm(y, f"{of}._bn1").clamp(0, 6)
        y = norm(conv(y, f"{of}._project_conv"), f"{of}._bn2")
        x = x + y if y.shape == x.shape else y
        if block in ends:
            maps.append(x)
    return maps


def test_the_maps_are_those_of_imagenets_network():
    weights = imagenet()
    assert is_imagenet(weights)
    network = EfficientNetLite0(parts=4).eval()
    assert not is_imagenet(network.state_dict())
    network.load_state_dict(of_imagenet(weights))
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 96, 64), generator=generator, dtype=torch.uint8)
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    network.double()
    with torch.no_grad():
        got = network.maps((images.double() / 255 - mean) / std)
    expected = reference(weights, images, ends=(4, 10, 15))
    assert [x.shape for x in got] == [x.shape for x in expected]
    # The border differs by the colour of the padding: 127 / 255 there, ImageNet's mean here.
    for a, b in zip(got, expected, strict=True):
        cosine = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))
        assert (cosine > 0.99).all()


@settings(deadline=None)
@given(st.integers(5, 20), st.integers(5, 20), st.sampled_from([3, 5]))
def test_halving_pads_as_tensorflow(height, width, size):
    conv = HalvingConv(4, 4, size, groups=4).double()
    x = torch.randn(1, 4, height, width, dtype=torch.float64)
    expected = conv2d(same(x, size, 2), conv.weight, stride=2, groups=4)
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize(("parts", "dim"), [(1, 320), (4, 4 * (40 + 112) + 320)])
def test_the_width_of_a_feature(parts, dim):
    network = EfficientNetLite0(parts).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 32)).shape == (1, dim)
    assert network.dim == dim


def test_it_has_no_instance_normalisation():
    with pytest.raises(ValueError, match="ibn: expected False with efficientnet_lite0, got True"):
        EncoderConfig("efficientnet_lite0", ibn=True)


def test_filters_of_single_channels_stay_in_float32_on_a_cpu():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = EfficientNetLite0()
    seen = {}

    def note(module, given, made):
        seen.setdefault(module.groups > 1, set()).add((given[0].dtype, made.dtype))

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        network(images)
    assert seen[True] == {(torch.float32, torch.float32)}
    assert {made for _, made in seen[False]} == {torch.bfloat16}
