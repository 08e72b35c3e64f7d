"""Read folders of images in which each image is a person crop."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.crops import CropSet, cut
from sslmot.data.image_files import SUFFIXES, read_image


def read_image_folder(root: str | Path, size: tuple[int, int]) -> CropSet:
    """Read all images of a folder and its subfolders.

    Args:
        root: The folder. Each folder that contains images becomes a clip.
        size: Height and width of a crop, pixels.

    Warns:
        UserWarning: Some images cannot be read. They are skipped.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: It contains no readable image.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise FileNotFoundError(f"root: expected a folder of images, got {root}")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    images, readable, skipped = read_images(paths, size, root.name)
    if not len(images):
        problem = f" ({len(skipped)} images cannot be read)" if skipped else ""
        raise ValueError(f"root: expected person crops in {root}, found none{problem}")
    folders = [path.parent for path, good in zip(paths, readable, strict=True) if good]
    names = sorted(set(folders))
    number = {folder: i for i, folder in enumerate(names)}
    return CropSet(
        images=images,
        clips=np.array([number[folder] for folder in folders], np.int32),
        frames=np.full(len(images), -1, np.int64),
        tracklets=np.full(len(images), -1, np.int64),
        clip_names=tuple(str(folder.relative_to(root.parent)) for folder in names),
        skipped=skipped,
    )


def read_images(
    paths: Sequence[Path], size: tuple[int, int], name: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], tuple[str, ...]]:
    """Read images and resize them.

    Args:
        paths: P files.
        size: Height and width of the result, pixels.
        name: Name of the progress bar.

    Returns:
        The readable images, (N, height, width, 3) uint8 RGB; a (P,) bool mask of readable files;
        one line for each of the other files.

    Warns:
        UserWarning: Some images cannot be read, or most are wider than tall.
    """
    # Memory pages beyond the images that are read are never touched.
    images = np.empty((len(paths), *size, 3), np.uint8)
    readable = np.zeros(len(paths), np.bool_)
    count = wide = 0
    for i, path in enumerate(tqdm(paths, desc=name, unit=" images", disable=None)):
        try:
            image = read_image(path)
        except (OSError, ValueError):
            continue
        height, width = image.shape[:2]
        images[count] = cut(image, [[0, 0, width, height]], size)[0]
        readable[i] = True
        count += 1
        wide += width > height
    skipped = tuple(str(path) for path, good in zip(paths, readable, strict=True) if not good)
    if skipped:
        warnings.warn(
            f"{len(skipped)} of {len(paths)} images cannot be read and are skipped, "
            f"the first is {skipped[0]}",
            stacklevel=3,
        )
    if wide > count / 2:
        warnings.warn(
            f"{name}: {wide} of {count} images are wider than tall: expected one person in each, "
            "not whole frames",
            stacklevel=3,
        )
    return images[:count], readable, skipped
