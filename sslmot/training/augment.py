"""Augmentation of person crops, a batch at a time, on its device (SSL-MOT, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, get_args

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from kornia.geometry import get_perspective_transform
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, RGB
from sslmot.training.config import Preset

_PART = 128  # crops at a time; for more, the system clears new memory each time, which is slow


def to_network(
    images: Tensor,
    crop_size: tuple[int, int] = (128, 64),
    mean: RGB = IMAGENET_MEAN,
    std: RGB = IMAGENET_STD,
    *,
    middle: float = 1.0,
) -> Tensor:
    """Resize and normalise crops without augmentation.

    Args:
        images: (n, h, w, 3) uint8, RGB, on any device.
        crop_size: Height and width of the result, pixels.
        mean: Mean of red, green and blue, in 0..1.
        std: Standard deviation of each, above 0.
        middle: Share of the width that is kept, rounded to whole pixels.

    Returns:
        (n, 3, *crop_size) float32, channels last, on the device of the images: bilinear with
        antialias where the size differs, ``(value / 255 - mean) / std``.

    Raises:
        ValueError: The images have a wrong shape or dtype.
    """
    nothing_drawn = torch.Generator()
    return _apply((normalise,), images, crop_size, mean, std, middle, nothing_drawn)


class Augmentation(nn.Module):
    """Make random views of crops for the network, each crop augmented on its own.

    The presets list their steps in order; p is the share of crops that a step changes, 1 by
    default:

    - ``paper``, SSL-MOT's list, which has no magnitudes: brightness times 0.8 to 1.2, horizontal
      flip (p 0.5), perspective that moves each corner by up to 0.15 of the sides (p 0.5), Gaussian
      blur of sigma 0.1 to 2 pixels (p 0.5), cut-out of 0.02 to 0.2 of the area (p 0.5).
    - ``ablation``: random resized crop of 0.64 to 1 of the area, horizontal flip (p 0.5).
    - ``both``: random resized crop, then the paper's list.
    - ``crowd``, this project's own: ``both`` with an occlusion before the blur. Another crop of the
      batch covers the person from one side and somewhat lower, as in a crowd (p 0.33).
    - ``camera``, this project's own, for footage of other cameras: ``crowd`` with the picture of
      another camera: resolution down to a sixth of the height (p 0.5), gamma 0.6 to 1.7 and each
      colour times 0.8 to 1.25 (p 0.8), noise of up to 0.04 (p 0.3), JPEG of quality 20 to 80
      (p 0.3).
    - ``colour``, this project's own, for long training of features that rely on colour: brightness
      and contrast times 0.8 to 1.2, horizontal flip (p 0.5), translation by up to 10 rows and 5
      columns of 128x64 in whole pixels, cut-out of 0.02 to 0.3 of the area (p 0.5). Hue and
      saturation are not jittered, and nothing is blurred.

    Pixels from outside a crop, and pixels cut out, have the mean colour: 0 in the result. Random
    numbers are drawn on the CPU, so a seed gives the same views on every device. The global
    generators of torch are not used.

    Args:
        preset: Name of a preset.
        crop_size: Height and width of the result, 2 pixels or more.
        mean: Mean of red, green and blue, in 0..1.
        std: Standard deviation of each, above 0.
        middle: Share of the width that is kept, rounded to whole pixels.
        seed: Seed of the random numbers.

    Attributes:
        preset: As given.
        crop_size: As given.
        generator: Source of the random numbers; the only state of an augmentation.

    Raises:
        ValueError: There is no such preset, or the size or the middle is too small.
    """

    def __init__(
        self,
        preset: Preset = "both",
        crop_size: tuple[int, int] = (128, 64),
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
        *,
        middle: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if preset not in get_args(Preset):
            raise ValueError(
                f"preset: expected one of {', '.join(get_args(Preset))}, got {preset!r}"
            )
        if len(crop_size) != 2 or min(crop_size) < 2:
            raise ValueError(
                f"crop_size: expected (height, width), 2 pixels or more, got {crop_size}"
            )
        if not 0.1 <= middle <= 1:
            raise ValueError(f"middle: expected a share of 0.1 to 1, got {middle}")
        self.preset = preset
        self.crop_size = crop_size
        self.mean = mean
        self.std = std
        self.middle = middle
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, images: Tensor) -> Tensor:
        """Make a view of each crop.

        Args:
            images: (n, h, w, 3) uint8, RGB, on any device.

        Returns:
            (n, 3, *crop_size) float32, channels last, on the device of the images; resized and
            normalised as by `to_network`.

        Raises:
            ValueError: The images have a wrong shape or dtype.
        """
        return _apply(
            _PRESETS[self.preset],
            images,
            self.crop_size,
            self.mean,
            self.std,
            self.middle,
            self.generator,
        )


def _apply(
    steps: tuple[Step, ...],
    images: Tensor,
    crop_size: tuple[int, int],
    mean: RGB,
    std: RGB,
    middle: float,
    generator: torch.Generator,
) -> Tensor:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"images: expected (n, h, w, 3) torch.uint8, got {tuple(images.shape)} {images.dtype}"
        )
    views = torch.empty(
        (len(images), 3, *crop_size), device=images.device, memory_format=torch.channels_last
    )
    # In half precision a homography would be off by pixels.
    with torch.autocast(images.device.type, enabled=False):
        for some, out in zip(torch.split(images, _PART), torch.split(views, _PART), strict=True):
            side = round(some.shape[2] * (1 - middle) / 2)
            crops = _resized(some[:, :, side : some.shape[2] - side], crop_size)
            batch = _Batch(crops, mean, std, generator)
            for step in steps:
                crops = step(crops, batch)
            out.copy_(crops)
    return views


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (n, 3, *size) float32 in 0..1 for (n, h, w, 3) uint8."""
    # The steps run twice as fast on planes as on pixels. Bytes are the cheapest to transpose.
    crops = images.permute(0, 3, 1, 2).contiguous().float()
    if crops.shape[2:] != size:
        crops = F.interpolate(crops, size, mode="bilinear", antialias=True)
    return crops.div_(255)


class _Batch:
    """What a step gets with the crops: the colours that normalise them, and random numbers.

    Attributes:
        mean: (3, 1, 1) float32.
        std: (3, 1, 1) float32.
        size: (2,) float32, width and height of a crop, pixels.
    """

    def __init__(self, crops: Tensor, mean: RGB, std: RGB, generator: torch.Generator) -> None:
        self._count, _, height, width = crops.shape
        self._device = crops.device
        self._generator = generator
        self.mean = self.tensor(*mean).view(3, 1, 1)
        self.std = self.tensor(*std).view(3, 1, 1)
        self.size = self.tensor(width, height)

    def tensor(self, *values: float) -> Tensor:
        """Return the values as float32 on the device of the crops."""
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw (n, *shape) float32 in low..high, separately for each crop."""
        drawn = torch.rand(self._count, *shape, generator=self._generator)
        return (low + (high - low) * drawn).to(self._device, non_blocking=True)

    def normal(self, *shape: int) -> Tensor:
        """Draw (n, *shape) float32 of the standard normal distribution."""
        drawn = torch.randn(self._count, *shape, generator=self._generator)
        return drawn.to(self._device, non_blocking=True)

    def choose(self, p: float) -> Tensor:
        """Draw (n, 1) float32: 1 for a share p of the crops, 0 for the others."""
        return (self.uniform(0, 1, 1) < p).float()

    def others(self) -> Tensor:
        """Draw (n,) int64: for each crop another of the batch; itself in a batch of one."""
        n = self._count
        steps = torch.randint(1, max(n, 2), (n,), generator=self._generator)
        return ((torch.arange(n) + steps) % n).to(self._device)

    def corners(self) -> Tensor:
        """Return the corners of the whole crop: (n, 4, 2) float32, x and y in -1..1."""
        square = self.tensor(-1, -1, 1, -1, 1, 1, -1, 1).view(4, 2)
        return square.repeat(self._count, 1, 1)

    def boxes(self, area: tuple[float, float], ratio: float) -> tuple[Tensor, Tensor]:
        """Draw boxes inside the crops, in coordinates of -1..1.

        Args:
            area: Least and largest share of the area of the crop.
            ratio: Largest ratio of the sides, each in units of the side of the crop.

        Returns:
            (n, 2) float32, x and y of the centres; and (n, 2) float32, half of each side.
        """
        areas = self.uniform(*area)
        ratios = self.uniform(-math.log(ratio), math.log(ratio)).exp().clamp(areas, 1 / areas)
        halves = torch.stack([areas / ratios, areas * ratios], dim=1).sqrt()
        return self.uniform(-1, 1, 2) * (1 - halves), halves


Step: TypeAlias = Callable[[Tensor, _Batch], Tensor]
"""Changes (n, 3, h, w) float32 crops, and returns them."""

Move: TypeAlias = Callable[[_Batch], Tensor]
"""Returns where the corners of a view lie in the crop: (n, 4, 2) float32, x and y in -1..1."""


# Values are in 0..1 until they are normalised.


def brightness(crops: Tensor, batch: _Batch) -> Tensor:
    """Multiply the values by 0.8 to 1.2."""
    return crops.mul_(batch.uniform(0.8, 1.2, 1, 1, 1)).clamp_(max=1)


def light(crops: Tensor, batch: _Batch) -> Tensor:
    """Change exposure and white balance of most crops: gamma 0.6 to 1.7, each colour by a gain."""
    chosen = batch.choose(0.8)[:, :, None, None]
    gamma = (chosen * batch.uniform(-0.51, 0.53, 1, 1, 1)).exp()
    gain = (chosen * batch.uniform(-0.223, 0.223, 3, 1, 1)).exp()
    return crops.clamp_(min=1e-4).pow_(gamma).mul_(gain).clamp_(0, 1)


def resolution(crops: Tensor, batch: _Batch) -> Tensor:
    """Resize half of the crops down to 1/6 to 1 of the sides, and up again."""
    size = crops.shape[2:]
    factors = batch.uniform(math.log(1 / 6), 0, 1).exp()[:, 0].tolist()
    for row in batch.choose(0.5)[:, 0].nonzero()[:, 0].tolist():
        small = tuple(max(2, round(side * factors[row])) for side in size)
        crop = F.interpolate(crops[row, None], small, mode="bilinear", antialias=True)
        crops[row] = F.interpolate(crop, size, mode="bilinear")[0]
    return crops


def noise(crops: Tensor, batch: _Batch) -> Tensor:
    """Add normal noise of a deviation of up to 0.04 to some crops."""
    deviation = batch.choose(0.3)[:, :, None, None] * batch.uniform(0, 0.04, 1, 1, 1)
    return crops.add_(batch.normal(*crops.shape[1:]) * deviation).clamp_(0, 1)


def jpeg(crops: Tensor, batch: _Batch) -> Tensor:
    """Compress some crops as JPEG of quality 20 to 80."""
    quality = batch.uniform(20, 80, 1)[:, 0]
    chosen = batch.choose(0.3)[:, 0].nonzero()[:, 0]
    if len(chosen):
        crops[chosen] = jpeg_codec_differentiable(crops[chosen], quality[chosen])
    return crops


def contrast(crops: Tensor, batch: _Batch) -> Tensor:
    """Multiply the difference from the mean colour of the crop by 0.8 to 1.2."""
    mean = crops.mean(dim=(2, 3), keepdim=True)
    return crops.sub_(mean).mul_(batch.uniform(0.8, 1.2, 1, 1, 1)).add_(mean).clamp_(0, 1)


def normalise(crops: Tensor, batch: _Batch) -> Tensor:
    """Normalise: the mean colour becomes 0."""
    return crops.sub_(batch.mean).div_(batch.std)


# From here on 0 is the mean colour.


def warp(*moves: Move) -> Step:
    """Combine moves of the view into a step that samples the crops once."""

    def step(crops: Tensor, batch: _Batch) -> Tensor:
        _, _, height, width = crops.shape
        whole = batch.corners()
        matrix = torch.eye(3, device=crops.device)  # view -> crop
        for move in moves:
            matrix = matrix @ get_perspective_transform(whole, move(batch))
        # The result of kornia's homography_warp, in a third of its time.
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, height, device=crops.device),
            torch.linspace(-1, 1, width, device=crops.device),
            indexing="ij",
        )
        points = matrix @ torch.stack([x, y, torch.ones_like(x)]).flatten(1)
        grid = (points[:, :2] / points[:, 2:]).view(-1, 2, height, width).permute(0, 2, 3, 1)
        return F.grid_sample(crops, grid, align_corners=True)

    return step


def flip(batch: _Batch) -> Tensor:
    """Mirror half of the crops."""
    mirrored = batch.choose(0.5)[:, None] * batch.tensor(2, 0)
    return batch.corners() * (1 - mirrored)


def resized_crop(batch: _Batch) -> Tensor:
    """Crop to 0.64 to 1 of the area, as the code of LUPerson does."""
    centre, halves = batch.boxes((0.64, 1), ratio=4 / 3)
    return centre[:, None] + batch.corners() * halves[:, None]


def perspective(batch: _Batch) -> Tensor:
    """Move each corner of half of the crops by up to 0.15 of the sides."""
    return batch.corners() + batch.choose(0.5)[:, None] * batch.uniform(-0.3, 0.3, 4, 2)


def shift(batch: _Batch) -> Tensor:
    """Translate by up to 10 rows of 128 and 5 columns of 64, in whole pixels to avoid blur."""
    pixels = (batch.uniform(-1, 1, 1, 2) * batch.size * 10 / 128).round()
    return batch.corners() + 2 * pixels / (batch.size - 1)


def blur(crops: Tensor, batch: _Batch) -> Tensor:
    """Blur half of the crops with a sigma of 0.1 to 2 pixels, as in SimCLR."""
    sigma = batch.uniform(0.1, 2, 1).expand(-1, 2)
    chosen = batch.choose(0.5)[:, 0].nonzero()[:, 0]
    if len(chosen):
        crops[chosen] = gaussian_blur2d(crops[chosen], 7, sigma[chosen], "replicate")
    return crops


def cut_out(largest: float) -> Step:
    """Erase a box of 0.02 to ``largest`` of the area in half of the crops (Zhong et al., 2020)."""

    def step(crops: Tensor, batch: _Batch) -> Tensor:
        centre, halves = batch.boxes((0.02, largest), ratio=3.3)
        halves = halves * batch.choose(0.5)

        def covered(axis: int, count: int) -> Tensor:
            pixels = (2 * torch.arange(count, device=crops.device) + 1) / count - 1
            return ((pixels - centre[:, axis, None]).abs() < halves[:, axis, None]).float()

        columns, rows = covered(0, crops.shape[3]), covered(1, crops.shape[2])
        return crops.mul_(1 - rows[:, None, :, None] * columns[:, None, None, :])

    return step


def occlude(crops: Tensor, batch: _Batch) -> Tensor:
    """Put another crop, moved sideways and down, in front of a third of the crops."""
    _, _, height, width = crops.shape
    sideways = batch.uniform(0.4, 0.8) * (2 * batch.choose(0.5)[:, 0] - 1)
    down = batch.uniform(0, 0.4)  # nearer people stand lower in the picture
    y = torch.arange(height, device=crops.device) - (down * height).round()[:, None]
    x = torch.arange(width, device=crops.device) - (sideways * width).round()[:, None]
    covered = (y >= 0)[:, :, None] & ((x >= 0) & (x < width))[:, None]
    covered &= batch.choose(0.33)[:, :, None] > 0
    at = (y.clamp(min=0)[:, :, None] * width + x.clamp(0, width - 1)[:, None]).long()
    at = at.flatten(1)[:, None].expand(-1, 3, -1)
    front = crops[batch.others()].flatten(2).gather(2, at).view_as(crops)
    return torch.where(covered[:, None], front, crops)


_PRESETS: dict[Preset, tuple[Step, ...]] = {
    "paper": (brightness, normalise, warp(flip, perspective), blur, cut_out(0.2)),
    "ablation": (normalise, warp(resized_crop, flip)),
    "both": (brightness, normalise, warp(resized_crop, flip, perspective), blur, cut_out(0.2)),
    "crowd": (
        brightness,
        normalise,
        warp(resized_crop, flip, perspective),
        occlude,
        blur,
        cut_out(0.2),
    ),
    "camera": (
        brightness,
        light,
        resolution,
        noise,
        jpeg,
        normalise,
        warp(resized_crop, flip, perspective),
        occlude,
        blur,
        cut_out(0.2),
    ),
    "colour": (brightness, contrast, normalise, warp(flip, shift), cut_out(0.3)),
}
