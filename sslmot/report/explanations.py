"""Repeat a run, and ask the tracker why it gave an identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sslmot.report.clip import Clip, rows_by_frame
from sslmot.report.words import number
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.explain import Explanation
from sslmot.tracking.tracker import Tracker
from sslmot.types import FeatureExtractor, Frame, Rows

_ROUNDING = 0.011
"""Results have two decimals."""

_NUMBERS = {
    "affinity": "Affinity (1 = the same)",
    "distance": "Distance (box sizes)",
    "cost": "Cost (lower is better)",
}


class NotRepeatable(Exception):  # noqa: N818
    """A run cannot be repeated; the message says why."""


def explain(clip: Clip, rows: Iterable[int], weights: Path | None) -> dict[int, Explanation]:
    """Repeat the run of a clip, and explain the identities of some result rows.

    Args:
        clip: The clip.
        rows: The rows.
        weights: Encoder of the run, None for that of the package.

    Returns:
        The explanation of each row. A row that was filled in after tracking has none.

    Raises:
        NotRepeatable: Something is not known, or the repeated run gives other results.
        ValueError: A file is malformed.
    """
    wanted: dict[int, list[int]] = {}
    for row in rows:
        wanted.setdefault(int(clip.frames[row]), []).append(row)
    if not wanted:
        return {}
    tracker, detections = _tracker(clip, weights), clip.detections()
    if detections is None:
        raise NotRepeatable("the detections are not given")
    frame_rate = clip.frame_rate
    if frame_rate is not None:
        tracker.frame_rate = frame_rate
    found = {}
    rows_of = rows_by_frame(clip.frames)
    last = max(wanted)
    frames = tqdm(
        _frames(clip, last), desc=f"explain {clip.name}", total=last, unit=" frames", disable=None
    )
    for t, frame in frames:
        tracks = tracker.step(frame, detections.get(t, ()))
        _compare(clip, t, rows_of.get(t, np.empty(0, np.int64)), tracks.ids, tracks.boxes)
        for row in wanted.get(t, ()):
            if clip.ids[row] in tracks.ids:
                found[row] = tracks.explain(int(clip.ids[row]))
    return found


def sentence(explanation: Explanation) -> str:
    """Return an explanation in words."""
    e = explanation
    match e.stage:
        case "new":
            return f"Matched no track and no lost identity: {e.id} is a new one."
        case "reidentified":
            return f"Matched no track, but was re-identified as the lost identity {e.id}."
        case "gallery":
            return f"Matched no track, but the gallery knew it as identity {e.id}."
        case "motion":
            text = f"Matched to the track of identity {e.id} by motion alone"
        case "appearance":
            text = f"Matched to the track of identity {e.id} by appearance and motion"
    if e.runner_up is None:
        return f"{text}; no other track could match."
    identity, cost = e.runner_up
    other = f"identity {identity}" if identity else "a tentative track"
    if e.cost is not None and cost < e.cost:
        text += f". The cost of {other} is lower ({number(cost)}), but all matches of the frame "
        return text + "together cost least this way."
    margin = "" if e.cost is None else f", {number(cost - e.cost)} more"
    return f"{text}. The runner-up was {other} at a cost of {number(cost)}{margin}."


def figures(explanation: Explanation) -> list[tuple[str, str]]:
    """Return the names and values of an explanation's numbers."""
    values = {name: getattr(explanation, name) for name in _NUMBERS}
    return [(_NUMBERS[name], number(v)) for name, v in values.items() if v is not None]


def _tracker(clip: Clip, weights: Path | None) -> Tracker:
    """Make the tracker that the record describes."""
    if "config" not in clip.record or "appearance" not in clip.record:
        raise NotRepeatable(f"{clip.path.with_suffix('.json').name} with the settings is missing")
    try:
        config = TrackerConfig.from_dict(_with_infinities(clip.record["config"]))
    except ValueError as error:
        raise NotRepeatable(f"the settings are of another version ({error})") from error
    return Tracker(config, extractor=_extractor(clip, weights))


def _with_infinities(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the words that stand for infinities in JSON into numbers."""
    hints = {f.name: str(f.type) for f in dataclasses.fields(TrackerConfig)}
    return {
        k: float(v) if v in ("inf", "-inf") and "float" in hints.get(k, "") else v
        for k, v in config.items()
    }


def _extractor(clip: Clip, weights: Path | None) -> FeatureExtractor | None:
    kind = clip.record["appearance"]
    if kind is None:
        return None
    if not clip.has_frames:
        raise NotRepeatable("the frames are not given")
    if kind == "ColorHistogram":
        from sslmot.appearance.histogram import ColorHistogram

        return ColorHistogram()
    if kind != "Encoder":
        raise NotRepeatable(f"the appearance is from {kind}, which is not of this package")
    try:
        from sslmot.appearance.encoder import Encoder
    except ImportError as error:
        raise NotRepeatable("the encoder needs torch: pip install sslmot[encoder]") from error
    return Encoder.load(weights)


def _frames(clip: Clip, last: int) -> Iterator[tuple[int, Frame | None]]:
    if clip.record["appearance"] is None:
        yield from ((t, None) for t in range(1, last + 1))
    else:
        yield from clip.pictures(range(1, last + 1))


def _compare(clip: Clip, t: int, rows: Rows, ids: Rows, boxes: Any) -> None:
    """Check that a repeated frame has the identities and boxes of the results."""
    order, repeated = np.argsort(clip.ids[rows]), np.argsort(ids)
    same = clip.ids[rows][order].tolist() == ids[repeated].tolist()
    filled = clip.record.get("interpolated") is not None
    if filled:
        # Boxes were added after tracking, none was removed.
        order = order[np.isin(clip.ids[rows][order], ids)]
        same = clip.ids[rows][order].tolist() == ids[repeated].tolist()
    if not same or np.abs(clip.boxes[rows][order] - boxes[repeated]).max(initial=0) > _ROUNDING:
        raise NotRepeatable(
            f"repeated with the same settings, the tracker gives other tracks in frame {t:,}"
            + (
                ": was it another encoder (--weights)?"
                if clip.record["appearance"] == "Encoder"
                else ""
            )
        )
