"""ResNet-18, 50 and 101 without a classifier. Parameters have the names of torchvision.

He et al., "Deep residual learning for image recognition", 2015. A bottleneck has its stride in the
3x3 convolution ("v1.5"). A checkpoint of torchvision loads with ``strict=True`` after
``fc.weight`` and ``fc.bias`` are removed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from sslmot.appearance.backbone import Backbone
from sslmot.appearance.conv import Conv2d


class IBN(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the rest.

    Pan et al., "Two at once", 2018 (IBN-a). Instance normalisation removes the light and the
    colours of the camera, which helps in scenes that the network was not trained on.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(width // 2, affine=True)  # the name in the authors' weights
        self.BN = nn.BatchNorm2d(width - width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise: (N, C, H, W) -> (N, C, H, W)."""
        half = self.IN.num_features
        return torch.cat([self.IN(x[:, :half]), self.BN(x[:, half:])], dim=1)


class _Block(nn.Module, ABC):
    """A residual block: ``relu(x + body(x))``. Subclasses implement the body.

    Args:
        channels: Number of input channels.
        width: Number of channels of the body's inner layers.
        stride: Stride of the body.
        first_norm: Class of the first normalisation of the body.
    """

    expansion: int
    downsample: nn.Sequential | None

    def __init__(self, channels: int, width: int, stride: int, first_norm: type[nn.Module]) -> None:
        super().__init__()
        out = width * self.expansion
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out))

    @abstractmethod
    def body(self, x: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        return torch.relu_(self.body(x).add_(identity))


class _Basic(_Block):
    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, first_norm: type[nn.Module]) -> None:
        super().__init__(channels, width, stride, first_norm)
        self.conv1, self.bn1 = Conv2d(channels, width, 3, stride), first_norm(width)
        self.conv2, self.bn2 = Conv2d(width, width, 3), nn.BatchNorm2d(width)

    def body(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return x


class _Bottleneck(_Block):
    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, first_norm: type[nn.Module]) -> None:
        super().__init__(channels, width, stride, first_norm)
        self.conv1, self.bn1 = Conv2d(channels, width, 1), first_norm(width)
        self.conv2, self.bn2 = Conv2d(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = Conv2d(width, 4 * width, 1), nn.BatchNorm2d(4 * width)

    def body(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = torch.relu_(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return x


ARCHITECTURES: dict[str, tuple[type[_Block], tuple[int, int, int, int]]] = {
    "resnet18": (_Basic, (2, 2, 2, 2)),
    "resnet50": (_Bottleneck, (3, 4, 6, 3)),
    "resnet101": (_Bottleneck, (3, 4, 23, 3)),
}


def _layer(
    block: type[_Block],
    channels: int,
    width: int,
    depth: int,
    stride: int,
    first_norm: type[nn.Module],
) -> nn.Module:
    rest = [block(width * block.expansion, width, 1, first_norm) for _ in range(depth - 1)]
    return nn.Sequential(block(channels, width, stride, first_norm), *rest)


class ResNet(Backbone):
    """(N, 3, H, W) images -> (N, ``dim``) features.

    Args:
        block: Class of the blocks.
        depths: Number of blocks of each layer.
        parts: As for :class:`~sslmot.appearance.backbone.Backbone`.
        ibn: Whether the first normalisation of each block is :class:`IBN`.
    """

    def __init__(
        self,
        block: type[_Block],
        depths: tuple[int, int, int, int],
        parts: int = 1,
        ibn: bool = False,
    ) -> None:
        k = block.expansion
        super().__init__((128 * k, 256 * k, 512 * k), parts)
        self.conv1, self.bn1 = Conv2d(3, 64, 7, 2), nn.BatchNorm2d(64)
        norm: type[nn.Module] = IBN if ibn else nn.BatchNorm2d
        self.layer1 = _layer(block, 64, 64, depths[0], 1, norm)
        self.layer2 = _layer(block, 64 * k, 128, depths[1], 2, norm)
        self.layer3 = _layer(block, 128 * k, 256, depths[2], 2, norm)
        self.layer4 = _layer(block, 256 * k, 512, depths[3], 2, nn.BatchNorm2d)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of a feature; see :meth:`Backbone.maps`."""
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)), 3, 2, padding=1)
        x = torch.relu_(x)  # after the pooling: the result is the same, on fewer numbers
        second = self.layer2(self.layer1(x))
        third = self.layer3(second)
        last = self.layer4(third)
        return [last] if self.parts == 1 else [second, third, last]


def resnet(name: str, parts: int = 1, ibn: bool = False) -> ResNet:
    """Create a ResNet with random weights, from torch's global generator.

    Args:
        name: "resnet18", "resnet50" or "resnet101".
        parts: Number of stripes of a feature.
        ibn: Whether the first normalisation of each block is :class:`IBN`. The last layer never
            uses it.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"name: expected one of {', '.join(ARCHITECTURES)}, got {name!r}")
    return ResNet(*ARCHITECTURES[name], parts, ibn)
