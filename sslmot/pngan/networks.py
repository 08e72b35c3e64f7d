"""The two networks of PN-GAN (Qian et al., ECCV 2018), with the layers of the authors' release."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """Generates the person of a crop in another pose.

    Args:
        width: Channels of the first convolution, 64 in the paper; others are multiples of it.
        blocks: Residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normalised(nn.Conv2d(6, w, 7), nn.ReLU(inplace=True)),
            *_normalised(nn.Conv2d(w, 2 * w, 3, 2, 1), nn.ReLU(inplace=True)),
            *_normalised(nn.Conv2d(2 * w, 4 * w, 3, 2, 1), nn.ReLU(inplace=True)),
            *(_Block(4 * w) for _ in range(blocks)),
            *_normalised(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1), nn.ReLU(inplace=True)),
            *_normalised(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1), nn.ReLU(inplace=True)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(w, 3, 7, bias=False),
        )
        self.apply(_initialise)

    def forward(self, images: Tensor, maps: Tensor) -> Tensor:
        """Generate images.

        Args:
            images: (n, 3, h, w), -1 to 1; the sides are multiples of 4.
            maps: (n, 3, h, w), -1 to 1, maps of the poses.

        Returns:
            (n, 3, h, w) float32, -1 to 1.
        """
        # In half precision the last step would lose grey levels.
        return torch.tanh(self.layers(torch.cat([images, maps], dim=1)).float())


class Discriminator(nn.Module):
    """Tells real from generated images, patch by patch (PatchGAN).

    Args:
        width: Channels of the first convolution, 64 in the paper; others are multiples of it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            nn.Conv2d(3, w, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            *_normalised(nn.Conv2d(w, 2 * w, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)),
            *_normalised(nn.Conv2d(2 * w, 4 * w, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)),
            # Unlike in the release, the last two are padded, so that a crop of 32x16 has patches.
            *_normalised(nn.Conv2d(4 * w, 8 * w, 4, 1, 2), nn.LeakyReLU(0.2, inplace=True)),
            nn.Conv2d(8 * w, 1, 4, 1, 2, bias=False),
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images.

        Args:
            images: (n, 3, h, w), -1 to 1; 16 pixels or more on each side.

        Returns:
            (n, 1, h / 8 + 2, w / 8 + 2) float32, one for each patch: near 1 for a real image, near
            0 for a generated one.
        """
        verdict: Tensor = self.layers(images).float()
        return verdict


class _Block(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalised(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(inplace=True)),
            *_normalised(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(inplace=True))[:2],
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.layers(x) + x)


def _normalised(
    convolution: nn.Conv2d | nn.ConvTranspose2d, activation: nn.Module
) -> list[nn.Module]:
    channels = convolution.out_channels
    # Groups of one channel are instance normalisation; GroupNorm is twice as fast on a CPU.
    return [convolution, nn.GroupNorm(channels, channels, affine=False), activation]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
