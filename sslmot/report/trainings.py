"""Read the curves of trainings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import reading


@dataclass(frozen=True, eq=False)
class Training:
    """A run of a training.

    Attributes:
        name: Its folder.
        config: Its settings.
        curves: Steps and values of each curve, (N,) float64, by name.
    """

    name: str
    config: Mapping[str, Any]
    curves: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]


def read_trainings(folders: Iterable[str | Path]) -> list[Training]:
    """Read ``config.yaml`` and ``tensorboard/`` of runs.

    Args:
        folders: Their folders. Equal names are told apart by their parents.

    Raises:
        FileNotFoundError: A folder has no curves.
        ValueError: A file is malformed.
        ImportError: TensorBoard is not installed.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        return []
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def _read(folder: Path, name: str) -> Training:
    events = folder / "tensorboard"
    if not events.is_dir():
        raise FileNotFoundError(f"runs: expected a run with {events}, found none")
    config = reading.read_yaml(folder / "config.yaml")
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.yaml'}: expected settings, got {config!r:.200}")
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise ImportError("curves need TensorBoard: pip install sslmot[train]") from error
    accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0})
    accumulator.Reload()
    curves = {}
    for tag in accumulator.Tags()["scalars"]:
        found = [(e.step, e.value) for e in accumulator.Scalars(tag)]
        steps, values = np.array(found, np.float64).T
        curves[tag] = steps, values
    return Training(name, config, curves)
