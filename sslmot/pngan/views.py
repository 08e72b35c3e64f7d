"""Crops shown in canonical poses, made once and kept: second views of people (SSL-MOT, section 3).

A folder::

    about.json             what the images were made by, and how
    canonical.safetensors  the canonical poses
    digests.npy            which crops these are
    full_body.npy          of which of them a whole person is seen
    images.npy             each of them in the canonical poses nearest its own
    done.json              how many have been made so far
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.crops import CropSet, digests
from sslmot.pngan.generator import Images, PoseGenerator
from sslmot.pose.canonical import CanonicalPoses
from sslmot.pose.gate import full_body
from sslmot.pose.joints import Joints, check_joints

POSES = 4
"""Views of a crop: SSL-MOT's "four consecutive canonical poses"."""

CANONICAL = 8
"""Poses that stand for all of a data set, as in PN-GAN."""

_BATCH = 16  # crops at once
_DONE_EVERY = 16  # batches after which what is done is noted: what a killed run makes again


def make_poses(
    crops: CropSet,
    joints: Joints,
    generator: PoseGenerator,
    output: str | Path,
    *,
    seed: int = 0,
    progress: bool = False,
) -> None:
    """Show each crop in the canonical poses nearest its own; go on where an earlier call ended.

    Args:
        crops: N crops of the generator's size.
        joints: (N, 18, 3) float32, of the crops.
        generator: What makes the images.
        output: Folder to make, or one that was begun with the same arguments.
        seed: Of the clustering that finds the canonical poses.
        progress: Whether to show a bar on a terminal.

    Raises:
        FileExistsError: The folder holds something else.
        ValueError: The crops show too few full bodies or have another size, the joints are not
            theirs, or the folder was begun by another generator or of other crops.
    """
    output = Path(output)
    if crops.size != generator.config.crop_size:
        raise ValueError(
            f"crops: expected the generator's size {generator.config.crop_size}, got {crops.size}"
        )
    if len(check_joints(joints)) != len(crops):
        raise ValueError(f"joints: expected those of {len(crops)} crops, got {len(joints)}")
    height, width = crops.size
    about = {
        "generator": generator.fingerprint,
        "crops": len(crops),
        "size": [height, width],
        "seed": seed,
    }
    known = digests(crops.images)
    if not (output / "about.json").is_file():
        if output.exists() and any(output.iterdir()):
            raise FileExistsError(f"output: expected a new folder or one of poses, got {output}")
        canonical = CanonicalPoses.cluster(joints, width / height, CANONICAL, seed)
        _begin(output, about, canonical, known, full_body(joints))
    _check_begun(output, about, known)
    canonical = CanonicalPoses.load(output / "canonical.safetensors")
    targets = canonical.nearest(joints, POSES)
    images = np.load(output / "images.npy", mmap_mode="r+", allow_pickle=False)
    starts = range(_done(output), len(crops), _BATCH)
    with tqdm(
        initial=min(starts.start, len(crops)),
        total=len(crops),
        desc="poses",
        unit=" crops",
        disable=None if progress else True,
    ) as bar:
        for i, start in enumerate(starts, 1):
            rows = slice(start, start + _BATCH)
            sources = np.repeat(crops.images[rows], POSES, axis=0)
            made = generator(sources, canonical.joints[targets[rows].ravel()])
            images[rows] = made.reshape(-1, POSES, height, width, 3)
            bar.update(len(made) // POSES)
            if i % _DONE_EVERY == 0 or i == len(starts):
                images.flush()
                _write(output / "done.json", {"done": min(start + _BATCH, len(crops))})


class PoseViews:
    """Second views of crops, as :func:`make_poses` left them.

    Args:
        folder: Of the poses, all made.
        crops: N crops, each of which must have its poses there.

    Attributes:
        full_body: (N,) bool, whether a whole person is seen on a crop: the pose gate.

    Raises:
        FileNotFoundError: There are no poses in the folder.
        ValueError: They are not all made, are damaged, or are of other crops.
    """

    full_body: npt.NDArray[np.bool_]

    def __init__(self, folder: str | Path, crops: CropSet) -> None:
        folder = Path(folder)
        if not (folder / "about.json").is_file():
            raise FileNotFoundError(f"poses: expected a folder of make-poses, got {folder}")
        about = _read(folder / "about.json")
        if (done := _done(folder)) < about["crops"]:
            raise ValueError(
                f"poses: expected those of all {about['crops']} crops in {folder}, got {done}; "
                "`sslmot make-poses` goes on where it ended"
            )
        self._images: Images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        known = np.load(folder / "digests.npy", allow_pickle=False).view("V16")[:, 0]
        order = np.argsort(known, kind="stable")
        wanted = digests(crops.images)
        place = np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)
        self._rows = order[place]
        missing = int((known[self._rows] != wanted).sum())
        if missing:
            raise ValueError(
                f"poses: expected those of these {len(crops)} crops in {folder}, "
                f"which lacks {missing} of them"
            )
        self.full_body = np.load(folder / "full_body.npy", allow_pickle=False)[self._rows]

    def draw(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Images:
        """Show crops in one of their poses each, chosen at random.

        Args:
            rows: (n,) int64, of the crops.
            rng: What chooses.

        Returns:
            (n, h, w, 3) uint8, RGB.
        """
        chosen = rng.integers(POSES, size=len(rows))
        views: Images = self._images[self._rows[rows], chosen]
        return views


def _begin(
    output: Path,
    about: dict[str, Any],
    canonical: CanonicalPoses,
    known: npt.NDArray[np.void],
    full: npt.NDArray[np.bool_],
) -> None:
    output.mkdir(parents=True, exist_ok=True)
    canonical.save(output / "canonical.safetensors")
    np.save(output / "digests.npy", known.view(np.uint8).reshape(-1, 16), allow_pickle=False)
    np.save(output / "full_body.npy", full, allow_pickle=False)
    shape = (len(known), POSES, *about["size"], 3)
    np.lib.format.open_memmap(output / "images.npy", "w+", np.uint8, shape).flush()
    _write(output / "about.json", about)  # last: now the folder is whole


def _check_begun(output: Path, about: dict[str, Any], known: npt.NDArray[np.void]) -> None:
    begun = _read(output / "about.json")
    for name, value in about.items():
        if begun.get(name) != value:
            raise ValueError(
                f"output: expected poses begun with {name} {value}, got {begun.get(name)} in "
                f"{output}; choose another folder, or delete it"
            )
    there = np.load(output / "digests.npy", allow_pickle=False).view("V16")[:, 0]
    if not np.array_equal(there, known):
        raise ValueError(
            f"output: expected poses of these crops, got those of others in {output}; "
            "choose another folder, or delete it"
        )


def _done(folder: Path) -> int:
    path = folder / "done.json"
    return int(_read(path)["done"]) if path.exists() else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {content!r}")
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content) + "\n", encoding="utf-8")
    part.replace(path)
