"""Array types and the one protocol that turns a frame and boxes into features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Frame: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR as OpenCV reads it."""

Boxes: TypeAlias = npt.NDArray[np.float32]
"""(N, 4) float32, xyxy in pixels; x1, y1 is the corner of the first pixel: 0-based, continuous."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""(N,) float32, of detections."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""Indices into some table."""

Features: TypeAlias = npt.NDArray[np.float32]
"""(N, D) float32, one row a box; a row of zeros says that nothing is known of that box."""

ArrayLike: TypeAlias = Any
"""A NumPy array, a list of numbers, or what has ``__dlpack__``: a torch tensor, on CUDA too."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Anything that describes the boxes of a frame by vectors whose dot products compare them."""

    def __call__(self, frame: Frame, boxes: Boxes) -> ArrayLike:
        """Describe each box by a vector.

        Args:
            frame: (H, W, 3) uint8, BGR: NumPy, or the torch tensor that a step was given on CUDA.
            boxes: (N, 4) float32, xyxy pixels; may reach out of the frame. Never empty.

        Returns:
            (N, D) float32: NumPy, or a torch tensor on any device. Rows need no normalisation.
        """
        ...


@runtime_checkable
class FramesExtractor(FeatureExtractor, Protocol):
    """A :class:`FeatureExtractor` that takes several frames at once, which a group asks for."""

    def embed_frames(
        self, frames: Sequence[ArrayLike], boxes: Sequence[Boxes]
    ) -> Sequence[ArrayLike]:
        """Describe the boxes of several frames, such as those of several cameras.

        Args:
            frames: As for a call, of any sizes.
            boxes: Of each frame.

        Returns:
            Of each frame what a call returns.
        """
        ...
