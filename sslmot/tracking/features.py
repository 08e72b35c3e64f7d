"""Features of detections, and the features of tracks on CUDA."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import check_embeddings
from sslmot.types import ArrayLike, FeatureExtractor, Features


class Embeddings(NamedTuple):
    """Features of the detections of a frame, checked.

    Attributes:
        values: (N, D) float32: NumPy, or a torch tensor on CUDA; None for no features.
        name: What errors call them.
        norms: (N,) float32, on CUDA as they are; None in host memory, where the core measures them.
        host_norms: The same norms in host memory.
        model: Fingerprint of the encoder, "" for embeddings that were given.
    """

    values: Any = None
    name: str = ""
    norms: Any = None
    host_norms: npt.NDArray[np.float32] | None = None
    model: str = ""


NO_EMBEDDINGS = Embeddings()


def embed(
    frame: Any,
    detections: _core.Detections,
    extractor: FeatureExtractor | None,
    embeddings: ArrayLike | None,
    extracted: ArrayLike | None,
    like: tuple[int, str] | None,
) -> Embeddings:
    """Compute the features of detections, or check those that are given.

    Args:
        frame: (H, W, 3) uint8, BGR.
        detections: The detections.
        extractor: Computes features of their boxes; None for given embeddings, or for none.
        embeddings: (N, D) of any floating dtype, or None.
        extracted: Features of the extractor, where it was called already.
        like: (D, device) of the features before, None for the first.

    Returns:
        The features; none where there are no detections, or neither embeddings nor extractor.

    Raises:
        ValueError: Wrong shape, dtype or device, or on CUDA a row is not finite.
    """
    name, model = "embeddings", ""
    if extractor is not None and frame is not None and len(detections):
        model = getattr(extractor, "fingerprint", "")
        embeddings = extractor(frame, detections.boxes) if extracted is None else extracted
        name = f"features of {type(extractor).__name__}"
    if embeddings is None:
        return NO_EMBEDDINGS
    values = check_embeddings(embeddings, len(detections), like, name)
    if not len(detections):
        return NO_EMBEDDINGS
    norms, host_norms = (None, None) if isinstance(values, np.ndarray) else measure(values, name)
    return Embeddings(values, name, norms, host_norms, model)


def measure(embeddings: Any, name: str = "embeddings") -> tuple[Any, npt.NDArray[np.float32]]:
    """Measure the norms of features on CUDA.

    Args:
        embeddings: (N, D) float32, a torch tensor.
        name: What errors call them.

    Returns:
        The norms (N,) on CUDA, and in host memory.

    Raises:
        ValueError: A row is not finite; it is named.
    """
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
    return norms, lengths


class DeviceTable:
    """The features of tracks, in torch tensors on CUDA. The native core decides their slots.

    Attributes:
        dim: Numbers of a feature.
        device: Of the tensors.
    """

    def __init__(self, embeddings: Any) -> None:
        import torch

        self.dim, self.device = int(embeddings.shape[1]), embeddings.device
        self._values = embeddings.new_zeros((0, self.dim))
        self._norms = embeddings.new_zeros(0)
        self._norms_here: Any = torch.zeros(0)
        self._scratch = embeddings.new_zeros((0, self.dim))
        self._scratch_norms = embeddings.new_zeros(0)
        self._host: Any = torch.empty(0, dtype=torch.uint8)
        self._there = torch.empty(0, dtype=torch.uint8, device=self.device)

    @classmethod
    def of(cls, features: Features, device: int) -> DeviceTable:
        """Make a table with features (n, D), of unit length or zero, in its first slots."""
        import torch

        values = torch.from_numpy(np.ascontiguousarray(features)).to(f"cuda:{device}")
        table = cls(values)
        table._values, table._norms = values, values.any(dim=1).float()
        table._norms_here = table._norms.cpu().pin_memory()
        return table

    def bind(
        self, table: _core.TrackTable, detections: int, cameras: int = 1
    ) -> _core.DeviceFeatures:
        """Make room for a frame, and return where it is.

        Args:
            table: The tracks.
            detections: Number of detections of the frame.
            cameras: Number of frames that are compared in one call.
        """
        import torch

        cuda: Any = torch.cuda
        slots, tracks = table.slots_with(detections), len(table) + table.lost_count
        # The last array of a group tells the size: growth that was interrupted is done again.
        size = len(self._norms_here)
        if slots > size:
            blank = self._values.new_zeros((slots - size, self.dim))
            self._values = torch.cat([self._values[:size], blank])
            self._norms = torch.cat([self._norms[:size], blank.new_zeros(slots - size)])
            here = torch.zeros(slots, pin_memory=True)
            here.copy_(self._norms)
            self._norms_here = here
        if detections > len(self._scratch_norms):
            self._scratch = self._values.new_zeros((detections, self.dim))
            self._scratch_norms = self._norms.new_zeros(detections)
        size = max(
            cameras * _core.cuda_comparison_bytes(tracks, detections),
            _core.cuda_update_bytes(tracks + detections),
        )
        if size > len(self._there):
            size += size // 4  # the next frames may have a few more
            cuda.current_stream(self.device).synchronize()  # a copy out of them can be on its way
            self._host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
            self._there = torch.empty(size, dtype=torch.uint8, device=self.device)
        return _core.DeviceFeatures(
            self._values,
            self._norms,
            self._norms_here.numpy(),
            self._scratch,
            self._scratch_norms,
            self._host.numpy(),
            self._there,
            int(cuda.current_stream(self.device).cuda_stream),
        )

    def read(self, slots: npt.NDArray[np.int64]) -> Features:
        """Copy features of tracks to host memory: (n, D) float32, zeros where none is known."""
        import torch

        rows = torch.from_numpy(slots).to(self.device)
        features: Features = (self._values[rows] * self._norms[rows, None]).cpu().numpy()
        return features

    def confirmations(self, rows: npt.NDArray[np.int64]) -> Features:
        """Copy features of the tracks that get an identity to host memory: (n, D) float32."""
        import torch

        features: Features = self._scratch[torch.from_numpy(rows).to(self.device)].cpu().numpy()
        return features
