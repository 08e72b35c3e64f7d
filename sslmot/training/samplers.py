"""Which crops make a batch of pairs, and what is known of who they are.

A batch is two views of n persons. All processes draw the same batches and take their share, so what
is known of a share's pairs beside the whole batch needs no communication.
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
        first: (n,) int64, the crop behind the first view of each pair.
        second: (n,) int64, that behind the second; the same crop where nothing better is known.
        relation: (n, n) int8: 1 where first and second show one person, -1 where two, 0 where
            that is unknown; None: one on the diagonal, two off it.
    """

    first: Rows
    second: Rows
    relation: npt.NDArray[np.int8] | None

    def share(self, rank: int, world: int) -> Batch:
        """Rows of one of several processes; the relation keeps all columns."""
        n = len(self.first) // world
        rows = slice(rank * n, (rank + 1) * n)
        relation = self.relation if self.relation is None else self.relation[rows]
        return Batch(self.first[rows], self.second[rows], relation)


class Sampler(ABC):
    """Batches of one size, epoch by epoch.

    Attributes:
        batch_size: Pairs in a batch.
        length: Pairs in an epoch, before what fills no batch is left out.
    """

    def __init__(self, batch_size: int, length: int) -> None:
        self.batch_size = batch_size
        self.length = length

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.length // self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Draw the batches of an epoch."""
        first = self._first(rng)
        for step in range(self.steps):
            yield self._pair(first[step * self.batch_size : (step + 1) * self.batch_size], rng)

    @abstractmethod
    def _first(self, rng: np.random.Generator) -> Rows:
        """(length,) the first crop of each pair of an epoch, in order."""

    @abstractmethod
    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        """Make a batch."""


class Plain(Sampler):
    """Every crop beside itself; all crops of a batch pass for different people."""

    def __init__(self, crops: CropSet, batch_size: int) -> None:
        super().__init__(batch_size, len(crops))

    def _first(self, rng: np.random.Generator) -> Rows:
        return rng.permutation(self.length)

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        return Batch(first, first, None)


class OnePerTracklet(Sampler):
    """One crop of every tracklet beside itself: nobody meets the same person a few frames later."""

    def __init__(self, crops: CropSet, batch_size: int) -> None:
        # An unlinked crop is a tracklet of its own.
        alone = np.flatnonzero(crops.tracklets < 0)
        self._groups = [*members(crops.tracklets).values(), *alone[:, None]]
        super().__init__(batch_size, len(self._groups))

    def _first(self, rng: np.random.Generator) -> Rows:
        picked = [group[rng.integers(len(group))] for group in self._groups]
        return rng.permutation(np.array(picked, np.int64))

    def _pair(self, first: Rows, rng: np.random.Generator) -> Batch:
        return Batch(first, first, None)


class TrackletPairs(Sampler):
    """Two crops of a tracklet; different are those who were in view together, all else is unknown.

    An epoch meets every linked crop once as the first of a pair.
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
    """Two crops of a pseudo-identity, of two clips where it has them; others are different people.

    Identities take turns with two pairs each, so a batch holds four crops of most of its people.
    An epoch has as many pairs as there are crops that share an identity.
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
    """The crops of each group; -1 is none."""
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    split = np.split(order, starts)[1:]
    return {int(g): rows for g, rows in zip(numbers, split, strict=True) if g >= 0}


def _pairable(groups: Rows) -> dict[int, Rows]:
    """The crops of each group of two or more."""
    return {g: rows for g, rows in members(groups).items() if len(rows) > 1}


def _other(crop: int, group: Rows, rng: np.random.Generator) -> int:
    """One of a group at random, but not this."""
    others = group[group != crop]
    return int(others[rng.integers(len(others))])
