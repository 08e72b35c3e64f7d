"""An encoder's network for inference: the same features with fewer operations."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sslmot.appearance.backbone import Backbone, join
from sslmot.appearance.conv import Conv2d, convolve_rows, filters_of_rows, is_narrow
from sslmot.appearance.efficientnet import EfficientNetLite0, HalvingConv
from sslmot.appearance.resnet import IBN, ResNet
from sslmot.threads import one_thread

Module = TypeVar("Module", bound=nn.Module)


class InferenceNetwork(nn.Module):
    """A network with each normalisation folded into the layer before it.

    Args:
        backbone: The backbone. It is copied on its device.
        projection: The projection, copied too. None for the feature of the backbone.
        crop_size: Height and width of all crops, pixels.
        dtype: Dtype of convolutions and averages. The later layers are float32.
        for_cpu: Whether to choose operations that are fast with oneDNN.
    """

    def __init__(
        self,
        backbone: Backbone,
        projection: nn.Sequential | None,
        crop_size: tuple[int, int],
        dtype: torch.dtype = torch.float32,
        *,
        for_cpu: bool = False,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.backbone = _fold(backbone)
        self.projection = None if projection is None else _fold(projection)
        if self.projection is not None and isinstance(self.projection[0], nn.BatchNorm1d):
            self.projection[0] = _Affine(self.projection[0])
        height, width = crop_size
        if for_cpu and isinstance(self.backbone, ResNet):
            _multiply_rows(self.backbone, width)
        for module in self.backbone.modules():
            if isinstance(module, (nn.Conv2d, _Rows)):
                module.to(dtype)
        to_channels_last: dict[str, Any] = {"memory_format": torch.channels_last}
        self.backbone.to(**to_channels_last)
        small = isinstance(self.backbone, EfficientNetLite0) and height % 32 == width % 32 == 0
        if for_cpu and small and _has_onednn(dtype):
            # The layout that oneDNN chooses for several threads is slow in bfloat16.
            with one_thread():
                _use_onednn(self.backbone)
        # Averages over parts are linear, so they become one matrix product per map. The weight of
        # a pixel is the weight of its row times the weight of its column.
        downs = backbone.downs
        device = next(backbone.parameters()).device
        rows = [torch.eye(-(-height // down), device=device) for down in downs]
        columns = [torch.eye(-(-width // down), device=device) for down in downs]
        by_row = backbone.averages([x[:, None, :, None] for x in rows])
        by_column = backbone.averages([x[:, None, None, :] for x in columns])
        weights = [
            (r[:, None] * c).flatten(0, 1).to(dtype) for r, c in zip(by_row, by_column, strict=True)
        ]
        self.weights = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w in weights)

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops: (N, 3, height, width) float32 -> (N, D) float32.

        A crop of zeros contains padding only. Its feature is 0.
        """
        x = crops.to(self.dtype).contiguous(memory_format=torch.channels_last)
        maps = self.backbone.maps(x)
        parts = [
            (x.flatten(2) @ weights).flatten(1)
            for x, weights in zip(maps, self.weights, strict=True)
        ]
        z = join(parts).float()
        if self.projection is not None:
            z = self.projection(z)
        return z * (crops.flatten(1).abs().amax(dim=1, keepdim=True) > 0)


class _InstanceNorm(nn.Module):
    """Instance normalisation of the first channels that keeps the channels-last memory format.

    torch's own module changes the format, and each convolution after it changes it back.
    """

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        some, rest = x[:, : self.norm.num_features], x[:, self.norm.num_features :]
        off = some - some.mean((2, 3), keepdim=True)
        variance = (off * off).mean((2, 3), keepdim=True, dtype=torch.float32)
        scale = self.norm.weight[:, None, None] * torch.rsqrt(variance + self.norm.eps)
        bias = self.norm.bias[:, None, None]
        return torch.cat([torch.addcmul(bias.to(x.dtype), off, scale.to(x.dtype)), rest], dim=1)


class _Affine(nn.Module):
    """A normalisation without a layer before it, so it cannot be folded."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(norm)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.shift = nn.Parameter(shift, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class _Rows(nn.Module):
    """A convolution of a narrow map with its filters laid out, see `sslmot.appearance.conv`."""

    def __init__(self, conv: Conv2d, width: int) -> None:
        super().__init__()
        self.stride = conv.stride[0]
        filters, bias = filters_of_rows(conv, width)
        self.filters = nn.Parameter(filters, requires_grad=False)
        assert bias is not None
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return convolve_rows(x, self.filters, self.bias, self.stride)


def _multiply_rows(network: ResNet, width: int) -> None:
    """Replace the convolutions of maps that are narrow for crops of a width."""
    for down, layer in ((8, network.layer2), (16, network.layer3), (32, network.layer4)):
        for block in layer.children():
            for name, conv in list(block.named_children()):
                if isinstance(conv, Conv2d) and conv.kernel_size == (3, 3):
                    of_map = -(-width // (down // conv.stride[0]))
                    if is_narrow(conv, of_map):
                        setattr(block, name, _Rows(conv, of_map))


def _has_onednn(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001


class _OneDNN(nn.Module):
    """A convolution and its ReLU6 as one operation, with weights in oneDNN's own layout.

    torch lays the weights out anew in each call, which is half of the time of a small convolution.
    The operations are those that torch's compiler uses.
    """

    def __init__(self, conv: nn.Conv2d, relu6: bool) -> None:
        super().__init__()
        weight, padding = conv.weight, list(conv.padding)
        if isinstance(conv, HalvingConv):
            # For maps of even sides: zeros in the filter instead of in the map.
            weight = nn.functional.pad(weight, (1, 0, 1, 0))
            padding = [side // 2 for side in conv.kernel_size]
        self.shape = padding, list(conv.stride), [1, 1], conv.groups
        reorder = torch.ops.mkldnn._reorder_convolution_weight  # noqa: SLF001
        self.register_buffer("weight", reorder(weight, *self.shape, []))
        self.register_buffer("bias", conv.bias)
        self.then: tuple[str, list[float], str] = ("none", [], "")
        if relu6:
            self.then = ("hardtanh", [0.0, 6.0], "")

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
            x, self.weight, self.bias, *self.shape, *self.then
        )
        return made


def _use_onednn(network: nn.Module) -> None:
    """Replace each convolution, normalisation and ReLU6 in sequence by one operation."""
    for name, module in network.named_children():
        layers = list(module.children())
        if isinstance(module, nn.Sequential) and layers and isinstance(layers[0], nn.Conv2d):
            setattr(network, name, _OneDNN(layers[0], isinstance(layers[-1], nn.ReLU6)))
        else:
            _use_onednn(module)


def _fold(network: Module) -> Module:
    """Copy a network with each normalisation folded into the layer before it."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(network.modules()):
        for (_, layer), (name, norm) in pairwise(list(module.named_children())):
            if not isinstance(layer, (nn.Conv2d, nn.Linear)):
                continue
            if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                scale, shift = _scale_and_shift(norm)
                setattr(module, name, nn.Identity())
            elif isinstance(norm, IBN):
                scale, shift = _scale_and_shift(norm.BN)
                scale = torch.cat([torch.ones_like(norm.IN.weight), scale])
                shift = torch.cat([torch.zeros_like(norm.IN.bias), shift])
                setattr(module, name, _InstanceNorm(norm.IN))
            else:
                continue
            layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias = nn.Parameter(shift, requires_grad=False)
    return network


def _scale_and_shift(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the factor and the offset of a normalisation, (C,) each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean * scale
    if norm.affine:
        weight = norm.weight.detach()
        scale, shift = scale * weight, shift * weight + norm.bias.detach()
    return scale, shift
