"""How an encoder learns from two views of each crop: SSL-MOT, SimSiam, BYOL and Barlow Twins.

All are modules of one interface, for one training loop.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sslmot.appearance.encoder import EncoderConfig, EncoderNetwork
from sslmot.training.config import Loss, Normalize
from sslmot.training.losses import (
    acd,
    affinity,
    at_least_float32,
    barlow,
    contrast,
    known,
    mse,
    negative_cosine,
    symmetric,
)
from sslmot.training.processes import gather, rank, world


class Step(NamedTuple):
    """What a batch gave.

    Attributes:
        loss: (), to be minimised; its mean over processes is the loss of the whole batch.
        z: (n, M) float32 without gradient, of the first view: what is watched for collapse.
        same: () without gradient, the mean cosine between views of what is known to be the same
            person, among this process's crops.
        different: () likewise of different people; NaN where none are known to be.
    """

    loss: Tensor
    z: Tensor
    same: Tensor
    different: Tensor


class Method(nn.Module, ABC):
    """A way to train an encoder.

    Args:
        config: Make-up of the encoder, as the method wants it.

    Attributes:
        config: As given.
        encoder: What is kept after training.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = EncoderNetwork(config)

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor, relation: Tensor | None = None) -> Step:
        """Compute the loss of a batch.

        Args:
            first: (n, 3, h, w) one view of each crop, normalised.
            second: The other; of the same person, be it another crop.
            relation: (n, m) int8 or None; see :mod:`sslmot.training.losses`.

        Raises:
            ValueError: As the losses.
        """

    def after_step(self, progress: float) -> None:
        """Do what follows a step of the optimiser.

        Args:
            progress: Share of the whole training that is done, 0 to 1.
        """

    def load_backbone(self, weights: Mapping[str, Tensor]) -> None:
        """Start from these weights of the backbone."""
        self.encoder.backbone.load_state_dict(weights)


class SSLMOT(Method):
    """A head predicts one view's representation from the other's (SSL-MOT, section 3).

    Args:
        config: Of the encoder, whose projection is set.
        projection: Widths of the projection, see :class:`~sslmot.appearance.encoder.EncoderConfig`.
        hidden: Width of the prediction head between its two layers; None for no such head: the
            representation is its own prediction.
        loss: "acd", the paper's; "contrast", which uses the relation likewise; "cosine" or "mse",
            which look at own pairs alone.
        normalize: Of ACD, see :func:`~sslmot.training.losses.affinity`.
        balance: Of ACD, see :func:`~sslmot.training.losses.acd`.
        temperature: Of the contrast, see :func:`~sslmot.training.losses.contrast`.

    Raises:
        ValueError: There is no such loss.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        projection: tuple[int, ...] = (2048, 2048, 2048),
        hidden: int | None = 512,
        loss: Loss = "acd",
        normalize: Normalize = "vectors",
        balance: float | Literal["auto"] = "auto",
        temperature: float = 0.07,
    ) -> None:
        super().__init__(replace(config, projection=projection))
        if loss not in ("acd", "contrast", "cosine", "mse"):
            raise ValueError(f"loss: expected acd, contrast, cosine or mse, got {loss!r}")
        self.predictor = nn.Sequential()
        if hidden is not None:
            width = (self.encoder.backbone.dim, *projection)[-1]
            self.predictor.extend(
                [
                    nn.Linear(width, hidden, bias=False),
                    nn.BatchNorm1d(hidden),
                    nn.ReLU(),
                    nn.Linear(hidden, width),
                ]
            )
        self.loss = loss
        self.normalize: Normalize = normalize
        self.balance: float | Literal["auto"] = balance
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor, relation: Tensor | None = None) -> Step:
        """Compute the loss of a batch; see :meth:`Method.forward`."""

        def loss(p: Tensor, z: Tensor) -> Tensor:
            if self.loss == "cosine":
                return negative_cosine(p, z)
            if self.loss == "mse":
                return mse(p, z)
            columns, offset = gather(at_least_float32(z)), rank() * len(p)
            if self.loss == "contrast":
                return contrast(p, columns, relation, self.temperature, offset=offset)
            return acd(
                p,
                columns,
                relation,
                normalize=self.normalize,
                balance=self.balance,
                offset=offset,
            )

        z_first, z_second = self.encoder(first), self.encoder(second)
        p_first, p_second = self.predictor(z_first), self.predictor(z_second)
        total = symmetric(loss, p_first, z_first, p_second, z_second)
        return _step(total, z_first, p_first, z_second, relation)


class SimSiam(SSLMOT):
    """SSL-MOT's networks with the cosine of own pairs.

    Chen and He, "Exploring simple Siamese representation learning", 2021.

    Args:
        config: As for :class:`SSLMOT`.
        projection: As for :class:`SSLMOT`.
        hidden: As for :class:`SSLMOT`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        projection: tuple[int, ...] = (2048, 2048, 2048),
        hidden: int = 512,
    ) -> None:
        super().__init__(config, projection=projection, hidden=hidden, loss="cosine")


class BYOL(Method):
    """A head predicts what a slowly following copy of the networks says of the other view.

    Grill et al., "Bootstrap your own latent", 2020. The encoder is the backbone alone. The copy's
    batch normalisation uses the batch at hand, as the original's does, so its buffers are not
    averaged.

    Args:
        config: Of the encoder, whose projection is taken away.
        hidden: Width of both heads between their two layers.
        width: Of what they give.
        momentum: Share of the copy that a step keeps at first; it rises to 1 by half a cosine.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        hidden: int = 4096,
        width: int = 256,
        momentum: float = 0.99,
    ) -> None:
        super().__init__(replace(config, projection=None, feature="backbone"))
        self.head = _byol_head(self.encoder.backbone.dim, hidden, width)
        self.predictor = _byol_head(width, hidden, width)
        self.target = copy.deepcopy(self._online).requires_grad_(False)
        self.momentum = momentum

    @property
    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.head)

    def forward(self, first: Tensor, second: Tensor, relation: Tensor | None = None) -> Step:
        """Compute the loss of a batch; see :meth:`Method.forward`."""

        def loss(p: Tensor, z: Tensor) -> Tensor:
            return 2 + 2 * negative_cosine(p, z)  # the squared distance of unit vectors

        z_first, z_second = self.head(self.encoder(first)), self.head(self.encoder(second))
        p_first, p_second = self.predictor(z_first), self.predictor(z_second)
        with torch.no_grad():
            target_first, target_second = self.target(first), self.target(second)
        total = symmetric(loss, p_first, target_first, p_second, target_second)
        return _step(total, z_first, p_first, target_second, relation)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the copy; see :meth:`Method.after_step`."""
        pace = (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
        moving, towards = self.target.parameters(), self._online.parameters()
        for ours, theirs in zip(moving, towards, strict=True):
            ours.lerp_(theirs, pace)

    def load_backbone(self, weights: Mapping[str, Tensor]) -> None:
        """Start from these weights of the backbone, and the copy with them."""
        super().load_backbone(weights)
        self.target.load_state_dict(self._online.state_dict())


class BarlowTwins(Method):
    """Features agree between views and are independent of each other.

    Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", 2021.

    Args:
        config: Of the encoder, whose projection is set.
        projection: Widths of the projection.
        balance: Of the loss, see :func:`~sslmot.training.losses.barlow`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        projection: tuple[int, ...] = (8192, 8192, 8192),
        balance: float = 0.0051,
    ) -> None:
        super().__init__(replace(config, projection=projection))
        self.balance = balance

    def forward(self, first: Tensor, second: Tensor, relation: Tensor | None = None) -> Step:
        """Compute the loss of a batch; see :meth:`Method.forward`."""
        z_first = at_least_float32(self.encoder(first))
        z_second = at_least_float32(self.encoder(second))
        loss = barlow(gather(z_first), gather(z_second), self.balance)
        return _step(loss, z_first, z_first, z_second, relation)


METHODS: dict[str, type[Method]] = {
    "sslmot": SSLMOT,
    "simsiam": SimSiam,
    "byol": BYOL,
    "barlow": BarlowTwins,
}


def make_method(name: str, config: EncoderConfig, **options: Any) -> Method:
    """A method by its name, its weights random (from torch's global generator).

    Args:
        name: "sslmot", "simsiam", "byol" or "barlow".
        config: Of the encoder; the method sets the projection.
        options: Keyword arguments of the method's class.

    Raises:
        ValueError: There is no such method, or an option is out of range.
        TypeError: The method has no such option.
    """
    if name not in METHODS:
        raise ValueError(f"name: expected one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name](config, **options)


def _byol_head(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out)
    )


@torch.no_grad()
def _step(loss: Tensor, z: Tensor, p: Tensor, other: Tensor, relation: Tensor | None) -> Step:
    a = affinity(p, other)
    # Of the whole batch's columns, those at hand.
    n, offset = len(p), rank() * len(p)
    same, different = (
        mask[:, offset : offset + n] for mask in known(relation, n, world() * n, offset, a.device)
    )
    return Step(
        loss,
        z.detach().float(),
        (a * same).sum() / same.sum(),
        (a * different).sum() / different.sum(),
    )
