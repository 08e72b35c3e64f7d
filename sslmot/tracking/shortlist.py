"""Short codes of identities, to compare a feature with the most similar of many identities only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot.types import Features

_CODE = 64  # numbers of a code
_FITTED = 4096  # identities whose means choose the axes
_CHUNK = 1024  # identities whose samples are averaged at once


class Shortlist:
    """Find the rows of a gallery whose mean samples are most similar to features.

    The mean of a row's samples, at unit length, is projected to the principal axes of the means,
    about the origin. The axes are chosen anew when the number of rows has doubled.
    """

    def __init__(self) -> None:
        self._axes = np.zeros((0, 0), np.float32)  # (D, numbers of a code)
        self._codes = np.zeros((0, 0), np.float32)  # (rows, numbers of a code)
        self._rows_then = 0  # number of rows when the axes were chosen

    def update(self, samples: Features, counts: npt.NDArray[np.int64], stale: set[int]) -> None:
        """Compute the codes of rows that have changed.

        Args:
            samples: (rows, S, D), of unit length.
            counts: (rows,) the number of samples of each row.
            stale: The rows that have changed; those whose codes are new are taken out.
        """
        n = len(counts)
        if not 0 < self._rows_then <= n < 2 * self._rows_then or self._axes.shape[0] != (
            samples.shape[2]
        ):
            some = np.linspace(0, n - 1, min(n, _FITTED)).astype(np.int64)
            means = _means(samples, counts, some)
            _, vectors = np.linalg.eigh(means.T @ means)
            self._axes = np.ascontiguousarray(vectors[:, ::-1][:, :_CODE])
            self._codes = np.zeros((2 * n, self._axes.shape[1]), np.float32)
            self._rows_then = n
            stale.update(range(n))
        rows = np.fromiter(stale, np.int64, len(stale))
        rows.sort()
        for i in range(0, len(rows), _CHUNK):
            part = rows[i : i + _CHUNK]
            self._codes[part] = _means(samples, counts, part) @ self._axes
            stale.difference_update(part.tolist())

    def find(self, unit: Features, rows: int, size: int) -> npt.NDArray[np.int64]:
        """Return the rows of the codes most similar to features: (N, size).

        Args:
            unit: (N, D), of unit length.
            rows: Number of rows.
            size: Length of the list.
        """
        scores = (unit @ self._axes) @ self._codes[:rows].T
        return np.argpartition(scores, rows - size, axis=1)[:, rows - size :]


def _means(
    samples: Features, counts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> Features:
    """Return the mean samples of rows at unit length; zeros of a row without samples."""
    filled = np.arange(samples.shape[1]) < counts[rows, None]
    sums = np.einsum("rsd,rs->rd", samples[rows], filled.astype(np.float32))
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
