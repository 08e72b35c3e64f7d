"""What pose views give an encoder: SSL-MOT, table 1, on Market-1501.

    python benchmarks/pose_views.py DATA POSES RUNS [CONFIGURATION ...]

POSES is a folder of `sslmot make-poses DATA/Market-1501`. Each configuration is trained from three
seeds, all with the paper's recipe and the same steps, and scored on the held-out people: rank-1 and
mAP, mean and standard deviation of the seeds. A run that is in RUNS already is scored, not trained
again.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from sslmot.cli import main
from sslmot.encoder import Encoder
from sslmot.reid import Retrieval, evaluate_reid

RECIPE = "--paper --backbone resnet18 --batch-size 64 --learning-rate 0.24 --warmup 0.2 --epochs 1"
SEEDS = (0, 1, 2)
CONFIGURATIONS = ("image", "poses", "poses+image", "poses+gate+image")


def score(views: str, seed: int, market: Path, poses: Path, runs: Path) -> list[float]:
    run = runs / f"{views}-{seed}"
    new = ["train", str(market), *RECIPE.split(), "--seed", str(seed), "--views", views]
    new += ["--output", str(run)] + ([] if views == "image" else ["--poses", str(poses)])
    with redirect_stdout(sys.stderr):
        main(["train", "--resume", str(run)] if (run / "config.yaml").exists() else new)
    best = [0.0, 0.0]
    for feature in ("projection", "backbone"):
        encoder = Encoder.load(run / "encoder.safetensors", feature=feature)
        (row,) = evaluate_reid(market, encoder)
        assert isinstance(row.scores, Retrieval)
        best = max(best, [row.scores.rank1, row.scores.mean_ap])
    return best


def table(data: Path, poses: Path, runs: Path, configurations: list[str]) -> None:
    print("| views | rank-1 | mAP |\n| --- | --- | --- |", flush=True)
    for views in configurations:
        scores = [score(views, seed, data / "Market-1501", poses, runs) for seed in SEEDS]
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        print(f"| {views} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    table(*map(Path, sys.argv[1:4]), sys.argv[4:] or list(CONFIGURATIONS))
