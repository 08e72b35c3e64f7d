"""Pose estimators, and a cache of the joints that they find."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from sslmot import tensors
from sslmot.data.crops import CropSet, digests
from sslmot.pose.joints import JOINTS, Joints, check_joints

BATCH = 64
"""Crops in a call of an estimator."""

SAVE_EVERY = 16
"""Batches between writes of the cache; a killed run loses as many at most."""

MOST_BYTES = 2**31
"""Largest file of a model."""

MOST_SIDE = 2048
"""Largest side of the input of a model, pixels."""


class PoseEstimator(Protocol):
    """Finds the joints of the person in each crop."""

    @property
    def fingerprint(self) -> str:
        """Return the hexadecimal digest of the model and of all else that affects its joints."""
        ...

    def __call__(self, crops: npt.NDArray[np.uint8]) -> Joints:
        """Find joints.

        Args:
            crops: (N, h, w, 3) uint8, RGB.

        Returns:
            (N, 18, 3) float32; see `Joints`.
        """
        ...


def fingerprint(model: bytes, *settings: object) -> str:
    """Return the digest of a model and settings, for `PoseEstimator.fingerprint`."""
    return hashlib.sha256(model + repr(settings).encode()).hexdigest()


def estimate(
    crops: CropSet, estimator: PoseEstimator, cache: Path | None, progress: bool = False
) -> Joints:
    """Find the joints of all crops, each distinct image once.

    Args:
        crops: N crops.
        estimator: The pose estimator.
        cache: Folder of joints from earlier runs, a file for each model; made if missing. None for
            no cache.
        progress: Show a bar on a terminal.

    Returns:
        (N, 18, 3) float32.

    Raises:
        ValueError: The cache is damaged, or the estimator returns something other than joints.
    """
    wanted = digests(crops.images)
    unique, first, inverse = np.unique(wanted, return_index=True, return_inverse=True)
    known = _Cache(cache, estimator.fingerprint)
    new = first[~np.isin(unique, known.digests)]
    starts = range(0, len(new), BATCH)
    with tqdm(
        total=len(new), desc="joints", unit=" crops", disable=None if progress else True
    ) as bar:
        for i, start in enumerate(starts, 1):
            batch = np.sort(new[start : start + BATCH])
            joints = check_joints(estimator(crops.images[batch]), "estimator")
            if len(joints) != len(batch):
                raise ValueError(f"estimator: expected {len(batch)} poses, got {len(joints)}")
            known.add(wanted[batch], joints)
            if i % SAVE_EVERY == 0 or i == len(starts):
                known.save()
            bar.update(len(batch))
    order = np.argsort(known.digests)
    place = order[np.searchsorted(known.digests, unique, sorter=order)]
    return known.joints[place[inverse]]


class _Cache:
    """Digests of images and the joints that one model found in them, in memory and in a file."""

    def __init__(self, folder: Path | None, model: str) -> None:
        self._path = None if folder is None else folder / f"joints-{model[:16]}.safetensors"
        self.digests = np.empty(0, "V16")
        self.joints: Joints = np.empty((0, len(JOINTS), 3), np.float32)
        self._new: list[tuple[npt.NDArray[np.void], Joints]] = []  # since the last save
        if self._path is not None and self._path.exists():
            self._load(self._path)

    def _load(self, path: Path) -> None:
        arrays, _ = tensors.read_arrays(path)
        try:
            digests, self.joints = arrays["digests"], check_joints(arrays["joints"])
            if digests.dtype != np.uint8 or digests.shape != (len(self.joints), 16):
                raise ValueError(f"digests {digests.shape} {digests.dtype}")
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: expected joints and the digests of their crops, got {error}; delete it"
            ) from error
        self.digests = np.ascontiguousarray(digests).view("V16")[:, 0]

    def add(self, digests: npt.NDArray[np.void], joints: Joints) -> None:
        self._new.append((digests, joints))

    def save(self) -> None:
        self.digests = np.concatenate([self.digests, *(digests for digests, _ in self._new)])
        self.joints = np.concatenate([self.joints, *(joints for _, joints in self._new)])
        self._new = []
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        digests = self.digests.view(np.uint8).reshape(-1, 16)
        arrays = {"digests": digests, "joints": self.joints}
        tensors.write(self._path, {k: torch.from_numpy(v) for k, v in arrays.items()}, {})
