"""Assignment alone: sslmot, SciPy and every solver of lapx on the same problems.

    pytest benchmarks/test_assignment.py --benchmark-columns=median,iqr,rounds

Needs ``pip install sslmot[benchmark]`` (lapx). Each solver must find the optimum.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sslmot import _core

lap = pytest.importorskip("lap", reason="lapx is not installed: pip install sslmot[benchmark]")

GATE = 1.0


def tracking_like(n):
    """Costs of a crowd: a few candidates a row, all other pairs at the gate."""
    rng = np.random.default_rng(n)
    at = rng.random((n, 2)) * np.sqrt(n)
    seen = (at + rng.normal(0, 0.1, at.shape))[rng.permutation(n)]
    return np.minimum(np.abs(at[:, None] - seen[None]).sum(-1), GATE)


def uniform(n):
    return np.random.default_rng(n).random((n, n))


def optimum(cost):
    rows, columns = linear_sum_assignment(cost)
    return cost[rows, columns].sum()


def objective(cost, match, gate):
    made = match >= 0
    return cost[made, match[made]].sum() + gate * (~made).sum()


def lapx(name, **settings):
    """A solver of lapx: the column of each row."""
    solver = getattr(lap, name)

    def solve(cost):
        _, *result = solver(cost, return_cost=True, **settings)
        if name == "lapjv":
            return result[0]
        rows, columns = result
        match = np.full(len(cost), -1)
        match[rows] = columns
        return match

    return solve


def scipy_solve(cost):
    return linear_sum_assignment(cost)[1]


GATED = {
    "sslmot": lambda cost: _core.assign(cost, GATE),
    "scipy": scipy_solve,
    "lapx lapjv": lapx("lapjv"),
    "lapx lapjv, limit": lapx("lapjv", cost_limit=GATE),
    "lapx lapjvx, limit": lapx("lapjvx", cost_limit=GATE),
    "lapx lapjvr, limit": lapx("lapjvr", cost_limit=GATE),
    "lapx lapjvh, limit": lapx("lapjvh", cost_limit=GATE),
}


@pytest.mark.parametrize("n", [50, 300, 1000])
@pytest.mark.parametrize("name", GATED)
def test_gated_dense(benchmark, name, n):
    benchmark.group = f"assignment, gated dense matrix, N = {n}"
    cost = tracking_like(n)
    solve = GATED[name]
    # As the cost kernel writes it, for those that work in float32 without converting.
    native = name == "sslmot" or "lapjvr" in name or "lapjvh" in name
    match = benchmark(solve, cost.astype(np.float32) if native else cost)
    assert objective(cost, match, GATE) == pytest.approx(optimum(cost), abs=1e-4)


@pytest.mark.parametrize("n", [50, 300, 1000])
def test_gated_candidate_pairs(benchmark, n):
    benchmark.group = f"assignment, gated dense matrix, N = {n}"
    cost = tracking_like(n)
    rows, columns = np.nonzero(cost < GATE)
    row_begin = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))]).astype(np.int32)
    pairs = row_begin, columns.astype(np.int32), cost[rows, columns].astype(np.float32)
    match = benchmark(_core.assign_pairs, *pairs, n, GATE)
    assert objective(cost, match, GATE) == pytest.approx(optimum(cost), abs=1e-4)


UNIFORM = {
    "sslmot": lambda cost: _core.assign(cost, np.inf),
    "scipy": scipy_solve,
    "lapx lapjv": lapx("lapjv"),
    "lapx lapjvr": lapx("lapjvr"),
    "lapx lapjvh": lapx("lapjvh"),
}


@pytest.mark.parametrize("n", [50, 300, 1000])
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_dense(benchmark, name, n):
    benchmark.group = f"assignment, uniform costs without a gate, N = {n}"
    cost = uniform(n)
    match = benchmark.pedantic(UNIFORM[name], args=(cost,), rounds=20, warmup_rounds=1)
    assert objective(cost, match, 0) == pytest.approx(optimum(cost), abs=1e-9)
