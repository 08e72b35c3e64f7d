"""Find where an identity changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslmot.report.clip import Clip
from sslmot.report.matching import Matching
from sslmot.types import Rows

MOST_SECONDS = 2.0
"""Without ground truth: an identity that ends so long before another begins may be the same."""

MOST_DISTANCE = 1.0
"""Without ground truth: the same for the distance of their boxes, in heights of a box."""

_UNKNOWN_RATE = 30.0


@dataclass(frozen=True)
class Switch:
    """A change of identity: a person gets another one, or an identity passes to another person.

    Attributes:
        before: Row of the last result before the change.
        after: Row of the first result after it.
        lengths: Number of frames before and after it: of the person under each identity, or of the
            identity on each person.
        people: The people of the ground truth in both rows. None where the switch is only possible.
    """

    before: int
    after: int
    lengths: tuple[int, int]
    people: tuple[int, int] | None = None


def switches(clip: Clip, matching: Matching) -> list[Switch]:
    """Find the switches of CLEAR, sorted by frame: a person gets another identity."""
    people, rows = _matched(clip, matching)
    found = []
    for person in np.unique(people).tolist():
        mine = rows[people == person]
        found += [
            Switch(before, after, lengths, (person, person))
            for before, after, lengths in _changes(mine, clip.ids[mine])
        ]
    return _sorted(clip, found)


def transfers(clip: Clip, matching: Matching) -> list[Switch]:
    """Find where an identity passes to a person who had none before, sorted by frame.

    CLEAR does not count these. A person who had another identity is one of `switches`.
    """
    people, rows = _matched(clip, matching)
    order = np.argsort(rows, kind="stable")
    people, rows = people[order], rows[order]
    first = {int(person): int(rows[at]) for person, at in zip(*_first(people), strict=True)}
    found = []
    for identity in np.unique(clip.ids[rows]).tolist():
        mine = clip.ids[rows] == identity
        person = dict(zip(rows[mine].tolist(), people[mine].tolist(), strict=True))
        found += [
            Switch(before, after, lengths, (person[before], person[after]))
            for before, after, lengths in _changes(rows[mine], people[mine])
            if first[person[after]] == after
        ]
    return _sorted(clip, found)


def possible_switches(clip: Clip) -> list[Switch]:
    """Find where one identity ends and another begins soon and near, sorted by frame.

    Each identity ends once and begins once. The nearest pairs are taken first.
    """
    order = np.lexsort((clip.frames, clip.ids))
    _, starts, runs = np.unique(clip.ids[order], return_index=True, return_counts=True)
    first, last = order[starts], order[starts + runs - 1]
    window = MOST_SECONDS * (clip.frame_rate or _UNKNOWN_RATE)
    begins = clip.frames[first]
    by_begin = np.argsort(begins, kind="stable")
    pairs = []
    for i, end in enumerate(last.tolist()):
        t = clip.frames[end]
        low, high = np.searchsorted(begins[by_begin], (t, t + window), "right")
        for j in by_begin[low:high].tolist():
            distance = _distance(clip, end, int(first[j]))
            if distance <= MOST_DISTANCE:
                pairs.append((distance, i, j))
    ended, begun, found = set(), set(), []
    for _, i, j in sorted(pairs):
        if i not in ended and j not in begun:
            ended.add(i)
            begun.add(j)
            lengths = int(runs[i]), int(runs[j])
            found.append(Switch(int(last[i]), int(first[j]), lengths))
    return _sorted(clip, found)


def worst(found: list[Switch], most: int) -> list[Switch]:
    """Return the switches that matter most: those with many frames both before and after."""
    return sorted(found, key=lambda s: (-min(s.lengths), s.after))[:most]


def _matched(clip: Clip, matching: Matching) -> tuple[Rows, Rows]:
    """Return the person and the result row of each matched pair, by frame."""
    if clip.truth is None:
        raise ValueError(f"{clip.path}: expected ground truth, got none")
    matched = matching.match >= 0
    return clip.truth.ids[matching.rows[matched]], matching.match[matched]


def _changes(rows: Rows, values: Rows) -> list[tuple[int, int, tuple[int, int]]]:
    """Return the rows before and after each change of a value, and the lengths of both parts."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    runs = np.diff(np.r_[starts, len(values)])
    return [
        (int(rows[at - 1]), int(rows[at]), (int(runs[i]), int(runs[i + 1])))
        for i, at in enumerate(starts[1:].tolist())
    ]


def _first(values: Rows) -> tuple[Rows, Rows]:
    """Return the distinct values, and where each occurs first."""
    distinct, at = np.unique(values, return_index=True)
    return distinct, at.astype(np.int64)


def _sorted(clip: Clip, found: list[Switch]) -> list[Switch]:
    return sorted(found, key=lambda s: (clip.frames[s.after], s.after))


def _distance(clip: Clip, one: int, other: int) -> float:
    """Return the distance of two boxes' centres and heights, in heights of the larger box."""
    a, b = clip.boxes[one].astype(np.float64), clip.boxes[other].astype(np.float64)
    tall = max(a[3] - a[1], b[3] - b[1], 1e-6)
    apart = np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2))
    return float((apart + abs((a[3] - a[1]) - (b[3] - b[1]))) / tall)
