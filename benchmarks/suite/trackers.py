"""Run trackers on rows, score them, and choose among settings with each clip left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from sslmot import Tracker, TrackerConfig
from suite.clips import Row
from suite.scores import Result, Scores, idf1_of_tracks, score_tracks


class Steps(Protocol):
    """What is needed of a tracker: `sslmot.Tracker`, or a prototype with this method."""

    def step(self, frame: Any, detections: Any, *, embeddings: Any = None) -> Any:
        """Return an object with ``ids`` and ``detection_index``."""


MakeTracker: TypeAlias = Callable[[Row], Steps]


def tracker(config: TrackerConfig | None = None) -> MakeTracker:
    """Make fresh trackers with these settings, at the row's frame rate."""
    return lambda row: Tracker(config or TrackerConfig(), frame_rate=row.frame_rate)


def track(row: Row, make_tracker: MakeTracker) -> Result:
    """Track a row with a fresh tracker."""
    made = make_tracker(row)
    result = []
    for t, dets in enumerate(row.detections):
        embeddings = None if row.embeddings is None else row.embeddings[t]
        tracks = made.step(None, dets, embeddings=embeddings)
        result.append((np.asarray(tracks.ids), np.asarray(tracks.detection_index)))
    return result


def score(row: Row, make_tracker: MakeTracker) -> Scores:
    """Track a row with a fresh tracker and score the tracks."""
    return score_tracks(row, track(row, make_tracker))


def idf1(row: Row, make_tracker: MakeTracker) -> float:
    """Track a row with a fresh tracker and return IDF1 alone, which is much faster."""
    return idf1_of_tracks(row, track(row, make_tracker))


def clip_means(rows: Iterable[Row], values: Iterable[float]) -> dict[str, float]:
    """Return the mean of each clip's rows."""
    clips: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        clips.setdefault(row.scene, []).append(value)
    return {clip: float(np.mean(some)) for clip, some in clips.items()}


def mean(clips: Mapping[str, float]) -> float:
    """Return the mean in which each clip weighs alike."""
    return float(np.mean(list(clips.values())))


def compare(
    candidates: Mapping[str, TrackerConfig | MakeTracker], rows: Sequence[Row]
) -> dict[str, dict[str, float]]:
    """Score candidates: of each the mean IDF1 of each clip.

    Args:
        candidates: Settings, or what makes a tracker for a row.
        rows: All of one kind, or the mean says little.
    """
    makers = {
        name: tracker(one) if isinstance(one, TrackerConfig) else one
        for name, one in candidates.items()
    }
    return {
        name: clip_means(rows, (idf1(row, make) for row in rows)) for name, make in makers.items()
    }


@dataclass(frozen=True)
class LeftOut:
    """Candidates chosen with each clip left out.

    Attributes:
        chosen: Of each clip, the candidate with the best mean over the other clips.
        scores: Of each clip, the score of that candidate on it.
    """

    chosen: dict[str, str]
    scores: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean over the clips."""
        return mean(self.scores)


def leave_one_out(candidates: Iterable[str], scores: Mapping[str, Mapping[str, float]]) -> LeftOut:
    """Choose for each clip the candidate that is best on the others, and score it on this one.

    Args:
        candidates: Names; the earlier one is chosen where two are equal.
        scores: Of each candidate the score of each clip, see `compare`.

    Raises:
        ValueError: There are fewer than two clips, or candidates have different clips.
    """
    names = list(candidates)
    clips = list(scores[names[0]]) if names else []
    if len(clips) < 2:
        raise ValueError(f"scores: expected two clips or more, got {clips}")
    for name in names:
        if set(scores[name]) != set(clips):
            raise ValueError(f"scores: expected {clips} of {name}, got {list(scores[name])}")
    chosen = {}
    for left_out in clips:
        others = [clip for clip in clips if clip != left_out]
        means = {name: float(np.mean([scores[name][clip] for clip in others])) for name in names}
        chosen[left_out] = max(names, key=means.__getitem__)
    return LeftOut(chosen, {clip: scores[name][clip] for clip, name in chosen.items()})
