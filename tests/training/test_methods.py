"""Methods: their networks, their losses from end to end, and that they learn."""

import copy
import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402

from sslmot.appearance.encoder import EncoderConfig, EncoderNetwork  # noqa: E402
from sslmot.training.losses import acd, affinity, barlow, contrast, mse, symmetric  # noqa: E402
from sslmot.training.methods import SSLMOT, make_method  # noqa: E402

CONFIG = EncoderConfig("resnet18", crop_size=(32, 16))
TINY = {
    "sslmot": {"projection": (32, 32, 16), "hidden": 8},
    "simsiam": {"projection": (32, 32, 16), "hidden": 8},
    "byol": {"hidden": 32, "width": 16},
    "barlow": {"projection": (32, 32, 16)},
}
RELATION = torch.eye(8, dtype=torch.int8) * 2 - 1
RELATION[0, 1] = RELATION[1, 0] = 1
RELATION[2:4, 5:] = RELATION[5:, 2:4] = 0

names = pytest.mark.parametrize("name", list(TINY))


def make(name, seed=0, **options):
    torch.manual_seed(seed)
    return make_method(name, CONFIG, **TINY[name], **options)


def views(height=32, width=16):
    """Eight crops of one colour each, twice with noise."""
    generator = torch.Generator().manual_seed(0)
    crops = torch.randn(8, 3, 1, 1, generator=generator).expand(8, 3, height, width)
    return tuple(crops + 0.3 * torch.randn(crops.shape, generator=generator) for _ in range(2))


def widths(module):
    return [(m.in_features, m.out_features) for m in module if isinstance(m, nn.Linear)]


def kinds(module):
    return [type(m).__name__ for m in module]


# Networks.


def test_the_papers_widths():
    with torch.device("meta"):
        method = make_method("sslmot", EncoderConfig())
        assert widths(method.encoder.projection) == [(2048, 2048)] * 3
        assert widths(method.predictor) == [(2048, 512), (512, 2048)]
        assert kinds(method.predictor) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        method = make_method("byol", EncoderConfig("resnet18"))
        assert widths(method.head) == [(512, 4096), (4096, 256)]
        assert widths(method.predictor) == [(256, 4096), (4096, 256)]
        assert kinds(method.head) == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        method = make_method("barlow", EncoderConfig("resnet18"))
        assert widths(method.encoder.projection) == [(512, 8192), (8192, 8192), (8192, 8192)]


@names
def test_the_encoder_is_what_its_config_says(name):
    method = make(name)
    network = EncoderNetwork(method.config).eval()
    network.load_state_dict(method.encoder.state_dict())
    assert network(views()[0]).shape == (8, 512 if name == "byol" else 16)
    assert method.config.crop_size == CONFIG.crop_size


def test_a_normalisation_can_be_all_there_is():
    config = replace(CONFIG, parts=2)
    method = make_method("sslmot", config, projection=(), hidden=None, loss="contrast")
    assert kinds(method.encoder.projection) == ["BatchNorm1d"]
    assert list(method.predictor) == []
    step = method(*views(64, 32))
    assert step.z.shape == (8, 2 * (128 + 256) + 512)
    step.loss.backward()
    assert method.encoder.backbone.conv1.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["sslmot", "byol", "barlow"])
def test_heads_fit_a_backbone_in_parts(name):
    config = replace(CONFIG, parts=2)
    method = make_method(name, config, **TINY[name])
    assert method(*views(64, 32)).z.shape == (8, 16)


@names
def test_a_step(name):
    method = make(name)
    before = copy.deepcopy(method)
    step = method(*views(), RELATION)
    assert step.loss.shape == step.same.shape == step.different.shape == ()
    assert step.z.shape == (8, 16)
    assert step.z.dtype == torch.float32
    assert step.loss.requires_grad
    assert not any(x.requires_grad for x in step[1:])
    assert -1 <= step.different < 1
    step.loss.backward()
    for key, parameter in method.named_parameters():
        assert (parameter.grad is not None) == (not key.startswith("target.")), key
    # Each view has a pass of its own: two updates of the running statistics.
    for key, buffer in method.named_buffers():
        if key.endswith("num_batches_tracked"):
            assert buffer == before.get_buffer(key) + 2, key


def test_affinities_of_a_step():
    method = make("sslmot").eval()
    first, second = views()
    step = method(first, second, RELATION)
    with torch.no_grad():
        z = method.encoder(first), method.encoder(second)
        a = affinity(method.predictor(z[0]), z[1])
    torch.testing.assert_close(step.z, z[0])
    torch.testing.assert_close(step.same, a[RELATION == 1].mean())
    torch.testing.assert_close(step.different, a[RELATION == -1].mean())
    torch.testing.assert_close(method(first, second).same, a.diagonal().mean())
    assert method(first, second, torch.eye(8, dtype=torch.int8)).different.isnan()


def test_proxies_are_contrasted_with_both_views():
    method = make("sslmot", loss="contrast").eval()
    first, second = views()
    generator = torch.Generator().manual_seed(2)
    width = method.encoder.dim
    proxies = torch.randn(5, width, generator=generator)
    relation = torch.randint(0, 2, (16, 5), generator=generator) * 2 - 1
    relation[:, 0] = 1
    relation = relation.to(torch.int8)
    step = method(first, second, proxies=(proxies, relation))
    alone = method(first, second)
    p = [method.predictor(method.encoder(view)) for view in (first, second)]
    more = [contrast(p[0], proxies, relation[:8]), contrast(p[1], proxies, relation[8:])]
    torch.testing.assert_close(step.loss, alone.loss + sum(more) / 2)
    torch.testing.assert_close(step.second, method.encoder(second))
    assert not any(x.requires_grad for x in (step.z, step.second))


@pytest.mark.parametrize("loss", ["acd", "contrast"])
def test_a_step_along_the_gradient_imitates_a_teacher(loss):
    method = make("sslmot", loss=loss).double().eval()
    first, second = (view.double() for view in views())
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.rand(8, 8, generator=generator, dtype=torch.float64) for _ in range(2)]
    alike = tuple(2 * x - 1 for x in drawn)

    def term():
        return method(first, second, alike=alike).loss - method(first, second).loss

    before = term()
    assert before > 0
    parameters = [p for p in method.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(before, parameters, allow_unused=True)
    length = torch.stack([g.norm() for g in gradients if g is not None]).norm()
    assert length > 1e-3
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter -= 1e-4 * gradient / length
        assert term() < before - 0.5e-4 * length


# Losses from end to end.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda p, z: acd(p, z, RELATION)),
        (
            {"normalize": "rows", "balance": 0.3},
            lambda p, z: acd(p, z, RELATION, normalize="rows", balance=0.3),
        ),
        (
            {"loss": "contrast", "temperature": 0.2},
            lambda p, z: contrast(p, z, RELATION, 0.2),
        ),
        ({"loss": "mse"}, mse),
    ],
)
def test_losses_of_sslmot(options, expected):
    method = make("sslmot", **options).eval()
    first, second = views()
    z = method.encoder(first), method.encoder(second)
    p = method.predictor(z[0]), method.predictor(z[1])
    torch.testing.assert_close(
        method(first, second, RELATION).loss, symmetric(expected, p[0], z[0], p[1], z[1])
    )


def test_simsiam_is_sslmot_with_the_cosine():
    one, other = make("simsiam"), make("sslmot", loss="cosine")
    a, b = one(*views()), other(*views())
    assert torch.equal(a.loss, b.loss)
    a.loss.backward()
    b.loss.backward()
    for x, y in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(x.grad, y.grad)
    assert not torch.equal(make("sslmot")(*views()).loss, a.loss)


def test_loss_of_barlow():
    method = make("barlow", balance=0.1)
    first, second = views()
    expected = barlow(method.encoder(first), method.encoder(second), 0.1)
    torch.testing.assert_close(method(first, second).loss, expected)


def test_loss_of_byol():
    method = make("byol")
    with torch.no_grad():
        for parameter in method.target.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    first, second = views()
    cosines = []
    for a, b in ((first, second), (second, first)):
        p = method.predictor(method.head(method.encoder(a)))
        p, z = (nn.functional.normalize(x) for x in (p, method.target(b)))
        torch.testing.assert_close((p - z).square().sum(1), 2 - 2 * (p * z).sum(1))
        cosines.append((p * z).sum(1).mean())
    step = method(first, second)
    torch.testing.assert_close(step.loss, 2 - sum(cosines))
    torch.testing.assert_close(step.same, cosines[0])


# The target of BYOL.


@pytest.mark.parametrize("progress", [0, 0.3, 0.5, 1])
def test_the_target_moves_as_the_formula_says(progress):
    method = make("byol")
    online = nn.ModuleList([method.encoder, method.head])
    with torch.no_grad():
        for parameter in online.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    before = [p.clone() for p in method.target.parameters()]
    buffers = [b.clone() for b in method.target.buffers()]
    kept = [p.clone() for p in online.parameters()]
    method.after_step(progress)
    tau = 1 - 0.01 * (math.cos(math.pi * progress) + 1) / 2
    for old, ours, theirs in zip(before, method.target.parameters(), kept, strict=True):
        torch.testing.assert_close(ours, tau * old + (1 - tau) * theirs)
        assert torch.equal(ours, old) == (progress == 1)
    assert all(map(torch.equal, buffers, method.target.buffers()))
    assert all(map(torch.equal, kept, online.parameters()))


def test_the_target_starts_as_the_online_networks_and_gets_no_gradient():
    method = make("byol")
    for _ in range(2):
        online = nn.Sequential(method.encoder, method.head).state_dict()
        for key, tensor in method.target.state_dict().items():
            assert torch.equal(tensor, online[key])
        method.load_backbone(make("byol", seed=1).encoder.backbone.state_dict())
    assert not any(p.requires_grad for p in method.target.parameters())
    method(*views()).loss.backward()
    assert all(p.grad is None for p in method.target.parameters())


@names
def test_a_backbone_of_ones_own(name):
    backbone = make("simsiam", seed=1).encoder.backbone
    method = make(name)
    assert not torch.equal(method.encoder.backbone.conv1.weight, backbone.conv1.weight)
    method.load_backbone(backbone.state_dict())
    assert torch.equal(method.encoder.backbone.conv1.weight, backbone.conv1.weight)


# Learning.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sslmot", {}),
        ("sslmot", {"loss": "contrast"}),
        ("simsiam", {}),
        ("byol", {}),
        ("barlow", {}),
    ],
)
@pytest.mark.processor
def test_a_few_steps_lower_the_loss(name, options):
    method = make(name, **options)
    batch = views()
    trained = [p for p in method.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, 0.02, momentum=0.9)
    losses = []
    for k in range(6):
        step = method(*batch)
        optimiser.zero_grad()
        step.loss.backward()
        optimiser.step()
        method.after_step(k / 6)
        losses.append(step.loss.item())
    assert min(losses[-3:]) < losses[0] - 0.05 * abs(losses[0])


@names
@pytest.mark.processor
@pytest.mark.slow
def test_autocast(name):
    method, batch = make(name), views()
    exact = method(*batch, RELATION)
    with torch.autocast("cpu", torch.bfloat16):
        step = method(*batch, RELATION)
    assert all(x.dtype == torch.float32 for x in step)
    torch.testing.assert_close(step.loss, exact.loss, rtol=0.1, atol=0.1)
    step.loss.backward()
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.requires_grad)


# Errors.


def test_unknown_names():
    with pytest.raises(ValueError, match=r"name: expected one of sslmot, .*, got 'moco'"):
        make_method("moco", CONFIG)
    with pytest.raises(ValueError, match=r"loss: expected acd, contrast, .*, got 'triplet'"):
        SSLMOT(CONFIG, projection=(8, 8, 8), loss="triplet")
    with pytest.raises(TypeError, match="loss"):
        make("simsiam", loss="acd")


def test_a_relation_of_another_batch():
    for name in TINY:
        with pytest.raises(ValueError, match=r"relation: expected \(8, 8\) torch.int8, got"):
            make(name)(*views(), RELATION[:4, :4])
