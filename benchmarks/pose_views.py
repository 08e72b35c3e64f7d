"""Measure the effect of pose views on an encoder: SSL-MOT, table 1, on Market-1501.

    python benchmarks/pose_views.py DATA POSES RUNS [CONFIGURATION ...]

POSES is a folder of `sslmot make-poses DATA/Market-1501`. Each configuration is trained with three
seeds by the paper's method and a short schedule (`RECIPE`), with the same number of steps. It is
scored on the held-out people: rank-1 and mAP, mean and standard deviation over the seeds, for both
features (projection and backbone). An existing run in RUNS is continued and scored. Empty RUNS to
train again.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from sslmot.appearance.encoder import Encoder
from sslmot.cli import main
from sslmot.evaluation.reid import Retrieval, evaluate_reid

RECIPE = "--paper --backbone resnet18 --batch-size 64 --learning-rate 0.24 --warmup 0.2 --epochs 1"
SEEDS = (0, 1, 2)
CONFIGURATIONS = ("image", "poses", "poses+image", "poses+gate+image")


def score(views: str, seed: int, market: Path, poses: Path, runs: Path) -> list[float]:
    """Train and return rank-1 and mAP of the projection, then of the backbone."""
    run = runs / f"{views}-{seed}"
    new = ["train", str(market), *RECIPE.split(), "--seed", str(seed), "--views", views]
    new += ["--output", str(run)] + ([] if views == "image" else ["--poses", str(poses)])
    with redirect_stdout(sys.stderr):
        main(["train", "--resume", str(run)] if (run / "config.yaml").exists() else new)
    scores = []
    for feature in ("projection", "backbone"):
        encoder = Encoder.load(run / "encoder.safetensors", feature=feature)
        (row,) = evaluate_reid(market, encoder)
        assert isinstance(row.scores, Retrieval)
        scores += [row.scores.rank1, row.scores.mean_ap]
    return scores


def table(data: Path, poses: Path, runs: Path, configurations: list[str]) -> None:
    columns = ("views", "z: rank-1", "mAP", "backbone: rank-1", "mAP")
    print("|", " | ".join(columns), "|\n|", "--- | " * len(columns), flush=True)
    for views in configurations:
        scores = [score(views, seed, data / "Market-1501", poses, runs) for seed in SEEDS]
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        print("|", " | ".join([views, *cells]), "|", flush=True)


if __name__ == "__main__":
    table(*map(Path, sys.argv[1:4]), sys.argv[4:] or list(CONFIGURATIONS))
