"""Assignment alone: sslmot, SciPy and every solver of lapx (or of lap) on the same problems.

    pytest benchmarks/test_assignment.py --benchmark-columns=median,iqr,rounds

Needs ``pip install sslmot[benchmark]`` (lapx). lap and lapx install the same module, so that an
environment can show one of them; the rows of what it lacks are skipped. Each solver must find the
optimum, in whichever precision it works without converting.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import packages_distributions

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sslmot import _core
from sslmot._core import _testing

GATE = 1.0
SIZES = [10, 50, 300, 1000, 2000]


@cache
def crowd(n):
    """Costs of a crowd: a few candidates a row, all other pairs at the max_cost."""
    rng = np.random.default_rng(n)
    at = rng.random((n, 2)) * np.sqrt(n)
    seen = (at + rng.normal(0, 0.1, at.shape))[rng.permutation(n)]
    return np.minimum(np.abs(at[:, None] - seen[None]).sum(-1), GATE)


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
    """What a solver returned -> the column of each row. Not part of what is timed."""
    if isinstance(pairs, np.ndarray) and pairs.ndim == 1:
        return pairs
    rows, columns = pairs if isinstance(pairs, tuple) else np.asarray(pairs).T
    match = np.full(n, -1)
    match[rows] = columns
    return match


def peer(name, **settings):
    """A solver of the module ``lap``."""
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

GATED = {
    "sslmot": lambda: lambda cost: _core.assign(cost, GATE),
    "scipy": lambda: linear_sum_assignment,
    **{f"{name}, limit": lambda name=name: peer(name, cost_limit=GATE) for name in WITH_LIMIT},
    **{name: lambda name=name: peer(name) for name in ["lapjv", *WITHOUT_LIMIT]},
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", GATED)
def test_gated(benchmark, name, n):
    benchmark.group = f"assignment, gated crowd, N = {n:4}"
    cost = crowd(n)
    solve = GATED[name]()
    native = name == "sslmot" or name.split(",")[0] in IN_FLOAT32
    match = read(benchmark(solve, cost.astype(np.float32) if native else cost), n)
    assert objective(cost, match, GATE) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


def candidate_pairs(cost):
    rows, columns = np.nonzero(cost < GATE)
    row_begin = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(cost)))])
    return row_begin.astype(np.int32), columns.astype(np.int32), cost[rows, columns]


@pytest.mark.parametrize("n", SIZES)
def test_gated_pairs(benchmark, n):
    benchmark.group = f"assignment, gated crowd, N = {n:4}"
    row_begin, columns, costs = candidate_pairs(crowd(n))
    pairs = row_begin, columns, costs.astype(np.float32)
    match = benchmark(_testing.assign_pairs, *pairs, n, GATE)
    assert objective(crowd(n), match, GATE) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


@pytest.mark.parametrize("n", SIZES)
def test_gated_pairs_lapmod(benchmark, n):
    """Which knows no max_cost: who is left out goes to a column, or row, of its own.

    (i, j) at its cost, (i, own column of i) at the max_cost, (own row of j, j) at 0, and
    (own row of j, own column of i) at 0 for each candidate, to take up what a pair sets free.
    """
    lap = pytest.importorskip("lap", reason="no lapx: pip install sslmot[benchmark]")
    benchmark.group = f"assignment, gated crowd, N = {n:4}"
    row_begin, columns, costs = candidate_pairs(crowd(n))
    i = np.repeat(np.arange(n), np.diff(row_begin))
    own = np.arange(n)
    rows = np.concatenate([i, own, n + own, n + columns])
    to = np.concatenate([columns, n + own, own, n + i])
    values = np.concatenate([costs, np.full(n, GATE), np.zeros(n + len(i))])
    order = np.lexsort((to, rows))
    begin = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=2 * n))]).astype(np.int32)
    _, x, _ = benchmark(lap.lapmod, 2 * n, values[order], begin, to[order].astype(np.int32))
    match = np.where(x[:n] < n, x[:n], -1)
    assert objective(crowd(n), match, GATE) == pytest.approx(optimum(crowd, n), abs=2e-6 * n)


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
