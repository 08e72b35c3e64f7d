"""The claims of the paper, and what the cells say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

Verdict = Literal["confirmed", "tie", "refuted", "open"]

MEASURES = {"MOTA": "paper.mota", "IDF1": "paper.idf1", "mAP": "reid.mean_ap"}
"""What a claim is judged by, fields of `CellScores`: the paper's tracker, and held-out people."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: one row of a table is better than another.

    Attributes:
        text: The claim.
        better: Label of the row that shall be better.
        worse: Label of the other one.
        or_equal: Whether a tie confirms it: the first row is not worse.
    """

    text: str
    better: str
    worse: str
    or_equal: bool = False


_GATE = "PN-GAN with the pose gate, image augmentation"
_BARLOW = "Barlow Twins, learning rate of its own"

CLAIMS = {
    "table1": (
        Claim("Poses help", _GATE, "image augmentation"),
        Claim("The pose gate helps", _GATE, "PN-GAN, image augmentation"),
    ),
    "table2": (Claim("ACD > cosine", "ACD", "cosine"), Claim("cosine > MSE", "cosine", "MSE")),
    "table3": (
        Claim("SSL-MOT > Barlow Twins", "SSL-MOT", _BARLOW),
        Claim("Barlow Twins > BYOL", _BARLOW, "BYOL"),
        Claim("BYOL > SimSiam", "BYOL", "SimSiam"),
    ),
    "backbones": (
        Claim("ResNet-50 > ResNet-18", "ResNet-50", "ResNet-18"),
        Claim("ResNet-50 as good as ResNet-101", "ResNet-50", "ResNet-101", or_equal=True),
    ),
}
"""The claims of each table of `sslmot.study.cells.TABLES`. That ResNet-50 is the best compromise
means those two of the backbones; its speed is a column."""


def verdict(
    better: Sequence[float | None], worse: Sequence[float | None], *, or_equal: bool = False
) -> Verdict:
    """Judge a claim by the scores of several seeds.

    A difference of means within the spread of the seeds is a tie. The spread is the larger standard
    deviation of the two.

    Args:
        better: Scores of the row that shall be better, one a seed; None for a seed without.
        worse: Scores of the other row.
        or_equal: Whether a tie confirms the claim.

    Returns:
        "open" where a row has fewer than two seeds, whose spread is unknown, or a seed without a
        score, such as one that collapsed.
    """
    a, b = ([s for s in row if s is not None and math.isfinite(s)] for row in (better, worse))
    if min(len(a), len(b)) < 2 or len(a) < len(better) or len(b) < len(worse):
        return "open"
    difference = fmean(a) - fmean(b)
    if abs(difference) <= max(stdev(a), stdev(b)):
        return "confirmed" if or_equal else "tie"
    return "confirmed" if difference > 0 else "refuted"
