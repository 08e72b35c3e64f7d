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
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot import files, reading
from sslmot.data.crops import CropSet, digests
from sslmot.files import naming, new_folder
from sslmot.pngan.generator import PoseGenerator
from sslmot.pose.canonical import CanonicalPoses
from sslmot.pose.full_body import full_body
from sslmot.pose.joints import Joints, check_joints
from sslmot.training.pose_views import POSES, digest, poses_done

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
    if crops.size != generator.config.crop_size:
        raise ValueError(
            f"crops: expected the generator's size {generator.config.crop_size}, got {crops.size}"
        )
    if len(check_joints(joints)) != len(crops):
        raise ValueError(f"joints: expected those of {len(crops)} crops, got {len(joints)}")
    height, width = crops.size
    known = digests(crops.images)
    about = {
        "generator": generator.fingerprint,
        "crops": digest(known),
        "joints": digest(joints),
        "size": [height, width],
        "seed": seed,
    }
    output = Path(output)
    check_output(output)
    if not (output / "about.json").is_file():
        canonical = CanonicalPoses.cluster(joints, width / height, CANONICAL, seed)
        _begin(output, about, canonical, known, full_body(joints))
    _check_begun(output, about)
    canonical = CanonicalPoses.load(output / "canonical.safetensors")
    targets = canonical.nearest(joints, POSES)
    images = reading.mapped_array(output / "images.npy", "r+")
    if images.shape != (len(crops), POSES, height, width, 3) or images.dtype != np.uint8:
        raise ValueError(f"{output}: expected poses of {len(crops)} crops, got {images.shape}")
    starts = range(poses_done(output), len(crops), _BATCH)
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
                with naming(output):
                    images.flush()
                _write(output / "done.json", {"done": min(start + _BATCH, len(crops))})


def check_output(output: Path) -> None:
    """Refuse a folder that holds something else than poses.

    Raises:
        FileExistsError: It does.
    """
    if output.exists() and any(output.iterdir()) and not (output / "about.json").is_file():
        raise FileExistsError(f"output: expected a new folder or one of poses, got {output}")


def _begin(
    output: Path,
    about: dict[str, Any],
    canonical: CanonicalPoses,
    known: npt.NDArray[np.void],
    full: npt.NDArray[np.bool_],
) -> None:
    with new_folder(output) as part:
        canonical.save(part / "canonical.safetensors")
        np.save(part / "digests.npy", known.view(np.uint8).reshape(-1, 16), allow_pickle=False)
        np.save(part / "full_body.npy", full, allow_pickle=False)
        shape = (len(known), POSES, *about["size"], 3)
        path = part / "images.npy"
        np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
        with path.open("rb+") as file:  # a full disk is an error now, not a crash on the way
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        _write(part / "about.json", about)


def _check_begun(output: Path, about: dict[str, Any]) -> None:
    begun = reading.read_json(output / "about.json")
    for name, value in about.items():
        if begun.get(name) != value:
            raise ValueError(
                f"output: expected poses begun with {name} {value}, got {begun.get(name)} in "
                f"{output}; choose another folder, or delete it"
            )


def _write(path: Path, content: dict[str, Any]) -> None:
    files.write(path, json.dumps(content).encode())
