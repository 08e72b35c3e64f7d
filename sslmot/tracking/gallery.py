"""A gallery of identities that outlives a video: for restarts, other clips and other cameras."""

from __future__ import annotations

import copy
import io
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import _core, files, reading
from sslmot.assignment import assign
from sslmot.inputs import check_embeddings, describe, to_numpy
from sslmot.tracking.shortlist import Shortlist
from sslmot.types import ArrayLike, Features

_MAX_COSINES = 2**22  # of features and samples in one product
_NO_COSINE = -4.0  # of an identity without samples: below -1 by more than any margin
_FEW = 4096  # identities that are all compared
_LISTED = 512  # samples that are compared if there are more identities
_LENGTH_ERROR = 1e-3  # of unit vectors in a file
_SETTINGS = ("min_similarity", "margin", "capacity", "samples", "encoder")
_ARRAYS = ("settings", "next_id", "ids", "rows", "counts", "features")  # in a file


class Gallery:
    """Store a few features of each identity, and find the identity of new features.

    The similarity of a feature and an identity is the largest cosine of the feature and the
    identity's samples. The feature gets the identity if this similarity is at least
    ``min_similarity``, and exceeds the similarity to every other identity by ``margin``.
    Identities that are in view are never assigned, but they count among the others: a feature that
    is closer to an identity in view gets none.

    A full gallery drops the identity that was added to least recently. An identity with all its
    samples drops one of the two most similar ones, the new one included: the one that is also more
    similar to a third. So the largest cosine within a full set of samples never grows.

    Up to 4,096 identities are all compared with a feature. If there are more, codes of 128 bytes
    choose the 512 most similar samples, and only these are compared; docs/scale.md has how seldom
    that assigns differently.

    The defaults prefer a new id to a wrong one. With the encoder that comes with the package and
    single crops of MOT17-09, 90 frames apart, 70 % of the known persons get their identity, and 4 %
    of unknown persons get one; across the cameras of Market-1501, 5 % and 1 %.

    Threads may share a gallery, by trackers or directly: each call holds ``lock``. Hold it over
    several calls that belong together, such as :meth:`identify`, ``next_id`` and :meth:`add`.

    Args:
        min_similarity: Least similarity to the assigned identity, -1 to 1.
        margin: Least difference to the similarity of any other identity, 0 to 2.
        capacity: Largest number of identities.
        samples: Largest number of features of an identity.
        encoder: Name of the encoder of the features, such as a hash of its weights; see
            :meth:`bind`.

    Attributes:
        min_similarity: As given.
        margin: As given.
        capacity: As given.
        samples: As given.
        encoder: As given, or bound since; empty if unknown.
        lock: A :class:`threading.RLock`.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        *,
        min_similarity: float = 0.75,
        margin: float = 0.1,
        capacity: int = 1000,
        samples: int = 8,
        encoder: str = "",
    ) -> None:
        expect_number("min_similarity", min_similarity, -1, 1)
        expect_number("margin", margin, 0, 2)
        _expect_count("capacity", capacity)
        _expect_count("samples", samples)
        _expect_text("encoder", encoder)
        self.min_similarity = float(min_similarity)
        self.margin = float(margin)
        self.capacity = capacity
        self.samples = samples
        self.encoder = encoder
        self.lock = threading.RLock()
        self._next_id = 1
        # Identity -> row of the arrays below; the identity added to least recently comes first.
        self._rows: OrderedDict[int, int] = OrderedDict()
        self._counts = np.zeros(0, np.int64)
        # (rows, samples so far, D): the first ``counts`` of a row are set, oldest first, and have
        # unit length.
        self._samples = np.zeros((0, 1, 0), np.float32)
        self._identities = np.zeros(0, np.int64)  # of each row
        self._shortlist = Shortlist()
        self._stale: set[int] = set()  # rows that the shortlist does not know as they are

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            return copy.deepcopy({k: v for k, v in vars(self).items() if k != "lock"})

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept, lock=threading.RLock())

    @property
    def next_id(self) -> int:
        """The id after the largest that was ever added."""
        return self._next_id

    def reserve(self, count: int, least: int = 1) -> int:
        """Return the first of ``count`` ids in a row that are free, at least ``least``.

        Args:
            count: Number of ids.
            least: The first one that the caller can use.
        """
        return max(self.next_id, least)

    def __len__(self) -> int:
        """Number of identities."""
        return len(self._rows)

    def __contains__(self, identity: object) -> bool:
        return identity in self._rows

    def bind(self, encoder: str, dim: int | None = None) -> None:
        """Check the encoder of the next features; an empty gallery without an encoder takes it.

        Args:
            encoder: As for the constructor.
            dim: Width of the features, if known.

        Raises:
            ValueError: As :meth:`expect`.
        """
        with self.lock:
            self.expect(encoder, dim)
            self.encoder = encoder

    def expect(self, encoder: str, dim: int | None = None) -> None:
        """Check the encoder of the next features; change nothing.

        Args:
            encoder: As for the constructor.
            dim: Width of the features, if known.

        Raises:
            ValueError: The gallery is for features of another encoder, or of another width.
        """
        _expect_text("encoder", encoder)
        with self.lock:
            width = self._samples.shape[2]
            if self._rows and dim not in (None, width):
                raise ValueError(
                    f"dim: expected {width}, as the gallery's features have, got {dim}"
                )
            if (self.encoder or self._rows) and encoder != self.encoder:
                raise ValueError(
                    f"encoder: expected {self.encoder!r}, whose features the gallery holds, "
                    f"got {encoder!r}: features of two encoders do not compare"
                )

    def identify(self, features: ArrayLike, taken: Iterable[int] = ()) -> npt.NDArray[np.int64]:
        """Assign identities to features; change nothing.

        Args:
            features: (N, D) float32 of any length; a row of zeros gets no identity.
            taken: Identities in view, which are not assigned.

        Returns:
            (N,) the identity of each row, each at most once; 0 for none.

        Raises:
            ValueError: Wrong shape, dtype or width, or a number that is not finite.
        """
        excluded = np.array(list(taken), np.int64)
        with self.lock:
            unit, known = self._read(features)
            found = np.zeros(len(unit), np.int64)
            at = known.nonzero()[0]
            if not len(at) or not self._rows:
                return found
            if len(self) <= _FEW:
                identities = self._identities[: len(self)].copy()
                similarity = self._similarity(unit[at])
            else:
                identities, similarity = self._listed_similarity(unit[at])
        allowed = similarity >= self.min_similarity
        if len(identities) > 1:
            second, first = np.partition(similarity, -2, axis=1)[:, -2:, None].transpose(1, 0, 2)
            # The rival of the best identity is the second; of any other, the best.
            rival = np.where(similarity == first, second, first)
            allowed &= similarity - rival >= self.margin
        allowed &= ~np.isin(identities, excluded)
        rows, columns = assign(np.where(allowed, 1 - similarity, np.inf))
        found[at[rows]] = identities[columns]
        return found

    def add(self, ids: npt.ArrayLike, features: ArrayLike) -> None:
        """Add features to identities, which become the most recent ones.

        Args:
            ids: (N,) integers of 1 to 2**31 - 1, new or known; one may come several times.
            features: (N, D) float32 of any length. A row of zeros adds no sample, but its id
                counts for ``next_id``.

        Raises:
            ValueError: Wrong shape, dtype or width, an id out of range, or a number that is not
                finite; nothing has changed then.
        """
        numbers = np.asarray(ids)
        if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and numbers.size):
            raise ValueError(f"ids: expected (N,) integers, got {describe(numbers)}")
        if ((numbers < 1) | (numbers > _core.LARGEST_ID)).any():
            raise ValueError(
                f"ids: expected integers of 1 to {_core.LARGEST_ID}, got {numbers.tolist()}"
            )
        with self.lock:
            unit, known = self._read(features, len(numbers))
            for identity, feature, is_known in zip(numbers.tolist(), unit, known, strict=True):
                self._next_id = max(self._next_id, identity + 1)
                if identity in self._rows:
                    self._rows.move_to_end(identity)
                if is_known:
                    self._add_sample(identity, feature)

    def save(self, path: str | Path) -> None:
        """Write a file, or replace it once the new one is complete.

        Args:
            path: In an existing folder; ``.npz`` by custom.
        """
        buffer = io.BytesIO()
        with self.lock:
            n = len(self)
            np.savez(
                buffer,
                settings=np.array(json.dumps({name: getattr(self, name) for name in _SETTINGS})),
                next_id=np.array(self._next_id, np.int64),
                ids=np.array(list(self._rows), np.int64),
                rows=np.array(list(self._rows.values()), np.int64),
                counts=self._counts[:n],
                features=self._samples[:n][self._filled()],
            )
        files.write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Gallery:
        """Read a file of :meth:`save`; the gallery assigns as the saved one did.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file holds no gallery, or is damaged.
        """
        members = reading.read_members(path, "a gallery")
        try:
            if members.keys() != {f"{name}.npy" for name in _ARRAYS}:
                raise ValueError(f"arrays {', '.join(members)}")
            return Gallery._restored(
                *(reading.array_from(members[f"{name}.npy"]) for name in _ARRAYS)
            )
        except ValueError as error:
            raise ValueError(f"{path}: expected a gallery, got {error}") from error

    @staticmethod
    def _restored(
        settings: npt.NDArray[Any],
        next_id: npt.NDArray[Any],
        ids: npt.NDArray[Any],
        rows: npt.NDArray[Any],
        counts: npt.NDArray[Any],
        features: npt.NDArray[Any],
    ) -> Gallery:
        fields = reading.from_json(str(settings))
        if not isinstance(fields, dict) or fields.keys() != set(_SETTINGS):
            raise ValueError(f"expected settings {', '.join(_SETTINGS)}, got others")
        gallery = Gallery(**fields)
        n = ids.size
        integers = (next_id, ids, rows, counts)
        if not (
            all(array.dtype == np.int64 for array in integers)
            and next_id.shape == ()
            and ids.shape == rows.shape == counts.shape == (n,)
            and n <= gallery.capacity
            and len(np.unique(ids)) == n
            and ((ids >= 1) & (ids < next_id)).all()
            and 1 <= next_id <= _core.LARGEST_ID + 1
            and (np.sort(rows) == np.arange(n)).all()
            and ((counts >= 0) & (counts <= gallery.samples)).all()
            and features.dtype == np.float32
            and features.ndim == 2
            and len(features) == counts.sum()
            and (abs(features) <= 1 + _LENGTH_ERROR).all()  # or their squares could overflow
            and (abs(np.linalg.norm(features, axis=1) - 1) < _LENGTH_ERROR).all()
        ):
            raise ValueError("numbers that contradict each other")
        gallery._next_id = int(next_id)
        gallery._rows = OrderedDict(zip(ids.tolist(), rows.tolist(), strict=True))
        gallery._counts = counts
        gallery._identities = np.zeros(n, np.int64)
        gallery._identities[rows] = ids
        gallery._stale = set(range(n))
        most = int(counts.max(initial=1))
        gallery._samples = np.zeros((n, most, features.shape[1]), np.float32)
        gallery._samples[gallery._filled()] = features
        return gallery

    def _read(
        self, features: ArrayLike, n: int | None = None
    ) -> tuple[Features, npt.NDArray[np.bool_]]:
        """Return features at unit length, and which rows were not zeros."""
        array = to_numpy(features, "features")
        n = n if n is not None else len(array) if array.ndim else 0
        like = (self._samples.shape[2], "cpu") if self._rows else None
        checked = check_embeddings(array, n, like, "features")
        if n == 0:
            return np.empty((0, 1), np.float32), np.empty(0, np.bool_)
        norms = _core.row_norms(checked, "features")
        known = norms >= _core.SMALLEST_NORM
        return checked / np.where(known, norms, 1)[:, None], known

    def _filled(self) -> npt.NDArray[np.bool_]:
        """Return which samples are set: (identities, samples)."""
        return np.arange(self._samples.shape[1]) < self._counts[: len(self), None]

    def _similarity(self, unit: Features) -> npt.NDArray[np.float32]:
        """Return the similarity of N features and each row: (N, identities)."""
        n, dim, filled = len(self), unit.shape[1], self._filled()
        samples = self._samples[:n].reshape(-1, dim)
        best = np.empty((len(unit), n), np.float32)
        step = max(_MAX_COSINES // len(samples), 1)
        for i in range(0, len(unit), step):
            part = unit[i : i + step]
            cosines = (part @ samples.T).reshape(len(part), n, -1)
            best[i : i + step] = np.where(filled, cosines, _NO_COSINE).max(axis=2)
        return best

    def _listed_similarity(
        self, unit: Features
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the identities on the shortlists of N features, and the similarities to them.

        A feature is compared with the samples on its own list only.
        """
        n = len(self)
        self._shortlist.update(self._samples[:n], self._counts[:n], self._stale)
        listed, slots = self._shortlist.find(unit, _LISTED)
        rows = np.unique(listed[listed >= 0])
        similarity = np.full((len(unit), len(rows)), _NO_COSINE, np.float32)
        for values, feature, row, slot in zip(similarity, unit, listed, slots, strict=True):
            row, slot = row[row >= 0], slot[row >= 0]
            np.maximum.at(values, np.searchsorted(rows, row), self._samples[row, slot] @ feature)
        return self._identities[rows], similarity

    def _add_sample(self, identity: int, feature: Features) -> None:
        """Add a sample of unit length to an identity, new or known."""
        if identity not in self._rows:
            self._make_room(identity, len(feature))
        row = self._rows[identity]
        count = int(self._counts[row])
        if count == self._samples.shape[1] < self.samples:
            more = np.zeros_like(self._samples[:, : self.samples - count])  # twice as many
            self._samples = np.concatenate([self._samples, more], axis=1)
        self._identities[row] = identity
        self._stale.add(row)
        samples = self._samples[row]
        if count < self.samples:
            samples[count] = feature
            self._counts[row] += 1
        else:
            more = np.vstack([samples, feature])
            samples[:] = np.delete(more, _most_redundant(more), axis=0)

    def _make_room(self, identity: int, dim: int) -> None:
        """Give a new identity an empty row: if full, that of the identity added to least recently.

        An interrupt may come at any line; at worst it leaves an identity without a sample.
        """
        n = len(self)
        if n == self.capacity:
            rows = self._rows.copy()
            _, row = rows.popitem(last=False)
            rows[identity] = row
            self._counts[row] = 0
            self._rows = rows
            return
        if n in (0, len(self._counts)):
            size = min(max(16, 2 * n), self.capacity)
            # An empty gallery has no width yet.
            old = self._samples[:n] if n else np.zeros((0, 1, dim), np.float32)
            blank = np.zeros((size - n, *old.shape[1:]), np.float32)
            self._samples = np.concatenate([old, blank])
            none = np.zeros(size - n, np.int64)
            self._identities = np.concatenate([self._identities[:n], none])
            self._counts = np.concatenate([self._counts[:n], none])
        self._rows[identity] = n


def _most_redundant(samples: Features) -> int:
    """Return which of the two most similar is more similar to a third; the older, if equal."""
    cosines = samples @ samples.T
    np.fill_diagonal(cosines, -np.inf)
    pair = np.array(np.unravel_index(cosines.argmax(), cosines.shape))
    third = np.partition(cosines[pair], -2, axis=1)[:, -2]
    return int(pair[third.argmax()])


def expect_number(name: str, value: Any, low: float, high: float) -> None:
    """Check an argument.

    Raises:
        ValueError: It is no number of ``low`` to ``high``.
    """
    if isinstance(value, bool) or not (isinstance(value, (int, float)) and low <= value <= high):
        raise ValueError(f"{name}: expected a number of {low} to {high}, got {value!r}")


def _expect_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected an integer of 1 or more, got {value!r}")


def _expect_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a text, got {value!r}")
