"""Assignment only: sslmot, SciPy and each solver of lapx (or lap) on the same problems.

    pytest benchmarks/test_assignment.py --benchmark-columns=median,iqr,rounds

It needs ``pip install sslmot[benchmark]`` (lapx). lap and lapx install the same module, so an
environment can have only one of them. Rows of missing solvers are skipped. Each solver must find
the optimum. Costs are given in the precision that the solver uses internally.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import packages_distributions

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sslmot import _core
from sslmot._core import _testing

MAX_COST = 1.0
SIZES = [10, 50, 300, 1000, 2000]


@cache
def crowd(n):
    """Make costs of a crowd: a few candidates per row, all other pairs cost ``MAX_COST``."""
    rng = np.random.default_rng(n)
    at = rng.random((n, 2)) * np.sqrt(n)
    seen = (at + rng.normal(0, 0.1, at.shape))[rng.permutation(n)]
    return np.minimum(np.abs(at[:, None] - seen[None]).sum(-1), MAX_COST)


@cache
def uniform(n):
    return np.random.default_rng(n).random((n, n))


@cache
def optimum(problem, n):
    cost = problem(n)
    rows, columns = linear_sum_assignment(cost)
    return cost[rows, columns].sum()


def objective(cost, match, max_cost):
    made = match >= 0
    return cost[made, match[made]].sum() + max_cost * (~made).sum()


def read(pairs, n):
    """Convert the result of a solver to the column of each row. This is not timed."""
    if isinstance(pairs, np.ndarray) and pairs.ndim == 1:
        return pairs
    rows, columns = pairs if isinstance(pairs, tuple) else np.asarray(pairs).T
    match = np.full(n, -1)
    match[rows] = columns
    return match


def peer(name, **settings):
    """Return a solver of the module ``lap``."""
    lap = pytest.importorskip("lap", reason="no lapx: pip install sslmot[benchmark]")
    solver = getattr(lap, name, None)
    if solver is None:
        pytest.skip(f"{packages_distributions()['lap'][0]} has no {name}")
    if name == "lapjv":  # the column of each row and the row of each column
        return lambda cost: solver(cost, return_cost=False, **settings)[0]
    return lambda cost: solver(cost, return_cost=False, **settings)


WITHOUT_LIMIT = ["lapjvc", "lapjvs", "lapjvsa"]
WITH_LIMIT = ["lapjv", "lapjvx", "lapjvxa", "lapjvr", "lapjvh"]
IN_FLOAT32 = ["lapjvc", "lapjvs", "lapjvsa", "lapjvr", "lapjvh"]

WITH_MAX_COST = {
    "sslmot": lambda: lambda cost: _core.assign(cost, MAX_COST),
    "scipy": lambda: linear_sum_assignment,
    **{f"{name}, limit": lambda name=name: peer(name, cost_limit=MAX_COST) for name in WITH_LIMIT},
    **{name: lambda name=name: peer(name) for name in ["lapjv", *WITHOUT_LIMIT]},
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", WITH_MAX_COST)
def test_max_cost(benchmark, name, n):
    benchmark.group = f"assignment, crowd with max_cost, N = {n:4}"
    cost = crowd(n)
    solve = WITH_MAX_COST[name]()
    native = name == "sslmot" or name.split(",")[0] in IN_FLOAT32
    match = read(benchmark(solve, cost.astype(np.float32) if native else cost), n)
    assert objective(cost, match, MAX_COST) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


def candidate_pairs(cost):
    rows, columns = np.nonzero(cost < MAX_COST)
    row_begin = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(cost)))])
    return row_begin.astype(np.int32), columns.astype(np.int32), cost[rows, columns]


@pytest.mark.parametrize("n", SIZES)
def test_candidates(benchmark, n):
    benchmark.group = f"assignment, crowd with max_cost, N = {n:4}"
    row_begin, columns, costs = candidate_pairs(crowd(n))
    pairs = row_begin, columns, costs.astype(np.float32)
    match = benchmark(_testing.assign_pairs, *pairs, n, MAX_COST)
    assert objective(crowd(n), match, MAX_COST) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


@pytest.mark.parametrize("n", SIZES)
def test_candidates_lapmod(benchmark, n):
    """lapmod has no max_cost, so each row and column gets an extra partner for "unmatched".

    Costs are: (i, j) its cost; (i, extra column of i) MAX_COST; (extra row of j, j) 0; and
    (extra row of j, extra column of i) 0 for each candidate, for the extras of matched pairs.
    """
    lap = pytest.importorskip("lap", reason="no lapx: pip install sslmot[benchmark]")
    benchmark.group = f"assignment, crowd with max_cost, N = {n:4}"
    row_begin, columns, costs = candidate_pairs(crowd(n))
    i = np.repeat(np.arange(n), np.diff(row_begin))
    own = np.arange(n)
    rows = np.concatenate([i, own, n + own, n + columns])
    to = np.concatenate([columns, n + own, own, n + i])
    values = np.concatenate([costs, np.full(n, MAX_COST), np.zeros(n + len(i))])
    order = np.lexsort((to, rows))
    begin = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=2 * n))]).astype(np.int32)
    _, x, _ = benchmark(lap.lapmod, 2 * n, values[order], begin, to[order].astype(np.int32))
    match = np.where(x[:n] < n, x[:n], -1)
    assert objective(crowd(n), match, MAX_COST) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


UNIFORM = {
    "sslmot": lambda: lambda cost: _core.assign(cost, np.inf),
    "scipy": lambda: linear_sum_assignment,
    **{name: lambda name=name: peer(name) for name in [*WITH_LIMIT, "lapjvc"]},
    **{name: lambda name=name: peer(name, prefer_float32=False) for name in ["lapjvs", "lapjvsa"]},
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(benchmark, name, n):
    benchmark.group = f"assignment, uniform costs without a max_cost, N = {n:4}"
    cost = uniform(n)
    match = read(benchmark(UNIFORM[name](), cost), n)
    assert objective(cost, match, 0) == pytest.approx(optimum(uniform, n), abs=1e-9)
