"""Run the jobs of a study one after the other, or on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace

from tqdm import tqdm

from sslmot.offline.cluster import Report, spread
from sslmot.study.cells import Cell
from sslmot.study.run import Study, Trial


def run(study: Study, cells: Iterable[Cell], seeds: int, ray: str | None) -> None:
    """Train and score the cells that are missing.

    Args:
        study: The study.
        cells: The cells.
        seeds: Number of seeds of each.
        ray: Address of a Ray cluster, "" for the one that Ray finds or starts; None to run here.

    Raises:
        Exception: That of a job that failed. On a cluster, all others end before.
        ValueError: The pose views do not fit the crops, or a device is none of a cluster.
    """
    cells = list(cells)
    study.check(cells)
    _do(study, [(trial, 0) for trial in study.trials(cells)], ray)
    # All cells have one seed before any has two.
    _do(study, [(cell, seed) for seed in range(seeds) for cell in cells], ray)


def _do(study: Study, jobs: list[tuple[Trial | Cell, int]], ray: str | None) -> None:
    if not jobs:
        return
    if ray is None:
        for job in jobs:
            _job((study, job), lambda _: None)
        return
    device = study.device or "cpu"  # this machine need not have the GPUs of the cluster
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu or cuda on a cluster, got {device}")
    quiet = replace(study, progress=False, device=device)
    first: Exception | None = None
    with tqdm(total=len(jobs), unit=" trainings", disable=None) as bar:

        def show(ended: int, _: int) -> None:
            bar.n = ended
            bar.refresh()

        outcomes = spread(
            _job,
            [(quiet, job) for job in jobs],
            address=ray or None,
            gpus=int(device == "cuda"),
            progress=show,
        )
        for (_, (what, seed)), outcome in outcomes:
            if isinstance(outcome, Exception):
                name = what.cell.name if isinstance(what, Trial) else what.name
                tqdm.write(f"{name}, seed {seed}: {outcome}", file=sys.stderr)
                first = first or outcome
    if first is not None:
        # Ray's own errors are no OSError, which the command line expects of a lost process.
        ours = isinstance(first, (ValueError, OSError, ImportError, ArithmeticError))
        raise first if ours else ChildProcessError(str(first)) from first


def _job(job: tuple[Study, tuple[Trial | Cell, int]], _: Report) -> None:
    study, (what, seed) = job
    if isinstance(what, Trial):
        study.precision(what)
    else:
        study.scores(what, seed)
