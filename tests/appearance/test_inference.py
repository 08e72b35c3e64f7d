"""The network for inference gives the features of the trainable network."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from sslmot.appearance import inference  # noqa: E402
from sslmot.appearance.crops import crop  # noqa: E402
from sslmot.appearance.cuda_graphs import GraphedNetwork, padded  # noqa: E402
from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402
from sslmot.appearance.inference import InferenceNetwork  # noqa: E402
from sslmot.demo.crowd import Crowd, CrowdConfig  # noqa: E402

SMALL = EncoderConfig("resnet18", crop_size=(64, 32), projection=(24, 20, 16))
LITE = EncoderConfig("efficientnet_lite0", crop_size=(64, 32), projection=(), parts=4)
SHIPPED = EncoderConfig("resnet18", crop_size=(64, 32), projection=(), parts=4, ibn=True)


def trained(config, **options):
    """Return an encoder with random statistics and weights in its normalisations."""
    encoder = Encoder(config, device="cpu", bfloat16=False, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in encoder.network.modules():
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(module, name, None)
                if value is not None and value.ndim == 1:
                    low = 0.5 if name in ("weight", "running_var") else -0.5
                    value.uniform_(low, low + 1, generator=generator)
    return encoder


def crops_of(config, n=3):
    return torch.randn(n, 3, *config.crop_size, generator=torch.Generator().manual_seed(0))


def plain(encoder, crops):
    """Compute features with the trainable network."""
    network = encoder.network.eval()
    with torch.no_grad():
        return (network if encoder.config.feature == "projection" else network.backbone)(crops)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SHIPPED,
        dataclasses.replace(SMALL, crop_size=(128, 64)),  # the last map has two columns
        dataclasses.replace(SMALL, crop_size=(72, 41), feature="backbone"),
        dataclasses.replace(SHIPPED, crop_size=(75, 100), parts=8),
        EncoderConfig("resnet50", crop_size=(64, 64), projection=(16,), parts=2),
        EncoderConfig("resnet18", crop_size=(32, 64), projection=None, feature="backbone"),
        LITE,
        dataclasses.replace(LITE, crop_size=(100, 51), parts=1),  # odd sides
    ],
)
@pytest.mark.processor
def test_features_are_those_of_the_network(config):
    encoder = trained(config)
    crops = crops_of(config)
    expected = plain(encoder, crops)
    got = encoder.embed_crops(crops)
    assert got.shape == expected.shape
    scale = float(expected.abs().max())
    torch.testing.assert_close(got / scale, expected / scale, atol=2e-5, rtol=0)


@pytest.mark.processor
def test_the_encoder_of_the_package():
    """Equal in float32, a cosine of .995 or more in bfloat16."""
    frame = Crowd(CrowdConfig(people=8, width=640, height=360)).frame(0)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1, (16, 2)) * (580, 200)
    boxes = np.hstack([corner, corner + np.array([60, 160])])
    exact, fast = (Encoder.load(device="cpu", bfloat16=b) for b in (False, True))
    c = exact.config
    crops = torch.from_numpy(crop(frame, boxes, c.crop_size, c.mean, c.std, middle=c.middle))
    expected = plain(exact, crops)
    features = [torch.from_numpy(encoder(frame, boxes)) for encoder in (exact, fast)]
    for got, least in zip(features, (0.999999, 0.995), strict=True):
        assert torch.cosine_similarity(got.double(), expected.double()).min() > least


def test_a_crop_of_one_colour():
    """The standard deviation of its channels is nearly 0."""
    encoder = trained(SHIPPED)
    crops = crops_of(SHIPPED)
    crops[1:] = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.1, 0.1]])[:, :, None, None]
    torch.testing.assert_close(encoder.embed_crops(crops), plain(encoder, crops), atol=1e-4, rtol=0)


def test_a_change_of_the_weights_is_noticed():
    encoder = trained(SMALL)
    crops = crops_of(SMALL, 8)
    conv = encoder.network.backbone.layer1[0].conv1
    before = encoder.embed_crops(crops)

    def step():
        optimizer = torch.optim.SGD(encoder.network.parameters(), lr=0.1)
        encoder.network.train()(crops).square().mean().backward()
        optimizer.step()

    def in_inference_mode():
        with torch.inference_mode():
            encoder.network.projection[-1].running_mean += 1

    def replaced():
        conv.weight.data = conv.weight.data * 1.5

    def parameter_replaced():
        encoder.network.backbone.conv1.weight = torch.nn.Parameter(
            encoder.network.backbone.conv1.weight.detach() * 1.5
        )

    other = trained(SMALL, seed=1).network.state_dict()
    for change in (
        lambda: encoder.network.train()(crops),  # changes the running statistics only
        step,
        lambda: encoder.network.load_state_dict(other),
        in_inference_mode,
        replaced,
        parameter_replaced,
        lambda: encoder.network.load_state_dict(trained(SMALL).network.state_dict(), assign=True),
        lambda: setattr(encoder, "network", trained(SMALL, seed=2).network),
    ):
        change()
        after = encoder.embed_crops(crops)
        assert not torch.allclose(after, before, atol=1e-3)
        torch.testing.assert_close(after, plain(encoder, crops), atol=1e-4, rtol=1e-4)
        before = after
    encoder.bfloat16 = not encoder.bfloat16
    assert not torch.equal(encoder.embed_crops(crops), before)


def test_embedding_changes_neither_random_numbers_nor_the_network():
    encoder = trained(dataclasses.replace(SHIPPED, crop_size=(64, 64)))
    weights = {k: v.clone() for k, v in encoder.network.state_dict().items()}
    state = torch.random.get_rng_state()
    encoder.embed_crops(crops_of(encoder.config))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(v, weights[k]) for k, v in encoder.network.state_dict().items())
    assert all(p.requires_grad for p in encoder.network.parameters())


def test_an_encoder_made_in_inference_mode_can_be_trained():
    with torch.inference_mode():
        encoder = Encoder(SMALL, device="cpu", bfloat16=False)
        encoder.embed_crops(crops_of(SMALL))
    encoder.network.train()(crops_of(SMALL, 8)).square().mean().backward()


def test_the_caller_s_autocast_changes_nothing():
    encoder = trained(SMALL)
    crops = crops_of(SMALL)
    expected = encoder.embed_crops(crops)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.embed_crops(crops), expected)


def test_crops_of_another_size():
    with pytest.raises(ValueError, match=r"crops: expected \(N, 3, 64, 32\), got \(2, 3, 32, 64\)"):
        trained(SMALL).embed_crops(torch.zeros(2, 3, 32, 64))


def test_no_crops(device):
    encoder = Encoder(SHIPPED, device=device)
    assert encoder.embed_crops(torch.zeros(0, 3, 64, 32, device=device)).shape == (0, encoder.dim)


# CUDA graphs.


@given(st.integers(1, 10_000))
def test_batches_are_padded_by_little(n):
    assert n <= padded(n) < max(2 * n, 2)
    assert padded(n) - n < 16
    assert padded(padded(n)) == padded(n)


def test_there_are_few_sizes():
    assert sorted({padded(n) for n in range(1, 65)}) == [1, 2, 4, 8, 16, 32, 48, 64]


def test_a_graph_matches_the_network(device):
    if device == "cpu":
        pytest.skip("graphs are CUDA's")
    shape, place = (3, 64, 32), torch.device(device)
    encoder = Encoder(SHIPPED, device=device)
    with torch.inference_mode(False):
        network = InferenceNetwork(encoder.network.backbone, encoder.network.projection, (64, 32))
    with torch.inference_mode():
        graphed = GraphedNetwork(network, shape, place, most=20)
        kept = []
        # Sizes repeat, padding held other crops before, and 30 is above the limit.
        for n in (3, 20, 4, 1, 3, 17, 30, 3):
            crops = torch.randn(n, *shape, device=device)
            crops[0] = 0
            kept.append((graphed(crops), network(crops)))
            assert (kept[-1][0][0] == 0).all()
        for got, expected in kept:  # also after later calls
            torch.testing.assert_close(got, expected, atol=2e-3, rtol=2e-3)
        assert graphed(torch.zeros(0, *shape, device=device)).shape == (0, encoder.dim)


def test_a_host_frame_is_cut_on_the_device_of_the_network(device):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (120, 160, 3), np.uint8)
    boxes = np.array([[5, 5, 45, 100], [-10, 0, 40, 130], [9, 9, 2, 2]], np.float32)
    encoder = trained(SHIPPED)
    expected = torch.from_numpy(encoder(frame, boxes))
    here = Encoder(SHIPPED, device=device, bfloat16=False)
    here.network.load_state_dict(encoder.network.state_dict())
    # A flipped view, a read-only array, and a part of a larger image.
    for view in (frame, frame[::-1].copy()[::-1], np.pad(frame, ((0, 0), (4, 4), (0, 0)))[:, 4:-4]):
        view.flags.writeable = False
        got = torch.as_tensor(here(view, boxes)).cpu()
        close = torch.cosine_similarity(got[:2], expected[:2])
        assert close.min() > (0.99999 if device == "cpu" else 0.999)
        assert (got[2] == 0).all()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_weights_are_laid_out_by_one_thread(monkeypatch):
    seen = []
    use = inference._use_onednn
    monkeypatch.setattr(
        inference, "_use_onednn", lambda net: (seen.append(torch.get_num_threads()), use(net))
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Encoder(LITE, device="cpu", bfloat16=False).folded(for_cpu=True)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
