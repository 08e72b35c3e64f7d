"""Safetensors files: named tensors and notes, read whole and written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sslmot import files


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file.

    Returns:
        The tensors, on the CPU, and the metadata.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no safetensors file, or cut off.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, got {error}") from error


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file, or replace it when the new one is complete.

    Args:
        path: File to write.
        tensors: On any device.
        metadata: To go with them.
    """
    data = save({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, dict(metadata))
    files.write(path, data)
