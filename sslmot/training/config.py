"""Settings of a training, checked on construction; a YAML file holds them beside the run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from sslmot.settings import Settings, setting

MethodName = Literal["sslmot", "simsiam", "byol", "barlow"]
Loss = Literal["acd", "contrast", "cosine", "mse"]
SamplerName = Literal["auto", "plain", "tracklet", "pairs", "identities"]
Backbone = Literal["resnet18", "resnet50", "resnet101"]
Parts = Literal[1, 2, 4, 8]
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
    balance: float | Literal["auto"] = setting("auto", 0)
    temperature: float = setting(0.07, 1e-6, 10)
    head: Head = "norm"
    backbone: Backbone = "resnet18"
    parts: Parts = 4
    middle: float = setting(0.8, 0.1, 1)
    ibn: bool = True
    # Of a smaller crop the backbone leaves a single pixel, whose gradients torch 2.13 gets wrong
    # in bfloat16 on a CPU.
    crop_size: tuple[int, int] = setting((128, 64), (64, 32), (1024, 1024))
    initial: str = ""
    feature: Feature = "projection"
    views: Views = "auto"
    poses: str = ""
    augmentation: Preset = "crowd"
    sampler: SamplerName = "auto"
    batch_size: int = setting(64, 4)
    epochs: int = setting(20, 1)
    refresh: int = setting(2, 1)
    learning_rate: float = setting(0.24, 1e-6, 100)
    warmup: float = setting(1.0, 0)
    momentum: float = setting(0.9, 0, 1)
    weight_decay: float = setting(5e-4, 0, 1)
    seed: int = setting(0, 0)
    stay: int = setting(200, 0)
    transit: int = setting(500, 1)
    neighbours: int = setting(12, 1)
    distance: float = setting(0.5, 1e-6, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup > self.epochs:
            raise ValueError(
                f"warmup: expected at most epochs ({self.epochs}), got {self.warmup!r}"
            )
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
