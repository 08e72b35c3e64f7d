"""The trainings of the study, and the tables that they fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sslmot.training.config import TrainConfig


@dataclass(frozen=True)
class Cell:
    """A training of the study.

    Attributes:
        name: Its name. Cells of one name differ in the backbone only.
        settings: Fields of the common recipe with other values.
        own_rate: Whether it has a learning rate of its own.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    own_rate: bool = False

    def config(
        self, common: Mapping[str, Any], seed: int, rate: float, poses: str = ""
    ) -> TrainConfig:
        """Return the settings of the training.

        Args:
            common: Fields of the scale.
            seed: Seed.
            rate: Learning rate.
            poses: Folder of `sslmot make-poses`, for cells with pose views.
        """
        needs = {"poses": poses} if self.with_poses else {}
        settings = {**common, **self.settings, **needs, "learning_rate": rate, "seed": seed}
        return TrainConfig.paper(**settings)

    def folder(self, config: TrainConfig) -> str:
        """Return the name of the folder of the run, the same in all tables that have the cell."""
        return f"{self.name}-{config.backbone}-seed{config.seed}"

    @property
    def with_poses(self) -> bool:
        """Whether it learns from pose views."""
        return str(self.settings.get("views", "")).startswith("poses")


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        title: What it compares.
        rows: Label and training of each row.
    """

    title: str
    rows: Mapping[str, Cell]


ACD = Cell("acd", {"views": "image"})
COSINE = Cell("cosine", {"views": "image", "loss": "cosine"})
MSE = Cell("mse", {"views": "image", "loss": "mse"})
BYOL = Cell("byol", {"views": "image", "method": "byol", "feature": "backbone"})
BARLOW = Cell("barlow", {"views": "image", "method": "barlow"})
BARLOW_OWN = Cell("barlow-own", BARLOW.settings, own_rate=True)

TABLES = {
    "table1": Table(
        "Table 1: pose views of PN-GAN and image augmentation",
        {
            "image augmentation": ACD,
            "PN-GAN": Cell("acd-poses", {"views": "poses"}),
            "PN-GAN, image augmentation": Cell("acd-poses-image", {"views": "poses+image"}),
            "PN-GAN with the pose gate, image augmentation": Cell(
                "acd-poses-gate-image", {"views": "poses+gate+image"}
            ),
        },
    ),
    "table2": Table("Table 2: losses", {"MSE": MSE, "cosine": COSINE, "ACD": ACD}),
    "table3": Table(
        "Table 3: methods",
        {
            "BYOL": BYOL,
            # SimSiam is SSL-MOT with the cosine as its loss.
            "SimSiam": COSINE,
            "Barlow Twins": BARLOW,
            "Barlow Twins, learning rate of its own": BARLOW_OWN,
            "SSL-MOT": ACD,
        },
    ),
    "backbones": Table(
        "Backbones",
        {
            "ResNet-18": Cell("acd", {**ACD.settings, "backbone": "resnet18"}),
            "ResNet-50": Cell("acd", {**ACD.settings, "backbone": "resnet50"}),
            "ResNet-101": Cell("acd", {**ACD.settings, "backbone": "resnet101"}),
            "EfficientNet-Lite0": Cell("acd", {**ACD.settings, "backbone": "efficientnet_lite0"}),
        },
    ),
}
"""The tables that compare trainings, by the name of the command."""

SWEPT: tuple[Cell, ...] = (MSE, COSINE, ACD, BYOL)
"""The trainings whose mean decides about the common learning rate."""
