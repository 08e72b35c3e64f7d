"""The emulated device, from Python: arrays in its memory, which the bindings take for CUDA's."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys

import numpy as np

KERNELS = os.environ["CUDA_ON_CPU"]  # where the module is
spec = importlib.util.spec_from_file_location("_core", KERNELS)
_core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_core)
_testing = _core._testing
sys.modules["sslmot._core"] = _core  # for what the package says in Python

library = ctypes.CDLL(KERNELS)
library.device_set.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_uint64]
library.device_allocate.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
library.device_allocate.restype = ctypes.c_void_p
library.device_free.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
library.device_copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
library.device_copy.restype = ctypes.c_char_p
library.launch_fault.argtypes = [ctypes.c_int, ctypes.c_void_p]
library.device_history.restype = ctypes.c_char_p

NEW_CAPSULE = ctypes.pythonapi.PyCapsule_New
NEW_CAPSULE.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
NEW_CAPSULE.restype = ctypes.py_object

PLACE = "sslmot::{anonymous}::"  # of the kernels, in their names
CUDA = 2  # as DLPack numbers devices
TYPES = {  # and types: code and bits
    "float32": (2, 32),
    "float16": (2, 16),
    "bfloat16": (4, 16),
    "int64": (0, 64),
    "int32": (0, 32),
    "uint8": (1, 8),
}


class Tensor(ctypes.Structure):
    """DLManagedTensor of the DLPack ABI."""

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
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


def to_bfloat16(array):
    """The bits (uint16) of the nearest bfloat16, ties to even."""
    bits = np.asarray(array, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype(np.uint16)


def in_precision(dtype, array):
    """Numbers as they are in a precision, in float32."""
    if dtype == "bfloat16":
        return (to_bfloat16(array).astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype).astype(np.float32)


def copy(to, source, size):
    """Waits for the device, then copies.

    Raises:
        RuntimeError: What was launched before has failed.
    """
    error = library.device_copy(to, source, size)
    if error is not None:
        raise RuntimeError(error.decode())


class Array:
    """An array in the device's memory: exactly as many bytes as it has, `skip` behind a 256th."""

    def __init__(self, array, dtype=None, skip=0, device=0):
        self.dtype = dtype or array.dtype.name
        stored = to_bfloat16(array) if self.dtype == "bfloat16" else array.astype(self.dtype)
        stored = np.ascontiguousarray(stored)
        self._like, self._skip, self._device = stored, skip, device
        self.shape = stored.shape
        self.strides = tuple(step // stored.itemsize for step in stored.strides)
        self.pointer = library.device_allocate(stored.nbytes, skip)
        copy(self.pointer, stored.ctypes.data, stored.nbytes)

    def __del__(self):
        library.device_free(self.pointer, self._skip)

    def numpy(self):
        """Waits for the device and brings the array back."""
        here = np.empty_like(self._like)
        copy(here.ctypes.data, self.pointer, here.nbytes)
        return here

    def __dlpack_device__(self):
        return CUDA, self._device

    def __dlpack__(self, stream):
        assert stream == -1  # the caller brings a stream of its own
        code, bits = TYPES[self.dtype]
        numbers = ctypes.c_int64 * len(self.shape)
        self._shape, self._strides = numbers(*self.shape), numbers(*self.strides)
        place = self.pointer, CUDA, self._device
        self._tensor = Tensor(*place, len(self.shape), code, bits, 1, self._shape, self._strides)
        return NEW_CAPSULE(ctypes.addressof(self._tensor), b"dltensor", None)


def set_device(major=8, multiprocessors=1, seed=0):
    """Compute capability, number of multiprocessors, and the order in which threads take turns."""
    library.device_set(major, multiprocessors, seed)


def history():
    """What was launched, copied and waited for since the last call, each with its device."""
    lines = library.device_history().decode().splitlines()
    return [re.sub(r".*kernel = (.*?); .*(?= on)", r"\1", x.replace(PLACE, "")) for x in lines]
