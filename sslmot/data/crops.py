"""Person crops for training: images of one size, with clip, frame and tracklet of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import files, reading
from sslmot.appearance.crops import crop
from sslmot.inputs import describe
from sslmot.types import ArrayLike, Frame

_ARRAYS = ("images", "clips", "frames", "tracklets")
_NAMES = ("clip_names", "skipped")
_LAST = 2**31 - 1  # limit of frame and tracklet numbers, so that a pair of them fits in int64


@dataclass(frozen=True, eq=False)
class CropSet:
    """Person crops of one size. None of the fields needs labels.

    Attributes:
        images: (N, h, w, 3) uint8, RGB, in memory or memory-mapped.
        clips: (N,) int32, index into ``clip_names``. A clip is one recording of one camera.
        frames: (N,) int64, frame number in the clip, -1 if unknown.
        tracklets: (N,) int64. Crops with the same number show one person (found by strict linking,
            without labels). -1 for a crop without a link. Numbers are unique over the whole set.
        clip_names: The name of each clip.
        skipped: One line for each image or frame that could not be read.

    Raises:
        ValueError: An array has another shape, dtype or range.
    """

    images: npt.NDArray[np.uint8]
    clips: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int64]
    tracklets: npt.NDArray[np.int64]
    clip_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images = self.images
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] != 3
            or 0 in images.shape[1:]
        ):
            raise ValueError(f"images: expected (N, h, w, 3) uint8, got {describe(images)}")
        for name in _NAMES:
            texts = getattr(self, name)
            if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{name}: expected a tuple of str, got {texts!r}")
        for name, dtype, low, high in (
            ("clips", np.int32, 0, len(self.clip_names) - 1),
            ("frames", np.int64, -1, _LAST),
            ("tracklets", np.int64, -1, _LAST),
        ):
            array: Any = getattr(self, name)
            if (
                not isinstance(array, np.ndarray)
                or array.dtype != dtype
                or array.shape != (len(images),)
            ):
                raise ValueError(
                    f"{name}: expected ({len(images)},) {dtype.__name__}, got {describe(array)}"
                )
            wrong = (array < low) | (array > high)
            if wrong.any():
                got = int(array[wrong][0])
                raise ValueError(f"{name}: expected {low} to {high}, got {got}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop, pixels."""
        return self.images.shape[1], self.images.shape[2]

    @classmethod
    def concatenate(cls, sets: Iterable[CropSet]) -> CropSet:
        """Join sets into one. Clips and tracklets get new, unique numbers.

        Args:
            sets: One or more sets with the same crop size. A single set is returned unchanged.

        Raises:
            ValueError: There is no set, or the sizes differ.
        """
        sets = list(sets)
        sizes = sorted({crops.size for crops in sets})
        if len(sizes) != 1:
            raise ValueError(f"sets: expected crops of one size, got {sizes or 'no set'}")
        if len(sets) == 1:
            return sets[0]
        clips, tracklets, first_clip, first_tracklet = [], [], 0, 0
        for crops in sets:
            linked = crops.tracklets >= 0
            clips.append(crops.clips + np.int32(first_clip))
            tracklets.append(np.where(linked, crops.tracklets + first_tracklet, -1))
            first_clip += len(crops.clip_names)
            first_tracklet += int(crops.tracklets.max(initial=-1)) + 1
        return cls(
            images=np.concatenate([crops.images for crops in sets]),
            clips=np.concatenate(clips),
            frames=np.concatenate([crops.frames for crops in sets]),
            tracklets=np.concatenate(tracklets),
            clip_names=tuple(name for crops in sets for name in crops.clip_names),
            skipped=tuple(line for crops in sets for line in crops.skipped),
        )

    def save(self, folder: str | Path) -> None:
        """Write a folder that :meth:`load` reads. The write is atomic.

        Args:
            folder: The folder to create, in an existing parent folder.

        Raises:
            FileExistsError: The folder exists.
        """
        folder = Path(folder)
        if folder.exists():
            raise FileExistsError(f"folder: expected a new one, got {folder}, which exists")
        with files.new_folder(folder) as part:
            for name in _ARRAYS:
                np.save(part / f"{name}.npy", getattr(self, name), allow_pickle=False)
            names = {name: getattr(self, name) for name in _NAMES}
            (part / "names.json").write_text(json.dumps(names, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> CropSet:
        """Read a folder written by :meth:`save`. The images are memory-mapped.

        Raises:
            FileNotFoundError: The folder or one of its files is missing.
            ValueError: A file is damaged, or the files do not fit together.
        """
        folder = Path(folder)
        try:
            names = reading.read_json(folder / "names.json")
            if not all(isinstance(names.get(name), list) for name in _NAMES):
                raise ValueError(f"no lists {', '.join(_NAMES)} in names.json")
            fields: dict[str, Any] = {name: tuple(names[name]) for name in _NAMES}
            for name in _ARRAYS:
                read = reading.mapped_array if name == "images" else reading.read_array
                fields[name] = read(folder / f"{name}.npy")
            return cls(**fields)
        except ValueError as error:
            raise ValueError(f"{folder}: expected a saved CropSet, got {error}") from error


def cut(frame: Frame, boxes: ArrayLike, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Cut boxes out of a frame as images, with the same resizing as the encoder's crops.

    Args:
        frame: (H, W, 3) uint8, BGR.
        boxes: (N, 4) numbers, xyxy pixels. Parts outside the frame become black.
        size: Height and width of a crop, pixels.

    Returns:
        (N, height, width, 3) uint8, RGB.

    Raises:
        ValueError: As for `crops.crop`.
    """
    values = crop(frame, boxes, size, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))  # 0 to 255
    images: npt.NDArray[np.uint8] = np.rint(values).astype(np.uint8).transpose(0, 2, 3, 1)
    return images


def digests(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """Hash the content and size of images, for use as cache keys.

    Args:
        images: (N, h, w, 3) uint8.

    Returns:
        (N,) V16, 16 bytes per image.
    """

    def of(image: npt.NDArray[np.uint8]) -> bytes:
        content = repr(image.shape).encode() + image.tobytes()
        return hashlib.blake2b(content, digest_size=16).digest()

    return np.array([of(image) for image in images], "V16")
