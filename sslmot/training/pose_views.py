"""Second views of crops: the people in canonical poses, as ``make-poses`` made them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.data.crops import CropSet, digests
from sslmot.inputs import describe

Images: TypeAlias = npt.NDArray[np.uint8]

POSES = 4
"""Views of a crop: SSL-MOT's "four consecutive canonical poses"."""

_ABOUT_CROPS = ("digests", "full_body")


class PoseViews:
    """Second views of crops, as :func:`~sslmot.pngan.views.make_poses` made them.

    Args:
        folder: The folder of the poses, which must be complete.
        crops: N crops; each must have its poses there.

    Attributes:
        full_body: (N,) bool, whether a crop shows a full body (the paper's pose gate).
        fingerprint: Identifies the generator and the crops of the poses.

    Raises:
        FileNotFoundError: There are no poses in the folder.
        ValueError: They are incomplete, damaged, or of other crops.
    """

    def __init__(self, folder: str | Path, crops: CropSet) -> None:
        folder = Path(folder)
        if not (folder / "about.json").is_file():
            raise FileNotFoundError(f"poses: expected a folder of make-poses, got {folder}")
        about = reading.read_json(folder / "about.json")
        images = reading.mapped_array(folder / "images.npy")
        known, full = (reading.read_array(folder / f"{name}.npy") for name in _ABOUT_CROPS)
        count, size = len(images) if images.ndim else 0, list(crops.size)
        if about.get("size") != size:
            raise ValueError(
                f"poses: expected crops of {about.get('size')}, got {size} with {folder}"
            )
        for name, array, shape, dtype in (
            ("images", images, (count, POSES, *size, 3), np.uint8),
            ("digests", known, (count, 16), np.uint8),
            ("full_body", full, (count,), np.bool_),
        ):
            if array.shape != shape or array.dtype != dtype or not count:
                raise ValueError(f"{folder}: {name}: expected {shape}, got {describe(array)}")
        if (done := poses_done(folder)) < count:
            raise ValueError(
                f"poses: expected those of all {count} crops in {folder}, got {done}; "
                "`sslmot make-poses` goes on where it ended"
            )
        known = np.ascontiguousarray(known).view("V16")[:, 0]
        order = np.argsort(known, kind="stable")
        wanted = digests(crops.images)
        place = np.searchsorted(known, wanted, sorter=order).clip(max=count - 1)
        self._images: Images = images
        self._rows = order[place]
        missing = int((known[self._rows] != wanted).sum())
        if missing:
            raise ValueError(
                f"poses: expected those of these {len(crops)} crops in {folder}, "
                f"which lacks {missing} of them"
            )
        self.full_body: npt.NDArray[np.bool_] = full[self._rows]
        self.fingerprint = digest(np.frombuffer(json.dumps(about).encode(), np.uint8))

    def draw(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Images:
        """Draw a pose view of each crop at random.

        Args:
            rows: (n,) int64, indices of crops.
            rng: Source of the random numbers.

        Returns:
            (n, h, w, 3) uint8, RGB.
        """
        chosen = rng.integers(POSES, size=len(rows))
        views: Images = self._images[self._rows[rows], chosen]
        return views


def poses_done(folder: Path) -> int:
    """Return how many crops of a folder have their poses."""
    path = folder / "done.json"
    done = reading.read_json(path).get("done", 0) if path.exists() else 0
    if type(done) is not int or done < 0:
        raise ValueError(f"{path}: expected done to be a number of crops, got {done!r}")
    return done


def digest(array: npt.NDArray[Any]) -> str:
    """Return the hexadecimal digest of the bytes of an array."""
    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
