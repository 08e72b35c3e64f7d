"""Samplers: which crops form a batch of pairs, and which of them show the same person.

A batch has two views of n people. All processes draw the same batches and take their share of each,
so the relation of a share to the whole batch needs no communication.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sslmot.data.crops import CropSet
from sslmot.data.tracklets import in_view_together

Rows = npt.NDArray[np.int64]

_NONE = np.empty(0, np.int64)


class Batch(NamedTuple):
    """n pairs of crops.

    Attributes:
        first: (n,) int64, crop of the first view of each pair.
        second: (n,) int64, crop of the second view; the same crop if no other is known to match.
        relation: (n, n) int8: 1 if first and second show the same person, -1 if different people, 0
            if that is unknown; None for the same on the diagonal and different off it.
    """

    first: Rows
    second: Rows
    relation: npt.NDArray[np.int8] | None

    def share(self, rank: int, world: int) -> Batch:
        """Return the rows of one of several processes; the relation keeps all columns."""
        n = len(self.first) // world
        rows = slice(rank * n, (rank + 1) * n)
        relation = self.relation if self.relation is None else self.relation[rows]
        return Batch(self.first[rows], self.second[rows], relation)


class Sampler(ABC):
    """A source of batches of one size.

    Attributes:
        batch_size: Pairs in a batch.
        length: Pairs in an epoch, including a last incomplete batch, which is left out.
    """

    def __init__(self, batch_size: int, length: int) -> None:
        self.batch_size = batch_size
        self.length = length

    @property
    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self.length // self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Draw the batches of an epoch."""
        first = self._first(rng)
        for step in range(self.steps):
            yield self._pair(first[step * self.batch_size : (step + 1) * self.batch_size], rng)

    @abstractmethod
    def _first(self, rng: np.random.Generator) -> Rows:
        """Draw the first crop of each pair of an epoch, (length,), in order."""

    @abstractmethod
    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        """Make a batch of these first crops."""


class Plain(Sampler):
    """Pairs of a crop with itself; the other crops of a batch count as different people."""

    def __init__(self, crops: CropSet, batch_size: int) -> None:
        super().__init__(batch_size, len(crops))

    def _first(self, rng: np.random.Generator) -> Rows:
        return rng.permutation(self.length)

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        return Batch(first, first, None)


class OnePerTracklet(Sampler):
    """Pairs of one crop of each tracklet with itself, so a batch has no two of one tracklet."""

    def __init__(self, crops: CropSet, batch_size: int) -> None:
        # An unlinked crop counts as a tracklet.
        alone = np.flatnonzero(crops.tracklets < 0)
        self._groups = [*members(crops.tracklets).values(), *alone[:, None]]
        super().__init__(batch_size, len(self._groups))

    def _first(self, rng: np.random.Generator) -> Rows:
        picked = [group[rng.integers(len(group))] for group in self._groups]
        return rng.permutation(np.array(picked, np.int64))

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        return Batch(first, first, None)


class TrackletPairs(Sampler):
    """Pairs of two crops of a tracklet.

    Tracklets in view together show different people; of other tracklets nothing is known. In an
    epoch every linked crop is once the first of a pair.
    """

    def __init__(self, crops: CropSet, batch_size: int) -> None:
        self._tracklets = crops.tracklets
        self._members = _pairable(crops.tracklets)
        pairs = in_view_together(crops)
        self._together = set(map(tuple, np.concatenate([pairs, pairs[:, ::-1]]).tolist()))
        super().__init__(batch_size, sum(map(len, self._members.values())))

    def _first(self, rng: np.random.Generator) -> Rows:
        return rng.permutation(np.concatenate([_NONE, *self._members.values()]))

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        of = self._tracklets[first]
        second = [_other(row, self._members[t], rng) for row, t in zip(first, of, strict=True)]
        same = of[:, None] == of
        present, place = np.unique(of, return_inverse=True)
        apart = np.array([[(a, b) in self._together for b in present] for a in present])
        relation = same.astype(np.int8) - apart[place][:, place].astype(np.int8)
        return Batch(first, np.array(second), relation)


class IdentityPairs(Sampler):
    """Pairs of two crops of a pseudo-identity, from two clips if possible.

    Other identities are different people. Identities take turns with two pairs each, so a batch has
    four crops of most of its identities. An epoch has a pair for each crop that shares an identity.
    """

    def __init__(self, crops: CropSet, identities: Rows, batch_size: int) -> None:
        self._clips = crops.clips
        self._identities = identities
        self._members = _pairable(identities)
        super().__init__(batch_size, sum(map(len, self._members.values())))

    def _first(self, rng: np.random.Generator) -> Rows:
        groups = list(self._members.values())
        rounds = -(-self.length // max(2 * len(groups), 1))
        first = [
            rng.choice(groups[i], 2, replace=False)
            for _ in range(rounds)
            for i in rng.permutation(len(groups))
        ]
        return np.concatenate([_NONE, *first])[: self.length]

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        second = np.empty_like(first)
        for row, crop in enumerate(first):
            group = self._members[self._identities[crop]]
            elsewhere = group[self._clips[group] != self._clips[crop]]
            second[row] = _other(crop, elsewhere if len(elsewhere) else group, rng)
        of = self._identities[first]
        return Batch(first, second, np.where(of[:, None] == of, 1, -1).astype(np.int8))


def members(groups: Rows) -> dict[int, Rows]:
    """Return the crops of each group; -1 is no group."""
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    split = np.split(order, starts)[1:]
    return {int(g): rows for g, rows in zip(numbers, split, strict=True) if g >= 0}


def _pairable(groups: Rows) -> dict[int, Rows]:
    """Return the crops of each group of two or more."""
    return {g: rows for g, rows in members(groups).items() if len(rows) > 1}


def _other(crop: int, group: Rows, rng: np.random.Generator) -> int:
    """Draw another crop of a group."""
    others = group[group != crop]
    return int(others[rng.integers(len(others))])
