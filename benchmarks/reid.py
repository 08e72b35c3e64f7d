"""Train and score the rows of re-identification (README, docs/training.md); print the tables.

    python benchmarks/reid.py ../shared/data runs/table [ROW ...]

The second folder contains the run of each row. A finished run is only scored. All runs have the
same crops and the same short schedule. It is not the paper's, whose batch of 512 would give too few
steps. Rows of the paper's recipe differ in method or loss. Other rows differ from the default in
one setting.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from sslmot import ColorHistogram
from sslmot.appearance.encoder import Encoder, EncoderConfig
from sslmot.cli import main
from sslmot.evaluation.reid import GapRetrieval, Retrieval, evaluate_reid
from sslmot.types import FeatureExtractor

SHORT = "--epochs 1 --batch-size 64 --learning-rate 0.24 --warmup 0.2"
PAPER = f"--paper --backbone resnet18 {SHORT}"
FLAGS = {
    # The paper's comparison of methods and losses. SSL-MOT with the cosine loss is SimSiam.
    "simsiam": f"{PAPER} --method simsiam",
    "byol": f"{PAPER} --method byol",
    "barlow": f"{PAPER} --method barlow",
    "sslmot-mse": f"{PAPER} --loss mse",
    "sslmot-acd": PAPER,
    # The defaults, and the defaults with one changed setting.
    "default": SHORT,
    "default-acd": f"{SHORT} --loss acd",
    "default-plain": f"{SHORT} --sampler plain",
    "default-no-ibn": f"{SHORT} --no-ibn",
    "default-both": f"{SHORT} --augmentation both",
    "default-one-part": f"{SHORT} --parts 1 --middle 1",
}


def extractors(row: str, market: Path, runs: Path) -> dict[str, FeatureExtractor]:
    """Return the extractors of a row, one for each feature (projection, backbone)."""
    if row == "histogram":
        return {"-": ColorHistogram()}
    if row == "untrained":
        config = EncoderConfig("resnet18", projection=None, feature="backbone")
        return {"backbone": Encoder(config)}
    weights = None
    if row != "shipped":
        run = runs / row
        new = ["train", str(market), *FLAGS[row].split(), "--output", str(run)]
        with redirect_stdout(sys.stderr):
            main(["train", "--resume", str(run)] if (run / "config.yaml").exists() else new)
        weights = run / "encoder.safetensors"
    readings = ["backbone"] if row == "byol" else ["projection", "backbone"]
    return {feature: Encoder.load(weights, feature=feature) for feature in readings}


def score(extractor: FeatureExtractor, data: Path) -> list[str]:
    """Score a row: rank-1 and mAP across cameras, rank-1 and AUC after each gap."""
    cells = []
    for path, names in ((data / "Market-1501", None), (data / "MOT17/train", ["09"])):
        for row in evaluate_reid(path, extractor, sequences=names):
            match row.scores:
                case Retrieval() as s:
                    cells.append(f"{s.rank1:.3f} / {s.mean_ap:.3f}")
                case GapRetrieval() as s:
                    cells.append(f"{s.rank1:.3f} / {s.auc:.3f}")
    return cells


def table(data: Path, runs: Path, rows: list[str]) -> None:
    """Print each row as soon as it is scored."""
    columns = ["row", "feature", "Market-1501 rank-1 / mAP"]
    columns += [f"MOT17-09 after {gap} frames rank-1 / AUC" for gap in (15, 60, 150)]
    print("|", " | ".join(columns), "|\n|", "--- | " * len(columns), flush=True)
    for row in rows:
        for feature, extractor in extractors(row, data / "Market-1501", runs).items():
            print("|", " | ".join([row, feature, *score(extractor, data)]), "|", flush=True)


if __name__ == "__main__":
    table(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        sys.argv[3:] or ["histogram", "untrained", *FLAGS, "shipped"],
    )
