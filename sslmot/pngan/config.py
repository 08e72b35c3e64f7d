"""Settings of the training of PN-GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sslmot.settings import Settings, setting

PairsName = Literal["tracklet", "pseudo", "identity", "flip"]


@dataclass(frozen=True)
class PnganConfig(Settings):
    """Settings of the training of a generator, by default those of PN-GAN (Qian et al., ECCV 2018).

    Attributes:
        pairs: Source of pairs of one person in two poses: "tracklet", crops of a tracklet;
            "pseudo", crops of a pseudo-identity; "identity", crops of a labelled person, supervised
            as in the paper; "flip", a crop and its mirror image.
        crop_size: Height and width of a crop, pixels; multiples of 4.
        width: Channels of the first convolutions; 64 is the paper's, fewer are faster.
        blocks: Residual blocks of the generator.
        batch_size: Pairs in a batch.
        epochs: Passes over all crops with a partner.
        learning_rate: Rate of Adam in the first half of the epochs; it falls to 0 in the second.
        l1: Weight of the mean absolute difference beside the adversarial loss.
        seed: Seed of weights and pairs.

    Raises:
        ValueError: A field is out of range.
    """

    pairs: PairsName = "tracklet"
    crop_size: tuple[int, int] = setting((128, 64), (32, 16), (1024, 1024), multiple=4)
    width: int = setting(64, 1, 1024)
    blocks: int = setting(9, 1, 1024)
    batch_size: int = setting(32, 1)
    epochs: int = setting(20, 1)
    learning_rate: float = setting(2e-4, 1e-6, 1)
    l1: float = setting(10.0, 0)
    seed: int = setting(0, 0)
