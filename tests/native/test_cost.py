"""Dense costs (eq. 6-7), on the CPU and on CUDA, against float64 loops."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from sslmot import _core
from sslmot._core import _testing

SETTINGS = {
    "tau": 0.4,
    "min_affinity": 0.05,
    "appearance_weight": 0.6,
    "motion_weight": 0.5,
    "max_cost": 0.9,
}


def random_boxes(rng, shape, extent=300.0):
    corner = rng.uniform(-20, extent, (*shape, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 120, (*shape, 2))], -1).astype(
        np.float32
    )


def related_features(rng, batch, t, n, d):
    """Features whose cosines cover the whole range, some zero, of very different lengths."""
    people = rng.normal(size=(batch, max(t, n), d))
    track = people[:, :t] + rng.normal(size=(batch, t, d)) * rng.uniform(0, 1, (batch, t, 1))
    detection = people[:, :n] + rng.normal(size=(batch, n, d)) * rng.uniform(0, 1, (batch, n, 1))
    track *= 10 ** rng.uniform(-3, 3, (batch, t, 1))
    detection *= 10 ** rng.uniform(-3, 3, (batch, n, 1))
    track[:, ::7] = 0
    detection[:, 3::5] = 0
    return track.astype(np.float32), detection.astype(np.float32)


def on(device, array, dtype=None):
    """The array for a native call on a device: NumPy, or a torch tensor on CUDA."""
    if array is None or device == "cpu":
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)


def native_cost(
    device,
    track,
    detection,
    track_boxes,
    boxes,
    params,
    max_distance,
    classes,
    dtype=None,
    least=None,
):
    batch, t, n = track_boxes.shape[0], track_boxes.shape[1], boxes.shape[1]
    out = on(device, np.full((batch, t, n), np.nan, np.float32))
    stream = 0
    if device == "cuda":
        import torch

        stream = torch.cuda.current_stream().cuda_stream
    _testing.cost(
        on(device, track, dtype),
        on(device, detection, dtype),
        on(device, track_boxes),
        on(device, boxes),
        params,
        out,
        on(device, max_distance),
        on(device, classes[0]),
        on(device, classes[1]),
        on(device, least),
        stream,
    )
    return out if device == "cpu" else out.cpu().numpy()


def assert_costs(got, expected_by, tolerance):
    """Equal, but for pairs so near to a threshold that rounding may decide."""
    low, mid, high = expected_by(-tolerance), expected_by(0), expected_by(tolerance)
    steady = (np.abs(low - mid) < 50 * tolerance) & (np.abs(high - mid) < 50 * tolerance)
    assert steady.sum() >= 0.95 * steady.size
    np.testing.assert_allclose(got[steady], mid[steady], atol=20 * tolerance)


def oracle(track, detection, track_boxes, boxes, max_distance, classes, shift):
    """Vectorised over pairs only in its thresholds: `shift` moves them, to find the close calls."""
    p = dict(SETTINGS, min_affinity=SETTINGS["min_affinity"] + shift)
    return reference.cost(
        track, detection, track_boxes, boxes, max_distance + shift, p, classes[0], classes[1]
    )


@pytest.mark.parametrize("d", [1, 8, 127, 256, 2048])
@pytest.mark.parametrize("size", [0, 1, 24, 31, 32, 33, 100])
def test_against_loops(device, size, d):
    rng = np.random.default_rng([size, d])
    t, n = size, size + 2 if size % 2 else size  # square and not
    track, detection = related_features(rng, 1, t, n, d)
    track_boxes, boxes = random_boxes(rng, (1, t)), random_boxes(rng, (1, n))
    max_distance = rng.uniform(0.3, 4, (1, t)).astype(np.float32)
    classes = [rng.integers(0, 2, (1, k)).astype(np.int32) for k in (t, n)]
    got = native_cost(
        device,
        track,
        detection,
        track_boxes,
        boxes,
        _core.PairParams(**SETTINGS),
        max_distance,
        classes,
    )
    assert got.shape == (1, t, n)
    assert_costs(
        got[0],
        lambda shift: oracle(
            track[0],
            detection[0],
            track_boxes[0],
            boxes[0],
            max_distance[0],
            [c[0] for c in classes],
            shift,
        ),
        1e-6,
    )


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 0, 4), (0, 3, 4), (2, 33, 1), (70000, 1, 1)])
def test_batch_is_independent_problems(device, shape):
    batch, t, n = shape
    rng = np.random.default_rng(batch)
    track, detection = related_features(rng, batch, t, n, 16)
    track_boxes, boxes = random_boxes(rng, (batch, t)), random_boxes(rng, (batch, n))
    params = _core.PairParams(**SETTINGS)
    none = (None, None)
    whole = native_cost(device, track, detection, track_boxes, boxes, params, None, none)
    for b in range(0, batch, max(1, batch // 7)):
        part = [x[b : b + 1] for x in (track, detection, track_boxes, boxes)]
        np.testing.assert_array_equal(whole[b], native_cost(device, *part, params, None, none)[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_features(device, dtype):
    rng = np.random.default_rng(0)
    track, detection = rng.normal(size=(1, 33, 64)), rng.normal(size=(1, 33, 64))
    detection += track
    track, detection = track.astype(np.float32), detection.astype(np.float32)
    track_boxes, boxes = random_boxes(rng, (1, 33)), random_boxes(rng, (1, 33))
    params = _core.PairParams(**SETTINGS)
    none = (None, None)
    if device == "cpu":
        with pytest.raises(ValueError, match=r"track_features: expected float32 \(1, 33, any\)"):
            _testing.cost(
                track.astype(np.float16),
                detection.astype(np.float16),
                track_boxes,
                boxes,
                params,
                np.empty((1, 33, 33), np.float32),
            )
        return
    import torch

    half = getattr(torch, dtype)
    got = native_cost(device, track, detection, track_boxes, boxes, params, None, none, half)
    rounded = [torch.from_numpy(x).to(half).float().numpy() for x in (track, detection)]
    max_distance = np.full(33, np.inf)
    assert_costs(
        got[0],
        lambda shift: oracle(
            rounded[0][0], rounded[1][0], track_boxes[0], boxes[0], max_distance, none, shift
        ),
        1e-6,
    )


def in_precision(dtype, array):
    """Numbers as they are in a precision, in float32."""
    if dtype == "float32":
        return array
    torch = pytest.importorskip("torch")
    return torch.from_numpy(array).to(getattr(torch, dtype)).float().numpy()


# On a GPU of 132 multiprocessors the largest tiles of pairs begin at 99 of 64 x 64 (of halves
# 128 x 64), those in between at 99 of 32 x 32. Edges of tiles, of slices of features and of loads
# of 16 bytes lie inside of some shape.
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 50, 50, 512),
        (2, 17, 65, 2048),
        (3, 16, 15, 257),
        (1, 65, 1, 3),
        (1, 330, 350, 132),
        (1, 321, 333, 71),
        (1, 650, 641, 136),
        (1, 1290, 650, 65),
    ],
)
def test_tiles_of_every_size(device, dtype, shape):
    batch, t, n, d = shape
    rng = np.random.default_rng(shape)
    track, detection = related_features(rng, batch, t, n, d)
    track, detection = (in_precision(dtype, x * 1e-2) for x in (track, detection))
    track_boxes, boxes = random_boxes(rng, (batch, t)), random_boxes(rng, (batch, n))
    max_distance = rng.uniform(0.3, 4, (batch, t)).astype(np.float32)
    classes = [rng.integers(0, 2, (batch, k)).astype(np.int32) for k in (t, n)]
    half = None
    if device == "cuda":
        import torch

        half = getattr(torch, dtype)
    params = _core.PairParams(**SETTINGS)
    got = native_cost(
        device, track, detection, track_boxes, boxes, params, max_distance, classes, half
    )
    assert np.isfinite(got).all()
    for b in range(batch):
        # The oracle is slow: the last rows and columns, which lie at edges, and some others.
        i, j = (np.unique([*rng.integers(0, k, 25), *range(max(k - 5, 0), k)]) for k in (t, n))
        assert_costs(
            got[b][np.ix_(i, j)],
            lambda shift, b=b, i=i, j=j: oracle(
                track[b, i],
                detection[b, j],
                track_boxes[b, i],
                boxes[b, j],
                max_distance[b, i],
                (classes[0][b, i], classes[1][b, j]),
                shift,
            ),
            1e-6,
        )


@pytest.mark.parametrize("skip", [1, 2, 4])
def test_features_that_begin_anywhere(device, skip):
    rng = np.random.default_rng(skip)
    track, detection = related_features(rng, 1, 40, 33, 64)
    boxes = random_boxes(rng, (1, 40))
    args = (boxes, boxes[:, :33], _core.PairParams(**SETTINGS), None, (None, None))
    expected = native_cost(device, track, detection, *args)

    def moved(array):
        flat = on(device, np.concatenate([np.zeros(skip, np.float32), array.ravel()]))
        return flat[skip:].reshape(array.shape)

    out = on(device, np.empty((1, 40, 33), np.float32))
    _testing.cost(moved(track), moved(detection), *(on(device, x) for x in args[:2]), args[2], out)
    got = out if device == "cpu" else out.cpu().numpy()
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_nan_stays_in_its_row(device, dtype):
    rng = np.random.default_rng(0)
    track, detection = (rng.normal(size=(1, k, 70)).astype(np.float32) for k in (70, 90))
    track[0, 67, 69] = detection[0, 3, 0] = np.nan
    detection[0, 88, 68] = np.inf
    half = None
    if device == "cuda":
        import torch

        half = getattr(torch, dtype)
    args = (random_boxes(rng, (1, 70)), random_boxes(rng, (1, 90)), _core.PairParams(**SETTINGS))
    got = native_cost(device, track, detection, *args, None, (None, None), half)[0]
    expected = np.zeros((70, 90), bool)
    expected[67] = expected[:, [3, 88]] = True
    np.testing.assert_array_equal(np.isnan(got), expected)


def test_each_track_has_a_least_affinity_of_its_own(device):
    rng = np.random.default_rng(3)
    track, detection = related_features(rng, 1, 30, 30, 16)
    track_boxes, boxes = random_boxes(rng, (1, 30)), random_boxes(rng, (1, 30))
    least = rng.uniform(0, 1, (1, 30)).astype(np.float32)
    params = _core.PairParams(**SETTINGS)
    args = (device, track, detection, track_boxes, boxes)
    got = native_cost(*args, params, None, (None, None), least=least)[0]
    for i, affinity in enumerate(least[0]):
        alike = _core.PairParams(**dict(SETTINGS, min_affinity=float(affinity)))
        expected = native_cost(*args, alike, None, (None, None))[0]
        np.testing.assert_array_equal(got[i], expected[i])
    assert (got == np.float32(SETTINGS["max_cost"])).any()
    assert (got < np.float32(SETTINGS["max_cost"])).any()


def test_without_features_motion_alone_decides(device):
    rng = np.random.default_rng(1)
    track_boxes, boxes = random_boxes(rng, (1, 20)), random_boxes(rng, (1, 30))
    max_distance = np.full((1, 20), 0.8, np.float32)
    got = native_cost(
        device,
        None,
        None,
        track_boxes,
        boxes,
        _core.PairParams(**SETTINGS),
        max_distance,
        (None, None),
    )
    assert_costs(
        got[0],
        lambda shift: oracle(
            None, None, track_boxes[0], boxes[0], max_distance[0], (None, None), shift
        ),
        1e-6,
    )


def test_length_of_features_does_not_matter(device):
    rng = np.random.default_rng(2)
    track, detection = related_features(rng, 1, 17, 19, 64)
    track_boxes, boxes = random_boxes(rng, (1, 17)), random_boxes(rng, (1, 19))
    params = _core.PairParams(**SETTINGS)
    args = (track_boxes, boxes, params, None, (None, None))
    once = native_cost(device, track, detection, *args)
    scaled = native_cost(device, track * 37, detection / 53, *args)
    np.testing.assert_allclose(once, scaled, atol=2e-5)


def test_zero_features_match_nothing(device):
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 2, 1))
    params = _core.PairParams(**dict(SETTINGS, min_affinity=0.0))
    track = np.float32([[[0, 0], [1, 0]]])
    got = native_cost(device, track, track, boxes, boxes, params, None, (None, None))
    max_cost = np.float32(SETTINGS["max_cost"])
    np.testing.assert_array_equal(got, np.float32([[[max_cost, max_cost], [max_cost, 0]]]))


def test_no_least_affinity_means_none(device):
    """With rho_1 = 0 a pair as unlike as can be still has a cost, however small tau is."""
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 1, 1))
    params = _core.PairParams(**dict(SETTINGS, tau=0.01, min_affinity=0.0))
    args = (boxes, boxes, params, None, (None, None))
    got = native_cost(device, np.float32([[[1, 0]]]), np.float32([[[-1, 0]]]), *args)
    assert got == np.float32(SETTINGS["appearance_weight"])


def test_small_temperatures_do_not_overflow(device):
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 1, 1))
    params = _core.PairParams(**dict(SETTINGS, tau=1e-3))
    same = np.float32([[[3, 4]]])
    assert native_cost(device, same, same, boxes, boxes, params, None, (None, None)) == 0


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 1.0])
def test_equal_features_have_affinity_one_at_most(device, tau):
    """A cosine that rounds above 1 would make costs negative, at a small tau without bound."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1, 60, 512)).astype(np.float32)
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 60, 1))
    params = _core.PairParams(**dict(SETTINGS, tau=tau))
    got = native_cost(device, z, z, boxes, boxes, params, None, (None, None))
    assert (got >= 0).all()


def test_features_too_long_to_multiply_are_reported(device):
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 1, 1))
    params = _core.PairParams(**SETTINGS)
    long = np.full((1, 1, 4), 1e30, np.float32)
    assert np.isnan(
        native_cost(device, long, long / 1e25, boxes, boxes, params, None, (None, None))
    )


def test_a_nan_reaches_the_solver(device):
    boxes = np.tile(np.float32([0, 0, 10, 20]), (1, 2, 1))
    track = np.float32([[[1, 0], [0, 1]]])
    detection = np.float32([[[1, 0], [np.nan, 1]]])
    params = _core.PairParams(**SETTINGS)
    got = native_cost(device, track, detection, boxes, boxes, params, None, (None, None))
    assert np.isnan(got[0, :, 1]).all()
    assert not np.isnan(got[0, :, 0]).any()
    with pytest.raises(ValueError, match="row 0, column 1"):
        _core.assign(got[0], 0.9)


def test_flat_boxes_are_legal(device):
    """A box without width or height has a distance to all but itself, and never a NaN."""
    flat = np.float32([[[5, 5, 5, 25], [5, 5, 15, 5], [7, 7, 7, 7]]])
    got = native_cost(
        device, None, None, flat, flat, _core.PairParams(**SETTINGS), None, (None, None)
    )
    assert np.isfinite(got).all()
    assert (np.diagonal(got[0]) == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"track_boxes": np.zeros((1, 2, 5), np.float32)},
            r"track_boxes: expected float32 \(1, 2, 4\)",
        ),
        ({"track_boxes": np.zeros((1, 2, 4))}, r"track_boxes: .* got float64 \(1, 2, 4\) on cpu"),
        ({"detection_boxes": np.zeros((1, 4, 4), np.float32)}, r"detection_boxes: expected"),
        (
            {"detection_features": None},
            "track_features: expected the same of both sides or of neither",
        ),
        ({"detection_features": np.zeros((1, 3, 7), np.float32)}, r"float32 \(1, 3, 8\), got"),
        ({"detection_features": np.zeros((1, 3, 16), np.float32)[..., ::2]}, "expected contiguous"),
        (
            {"max_distance": np.zeros((1, 3), np.float32)},
            r"max_distance: expected float32 \(1, 2\)",
        ),
        (
            {"track_classes": np.zeros((1, 2), np.int32)},
            "track_classes: expected the same of both sides",
        ),
        ({"out": np.zeros((2, 3), np.float32)}, r"out: expected float32 \(any, any, any\)"),
        ({"out": "nothing"}, "out: expected an array"),
    ],
)
def test_errors_name_the_argument(change, message):
    args = {
        "track_features": np.zeros((1, 2, 8), np.float32),
        "detection_features": np.zeros((1, 3, 8), np.float32),
        "track_boxes": np.zeros((1, 2, 4), np.float32),
        "detection_boxes": np.zeros((1, 3, 4), np.float32),
        "params": _core.PairParams(**SETTINGS),
        "out": np.zeros((1, 2, 3), np.float32),
    }
    with pytest.raises(ValueError, match=message):
        _testing.cost(**{**args, **change})


def test_a_read_only_output_is_refused():
    out = np.zeros((1, 0, 0), np.float32)
    out.flags.writeable = False
    boxes = np.zeros((1, 0, 4), np.float32)
    with pytest.raises(ValueError, match="out: expected a writable array"):
        _testing.cost(None, None, boxes, boxes, _core.PairParams(**SETTINGS), out)


@given(seed=st.integers(0, 10**6), t=st.integers(0, 9), n=st.integers(0, 9), d=st.integers(1, 20))
def test_costs_lie_between_zero_and_the_gate(seed, t, n, d):
    rng = np.random.default_rng(seed)
    track, detection = related_features(rng, 1, t, n, d)
    got = native_cost(
        "cpu",
        track,
        detection,
        random_boxes(rng, (1, t)),
        random_boxes(rng, (1, n)),
        _core.PairParams(**SETTINGS),
        None,
        (None, None),
    )
    assert ((got >= -1e-6) & (got <= np.float32(SETTINGS["max_cost"]))).all()


class TestRowNorms:
    def test_values(self):
        rows = np.random.default_rng(0).normal(size=(40, 33)).astype(np.float32)
        rows[3] = 0
        np.testing.assert_allclose(_core.row_norms(rows), np.linalg.norm(rows, axis=1), rtol=1e-6)

    @pytest.mark.parametrize("scale", [1e-15, 1e15])
    def test_squares_out_of_range_of_float32(self, scale):
        rows = np.full((2, 4), scale, np.float32)
        np.testing.assert_allclose(_core.row_norms(rows), 2 * np.float32(scale), rtol=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e18])
    def test_the_first_bad_row_is_named(self, bad):
        rows = np.ones((5, 3), np.float32)
        rows[2, 1] = rows[4, 0] = bad
        with pytest.raises(ValueError, match="in row 2"):
            _core.row_norms(rows)
