"""Settings of a training, checked on construction; a YAML file holds them beside the run."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

MethodName = Literal["sslmot", "simsiam", "byol", "barlow"]
Loss = Literal["acd", "contrast", "cosine", "mse"]
SamplerName = Literal["auto", "plain", "tracklet", "pairs", "identities"]
Backbone = Literal["resnet18", "resnet50", "resnet101"]
Normalize = Literal["vectors", "rows"]
Preset = Literal["paper", "ablation", "both", "colour"]
Feature = Literal["projection", "backbone"]
Head = Literal["mlp", "norm"]

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class TrainConfig:
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
        parts: Horizontal stripes that the backbone's last map is averaged over, each.
        ibn: Whether the backbone's blocks normalise half of their channels by the crop itself, not
            the batch (IBN-a): for footage unlike what was learned from.
        crop_size: Height and width of a crop, pixels.
        initial: Weights to start from: an encoder of this project, or a torchvision checkpoint of
            the backbone (without IBN) as safetensors; "" for random ones.
        feature: What the encoder will describe boxes by: "projection" is the paper's z; BYOL's
            encoder has the backbone alone.
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
    parts: int = 1
    ibn: bool = True
    crop_size: tuple[int, int] = (128, 64)
    initial: str = ""
    feature: Feature = "projection"
    augmentation: Preset = "both"
    sampler: SamplerName = "auto"
    batch_size: int = 64
    epochs: int = 24
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
        hints = get_type_hints(type(self))
        for name in ("method", "loss", "normalize", "head", "backbone", "feature", "augmentation",
                     "sampler"):  # fmt: skip
            choices = get_args(hints[name])
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        if not isinstance(self.ibn, bool):
            raise ValueError(f"ibn: expected True or False, got {self.ibn!r}")
        for name, low in (("parts", 1), ("batch_size", 4), ("epochs", 1), ("refresh", 1),
                          ("seed", 0), ("stay", 0), ("transit", 1), ("neighbours", 1)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
                raise ValueError(f"{name}: expected an integer of {low} or more, got {value!r}")
        if self.parts > 16:
            raise ValueError(f"parts: expected at most 16, got {self.parts}")
        for name, high in (("temperature", 10.0), ("learning_rate", 100.0)):
            self._expect_number(name, 1e-6, high)
        self._expect_number("distance", 1e-6, 1)
        self._expect_number("warmup", 0, self.epochs)
        self._expect_number("momentum", 0, 1)
        self._expect_number("weight_decay", 0, 1)
        if self.balance != "auto":
            self._expect_number("balance", 0, math.inf, " or auto")
        size = self.crop_size
        whole = isinstance(size, tuple) and len(size) == 2 and all(type(n) is int for n in size)
        # Of a smaller crop the backbone leaves a single pixel, whose gradients torch 2.13 gets
        # wrong in bfloat16 on a CPU.
        if not (whole and 64 <= size[0] <= 1024 and 32 <= size[1] <= 1024):
            raise ValueError(f"crop_size: expected (height, width) from (64, 32), got {size!r}")
        if not isinstance(self.initial, str):
            raise ValueError(f"initial: expected a path, got {self.initial!r}")
        if self.method == "sslmot" and self.head == "norm" and self.loss in ("cosine", "mse"):
            raise ValueError(f"head: expected mlp with loss {self.loss}, got norm")

    def _expect_number(self, name: str, low: float, high: float, more: str = "") -> None:
        value = getattr(self, name)
        # An infinite bound is not in the range, and NaN in none.
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not (low <= value <= high and value < math.inf)
        ):
            interval = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise ValueError(f"{name}: expected a number of {interval}{more}, got {value!r}")

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
            ibn=False,
            crop_size=(128, 64),
            feature="projection",
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

    @classmethod
    def from_dict(cls, fields: Any, source: str = "config") -> TrainConfig:
        """Read what :meth:`to_dict` wrote; what is absent has its default.

        Raises:
            ValueError: A field is unknown or out of range.
        """
        expected = ", ".join(field.name for field in dataclasses.fields(cls))
        if not isinstance(fields, dict):
            raise ValueError(f"{source}: expected a mapping of {expected}, got {fields!r}")
        if unknown := [name for name in fields if name not in cls.__dataclass_fields__]:
            raise ValueError(f"{source}: expected some of {expected}, got {unknown[0]!r}")
        try:
            return cls(**{name: _value(name, value) for name, value in fields.items()})
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """All fields, as YAML and JSON know them."""
        fields = dataclasses.asdict(self)
        fields["crop_size"] = list(self.crop_size)
        return fields

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Read a YAML file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no YAML, or a field is unknown or out of range.
        """
        import yaml

        with Path(path).open(encoding="utf-8") as file:
            try:
                fields = yaml.safe_load(file)
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise ValueError(f"{path}: expected YAML, got {error}") from error
        return cls.from_dict({} if fields is None else fields, str(path))

    def save(self, path: str | Path) -> None:
        """Write all fields as a YAML file."""
        import yaml

        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        Path(path).write_text(text, encoding="utf-8")


def _value(name: str, value: Any) -> Any:
    """What a value of YAML or JSON, which know lists alone, stands for."""
    if isinstance(value, list):
        return tuple(value)
    # YAML 1.1, which PyYAML reads, takes 1e-4 for a text: it wants 1.0e-4, sign and all.
    if name != "initial" and isinstance(value, str) and re.fullmatch(_EXPONENT, value):
        return float(value)
    return value
