"""What a step is given, checked before anything changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.types import ArrayLike, Boxes, Scores


@contextmanager
def of_video(number: int) -> Iterator[None]:
    """Say in errors which of several videos they are about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"video {number}: {error}") from error


class Detections(NamedTuple):
    """The detections of a frame.

    Attributes:
        boxes: (N, 4) float32, xyxy pixels.
        scores: (N,) float32.
        classes: (N,) int32.
    """

    boxes: Boxes
    scores: Scores
    classes: npt.NDArray[np.int32]


MOST_DETECTIONS = 2**14
"""In a frame: what compares them with each other takes seconds for more in one place."""
WIDEST_FEATURE = 2**16
"""Numbers of a feature: a table of tracks has room for many of them at once."""


def is_cuda(array: ArrayLike) -> bool:
    """Whether an array is a torch tensor on CUDA; torch is never imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor) and bool(array.is_cuda)


def describe(array: Any) -> str:
    """What came, for an error: shape, dtype and device of an array, or the type of the rest."""
    try:
        dtype = str(array.dtype).removeprefix("torch.")
        if isinstance(array.shape, tuple):
            return f"{tuple(array.shape)} {dtype} on {getattr(array, 'device', 'cpu')}"
    except Exception:  # a foreign object may raise anything
        pass
    return type(array).__name__


def to_numpy(array: ArrayLike, name: str) -> npt.NDArray[Any]:
    """A NumPy view of an array in host memory; CUDA tensors are copied there.

    Raises:
        ValueError: It is no array, and no list of numbers.
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array)  # a matrix or a masked array as what it holds
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
        # Ragged lists, lists of words, tensors that are sparse or without memory; and a foreign
        # object may raise anything.
        raise ValueError(
            f"{name}: expected an array of numbers, got {describe(array)} ({error})"
        ) from error
    raise ValueError(f"{name}: expected an array (NumPy or torch), got {describe(array)}")


def to_native(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array as the native core reads it: of one type, contiguous, aligned."""
    array = np.ascontiguousarray(array, dtype)
    return array if array.flags.aligned else array.copy()


def read_detections(dets: ArrayLike) -> Detections:
    """Check detections.

    Args:
        dets: (N, 4), (N, 5) or (N, 6) numbers: xyxy pixels[, score[, class]]; no detections may
            come as an empty array of any width.

    Raises:
        ValueError: Wrong shape or dtype, more rows than 16,384, a number that is NaN or above 1e9,
            a box with x2 < x1 or y2 < y1, or a class that is no integer; the row is named.
    """
    array = to_numpy(dets, "dets")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise ValueError(f"dets: expected float or integer numbers, got {describe(dets)}")
    if array.size == 0 and array.ndim <= 2:
        empty = np.empty((0, 4), np.float32)
        return Detections(empty, empty[:, 0], empty[:, 0].astype(np.int32))
    if array.ndim != 2 or array.shape[1] not in (4, 5, 6):
        raise ValueError(
            "dets: expected (N, 4), (N, 5) or (N, 6): x1, y1, x2, y2[, score[, class]], "
            f"got {describe(dets)}"
        )
    if len(array) > MOST_DETECTIONS:
        raise ValueError(f"dets: expected at most {MOST_DETECTIONS} rows, got {len(array)}")
    narrow = array.dtype == np.float32 or array.dtype == np.float16
    rows = to_native(array, np.float32 if narrow else np.float64)
    boxes, scores, classes, refused = _core.read_detections(rows)
    if refused >= 0:
        raise ValueError(f"dets: expected {_fault(rows[refused])} in row {refused}")
    return Detections(boxes, scores, classes)


def _fault(row: npt.NDArray[Any]) -> str:
    """What was expected of a row of detections that is refused, and what came."""
    if not (np.abs(row) <= _core.LARGEST_NUMBER).all():
        return f"finite numbers up to {_core.LARGEST_NUMBER:g}, got {row.tolist()}"
    if (row[2:4] < row[:2]).any():
        return f"x1 <= x2 and y1 <= y2 (xyxy), got {row[:4].tolist()}"
    return f"integer classes, got {float(row[5])}"


def check_frame(frame: ArrayLike, size: tuple[int, int] | None) -> ArrayLike:
    """Check a frame; gives NumPy, or the torch tensor itself where that is on CUDA.

    Args:
        frame: (H, W, 3) uint8, BGR.
        size: (H, W) of the frames before, None for the first.

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
    """Check features of ``n`` boxes; gives float32 NumPy, or a float32 torch tensor on CUDA.

    Args:
        embeddings: (n, D) of any floating dtype, D up to 65,536; of no detections, empty in any
            shape.
        n: Number of detections.
        like: (D, device) of the features before, None for the first.
        name: What to call them in errors.

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
    with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
        return to_native(array, np.float32)
