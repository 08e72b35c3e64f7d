"""Check and convert the inputs of a step: detections, a frame, embeddings.

The first part (`is_cuda`, `describe`, `to_numpy`, `to_native`) is for any array, NumPy or torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.types import ArrayLike


@contextmanager
def of_video(number: int) -> Iterator[None]:
    """Add the number of the video to a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"video {number}: {error}") from error


WIDEST_FEATURE = 2**16
"""Limit of numbers per feature. The native core allocates memory for many features at once."""


def is_cuda(array: ArrayLike) -> bool:
    """Return whether an array is a torch tensor on CUDA, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor) and bool(array.is_cuda)


def describe(array: Any) -> str:
    """Return text for an error: shape, dtype and device of an array, or the type of an object."""
    try:
        dtype = str(array.dtype).removeprefix("torch.")
        if isinstance(array.shape, tuple):
            return f"{tuple(array.shape)} {dtype} on {getattr(array, 'device', 'cpu')}"
    except Exception:  # a foreign object may raise anything
        pass
    return type(array).__name__


def to_numpy(array: ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return a NumPy view of an array. A CUDA tensor is copied to host memory.

    Raises:
        ValueError: The argument is not an array and not a list of numbers.
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array)  # drops subclasses such as np.matrix and masked arrays
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(array, torch.Tensor):
            tensor = array.detach().cpu()
            # NumPy has no bfloat16.
            tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            return np.asarray(tensor.numpy())
        if hasattr(array, "__dlpack__"):
            return np.from_dlpack(array)
        if isinstance(array, (list, tuple)):
            return np.asarray(array, np.float64)
    except MemoryError:
        raise
    except Exception as error:
        # Examples: ragged lists, lists of words, sparse or meta tensors. Objects of other
        # libraries may raise anything.
        raise ValueError(
            f"{name}: expected an array of numbers, got {describe(array)} ({error})"
        ) from error
    raise ValueError(f"{name}: expected an array (NumPy or torch), got {describe(array)}")


def to_native(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Convert an array for the native core: given dtype, contiguous, aligned."""
    array = np.ascontiguousarray(array, dtype)
    return array if array.flags.aligned else array.copy()


def read_detections(dets: ArrayLike) -> _core.Detections:
    """Check detections and split them into boxes, scores and classes.

    Args:
        dets: (N, 4), (N, 5) or (N, 6) numbers: xyxy pixels[, score[, class]]. An empty array of
            any width means no detections.

    Raises:
        ValueError: Wrong shape or dtype, more than 16,384 rows, a number that is NaN or above 1e9,
            a box with x2 < x1 or y2 < y1, or a class that is not an integer. The error gives the
            row.
    """
    try:
        detections, refused = _core.read_detections(dets)
        if refused < 0:
            return detections
    except ValueError:  # no array that the core takes as it is
        pass
    array = to_numpy(dets, "dets")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "fiu" or size > 8:
        raise ValueError(f"dets: expected float or integer numbers, got {describe(dets)}")
    if array.size == 0 and array.ndim <= 2:
        array = np.empty((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5, 6):
        raise ValueError(
            "dets: expected (N, 4), (N, 5) or (N, 6): x1, y1, x2, y2[, score[, class]], "
            f"got {describe(dets)}"
        )
    if len(array) > _core.MOST_DETECTIONS:
        raise ValueError(f"dets: expected at most {_core.MOST_DETECTIONS} rows, got {len(array)}")
    rows = to_native(array, np.float32 if kind == "f" and size <= 4 else np.float64)
    detections, refused = _core.read_detections(rows)
    if refused >= 0:
        raise ValueError(f"dets: expected {_fault(rows[refused])} in row {refused}")
    return detections


def _fault(row: npt.NDArray[Any]) -> str:
    """Return the reason why a row of detections is rejected, as "expected X, got Y"."""
    if not (np.abs(row) <= _core.LARGEST_NUMBER).all():
        return f"finite numbers up to {_core.LARGEST_NUMBER:g}, got {row.tolist()}"
    if (row[2:4] < row[:2]).any():
        return f"x1 <= x2 and y1 <= y2 (xyxy), got {row[:4].tolist()}"
    return f"integer classes, got {float(row[5])}"


def check_frame(frame: ArrayLike, size: tuple[int, int] | None) -> ArrayLike:
    """Check a frame.

    Args:
        frame: (H, W, 3) uint8, BGR.
        size: (H, W) of the previous frames, None for the first.

    Returns:
        The frame: a torch tensor on CUDA unchanged, anything else as NumPy.

    Raises:
        ValueError: Wrong shape, dtype or size.
    """
    array = frame if is_cuda(frame) else to_numpy(frame, "frame")
    height_width = tuple(array.shape[:2])
    dtype = str(array.dtype).removeprefix("torch.")
    if array.ndim != 3 or array.shape[2] != 3 or dtype != "uint8" or 0 in height_width:
        raise ValueError(f"frame: expected (H, W, 3) uint8, got {describe(frame)}")
    if size is not None and height_width != size:
        raise ValueError(
            f"frame: expected ({size[0]}, {size[1]}, 3) uint8 as before, got {describe(frame)}; "
            "call reset() to start another video"
        )
    return array


def check_embeddings(
    embeddings: ArrayLike, n: int, like: tuple[int, str] | None, name: str = "embeddings"
) -> ArrayLike:
    """Check the embeddings of ``n`` detections.

    Args:
        embeddings: (n, D) of any floating dtype, D up to 65,536. For no detections an empty array
            of any shape.
        n: Number of detections.
        like: (D, device) of the previous embeddings, None for the first.
        name: Name of the argument for errors.

    Returns:
        (n, D) float32: a torch tensor for CUDA, otherwise NumPy.

    Raises:
        ValueError: Wrong length, width, dtype or device.
    """
    cuda = is_cuda(embeddings)
    array: Any = embeddings if cuda else to_numpy(embeddings, name)
    floating = array.is_floating_point() if cuda else array.dtype.kind == "f"
    dim, device = like if like is not None else (None, None)
    got_device = str(array.device) if cuda else "cpu"
    if (
        array.ndim != 2
        or len(array) != n
        or not floating
        or array.shape[1] != (max(array.shape[1], 1) if dim is None else dim)
        or array.shape[1] > WIDEST_FEATURE
        or got_device != (got_device if device is None else device)
    ) and not (n == 0 and 0 in array.shape):
        width = f"D up to {WIDEST_FEATURE}" if dim is None else dim
        raise ValueError(
            f"{name}: expected ({n}, {width}) float32"
            f"{'' if device is None else f' on {device}'}, got {describe(embeddings)}"
        )
    if cuda:
        return array.detach().float().contiguous()
    if array.dtype.itemsize <= 4:
        return to_native(array, np.float32)
    with np.errstate(over="ignore"):  # too large numbers become inf, which is rejected later
        return to_native(array, np.float32)
