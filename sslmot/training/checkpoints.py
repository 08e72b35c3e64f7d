"""The checkpoint of a run: tensors, how far it got, and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sslmot import reading
from sslmot import tensors as tensor_files
from sslmot.settings import Settings

_KEY = "sslmot.checkpoint"  # in the metadata of the file: all but the tensors, as JSON
_MOST = 2**53  # epochs, steps or seconds: JSON keeps such a number


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run after some whole epochs.

    Attributes:
        path: Its file.
        config: Settings of the run.
        epoch: Epochs done.
        step: Steps done.
        seconds: Time they took.
        tensors: Weights, and the state of the optimizers.
        poses: Fingerprint of the pose views that the run learns from; "" for none.
    """

    path: Path
    config: Settings
    epoch: int
    step: int
    seconds: float
    tensors: Mapping[str, Tensor]
    poses: str = ""

    def save(self) -> None:
        """Write a safetensors file, whole or not at all."""
        names = ("epoch", "step", "seconds", "poses")
        notes = {name: getattr(self, name) for name in names} | {"config": self.config.to_dict()}
        tensor_files.write(self.path, self.tensors, {_KEY: json.dumps(notes)})

    @classmethod
    def load(cls, path: Path, config: Settings) -> Checkpoint:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            config: Settings of the run; those of the checkpoint may differ in ``epochs`` only.

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
        ours, theirs = config.to_dict(), saved.to_dict()
        # A run may go on for more epochs than it was started with.
        if other := [k for k in ours if ours[k] != theirs[k] and k != "epochs"]:
            raise ValueError(
                f"{path}: expected a checkpoint of the run's config.yaml, got another "
                + ", ".join(f"{k}: {theirs[k]!r} for {ours[k]!r}" for k in other)
            )
        for name, kinds in (("epoch", (int,)), ("step", (int,)), ("seconds", (int, float))):
            number = notes[name]
            if type(number) not in kinds or not 0 <= number <= _MOST:
                raise ValueError(f"{path}: {name}: expected a number of 0 or more, got {number!r}")
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or inf")
        done = notes["epoch"], notes["step"], float(notes["seconds"])
        return cls(path, saved, *done, tensors, str(notes.get("poses", "")))

    def state(self, name: str, like: Tensor) -> Tensor:
        """Return a tensor of a parameter's shape and dtype, such as its momentum.

        Args:
            name: Name of the tensor.
            like: The parameter.

        Returns:
            The tensor, on the parameter's device.

        Raises:
            ValueError: There is none, or it has another shape or dtype.
        """
        found = self.tensors.get(name)
        if found is None:
            raise ValueError(f"{self.path}: expected all of this run, got no {name}")
        if found.shape != like.shape or found.dtype != like.dtype:
            raise ValueError(
                f"{self.path}: {name}: expected {tuple(like.shape)} {like.dtype}, "
                f"got {tuple(found.shape)} {found.dtype}"
            )
        return found.to(like.device, memory_format=torch.preserve_format)
