"""Features of tracks: the delta-update and the matching, on the CPU and on CUDA."""

import numpy as np
import pytest
import reference
from scipy.optimize import linear_sum_assignment

from sslmot import Tracker, TrackerConfig, _core
from sslmot._core import _testing
from sslmot.inputs import read_detections
from sslmot.tracking import state
from sslmot.tracking.features import DeviceTable, measure

SETTINGS = {
    "tau": 0.5,
    "min_affinity": 0.3,
    "appearance_weight": 0.5,
    "motion_weight": 0.5,
    "max_cost": 0.8,
}


def on(device, array):
    if device == "cpu":
        return array
    import torch

    return torch.from_numpy(array).to(device)


def norms_of(features, name="embeddings"):
    """Norms beside features, in host memory or on CUDA."""
    if isinstance(features, np.ndarray):
        return _core.row_norms(features, name)
    return measure(features, name)[0]


def unit(x):
    return x / np.linalg.norm(x)


class Table:
    """Features of tracks on a device: unknown, then updated by those of detections."""

    def __init__(self, device, slots, dim):
        self.values = on(device, np.zeros((slots, dim), np.float32))
        self.norms = on(device, np.zeros(slots, np.float32))
        self._device = device

    def store(self, rows, features, columns, deltas):
        there = on(self._device, features)
        numbers = (on(self._device, x) for x in (rows, columns, deltas))
        rows, columns, deltas = numbers
        _testing.ema_update(
            *(self.values, self.norms, rows, there, norms_of(there), columns, deltas),
            stream=stream_of(self._device),
        )

    def read(self):
        features = self.values * self.norms[:, None]
        return features if isinstance(features, np.ndarray) else features.cpu().numpy()


def table_of(device, values):
    """A table whose rows 0.. hold some features, brought to unit length."""
    table, rows = Table(device, *values.shape), np.arange(len(values))
    table.store(rows, values, rows, alike(0.0, len(rows)))
    return table


def stream_of(device):
    if device == "cpu":
        return 0
    import torch

    return torch.cuda.current_stream().cuda_stream


def frame_of(pairs, max_distance, table, rows, embeddings):
    """One camera's arguments of associate and associate_cuda; embeddings are on the device."""
    boxes, classes, seen, seen_classes = pairs
    return (
        *(boxes, np.full(len(boxes), max_distance, np.float32), seen, _core.PairParams(**SETTINGS)),
        *(table.values, table.norms, rows, embeddings, norms_of(embeddings), classes, seen_classes),
        np.full(len(boxes), SETTINGS["min_affinity"], np.float32),
    )


def associate(device, frames):
    """(match, (row_begin, columns, costs)) of each camera, on CUDA by one call."""
    if device == "cpu":
        return [_testing.associate(*frame) for frame in frames]
    import torch

    size = sum(_core.cuda_comparison_bytes(len(frame[0]), len(frame[2])) for frame in frames)
    host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    there = torch.empty(size, dtype=torch.uint8, device=device)
    return _testing.associate_cuda(list(frames), host.numpy(), there, stream_of(device))


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
    pairs = boxes[track].astype(np.float32), classes[track], np.float32(moved), classes[seen]
    return people[track], embeddings.astype(np.float32), pairs


# Sparse candidates (dot products one by one) and dense ones (in blocks) are different code.
@pytest.mark.parametrize("max_distance", [0.4, 1.5, np.inf])
@pytest.mark.parametrize(
    ("t", "n", "d", "extent"),
    [(40, 35, 64, 300), (3, 70, 5, 300), (33, 1, 128, 300), (90, 97, 130, 3000), (70, 80, 31, 900)],
)
def test_matching_is_the_optimum_of_eq_7(device, t, n, d, extent, max_distance):
    rng = np.random.default_rng([t, n])
    features, embeddings, pairs = people_seen_again(rng, t, n, d, extent)
    rows = rng.permutation(t)
    table = table_of(device, features[np.argsort(rows)])
    frame = frame_of(pairs, max_distance, table, rows, on(device, embeddings))
    ((match, (row_begin, columns, costs)),) = associate(device, [frame])
    boxes, classes, seen, seen_classes = pairs
    cost = reference.cost(
        *(
            features,
            embeddings,
            boxes,
            seen,
            np.full(t, max_distance),
            SETTINGS,
            classes,
            seen_classes,
        )
    )
    max_cost = SETTINGS["max_cost"]
    best = linear_sum_assignment(cost)
    optimum = cost[best].sum() + max_cost * (t - len(best[0]))
    assert reference.objective(cost, match, max_cost) == pytest.approx(optimum, abs=1e-4)
    assert (cost[match >= 0, match[match >= 0]] < max_cost).all()
    assert min(t, n) < 5 or (match >= 0).sum() > min(t, n) / 5
    # What it chose from: every pair below the max_cost, with its cost.
    row = np.repeat(np.arange(t), np.diff(row_begin))
    found = np.full((t, n), np.float32(max_cost))
    found[row, columns] = costs
    steady = abs(cost - max_cost) > 1e-4
    np.testing.assert_allclose(found[steady], cost[steady], atol=1e-4)


@pytest.mark.parametrize("max_distance", [1.0, np.inf])
def test_a_box_that_is_no_number_reaches_the_solver(device, max_distance):
    rng = np.random.default_rng(0)
    features, embeddings, pairs = people_seen_again(rng, 20, 20, 16, 3000)
    boxes, classes, _, seen_classes = pairs
    boxes[4, 1] = np.nan
    classes[:] = seen_classes[:] = 0
    table = table_of(device, features)
    frame = frame_of(pairs, max_distance, table, np.arange(20), on(device, embeddings))
    with pytest.raises(ValueError, match="row 4"):
        associate(device, [frame])


@pytest.mark.parametrize(("t", "n"), [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("max_distance", [1.0, np.inf])
def test_nobody_to_match(device, t, n, max_distance):
    features, embeddings, pairs = people_seen_again(np.random.default_rng(0), t, n, 8)
    table = Table(device, 4, 8)
    table.store(np.arange(t), features, np.arange(t), alike(0.0, t))
    frame = frame_of(pairs, max_distance, table, np.arange(t), on(device, embeddings))
    ((match, (row_begin, _, costs)),) = associate(device, [frame])
    assert match.tolist() == [-1] * t
    assert row_begin.tolist() == [0] * (t + 1)
    assert len(costs) == 0


# Few candidates, many, all, and none of them; other widths.
CAMERAS = [
    (90, 97, 130, 3000, 1.0),
    (40, 35, 64, 300, 1.5),
    (33, 20, 31, 900, np.inf),
    (0, 5, 8, 300, 1.0),
    (5, 0, 8, 300, np.inf),
    (50, 60, 512, 1500, 0.5),
]


@pytest.mark.parametrize("order", [CAMERAS, CAMERAS[::-1], CAMERAS[:1], CAMERAS[3:5], []])
def test_cameras_match_together_as_each_alone(order):
    pytest.importorskip("torch")
    if not _core.cuda_device_count():
        pytest.skip("no CUDA device")
    frames = []
    for t, n, d, extent, max_distance in order:
        rng = np.random.default_rng([t, n])
        features, embeddings, pairs = people_seen_again(rng, t, n, d, extent)
        table = Table("cuda", max(t, 1), d)
        table.store(np.arange(t), features, np.arange(t), alike(0.0, t))
        frames.append(frame_of(pairs, max_distance, table, np.arange(t), on("cuda", embeddings)))
    alone = [associate("cuda", [frame])[0] for frame in frames]
    together = associate("cuda", frames)
    assert len(together) == len(order)
    for (match, pairs), (expected, their_pairs), (t, n, *_) in zip(
        together, alone, order, strict=True
    ):
        np.testing.assert_array_equal(match, expected)
        for got, wanted in zip(pairs, their_pairs, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert (match >= 0).sum() >= min(t, n) / 5


def walk(rng, frames, people=30, dim=128):
    """Boxes with scores, and features, of people who walk."""
    corner, looks = rng.uniform(0, 2000, (people, 2)), rng.normal(size=(people, dim))
    for _ in range(frames):
        corner = corner + rng.normal(0, 3, corner.shape)
        seen = rng.permutation(people)
        boxes = np.hstack([corner, corner + np.array((40, 100)), np.full((people, 1), 0.95)])
        yield np.float32(boxes[seen]), np.float32(looks[seen] + rng.normal(0, 0.1, (people, dim)))


def test_a_frame_works_on_the_current_stream(device):
    if device == "cpu":
        pytest.skip("streams are CUDA's")
    import torch

    here, there = Tracker(), Tracker()
    for boxes, features in walk(np.random.default_rng(0), 5):
        last = on(device, features)
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda._sleep(50_000_000)
            late = torch.zeros_like(last).copy_(last)
            tracks = there.step(None, boxes, embeddings=late)
        expected = here.step(None, boxes, embeddings=features)
        np.testing.assert_array_equal(tracks.ids, expected.ids)
    assert len(tracks.ids) > 20


def test_torch_waits_for_nothing(device):
    """Once there is room, torch waits but in the checks of a frame's features."""
    if device == "cpu":
        pytest.skip("nothing to wait for")
    import torch

    tracker, film = Tracker(), list(walk(np.random.default_rng(0), 4))
    table = DeviceTable(on(device, film[0][1]))
    for i, (boxes, features) in enumerate(film):
        there = on(device, features)
        detections, native = read_detections(boxes[:, :5]), tracker.table
        torch.cuda.set_sync_debug_mode("error" if i > 1 else "default")
        try:
            bound = table.bind(native, len(boxes))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        step = native.prepare(detections, False, there, "embeddings", *measure(there), bound)
        _core.associate_steps([step])
        ids, *_ = native.commit(step, None)
    assert len(ids) == 30


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
        "max_distance": norms,
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
        _testing.associate_cuda([frame], buffer, buffer, 0)


@pytest.mark.parametrize("deltas", [(0.0, 0.5), (0.9, 1.0)])
def test_delta_update(device, deltas):
    deltas = np.float32(deltas)
    rng = np.random.default_rng(0)
    old = rng.normal(size=(4, 16)).astype(np.float32)
    new = 5 * rng.normal(size=(3, 16)).astype(np.float32)
    table = table_of(device, old)
    table.store(np.array([2, 0]), new, np.array([1, 2]), deltas)
    expected = np.array([unit(x) for x in old])
    for row, column, delta in zip((2, 0), (1, 2), deltas, strict=True):
        expected[row] = unit(delta * unit(old[row]) + (1 - delta) * unit(new[column]))
    np.testing.assert_allclose(table.read(), expected, atol=1e-6)


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_where_one_is_unknown_the_other_stands_alone(device, delta):
    table = table_of(device, np.float32([[0, 0], [1, 0], [0, 0]]))
    new = np.float32([[0, 2], [0, 0]])
    table.store(np.array([0, 1, 2]), new, np.array([0, 1, 1]), alike(delta, 3))
    np.testing.assert_allclose(table.read(), [[0, 1], [1, 0], [0, 0]])


def test_opposite_features_leave_nothing_known(device):
    features = np.random.default_rng(0).normal(size=(50, 128)).astype(np.float32)
    table, rows = table_of(device, features), np.arange(50)
    table.store(rows, -3 * features, rows, alike(0.5, 50))
    np.testing.assert_array_equal(table.read(), np.zeros((50, 128)))


PERSON = np.float32([[40, 40, 80, 140, 0.95]])


def features_of(tracker):
    return state.features_of(tracker.table, tracker.history, tracker.table.tracks["slots"])


def test_a_new_owner_of_a_row_starts_unknown(device):
    tracker, slots = Tracker(TrackerConfig(max_age=0.0, reid_max_age=0.0)), []
    known, unknown = (on(device, np.float32([[x, 0]])) for x in (3, 0))
    for z, expected in ((known, [[1, 0]]), (unknown, [[0, 0]]), (known, [[1, 0]])):
        tracker.step(None, PERSON, embeddings=z)
        slots.extend(tracker.table.tracks["slots"].tolist())
        np.testing.assert_array_equal(features_of(tracker), expected)
        tracker.step(None, [])
        assert len(tracker.table) == 0
    assert slots == slots[:1] * 3


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
    expected, _ = _testing.associate(*arguments, params, *features, *classes)
    copies = [[Copies(x) for x in part] for part in (arguments, features, classes)]
    got, _ = _testing.associate(*copies[0], params, *copies[1], *copies[2])
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, np.arange(n))


def test_features_of_tracks_are_read(device):
    boxes = np.vstack([PERSON, PERSON, PERSON])
    boxes[:, [0, 2]] += np.float32([[0], [200], [400]])
    tracker = Tracker()
    tracker.step(None, boxes, embeddings=on(device, np.float32([[3, 0], [0, 0], [0, 2]])))
    slots = tracker.table.tracks["slots"][[2, 1]]
    np.testing.assert_array_equal(
        state.features_of(tracker.table, tracker.history, slots), [[0, 1], [0, 0]]
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(device, bad):
    embeddings = np.ones((3, 4), np.float32)
    embeddings[1, 2] = bad
    with pytest.raises(ValueError, match=r"features of X: .* row 1"):
        norms_of(on(device, embeddings), "features of X")


def test_norms_on_cuda_are_those_in_host_memory(device):
    if device == "cpu":
        pytest.skip("one copy of the norms")
    embeddings = np.random.default_rng(0).normal(size=(9, 33)).astype(np.float32)
    embeddings[4] = 0
    norms, norms_here = measure(on(device, embeddings))
    expected = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms_here, expected, rtol=1e-6)
    np.testing.assert_array_equal(norms.cpu().numpy(), norms_here)


def test_slots_are_never_in_two_hands(device):
    rng, most = np.random.default_rng(0), 0
    tracker = Tracker(TrackerConfig(max_age=2 / 30, reid_max_age=4 / 30))
    for _ in range(150):
        n = int(rng.integers(0, 40))
        corner = rng.uniform(0, 4000, (n, 2))
        boxes = np.hstack([corner, corner + np.array((40, 100)), rng.uniform(0.6, 1, (n, 1))])
        z = rng.normal(size=(n, 5)).astype(np.float32)
        tracker.step(None, boxes.astype(np.float32), embeddings=on(device, z))
        table = tracker.table
        held = [*table.tracks["slots"], *table.lost["slots"]]
        assert len(set(held)) == len(held)
        assert max(held, default=0) < max(table.slots_with(0), 1)
        most = max(most, len(held))
    assert table.slots_with(0) < 3 * most  # what is given back is used again


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
        _testing.ema_update(**{**args, **change})
