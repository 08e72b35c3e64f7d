"""How detections are read: every kind of array, against NumPy; what is refused, and which row."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import _core
from sslmot.inputs import read_detections

FLOATS = [np.float16, np.float32, np.float64]
DTYPES = [*FLOATS, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint64]
FAR = np.nextafter(1e9, np.inf)
"""The smallest number that is too large, in float64."""
ODD = [np.nan, np.inf, -np.inf, 1e9, -1e9, FAR, -FAR, 1e10, 1e300, 2.0**31, -0.0, 0.5, 1e-300, -7]


def by_numpy(array):
    """Boxes, scores and classes, or the first row that is refused and what was expected of it."""
    rows = np.asarray(array, np.float64)
    n, width = rows.shape
    with np.errstate(over="ignore"):
        boxes = rows[:, :4].astype(np.float32)
        scores = (rows[:, 4] if width > 4 else np.ones(n)).astype(np.float32)
    classes = rows[:, 5] if width > 5 else np.zeros(n)
    finite = (np.abs(rows) <= 1e9).all(axis=1)
    upright = (boxes[:, 0] <= boxes[:, 2]) & (boxes[:, 1] <= boxes[:, 3])
    whole = classes == np.round(classes)
    refused = np.flatnonzero(~(finite & upright & whole))
    if len(refused) == 0:
        return boxes, scores, classes.astype(np.int32)
    row = int(refused[0])
    if not finite[row]:
        return row, "finite numbers up to 1e+09"
    return row, "x1 <= x2 and y1 <= y2 (xyxy)" if not upright[row] else "integer classes"


def parts(detections):
    return detections.boxes, detections.scores, detections.classes


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "of wider rows": lambda a: np.hstack([a[:, :1], a, a])[:, 1 : 1 + a.shape[1]],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": lambda a: unaligned(a),
    "read-only": lambda a: read_only(a),
}


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    memory[:] = np.frombuffer(array.tobytes(), np.uint8)
    return memory.view(array.dtype).reshape(array.shape)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from(DTYPES),
    width=st.integers(4, 6),
    n=st.integers(1, 6),
    odd=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(ODD)), max_size=2),
    layout=st.sampled_from(list(LAYOUTS)),
)
def test_any_array_is_read_as_numpy_would(seed, dtype, width, n, odd, layout):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (n, 2))
    rows = np.hstack([corner, corner + rng.uniform(0, 60, (n, 2)), rng.random((n, 1))])
    rows = np.hstack([rows, rng.integers(0, 9, (n, 1))])[:, :width]
    for row, column, number in odd:
        rows[row % n, column % width] = number
    if dtype not in FLOATS:
        info = np.iinfo(dtype)
        rows = np.nan_to_num(rows).clip(info.min / 2, info.max / 2)
    with np.errstate(over="ignore"):
        given_ = LAYOUTS[layout](rows.astype(dtype))
    before = given_.tobytes()
    read = by_numpy(given_)
    if len(read) == 2:
        row, expected = read
        message = rf"^dets: expected {re.escape(expected)}, got .* in row {row}$"
        with pytest.raises(ValueError, match=message):
            read_detections(given_)
    else:
        detections = read_detections(given_)
        for got, expected, kind in zip(
            parts(detections), read, (np.float32, np.float32, np.int32), strict=True
        ):
            assert got.dtype == kind
            np.testing.assert_array_equal(got, expected)
    assert given_.tobytes() == before


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [4, 5, 6])
def test_what_is_read_is_the_trackers_own(dtype, width):
    """A caller that uses its buffer again, whose type needs no conversion, changes nothing."""
    dets = np.array([[10, 20, 30, 40, 0.5, 3]] * 2, dtype)[:, :width].copy()
    detections = read_detections(dets)
    before = parts(detections)
    dets[:] = -1
    for array, kept in zip(parts(detections), before, strict=True):
        np.testing.assert_array_equal(array, kept)
        array[:] = -1
    for array, kept in zip(parts(detections), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [4, 5, 6])
@pytest.mark.parametrize("refused", [-1, 0, 2, 4])
def test_rows_before_one_that_is_refused_are_read(dtype, width, refused):
    rows = np.arange(30, dtype=dtype).reshape(5, 6)[:, :width].copy()
    if refused >= 0:
        rows[refused, 1], rows[4, 0] = np.nan, np.inf  # the first one counts
    detections, found = _core.read_detections(rows)
    assert found == refused
    boxes, scores, classes = parts(detections)
    some = slice(5 if refused < 0 else refused)
    np.testing.assert_array_equal(boxes[some], rows[some, :4])
    np.testing.assert_array_equal(scores[some], rows[some, 4] if width > 4 else 1)
    np.testing.assert_array_equal(classes[some], rows[some, 5] if width > 5 else 0)
    assert (boxes.shape, scores.shape, classes.shape) == ((5, 4), (5,), (5,))


def test_the_largest_number_is_a_number():
    assert _core.LARGEST_NUMBER == 1e9
    detections = read_detections([[-1e9, -1e9, 1e9, 1e9, 1e9, 1e9], [0, 0, 0, 0, -1e9, -1e9]])
    np.testing.assert_array_equal(detections.boxes[0], [-1e9, -1e9, 1e9, 1e9])
    np.testing.assert_array_equal(detections.scores, np.float32([1e9, -1e9]))
    np.testing.assert_array_equal(detections.classes, [10**9, -(10**9)])


def test_boxes_are_compared_as_they_are_kept():
    """What float32 cannot tell apart is no flipped box; a box may be a line or a point."""
    box = [100.00000001, 5, 100, 5]
    np.testing.assert_array_equal(read_detections([box]).boxes, [[100, 5, 100, 5]])
    with pytest.raises(ValueError, match=r"x1 <= x2 .* got \[100.1, 5.0, 100.0, 5.0\] in row 0"):
        read_detections([[100.1, 5, 100, 5]])


@pytest.mark.parametrize("shape", [(0,), (0, 4), (0, 5), (0, 6), (0, 9), (3, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_no_detections(shape, dtype):
    detections = read_detections(np.empty(shape, dtype))
    assert len(detections) == 0
    boxes, scores, classes = parts(detections)
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))
    assert (boxes.dtype, scores.dtype, classes.dtype) == (np.float32, np.float32, np.int32)


ROWS = r"rows: expected float32 \(any, any\), got "


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((2, 4), np.int64), ROWS + "int64"),
        (np.ones((2, 4), np.float16), ROWS + "float16"),
        (np.ones((2, 4), ">f8"), ROWS + "big-endian"),
        (np.ones(4, np.float32), ROWS + r"float32 \(4,\)"),
        (np.ones((1, 2, 4)), r"rows: expected float64 \(any, any\), got float64 \(1, 2, 4\)"),
        (np.ones((2, 3), np.float32), r"rows: expected 4, 5 or 6 columns, got .*\(2, 3\)"),
        (np.ones((2, 7)), r"rows: expected 4, 5 or 6 columns, got float64 \(2, 7\)"),
        (np.ones((4, 4))[::2], r"rows: expected contiguous float64"),
        (np.asfortranarray(np.ones((3, 4))), r"rows: expected contiguous float64"),
        (unaligned(np.ones((2, 4))), "rows: expected an aligned array"),
        ([[1, 2, 3, 4]], "rows: expected an array .*, got list"),
    ],
)
def test_native_arguments_of_another_kind(rows, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        _core.read_detections(rows)
