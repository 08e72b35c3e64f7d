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
    imitate,
    known,
    mse,
    negative_cosine,
    symmetric,
)
from sslmot.training.processes import gather, rank, world


class Step(NamedTuple):
    """The result of a batch.

    Attributes:
        loss: Scalar to minimise; its mean over processes is the loss of the whole batch.
        z: (n, M) float32 without gradient: features of the first view, watched for collapse.
        second: (n, M) float32 without gradient: features of the second view, or what takes their
            place in the loss.
        same: Scalar without gradient: mean cosine between views that are known to show the same
            person, among the crops of this process.
        different: The same for different people; NaN if none are known.
    """

    loss: Tensor
    z: Tensor
    second: Tensor
    same: Tensor
    different: Tensor


class Method(nn.Module, ABC):
    """A way to train an encoder.

    Args:
        config: Architecture of the encoder, as the method needs it.

    Attributes:
        config: As given.
        encoder: The network to keep after training.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = EncoderNetwork(config)

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor, relation: Tensor | None = None) -> Step:
        """Compute the loss of a batch.

        Args:
            first: (n, 3, h, w) first view of each person, normalised.
            second: (n, 3, h, w) second view, of the same crop or another of the person.
            relation: (n, m) int8 or None; see :mod:`sslmot.training.losses`.

        Raises:
            ValueError: As the losses.
        """

    def after_step(self, progress: float) -> None:
        """Update what the optimiser does not.

        Args:
            progress: Share of the training that is done, 0 to 1.
        """

    def load_backbone(self, weights: Mapping[str, Tensor]) -> None:
        """Load initial weights of the backbone."""
        self.encoder.backbone.load_state_dict(weights)


class SSLMOT(Method):
    """Predict the representation of one view from the other (SSL-MOT, section 3).

    Args:
        config: Architecture of the encoder; its projection is replaced.
        projection: Widths of the projection, see :class:`~sslmot.appearance.encoder.EncoderConfig`.
        hidden: Width between the two layers of the prediction head; None for no head, so that the
            representation is the prediction.
        loss: "acd", the paper's; "contrast", which uses the relation too; "cosine" or "mse", which
            use each pair alone.
        normalize: Option of "acd", see :func:`~sslmot.training.losses.affinity`.
        balance: Option of "acd", see :func:`~sslmot.training.losses.acd`.
        temperature: Option of "contrast", see :func:`~sslmot.training.losses.contrast`.

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
            width = self.encoder.dim
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

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        relation: Tensor | None = None,
        alike: tuple[Tensor, Tensor] | None = None,
        proxies: tuple[Tensor, Tensor] | None = None,
    ) -> Step:
        """Compute the loss of a batch; see :meth:`Method.forward`.

        Args:
            first: As there.
            second: As there.
            relation: As there.
            alike: (n, m) cosines by a teacher, of the first views with the second views of the
                whole batch, and of the second with the first; None for no teacher.
            proxies: (P, M) proxies of identities, to contrast all views with besides; and the
                (2 n, P) int8 relation of the first views and the second to them. None for none.
        """

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
        if alike is not None:
            pairs = (p_first, z_second, alike[0]), (p_second, z_first, alike[1])
            for p, z, of_teacher in pairs:
                columns = gather(at_least_float32(z.detach()))
                total = total + imitate(p, columns, of_teacher, self.temperature) / 2
        if proxies is not None:
            total = total + contrast(torch.cat([p_first, p_second]), *proxies, self.temperature)
        return _step(total, z_first, p_first, z_second, relation)


class SimSiam(SSLMOT):
    """The networks of SSL-MOT with the cosine of each pair as the loss.

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
    """Predict the output of a slowly moving copy of the networks for the other view.

    Grill et al., "Bootstrap your own latent", 2020. The encoder is the backbone alone. The copy's
    batch normalisation uses the current batch, as the original's does, so its buffers are not
    averaged.

    Args:
        config: Architecture of the encoder; its projection is removed.
        hidden: Width between the two layers of both heads.
        width: Output width of both heads.
        momentum: Share of the copy that the first step keeps; it rises to 1 by half a cosine.
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
            return 2 + 2 * negative_cosine(p, z)  # squared distance of unit vectors

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
        """Load initial weights of the backbone, also into the copy."""
        super().load_backbone(weights)
        self.target.load_state_dict(self._online.state_dict())


class BarlowTwins(Method):
    """Make features agree between views, and independent of each other.

    Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", 2021.

    Args:
        config: Architecture of the encoder; its projection is replaced.
        projection: Widths of the projection.
        balance: Option of the loss, see :func:`~sslmot.training.losses.barlow`.
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
    """Make a method by its name, with random weights from torch's global generator.

    Args:
        name: "sslmot", "simsiam", "byol" or "barlow".
        config: Architecture of the encoder; the method sets the projection.
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
    # The columns of this process.
    n, offset = len(p), rank() * len(p)
    same, different = (
        mask[:, offset : offset + n] for mask in known(relation, n, world() * n, offset, a.device)
    )
    return Step(
        loss,
        z.detach().float(),
        other.detach().float(),
        (a * same).sum() / same.sum(),
        (a * different).sum() / different.sum(),
    )
