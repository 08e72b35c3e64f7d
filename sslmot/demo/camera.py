"""The camera of the generated crowd, and helpers to draw with OpenCV."""

from __future__ import annotations

import colorsys
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = tuple[float, float, float]  # blue, green, red; 0 to 255

SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel


class Camera(NamedTuple):
    """A pinhole camera with a horizontal axis."""

    focal: float  # pixels
    centre: float  # pixels
    horizon: float  # pixels from the top
    height: float  # metres above the ground

    def project(self, points: Floats) -> Floats:
        """Project world (..., 3) metres to picture (..., 2) pixels."""
        x, up, depth = np.moveaxis(points, -1, 0)
        scale = self.focal / depth
        return np.stack((self.centre + x * scale, self.horizon + (self.height - up) * scale), -1)


def subpixels(points: Floats) -> npt.NDArray[np.int32]:
    """Convert pixels for OpenCV's drawing functions with ``shift=SUBPIXEL_BITS``."""
    # In OpenCV, (0, 0) is the centre of the first pixel. In boxes it is the corner.
    return np.rint((points - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def arc(start: float, stop: float, count: int) -> Floats:
    """Return points (count, 2) on the unit circle between two angles."""
    angles = np.linspace(start, stop, count)
    return np.stack((np.cos(angles), np.sin(angles)), 1)


CIRCLE = arc(0, 2 * np.pi, 21)[:-1]


def palette(colours: str) -> list[Colour]:
    """Parse colours in hexadecimal RGB notation."""
    return [(float(b), float(g), float(r)) for r, g, b in map(bytes.fromhex, colours.split())]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour by hue (any number, with period 1), saturation and value (0 to 1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return 255 * blue, 255 * green, 255 * red


def lit(colour: Colour, light: float) -> Colour:
    """Multiply a colour by the light. 1 means no change."""
    return colour[0] * light, colour[1] * light, colour[2] * light
