"""Run the jobs of a study one after the other, or on a Ray cluster."""

from __future__ import annotations

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
        Exception: That of the first job that failed, after all others have ended.
    """
    cells = list(cells)
    _do(study, [(trial, 0) for trial in study.trials(cells)], ray)
    # All cells have one seed before any has two.
    _do(study, [(cell, seed) for seed in range(seeds) for cell in cells], ray)


def _do(study: Study, jobs: list[tuple[Trial | Cell, int]], ray: str | None) -> None:
    if ray is None:
        for job in jobs:
            _job((study, job), lambda _: None)
        return
    gpus = int((study.device or "cpu").startswith("cuda"))
    quiet = replace(study, progress=False)
    first: Exception | None = None
    with tqdm(total=len(jobs), unit=" trainings", disable=None) as bar:

        def show(ended: int, _: int) -> None:
            bar.n = ended
            bar.refresh()

        outcomes = spread(
            _job, [(quiet, job) for job in jobs], address=ray or None, gpus=gpus, progress=show
        )
        for (_, (what, seed)), outcome in outcomes:
            if isinstance(outcome, Exception):
                tqdm.write(f"{what}, seed {seed}: {outcome}")
                first = first or outcome
    if first is not None:
        raise first


def _job(job: tuple[Study, tuple[Trial | Cell, int]], _: Report) -> None:
    study, (what, seed) = job
    if isinstance(what, Trial):
        study.rate(what)
    else:
        study.scores(what, seed)
