"""The features of all tracks, on the CPU or on CUDA, and the matching that compares them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.association import BoxPairs, Matching, PairCosts
from sslmot.inputs import is_cuda, of_video, to_numpy
from sslmot.types import ArrayLike, Features, Rows


class Embeddings(NamedTuple):
    """Features of the detections of a frame, checked.

    Attributes:
        values: (N, D) float32: NumPy, or a torch tensor on CUDA.
        norms: (N,) float32, beside them.
        known: (N,) bool, False where a feature is zero: nothing is known of that box.
    """

    values: Any
    norms: Any
    known: npt.NDArray[np.bool_]

    def take(self, rows: Rows) -> Embeddings:
        """Those of some detections."""
        return Embeddings(self.values[rows], self.norms[rows], self.known[rows])


class Comparison(NamedTuple):
    """Tracks and detections that are to be matched.

    Attributes:
        pairs: The boxes of both sides.
        arguments: Those of the native call.
        cuda: By what it is made, None for the CPU.
    """

    pairs: BoxPairs
    arguments: tuple[Any, ...]
    cuda: CudaWork | None = None

    @staticmethod
    def by_motion(pairs: BoxPairs, reach: float, params: _core.PairParams) -> Comparison:
        """What to match by distance alone."""
        unknown = (None,) * 5
        boxes = (pairs.track_boxes, pairs.each(reach), pairs.boxes, params)
        return Comparison(pairs, (*boxes, *unknown, pairs.track_classes, pairs.classes))

    def match(self) -> Matching:
        """The matching of least cost."""
        if self.cuda is not None:
            return self.cuda.match([self])[0]
        match, costs = _core.associate(*self.arguments)
        return Matching(match, PairCosts(*costs))


class CudaWork:
    """What compares on a CUDA device; the host sifts the boxes and assigns the pairs."""

    def __init__(self, device: Any) -> None:
        import torch

        self.device = device
        # What comparisons are sent in, and their costs come back in.
        self._buffers = (np.empty(0, np.uint8), torch.empty(0, dtype=torch.uint8, device=device))

    def stream(self) -> int:
        """The current stream of the device."""
        import torch

        return int(torch.cuda.current_stream(self.device).cuda_stream)

    def match(self, comparisons: Sequence[Comparison]) -> list[Matching]:
        """Match each, all with features on the device, by one native call."""
        import torch

        size = sum(
            _core.cuda_comparison_bytes(len(c.pairs.track_boxes), len(c.pairs.boxes))
            for c in comparisons
        )
        if size > len(self._buffers[0]):
            size += size // 4  # the next frames may have a few more
            host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
            there = torch.empty(size, dtype=torch.uint8, device=self.device)
            self._buffers = (host.numpy(), there)
        arguments = [c.arguments for c in comparisons]
        found = _core.associate_cuda(arguments, *self._buffers, self.stream())
        return [Matching(match, PairCosts(*costs)) for match, costs in found]


def match_together(comparisons: Sequence[Comparison]) -> list[Matching]:
    """Match each, one a video; those on one CUDA device by one native call."""
    found: dict[int, Matching] = {}
    on: dict[Any, tuple[CudaWork, list[int]]] = {}
    for i, comparison in enumerate(comparisons):
        if comparison.cuda is None:
            with of_video(i):
                found[i] = comparison.match()
        else:
            on.setdefault(comparison.cuda.device, (comparison.cuda, []))[1].append(i)
    for cuda, these in on.values():
        found.update(zip(these, cuda.match([comparisons[i] for i in these]), strict=True))
    return [found[i] for i in range(len(comparisons))]


class RowPool:
    """Hands out row numbers of a table that grows, and takes them back."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[int] = []

    def take(self, n: int) -> Rows:
        """N numbers in nobody's use."""
        while len(self._free) < n:
            grown = max(64, 2 * self.size)
            self._free.extend(range(grown - 1, self.size - 1, -1))
            self.size = grown
        taken = self._free[len(self._free) - n :]
        del self._free[len(self._free) - n :]
        return np.array(taken[::-1], np.int64)

    def give_back(self, rows: Rows) -> None:
        """End the use of some numbers."""
        self._free.extend(rows.tolist())


class FeatureTable(ABC):
    """One row a track: of unit length, or of norm 0 where nothing is known of its appearance."""

    dim: int
    device: str
    _values: Any
    _norms: Any
    _cuda: CudaWork | None = None

    @staticmethod
    def like(embeddings: ArrayLike) -> FeatureTable:
        """An empty table for features of that width, on their device."""
        return CudaFeatures(embeddings) if is_cuda(embeddings) else HostFeatures(embeddings)

    @abstractmethod
    def prepare(self, embeddings: Any, name: str = "embeddings") -> Embeddings:
        """Norms of (N, D) float32 features, which errors call by a name.

        Raises:
            ValueError: A row is not finite; it is named.
        """

    def compare(
        self,
        pairs: BoxPairs,
        reach: npt.NDArray[np.float32],
        min_affinity: npt.NDArray[np.float32],
        rows: Rows,
        embeddings: Embeddings,
        params: _core.PairParams,
    ) -> Comparison:
        """What to match by appearance and motion (SSL-MOT, eq. 6-7).

        Args:
            pairs: The boxes of both sides.
            reach: (T,) largest distance at which a track may match.
            min_affinity: (T,) lowest affinity at which it may (rho_1).
            rows: (T,) rows of the tracks.
            embeddings: Features of the detections.
            params: Settings of the cost.
        """
        return Comparison(
            pairs,
            (
                pairs.track_boxes,
                reach,
                pairs.boxes,
                params,
                self._values,
                self._norms,
                rows,
                embeddings.values,
                embeddings.norms,
                pairs.track_classes,
                pairs.classes,
                min_affinity,
            ),
            self._cuda,
        )

    @abstractmethod
    def take(self, rows: Rows) -> Embeddings:
        """The features of tracks, as if they were those of detections."""

    def read(self, rows: Rows) -> Features:
        """The features of tracks in host memory: (n, D) float32, zeros where nothing is known."""
        features: Features = to_numpy(self.take(rows).values, "features")
        return features

    @abstractmethod
    def known(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Of which tracks anything is known."""

    @abstractmethod
    def store(
        self, rows: Rows, embeddings: Embeddings, columns: Rows, delta: npt.NDArray[np.float32]
    ) -> None:
        """``rows <- unit(delta * rows + (1 - delta) * unit(embeddings[columns]))``, delta of each.

        Where one of the two is unknown the other stands alone.
        """

    @abstractmethod
    def grow(self, size: int) -> None:
        """Make room for ``size`` rows; new ones are unknown."""

    @abstractmethod
    def forget(self, rows: Rows) -> None:
        """Make rows unknown."""


class HostFeatures(FeatureTable):
    """In NumPy arrays."""

    def __init__(self, embeddings: npt.NDArray[np.float32]) -> None:
        self.dim, self.device = embeddings.shape[1], "cpu"
        self._values = np.zeros((0, self.dim), np.float32)
        self._norms = np.zeros(0, np.float32)

    def prepare(  # noqa: D102 - see FeatureTable
        self, embeddings: Any, name: str = "embeddings"
    ) -> Embeddings:
        norms = _core.row_norms(embeddings, name)
        return Embeddings(embeddings, norms, norms >= _core.SMALLEST_NORM)

    def take(self, rows: Rows) -> Embeddings:  # noqa: D102
        norms = self._norms[rows]
        return Embeddings(self._values[rows] * norms[:, None], norms, self.known(rows))

    def known(self, rows: Rows) -> npt.NDArray[np.bool_]:  # noqa: D102
        known: npt.NDArray[np.bool_] = self._norms[rows] > 0
        return known

    def store(  # noqa: D102
        self, rows: Rows, embeddings: Embeddings, columns: Rows, delta: npt.NDArray[np.float32]
    ) -> None:
        _core.blend(
            self._values, self._norms, rows, embeddings.values, embeddings.norms, columns, delta
        )

    def grow(self, size: int) -> None:  # noqa: D102
        more = size - len(self._norms)
        if more > 0:
            self._values = np.concatenate([self._values, np.zeros((more, self.dim), np.float32)])
            self._norms = np.concatenate([self._norms, np.zeros(more, np.float32)])

    def forget(self, rows: Rows) -> None:  # noqa: D102
        self._norms[rows] = 0


class CudaFeatures(FeatureTable):
    """In torch tensors on CUDA."""

    def __init__(self, embeddings: Any) -> None:
        import torch

        cuda: Any = torch.cuda
        self.dim, self.device = embeddings.shape[1], str(embeddings.device)
        self._values = embeddings.new_zeros((0, self.dim))
        self._norms = embeddings.new_zeros(0)
        # The norms once more, in page-locked memory, and when they have arrived there: whoever asks
        # for them later finds them, and need not wait for the device.
        self._norms_here, self._arrived = torch.zeros(0), cuda.Event()
        self._cuda: CudaWork = CudaWork(embeddings.device)

    def prepare(  # noqa: D102 - see FeatureTable
        self, embeddings: Any, name: str = "embeddings"
    ) -> Embeddings:
        import torch

        norms = torch.linalg.vector_norm(embeddings, dim=1)
        lengths = norms.cpu().numpy()
        well = lengths <= _core.LARGEST_NORM
        if not well.all():
            row = int((~well).nonzero()[0][0])
            raise ValueError(
                f"{name}: expected finite numbers and norms up to {_core.LARGEST_NORM:g}, "
                f"got NaN, inf or more in row {row}"
            )
        return Embeddings(embeddings, norms, lengths >= _core.SMALLEST_NORM)

    def take(self, rows: Rows) -> Embeddings:  # noqa: D102
        (row,) = self._upload(rows)
        # A row that was forgotten may hold what it held: its norm of 0 says so.
        values = self._values[row] * self._norms[row, None]
        return Embeddings(values, self._norms[row], self.known(rows))

    def known(self, rows: Rows) -> npt.NDArray[np.bool_]:  # noqa: D102
        self._arrived.synchronize()
        known: npt.NDArray[np.bool_] = self._norms_here.numpy()[rows] > 0
        return known

    def store(  # noqa: D102
        self, rows: Rows, embeddings: Embeddings, columns: Rows, delta: npt.NDArray[np.float32]
    ) -> None:
        row, column, share = self._upload(rows, columns, delta)
        _core.blend(
            self._values,
            self._norms,
            row,
            embeddings.values,
            embeddings.norms,
            column,
            share,
            self._cuda.stream(),
        )
        self._send_norms()

    def grow(self, size: int) -> None:  # noqa: D102
        import torch

        more = size - len(self._norms)
        if more > 0:
            blank = self._values.new_zeros((more, self.dim))
            self._values = torch.cat([self._values, blank])
            self._norms = torch.cat([self._norms, self._norms.new_zeros(more)])
            self._norms_here = torch.empty(size, pin_memory=True)
            self._send_norms()

    def forget(self, rows: Rows) -> None:  # noqa: D102
        (row,) = self._upload(rows)
        self._norms.index_fill_(0, row, 0)
        self._send_norms()

    def _upload(self, *arrays: npt.NDArray[Any]) -> list[Any]:
        """Arrays on the device, the larger numbers first, by one copy that nobody waits for."""
        import torch

        types = {"int64": torch.int64, "float32": torch.float32}
        packed = np.concatenate([np.ascontiguousarray(array).view(np.uint8) for array in arrays])
        # torch keeps page-locked memory until the copy is done.
        sent: Any = torch.from_numpy(packed)
        sent = sent.pin_memory().to(self._values.device, non_blocking=True)
        parts = sent.split([array.nbytes for array in arrays])
        # torch does not view nothing as something else.
        dtypes = [types[array.dtype.name] for array in arrays]
        return [p.view(t) if len(p) else p.to(t) for p, t in zip(parts, dtypes, strict=True)]

    def _send_norms(self) -> None:
        """Copy the norms to the host; ``known`` waits until they have arrived."""
        import torch

        self._norms_here.copy_(self._norms, non_blocking=True)
        self._arrived.record(torch.cuda.current_stream(self._values.device))
