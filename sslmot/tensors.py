"""Read and write safetensors files: named tensors and metadata."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sslmot import files, reading

_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}
"""Dtypes that torch computes with on every device. It only stores the others."""


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file.

    Returns:
        The tensors by name, on the CPU, and the metadata.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not a safetensors file, or is truncated.
    """
    if not reading.is_file(path):
        reading.read(path)  # raises the error with the reason
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, got {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise ValueError(f"{path}: {name}: expected numbers, got {tensor.dtype}")
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise ValueError(f"{path}: {name}: expected bools, got other bytes")
    return tensors, metadata


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote. No code in it is run.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It holds anything but tensors by name.
    """
    if not reading.is_file(path):
        reading.read(path)  # raises the error with the reason
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: expected weights saved by torch, got {reason}") from error
    if not (isinstance(found, dict) and all(isinstance(x, Tensor) for x in found.values())):
        raise ValueError(f"{path}: expected tensors by name, got {type(found).__name__}")
    return {str(name): tensor for name, tensor in found.items()}


def read_arrays(path: str | Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read a safetensors file as NumPy arrays.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: As for :func:`read`, or a dtype does not exist in NumPy.
    """
    tensors, metadata = read(path)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bfloat16:
            raise ValueError(f"{path}: {name}: expected a dtype of NumPy, got {tensor.dtype}")
    return {name: tensor.numpy() for name, tensor in tensors.items()}, metadata


def expect(
    path: str | Path, tensors: Mapping[str, Tensor], network: Callable[[], nn.Module]
) -> None:
    """Check that tensors fit a network. The precision of floats may differ.

    Args:
        path: The file of the tensors, for errors.
        tensors: The tensors by name.
        network: Creates the network. It is called on torch's meta device, which needs no memory.

    Raises:
        ValueError: A tensor is missing, unknown or not finite, or its shape or kind is wrong.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        expected = network().state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"{path}: expected tensor {missing[0]}, got none ({len(missing)} missing)")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"{path}: expected no tensor {extra[0]} ({len(extra)} too many)")
    for name, like in expected.items():
        got = tensors[name]
        if got.shape != like.shape or got.is_floating_point() != like.is_floating_point():
            raise ValueError(
                f"{path}: {name}: expected {tuple(like.shape)} {like.dtype}, "
                f"got {tuple(got.shape)} {got.dtype}"
            )
        if not bool(torch.isfinite(got).all()):
            raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or inf")


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write or replace a safetensors file atomically.

    Args:
        path: The file.
        tensors: The tensors by name, on any device.
        metadata: Metadata to store with them.
    """
    data = save({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, dict(metadata))
    files.write(path, data)
