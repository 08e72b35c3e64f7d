"""Features of tracks: the delta-update and the matching, on the CPU and on CUDA."""

import numpy as np
import pytest
import reference
from scipy.optimize import linear_sum_assignment

from sslmot import _core
from sslmot.association import BoxPairs
from sslmot.features import Comparison, FeatureTable, RowPool, match_together

SETTINGS = {
    "tau": 0.5,
    "min_affinity": 0.3,
    "appearance_weight": 0.5,
    "motion_weight": 0.5,
    "shape_weight": 0.5,
    "gate": 0.8,
}


def on(device, array):
    if device == "cpu":
        return array
    import torch

    return torch.from_numpy(array).to(device)


def unit(x):
    return x / np.linalg.norm(x)


def table_of(device, values):
    """A table whose rows 0.. hold some features, brought to unit length."""
    table = FeatureTable.like(on(device, values))
    table.grow(len(values))
    rows = np.arange(len(values))
    table.store(rows, table.prepare(on(device, values)), rows, alike(0.0, len(rows)))
    return table


def alike(delta, n):
    return np.full(n, delta, np.float32)


def people_seen_again(rng, t, n, d, extent=300):
    """Tracks of people, and detections of some of them, near where they were."""
    people = rng.normal(size=(max(t, n), d)).astype(np.float32)
    corner = rng.uniform(0, extent, (len(people), 2))
    boxes = np.hstack([corner, corner + rng.uniform(40, 120, (len(people), 2))])
    classes = rng.integers(0, 2, len(people)).astype(np.int32)
    track, seen = rng.permutation(len(people))[:t], rng.permutation(len(people))[:n]
    embeddings = 3 * people[seen] + rng.normal(size=(n, d)) * 0.3
    embeddings[1::9] = 0
    moved = boxes[seen] + rng.normal(0, 5, (n, 4))
    pairs = BoxPairs(
        boxes[track].astype(np.float32), classes[track], moved.astype(np.float32), classes[seen]
    )
    return people[track], embeddings.astype(np.float32), pairs


# Sparse candidates (dot products one by one) and dense ones (in blocks) are different code.
@pytest.mark.parametrize("reach", [0.4, 1.5, np.inf])
@pytest.mark.parametrize(
    ("t", "n", "d", "extent"),
    [(40, 35, 64, 300), (3, 70, 5, 300), (33, 1, 128, 300), (90, 97, 130, 3000), (70, 80, 31, 900)],
)
def test_matching_is_the_optimum_of_eq_7(device, t, n, d, extent, reach):
    rng = np.random.default_rng([t, n])
    features, embeddings, pairs = people_seen_again(rng, t, n, d, extent)
    rows = rng.permutation(t)
    table = table_of(device, features[np.argsort(rows)])
    match, costs = table.compare(
        pairs,
        pairs.each(reach),
        pairs.each(SETTINGS["min_affinity"]),
        rows,
        table.prepare(on(device, embeddings)),
        _core.PairParams(**SETTINGS),
    ).match()
    cost = reference.cost(
        features,
        embeddings,
        pairs.track_boxes,
        pairs.boxes,
        np.full(t, reach),
        SETTINGS,
        pairs.track_classes,
        pairs.classes,
    )
    gate = SETTINGS["gate"]
    best = linear_sum_assignment(cost)
    optimum = cost[best].sum() + gate * (t - len(best[0]))
    assert reference.objective(cost, match, gate) == pytest.approx(optimum, abs=1e-4)
    assert (cost[match >= 0, match[match >= 0]] < gate).all()
    assert min(t, n) < 5 or (match >= 0).sum() > min(t, n) / 5
    # What it chose from: every pair below the gate, with its cost.
    row = np.repeat(np.arange(t), np.diff(costs.row_begin))
    found = np.full((t, n), np.float32(gate))
    found[row, costs.columns] = costs.costs
    steady = abs(cost - gate) > 1e-4
    np.testing.assert_allclose(found[steady], cost[steady], atol=1e-4)
    for i in (match >= 0).nonzero()[0]:
        assert costs.cost(i, match[i]) == found[i, match[i]]


def test_a_box_that_is_no_number_reaches_the_solver(device):
    rng = np.random.default_rng(0)
    features, embeddings, pairs = people_seen_again(rng, 20, 20, 16, 3000)
    pairs.track_boxes[4, 1] = np.nan
    pairs.track_classes[:] = pairs.classes[:] = 0
    table = table_of(device, features)
    described = table.prepare(on(device, embeddings))
    for reach in (1.0, np.inf):
        comparison = table.compare(
            pairs,
            pairs.each(reach),
            pairs.each(0.3),
            np.arange(20),
            described,
            _core.PairParams(**SETTINGS),
        )
        with pytest.raises(ValueError, match="row 4"):
            comparison.match()


@pytest.mark.parametrize(("t", "n"), [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("reach", [1.0, np.inf])
def test_nobody_to_match(device, t, n, reach):
    features, embeddings, pairs = people_seen_again(np.random.default_rng(0), t, n, 8)
    table = FeatureTable.like(on(device, np.ones((1, 8), np.float32)))
    table.grow(4)
    table.store(np.arange(t), table.prepare(on(device, features)), np.arange(t), alike(0.0, t))
    match, costs = table.compare(
        pairs,
        pairs.each(reach),
        pairs.each(0.3),
        np.arange(t),
        table.prepare(on(device, embeddings)),
        _core.PairParams(**SETTINGS),
    ).match()
    assert match.tolist() == [-1] * t
    assert costs.row_begin.tolist() == [0] * (t + 1)
    assert len(costs.costs) == 0


# Few candidates, many, all, and none of them; other widths, and a frame without features.
CAMERAS = [
    (90, 97, 130, 3000, 1.0),
    (40, 35, 64, 300, 1.5),
    (33, 20, 31, 900, np.inf),
    (0, 5, 8, 300, 1.0),
    (5, 0, 8, 300, np.inf),
    (50, 60, 512, 1500, 0.5),
    (30, 30, 0, 300, 1.0),
]


@pytest.mark.parametrize("order", [CAMERAS, CAMERAS[::-1], CAMERAS[:1], CAMERAS[3:5], []])
def test_cameras_match_together_as_each_alone(device, order, monkeypatch):
    params = _core.PairParams(**SETTINGS)

    def compare(t, n, d, extent, reach):
        rng = np.random.default_rng([t, n])
        features, embeddings, pairs = people_seen_again(rng, t, n, d or 1, extent)
        if not d:
            return Comparison.by_motion(pairs, reach, params)
        table = FeatureTable.like(on(device, np.ones((1, d), np.float32)))
        table.grow(t)
        table.store(np.arange(t), table.prepare(on(device, features)), np.arange(t), alike(0.0, t))
        described = table.prepare(on(device, embeddings))
        return table.compare(
            pairs, pairs.each(reach), pairs.each(0.3), np.arange(t), described, params
        )

    comparisons = [compare(*camera) for camera in order]
    alone = [comparison.match() for comparison in comparisons]
    native, calls = _core.associate_cuda, []

    def counted(frames, *work):
        calls.append(len(frames))
        return native(frames, *work)

    monkeypatch.setattr(_core, "associate_cuda", counted)
    together = match_together(comparisons)
    described = sum(d > 0 for _, _, d, _, _ in order)
    assert calls == ([described] if described and device == "cuda" else [])
    assert len(together) == len(order)
    for (match, costs), (expected, expected_costs), (t, n, *_) in zip(
        together, alone, order, strict=True
    ):
        np.testing.assert_array_equal(match, expected)
        for got, wanted in zip(costs, expected_costs, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert (match >= 0).sum() >= min(t, n) / 5


def test_a_frame_works_on_the_current_stream(device):
    if device == "cpu":
        pytest.skip("streams are CUDA's")
    import torch

    rng = np.random.default_rng(0)
    features, embeddings, pairs = people_seen_again(rng, 60, 60, 128, 3000)
    rows, last = np.arange(60), on(device, embeddings)
    params = _core.PairParams(**SETTINGS)
    table = table_of(device, features)
    args = (pairs, pairs.each(1.5), pairs.each(0.3), rows)
    expected = table.compare(*args, table.prepare(last), params).match().match
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(50_000_000)
        late = torch.zeros_like(last).copy_(last)
        match = table.compare(*args, table.prepare(late), params).match().match
    np.testing.assert_array_equal(match, expected)
    assert (match >= 0).sum() > 20


def test_torch_waits_for_nothing(device):
    """Of a frame only the checks of its features and the matching wait for the device."""
    if device == "cpu":
        pytest.skip("nothing to wait for")
    import torch

    rng = np.random.default_rng(0)
    features, embeddings, pairs = people_seen_again(rng, 30, 30, 16)
    rows, table = np.arange(30), table_of(device, features)
    described = table.prepare(on(device, embeddings))
    torch.cuda.set_sync_debug_mode("error")
    try:
        args = (pairs, pairs.each(1.5), pairs.each(0.3), rows, described)
        table.compare(*args, _core.PairParams(**SETTINGS)).match()
        table.store(rows, described, rows, alike(0.5, 30))
        table.forget(rows[:3])
        table.grow(64)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not table.known(rows[:3]).any()
    assert table.known(rows[3:]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"table: expected an array on CUDA, got float32 \(2, 4\) on cpu"),
        (
            {"track_boxes": np.zeros((2, 3), np.float32)},
            r"track_boxes: expected float32 \(any, 4\)",
        ),
    ],
)
def test_a_frame_on_cuda_checks_where_features_are(change, message):
    boxes, norms = np.zeros((2, 4), np.float32), np.ones(2, np.float32)
    classes, buffer = np.zeros(2, np.int32), np.zeros(10_000, np.uint8)
    args = {
        "track_boxes": boxes,
        "reach": norms,
        "detection_boxes": boxes,
        "params": _core.PairParams(**SETTINGS),
        "table": boxes,
        "table_norms": norms,
        "rows": np.arange(2),
        "embeddings": boxes,
        "norms": norms,
        "track_classes": classes,
        "detection_classes": classes,
        "min_affinity": norms,
    }
    frame = tuple({**args, **change}.values())
    with pytest.raises(ValueError, match=message):
        _core.associate_cuda([frame], buffer, buffer, 0)


@pytest.mark.parametrize("deltas", [(0.0, 0.5), (0.9, 1.0)])
def test_delta_update(device, deltas):
    deltas = np.float32(deltas)
    rng = np.random.default_rng(0)
    old = rng.normal(size=(4, 16)).astype(np.float32)
    new = 5 * rng.normal(size=(3, 16)).astype(np.float32)
    table = table_of(device, old)
    table.store(np.array([2, 0]), table.prepare(on(device, new)), np.array([1, 2]), deltas)
    expected = np.array([unit(x) for x in old])
    for row, column, delta in zip((2, 0), (1, 2), deltas, strict=True):
        expected[row] = unit(delta * unit(old[row]) + (1 - delta) * unit(new[column]))
    np.testing.assert_allclose(values(table), expected, atol=1e-6)


def values(table):
    array = table._values * table._norms[:, None]
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_where_one_is_unknown_the_other_stands_alone(device, delta):
    table = table_of(device, np.float32([[0, 0], [1, 0], [0, 0]]))
    new = table.prepare(on(device, np.float32([[0, 2], [0, 0]])))
    table.store(np.array([0, 1, 2]), new, np.array([0, 1, 1]), alike(delta, 3))
    np.testing.assert_allclose(values(table), [[0, 1], [1, 0], [0, 0]])


def test_opposite_features_leave_nothing_known(device):
    features = np.random.default_rng(0).normal(size=(50, 128)).astype(np.float32)
    table, rows = table_of(device, features), np.arange(50)
    table.store(rows, table.prepare(on(device, -3 * features)), rows, alike(0.5, 50))
    np.testing.assert_array_equal(values(table), np.zeros((50, 128)))


def test_a_new_owner_of_a_row_starts_unknown(device):
    table = table_of(device, np.float32([[1, 0], [0, 1]]))
    table.forget(np.array([0]))
    table.grow(5)
    np.testing.assert_array_equal(values(table), [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    new = table.prepare(on(device, np.float32([[0, 3]])))
    table.store(np.array([0]), new, np.array([0]), alike(0.9, 1))
    np.testing.assert_array_equal(values(table)[0], [0, 1])


class Copies:
    """An array whose DLPack export is a copy, which lives as long as its capsule."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **_):
        return self.array.copy().__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_views_outlive_the_call():
    rng = np.random.default_rng(0)
    n, d = 200, 64
    boxes = np.tile(np.float32([0, 0, 10, 20]), (n, 1))
    z = rng.normal(size=(n, d)).astype(np.float32)
    arguments = [boxes, np.full(n, np.inf, np.float32), boxes]
    features = [z, np.linalg.norm(z, axis=1), np.arange(n), z, np.linalg.norm(z, axis=1)]
    classes = [np.zeros(n, np.int32)] * 2
    params = _core.PairParams(**SETTINGS)
    expected, _ = _core.associate(*arguments, params, *features, *classes)
    copies = [[Copies(x) for x in part] for part in (arguments, features, classes)]
    got, _ = _core.associate(*copies[0], params, *copies[1], *copies[2])
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, np.arange(n))


def test_tracks_compare_with_tracks(device):
    table = table_of(device, np.float32([[3, 0], [0, 0], [0, 2]]))
    rows = np.array([2, 1])
    assert table.known(rows).tolist() == [True, False]
    assert table.take(rows).known.tolist() == [True, False]
    np.testing.assert_array_equal(table.read(rows), [[0, 1], [0, 0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(device, bad):
    embeddings = np.ones((3, 4), np.float32)
    table = FeatureTable.like(on(device, embeddings))
    embeddings[1, 2] = bad
    with pytest.raises(ValueError, match="row 1"):
        table.prepare(on(device, embeddings))


def test_rows_are_never_in_two_hands():
    pool, rng, held = RowPool(), np.random.default_rng(0), set()
    for _ in range(300):
        taken = pool.take(int(rng.integers(0, 40))).tolist()
        assert not held & set(taken)
        held |= set(taken)
        assert max(held, default=0) < max(pool.size, 1)
        returned = [row for row in sorted(held) if rng.random() < 0.5]
        pool.give_back(np.array(returned, np.int64))
        held -= set(returned)
    assert pool.size <= 256  # what is given back is used again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.array([0, 9])}, "rows: expected 0 to 1, got 9 at 1"),
        ({"columns": np.array([0, -1])}, "columns: expected 0 to 2, got -1 at 1"),
        ({"rows": np.array([0, 1], np.int32)}, r"rows: expected int64 \(any,\)"),
        ({"delta": np.ones(3, np.float32)}, r"delta: expected float32 \(2,\)"),
        ({"norms": np.ones(2, np.float32)}, r"norms: expected float32 \(3,\)"),
        ({"embeddings": np.ones((3, 5), np.float32)}, r"embeddings: expected float32 \(any, 4\)"),
    ],
)
def test_native_update_checks_its_rows(change, message):
    args = {
        "table": np.zeros((2, 4), np.float32),
        "table_norms": np.zeros(2, np.float32),
        "rows": np.array([0, 1]),
        "embeddings": np.ones((3, 4), np.float32),
        "norms": np.ones(3, np.float32),
        "columns": np.array([0, 1]),
        "delta": np.float32([0.5, 0.5]),
    }
    with pytest.raises(ValueError, match=message):
        _core.blend(**{**args, **change})
