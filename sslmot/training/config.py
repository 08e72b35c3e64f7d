"""Settings of a training, checked on construction; a YAML file holds them beside the run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from sslmot.settings import Settings

MethodName = Literal["sslmot", "simsiam", "byol", "barlow"]
Loss = Literal["acd", "contrast", "cosine", "mse"]
SamplerName = Literal["auto", "plain", "tracklet", "pairs", "identities"]
Backbone = Literal["resnet18", "resnet50", "resnet101"]
Normalize = Literal["vectors", "rows"]
Preset = Literal["paper", "ablation", "both", "crowd", "colour"]
Feature = Literal["projection", "backbone"]
Head = Literal["mlp", "norm"]
Views = Literal["auto", "image", "poses", "poses+image", "poses+gate+image"]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How an encoder is trained: by default this project's way, by :meth:`paper` the paper's.

    Attributes:
        method: What is learned from two views of a person.
        loss: Of "sslmot": "acd" is the paper's, "contrast" compares the same evidence within a
            row, "cosine" and "mse" use own pairs alone.
        normalize: The reading of N in eq. 1: "vectors" makes an affinity a cosine.
        balance: Weight of ACD's redundancy term (lambda, eq. 2); "auto" for 1 / (n - 1).
        temperature: Of the contrast.
        head: "mlp", the paper's projection and prediction; "norm": a batch normalisation of the
            backbone's feature in their place.
        backbone: The network before the projection; the paper compares the three.
        parts: Horizontal stripes of the backbone's feature (1, 2, 4 or 8), see
            `ResNet`; 1 for the average of its last map, as the paper has it.
        middle: Share of a crop's width that is looked at, in its middle.
        ibn: Whether the backbone's blocks normalise half of their channels by the crop itself, not
            the batch (IBN-a): for footage unlike what was learned from.
        crop_size: Height and width of a crop, pixels.
        initial: Weights to start from: an encoder of this project, or a torchvision checkpoint of
            the backbone (without IBN) as safetensors; "" for random ones.
        feature: What the encoder will describe boxes by: "projection" is the paper's z; BYOL's
            encoder has the backbone alone.
        views: What the two views of a person are: "image", changed crops; "poses", a crop and one
            of its pose views as they are; "poses+image", the same, changed; "poses+gate+image",
            pose views of full bodies alone; "auto", the last where there are poses, else "image".
            The four are those of SSL-MOT, table 1.
        poses: Folder that `sslmot make-poses` made; "" for none.
        augmentation: Preset of changes to a view.
        sampler: What makes a pair: "plain", a crop and itself; "tracklet", the same of one crop a
            tracklet; "pairs", two crops of a tracklet; "identities", two crops of a
            pseudo-identity; "auto", pairs where most crops are linked into tracklets, as in
            footage, else identities.
        batch_size: Pairs in a batch, over all processes.
        epochs: How often the sampler goes through what it makes pairs of.
        refresh: Epochs between two gatherings of pseudo-identities.
        learning_rate: For a batch of 256 pairs; it grows with the batch and falls by a cosine.
        warmup: Epochs in which the learning rate rises.
        momentum: Of SGD.
        weight_decay: Of SGD, on weights alone: biases and normalisations have none.
        seed: Of weights, batches and augmentations.
        stay: Of pseudo-identities: frames for which a person may stay in view of a clip.
        transit: Of pseudo-identities: frames by which the way between two clips may take longer or
            shorter than usual.
        neighbours: Of pseudo-identities: how many other crops a crop is compared with.
        distance: Of pseudo-identities: Jaccard distance up to which two crops are linked.

    Raises:
        ValueError: A field is out of range, or two do not go together.
    """

    method: MethodName = "sslmot"
    loss: Loss = "contrast"
    normalize: Normalize = "vectors"
    balance: float | Literal["auto"] = "auto"
    temperature: float = 0.07
    head: Head = "norm"
    backbone: Backbone = "resnet18"
    parts: int = 4
    middle: float = 0.8
    ibn: bool = True
    crop_size: tuple[int, int] = (128, 64)
    initial: str = ""
    feature: Feature = "projection"
    views: Views = "auto"
    poses: str = ""
    augmentation: Preset = "crowd"
    sampler: SamplerName = "auto"
    batch_size: int = 64
    epochs: int = 20
    refresh: int = 2
    learning_rate: float = 0.24
    warmup: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0
    stay: int = 200
    transit: int = 500
    neighbours: int = 12
    distance: float = 0.5

    def __post_init__(self) -> None:
        for name in ("method", "loss", "normalize", "head", "backbone", "feature", "views",
                     "augmentation", "sampler"):  # fmt: skip
            self._expect_choice(name)
        if not isinstance(self.ibn, bool):
            raise ValueError(f"ibn: expected True or False, got {self.ibn!r}")
        for name, low in (("batch_size", 4), ("epochs", 1), ("refresh", 1),
                          ("seed", 0), ("stay", 0), ("transit", 1), ("neighbours", 1)):  # fmt: skip
            self._expect_integer(name, low)
        if type(self.parts) is not int or self.parts not in (1, 2, 4, 8):
            raise ValueError(f"parts: expected 1, 2, 4 or 8, got {self.parts!r}")
        for name, high in (("temperature", 10.0), ("learning_rate", 100.0)):
            self._expect_number(name, 1e-6, high)
        self._expect_number("distance", 1e-6, 1)
        self._expect_number("middle", 0.1, 1)
        self._expect_number("warmup", 0, self.epochs)
        self._expect_number("momentum", 0, 1)
        self._expect_number("weight_decay", 0, 1)
        if self.balance != "auto":
            self._expect_number("balance", 0, math.inf, " or auto")
        # Of a smaller crop the backbone leaves a single pixel, whose gradients torch 2.13 gets
        # wrong in bfloat16 on a CPU.
        self._expect_crop_size(self.crop_size, (64, 32))
        for name in ("initial", "poses"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: expected a path, got {getattr(self, name)!r}")
        if self.views.startswith("poses") and not self.poses:
            raise ValueError(f"poses: expected a folder of make-poses with views {self.views}")
        if self.views == "image" and self.poses:
            raise ValueError(f"poses: expected none with views image, got {self.poses!r}")
        if self.method == "sslmot" and self.head == "norm" and self.loss in ("cosine", "mse"):
            raise ValueError(f"head: expected mlp with loss {self.loss}, got norm")

    @classmethod
    def paper(cls, **changes: Any) -> TrainConfig:
        """Exactly SSL-MOT's recipe, section 4, nothing beyond; how long, it does not say.

        Args:
            **changes: Fields to set otherwise.
        """
        paper = cls(
            method="sslmot",
            loss="acd",
            normalize="vectors",
            balance="auto",
            head="mlp",
            backbone="resnet50",
            parts=1,
            middle=1.0,
            ibn=False,
            crop_size=(128, 64),
            feature="projection",
            views="auto",
            poses="",
            augmentation="both",
            sampler="plain",
            batch_size=512,
            epochs=100,
            learning_rate=0.05,
            warmup=0.0,
            momentum=0.9,
            weight_decay=1e-4,
        )
        return dataclasses.replace(paper, **changes)
