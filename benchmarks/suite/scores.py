"""Scores of tracks: IDF1 within milliseconds; switches, MOTA and recovery in a tenth of a second.

IDF1, switches and MOTA are those of TrackEval with its preprocessing of MOTChallenge. What does not
depend on the tracks, such as the IoU of detections and annotation, is computed once a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sslmot.data.mot import PEDESTRIAN
from suite.clips import Row

Ints: TypeAlias = npt.NDArray[np.int64]
Result: TypeAlias = list[tuple[Ints, Ints]]
"""Of each frame the (M,) track ids and the (M,) indices of their detections."""

GAPS = (1.0, 3.0, 5.0)
"""Seconds: gaps of 1 to 3, of 3 to 5, and of 5 or more are counted apart."""

DISTRACTORS = (2, 7, 8, 12)
"""Classes of MOT17; the preprocessing removes tracks that match one."""

_LEAST = 0.5 - np.finfo(float).eps  # IoU, where TrackEval allows for rounding
_CONTINUED = 1000  # TrackEval's bonus for the track of the frame before


@dataclass(frozen=True)
class Recovery:
    """What happens after gaps; each field counts gaps by their length, see `GAPS`.

    A person returns when a detection shows it (IoU of .5) after a gap in which none did. The old
    identity is that of the last track matched with the person before the gap. It is recovered if
    the next track matched with the person, before its next gap, is the same. Returns of people who
    never had a track are not counted.

    A track is resumed when it is reported after a gap in which it was not. That is wrong if the
    last person it matched before the gap is not the first one after. Resumed tracks that match no
    person before or after are not counted. The identity of a person who left, given to a newcomer,
    is a wrong one too.

    Attributes:
        returns: People who return.
        recovered: Those who get their old identity.
        resumed: Tracks that are resumed.
        wrong: Those resumed for another person.
    """

    returns: tuple[int, ...] = (0,) * len(GAPS)
    recovered: tuple[int, ...] = (0,) * len(GAPS)
    resumed: tuple[int, ...] = (0,) * len(GAPS)
    wrong: tuple[int, ...] = (0,) * len(GAPS)

    def __add__(self, other: Recovery) -> Recovery:
        """Add the counts of two rows."""
        return Recovery(
            *(
                tuple(a + b for a, b in zip(ours, theirs, strict=True))
                for ours, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )


@dataclass(frozen=True)
class Scores:
    """Scores of a row.

    Attributes:
        idf1: Identity F1, percent.
        mota: CLEAR accuracy, percent.
        idsw: Identity switches.
        fp: Boxes that match no person.
        fn: People that no box matches.
        recovery: See `Recovery`.
    """

    idf1: float
    mota: float
    idsw: int
    fp: int
    fn: int
    recovery: Recovery = field(default_factory=Recovery)


@dataclass(frozen=True)
class _Frame:
    """Annotation of a frame against its detections.

    Attributes:
        people: (P,) which person, from 0.
        iou: (P, N) with the detections.
        every_iou: (G, N), distractors among them; None where none overlaps a detection by half.
        distractor: (G,) bool.
    """

    people: Ints
    iou: npt.NDArray[np.float64]
    every_iou: npt.NDArray[np.float64] | None
    distractor: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Truth:
    """Annotation of a row against its detections.

    Attributes:
        frames: One by one.
        people: Their number.
        annotated: Boxes of people.
        sightings: Of each person the frames, from 0, in which a detection shows it.
        starts: (F,) the first detection of each frame, in a count through all frames.
        person: (K,) of each pair of IoU .5 or more, the person.
        detection: (K,) of each such pair, the detection, in that count.
    """

    frames: list[_Frame]
    people: int
    annotated: int
    sightings: list[Ints]
    starts: Ints
    person: Ints
    detection: Ints


_KNOWN: WeakKeyDictionary[Row, _Truth] = WeakKeyDictionary()


def idf1_of_tracks(row: Row, result: Result) -> float:
    """Return IDF1 alone, in percent; arguments as for `score_tracks`."""
    truth = _truth(row)
    return _idf1(row, truth, *_kept(row, truth, result))


def score_tracks(row: Row, result: Result) -> Scores:
    """Score tracks.

    Args:
        row: What was tracked.
        result: Of each frame the track ids and the indices of their detections.

    Raises:
        ValueError: The number of frames differs.
    """
    truth = _truth(row)
    kept, indices = _kept(row, truth, result)
    matched, switches = _match(truth, kept, indices)
    reported = sum(map(len, kept))
    fp, fn = reported - len(matched), truth.annotated - len(matched)
    return Scores(
        idf1=_idf1(row, truth, kept, indices),
        # TrackEval says 0 where nothing is annotated.
        mota=100 * (len(matched) - fp - switches) / truth.annotated if truth.annotated else 0.0,
        idsw=switches,
        fp=fp,
        fn=fn,
        recovery=_recovery(row.frame_rate, truth.sightings, kept, matched),
    )


def _kept(row: Row, truth: _Truth, result: Result) -> tuple[list[Ints], list[Ints]]:
    """Return tracks, numbered from 0, and detections of each frame, without the distractors."""
    if len(result) != len(row):
        raise ValueError(f"result: expected {len(row)} frames of {row.name}, got {len(result)}")
    ids = np.concatenate([np.asarray(ids, np.int64) for ids, _ in result])
    numbers = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    tracks = np.split(numbers, np.cumsum([len(ids) for ids, _ in result])[:-1])
    indices = [np.asarray(index, np.int64) for _, index in result]
    for t, frame in enumerate(truth.frames):
        if frame.every_iou is not None and len(indices[t]):
            stay = _without_distractors(frame, indices[t])
            tracks[t], indices[t] = tracks[t][stay], indices[t][stay]
    return tracks, indices


def _idf1(row: Row, truth: _Truth, tracks: list[Ints], indices: list[Ints]) -> float:
    """Compute IDF1: the pairs of person and track that have most boxes in common."""
    every = np.concatenate(tracks)
    count = int(every.max(initial=-1)) + 1
    track_of = np.full(sum(map(len, row.detections)), -1)
    first = np.repeat(truth.starts, [len(index) for index in indices])
    track_of[first + np.concatenate(indices)] = every
    if np.count_nonzero(track_of >= 0) < len(every):
        raise ValueError(f"result: expected a detection in one track, got it in two ({row.name})")
    track = track_of[truth.detection]
    reported = track >= 0
    codes = truth.person[reported] * count + track[reported]
    common = np.bincount(codes, minlength=truth.people * count).reshape(truth.people, count)
    right = int(common[linear_sum_assignment(-common)].sum()) if common.size else 0
    return 100 * 2 * right / max(truth.annotated + len(every), 1)


def _match(truth: _Truth, kept: list[Ints], indices: list[Ints]) -> tuple[Ints, int]:
    """Match people and tracks frame by frame, as CLEAR does.

    Returns:
        (M, 3) frame, person and track of each match, and the number of switches.
    """
    last = np.full(truth.people, -1)  # track of each person, whenever that was
    before = np.full(truth.people, -1)  # the same, in the frame before
    matches, switches = [np.empty((0, 3), np.int64)], 0
    for t, (frame, tracks, index) in enumerate(zip(truth.frames, kept, indices, strict=True)):
        people = frame.people
        if not len(people) or not len(tracks):
            continue  # TrackEval then forgets no track of the frame before either
        iou = frame.iou[:, index]
        found = iou >= _LEAST
        if found.sum(axis=0).max() > 1 or found.sum(axis=1).max() > 1:
            scores = iou + _CONTINUED * (before[people][:, None] == tracks)
            scores[~found] = 0
            rows, columns = linear_sum_assignment(-scores)
            right = scores[rows, columns] > np.finfo(float).eps
            rows, columns = rows[right], columns[right]
        else:
            rows, columns = np.nonzero(found)
        who, which = people[rows], tracks[columns]
        known = last[who]
        switches += int(((known >= 0) & (known != which)).sum())
        last[who] = which
        before[:] = -1
        before[who] = which
        matches.append(np.column_stack([np.full(len(who), t), who, which]))
    return np.concatenate(matches), switches


def perfect_tracks(row: Row) -> Result:
    """Give each detection the identity of the person it shows: the bound of association."""
    result = []
    for frame, dets in zip(_truth(row).frames, row.detections, strict=True):
        index = np.arange(len(dets))
        if frame.every_iou is not None:
            index = index[_without_distractors(frame, index)]
        iou = frame.iou[:, index]
        rows, columns = linear_sum_assignment(-np.where(iou >= 0.5, iou, 0))
        right = iou[rows, columns] >= 0.5
        result.append((frame.people[rows[right]], index[columns[right]]))
    return result


def _truth(row: Row) -> _Truth:
    """Compare annotation and detections of a row, once."""
    if row not in _KNOWN:
        _KNOWN[row] = _compare(row)
    return _KNOWN[row]


def _compare(row: Row) -> _Truth:
    truth = row.truth
    scored = truth.considered & (truth.classes == PEDESTRIAN)
    names = np.unique(truth.ids[scored])
    person = np.searchsorted(names, truth.ids)
    boxes = _as_written(truth.boxes)
    order = np.argsort(truth.frames, kind="stable")
    ends = np.searchsorted(truth.frames[order], np.arange(len(row) + 1), "right")
    frames, pairs = [], [np.empty((0, 2), np.int64)]
    starts = np.cumsum([0, *map(len, row.detections)])
    seen: list[list[int]] = [[] for _ in names]
    for t, dets in enumerate(row.detections):
        here = order[ends[t] : ends[t + 1]]
        iou = _iou(boxes[here], _as_written(dets[:, :4]))
        distractor = np.isin(truth.classes[here], DISTRACTORS)
        distracts = bool((iou[distractor] >= _LEAST).any())
        frame = _Frame(
            people=person[here][scored[here]],
            iou=iou[scored[here]],
            every_iou=iou if distracts else None,
            distractor=distractor,
        )
        frames.append(frame)
        rows, columns = np.nonzero(frame.iou >= 0.5)
        pairs.append(np.column_stack([frame.people[rows], starts[t] + columns]))
        for who in set(frame.people[rows].tolist()):
            seen[who].append(t)
    person_of_pair, detection = np.concatenate(pairs).T
    return _Truth(
        frames=frames,
        people=len(names),
        annotated=int(scored.sum()),
        sightings=[np.array(some, np.int64) for some in seen],
        starts=starts[:-1],
        person=person_of_pair,
        detection=detection,
    )


def _as_written(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return xyxy as TrackEval reads it: left, top, width and height of two decimals."""
    exact = boxes.astype(np.float64)
    ltwh = np.hstack([exact[:, :2] + 1, exact[:, 2:] - exact[:, :2]]).round(2)
    return np.hstack([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]])


def _iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """IoU in the order of operations of TrackEval, so that ties fall alike: (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1] - common
    solid = (areas[0][:, None] > 0) & (areas[1] > 0)
    return np.divide(common, union, out=np.zeros_like(common), where=solid)


def _without_distractors(frame: _Frame, index: Ints) -> npt.NDArray[np.bool_]:
    """Return which of these detections stay: those that match no distractor."""
    assert frame.every_iou is not None
    iou = frame.every_iou[:, index]
    stay = np.ones(len(index), np.bool_)
    if (iou[frame.distractor] >= _LEAST).any():
        scores = np.where(iou >= _LEAST, iou, 0)
        rows, columns = linear_sum_assignment(-scores)
        stay[columns[(scores[rows, columns] > 0) & frame.distractor[rows]]] = False
    return stay


def _recovery(
    frame_rate: float, sightings: list[Ints], reported: list[Ints], matched: Ints
) -> Recovery:
    """Count returns and resumed tracks; arguments as in `score_tracks`."""
    counts = np.zeros((4, len(GAPS)), np.int64)
    for who, seen in enumerate(sightings):
        # (M, 2): frame and track.
        own = matched[matched[:, 1] == who][:, [0, 2]]
        for kind, same in _across_gaps(seen, own, frame_rate, count_unmatched=True):
            counts[0, kind] += 1
            counts[1, kind] += same
    lengths = [len(tracks) for tracks in reported]
    frames = np.repeat(np.arange(len(reported)), lengths)
    tracks = np.concatenate(reported) if reported else np.empty(0, np.int64)
    for track in np.unique(tracks).tolist():
        own = matched[matched[:, 2] == track][:, [0, 1]]
        shown = frames[tracks == track]
        for kind, same in _across_gaps(shown, own, frame_rate, count_unmatched=False):
            counts[2, kind] += 1
            counts[3, kind] += not same
    return Recovery(*(tuple(row) for row in counts.tolist()))


def _across_gaps(
    present: Ints, matched: Ints, frame_rate: float, *, count_unmatched: bool
) -> list[tuple[int, bool]]:
    """Compare the last partner before each gap with the first one after it.

    Args:
        present: (P,) frames, ascending, between which there are gaps.
        matched: (M, 2) frames, ascending, and partners.
        frame_rate: Frames a second.
        count_unmatched: Whether a gap without a partner after it counts, as different.

    Returns:
        Of each gap with a partner before it, the index in `GAPS` and whether both are the same.
    """
    missing = (np.diff(present) - 1) / frame_rate
    gaps = np.flatnonzero(missing >= GAPS[0] - 1e-9)
    found = []
    for number, gap in enumerate(gaps):
        end = present[gaps[number + 1]] if number + 1 < len(gaps) else np.inf
        old = matched[matched[:, 0] <= present[gap], 1]
        new = matched[(matched[:, 0] >= present[gap + 1]) & (matched[:, 0] <= end), 1]
        if len(old) and (len(new) or count_unmatched):
            kind = int(np.searchsorted(GAPS, missing[gap] + 1e-9, "right")) - 1
            found.append((kind, bool(len(new) and old[-1] == new[0])))
    return found
