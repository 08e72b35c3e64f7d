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
        keys = np.where(identities >= 0, identities * count + clips, -1)
        kept, of = np.unique(keys[keys >= 0], return_inverse=True)
        place = np.full(len(keys), -1, np.int64)
        place[keys >= 0] = of
        self._of = torch.from_numpy(place).to(device)  # (N,) proxy of each crop; -1 for none
        self._identities = torch.from_numpy(kept // count).to(device)  # (P,)
        self.means = torch.zeros((len(kept), width), device=device)

    def gather(self, features: npt.NDArray[np.float32]) -> None:
        """Compute the means anew from the features of all crops: (N, D) float32."""
        rows = torch.from_numpy(features).to(self._of.device)[self._of >= 0]
        sums = torch.zeros_like(self.means)
        sums.index_add_(0, self._of[self._of >= 0], functional.normalize(rows, dim=1))
        self.means.copy_(functional.normalize(sums, dim=1))

    def relation(self, crops: npt.NDArray[np.int64]) -> Tensor:
        """Return which proxies are of the identity of each crop.

        Args:
            crops: (n,) indices of crops with an identity.

        Returns:
            (n, P) int8: 1 for the same identity, -1 for another.
        """
        of = self._identities[self._of[torch.from_numpy(crops).to(self._of.device)]]
        return torch.where(of[:, None] == self._identities, 1, -1).to(torch.int8)

    @torch.no_grad()
    def update(self, crops: npt.NDArray[np.int64], z: Tensor) -> None:
        """Move the proxies of a batch's crops towards the mean of their features there.

        Args:
            crops: (n,) indices of crops with an identity, some more than once.
            z: (n, D) float32, their features.
        """
        of = self._of[torch.from_numpy(crops).to(self._of.device)]
        seen, place = of.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        # A product adds up in the same order on any device, unlike index_add_ on CUDA.
        members = functional.one_hot(place, len(seen)).to(z.dtype)
        new = members.T @ functional.normalize(z, dim=1) / members.sum(dim=0)[:, None]
        self.means[seen] = functional.normalize(torch.lerp(new, self.means[seen], _KEPT), dim=1)
