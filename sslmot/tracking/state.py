"""The state of a tracker: as named arrays, and as a file that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import _core, files, reading
from sslmot.tracking.camera import GreyFrame
from sslmot.tracking.clock import MOST_SECONDS
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.features import DeviceTable
from sslmot.tracking.frame import History
from sslmot.types import Features

State: TypeAlias = dict[str, npt.NDArray[Any]]
"""``tracks.*`` and ``lost.*`` are the columns of the table, a row each; ``features`` (T + L, D)
float32 those of both, zeros where nothing is known; ``next_id``; ``impostors`` (512,) int64, the
cosines of different objects; ``clip`` (15,) float64, what is learned of the clip;
``times`` (2,) float64, of the last step and of the last frame,
seconds; ``frame_size``, ``camera.*``."""

_COLUMNS = (
    *("ids", "hits", "time_since_update", "probation"),
    *("feature_updates", "classes", "boxes", "state"),
)
_KEY, _RATE = "sslmot.tracker", "sslmot.frame_rate"
_MOST = 2**33  # bytes of a file


def state_of(table: _core.TrackTable, history: History) -> State:
    """Copy all that a table and its history hold."""
    parts = {"tracks": table.tracks, "lost": table.lost}
    state = {f"{part}.{name}": parts[part][name] for part in parts for name in _COLUMNS}
    # An id of a gallery that other processes share may exceed those that the table gave out.
    ids = np.concatenate([part["ids"] for part in parts.values()])
    state["next_id"] = np.array(max(table.next_id, int(ids.max(initial=0)) + 1), np.int64)
    state["impostors"] = table.impostors
    state["clip"] = table.clip
    if table.feature_dim:
        slots = np.concatenate([parts["tracks"]["slots"], parts["lost"]["slots"]])
        state["features"] = features_of(table, history, slots)
        if history.device is not None:
            state["device"] = np.array(history.device.device.index or 0, np.int64)
    if history.size is not None:
        state["frame_size"] = np.array(history.size, np.int64)
    if history.time is not None:
        state["times"] = np.array([history.time, history.clock])
    if history.grey is not None:
        grey, ground, scale = history.grey
        state |= {"camera.grey": grey.copy(), "camera.ground": ground.copy()}
        state["camera.scale"] = np.array(scale, np.int64)
    return state


def restore(table: _core.TrackTable, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Load what :func:`state_of` returned into a table of the same settings.

    Raises:
        ValueError: The arrays are not those of such a state; the table has not changed.
    """
    optional = {"features", "device", "times", "frame_size"}
    optional |= {"camera.grey", "camera.ground", "camera.scale"}
    columns = {f"{part}.{name}" for part in ("tracks", "lost") for name in _COLUMNS}
    needed = {"next_id", "impostors", "clip", *columns}
    if missing := sorted(needed - set(state)):
        raise ValueError(f"state: expected an array {missing[0]}, got none")
    if more := sorted(set(state) - needed - optional):
        raise ValueError(f"state: expected no array {more[0]}, got one")
    tracks, lost = (
        {name: state[f"{part}.{name}"] for name in _COLUMNS} for part in ("tracks", "lost")
    )
    features = state.get("features")
    size = None
    if "frame_size" in state:
        size = (_integer(state["frame_size"], 0), _integer(state["frame_size"], 1))
    device = None
    if "device" in state and features is not None:
        device = DeviceTable.of(features, _integer(state["device"]))
    history = History(size, _view(state), device, *_times(state))
    try:
        next_id = _integer(state["next_id"])
        learned = state["impostors"], state["clip"]
        table.restore(tracks, lost, features, next_id, *learned, history)
    except ValueError as error:
        raise ValueError(f"state: {error}") from error


def features_of(
    table: _core.TrackTable, history: History, slots: npt.NDArray[np.int64]
) -> Features:
    """Copy features of tracks to host memory: (n, D) float32, zeros where none is known."""
    return table.read_features(slots) if history.device is None else history.device.read(slots)


def write(path: str | Path, state: State, config: TrackerConfig, frame_rate: float) -> None:
    """Write a state and the settings that it is for, whole or not at all."""
    from safetensors.numpy import save

    notes = {_KEY: json.dumps(config.to_dict()), _RATE: json.dumps(frame_rate)}
    files.write(path, save(state, notes))


def read(path: str | Path) -> tuple[State, TrackerConfig, Any]:
    """Read what :func:`write` wrote.

    Raises:
        FileNotFoundError: The file is missing.
        ValueError: It holds no state of a tracker, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not reading.is_file(path):
        reading.read(path, _MOST)  # raises the reason
    try:
        with safe_open(path, framework="np") as file:
            notes = file.metadata() or {}
            if _KEY not in notes or _RATE not in notes:
                raise ValueError(f"expected the state of a tracker, got notes {sorted(notes)}")
            config = TrackerConfig.from_dict(reading.from_json(notes[_KEY]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, config, reading.from_json(notes[_RATE])
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected the state of a tracker, got {error}") from error


def _integer(array: npt.NDArray[Any], at: int = 0) -> int:
    numbers = np.ravel(array)
    if numbers.dtype != np.int64 or len(numbers) <= at or numbers[at] < 0:
        raise ValueError(f"state: expected integers, got {array!r}")
    return int(numbers[at])


def _times(state: Mapping[str, npt.NDArray[Any]]) -> tuple[float | None, float]:
    if "times" not in state:
        return None, 0.0
    times = state["times"]
    if times.dtype != np.float64 or times.shape != (2,) or not abs(times).max() <= MOST_SECONDS:
        raise ValueError(f"state: expected times of the last step and frame, got {times!r}")
    if times[1] < times[0]:
        raise ValueError(f"state: expected a last frame after the last step, got {times!r}")
    return float(times[0]), float(times[1])


def _view(state: Mapping[str, npt.NDArray[Any]]) -> GreyFrame | None:
    if "camera.grey" not in state:
        return None
    try:
        grey, ground = state["camera.grey"], state["camera.ground"]
        scale = _integer(state["camera.scale"])
    except KeyError as error:
        raise ValueError(f"state: expected {error}, got none") from error
    well = grey.ndim == 2 and grey.shape == ground.shape and min(grey.shape) > 0 and scale > 0
    if not well or grey.dtype != np.uint8 or ground.dtype != np.uint8:
        raise ValueError(
            f"state: expected camera.grey and camera.ground (h, w) uint8, "
            f"got {grey.shape} {grey.dtype} and {ground.shape} {ground.dtype}"
        )
    return GreyFrame(grey, ground, scale)
