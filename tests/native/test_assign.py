"""Minimum-cost matching against SciPy: objectives are equal, as ties may fall either way."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import sslmot
from sslmot import _core
from sslmot._core import _testing


def scipy_objective(cost, max_cost):
    """The gated optimum by SciPy: the costs clamped, rows beyond the columns left out."""
    clamped = np.minimum(cost, max_cost)
    rows, columns = linear_sum_assignment(clamped)
    return clamped[rows, columns].sum() + max_cost * (len(cost) - len(rows))


def check(cost, max_cost):
    """Matches the dense problem, and the same as candidate pairs: both must be optimal."""
    match = _core.assign(cost, max_cost)
    check_match(cost, max_cost, match)
    check_match(cost, max_cost, match_pairs(cost, max_cost))
    return match


def check_match(cost, max_cost, match):
    made = match[match >= 0]
    assert len(set(made.tolist())) == len(made)  # no column twice
    assert (cost[match >= 0, made] < max_cost).all()
    expected = scipy_objective(cost.astype(np.float64), max_cost)
    assert reference.objective(cost.astype(np.float64), match, max_cost) == pytest.approx(
        expected, rel=1e-9, abs=1e-9
    )


def match_pairs(cost, max_cost):
    """From a list of candidate pairs, those at the max_cost or above among them."""
    kept = cost < max_cost + 0.2
    row_begin = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int32)
    rows, columns = np.nonzero(kept)
    return _testing.assign_pairs(
        row_begin, columns.astype(np.int32), cost[rows, columns], cost.shape[1], max_cost
    )


@settings(max_examples=1500, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    rows=st.integers(0, 25),
    columns=st.integers(0, 25),
    max_cost=st.sampled_from([0.1, 0.3, 0.5, 0.9, 1.5]),
    ties=st.sampled_from([0, 2, 5]),
    offset=st.sampled_from([0.0, -0.5, 10.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_random_gated_problems(seed, rows, columns, max_cost, ties, offset, dtype):
    cost = np.random.default_rng(seed).random((rows, columns))
    if ties:
        cost = np.round(cost * ties) / ties
    check((cost + offset).astype(dtype), float(dtype(max_cost + offset)))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9), people=st.integers(1, 60), crowding=st.floats(0.2, 5))
def test_tracking_like_problems(seed, people, crowding):
    rng = np.random.default_rng(seed)
    at = rng.random((people, 2)) * np.sqrt(people) / crowding
    seen = (at + rng.normal(0, 0.2, at.shape))[rng.permutation(people)[: max(1, people - 3)]]
    cost = np.abs(at[:, None] - seen[None]).sum(-1)
    check(cost.astype(np.float32), 0.7)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9), rows=st.integers(0, 12), columns=st.integers(0, 12))
def test_without_a_gate(seed, rows, columns):
    cost = np.random.default_rng(seed).normal(size=(rows, columns))
    got_rows, got_columns = sslmot.assign(cost)
    expected = linear_sum_assignment(cost)
    assert len(got_rows) == min(rows, columns)
    assert cost[got_rows, got_columns].sum() == pytest.approx(cost[expected].sum(), abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
    share=st.floats(0, 1),
    most=st.sampled_from([0.0, 1.0, 1e6]),
)
def test_most_pairs_at_the_largest_cost(seed, rows, columns, share, most):
    """As 1 - IoU where most boxes do not touch: a limit above that, or none, matches all."""
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random((rows, columns)) < share, most - rng.random((rows, columns)), most)
    for max_cost in (np.inf, most + 1):
        match = _core.assign(cost, max_cost)
        assert (match >= 0).sum() == min(rows, columns)
        check_match(cost, most + 1, match)


def test_forbidden_pairs_without_a_gate():
    """As many pairs as possible, then the cheapest of those."""
    cost = np.array([[1.0, np.inf], [0.0, np.inf], [np.inf, 5.0]])
    rows, columns = sslmot.assign(cost)
    assert rows.tolist() == [1, 2]
    assert columns.tolist() == [0, 1]


@pytest.mark.parametrize("n", [300, 1000])
def test_large_problems(n):
    rng = np.random.default_rng(n)
    check(rng.random((n, n // 2)), 0.01)
    check(rng.random((n // 2, n)).astype(np.float32), 1.0)


@pytest.mark.parametrize("sentinel", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("shape", [(80, 60), (60, 80), (400, 300)])
def test_large_costs_beside_small_ones(shape, sentinel):
    """A sentinel for "never", as people use it, must not cost the small costs their precision."""
    rng = np.random.default_rng(0)
    cost = rng.random(shape)
    cost[rng.random(shape) < 0.5] = sentinel
    rows, columns = sslmot.assign(cost)
    expected = linear_sum_assignment(cost)
    assert cost[rows, columns].sum() == pytest.approx(cost[expected].sum(), rel=1e-9)


def test_costs_at_the_edge_of_double():
    """From 1e300 on a cost forbids, as infinity does; sums of smaller ones stay finite."""
    cost = np.array([[9e299, 1.0], [1e300, -9e299], [-3.0, 5e307]])
    rows, columns = sslmot.assign(cost)
    assert rows.tolist() == [1, 2]
    assert columns.tolist() == [1, 0]
    with pytest.raises(ValueError, match="row 0, column 0"):
        sslmot.assign(np.array([[-1e300]]))


def test_more_rows_than_columns_is_the_transposed_problem():
    rng = np.random.default_rng(1)
    cost = rng.random((50, 20))
    rows, columns = sslmot.assign(cost, 0.3)
    other_columns, other_rows = sslmot.assign(cost.T, 0.3)
    assert sorted(zip(rows, columns, strict=True)) == sorted(
        zip(other_rows, other_columns, strict=True)
    )


def test_public_form_takes_any_numbers():
    cost = np.array([[3, 1], [1, 4]])
    unaligned = np.zeros(33, np.uint8)[1:].view(np.float64).reshape(2, 2)
    unaligned[:] = cost
    forms = [cost, cost.tolist(), cost.astype(np.float16), np.asfortranarray(cost), unaligned]
    for form in forms:
        rows, columns = sslmot.assign(form)
        assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize("cost", [np.array([[1j]]), np.array([["a"]]), [["a"]], [1.0], "cost"])
def test_public_form_takes_nothing_else(cost):
    with pytest.raises(ValueError, match=r"^cost: expected"):
        sslmot.assign(cost)


def test_equal_costs_everywhere_terminate():
    match = check(np.zeros((200, 150)), 1.0)
    assert (match >= 0).sum() == 150


def test_a_gated_pair_cannot_steal():
    """Gating after the matching would leave row 1 alone: row 0 takes its column, then loses it."""
    cost = np.array([[0.95, 0.5], [5.0, 0.6]])
    assert _core.assign(cost, 0.9).tolist() == [1, -1]
    cost = np.array([[0.95, 0.5], [5.0, 0.4]])
    assert _core.assign(cost, 0.9).tolist() == [-1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_bad_costs_are_named(dtype, bad):
    cost = np.ones((4, 300), dtype)
    cost[2, 257] = bad
    with pytest.raises(ValueError, match="NaN or less in row 2, column 257"):
        _core.assign(cost, 0.5)
    with pytest.raises(ValueError, match="row 0, column 5"):
        _testing.assign_pairs(np.int32([0, 1]), np.int32([5]), np.array([bad], dtype), 9, 0.5)


def test_infinity_forbids():
    cost = np.full((3, 3), np.inf)
    assert _core.assign(cost, 5.0).tolist() == [-1, -1, -1]
    cost[1, 2] = 4
    assert _core.assign(cost, 5.0).tolist() == [-1, 2, -1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_nothing_to_match(shape):
    assert _core.assign(np.zeros(shape), 1.0).tolist() == [-1] * shape[0]


def test_the_gate_compares_in_the_precision_of_the_caller():
    """0.1 as float32 lies above 0.1 as float64: not below that max_cost, so no pair."""
    cost = np.float32([[0.1]])
    assert _core.assign(cost, 0.1).tolist() == [-1]
    assert _core.assign(cost, float(np.float32(0.1))).tolist() == [-1]
    assert _core.assign(cost, 0.1000001).tolist() == [0]


@given(seed=st.integers(0, 10**6))
def test_same_input_same_output(seed):
    cost = np.round(np.random.default_rng(seed).random((30, 30)) * 4) / 4
    np.testing.assert_array_equal(_core.assign(cost, 0.8), _core.assign(cost.copy(), 0.8))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((np.zeros(3), 1.0), r"cost: expected float64 \(any, any\), got float64 \(3,\)"),
        ((np.zeros((3, 3), int), 1.0), "cost: expected float32 .* got int64"),
        ((np.zeros((3, 6))[:, ::2], 1.0), "contiguous"),
        (([[1.0]], 1.0), "cost: expected an array"),
        ((np.frombuffer(bytes(37), np.float32, offset=1)[:9].reshape(3, 3), 1.0), "an aligned"),
        ((np.zeros((3, 3)), -np.inf), "max_cost: expected a number or inf, got -inf"),
        ((np.zeros((3, 3)), np.nan), "max_cost: expected a number or inf, got -?nan"),
    ],
)
def test_errors_of_the_dense_form(args, message):
    with pytest.raises(ValueError, match=message):
        _core.assign(*args)


@pytest.mark.parametrize("number", [-1, 2**20 + 1, 2**62])
def test_a_number_of_columns_that_is_none_or_takes_all_memory_is_refused(number):
    with pytest.raises(ValueError, match=f"n_columns: expected 0 to 1048576, got {number}"):
        _testing.assign_pairs(np.int32([0, 0]), np.int32([]), np.zeros(0), number, 1.0)


def test_an_empty_matrix_of_countless_rows_is_refused():
    """It takes no memory, but its result would."""
    with pytest.raises(ValueError, match="cost: expected fewer rows without numbers"):
        _core.assign(np.empty((2**40, 0), np.float32), 1.0)


@pytest.mark.parametrize(
    ("row_begin", "columns", "message"),
    [
        ([0, 2], [0, 3], "columns: expected 0 to 2, got 3 at 1"),
        ([0, 2], [0, -1], "columns: expected 0 to 2, got -1 at 1"),
        ([0, 3], [0, 1], "row_begin: expected offsets that rise from 0 to 2"),
        ([0, 2, 1, 2], [0, 1], "row_begin: expected offsets"),
        ([1, 2], [0, 1], "row_begin: expected offsets"),
        ([], [0, 1], "row_begin: expected int32"),
    ],
)
def test_errors_of_the_pair_form(row_begin, columns, message):
    with pytest.raises(ValueError, match=message):
        _testing.assign_pairs(np.int32(row_begin), np.int32(columns), np.zeros(2), 3, 1.0)
