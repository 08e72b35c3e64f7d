"""Run benchmarks with one thread, to compare work and not cores, and print tables."""

import os

import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy is imported

import numpy as np  # noqa: E402
from tabulate import tabulate  # noqa: E402


def digits(value):
    """Format a float with three significant digits."""
    if not isinstance(value, float):
        return value
    return np.format_float_positional(value, 3, fractional=False, trim="-")


def pytest_terminal_summary(terminalreporter, config):
    """Print a table for each group with extra_info, the fastest first.

    Times are compared with the first benchmark of the group, which is sslmot.
    """
    session = getattr(config, "_benchmarksession", None)
    groups = {}
    for benchmark in session.benchmarks if session else ():
        if benchmark.extra_info and not benchmark.has_error:
            groups.setdefault(benchmark.group, []).append(benchmark)
    for group, (ours, *others) in groups.items():
        rows = []
        for benchmark in sorted([ours, *others], key=lambda one: one.stats.median):
            columns = {"": benchmark.name, "median, ms": 1e3 * benchmark.stats.median}
            if others:
                columns[f"/ {ours.name}"] = benchmark.stats.median / ours.stats.median
            columns.update(benchmark.extra_info)
            rows.append({key: digits(value) for key, value in columns.items()})
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{group}\n")
        # Numbers are already formatted.
        table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
        terminalreporter.write_line(table)


@pytest.fixture
def all_cores():
    """Use all cores, for benchmarks that compare nothing."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    count = len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    yield count
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])
