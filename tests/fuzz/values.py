"""Unusual numbers, boxes and arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100)
FINITE = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e-12, 1e-6, 1e6, 1e9, 1e18, -1e18, 1e38, -1e38)
ODD = (*FINITE, np.nan, np.inf, -np.inf, 3.4e38)
INTEGERS = (0, 1, -1, 2, 3, 2**31 - 1, 2**31, -(2**31), 2**32, 2**62, 2**63 - 1, -(2**63))


def size(rng: np.random.Generator, most: int = 100) -> int:
    """Draw a size."""
    return int(rng.choice([n for n in SIZES if n <= most]))


def chance(rng: np.random.Generator, share: float) -> bool:
    """Return True in a share of all cases."""
    return bool(rng.random() < share)


def numbers(rng: np.random.Generator, shape: Any, odd: float = 0.0) -> np.ndarray:
    """Draw float32 numbers with a share of odd values."""
    scale = rng.choice([1e-6, 1.0, 1.0, 100.0])
    values = (rng.normal(size=shape) * scale).astype(np.float32)
    if chance(rng, 0.2):  # ties
        values = np.round(values)
    at = rng.random(shape) < odd
    return np.where(at, rng.choice(ODD, shape), values).astype(np.float32)


def boxes(rng: np.random.Generator, n: int, odd: float = 0.0) -> np.ndarray:
    """Draw boxes (n, 4) float32, xyxy: apart, piled, flat, tiny, huge; a share of odd numbers."""
    spread = rng.choice([0.0, 3.0, 200.0, 2000.0, 1e8])
    corner = rng.uniform(-spread, spread, (n, 2))
    side = rng.choice([0.0, 1e-7, 1.0, 40.0, 40.0, 40.0, 1e4, 5e8], (n, 2))
    if chance(rng, 0.6):
        side = rng.uniform(10, 80, (n, 2))
    found = np.hstack([corner, corner + side])
    if chance(rng, 0.2):
        found = np.round(found / 50) * 50  # equal boxes, equal edges
    if n and chance(rng, 0.1):
        found[:] = found[0]
    found = found.astype(np.float32)
    at = rng.random((n, 4)) < odd
    return np.where(at, rng.choice(ODD, (n, 4)), found).astype(np.float32)


# Invalid arrays, or arrays of another kind.


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}


class Exported:
    """An array exported by DLPack, with changes in its capsule."""

    def __init__(self, array: np.ndarray, **changes: Any) -> None:
        self._array = np.ascontiguousarray(array)
        self._device = changes.pop("device", (1, 0))
        self._name = changes.pop("name", b"dltensor")
        kind = self._array.dtype.kind
        shape = changes.pop("shape", self._array.shape)
        strides = changes.pop("strides", None)
        self._shape = None if shape is None else (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self._strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
        fields = {
            "data": self._array.ctypes.data,
            "device_type": 1,
            "ndim": 0 if shape is None else len(shape),
            "code": _CODES.get(kind, 7),
            "bits": 8 * self._array.itemsize % 256,
            "lanes": 1,
        } | changes
        self._tensor = _DLTensor(**fields)
        if self._shape is not None:
            self._tensor.shape = ctypes.cast(self._shape, ctypes.POINTER(ctypes.c_int64))
        if self._strides is not None:
            self._tensor.strides = ctypes.cast(self._strides, ctypes.POINTER(ctypes.c_int64))

    def __dlpack_device__(self) -> Any:
        return self._device

    def __dlpack__(self, **_: Any) -> Any:
        return _new_capsule(ctypes.addressof(self._tensor), self._name, None)


class Raises:
    """Looks like an array and raises an error on use."""

    def __init__(self, error: Exception, where: str) -> None:
        self._error, self._where = error, where

    def _act(self, where: str, value: Any) -> Any:
        if where == self._where:
            raise self._error
        return value

    def __dlpack_device__(self) -> Any:
        return self._act("device", (1, 0))

    def __dlpack__(self, **_: Any) -> Any:
        return self._act("array", 5)

    @property
    def shape(self) -> Any:
        return self._act("shape", (3, 4))

    @property
    def dtype(self) -> Any:
        return self._act("dtype", "float32")


def _misaligned(array: np.ndarray) -> np.ndarray:
    """Copy an array to an address that is misaligned by a byte."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return np.ndarray(array.shape, array.dtype, raw.data, 1)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _apart(array: np.ndarray) -> np.ndarray:
    """Copy an array with gaps between the numbers."""
    wide = np.repeat(array, 2, axis=-1) if array.ndim else array
    return wide[..., ::2]


def _broken_capsule(rng: np.random.Generator, array: np.ndarray) -> Exported:
    shape = array.shape
    changes: list[dict[str, Any]] = [
        {"name": b"dltensor_versioned"},
        {"name": b"used_dltensor"},
        {"device": rng.choice([7, 99])},
        {"device": ("cpu", 0)},
        {"device_type": int(rng.choice([-1, 0, 4, 7, 13]))},
        {"device_type": 3},
        {"ndim": int(rng.choice([-1, -(2**31), 65, 2**31 - 1]))},
        {"shape": None, "ndim": 2},
        {"code": int(rng.choice([3, 4, 5, 9, 255])), "bits": int(rng.choice([0, 1, 4, 16, 128]))},
        {"lanes": int(rng.choice([0, 4]))},
        {"data": None},
        {"shape": tuple(-s for s in shape)},
        {"shape": (2**62, 2**62, 2**62)[: len(shape)]},
        {"shape": (0, 2**62, 2**62)[: len(shape)]},
        {"shape": (2**62, 2**62, 0)[-len(shape) :] if shape else ()},
        {"strides": tuple(int(rng.choice([-1, 0, -(2**62)])) for _ in shape) or None},
    ]
    return Exported(array, **changes[rng.integers(len(changes))])


def spoiled(rng: np.random.Generator, array: np.ndarray, *, capsules: bool = True) -> Any:
    """Return a replacement of an array. Most are invalid, some are equivalent.

    Args:
        rng: Random generator.
        array: The valid array.
        capsules: Whether to use broken DLPack capsules. NumPy does not check them and crashes, so
            they are only for the native core.
    """
    errors = (RuntimeError("a"), KeyError(), OSError(), ValueError("b\nc"), TypeError())
    ways: list[Callable[[], Any]] = [
        lambda: array.astype(rng.choice(["f2", "f4", "f8", "i4", "i8", "u1", "?", "c8", "O"])),
        lambda: array.astype(array.dtype.newbyteorder(">")),
        lambda: array[..., None],
        lambda: array.reshape(-1),
        lambda: array[:-1] if array.ndim else array,
        lambda: np.concatenate([array, array]) if array.ndim else array,
        lambda: array.T,
        lambda: array[::-1] if array.ndim else array,
        lambda: _apart(array),
        lambda: _misaligned(array),
        lambda: _read_only(array),
        lambda: np.float32(1),
        lambda: np.array(1, array.dtype),
        lambda: np.empty((2**40, 0), array.dtype),
        lambda: np.empty((0, *array.shape[1:]), array.dtype),
        lambda: np.empty((0, 2**40), array.dtype),
        lambda: np.empty((*array.shape[:-1], 0), array.dtype),
        lambda: np.broadcast_to(np.zeros(1, array.dtype), (*array.shape[:-1], 2**30)),
        lambda: np.zeros(3, [("a", "f4"), ("b", "i4")]),
        lambda: np.zeros(3, "M8[s]"),
        lambda: np.ma.masked_array(array),
        lambda: array.tolist(),
        lambda: [None, "text", 3, object(), b"bytes", {}, [[1], [2, 3]]][rng.integers(7)],
        lambda: memoryview(b"1234"),
        lambda: Raises(
            errors[rng.integers(len(errors))],
            str(rng.choice(["device", "array", "shape", "dtype", "nowhere"])),
        ),
        lambda: Exported(array),
    ]
    if capsules:
        ways += 3 * [lambda: _broken_capsule(rng, array)]
    with np.errstate(all="ignore"):
        return ways[rng.integers(len(ways))]()
