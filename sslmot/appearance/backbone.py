"""What all backbones share: how the maps of a network become a feature."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

_SPREAD = 0.2  # standard deviation of a column's weight across a box, in widths of the box


class Backbone(nn.Module, ABC):
    """(N, 3, H, W) images -> (N, ``dim``) features.

    With one part, a feature is the average of the last map. With more parts, it also contains
    averages of the two finer maps before it, over that many horizontal stripes. So head, trunk and
    legs of a person each have a part of the feature (Sun et al., "Beyond part models", 2018). Finer
    maps have simpler content, which also generalises better to scenes without training data.
    Columns in the middle have the largest weight, since the sides of a box show background.

    Args:
        channels: Channels of the maps with 1/8, 1/16 and 1/32 of the sides of an image.
        parts: Number of stripes, head to foot.

    Attributes:
        parts: As given.
        dim: Width of a feature. For ResNet-18: 512 with one part, 2048 with four.
        downs: For each map of a feature, pixels of the image per pixel of the map.
    """

    def __init__(self, channels: tuple[int, int, int], parts: int) -> None:
        super().__init__()
        second, third, last = channels
        self.parts = parts
        self.dim = last if parts == 1 else (second + third) * parts + last
        self.downs = (32,) if parts == 1 else (8, 16, 32)

    @abstractmethod
    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of a feature: (N, 3, H, W) -> (N, C, h, w) each, from fine to coarse."""

    def averages(self, maps: list[Tensor]) -> list[Tensor]:
        """Average maps: (N, C, h, w) -> (N, C) for the last, (N, C * ``parts``) for the others."""
        *finer, last = maps
        if self.parts == 1:
            return [nn.functional.adaptive_avg_pool2d(last, 1).flatten(1)]
        return [*(_stripes(x, self.parts) for x in finer), _stripes(last, 1)]

    def forward(self, x: Tensor) -> Tensor:
        """Embed images: (N, 3, H, W) -> (N, ``dim``)."""
        return join(self.averages(self.maps(x)))


def join(parts: list[Tensor]) -> Tensor:
    """Join the averages of maps into one feature: (N, D) each -> (N, sum of D)."""
    if len(parts) == 1:
        return parts[0]
    # Normalised, so that each map has the same weight.
    return torch.cat([nn.functional.normalize(x.float(), dim=1) for x in parts], dim=1)


def _stripes(x: Tensor, count: int) -> Tensor:
    """Average each stripe: (N, C, H, W) -> (N, C * count)."""
    columns = x.shape[3]
    across = (torch.arange(columns, device=x.device) + 0.5) / columns - 0.5
    weights = torch.exp(-0.5 * (across / _SPREAD) ** 2)
    weights = (weights / weights.mean()).to(x.dtype)
    return nn.functional.adaptive_avg_pool2d(x * weights, (count, 1)).flatten(1)
