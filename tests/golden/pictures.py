"""Frames of the generated street with a moving camera, computed with integers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .draws import integers
from .people import Moment, Street

_MARGIN = 160  # maximum motion of the camera, pixels
_BLOCK = 6  # size of a block of one colour, pixels


class View(NamedTuple):
    """View of the camera: its first pixel, and the zoom (256 pixels show ``zoom`` pixels)."""

    x: int
    y: int
    zoom: int = 256


class Pictures:
    """Frames of a street. Boxes move with the camera.

    Args:
        street: The street.
        noise: Maximum noise of a pixel.
    """

    def __init__(self, street: Street, noise: int = 4) -> None:
        self._street, self._noise = street, noise
        rows, columns = (
            (side + 2 * _MARGIN) // _BLOCK + 1 for side in (street.height, street.width)
        )
        blocks = integers(f"{street.name}/place", rows, columns, 3) % 200
        self._place = blocks.astype(np.uint8).repeat(_BLOCK, 0).repeat(_BLOCK, 1)
        clothes = integers(f"{street.name}/clothes", street.people, 2, 3) % 256
        self._clothes = clothes.astype(np.uint8)

    def show(
        self, t: int, moment: Moment, view: View
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return the frame (H, W, 3) uint8, and its detections (N, 5)."""
        street = self._street
        corner = np.array((view.x, view.y)) - _MARGIN
        place, dets = self._place.copy(), moment.dets.copy()
        # People lower in the frame are in front.
        for row in np.argsort(dets[:, 3], kind="stable").tolist():
            x1, y1, x2, y2 = np.maximum(dets[row, :4] + _MARGIN, 0).astype(int).tolist()
            if moment.people[row] >= 0:
                upper, lower = self._clothes[moment.people[row]]
                place[y1 : (y1 + y2) // 2, x1:x2] = upper
                place[(y1 + y2) // 2 : y2, x1:x2] = lower
        rows = view.y + np.arange(street.height) * view.zoom // 256
        columns = view.x + np.arange(street.width) * view.zoom // 256
        picture = place[rows[:, None], columns]
        grain = integers(f"{street.name}/grain/{t}", 64, 64, 3) % (2 * self._noise + 1)
        tiles = (-(-street.height // 64), -(-street.width // 64), 1)
        grain = np.tile(grain.astype(np.int16) - self._noise, tiles)
        picture = (picture + grain[: street.height, : street.width]).clip(0, 255).astype(np.uint8)
        moved = (dets[:, :4].astype(np.float64) - np.tile(corner, 2)) * (256 / view.zoom)
        dets[:, :4] = np.rint(moved * 16) / 16
        return picture, dets


def shaken(street: Street, t: int) -> View:
    """Return the view of a shaking pan, with a zoom in the second half."""
    dx, dy = (integers(f"{street.name}/shake/{t}", 2) % 49 - 24).tolist()
    zoom = 256 - max(0, t - street.frames // 2) // 2
    return View(_MARGIN + dx + 2 * (t % 60), _MARGIN + dy, zoom)


def still(street: Street, t: int) -> View:
    """Return the view of a static camera."""
    return View(_MARGIN, _MARGIN)
