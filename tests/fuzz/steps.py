"""Sequences of steps with all kinds of input, checked against rules for each step.

A rejected step must change nothing. So at the end the accepted steps are repeated with a second
tracker (the twin), which must give the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sslmot import ColorHistogram, Gallery, Tracker, TrackerConfig, TrackerGroup, Tracks

from .errors import refusing
from .values import ODD, Exported, Raises, boxes, chance, numbers, size, spoiled

Generator = np.random.Generator


def config(rng: Generator) -> TrackerConfig:
    """Draw settings from their whole range, mostly usual ones."""

    def maybe(**fields: Any) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if chance(rng, 0.3)}

    def share(low: float = 0.0, high: float = 1.0) -> float:
        return float(rng.choice([low, high, rng.uniform(low, high)]))

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    fields = maybe(
        tau=pick(1e-6, 0.05, 0.2, 1e6),
        min_affinity=share(),
        appearance_weight=pick(0.0, 0.5, 1e6),
        motion_weight=pick(0.0, 0.5, 1e6),
        max_cost=pick(1e-6, 0.8, 1e6),
        ema=share(),
        max_occlusion=share(),
        high_score=pick(-np.inf, 0.5, np.inf),
        new_track_max_iou=share(),
        instant_confirm_score=pick(-np.inf, 0.9, np.inf),
        min_hits=pick(0, 1, 2, 10**9),
        max_age=pick(0.0, 1 / 30, 0.1, 1e9),
        tentative_max_age=pick(0.0, 1 / 30, 1e9),
        reid_max_age=pick(0.0, 2 / 30, 5 / 30, 1e9),
        reid_max_speed=pick(0.0, 3.0, 1e6),
        motion=pick("kalman", "none"),
        class_agnostic=chance(rng, 0.5),
        camera_motion=chance(rng, 0.5),
    )
    return TrackerConfig.paper(**fields) if chance(rng, 0.2) else TrackerConfig(**fields)


@dataclass
class Video:
    """People who walk, stand in piles, vanish and jump."""

    rng: Generator
    dim: int
    at: np.ndarray = field(init=False)
    features: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        people = size(self.rng, 17)
        self.at = boxes(self.rng, people)
        if chance(self.rng, 0.7):
            corner = self.rng.uniform(0, 200, (people, 2))
            self.at = np.hstack([corner, corner + np.array((20, 50))]).astype(np.float32)
        self.features = numbers(self.rng, (people, self.dim))

    def frame(self) -> dict[str, Any]:
        """Draw valid arguments of a step."""
        rng, people = self.rng, len(self.at)
        self.at = self.at + np.tile(rng.normal(0, 3, (people, 2)), 2).astype(np.float32)
        if people and chance(rng, 0.1):
            self.at[rng.integers(people)] = boxes(rng, 1)[0]
        self.at = np.clip(self.at, -9e8, 9e8)
        self.at[:, 2:] = np.maximum(self.at[:, :2], self.at[:, 2:])
        seen = rng.permutation(people)[: rng.integers(0, people + 1)]
        if len(seen) and chance(rng, 0.1):
            seen = np.repeat(seen, rng.integers(1, 4))  # a pile of equal boxes
        n = len(seen)
        columns = [self.at[seen]]
        width = rng.integers(4, 7)
        if width > 4:
            columns.append(rng.choice([-5, 0.1, 0.45, 0.55, 0.95, 1, 1e9], (n, 1)))
        if width > 5:
            columns.append(rng.integers(-1, 2, (n, 1)))
        given: dict[str, Any] = {"dets": np.hstack(columns)}
        if chance(rng, 0.3):
            given["dets"] = given["dets"].astype(np.float32)
        if chance(rng, 0.2):
            given["dets"] = given["dets"].tolist() if n else []
        if chance(rng, 0.7):
            features = self.features[seen] + 0.1 * numbers(rng, (n, self.dim))
            if n and chance(rng, 0.3):
                features[rng.integers(n)] = rng.choice([0.0, 1e-20, 1e15])
            kinds = [
                np.float32,
                np.float64,
                *([np.float16] if np.abs(features).max(initial=0) < 6e4 else []),
            ]
            given["embeddings"] = features.astype(kinds[rng.integers(len(kinds))])
        if chance(rng, 0.3):
            given["frame"] = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        return given


def spoil(rng: Generator, given: dict[str, Any], others: int) -> dict[str, Any]:
    """Replace one of the arguments."""
    name = str(rng.choice(list(given)))
    value = given[name]
    array = np.asarray(value, np.float64) if isinstance(value, list) else value
    kind = rng.integers(4)
    if kind == 0 and array.size:
        array = array.astype(np.float64) if array.dtype.kind == "f" else array.copy()
        bad = array.dtype.type(rng.choice(ODD)) if array.dtype.kind == "f" else 7
        array.flat[rng.integers(array.size)] = bad
        return given | {name: array}
    if kind == 1:
        return given | {name: np.zeros((others, 4 if name == "dets" else 3), np.float32)}
    if kind == 2:
        return given | {name: Exported(array) if array.dtype != object else Raises(OSError(), "x")}
    return given | {name: spoiled(rng, array, capsules=False)}


def check(tracks: Tracks, dets: Any) -> None:
    """Check the rules of each result. ``dets`` are the detections, if they are valid."""
    n = len(tracks)
    assert len(np.unique(tracks.ids)) == n
    assert (tracks.ids > 0).all()
    index = tracks.detection_index
    assert (np.diff(index) > 0).all()
    if dets is not None:
        rows = np.asarray(dets, np.float64)
        assert n == 0 or (index[0] >= 0 and index[-1] < len(rows))
        if n:
            np.testing.assert_array_equal(tracks.boxes, rows[index, :4].astype(np.float32))
            if rows.shape[1] > 4:
                np.testing.assert_array_equal(tracks.scores, rows[index, 4].astype(np.float32))
            if rows.shape[1] > 5:
                np.testing.assert_array_equal(tracks.classes, rows[index, 5])
    for identity in tracks.ids.tolist():
        why = tracks.explain(identity)
        assert why.id == identity
        assert why.detection in index


def same(one: Tracks, other: Tracks) -> None:
    for name in ("ids", "boxes", "scores", "classes", "detection_index"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


class Player:
    """A tracker, with the arguments and results of its steps."""

    def __init__(self, make: Callable[[], Tracker]) -> None:
        self._make = make
        self.tracker = make()
        self._history: list[tuple[dict[str, Any] | None, Tracks | None]] = []

    def step(self, given: dict[str, Any], dets: Any) -> None:
        """Make a step that may be rejected.

        Args:
            given: Arguments of the step.
            dets: The detections in them, None if they were replaced.
        """
        names = ("frame", "dets", "embeddings", "features of", "encoder", "dim", "timestamp")
        with refusing(*(f"{name}" for name in names)):
            tracks = self.tracker.step(**given)
            self._history.append((given, tracks))
            check(tracks, dets)

    def reset(self) -> None:
        self.tracker.reset()
        self._history.append((None, None))

    def replay(self) -> None:
        """Repeat the accepted steps with a twin, and compare the results."""
        twin = self._make()
        for given, said in self._history:
            if given is None or said is None:
                twin.reset()
            else:
                same(twin.step(**given), said)


def play(rng: Generator, player: Player, videos: list[Video]) -> None:
    now, stamped = 0.0, chance(rng, 0.5)
    for _ in range(rng.integers(2, 14)):
        given = videos[rng.integers(len(videos))].frame()
        now += float(rng.choice([0.0, 1e-9, 1e-6, 1 / 30, 1 / 30, 1.0, 3600.0, 1e11]))
        if chance(rng, 0.25):
            broken = spoil(rng, given, size(rng, 17))
            player.step(broken, broken["dets"] if broken["dets"] is given["dets"] else None)
        if chance(rng, 0.03):
            player.reset()
        if stamped and chance(rng, 0.9):
            given["timestamp"] = now
        predicted = player.tracker.predict(1e12)
        assert len(predicted) == 0 or np.isfinite(predicted.boxes).all()
        player.step(given, given["dets"])
    player.replay()


def tracker(rng: Generator) -> None:
    settings = config(rng)
    dim = int(rng.choice([1, 2, 8, 33]))
    videos = [Video(rng, dim)]
    if chance(rng, 0.1):
        videos.append(Video(rng, dim + 1))  # another width: rejected after the first
    play(rng, Player(lambda: Tracker(settings, extractor=ColorHistogram())), videos)


def gallery(rng: Generator) -> None:
    """Steps with a gallery. Each twin has its own."""
    settings = config(rng)
    kept = {
        "min_similarity": float(rng.choice([-1.0, 0.5, 0.9])),
        "margin": float(rng.choice([0.0, 0.1, 2.0])),
        "capacity": int(rng.choice([1, 3, 1000])),
        "samples": int(rng.choice([1, 2, 8])),
    }

    def make() -> Tracker:
        return Tracker(settings, extractor=ColorHistogram(), gallery=Gallery(**kept))

    play(rng, Player(make), [Video(rng, int(rng.choice([1, 8])))])


def group(rng: Generator) -> None:
    """Steps of a group of videos, some with a shared gallery. A wrong frame rejects the step."""
    n = int(rng.integers(1, 4))
    configs = [config(rng) for _ in range(n)]
    shared = chance(rng, 0.3)

    def make() -> TrackerGroup:
        people = Gallery() if shared else None
        return TrackerGroup(
            [Tracker(c, extractor=ColorHistogram(), gallery=people) for c in configs]
        )

    dim = int(rng.choice([1, 8]))
    videos = [Video(rng, dim) for _ in range(n)]
    ours = make()
    history: list[tuple[dict[str, Any], list[Tracks]]] = []

    def step(given: list[dict[str, Any]], known: list[Any]) -> None:
        arguments = {
            "frames": [g.get("frame") for g in given],
            "dets": [g["dets"] for g in given],
            "embeddings": [g.get("embeddings") for g in given],
        }
        with refusing("video ", "features of"):
            found = ours.step(**arguments)
            history.append((arguments, found))
            for tracks, dets in zip(found, known, strict=True):
                check(tracks, dets)

    for _ in range(rng.integers(2, 8)):
        given = [video.frame() for video in videos]
        dets = [g["dets"] for g in given]
        if chance(rng, 0.3):
            at = int(rng.integers(n))
            broken = [dict(g) for g in given]
            broken[at] = spoil(rng, given[at], size(rng, 17))
            well = broken[at]["dets"] is given[at]["dets"]
            step(broken, [None if i == at and not well else d for i, d in enumerate(dets)])
        step(given, dets)
    twin = make()
    for arguments, said in history:
        for one, other in zip(twin.step(**arguments), said, strict=True):
            same(one, other)


def crowd(rng: Generator) -> None:
    """Steps with thousands of boxes: apart, on piles, above the limit; new tracks beside others."""
    settings = config(rng)
    n = int(rng.choice([1000, 5000, 10_000, 16_384, 16_385]))
    apart = 100.0 * np.stack(np.divmod(np.arange(n), 200), axis=1)
    corner = apart if chance(rng, 0.6) else np.zeros((n, 2))
    dets = np.hstack([corner, corner + 40])
    player = Player(lambda: Tracker(settings))
    features = numbers(rng, (n, 4)) if chance(rng, 0.3) else None
    for _ in range(3):
        some = dets[: rng.integers(0, n + 1)] if chance(rng, 0.7) else dets
        given: dict[str, Any] = {"dets": some + rng.choice([0.0, 5.0, 1e4])}
        if features is not None:
            given["embeddings"] = features[: len(some)]
        with refusing("dets"):
            tracks = player.tracker.step(**given)
            assert len(np.unique(tracks.ids)) == len(tracks)
            np.testing.assert_array_equal(
                tracks.boxes, given["dets"][tracks.detection_index].astype(np.float32)
            )


TARGETS: dict[str, Callable[[np.random.Generator], None]] = {
    f"steps.{function.__name__}": function for function in (tracker, gallery, group, crowd)
}
