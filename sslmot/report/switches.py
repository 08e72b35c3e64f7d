"""Find where an identity changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslmot.report.clip import Clip
from sslmot.report.matching import Matching

MOST_SECONDS = 2.0
"""Without ground truth: an identity that ends so long before another begins may be the same."""

MOST_DISTANCE = 1.0
"""Without ground truth: the same for the distance of their boxes, in heights of a box."""

_UNKNOWN_RATE = 30.0


@dataclass(frozen=True)
class Switch:
    """A change of identity.

    Attributes:
        person: The person of the ground truth. None where the switch is only possible.
        before: Row of the last result with the old identity.
        after: Row of the first result with the new identity.
        frames: Number of frames under the shorter of both identities: how much it matters.
    """

    person: int | None
    before: int
    after: int
    frames: int


def switches(clip: Clip, matching: Matching) -> list[Switch]:
    """Find the switches of CLEAR, sorted by frame: a person is matched to another identity."""
    assert clip.truth is not None
    found = []
    matched = matching.match >= 0
    people, rows = clip.truth.ids[matching.rows[matched]], matching.match[matched]
    for person in np.unique(people).tolist():
        mine = rows[people == person]
        ids = clip.ids[mine]
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        runs = np.diff(np.r_[starts, len(ids)])
        found += [
            Switch(person, int(mine[at - 1]), int(mine[at]), int(min(runs[i], runs[i + 1])))
            for i, at in enumerate(starts[1:].tolist())
        ]
    return sorted(found, key=lambda s: (clip.frames[s.after], s.person))


def possible_switches(clip: Clip) -> list[Switch]:
    """Find where one identity ends and another begins soon and near, sorted by frame.

    Each identity ends once and begins once. The nearest pairs are taken first.
    """
    order = np.lexsort((clip.frames, clip.ids))
    ids, starts, runs = np.unique(clip.ids[order], return_index=True, return_counts=True)
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
            length = int(min(runs[i], runs[j]))
            found.append(Switch(None, int(last[i]), int(first[j]), length))
    return sorted(found, key=lambda s: (clip.frames[s.after], s.after))


def worst(found: list[Switch], most: int) -> list[Switch]:
    """Return the switches that matter most: those between two long identities."""
    return sorted(found, key=lambda s: (-s.frames, s.after))[:most]


def _distance(clip: Clip, one: int, other: int) -> float:
    """Return the distance of two boxes' centres and heights, in heights of the larger box."""
    a, b = clip.boxes[one].astype(np.float64), clip.boxes[other].astype(np.float64)
    tall = max(a[3] - a[1], b[3] - b[1], 1e-6)
    apart = np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2))
    return float((apart + abs((a[3] - a[1]) - (b[3] - b[1]))) / tall)
