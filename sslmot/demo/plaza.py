"""The scene of the generated crowd: ground, houses, obstacles and shadows."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from sslmot.demo.camera import (
    CIRCLE,
    SUBPIXEL_BITS,
    Camera,
    Colour,
    Floats,
    Image,
    Mask,
    arc,
    hsv,
    lit,
    palette,
    subpixels,
)
from sslmot.demo.people import LIMBS, NEUTRALS, SIDES, Figure
from sslmot.demo.walk import COLUMN, KIOSK, PLANTER, Footprint
from sslmot.types import Frame

SUN = np.array((0.62, 0.34))  # shadow of one metre: metres to the right and away from the camera


class Item(NamedTuple):
    """An obstacle that hides people."""

    depth: float  # metres
    keep: Image  # (H, W) float32: visible share of the things behind it
    clear: Mask  # (H, W) uint8: 0 where it hides things, else 255


class _Piece(NamedTuple):
    """A coloured polygon of the scenery."""

    outline: Floats  # (K, 3) metres
    colour: Colour


class Plaza:
    """The background, the obstacles, and the shadows on the ground."""

    def __init__(self, width: int, height: int, camera: Camera, rng: np.random.Generator) -> None:
        self._camera = camera
        self.picture = _ground(width, height, camera, rng)
        _draw(self.picture, camera, _street(rng))
        # Shadows are soft, so half the resolution is enough.
        self._shadow = np.zeros((-(-height // 2), -(-width // 2)), np.uint8)
        free = np.ones((height, width), np.float32)
        self.scenery: list[Item] = []
        for place, pieces in (
            (PLANTER, _planter(rng)),
            (KIOSK, _kiosk(rng)),
            (COLUMN, _column(rng)),
        ):  # from far to near
            sprite = np.zeros((height, width, 4), np.uint8)
            _draw(sprite, camera, pieces)
            keep = (255 - sprite[..., 3]).astype(np.float32) / np.float32(255)
            covered = self.picture * keep[..., None] + sprite[..., :3]
            self.picture = np.rint(covered).astype(np.uint8)
            clear = np.where(keep < 0.5, 0, 255).astype(np.uint8)
            self.scenery.append(Item(place.depth, keep, clear))
            free = np.minimum(free, keep)
            self._cast(place, max(float(piece.outline[:, 1].max()) for piece in pieces))
        self._free = cv2.resize(free, self._shadow.shape[::-1])

    def _cast(self, place: Footprint, up: float) -> None:
        """Add the shadow of a block."""
        corners = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
        foot = corners * (place.half_width, place.half_depth) + (place.x, place.depth)
        both = np.concatenate((foot, foot + SUN * up))
        flat = self._camera.project(np.insert(both, 1, 0, axis=1)) / 2
        hull = cv2.convexHull(subpixels(flat))
        cv2.fillConvexPoly(self._shadow, hull, (255,), cv2.LINE_AA, SUBPIXEL_BITS)

    def shade(self, picture: Frame, joints: Floats) -> None:
        """Draw the shadows of people, with joints (P, 19, 3), on the ground."""
        shadow = self._shadow.copy()
        up = joints[..., 1]
        fallen = joints + np.stack((SUN[0] * up, -up, SUN[1] * up), -1)
        flat = subpixels(self._camera.project(fallen) / 2)
        metre = self._camera.focal / joints[:, 0, 2] / 2
        limbs = [(first + a, first + b, 0.1) for first in SIDES for a, b, *_ in LIMBS]
        for person, size in zip(flat.tolist(), metre, strict=True):
            for a, b, breadth in (*limbs, (0, 1, 0.26), (1, 2, 0.2)):
                thickness = max(1, round(breadth * size))
                cv2.line(shadow, person[a], person[b], (255,), thickness, cv2.LINE_8, SUBPIXEL_BITS)
        top = int(self._camera.horizon) // 2 * 2
        soft = cv2.blur(shadow, (5, 5))[top // 2 :] * self._free[top // 2 :]
        ground = picture[top:]
        wide = cv2.resize(soft, ground.shape[1::-1])
        # The sky lights a shadow, so blue is darkened less.
        bands = [cv2.convertScaleAbs(wide, alpha=-dark, beta=255) for dark in (0.38, 0.44, 0.47)]
        cv2.multiply(ground, cv2.merge(bands), ground, 1 / 255)

    def place(self, picture: Frame, figure: Figure) -> None:
        """Draw a person, hidden by the obstacles in front."""
        x1, y1, x2, y2 = figure.window
        left, top = max(x1, 0), max(y1, 0)
        region = slice(top, max(y2, 0)), slice(left, max(x2, 0))
        under = picture[region]
        sprite = figure.sprite()[top - y1 :, left - x1 :][: under.shape[0], : under.shape[1]]
        for item in self.scenery:
            if item.depth < figure.depth:
                sprite *= item.keep[region][..., None]
        mixed = under * (1 - sprite[..., 3:] / 255) + sprite[..., :3]
        under[:] = np.clip(mixed, 0, 255)


def _draw(canvas: Mask, camera: Camera, pieces: list[_Piece]) -> None:
    for piece in pieces:
        polygon = subpixels(camera.project(piece.outline))
        cv2.fillPoly(canvas, [polygon], (*piece.colour, 255), cv2.LINE_AA, SUBPIXEL_BITS)


def _wall(x1: float, x2: float, low: float, high: float, depth: float, colour: Colour) -> _Piece:
    """Return a rectangle that faces the camera."""
    corners = ((x1, low, depth), (x1, high, depth), (x2, high, depth), (x2, low, depth))
    return _Piece(np.array(corners, np.float64), colour)


def _disc(x: float, up: float, depth: float, radius: float, colour: Colour) -> _Piece:
    """Return a disc that faces the camera."""
    return _Piece(np.insert(CIRCLE * radius + (x, up), 2, depth, axis=1), colour)


def _ground(width: int, height: int, camera: Camera, rng: np.random.Generator) -> Frame:
    """Draw the sky above the horizon and paving below it."""
    row = np.arange(height)[:, None] + 0.5
    sky = np.clip(row / camera.horizon, 0, 1)[..., None]
    picture = (1 - sky) * (228, 186, 140) + sky * (240, 226, 208) + np.zeros((1, width, 1))
    below = row[:, 0] > camera.horizon + 1
    depth = camera.focal * camera.height / (row[below] - camera.horizon)
    x = (np.arange(width) + 0.5 - camera.centre) * depth / camera.focal
    side = 0.6  # of a slab, metres
    rank = np.floor(depth / side).astype(int)
    across = x / side + rank % 2 * 0.5
    tone = 1 + 0.1 * (rng.random((64, 64))[rank % 64, np.floor(across).astype(int) % 64] - 0.5)
    # A few rows of red slabs make the perspective visible.
    red = ((rank % 9 == 0) | (np.floor(x / side) % 9 == 0))[..., None]
    paving = np.where(red, (146, 156, 182), (176, 186, 194)) * tone[..., None]
    for part, pixel in (
        (across % 1 * side, depth / camera.focal),
        (depth % side, depth**2 / camera.focal / camera.height),
    ):
        # A joint thinner than a pixel darkens the pixel proportionally.
        gap = np.minimum(part, side - part)
        joint = np.clip((0.01 + pixel / 2 - gap) / pixel, 0, 1) * np.minimum(1, 0.02 / pixel)
        paving *= 1 - 0.28 * joint[..., None]
    stains = cv2.resize(rng.random((12, 20)), (width, height), interpolation=cv2.INTER_CUBIC)
    paving *= 1 + 0.12 * (stains[below] - 0.5)[..., None]
    haze = np.clip((depth - 8) / 30, 0, 0.6)[..., None]
    picture[below] = paving * (1 - haze) + haze * (208, 210, 210)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _street(rng: np.random.Generator) -> list[_Piece]:
    """Return houses with shops behind the plaza, and trees in front of them."""
    pieces: list[_Piece] = []

    def wall(x1: float, x2: float, low: float, high: float, colour: Colour) -> None:
        pieces.append(_wall(x1, x2, low, high, 30, colour))

    white, x = NEUTRALS[0], -60.0
    plaster = palette("dec8aa cec0ba d6b696 c4ccc4")
    while x < 60:
        wide, high = rng.uniform(7, 11), rng.uniform(8.4, 10.2)
        colour = lit(plaster[len(pieces) % 4], rng.uniform(0.9, 1))
        wall(x, x + wide, 0, high, colour)
        roof = ((x - 0.2, high), (x + 0.6, high + 1.1), (x + wide - 0.6, high + 1.1))
        outline = np.insert(np.array((*roof, (x + wide + 0.2, high))), 2, 30, axis=1)
        pieces.append(_Piece(outline, (92, 98, 128)))
        count = int(wide // 2.1)
        for left in x + wide / count * (np.arange(count) + 0.5) - 0.55:
            for low in (3.9, 6.3):
                glass = lit((140, 120, 98), rng.uniform(0.85, 1.15))
                wall(left - 0.12, left + 1.22, low - 0.1, low + 1.7, lit(colour, 1.08))
                wall(left, left + 1.1, low, low + 1.58, glass)
                wall(left, left + 1.1, low + 0.75, low + 0.82, colour)
        wall(x + 0.4, x + wide - 0.4, 0, 2.9, (92, 84, 76))
        for left in np.arange(x + 0.5, x + wide - 1.8, 1.5):
            wall(left, left + 1.4, 0.5, 2.6, lit((140, 140, 130), rng.uniform(0.75, 1.15)))
        cloth = hsv(rng.random(), 0.4, 0.7)
        for k, left in enumerate(np.arange(x + 0.3, x + wide - 0.7, 0.5)):
            wall(left, left + 0.5, 2.5, 3.2, cloth if k % 2 else white)
        x += wide
    for trunk in np.arange(-42, 43, 6.5) + rng.uniform(-1.2, 1.2, 14):
        pieces.append(_wall(trunk - 0.14, trunk + 0.14, 0, 3, 24, (58, 74, 92)))
        for angle, far in zip(rng.uniform(0, 2 * np.pi, 60), rng.random(60), strict=True):
            across, up = 1.5 * np.sqrt(far) * np.cos(angle), 1.15 * np.sqrt(far) * np.sin(angle)
            green = lit((66, 128, 104), 0.92 + 0.12 * up - 0.06 * across + rng.normal(0, 0.05))
            pieces.append(_disc(trunk + across, 4 + up, 24, rng.uniform(0.22, 0.42), green))
    return pieces


def _planter(rng: np.random.Generator) -> list[_Piece]:
    """Return a stone box with shrubs, lower than a person."""
    x, depth, wide, deep = PLANTER
    pieces = []
    for height in (1.05, 0.88, 0.72):
        for across in np.arange(-wide + 0.2, wide - 0.1, 0.2):
            green = lit((58, 122, 92), rng.uniform(0.75, 1.15))
            up, radius = height + rng.normal(0, 0.05), rng.uniform(0.14, 0.24)
            pieces.append(_disc(x + across, up, depth, radius, green))
    for across, up in rng.uniform((0.2 - wide, 0.75), (wide - 0.2, 1.1), (16, 2)):
        petal = hsv(rng.choice((0.95, 0.12, 0.83)), 0.5, 0.95)
        pieces.append(_disc(x + across, up, depth, 0.05, petal))
    pieces.append(_wall(x - wide, x + wide, 0, 0.6, depth - deep, (150, 158, 164)))
    pieces.append(_wall(x - wide, x + wide, 0.52, 0.64, depth - deep, (184, 192, 198)))
    return pieces


def _kiosk(rng: np.random.Generator) -> list[_Piece]:
    """Return a booth with a striped awning. It hides people completely."""
    x, depth, wide, deep = KIOSK
    left, right, near, far = x - wide, x + wide, depth - deep, depth + deep
    green: Colour = (104, 112, 62)
    gable = ((left, 0, near), (left, 0, far), (left, 2.5, far), (left, 2.5, near))
    pieces = [_Piece(np.array(gable), lit(green, 1.15))]
    pieces.append(_wall(left, right, 0, 2.5, near, green))
    for start in np.arange(left + 0.1, right - 0.2, 0.28):
        pieces.append(_wall(start, start + 0.22, 0.12, 1.0, near, lit(green, 1.12)))
    pieces.append(_wall(left + 0.2, right - 0.2, 1.1, 2.1, near, (48, 52, 50)))
    for start in np.arange(left + 0.3, right - 0.5, 0.3):
        for low in (1.15, 1.5):
            cover = hsv(rng.random(), 0.4, rng.uniform(0.5, 0.85))
            pieces.append(_wall(start, start + 0.22, low, low + 0.28, near, cover))
    pieces.append(_wall(left + 0.1, right - 0.1, 1.02, 1.12, near, (120, 160, 186)))
    front = near - 0.6
    for k, (a, b) in enumerate(pairwise(np.linspace(left - 0.15, right + 0.15, 14))):
        cloth = ((a, 2.4, near), (b, 2.4, near), (b, 1.98, front), (a, 1.98, front))
        colour = (78, 84, 184) if k % 2 else NEUTRALS[0]
        pieces.append(_Piece(np.array(cloth), colour))
        pieces.append(_wall(a, b, 1.86, 1.98, front, lit(colour, 0.88)))
    pieces.append(_wall(left - 0.2, right + 0.2, 2.4, 2.62, near, (82, 92, 50)))
    return pieces


def _column(rng: np.random.Generator) -> list[_Piece]:
    """Return an advertising column. Its shading makes it look round."""
    x, depth, radius, _ = COLUMN
    pieces = []

    def drum(low: float, high: float, size: float, colours: list[Colour]) -> None:
        """Add a ring of 24 strips, from left to right."""
        angles = pairwise(np.linspace(np.pi, 2 * np.pi, 25))
        for (a, b), colour in zip(angles, colours, strict=True):
            (x1, z1), (x2, z2) = (size * radius * arc(a, b, 2) + (x, depth)).tolist()
            strip = ((x1, low, z1), (x1, high, z1), (x2, high, z2), (x2, low, z2))
            light = 0.62 + 0.5 * max(0, np.cos((a + b) / 2 - 1.25 * np.pi))
            pieces.append(_Piece(np.array(strip), lit(colour, light)))

    stone, plaster = (150.0, 160.0, 166.0), (196.0, 204.0, 208.0)
    drum(0, 0.35, 1, [stone] * 24)
    drum(0.35, 2.75, 0.93, [plaster] * 24)
    for low in (0.47, 1.62):  # two rows of posters, each eight strips wide
        hues = rng.random(3)
        drum(
            low,
            low + 1.03,
            0.93,
            [hsv(h, 0.25, 0.9) if k else plaster for h in hues for k in range(8)],
        )
        ink = [hsv(h + 0.45, 0.45, 0.55) if k else plaster for h in hues for k in range(8)]
        bottom = low + rng.uniform(0.1, 0.5)
        drum(bottom, bottom + 0.38, 0.93, ink)
    drum(2.75, 2.95, 1.05, [stone] * 24)
    return pieces
