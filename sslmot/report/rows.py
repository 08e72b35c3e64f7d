"""Turn results into the rows of a timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from sslmot.report.clip import Clip
from sslmot.report.matching import Matching
from sslmot.report.switches import Switch
from sslmot.report.timeline import Bar, Mark, Row, join_frames
from sslmot.report.words import count, duration, moment
from sslmot.types import Rows

MOST_ROWS = 60
"""Limit of the rows of a timeline."""

_FINEST = 1000
"""A gap below this part of a clip is not drawn."""


def of_people(
    clip: Clip, matching: Matching, found: list[Switch], links: Mapping[Switch, str]
) -> tuple[list[Row], int]:
    """Make a row for each person of the ground truth: where in view, and under which identities.

    Args:
        clip: The clip.
        matching: Its matches with the ground truth.
        found: Switches to mark.
        links: Where the marks of some of them lead.

    Returns:
        Rows, sorted by the first frame, and how many are left out. Those with switches are kept
        first, then the longest.
    """
    assert clip.truth is not None
    truth, most = clip.truth, _most(clip)
    switched = Counter(s.people[1] for s in found if s.people)
    people, frames = truth.ids[matching.rows], truth.frames[matching.rows]
    matched = matching.match >= 0
    rows = []
    chosen, left = _choose(people, frames, switched)
    for person in chosen:
        mine = people == person
        seen = mine & matched
        row = Row(f"{person}", spans=join_frames(frames[mine].tolist(), most))
        for identity, first, last in _runs(clip.ids[matching.match[seen]], frames[seen], most):
            title = f"identity {identity}, {_span(clip, first, last)}"
            row.bars.append(Bar(first, last, identity, str(identity), title))
        row.marks += [_mark(clip, s, links) for s in found if s.people and s.people[1] == person]
        rows.append(row)
    return rows, left


def of_identities(
    clip: Clip, matching: Matching | None, found: list[Switch], links: Mapping[Switch, str]
) -> tuple[list[Row], int]:
    """Make a row for each identity: where reported, and of which person if that is known.

    Args:
        clip: The clip.
        matching: Its matches with the ground truth, None without.
        found: Switches to mark.
        links: Where the marks of some of them lead.

    Returns:
        As `of_people`.
    """
    most = _most(clip)
    person = np.full(len(clip.frames), -1)
    if matching is not None and clip.truth is not None:
        matched = matching.match >= 0
        person[matching.match[matched]] = clip.truth.ids[matching.rows[matched]]
    changed = Counter(clip.ids[[s.after for s in found]].tolist() if found else [])
    rows = []
    chosen, left = _choose(clip.ids, clip.frames, changed)
    for identity in chosen:
        mine = clip.ids == identity
        row = Row(f"{identity}")
        for who, first, last in _runs(person[mine], clip.frames[mine], most):
            what = "no person" if who < 0 else f"person {who}"
            text = "" if who < 0 else str(who)
            if matching is None:
                what, text = "tracked", str(identity)
            title = f"{what}, {_span(clip, first, last)}"
            faint = matching is not None and who < 0
            row.bars.append(Bar(first, last, identity, text, title, faint))
        row.marks += [_mark(clip, s, links) for s in found if clip.ids[s.after] == identity]
        rows.append(row)
    return rows, left


def change(clip: Clip, switch: Switch) -> str:
    """Return a switch in a few words."""
    old, new = int(clip.ids[switch.before]), int(clip.ids[switch.after])
    if switch.people is None:
        return f"perhaps identity {old} goes on as {new}"
    before, after = switch.people
    if old == new:
        return f"identity {old} passes from person {before} to {after}"
    return f"person {after}: identity {old} becomes {new}"


def _mark(clip: Clip, switch: Switch, links: Mapping[Switch, str]) -> Mark:
    frame = int(clip.frames[switch.after])
    title = f"{change(clip, switch)}, {moment(frame, clip.frame_rate)}"
    passed = switch.people is not None and clip.ids[switch.before] == clip.ids[switch.after]
    return Mark(frame, title, links.get(switch), hollow=passed)


def _most(clip: Clip) -> int:
    """Return the largest distance of frames that are drawn as one bar."""
    return max(clip.stride, clip.length // _FINEST)


def _choose(ids: Rows, frames: Rows, important: Counter[int]) -> tuple[list[int], int]:
    """Choose the rows to draw, sorted by their first frame, and count the others."""
    # `frames` ascend, so the first place of an id is its first frame.
    distinct, first, length = np.unique(ids, return_index=True, return_counts=True)
    order = sorted(
        range(len(distinct)), key=lambda i: (-important[int(distinct[i])], -length[i], first[i])
    )
    kept = sorted(order[:MOST_ROWS], key=lambda i: first[i])
    return distinct[kept].tolist(), len(order) - len(kept)


def _runs(keys: Rows, frames: Rows, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield key, first and last frame of each run of one key without a gap."""
    cuts = np.flatnonzero((keys[1:] != keys[:-1]) | (np.diff(frames) > most)) + 1
    for part in np.split(np.arange(len(keys)), cuts):
        if len(part):
            yield int(keys[part[0]]), int(frames[part[0]]), int(frames[part[-1]])


def _span(clip: Clip, first: int, last: int) -> str:
    if first == last:
        return moment(first, clip.frame_rate)
    size = "" if clip.frame_rate is None else f", {duration((last - first + 1) / clip.frame_rate)}"
    return f"frames {first:,} to {last:,} ({count(last - first + 1, 'frame')}{size})"
