"""Safetensors files: named tensors and notes, read whole and written whole or not at all."""

from __future__ import annotations

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
"""What torch computes with everywhere: of the others it only stores numbers."""


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file.

    Returns:
        The tensors, on the CPU, and the metadata.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no safetensors file, or cut off.
    """
    if not reading.is_file(path):
        reading.read(path)  # says why
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
            raise ValueError(f"{path}: {name}: expected truth values, got other bytes")
    return tensors, metadata


def read_arrays(path: str | Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read a file as arrays.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As :func:`read`, or a tensor is of a type that NumPy does not know.
    """
    tensors, metadata = read(path)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bfloat16:
            raise ValueError(f"{path}: {name}: expected numbers of NumPy, got {tensor.dtype}")
    return {name: tensor.numpy() for name, tensor in tensors.items()}, metadata


def expect(
    path: str | Path, tensors: Mapping[str, Tensor], network: Callable[[], nn.Module]
) -> None:
    """Check that tensors are those of a network; floats may be of another precision.

    Args:
        path: Where they are from.
        tensors: By name.
        network: Makes the network; it gets no memory here.

    Raises:
        ValueError: One is missing, too many, of another shape or kind, or not finite.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        expected = network().state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"{path}: expected tensor {missing[0]}, got none ({len(missing)} miss)")
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
    """Write a file, or replace it when the new one is complete.

    Args:
        path: File to write.
        tensors: On any device.
        metadata: To go with them.
    """
    data = save({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, dict(metadata))
    files.write(path, data)
