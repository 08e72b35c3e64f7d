"""What a resumed run goes on with: tensors, how far it was, and by which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sslmot import reading
from sslmot import tensors as tensor_files
from sslmot.settings import Settings

_KEY = "sslmot.checkpoint"  # in the metadata of the file: what is no tensor, as JSON
_MOST = 2**53  # a number of epochs, steps or seconds that JSON keeps


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run after some whole epochs.

    Attributes:
        config: Of the run.
        epoch: Epochs done.
        step: Steps done.
        seconds: They took.
        tensors: Weights and the state of optimizers.
        poses: Fingerprint of the pose views that are learned from; "" for none.
    """

    config: Settings
    epoch: int
    step: int
    seconds: float
    tensors: Mapping[str, Tensor]
    poses: str = ""

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        notes = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "config": self.config.to_dict(),
            "poses": self.poses,
        }
        tensor_files.write(path, self.tensors, {_KEY: json.dumps(notes)})

    @classmethod
    def load(cls, path: Path, config: Settings) -> Checkpoint:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            config: Of the run, which must be the checkpoint's too.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, or of another run.
        """
        tensors, metadata = tensor_files.read(path)
        if _KEY not in metadata:
            raise ValueError(f"{path}: expected a checkpoint, got another safetensors file")
        try:
            notes = reading.from_json(metadata[_KEY])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        expected = ("config", "epoch", "step", "seconds")
        if not isinstance(notes, dict) or not set(expected) <= notes.keys():
            raise ValueError(f"{path}: expected {', '.join(expected)} in it, got others")
        saved = type(config).from_dict(notes["config"], f"{path}: config")
        if saved != config:
            raise ValueError(
                f"{path}: expected a checkpoint of the run's config.yaml, got one of {saved}"
            )
        for name, kinds in (("epoch", (int,)), ("step", (int,)), ("seconds", (int, float))):
            number = notes[name]
            if type(number) not in kinds or not 0 <= number <= _MOST:
                raise ValueError(f"{path}: {name}: expected a number of 0 or more, got {number!r}")
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or inf")
        return cls(
            saved,
            notes["epoch"],
            notes["step"],
            float(notes["seconds"]),
            tensors,
            str(notes.get("poses", "")),
        )

    def state(self, path: Path, name: str, like: Tensor) -> Tensor:
        """A tensor of a parameter's shape and type, such as its momentum.

        Args:
            path: Where the checkpoint is from.
            name: Of the tensor.
            like: The parameter.

        Returns:
            The tensor on the parameter's device.

        Raises:
            ValueError: There is none, or it has another shape or type.
        """
        found = self.tensors.get(name)
        if found is None:
            raise ValueError(f"{path}: expected all of this run, got no {name}")
        if found.shape != like.shape or found.dtype != like.dtype:
            raise ValueError(
                f"{path}: {name}: expected {tuple(like.shape)} {like.dtype}, "
                f"got {tuple(found.shape)} {found.dtype}"
            )
        return found.to(like.device, memory_format=torch.preserve_format)


def parameters(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
