"""Array types, and the protocols of feature extractors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Frame: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR as OpenCV reads it."""

Boxes: TypeAlias = npt.NDArray[np.float32]
"""(N, 4) float32, xyxy in pixels. Continuous coordinates, (0, 0) is the corner of the frame."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""(N,) float32, scores of detections."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""(N,) int64, row numbers of a table."""

Features: TypeAlias = npt.NDArray[np.float32]
"""(N, D) float32, one row per box. A row of zeros means no feature for that box."""

ArrayLike: TypeAlias = Any
"""A NumPy array, a list of numbers, a torch tensor (CPU or CUDA), or another DLPack array."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Embeds the boxes of a frame: one feature per box. Features are compared by dot product.

    If it has an attribute ``thread_safe`` that is true, `sslmot track` embeds several frames at
    once, in threads.
    """

    def __call__(self, frame: Frame, boxes: Boxes) -> ArrayLike:
        """Embed each box.

        Args:
            frame: (H, W, 3) uint8, BGR: NumPy, or the CUDA tensor that ``step`` was called with.
            boxes: (N, 4) float32, xyxy pixels, N > 0. Boxes may extend beyond the frame.

        Returns:
            (N, D) float32: NumPy, or a torch tensor on any device. Rows need not be normalised.
        """
        ...


@runtime_checkable
class FramesExtractor(FeatureExtractor, Protocol):
    """A :class:`FeatureExtractor` that also embeds several frames at once, for tracker groups."""

    def embed_frames(
        self, frames: Sequence[ArrayLike], boxes: Sequence[Boxes]
    ) -> Sequence[ArrayLike]:
        """Embed the boxes of several frames, for example of several cameras.

        Args:
            frames: Frames of any sizes, as for ``__call__``.
            boxes: The boxes of each frame.

        Returns:
            The features of each frame, as from ``__call__``.
        """
        ...
