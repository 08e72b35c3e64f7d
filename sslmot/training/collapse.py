"""Detection of collapse: an encoder that gives all crops the same feature."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_SPREAD = 0.02
_LEAST_RANK = 1.5


class CollapseError(ArithmeticError):
    """All features are nearly the same, so further training would be useless."""


class Health(NamedTuple):
    """Spread of the features of a batch.

    Attributes:
        spread: Mean standard deviation of a dimension of the unit vectors, times the root of
            their number: 1 for vectors evenly on the sphere, 0 for equal vectors (SimSiam,
            figure 2).
        rank: Effective rank: the exponential of the entropy of the shares of the singular values
            (Roy and Vetterli, 2007); at most n for n vectors.
    """

    spread: float
    rank: float


@torch.no_grad()
def health(z: Tensor) -> Health:
    """Measure the features of a batch; both measures are NaN if a feature is not finite.

    Args:
        z: (n, M) float32, n of 2 or more, not normalised.
    """
    unit = torch.nn.functional.normalize(z.float(), dim=1)
    if not unit.isfinite().all():  # SVD would fail
        return Health(math.nan, math.nan)
    spread = unit.std(dim=0).mean() * z.shape[1] ** 0.5
    values = torch.linalg.svdvals(unit)
    shares = values / values.sum().clamp_min(1e-12)
    entropy = -torch.special.xlogy(shares, shares).sum()
    return Health(float(spread), float(entropy.exp()))


def check(h: Health, epoch: int) -> None:
    """Stop a run that has collapsed.

    Raises:
        CollapseError: The features hardly differ, or only along one direction.
    """
    # NaN fails both comparisons, and stops the run too.
    if not (h.spread >= _LEAST_SPREAD and h.rank >= _LEAST_RANK):
        raise CollapseError(
            f"the encoder collapsed in epoch {epoch}: features spread by {h.spread:.3f} (evenly: "
            f"1, collapsed: below {_LEAST_SPREAD}) over {h.rank:.1f} directions (collapsed: below "
            f"{_LEAST_RANK}); try a lower learning rate or a larger batch"
        )
