"""Training steps of ResNet-18 on one core: our convolutions of narrow maps, and torch's alone.

    pytest benchmarks/test_conv.py --benchmark-columns=median,iqr,rounds

A step is forward and backward for 64 crops.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install sslmot[encoder]")

from torch import nn  # noqa: E402

from sslmot.appearance.conv import Conv2d  # noqa: E402
from sslmot.appearance.encoder import computes_in_bfloat16  # noqa: E402
from sslmot.appearance.resnet import resnet  # noqa: E402


def torchs_own(network):
    """Return a network whose convolutions are those of torch."""
    for name, module in network.named_children():
        if isinstance(module, Conv2d):
            plain = nn.Conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                bias=False,
            )
            setattr(network, name, plain)
        else:
            torchs_own(module)
    return network


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(128, 64), (64, 32)], ids=["128x64", "64x32"])
@pytest.mark.parametrize("ours", [True, False], ids=["sslmot", "torch"])
def test_resnet18(benchmark, ours, size, dtype):
    half = dtype == "bfloat16"
    if half and not computes_in_bfloat16(torch.device("cpu")):
        pytest.skip("the processor has no bfloat16 arithmetic")
    benchmark.group = f"training step of ResNet-18, 64 crops of {size[0]}x{size[1]}, {dtype}"
    torch.manual_seed(0)
    network = resnet("resnet18")
    weights = network.state_dict()
    if not ours:
        network = torchs_own(network)
        network.load_state_dict(weights)
    network.to(memory_format=torch.channels_last)
    images = torch.randn(64, 3, *size).contiguous(memory_format=torch.channels_last)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = network(images)
        network.zero_grad()
        features.float().square().sum().backward()
        return features.detach()

    got = benchmark(step)
    expected = torchs_own(network)
    expected.load_state_dict(weights)
    if half and size == (64, 32) and not ours:
        return  # those are wrong on processors with AMX
    with torch.no_grad():
        wanted = expected(images)
    assert torch.cosine_similarity(got.float(), wanted).min() > (0.99 if half else 0.9999)
