"""The CUDA kernels against float64, as they run on the CPU. test_kernels.py runs these cases."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from crop_reference import crop_reference
from device import Array, _core, _testing, history, in_precision, library, set_device

SETTINGS = {
    "tau": 0.4,
    "min_affinity": 0.05,
    "appearance_weight": 0.6,
    "motion_weight": 0.5,
    "max_cost": 0.9,
}
PARAMS = _core.PairParams(**SETTINGS)
GATE = np.float32(SETTINGS["max_cost"])
SEEDS = (0, 1)

# Every kernel of costs: type, compute capability, product, and edges of its tiles.
SCALAR = [("float32", 8, f"ScalarProduct<float, {k}>", k, k) for k in (64, 32, 16)]
TENSOR = [
    (dtype, 8, f"TensorProduct<{name}, {rows}, {cols}, {squares}, {squares}>", rows, cols)
    for dtype, name in (("float16", "__half"), ("bfloat16", "__nv_bfloat16"))
    for rows, cols, squares in ((128, 64, 2), (32, 32, 1), (16, 16, 1))
]
WITHOUT_TENSOR_CORES = [
    ("float16", 7, "ScalarProduct<__half, 32>", 32, 32),
    ("bfloat16", 7, "ScalarProduct<__nv_bfloat16, 32>", 32, 32),
]
PRODUCTS = SCALAR + TENSOR + WITHOUT_TENSOR_CORES
each_product = pytest.mark.parametrize("product", PRODUCTS, ids=lambda p: f"{p[2]}-{p[1]}")


@pytest.fixture(autouse=True)
def _no_history():
    set_device()
    history()


def random_boxes(rng, *shape):
    corner = rng.uniform(-20, 200, (*shape, 2))
    return np.float32(np.concatenate([corner, corner + rng.uniform(5, 120, (*shape, 2))], -1))


def related_features(rng, batch, t, n, d):
    """Features whose cosines cover the whole range, some zero, of different lengths."""
    people = rng.normal(size=(batch, max(t, n), d))
    sides = []
    for k, zero in ((t, slice(None, None, 7)), (n, slice(3, None, 5))):
        side = people[:, :k] + rng.normal(size=(batch, k, d)) * rng.uniform(0, 1, (batch, k, 1))
        side *= 10 ** rng.uniform(-1, 1, (batch, k, 1))
        side[:, zero] = 0
        sides.append(side.astype(np.float32))
    return sides


def occupy(product, t, n, seed=0):
    """Sets the device so that this product's tiles are taken."""
    _, major, _, rows, cols = product
    blocks = -(-t // rows) * -(-n // cols)
    set_device(major, 1 if rows >= 64 else 4 * blocks // 3 if rows == 32 else 10**6, seed)


def oracle(z, y, track_boxes, boxes, max_distance, least, track_classes=None, classes=None):
    """Costs in float64, and which of them no threshold decides that is nearer than rounding."""
    costs = []
    for shift in (-1e-5, 0, 1e-5):
        rows = []
        for i in range(len(track_boxes)):
            p = dict(SETTINGS, min_affinity=float(least[i]) + shift)
            rows.append(
                reference.cost(
                    None if z is None else z[i : i + 1],
                    y,
                    track_boxes[i : i + 1],
                    boxes,
                    max_distance[i : i + 1] + shift,
                    p,
                    None if classes is None else track_classes[i : i + 1],
                    classes,
                )
            )
        costs.append(np.concatenate(rows) if rows else np.empty((0, len(boxes))))
    sure = (costs[0] == costs[1]) & (costs[1] == costs[2])
    assert not sure.size or sure.mean() > 0.9
    return costs[1], sure


def no_limits(t):
    """Reach and least affinity of tracks for which none are given."""
    return np.full(t, np.inf), np.full(t, SETTINGS["min_affinity"])


def cost(dtype, z, y, track_boxes, boxes, skip=0, dev=0, **optional):
    """Costs (B, T, N) by the kernel."""
    out = Array(np.full((*track_boxes.shape[:2], boxes.shape[1]), np.nan, np.float32), device=dev)
    features = [None if x is None else Array(x, dtype, skip, dev) for x in (z, y)]
    there = {name: Array(x, device=dev) for name, x in optional.items()}
    _testing.cost(
        *features, Array(track_boxes, device=dev), Array(boxes, device=dev), PARAMS, out, **there
    )
    return out.numpy()


class TestDevice:
    """The device itself, by kernels with faults."""

    @pytest.mark.parametrize(
        ("which", "message"),
        [
            (0, "deadlock: of 64 threads, 40 wait at the barrier of line 9, 24 returned"),
            (1, "deadlock: of 64 threads, 40 wait at the barrier of line 14, 24 wait at the"),
            (2, "deadlock: of 64 threads, 32 wait for their warp at line 20, 32 returned"),
            (3, "lanes of a warp wait at lines 2[57] and 2[57]"),
            (4, "shuffle: lane 0 reads lane 16, which takes no part"),
        ],
    )
    def test_faults_are_reported(self, which, message):
        for seed in SEEDS:
            set_device(seed=seed)
            out = Array(np.zeros(64, np.float32))
            library.launch_fault(which, out.pointer)
            with pytest.raises(RuntimeError, match=message):
                out.numpy()
            assert (Array(np.ones(3, np.float32)).numpy() == 1).all()  # and it goes on

    def test_shared_memory_begins_as_nan_in_each_block(self):
        out = Array(np.zeros(64, np.float32))
        library.launch_fault(5, out.pointer)
        assert np.isnan(out.numpy()).all()

    def test_bfloat16_is_rounded_to_even(self):
        x = np.float32([1, 1 + 2**-8, 1 + 3 * 2**-8, -3.14159, 1e-40, np.inf])
        expected = np.float32([1, 1, 1 + 2**-6, -3.140625, 2**-133, np.inf])
        np.testing.assert_array_equal(in_precision("bfloat16", x), expected)


class TestCost:
    @each_product
    @pytest.mark.parametrize(
        "shape", [(1, 67, 65, 70), (2, 33, 40, 257), (1, 131, 34, 136), (3, 40, 35, 1)]
    )
    def test_against_loops(self, product, shape):
        dtype = product[0]
        batch, t, n, d = shape
        rng = np.random.default_rng(shape)
        z, y = (in_precision(dtype, x) for x in related_features(rng, batch, t, n, d))
        track_boxes, boxes = random_boxes(rng, batch, t), random_boxes(rng, batch, n)
        optional = {
            "max_distance": rng.uniform(0.3, 4, (batch, t)).astype(np.float32),
            "min_affinity": rng.uniform(0, 0.3, (batch, t)).astype(np.float32),
            "track_classes": rng.integers(0, 2, (batch, t)).astype(np.int32),
            "detection_classes": rng.integers(0, 2, (batch, n)).astype(np.int32),
        }
        occupy(product, t, n)
        got = cost(dtype, z, y, track_boxes, boxes, **optional)
        assert f"cost_kernel<{product[2]} > on 0" in history()
        for b in range(batch):
            expected, sure = oracle(
                z[b], y[b], track_boxes[b], boxes[b], *(x[b] for x in optional.values())
            )
            np.testing.assert_allclose(got[b][sure], expected[sure], atol=2e-6)

    @each_product
    @pytest.mark.parametrize("skip", [0, 4])
    def test_same_bits_in_any_order(self, product, skip):
        dtype = product[0]
        rng = np.random.default_rng(5)
        t, n = product[3] + 1, product[4] + 1
        z, y = related_features(rng, 1, t, n, 136)
        track_boxes, boxes = random_boxes(rng, 1, t), random_boxes(rng, 1, n)
        answers = []
        for seed in SEEDS:
            occupy(product, t, n, seed)
            answers.append(cost(dtype, z, y, track_boxes, boxes, skip))
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])
        z, y = (in_precision(dtype, x[0]) for x in (z, y))
        expected, sure = oracle(z, y, track_boxes[0], boxes[0], *no_limits(t))
        np.testing.assert_allclose(answers[0][0][sure], expected[sure], atol=2e-6)

    @each_product
    def test_a_nan_stays_in_its_row(self, product):
        rng = np.random.default_rng(0)
        t, n = 70, 40
        z, y = (rng.normal(size=(1, k, 70)).astype(np.float32) for k in (t, n))
        z[0, 67, 69] = y[0, 3, 0] = np.nan
        y[0, 38, 68] = np.inf
        expected = np.zeros((t, n), bool)
        expected[67] = expected[:, [3, 38]] = True
        occupy(product, t, n)
        got = cost(product[0], z, y, random_boxes(rng, 1, t), random_boxes(rng, 1, n))[0]
        np.testing.assert_array_equal(np.isnan(got), expected)

    @each_product
    def test_zero_features_match_nothing(self, product):
        boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 40, 1))
        z = np.zeros((1, 40, 2), np.float32)
        z[0, 20:, 0] = 1
        occupy(product, 40, 40)
        got = cost(product[0], z, z, boxes, boxes)[0]
        expected = np.full((40, 40), GATE)
        expected[20:, 20:] = 0
        np.testing.assert_array_equal(got, expected)

    @pytest.mark.parametrize("product", SCALAR, ids=lambda p: p[2])
    def test_without_features_motion_alone_decides(self, product):
        rng = np.random.default_rng(1)
        t, n = 70, 67
        track_boxes, boxes = random_boxes(rng, 1, t), random_boxes(rng, 1, n)
        max_distance = np.full((1, t), 0.8, np.float32)
        occupy(product, t, n)
        got = cost(None, None, None, track_boxes, boxes, max_distance=max_distance)[0]
        expected, sure = oracle(
            None,
            None,
            track_boxes[0],
            boxes[0],
            max_distance[0],
            np.full(t, SETTINGS["min_affinity"]),
        )
        np.testing.assert_allclose(got[sure], expected[sure], atol=2e-6)

    @pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
    def test_nothing_to_compare_launches_nothing(self, shape):
        batch, t, n = shape
        z, y = np.ones((batch, t, 5), np.float32), np.ones((batch, n, 5), np.float32)
        boxes = np.ones((batch, t, 4), np.float32), np.ones((batch, n, 4), np.float32)
        assert cost("float32", z, y, *boxes).shape == shape
        assert not [line for line in history() if "kernel" in line]

    def test_a_batch_is_independent_problems(self):
        rng = np.random.default_rng(3)
        z, y = related_features(rng, 3, 20, 17, 9)
        boxes = random_boxes(rng, 3, 20), random_boxes(rng, 3, 17)
        set_device(multiprocessors=2)
        whole = cost("float32", z, y, *boxes)
        for b in range(3):
            one = slice(b, b + 1)
            part = cost("float32", z[one], y[one], *(x[one] for x in boxes))
            np.testing.assert_array_equal(whole[one], part)

    def test_the_device_of_a_call_is_current_while_it_launches(self):
        rng = np.random.default_rng(4)
        z, y = related_features(rng, 1, 3, 4, 9)
        history()
        cost("float32", z, y, random_boxes(rng, 1, 3), random_boxes(rng, 1, 4), dev=1)
        lines = [line.rsplit(" on ", 1) for line in history()]
        assert [where for what, where in lines if "kernel" in what] == ["1"]
        assert [where for what, where in lines if "wait" in what] == ["0"] * (len(lines) - 1)


class Camera:
    """A frame of one camera: features and norms on the device, all else here."""

    def __init__(self, rng, t, n, d, max_distance, options=True, skip=0):
        table, embeddings = (x[0] for x in related_features(rng, 1, t + 3, n, d))
        # As Tracker keeps them: of unit length, or zero.
        norms = np.linalg.norm(table, axis=1)
        table /= np.where(norms > 0, norms, 1)[:, None]
        self.table, self.embeddings = table, embeddings
        self.rows = rng.permutation(t + 3)[:t].astype(np.int64)
        self.track_boxes, self.boxes = random_boxes(rng, t), random_boxes(rng, n)
        self.max_distance = np.full(t, max_distance, np.float32)
        self.classes, self.least = (None, None), None
        if options:
            self.classes = [rng.integers(0, 2, k).astype(np.int32) for k in (t, n)]
            self.least = rng.uniform(0, 0.3, t).astype(np.float32)
        self.skip = skip

    def arguments(self):
        norms = [
            np.linalg.norm(x, axis=1).astype(np.float32) for x in (self.table, self.embeddings)
        ]
        return (
            *(self.track_boxes, self.max_distance, self.boxes, PARAMS),
            *(Array(self.table, skip=self.skip), Array(norms[0]), self.rows),
            *(Array(self.embeddings, skip=self.skip), Array(norms[1]), *self.classes, self.least),
        )

    def check(self, match, pairs):
        """Pairs and what they cost, and the cost of the matching, against float64."""
        t, n = len(self.track_boxes), len(self.boxes)
        least = np.full(t, SETTINGS["min_affinity"]) if self.least is None else self.least
        expected, sure = oracle(
            self.table[self.rows],
            self.embeddings,
            *(self.track_boxes, self.boxes, self.max_distance, least, *self.classes),
        )
        begin, columns, costs = pairs
        got = np.full((t, n), float(GATE))
        got[np.repeat(np.arange(t), np.diff(begin)), columns] = costs
        np.testing.assert_allclose(got[sure], expected[sure], atol=2e-6)
        best = _core.assign(got, SETTINGS["max_cost"])
        assert reference.objective(got, match, SETTINGS["max_cost"]) == pytest.approx(
            reference.objective(got, best, SETTINGS["max_cost"]), abs=1e-5
        )
        taken = match[match >= 0]
        assert len(set(taken)) == len(taken)
        assert (got[np.flatnonzero(match >= 0), taken] < GATE).all()


def compare(cameras, spare=0):
    """Of each camera (match, pairs), by buffers of just the size that is asked for."""
    size = spare + sum(
        _core.cuda_comparison_bytes(len(c.track_boxes), len(c.boxes)) for c in cameras
    )
    arguments = [c.arguments() for c in cameras]
    host, there = np.empty(size, np.uint8), Array(np.empty(size, np.uint8))
    history()
    return _testing.associate_cuda(arguments, host, there, 0)


NEAR, FAR = 0.25, np.inf  # reaches by which few pairs are candidates, and all


class TestAssociate:
    @pytest.mark.parametrize("d", [1, 7, 128, 130, 300])
    @pytest.mark.parametrize("skip", [0, 4])
    def test_cosines_of_candidates(self, d, skip):
        rng = np.random.default_rng(d)
        camera = Camera(rng, 40, 37, d, NEAR, skip=skip)
        ((match, pairs),) = compare([camera])
        assert history() == ["copy there on 0", "cosine_kernel on 0", "copy back on 0", "wait on 0"]
        assert len(pairs[1])
        camera.check(match, pairs)

    @pytest.mark.parametrize("product", SCALAR, ids=lambda p: p[2])
    def test_all_pairs(self, product):
        rng = np.random.default_rng(7)
        t, n = 70, 67
        camera = Camera(rng, t, n, 130, FAR)
        occupy(product, t, n)
        ((match, pairs),) = compare([camera])
        kernel = f"cost_kernel<{product[2]} > on 0"
        assert history() == ["copy there on 0", kernel, "copy back on 0", "wait on 0"]
        camera.check(match, pairs)

    def test_cameras_of_a_group(self):
        rng = np.random.default_rng(8)
        shapes = [(30, 37, 16), (9, 6, 5), (0, 5, 16), (5, 0, 16), (0, 0, 1), (33, 40, 16)]
        reaches = [NEAR, FAR, NEAR, FAR, NEAR, NEAR]
        cameras = [Camera(rng, *s, r) for s, r in zip(shapes, reaches, strict=True)]
        found = compare(cameras)
        kinds = [line.split("<")[0].split(" on")[0] for line in history()]
        assert kinds == ["copy there", "cosine_kernel", "cost_kernel", "copy back", "wait"]
        for camera, result in zip(cameras, found, strict=True):
            camera.check(*result)
        for seed in SEEDS:
            set_device(seed=seed)
            for one, other in zip(compare(cameras), found, strict=True):
                for x, y in zip((one[0], *one[1]), (other[0], *other[1]), strict=True):
                    np.testing.assert_array_equal(x, y)

    @pytest.mark.parametrize("options", [True, False])
    @pytest.mark.parametrize("shape", [(1, 1, 1), (17, 1, 3), (1, 17, 3), (20, 20, 2)])
    def test_few_boxes_and_no_options(self, shape, options):
        rng = np.random.default_rng(shape)
        for max_distance in (NEAR, 2.0, FAR):
            camera = Camera(rng, *shape, max_distance, options)
            camera.check(*compare([camera])[0])

    def test_frames_without_candidates_wait_for_nothing(self):
        camera = Camera(np.random.default_rng(0), 4, 5, 3, NEAR)
        camera.boxes += 10000
        ((match, pairs),) = compare([camera])
        assert (match == -1).all()
        assert pairs[0].tolist() == [0] * 5
        assert history() == []

    @pytest.mark.parametrize("max_distance", [NEAR, FAR])
    def test_a_nan_reaches_the_solver(self, max_distance):
        camera = Camera(np.random.default_rng(0), 20, 20, 3, max_distance, options=False)
        camera.embeddings[11] = np.nan
        camera.boxes[11] = camera.track_boxes[6]
        with pytest.raises(ValueError, match=r"column 11"):
            compare([camera])


def blended(table, norms, rows, features, columns, delta):
    """The update in float64, as docs of ema_update say it."""
    table, norms = table.astype(np.float64), norms.copy()
    for row, column, d in zip(rows, columns, delta, strict=True):
        fresh = features[column].astype(np.float64)
        length = np.linalg.norm(fresh)
        if norms[row] == 0:
            mixed = fresh / length if length > 0 else fresh
        elif length == 0:
            continue
        else:
            mixed = np.float64(d) * table[row] + (1 - np.float64(d)) * fresh / length
        total = np.linalg.norm(mixed)
        norms[row] = total > 1e-6
        table[row] = mixed / total if norms[row] else 0
    return table, norms


class TestBlend:
    @pytest.mark.parametrize("d", [1, 5, 40, 256, 257, 700])
    def test_against_float64(self, d):
        rng = np.random.default_rng(d)
        table, features = (x[0] for x in related_features(rng, 1, 16, 12, d))
        lengths = np.linalg.norm(table, axis=1)
        table /= np.where(lengths > 0, lengths, 1)[:, None]
        norms = (lengths > 0).astype(np.float32)
        # Known meets known, unknown known, unknown unknown, and known unknown; then a feature that
        # replaces all, and one that is the opposite.
        rows = np.array([2, 0, 7, 13, 3, 11], np.int64)
        columns = np.array([1, 2, 3, 8, 4, 5], np.int64)
        features[5], features[8] = -2 * table[11], 0
        delta = np.float32([0.9, 1.0, 0.9, 0.0, 0.0, 0.5])
        assert norms[rows].tolist() == [1, 0, 0, 1, 1, 1]
        expected = blended(table, norms, rows, features, columns, delta)
        known = np.linalg.norm(features, axis=1).astype(np.float32)
        answers = []
        for seed in SEEDS:
            set_device(seed=seed)
            there, lengths_there = Array(table), Array(norms)
            _testing.ema_update(
                *(there, lengths_there, Array(rows), Array(features), Array(known)),
                *(Array(columns), Array(delta)),
            )
            answers.append((there.numpy(), lengths_there.numpy()))
        np.testing.assert_allclose(answers[0][0], expected[0], atol=1e-6)
        np.testing.assert_array_equal(answers[0][1], expected[1])
        assert answers[0][1][11] == 0
        others = np.setdiff1d(np.arange(16), rows)
        np.testing.assert_array_equal(answers[0][0][others], table[others])
        for answer in answers[1:]:
            for one, other in zip(answer, answers[0], strict=True):
                np.testing.assert_array_equal(one, other)

    def test_no_rows_launch_nothing(self):
        none, f = np.empty(0, np.int64), np.ones((2, 3), np.float32)
        history()
        args = Array(f), Array(f[:, 0]), Array(none), Array(f), Array(f[:, 0]), Array(none)
        _testing.ema_update(*args, Array(np.empty(0, np.float32)))
        assert not [line for line in history() if "kernel" in line]


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FRAME = np.random.default_rng(0).integers(0, 256, (31, 43, 3), dtype=np.uint8)


def crops(frame, boxes, size, bgr_to_rgb=True):
    out = Array(np.full((len(boxes), 3, *size), np.nan, np.float32))
    _core.crop(frame, Array(boxes), out, MEAN, STD, bgr_to_rgb)
    return out.numpy()


class TestCrop:
    @pytest.mark.parametrize("size", [(32, 16), (7, 5), (1, 1), (3, 50)])
    @pytest.mark.parametrize("whole", [True, False])
    def test_against_float64(self, size, whole):
        rng = np.random.default_rng(1)
        corner = rng.uniform(-20, 45, (13, 2))
        boxes = np.float32(np.hstack([corner, corner + np.exp(rng.uniform(-3, 4, (13, 2)))]))
        boxes = boxes.round() if whole else boxes
        boxes[0] = 0, 0, 43, 31  # the frame
        boxes[1] = 42, 30, 43, 31  # its last pixel
        boxes[2] = 50, 40, 60, 50  # beside it
        answers = []
        for seed in SEEDS:
            set_device(seed=seed)
            answers.append(crops(Array(FRAME), boxes, size))
        expected = crop_reference(FRAME, boxes, size, MEAN, STD)
        np.testing.assert_allclose(answers[0], expected, atol=2e-5)
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])

    def test_rows_of_a_wider_image(self):
        view = Array(FRAME)
        view.shape = (31, 20, 3)
        boxes = np.float32([[0, 0, 20, 31], [-3, -3, 30, 40]])
        expected = crop_reference(FRAME[:, :20], boxes, (9, 8), MEAN, STD)
        np.testing.assert_allclose(crops(view, boxes, (9, 8)), expected, atol=2e-5)

    def test_channels_in_the_order_of_the_frame(self):
        boxes = np.float32([[3, 4, 20, 30]])
        expected = crop_reference(FRAME[..., ::-1], boxes, (9, 8), MEAN, STD)
        got = crops(Array(FRAME), boxes, (9, 8), bgr_to_rgb=False)
        np.testing.assert_allclose(got, expected, atol=2e-5)

    def test_no_boxes_and_boxes_of_no_area(self):
        assert crops(Array(FRAME), np.empty((0, 4), np.float32), (4, 3)).shape == (0, 3, 4, 3)
        assert not [line for line in history() if "kernel" in line]
        flat = np.float32([[5, 5, 5, 9], [9, 9, 5, 5], [np.nan] * 4, [0, 0, np.inf, 9]])
        assert (crops(Array(FRAME), flat, (4, 3)) == 0).all()
