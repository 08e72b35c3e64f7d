"""Convolutions of narrow maps, as matrix products of whole rows.

Each row of the result is a product with the rows of the map that the filter covers. oneDNN is
several times slower where the result has one or two columns, as in the last layer of a ResNet for
crops of people. That of torch 2.13 also computes a single column wrongly on processors with AMX, if
the stride is 2 and the numbers are bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MOST_COLUMNS = 2  # of a result up to which products are faster


class Conv2d(nn.Conv2d):
    """A convolution with a square filter of odd side, padded by half of it.

    Args:
        channels: Number of channels of a map.
        out: Number of channels of the result.
        size: Side of the filters.
        stride: Stride.
        bias: Whether to add a bias.
    """

    def __init__(
        self, channels: int, out: int, size: int, stride: int = 1, *, bias: bool = False
    ) -> None:
        super().__init__(channels, out, size, stride, padding=size // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        # A traced network is for a file, and that for another runtime.
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        if traced or x.device.type != "cpu" or not is_narrow(self, x.shape[3]):
            return super().forward(x)
        return convolve_rows(x, *filters_of_rows(self, x.shape[3]), self.stride[0])


def is_narrow(conv: Conv2d, width: int) -> bool:
    """Return whether a convolution of maps of that width is faster by products of rows."""
    return conv.kernel_size != (1, 1) and width <= conv.stride[0] * _MOST_COLUMNS


def filters_of_rows(conv: Conv2d, width: int) -> tuple[Tensor, Tensor | None]:
    """Lay the filters at each column of the result out over whole rows of the map.

    Args:
        conv: A convolution as `Conv2d` describes it.
        width: Width of the map.

    Returns:
        (columns of the result * C', k * width * C) filters, and as many biases if it has some.
    """
    half, stride = conv.kernel_size[0] // 2, conv.stride[0]
    filters = conv.weight.permute(0, 2, 3, 1)  # (C', row, column, C)
    columns = []
    for middle in range(0, width, stride):
        left, right = max(middle - half, 0), min(middle + half + 1, width)
        on_map = filters[:, :, left - middle + half : right - middle + half]
        columns.append(nn.functional.pad(on_map, (0, 0, left, width - right)))
    bias = None if conv.bias is None else conv.bias.repeat(len(columns))
    return torch.stack(columns).flatten(0, 1).flatten(1), bias


def convolve_rows(x: Tensor, filters: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolve a map: (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride)).

    Args:
        x: The map.
        filters: Filters of `filters_of_rows`.
        bias: Their biases.
        stride: Stride.
    """
    height, width = x.shape[2:]
    rows = x.permute(0, 2, 3, 1).flatten(2)
    side = filters.shape[1] // rows.shape[2]
    rows = nn.functional.pad(rows, (0, 0, side // 2, side // 2))
    covered = torch.cat([rows[:, k : k + height : stride] for k in range(side)], dim=2)
    made = nn.functional.linear(covered, filters, bias)
    columns = -(-width // stride)
    made = made.reshape(*made.shape[:2], columns, made.shape[2] // columns)
    return made.permute(0, 3, 1, 2)
