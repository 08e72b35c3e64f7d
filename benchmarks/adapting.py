"""Measure what ``sslmot adapt`` gives: IDF1 on each clip of the suite that has frames.

    python benchmarks/adapting.py RUNS [DATA]

The encoder of the package is adapted to a clip with the detections of its folder, as the command
does, and tracks all rows of the clip, those of another detector too. An adaptation in RUNS is gone
on with, and not repeated.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean

from suite import CLIPS, idf1, load_rows, tracker
from suite.clips import DATA, Row

from sslmot.data.sources import read_sources
from sslmot.training.adapt import adapt, adaptation
from sslmot.training.folder import CONFIG, ENCODER
from sslmot.training.trainer import resume


def adapted(folder: Path, run: Path) -> Path:
    """Return the encoder that is adapted to a sequence."""
    if (run / CONFIG).exists():
        resume(run, device="cpu", progress=True)
    else:
        crops = read_sources([folder], adaptation().crop_size)
        adapt(crops, run, device="cpu", progress=True)
    return run / ENCODER


def by_detector(rows: list[Row]) -> dict[str, float]:
    """Return the mean IDF1 of each detector's rows, percent."""
    scores = [idf1(row, tracker()) for row in rows]
    names = dict.fromkeys(row.detector for row in rows)
    return {
        name: fmean(s for row, s in zip(rows, scores, strict=True) if row.detector == name)
        for name in names
    }


def main(runs: Path, data: Path) -> None:
    print("| clip | detections | default | adapted |\n| --- | --- | --- | --- |")
    for scene, folder in {c.scene: c.folder for c in CLIPS if c.frames}.items():
        encoder = adapted(data / folder, runs / scene)
        before, after = (
            by_detector(load_rows(data=data, clips=[scene], kind="appearance", features=features))
            for features in ("default", encoder)
        )
        for name in before:
            print(f"| {scene} | {name} | {before[name]:.1f} | {after[name]:.1f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else DATA)
