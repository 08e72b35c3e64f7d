"""Proxies: the mean feature of each pseudo-identity in each clip, to compare a batch with.

A batch holds few people, and rarely the strangers that are hardest to tell apart. Proxies stand for
all. Each clip has its own, since a person looks different in another: Dai et al., "Cluster contrast
for unsupervised person re-identification", 2021, and Wang et al., "Offline-online associated
camera-aware proxies for unsupervised person re-identification", 2022.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

_KEPT = 0.8  # share of a proxy that a batch with crops of it leaves


class Proxies:
    """The proxies of some crops.

    Args:
        identities: (N,) int64, identity of each crop, from 0; -1 for none.
        clips: (N,) integers from 0, its clip.
        width: Width of a feature, D.
        device: Where to compute.

    Attributes:
        means: (P, D) float32 of unit length, or zeros; changed in place by :meth:`update`.
    """

    def __init__(
        self,
        identities: npt.NDArray[np.int64],
        clips: npt.NDArray[np.integer],
        width: int,
        device: torch.device,
    ) -> None:
        count = int(clips.max(initial=0)) + 1
        some = np.flatnonzero(identities >= 0)
        keys, numbers = np.unique(identities[some] * count + clips[some], return_inverse=True)
        proxy = np.full(len(identities), -1, np.int64)
        proxy[some] = numbers
        self._proxy = torch.from_numpy(proxy)  # (N,) that of each crop; -1 for none
        self._identity = torch.from_numpy(keys // count)  # (P,)
        self.means = torch.zeros((len(keys), width), device=device)

    def gather(self, features: npt.NDArray[np.float32]) -> None:
        """Compute the means anew from the features of all crops: (N, D) float32."""
        some = self._proxy >= 0
        # On the CPU, where the order of the sum is always the same.
        rows = functional.normalize(torch.from_numpy(features)[some], dim=1)
        sums = torch.zeros(self.means.shape).index_add_(0, self._proxy[some], rows)
        self.means.copy_(functional.normalize(sums, dim=1))

    def relation(self, crops: npt.NDArray[np.int64]) -> Tensor:
        """Return which proxies are of the identity of each crop.

        Args:
            crops: (n,) indices of crops with an identity.

        Returns:
            (n, P) int8, on the device: 1 for the same identity, -1 for another.
        """
        mine = self._identity[self._proxy[torch.from_numpy(crops)]]
        same = mine[:, None] == self._identity
        return (same.to(torch.int8) * 2 - 1).to(self.means.device)

    @torch.no_grad()
    def update(self, crops: npt.NDArray[np.int64], z: Tensor) -> None:
        """Move the proxies of a batch's crops towards the mean of their features there.

        Args:
            crops: (n,) indices of crops with an identity, some more than once.
            z: (n, D) float32 on the device, their features.
        """
        seen, place = np.unique(self._proxy.numpy()[crops], return_inverse=True)
        # A product sums in the same order each time, which index_add_ does not on CUDA.
        members = functional.one_hot(torch.from_numpy(place), len(seen)).to(z)
        new = members.T @ functional.normalize(z, dim=1) / members.sum(dim=0)[:, None]
        moved = torch.from_numpy(seen).to(z.device)
        self.means[moved] = functional.normalize(torch.lerp(new, self.means[moved], _KEPT), dim=1)
