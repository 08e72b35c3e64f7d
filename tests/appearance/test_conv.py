"""Each convolution of each network gives in bfloat16 what it gives in float32."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sslmot.appearance.conv import Conv2d  # noqa: E402
from sslmot.appearance.efficientnet import EfficientNetLite0  # noqa: E402
from sslmot.appearance.encoder import computes_in_bfloat16  # noqa: E402
from sslmot.appearance.inference import InferenceNetwork  # noqa: E402
from sslmot.appearance.resnet import resnet  # noqa: E402

pytestmark = pytest.mark.processor
in_bfloat16 = pytest.mark.skipif(
    not computes_in_bfloat16(torch.device("cpu")), reason="a CPU without bfloat16 arithmetic"
)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def inputs(network, *arguments):
    """Run a network. Return its convolutions, and what went into each."""
    found = {}

    def keep(module, given, _):
        found[module] = given[0].detach()

    hooks = [
        module.register_forward_hook(keep)
        for module in network.modules()
        if isinstance(module, CONVOLUTIONS)
    ]
    network(*arguments)
    for hook in hooks:
        hook.remove()
    assert found
    return found


def results(module, x, dtype):
    """Return the result of a convolution and its gradients, in float32."""
    module = copy.deepcopy(module).to(dtype).requires_grad_()
    x = x.detach().to(dtype).requires_grad_()
    made = module(x)
    weights = torch.linspace(-1, 1, made.shape[1])[:, None, None].to(dtype)
    (made * weights).sum().backward()
    return [t.detach().float() for t in (made, x.grad, *(p.grad for p in module.parameters()))]


def check(network, *arguments):
    for module, x in inputs(network, *arguments).items():
        # Rounded before, so that both begin with the same numbers.
        x, module = x.bfloat16(), copy.deepcopy(module).bfloat16()
        for got, wanted in zip(
            results(module, x, torch.bfloat16), results(module, x, torch.float32), strict=True
        ):
            assert (got - wanted).norm() <= 0.02 * wanted.norm(), (module, tuple(x.shape))


def images(batch, height, width):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(batch, 3, height, width, generator=generator)
    return drawn.contiguous(memory_format=torch.channels_last)


@in_bfloat16
@pytest.mark.parametrize("size", [(64, 32), (128, 32), (128, 64), (40, 16), (16, 8)])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_lite0"])
def test_convolutions_of_encoders_are_those_of_float32(name, size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = EfficientNetLite0() if name == "efficientnet_lite0" else resnet(name)
        network.to(memory_format=torch.channels_last)
    check(network, images(8, *size))
    check(InferenceNetwork(network, None, size), images(8, *size))
    networks = [
        InferenceNetwork(network, None, size, dtype, for_cpu=True)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    with torch.no_grad():
        exact, fast = (inference(images(8, *size)) for inference in networks)
    assert torch.cosine_similarity(exact, fast).min() > 0.995


@in_bfloat16
def test_convolutions_of_pngan_are_those_of_float32():
    pytest.importorskip("sklearn")  # of the canonical poses
    from sslmot.pngan.networks import Discriminator, Generator

    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, discriminator = Generator(8, 1), Discriminator(8)
    check(generator, images(4, 32, 16), images(4, 32, 16))
    check(discriminator, images(4, 32, 16))


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("height", [1, 2, 5, 6])
@pytest.mark.parametrize("width", range(1, 8))
def test_it_is_the_convolution_of_torch(size, stride, height, width):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = Conv2d(4, 6, size, stride, bias=True).double()
        x = torch.randn(2, 4, height, width).double()
        theirs = nn.Conv2d(4, 6, size, stride, size // 2).double()
    theirs.load_state_dict(ours.state_dict())
    for got, wanted in zip(
        results(ours, x, torch.float64), results(theirs, x, torch.float64), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
