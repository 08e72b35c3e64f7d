"""Losses: SSL-MOT's (eq. 1-5), and those that it is compared with.

All are plain functions of float tensors, differentiable by autograd. They compute in float32, or in
float64 for float64 inputs, even under autocast.

The relation of the crops in a batch is an (n, m) int8 tensor: 1 if row and column show the same
person, -1 if they show different people, 0 if that is unknown. Rows are the n pairs of this
process, columns the m pairs of the whole batch. None means that each row matches its own column
only, and all other columns are different people.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sslmot.training.config import Normalize


def affinity(p: Tensor, z: Tensor, normalize: Normalize = "vectors") -> Tensor:
    """Compute the affinity of each row of p to each row of z (SSL-MOT, eq. 1).

    Args:
        p: (n, M) predictions.
        z: (m, M) representations.
        normalize: What N normalises: the "vectors", so that an affinity is a cosine, or the
            "rows" of their products.

    Returns:
        (n, m), each in -1 to 1.

    Raises:
        ValueError: The shapes do not fit, or there is no such reading.
    """
    _check_widths(p, z)
    if normalize not in ("vectors", "rows"):
        raise ValueError(f"normalize: expected vectors or rows, got {normalize!r}")
    p, z = at_least_float32(p), at_least_float32(z)
    with torch.autocast(p.device.type, enabled=False):
        if normalize == "rows":
            return functional.normalize(p @ z.T)
        return functional.normalize(p) @ functional.normalize(z).T


def acd(
    p: Tensor,
    z: Tensor,
    relation: Tensor | None = None,
    *,
    normalize: Normalize = "vectors",
    balance: float | Literal["auto"] = "auto",
    offset: int = 0,
) -> Tensor:
    """Pull affinities to the same person towards 1, all others towards 0 (SSL-MOT, eq. 2).

    A row's loss is the mean of (1 - A)² over columns of the same person, plus λ times the sum of A²
    over columns of different people. Unknown columns add nothing. The loss is the mean over rows.

    Args:
        p: (n, M) predictions.
        z: (m, M) representations of the whole batch.
        relation: (n, m) int8, on any device; see the module.
        normalize: As for :func:`affinity`.
        balance: λ; "auto" for 1 / (m - 1).
        offset: Column of the first row, if the relation is None.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: The shapes do not fit, an option is unknown, the batch has a single pair, or
            the relation has another dtype or a row without the same person.
    """
    _check_batch(len(z))
    if balance == "auto":
        balance = 1 / (len(z) - 1)
    elif not (isinstance(balance, int | float) and 0 <= balance < math.inf):
        raise ValueError(f"balance: expected a number from 0 or 'auto', got {balance!r}")
    a = affinity(p, z, normalize)
    same, different = known(relation, len(p), len(z), offset, a.device)
    invariance = ((1 - a).square() * same).sum(1) / same.sum(1)
    redundancy = (a.square() * different).sum(1)
    return (invariance + balance * redundancy).mean()


def contrast(
    p: Tensor,
    z: Tensor,
    relation: Tensor | None = None,
    temperature: float = 0.07,
    *,
    offset: int = 0,
) -> Tensor:
    """Contrast the same person with different people within each row.

    The loss is the mean of -log softmax(A / temperature) over the columns of the same person, then
    over rows. The softmax is over all columns but the unknown. It is the loss of Khosla et al.,
    "Supervised contrastive learning", 2020 (L_out), with A from prediction to representation.

    Args:
        p: (n, M) predictions.
        z: (m, M) representations of the whole batch.
        relation: (n, m) int8, on any device; see the module.
        temperature: Divisor of the cosines; a lower one weighs the hardest columns more.
        offset: Column of the first row, if the relation is None.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: As :func:`acd`.
    """
    _check_batch(len(z))
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a number above 0, got {temperature!r}")
    a = affinity(p, z)
    same, different = known(relation, len(p), len(z), offset, a.device)
    logits = (a / temperature).masked_fill(~(same | different), -math.inf)
    # Filled, not multiplied: 0 times the -inf of an unknown column is NaN.
    log_likelihood = functional.log_softmax(logits, dim=1).masked_fill(~same, 0)
    return -(log_likelihood.sum(1) / same.sum(1)).mean()


def imitate(p: Tensor, z: Tensor, alike: Tensor, temperature: float = 0.07) -> Tensor:
    """Make a row's affinities rank the columns as another encoder does.

    The loss is the divergence of softmax(A / temperature) from softmax(alike / temperature) over
    the columns, averaged over rows. The idea is that of "Similarity-preserving knowledge
    distillation", ICCV 2019; the softmax is that of :func:`contrast`.

    Args:
        p: (n, M) predictions.
        z: (m, M) representations of the whole batch.
        alike: (n, m) cosines of the same pairs by the other encoder.
        temperature: Divisor of the cosines.

    Returns:
        The loss, a scalar; 0 where both rank alike.

    Raises:
        ValueError: The shapes do not fit.
    """
    a = affinity(p, z)
    if alike.shape != a.shape:
        raise ValueError(f"alike: expected {tuple(a.shape)}, got {tuple(alike.shape)}")
    expected = functional.log_softmax(alike.to(a) / temperature, dim=1)
    got = functional.log_softmax(a / temperature, dim=1)
    return functional.kl_div(got, expected, reduction="batchmean", log_target=True)


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Return minus the mean cosine of the pairs: the loss of SimSiam.

    Args:
        p: (n, M) predictions.
        z: (n, M) representations.

    Raises:
        ValueError: The shapes differ.
    """
    _check_pairs(p, z)
    p, z = at_least_float32(p), at_least_float32(z)
    return -(functional.normalize(p) * functional.normalize(z)).sum(1).mean()


def mse(p: Tensor, z: Tensor) -> Tensor:
    """Return the mean squared difference of the pairs, without normalisation.

    Args:
        p: (n, M) predictions.
        z: (n, M) representations.

    Raises:
        ValueError: The shapes differ.
    """
    _check_pairs(p, z)
    return functional.mse_loss(at_least_float32(p), at_least_float32(z))


def symmetric(
    loss: Callable[[Tensor, Tensor], Tensor],
    p_first: Tensor,
    z_first: Tensor,
    p_second: Tensor,
    z_second: Tensor,
) -> Tensor:
    """Average the losses of predicting each view from the other (SSL-MOT, eq. 3-5).

    Args:
        loss: Function of predictions and representations; the latter get no gradient.
        p_first: (n, M) predictions from the first view.
        z_first: (n, M) representations of the first view.
        p_second: (n, M) predictions from the second view.
        z_second: (n, M) representations of the second view.
    """
    return (loss(p_first, z_second.detach()) + loss(p_second, z_first.detach())) / 2


def barlow(z_first: Tensor, z_second: Tensor, balance: float = 0.0051) -> Tensor:
    """Pull the cross-correlation of features towards the identity matrix.

    Zbontar et al., "Barlow Twins: self-supervised learning via redundancy reduction", 2021, eq. 1:
    a sum over features that are standardised over the batch.

    Args:
        z_first: (m, M) representations of the whole batch.
        z_second: (m, M) representations of the other view.
        balance: Weight of the entries off the diagonal.

    Raises:
        ValueError: The shapes differ, or the batch has a single pair.
    """
    _check_pairs(z_first, z_second)
    _check_batch(len(z_first))
    x, y = _standardised(z_first), _standardised(z_second)
    with torch.autocast(x.device.type, enabled=False):
        c = x.T @ y / len(x)
    width = len(c)
    # Reshaped to rows one longer, without its last entry, the matrix has its diagonal in column 0.
    off_diagonal = c.flatten()[:-1].view(width - 1, width + 1)[:, 1:]
    return (1 - c.diagonal()).square().sum() + balance * off_diagonal.square().sum()


def known(
    relation: Tensor | None, n: int, m: int, offset: int = 0, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Return which pairs of a batch show the same person, and which different people.

    Args:
        relation: (n, m) int8 or None; see the module. It is checked on its own device.
        n: Number of rows.
        m: Number of columns.
        offset: Column of the first row, if the relation is None.
        device: Device of the result.

    Returns:
        (n, m) bool, the same person; and (n, m) bool, different people.

    Raises:
        ValueError: The relation has another shape or dtype, or a row without the same person, or
            rows have no column of their own.
    """
    if relation is None:
        if not 0 <= offset <= m - n:
            raise ValueError(f"offset: expected 0 to {m - n} with {n} of {m} pairs, got {offset}")
        own = torch.arange(offset, offset + n, device=device)
        same = own[:, None] == torch.arange(m, device=device)
        return same, ~same
    if relation.shape != (n, m) or relation.dtype != torch.int8:
        raise ValueError(
            f"relation: expected ({n}, {m}) torch.int8, "
            f"got {tuple(relation.shape)} {relation.dtype}"
        )
    lonely = ~(relation == 1).any(1)
    if lonely.any():
        raise ValueError(
            "relation: expected the same person in each row, "
            f"got none in row {int(lonely.nonzero()[0])}"
        )
    relation = relation.to(device)
    return relation == 1, relation == -1


def at_least_float32(x: Tensor) -> Tensor:
    """Return x in float32, or float64 as it is; autocast may have left half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _standardised(x: Tensor) -> Tensor:
    x = at_least_float32(x)
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt()  # as batch normalisation does


def _check_widths(p: Tensor, z: Tensor) -> None:
    if p.ndim != 2 or z.ndim != 2 or p.shape[1] != z.shape[1]:
        raise ValueError(
            f"p, z: expected (n, M) and (m, M), got {tuple(p.shape)} and {tuple(z.shape)}"
        )


def _check_pairs(p: Tensor, z: Tensor) -> None:
    if p.ndim != 2 or p.shape != z.shape:
        raise ValueError(
            f"pairs: expected twice the same (n, M), got {tuple(p.shape)} and {tuple(z.shape)}"
        )


def _check_batch(size: int) -> None:
    if size < 2:
        raise ValueError(f"batch: expected at least 2 pairs, got {size}")
