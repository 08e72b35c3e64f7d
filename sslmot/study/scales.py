"""How large a study is: the paper's size, one for a desktop, and one for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """The size of all trainings of a study.

    Attributes:
        settings: Fields of `TrainConfig.paper()` with other values.
        differs: How that differs from the paper, for the report.
        rates: Learning rates of the sweep. A single one needs no sweep.
        barlow_rates: Those of Barlow Twins, whose loss does not stand the common ones.
        sweep_epochs: Epochs of a training of the sweep.
    """

    settings: Mapping[str, Any]
    differs: str
    rates: tuple[float, ...]
    barlow_rates: tuple[float, ...]
    sweep_epochs: int = 1


SCALES = {
    "paper": Scale(
        settings={},
        differs="As in the paper; it does not say the number of epochs, which is 100 here, nor a "
        "learning rate of Barlow Twins.",
        rates=(0.05,),
        barlow_rates=(0.0125,),
    ),
    "small": Scale(
        settings={
            "backbone": "resnet18",
            "crop_size": (64, 32),
            "batch_size": 128,
            "epochs": 24,
            "warmup": 1.0,
        },
        differs="Smaller than the paper: ResNet-18 in place of ResNet-50 (where backbones are not "
        "compared), crops of 64x32 in place of 128x64, 24 epochs, the first to warm up, and "
        "batches of 128 pairs in place of 512, so that an epoch has four times the steps (ACD "
        "compares the 128 pairs of a batch; nothing is accumulated).",
        rates=(0.05, 0.2, 0.8),
        barlow_rates=(0.003, 0.0125, 0.05),
    ),
    "smoke": Scale(
        settings={
            "backbone": "resnet18",
            "crop_size": (64, 32),
            "batch_size": 32,
            "epochs": 1,
        },
        differs="One epoch on a generated crowd: it shows that the command works, and nothing of "
        "the methods.",
        rates=(0.05,),
        barlow_rates=(0.0125,),
    ),
}
"""The scales, by name."""
