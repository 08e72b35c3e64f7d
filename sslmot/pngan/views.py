"""Pose views: crops generated in canonical poses, once and for all (SSL-MOT, section 3).

A folder::

    about.json             generator, crops and seed of the images
    canonical.safetensors  the canonical poses
    digests.npy            digests of the crops
    full_body.npy          whether each crop shows a full body
    images.npy             each crop in the canonical poses nearest to its own
    done.json              number of crops done
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
"""Number of canonical poses of a data set, as in PN-GAN."""

_BATCH = 16  # crops at once
_DONE_EVERY = 16  # batches between notes of progress; a killed run repeats as many at most


def make_poses(
    crops: CropSet,
    joints: Joints,
    generator: PoseGenerator,
    output: str | Path,
    *,
    seed: int = 0,
    progress: bool = False,
) -> None:
    """Generate each crop in the canonical poses nearest to its own.

    A call goes on where an earlier one was interrupted.

    Args:
        crops: N crops of the generator's size.
        joints: (N, 18, 3) float32, joints of the crops.
        generator: The generator.
        output: Folder to make, or one that was begun with the same arguments.
        seed: Seed of the clustering of the canonical poses.
        progress: Show a bar on a terminal.

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
    """Refuse a folder that holds anything but poses.

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
        with path.open("rb+") as file:  # a full disk fails here, not later with a crash
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
