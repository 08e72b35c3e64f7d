"""Each function of the native core, with valid, extreme and invalid arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sslmot import _core
from sslmot._core import _testing
from sslmot.assignment import iou
from sslmot.tracking.config import TrackerConfig, native_settings

from .errors import refusing
from .values import INTEGERS, ODD, boxes, chance, numbers, size, spoiled

Generator = np.random.Generator
_MOST_BYTES = 2**24  # of an array that is replaced: as a list, an array takes ten times the memory
Arguments = dict[str, Any]


def spoil(rng: Generator, arguments: Arguments) -> bool:
    """Replace one or two arrays, in a third of all cases. Return whether one was replaced."""
    names = [
        name
        for name, value in arguments.items()
        if isinstance(value, np.ndarray) and value.nbytes <= _MOST_BYTES
    ]
    if not names or not chance(rng, 0.35):
        return False
    for name in rng.permutation(names)[: rng.integers(1, 3)]:
        arguments[name] = spoiled(rng, arguments[name])
    return True


@contextmanager
def asking(arguments: Arguments, *more: str) -> Iterator[None]:
    """Catch the documented errors of a call, about any of its arguments."""
    with refusing(*(f"{name}: expected" for name in (*arguments, *more))):
        yield


def params(rng: Generator, odd: float = 0.1) -> Any:
    """Draw PairParams, with a share of odd values."""

    def setting(*usual: float) -> float:
        return float(rng.choice(ODD if chance(rng, odd) else usual))

    return _core.PairParams(
        tau=setting(0.1, 0.2, 1.0),
        min_affinity=setting(0.0, 0.25, 1.0),
        appearance_weight=setting(0.0, 0.5, 1.0),
        motion_weight=setting(0.0, 0.5, 1.0),
        max_cost=setting(0.3, 0.8, 1.0),
    )


def is_matching(match: np.ndarray, rows: int, columns: int) -> None:
    """Check that each row has a unique column, or none."""
    assert match.shape == (rows,)
    assert match.dtype == np.int32
    assert ((match >= -1) & (match < max(columns, 0))).all() if rows else True
    made = match[match >= 0]
    assert len(np.unique(made)) == len(made)


def is_best(match: np.ndarray, cost: np.ndarray, max_cost: float) -> None:
    """Check that all pairs cost less than max_cost, and that the total is not above SciPy's."""
    rows = (match >= 0).nonzero()[0]
    paid = cost.astype(np.float64)[rows, match[rows]]
    assert (paid < max_cost).all()
    clamped = np.minimum(cost.astype(np.float64), max_cost)
    total = clamped[linear_sum_assignment(clamped)].sum()
    total += max_cost * max(cost.shape[0] - cost.shape[1], 0)
    ours = paid.sum() + max_cost * (len(match) - len(rows))
    largest = max(np.abs(clamped).max(initial=0), abs(max_cost))
    assert ours <= total + 1e-6 * largest * max(cost.shape), (ours, total)


def costs(rng: Generator, rows: int, columns: int) -> np.ndarray:
    """Draw a matrix of costs of any sign and size, with ties, forbidden pairs and odd numbers."""
    cost = rng.choice([1e-3, 1.0, 1e6]) * rng.uniform(rng.choice([-1, 0]), 1, (rows, columns))
    if chance(rng, 0.3):
        cost = np.round(cost, 1)
    if chance(rng, 0.3):
        cost[rng.random(cost.shape) < 0.7] = rng.choice([np.inf, 1e300, 1e30, 1.0])
    if chance(rng, 0.1) and cost.size:
        cost.flat[rng.integers(cost.size)] = rng.choice([np.nan, -np.inf, -1e300, 1e308, -1e308])
    with np.errstate(over="ignore"):
        return cost.astype(rng.choice([np.float32, np.float64]))


def limits(rng: Generator) -> float:
    return float(rng.choice([*ODD, 0.3, 0.3, 0.8, 0.8, 1e3, 1e300, -1e300]))


def assign(rng: Generator) -> None:
    cost, max_cost = costs(rng, size(rng, 40), size(rng, 40)), limits(rng)
    arguments = {"cost": cost, "max_cost": max_cost}
    same = not spoil(rng, arguments)
    with asking(arguments):
        match = _core.assign(**arguments)
        if same:
            is_matching(match, *cost.shape)
            if np.abs(cost).max(initial=0) < 1e9 and abs(max_cost) < 1e9:
                is_best(match, cost, max_cost)


def assign_pairs(rng: Generator) -> None:
    cost, max_cost = costs(rng, size(rng, 40), size(rng, 40)), limits(rng)
    kept = rng.random(cost.shape) < rng.choice([0.05, 0.5, 1.0])
    columns = kept.nonzero()[1].astype(np.int32)
    begin = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    arguments = {
        "row_begin": begin,
        "columns": columns,
        "costs": cost[kept],
        "n_columns": cost.shape[1],
        "max_cost": max_cost,
    }
    same = not spoil(rng, arguments)
    if chance(rng, 0.1):
        arguments["n_columns"] = int(rng.choice(INTEGERS))
        same = False
    if chance(rng, 0.1) and len(columns):
        arguments["columns"] = rng.permutation(columns)  # some occur twice in a row
        same = False
    if chance(rng, 0.05):
        arguments["row_begin"] = rng.choice([*begin, -1, 2**31 - 1], len(begin)).astype(np.int32)
        same = False
    with asking(arguments, "cost"):
        match = _testing.assign_pairs(**arguments)
        if same:
            is_matching(match, *cost.shape)
            if np.abs(cost[kept]).max(initial=0) < 1e9 and abs(max_cost) < 1e9:
                is_best(match, np.where(kept, cost, max(max_cost, 0) + 1), max_cost)


def row_norms(rng: Generator) -> None:
    rows = numbers(rng, (size(rng), size(rng)), rng.choice([0.0, 0.05]))
    arguments = {"embeddings": rows}
    same = not spoil(rng, arguments)
    with asking(arguments):
        norms = _core.row_norms(**arguments)
        if same:
            expected = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
            np.testing.assert_allclose(norms, expected, rtol=1e-5, atol=1e-38)


def sides(rng: Generator, t: int, n: int, odd: float) -> Arguments:
    """Draw the boxes of tracks and detections."""
    found: Arguments = {
        "track_boxes": boxes(rng, t, odd),
        "detection_boxes": boxes(rng, n, odd),
        "max_distance": rng.choice([0.0, 0.6, 2.5, 1e3, np.inf], t).astype(np.float32),
    }
    if chance(rng, 0.1):
        found["max_distance"] = numbers(rng, t, 0.5)
    if chance(rng, 0.3):
        found["track_classes"] = rng.integers(-1, 2, t).astype(np.int32)
        found["detection_classes"] = rng.integers(-1, 2, n).astype(np.int32)
    if n and t and chance(rng, 0.5):
        found["detection_boxes"][: min(t, n)] = found["track_boxes"][: min(t, n)]
    return found


def cost(rng: Generator) -> None:
    b, t, n, d = rng.integers(0, 4), size(rng, 33), size(rng, 33), size(rng)
    odd = rng.choice([0.0, 0.0, 0.02])
    problems = [sides(rng, t, n, odd) for _ in range(b)]
    arguments: Arguments = {
        "track_features": numbers(rng, (b, t, d), odd),
        "detection_features": numbers(rng, (b, n, d), odd),
        "out": np.full((b, t, n), 7, np.float32),
        "min_affinity": rng.uniform(0, 1, (b, t)).astype(np.float32),
    }
    for name, blank in (
        ("track_boxes", (0, t, 4)),
        ("detection_boxes", (0, n, 4)),
        ("max_distance", (0, t)),
    ):
        each = [p[name] for p in problems]
        arguments[name] = np.stack(each) if each else np.zeros(blank, np.float32)
    if chance(rng, 0.3):
        del arguments["track_features"], arguments["detection_features"]
        arguments |= {"track_features": None, "detection_features": None}
    if chance(rng, 0.3):
        arguments["track_classes"] = rng.integers(0, 2, (b, t)).astype(np.int32)
        arguments["detection_classes"] = rng.integers(0, 2, (b, n)).astype(np.int32)
    plain = not odd
    settings = params(rng, 0.0 if plain else 0.1)
    same = not spoil(rng, arguments)
    with asking(arguments):
        _testing.cost(**arguments, params=settings)
        if same and plain:
            out = arguments["out"]
            assert ((out >= 0) & (out <= np.float32(settings.max_cost))).all()


def candidates(rng: Generator) -> None:
    t, n, odd = size(rng), size(rng), rng.choice([0.0, 0.0, 0.05])
    arguments = sides(rng, t, n, odd)
    same = not spoil(rng, arguments)
    with asking(arguments, "dets"):
        begin, columns, distances = _testing.candidates(**arguments)
        if not same:
            return
        assert len(begin) == t + 1
        assert begin[0] == 0
        assert begin[-1] == len(columns) == len(distances)
        counts = np.diff(begin)
        assert (counts >= 0).all()
        assert (counts <= n).all()
        rows = np.repeat(np.arange(t), counts)
        assert len(np.unique(rows * max(n, 1) + columns)) == len(columns)
        assert not (distances > arguments["max_distance"][rows]).any()
        if not odd and t and n:
            made = np.zeros((t, n), bool)
            made[rows, columns] = True
            assert made[surely_near(arguments)].all()


def surely_near(arguments: Arguments) -> np.ndarray:
    """Return pairs (T, N) of equal boxes and classes that are clearly within max_distance."""
    track, box = (arguments[f"{x}_boxes"].astype(np.float64) for x in ("track", "detection"))
    sides = np.maximum(track[:, 2:] - track[:, :2], 1e-6)
    centre, other = ((b[:, :2] + b[:, 2:]) / 2 for b in (track, box))
    distance = (np.abs(centre[:, None] - other) / sides[:, None]).sum(axis=2) / 2
    alike = (np.abs(track[:, None] - box) < 1e-9).all(axis=2)
    near = alike & (distance <= np.minimum(0.9 * arguments["max_distance"][:, None] - 1e-3, 1e9))
    if "track_classes" in arguments:
        near &= arguments["track_classes"][:, None] == arguments["detection_classes"]
    found: np.ndarray = near
    return found


def frame(rng: Generator, odd: float) -> Arguments:
    """Draw the arguments of associate."""
    t, n, d, rows = size(rng, 64), size(rng, 64), size(rng, 33), size(rng)
    arguments = sides(rng, t, n, odd)
    if chance(rng, 0.7) and (rows or not t):
        table = numbers(rng, (rows, d))
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        embeddings = numbers(rng, (n, d), odd)
        with np.errstate(all="ignore"):
            norms = np.sqrt((embeddings.astype(np.float64) ** 2).sum(axis=1)).astype(np.float32)
        arguments |= {
            "table": table.astype(np.float32),
            "table_norms": rng.choice([0.0, 1.0, 1.0], rows).astype(np.float32),
            "rows": rng.integers(0, max(rows, 1), t),
            "embeddings": embeddings,
            "norms": norms,
        }
    if chance(rng, 0.5):
        arguments["min_affinity"] = rng.uniform(0, 1, t).astype(np.float32)
    return arguments


def associate(rng: Generator) -> None:
    odd = rng.choice([0.0, 0.0, 0.02])
    arguments = frame(rng, odd)
    t, n = len(arguments["track_boxes"]), len(arguments["detection_boxes"])
    settings = params(rng, 0.0 if not odd else 0.1)
    same = not spoil(rng, arguments)
    if chance(rng, 0.05) and isinstance(arguments.get("rows"), np.ndarray):
        arguments["rows"] = rng.choice(INTEGERS, t)
    with asking(arguments, "cost", "dets"):
        match, (begin, columns, paid) = _testing.associate(**arguments, params=settings)
        if not same:
            return
        is_matching(match, t, n)
        if odd:
            return
        assert (paid < settings.max_cost).all()
        rows = np.repeat(np.arange(t), np.diff(begin))
        dense = np.full((t, n), np.float32(settings.max_cost))
        dense[rows, columns] = paid
        is_best(match, dense, np.float32(settings.max_cost))


def associate_cuda(rng: Generator) -> None:
    """Check argument errors. Arrays on the host are always rejected."""
    frames = [frame(rng, 0.0) for _ in range(rng.integers(0, 3))]
    names = ("table", "table_norms", "rows", "embeddings", "norms")
    calls = []
    for arguments in frames:
        spoil(rng, arguments)
        first = (arguments["track_boxes"], arguments["max_distance"], arguments["detection_boxes"])
        features = [arguments.get(name) for name in names]
        classes = [arguments.get(name) for name in ("track_classes", "detection_classes")]
        calls.append((*first, params(rng), *features, *classes, arguments.get("min_affinity")))
    buffers = {"host": np.zeros(64, np.uint8), "device": np.zeros(64, np.uint8)}
    spoil(rng, buffers)
    if not frames:
        return
    with asking({name: None for f in frames for name in f} | buffers, *names):
        _testing.associate_cuda(calls, *buffers.values(), 0)
        raise AssertionError("expected arrays on the host to be refused")


def cuda_comparison_bytes(rng: Generator) -> None:
    arguments = {"tracks": int(rng.choice(INTEGERS)), "detections": int(rng.choice(INTEGERS))}
    with asking(arguments):
        assert 0 <= _core.cuda_comparison_bytes(**arguments) < 2**40


def read_detections(rng: Generator) -> None:
    rows = np.hstack(
        [boxes(rng, n := size(rng), rng.choice([0.0, 0.02])), numbers(rng, (n, 2))]
    ).astype(rng.choice([np.float32, np.float64]))
    rows[:, 5] = np.round(rows[:, 5])
    if n and chance(rng, 0.2):
        rows[rng.integers(n), rng.integers(6)] = rng.choice([*ODD, 1e9, -1e9, 1.5e9, 0.5])
    width = rng.integers(3, 8)
    rows = np.hstack([rows, rows])[:, :width].copy()
    arguments = {"rows": rows}
    same = not spoil(rng, arguments)
    with asking(arguments):
        found, refused = _core.read_detections(**arguments)
        if not same:
            return
        assert len(found) == len(rows)
        with np.errstate(invalid="ignore"):
            well = (np.abs(rows) <= 1e9).all(axis=1)
            narrow = rows[:, :4].astype(np.float32)
            well &= (narrow[:, :2] <= narrow[:, 2:4]).all(axis=1)
        if width > 5:
            with np.errstate(invalid="ignore"):
                well &= np.round(rows[:, 5]) == rows[:, 5]
        assert refused == (-1 if well.all() else int((~well).nonzero()[0][0]))
        if refused < 0:
            np.testing.assert_array_equal(found.boxes, narrow)
            assert width < 5 or (found.scores == rows[:, 4].astype(np.float32)).all()
            assert width < 6 or (found.classes == rows[:, 5]).all()


def gaps(rng: Generator, t: int) -> np.ndarray:
    """Draw seconds since the last detections."""
    found: np.ndarray = rng.choice([0.0, 1 / 30, 0.5, 3.0], t)
    if t and chance(rng, 0.2):
        found[rng.integers(t)] = rng.choice([*ODD, 1e300, -1.0])
    return found


def predict(rng: Generator) -> None:
    t = size(rng)
    state = numbers(rng, (t, 5, 4), rng.choice([0.0, 0.05]))
    arguments = {"state": state, "gaps": gaps(rng, t)}
    same = not spoil(rng, arguments)
    with asking(arguments):
        found = _testing.predict(**arguments)
        if same and np.abs(state).max(initial=0) < 1e9 and np.isfinite(state).all():
            seconds = np.minimum(arguments["gaps"], 3600)[:, None]
            centre = state[:, 0, :2] + seconds * state[:, 1, :2]
            got = (found[:, :2] + found[:, 2:]) / 2
            scale = np.abs(state[:, :2]).max(initial=0) * (1 + seconds)
            assert (np.abs(got - centre) <= 1e-5 * scale + 1e-30).all()


def observe(rng: Generator) -> None:
    t, n = size(rng, 33), size(rng, 33)
    k = int(rng.integers(0, min(t, n) + 1))
    odd = rng.choice([0.0, 0.0, 0.05])
    state = numbers(rng, (t, 5, 4), odd)
    state[:, 2:] = np.abs(state[:, 2:])
    seen = boxes(rng, n, odd)
    arguments: Arguments = {
        "state": state.copy(),
        "gaps": gaps(rng, t),
        "rows": rng.permutation(t)[:k],
        "boxes": seen,
        "columns": rng.permutation(n)[:k],
    }
    noise = {"value": 0.55, "velocity": 0.7, "size": 0.05, "measurement": 0.05}
    if odd:
        noise[str(rng.choice(list(noise)))] = float(rng.choice(ODD))
    rows = arguments["rows"]
    same = not spoil(rng, arguments)
    if chance(rng, 0.05) and k:
        arguments[str(rng.choice(["rows", "columns"]))] = rng.choice(INTEGERS, k)
        same = False
    with asking(arguments):
        _testing.observe(**arguments, noise=_core.MotionNoise(**noise))
        if same:
            others = np.setdiff1d(np.arange(t), rows)
            np.testing.assert_array_equal(arguments["state"][others], state[others])


def occluded_shares(rng: Generator) -> None:
    found = boxes(rng, size(rng), rng.choice([0.0, 0.05]))
    found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])
    arguments = {"boxes": found}
    same = not spoil(rng, arguments)
    with asking(arguments):
        shares = _testing.occluded_shares(**arguments)
        if same and (np.abs(found) <= 1e9).all():
            assert ((shares >= 0) & (shares <= 1 + 1e-5)).all()


def largest_overlaps(rng: Generator) -> None:
    n, m, odd = size(rng), size(rng), rng.choice([0.0, 0.0, 0.05])
    arguments = {
        "boxes": boxes(rng, n, odd),
        "others": boxes(rng, m, odd),
        "classes": rng.integers(0, 2, n).astype(np.int32),
        "other_classes": rng.integers(0, 2, m).astype(np.int32),
    }
    one, other, a, b = arguments.values()
    same = not spoil(rng, arguments)
    with asking(arguments):
        overlaps, _ = _testing.largest_overlaps(**arguments)
        if same and not odd:
            expected = (iou(one, other) * (a[:, None] == b)).max(axis=1, initial=0)
            np.testing.assert_array_equal(overlaps, expected)


def ema_update(rng: Generator) -> None:
    s, n, d = size(rng), size(rng), size(rng)
    k = int(rng.integers(0, min(s, n) + 1))
    table = numbers(rng, (s, d)).astype(np.float64)
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    table = (table / np.where(norms > 0, norms, 1)).astype(np.float32)
    odd = rng.choice([0.0, 0.0, 0.02])
    embeddings = numbers(rng, (n, d), odd)
    with np.errstate(all="ignore"):
        lengths = np.sqrt((embeddings.astype(np.float64) ** 2).sum(axis=1)).astype(np.float32)
    rows = rng.permutation(s)[:k]
    arguments: Arguments = {
        "table": table,
        "table_norms": (norms[:, 0] > 0).astype(np.float32),
        "rows": rows,
        "embeddings": embeddings,
        "norms": lengths,
        "columns": rng.permutation(n)[:k],
        "delta": rng.uniform(0, 1, k).astype(np.float32),
    }
    same = not spoil(rng, arguments)
    if chance(rng, 0.05) and k:
        arguments[str(rng.choice(["rows", "columns"]))] = rng.choice(INTEGERS, k)
        same = False
    with asking(arguments):
        _testing.ema_update(**arguments)
        if same and not odd:
            known = arguments["table_norms"][rows]
            assert np.isin(known, [0, 1]).all()
            got = np.linalg.norm(arguments["table"][rows], axis=1)
            assert (np.abs(got - known) < 1e-3).all()


def crop(rng: Generator) -> None:
    height, width = (int(x) for x in rng.choice([1, 2, 7, 64, 300], 2))
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if chance(rng, 0.3):
        picture = picture[:, : max(width // 2, 1)] if chance(rng, 0.5) else picture[::2]
    if chance(rng, 0.02):
        long = int(rng.choice([4096, 65535, 65536, 10**6]))
        picture = np.zeros((1, long, 3) if chance(rng, 0.5) else (long, 1, 3), np.uint8)
    n, odd = size(rng, 9), rng.choice([0.0, 0.0, 0.1])
    h, w = (int(x) for x in rng.choice([1, 2, 17, 64], 2))
    if chance(rng, 0.02):
        n, h, w = min(n, 1), int(rng.choice([1, 4096, 5000])), int(rng.choice([1, 4096, 10**6]))
        h = h if w < 10**6 else 1
    out = np.full((n, 3, h, w), np.nan, np.float32)
    arguments: Arguments = {"frame": picture, "boxes": boxes(rng, n, odd), "out": out}
    spread = float(rng.choice([1.0, 1.0, 1e-3, *ODD])), float(rng.choice([0.0, 0.0, *ODD]))
    same = not spoil(rng, arguments)
    with asking(arguments, "mean, std"):
        _core.crop(
            **arguments, mean=(spread[1],) * 3, std=(spread[0],) * 3, bgr_to_rgb=chance(rng, 0.5)
        )
        if same and spread == (1.0, 0.0):
            assert ((out >= -1e-3) & (out <= 1 + 1e-3)).all()


def pile(rng: Generator) -> None:
    """Crowds in one place, near the largest allowed size, and above."""
    n, m = (int(x) for x in rng.choice([100, 1000, 2000, 3000, 20_000], 2))
    one, other = boxes(rng, 1), boxes(rng, 1)
    arguments: Arguments = {
        "track_boxes": np.tile(one, (n, 1)),
        "max_distance": np.full(n, rng.choice([0.5, np.inf]), np.float32),
        "detection_boxes": np.tile(one if chance(rng, 0.8) else other, (m, 1)),
    }
    if chance(rng, 0.3):
        ones = np.ones(max(n, m), np.float32)
        arguments |= {"table": ones[:n, None], "table_norms": ones[:n], "rows": np.arange(n)}
        arguments |= {"embeddings": ones[:m, None], "norms": ones[:m]}
    with asking(arguments, "dets"):
        match, _ = _testing.associate(**arguments, params=params(rng, 0.0))
        is_matching(match, n, m)


def empty_table(rng: Generator) -> Any:
    """Create a table of tracks with random settings."""
    settings = TrackerConfig(
        motion=rng.choice(["kalman", "none"]).item(),
        min_hits=int(rng.integers(0, 3)),
        max_age=int(rng.integers(0, 4)) / 30,
        reid_max_age=int(rng.integers(4, 9)) / 30,
        high_score=float(rng.choice([0.0, 0.3])),
        instant_confirm_score=float(rng.choice([0.5, 2.0])),
    )
    return _core.TrackTable(native_settings(settings))


def frame_of_table(rng: Generator, dim: int) -> Arguments:
    """Draw the arguments of prepare: few positions and features, so that tracks match again."""
    n = size(rng, 17)
    corner = 100.0 * rng.integers(0, 8, (n, 2)) + rng.uniform(-5, 5, (n, 2))
    boxes = np.hstack([corner, np.add(corner, (40, 90))])
    rows = np.column_stack([boxes, rng.random(n), rng.integers(0, 2, n)])
    arguments: Arguments = {
        "detections": _core.read_detections(rows)[0],
        "gallery": chance(rng, 0.5),
    }
    if chance(rng, 0.8):
        embeddings = np.eye(dim, dtype=np.float32)[rng.integers(0, dim, n)]
        embeddings *= rng.choice([0.0, 1.0, 3.0, 3.0], (n, 1)).astype(np.float32)
        arguments["embeddings"] = embeddings
    if chance(rng, 0.3):
        scale = float(rng.uniform(0.9, 1.1))
        affine = scale * np.eye(2, 3) + rng.normal(0, 2, (2, 3)) * [0, 0, 1]
        arguments |= {"affine": affine.astype(np.float32), "zoom": scale}
    return arguments


def kept(table: Any) -> list[bytes]:
    """Return the whole state of a table."""
    tracks = [*table.tracks.values(), *table.lost.values()]
    features = table.read_features(np.concatenate([table.tracks["slots"], table.lost["slots"]]))
    rest = np.array([table.next_id, table.feature_dim, table.slots_with(0)])
    return [values.tobytes() for values in (*tracks, features, rest)]


def track_table(rng: Generator) -> None:
    """Run frames through a table. Repeated, late and rejected steps must change nothing."""
    table, dim, highest = empty_table(rng), int(rng.integers(3, 9)), 0
    for _ in range(rng.integers(1, 9)):
        arguments, before = frame_of_table(rng, dim), kept(table)
        spoil(rng, given := dict(arguments))
        with asking(given, "dets"):
            table.prepare(**given)
        slot = int(rng.choice([-1, table.slots_with(0), 2**31, 2**62, -(2**63)]))
        for wrong in ([slot], [[0]], [0.5]):
            with pytest.raises(ValueError, match=r"^slots: expected"):
                table.read_features(np.array(wrong))
        step, late = table.prepare(**arguments), table.prepare(**arguments)
        for each in (step, late):
            _core.associate_steps([each])
        for new_tracks in (False, True):
            count = len(table.without_id(step, new_tracks))
            for wrong in (np.zeros(count + 1, np.int64), np.zeros(count, np.float32)):
                with pytest.raises(ValueError, match=r"^known: expected"):
                    table.assign_ids(step, new_tracks, wrong, 1)
            first_id = int(rng.integers(1, 50))
            for each in (late, step):
                known = np.zeros(len(table.without_id(each, new_tracks)), np.int64)
                table.assign_ids(each, new_tracks, known, first_id)
        is_matching(step.match, len(table), len(arguments["detections"]))
        assert step.predicted.shape == (len(table), 4)
        assert kept(table) == before
        ids, *_, columns = table.commit(step, None)
        assert (np.diff(columns) > 0).all()
        assert len(np.unique(ids)) == len(ids)
        assert ((ids > 0) & (ids < table.next_id)).all()
        assert table.next_id >= highest
        highest = table.next_id
        slots = np.concatenate([table.tracks["slots"], table.lost["slots"]])
        assert len(np.unique(slots)) == len(slots)
        assert np.isin(ids, table.tracks["ids"]).all()
        norms = np.linalg.norm(table.read_features(slots), axis=1)
        assert ((norms == 0) | (np.abs(norms - 1) < 1e-3)).all()
        before = kept(table)
        for each in (step, late):
            with pytest.raises(RuntimeError, match=r"^step: expected one of this frame"):
                table.commit(each, None)
            assert kept(table) == before
        if chance(rng, 0.1):
            table.reset()
            assert len(table) == table.lost_count == table.feature_dim == 0
            highest = 0


TARGETS: dict[str, Callable[[np.random.Generator], None]] = {
    f"native.{function.__name__}": function
    for function in (
        assign,
        assign_pairs,
        row_norms,
        cost,
        candidates,
        associate,
        associate_cuda,
        cuda_comparison_bytes,
        read_detections,
        predict,
        observe,
        occluded_shares,
        largest_overlaps,
        ema_update,
        crop,
        pile,
        track_table,
    )
}
