"""Short codes of samples, to compare a feature with the most similar of very many only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.types import Features

_HEAD, _TAIL = 32, 96  # numbers of the two parts of a code
_ZERO = 128  # stands for 0 in a code
_MOST, _MOST_QUERIED = 127, 63  # of a code's and a query's numbers
_FITTED = 4096  # samples that choose the axes
_CHUNK = 1024  # rows coded at once

Rows = npt.NDArray[np.int64]


class Shortlist:
    """Find the samples of a gallery that are most similar to features.

    A code is a sample's projection to the 128 principal axes of the samples, about the origin, as
    one byte each. The axes are chosen anew when the number of rows has doubled.
    """

    def __init__(self) -> None:
        self._axes = np.zeros((0, _HEAD + _TAIL), np.float32)  # (D, numbers of a code)
        self._scale = 0.0  # from projections to codes
        self._fitted_rows = 0  # when the axes were chosen
        self._forget()

    def _forget(self, size: int = 0) -> None:
        """Drop all codes, and make room for some."""
        self._used = 0
        self._head = np.full((size, _HEAD), _ZERO, np.uint8)
        self._tail = np.full((size, _TAIL), _ZERO, np.uint8)
        self._tail_norms = np.zeros(size, np.uint16)
        self._rows = np.full(size, -1, np.int64)  # of each code; -1: its row has newer ones
        self._slots = np.zeros(size, np.int64)  # which sample of the row

    def update(self, samples: Features, counts: Rows, stale: set[int]) -> None:
        """Code the samples of rows that have changed.

        Args:
            samples: (rows, S, D), of unit length.
            counts: (rows,) the number of samples of each row.
            stale: The rows that have changed; those that are coded are taken out.
        """
        n = len(counts)
        if not self._fitted_rows <= n < 2 * self._fitted_rows:
            stale.update(range(n))  # first: an interrupt may come at any line
            self._fit(samples, counts)
            self._forget()
            self._fitted_rows = n
        if not stale:
            return
        rows = np.sort(np.fromiter(stale, np.int64, len(stale)))
        needed = int(counts[rows].sum())
        if self._used + needed > len(self._rows):
            rows = np.arange(n)
            stale.update(range(n))
            self._forget(2 * int(counts.sum()))
        else:
            old = np.isin(self._rows[: self._used], rows).nonzero()[0]
            self._rows[old] = -1
            self._head[old] = _ZERO
            self._tail[old] = _ZERO  # else its old tail takes a place on the list
            self._tail_norms[old] = 0
        for i in range(0, len(rows), _CHUNK):
            part = rows[i : i + _CHUNK]
            self._append(samples[part], counts[part], part)
            stale.difference_update(part.tolist())

    def find(self, unit: Features, size: int) -> tuple[Rows, Rows]:
        """Return rows and slots of the samples most similar to features: (N, size) each.

        Args:
            unit: (N, D), of unit length.
            size: Length of the list, if there are as many codes.
        """
        projected = unit @ self._axes
        longest = np.maximum(abs(projected).max(axis=1, keepdims=True), 1e-9)
        queries = np.rint(projected * (_MOST_QUERIED / longest)).astype(np.int8)
        used = self._used
        found = _core.nearest_codes(
            self._head[:used], self._tail[:used], self._tail_norms[:used], queries, min(size, used)
        )
        return self._rows[found], self._slots[found]

    def _fit(self, samples: Features, counts: Rows) -> None:
        n, dim = len(counts), samples.shape[2]
        rows = np.linspace(0, n - 1, min(n, _FITTED)).astype(np.int64)
        some = samples[rows, np.arange(len(rows)) % np.maximum(counts[rows], 1)]
        _, vectors = np.linalg.eigh(some.T @ some)
        kept = min(dim, _HEAD + _TAIL)
        self._axes = np.zeros((dim, _HEAD + _TAIL), np.float32)
        self._axes[:, :kept] = vectors[:, ::-1][:, :kept]
        # Beyond the largest of these, which a few samples exceed, numbers are cut.
        self._scale = _MOST / max(float(abs(some @ self._axes).max()), 1e-9)

    def _append(self, samples: Features, counts: Rows, rows: Rows) -> None:
        at, slots = (np.arange(samples.shape[1]) < counts[:, None]).nonzero()
        codes = np.rint(samples[at, slots] @ self._axes * self._scale).clip(-_MOST, _MOST)
        new = slice(self._used, self._used + len(at))
        self._head[new] = (codes[:, :_HEAD] + _ZERO).astype(np.uint8)
        self._tail[new] = (codes[:, _HEAD:] + _ZERO).astype(np.uint8)
        self._tail_norms[new] = np.ceil(np.linalg.norm(codes[:, _HEAD:], axis=1))
        self._rows[new] = rows[at]
        self._slots[new] = slots
        self._used += len(at)
