"""Settings of PN-GAN's training, checked on construction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sslmot.settings import Settings

PairsName = Literal["tracklet", "pseudo", "identity", "flip"]


@dataclass(frozen=True)
class PnganConfig(Settings):
    """How a generator of poses is trained: by default as in PN-GAN (Qian et al., ECCV 2018).

    Attributes:
        pairs: What shows one person in two poses: "tracklet", crops of a tracklet; "pseudo", crops
            of a pseudo-identity; "identity", crops of a labelled person, as in the paper, which is
            supervised; "flip", a crop and its mirror image.
        crop_size: Height and width of a crop, pixels; multiples of 4.
        width: Channels of the networks' first convolutions; 64 is the paper's, fewer are faster.
        blocks: Residual blocks of the generator.
        batch_size: Pairs in a batch.
        epochs: How often every crop with a partner is a source.
        learning_rate: Of Adam, in the first half of the epochs; it falls to 0 in the second.
        l1: Weight of the mean absolute difference beside the adversarial loss.
        seed: Of weights and pairs.

    Raises:
        ValueError: A field is out of range.
    """

    pairs: PairsName = "tracklet"
    crop_size: tuple[int, int] = (128, 64)
    width: int = 64
    blocks: int = 9
    batch_size: int = 32
    epochs: int = 20
    learning_rate: float = 2e-4
    l1: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._expect_choice("pairs")
        for name, low in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            self._expect_integer(name, low)
        for name in ("width", "blocks"):
            self._expect_integer(name, 1, 1024)
        self._expect_number("learning_rate", 1e-6, 1)
        self._expect_number("l1", 0, math.inf)
        self._expect_crop_size(self.crop_size, (32, 16), multiple=4)
