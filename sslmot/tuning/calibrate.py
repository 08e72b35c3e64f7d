"""The tracker's thresholds, fitted to an encoder by footage, without labels.

Footage says itself who is who: other boxes of a frame are other people, and a strictly linked
tracklet is one person. Both are compared as the tracker compares: the mixed feature of a tracklet
with the feature of a detection. That gives two anchors, and two cosines:

- *different*: the cosine that 5 % of different people exceed. Who was seen in the frame before must
  reach it: where the place speaks for a match already, looks must only not speak against it.
- *same*: the median cosine of a person with what is remembered of them `GAP` frames later.
  Who was lost must come two thirds of the way from *different* to *same*.

Two thirds, not the threshold at which these pairs are told apart with the fewest errors: that lies
lower, where it is right for these pairs only. Strangers who were never in one frame are not among
them, an encoder that was trained on the footage has pushed just these apart, and a lost person is
compared with many. The other side is flattering too: strict links end where people are hidden, so
*same* is that of people in plain view; a far gap, and not neighbouring frames, makes up for some.

The temperature follows from the second cosine: there the affinity is to be ``lost_affinity``. So
an affinity means the same with every encoder, and features that all share a constant part, which
only pushes their cosines together, are matched much as without it.

The shares, 5 % and two thirds, were chosen on MOT17-09 with three kinds of features and on
MOT17-02, 05, 10 and 11 with features made from labels; 3 to 7 % and .65 to .75 do about as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sslmot.appearance.calibration import CALIBRATED
from sslmot.data.tracklets import link
from sslmot.tracking.config import TrackerConfig

if TYPE_CHECKING:
    from sslmot.tuning.footage import Footage
    from sslmot.types import Boxes, Features

MIN_PAIRS = 1000
"""Pairs of different people, at least: a percentile at their end is asked for."""

GAP = 60
"""Frames between what is remembered of a person and the detection that is compared with it."""

MIN_TRACKLETS = 10
"""Tracklets that last for the gap, at least."""

_WAY = 2 / 3  # from different to same
_KIND = "expected embeddings of one width, finite, a row for each detection"


class Cosines(NamedTuple):
    """How a kind of pairs is spread.

    Attributes:
        pairs: How many.
        low: Percentile 5.
        median: Percentile 50.
        high: Percentile 95.
    """

    pairs: int
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, cosines: npt.NDArray[np.floating]) -> Cosines:
        """Describe pairs, one or more."""
        low, median, high = (float(cosine) for cosine in np.percentile(cosines, (5, 50, 95)))
        return cls(len(cosines), low, median, high)


@dataclass(frozen=True)
class Calibration:
    """Thresholds, and what they were fitted to.

    Attributes:
        config: The given settings, with ``tau`` and ``min_affinity`` fitted.
        different: Cosines of people in one frame.
        same: Cosines of a person with what is remembered of them after the gap.
        gap: Frames; `GAP`, or fewer where too few tracklets last so long.
        tracklets: How many last for the gap.
    """

    config: TrackerConfig
    different: Cosines
    same: Cosines
    gap: int
    tracklets: int

    @property
    def min_cosine(self) -> float:
        """Who was seen in the frame before must reach it."""
        return 1 + self.config.tau * math.log(self.config.min_affinity)

    @property
    def lost_cosine(self) -> float:
        """Who was not seen in the frame before must reach it."""
        return 1 + self.config.tau * math.log(self.config.lost_affinity)

    @property
    def fields(self) -> dict[str, float]:
        """What belongs to the encoder: `CALIBRATED`."""
        return {name: getattr(self.config, name) for name in CALIBRATED}


def calibrate(footage: Footage, config: TrackerConfig | None = None) -> Calibration:
    """Fit the thresholds of a tracker to the features of footage; the module says how.

    Args:
        footage: With embeddings, of people who walk alone enough to be linked, several in a frame;
            a minute of a street will do.
        config: What else holds, the defaults if None: ``ema`` mixes features, and
            ``lost_affinity`` stays as it is.

    Raises:
        ValueError: The footage has no or faulty embeddings, or too few people to tell; the
            embeddings do not tell people apart; or the config's ``lost_affinity`` is 0 or 1.
    """
    config = config if config is not None else TrackerConfig()
    if not 0 < config.lost_affinity < 1:
        raise ValueError(
            "config.lost_affinity: expected a number between 0 and 1, both excluded, "
            f"got {config.lost_affinity:g}"
        )
    boxes, features = _known(footage)
    tracklets = list(link(dict(enumerate(boxes))).values())
    gap, lasting = _gap(tracklets)
    of_two, of_one = _compare(tracklets, features, gap, config.ema)
    if len(of_two) < MIN_PAIRS:
        raise ValueError(
            f"footage: expected {MIN_PAIRS} or more pairs of a tracklet with another box of its "
            f"frame, got {len(of_two)}"
        )
    different, same = Cosines.of(of_two), Cosines.of(of_one)
    if not different.high < same.median:
        raise ValueError(
            f"footage: expected embeddings by which most people resemble themselves {gap} frames "
            f"later more than 95 % of others, got cosines of {same.median:.2f} and "
            f"{different.high:.2f}"
        )
    lost = different.high + _WAY * (same.median - different.high)
    tau = _rounded((1 - lost) / -math.log(config.lost_affinity))
    min_affinity = _rounded(math.exp((different.high - 1) / tau))
    return Calibration(
        config=dataclasses.replace(config, tau=tau, min_affinity=min_affinity),
        different=different,
        same=same,
        gap=gap,
        tracklets=lasting,
    )


def _known(footage: Footage) -> tuple[list[Boxes], list[Features]]:
    """Of each frame the boxes that are known by a feature, and these, of unit length."""
    if footage.embeddings is None:
        raise ValueError(f"footage: {_KIND}, got none")
    boxes, features = [], []
    for t, (dets, rows) in enumerate(zip(footage.detections, footage.embeddings, strict=True), 1):
        if rows.shape != (len(dets), footage.embeddings[0].shape[1]):
            raise ValueError(f"footage: {_KIND}, got {rows.shape} for {len(dets)} in frame {t}")
        if not np.isfinite(rows).all():
            raise ValueError(f"footage: {_KIND}, got NaN or inf in frame {t}")
        norms = np.linalg.norm(rows, axis=1)
        known = norms > 0
        boxes.append(dets[known, :4])
        features.append(rows[known] / norms[known, None])
    return boxes, features


def _gap(tracklets: list[npt.NDArray[np.int64]]) -> tuple[int, int]:
    """The longest gap up to `GAP` that enough tracklets last for, and how many do."""
    numbers = np.concatenate([np.empty(0, np.int64), *tracklets])
    spans = np.sort(np.bincount(numbers[numbers >= 0]) - 1)[::-1]
    least = GAP // 2
    if (got := int((spans >= least).sum())) < MIN_TRACKLETS:
        raise ValueError(
            f"footage: expected {MIN_TRACKLETS} or more tracklets that last for {least} frames, "
            f"got {got}"
        )
    gap = min(GAP, int(spans[MIN_TRACKLETS - 1]))
    return gap, int((spans >= gap).sum())


def _compare(
    tracklets: list[npt.NDArray[np.int64]], features: list[Features], gap: int, delta: float
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Compare what is remembered of tracklets with detections: of others now, of them later."""
    different: list[npt.NDArray[np.floating]] = [np.empty(0)]
    same: list[npt.NDArray[np.floating]] = []
    # Of the frames before this one: who was in it, their mixed features, the number of updates.
    memory: deque[tuple[npt.NDArray[np.int64], Features, npt.NDArray[np.int64]]] = deque(maxlen=gap)
    for numbers, rows in zip(tracklets, features, strict=True):
        linked = np.flatnonzero(numbers >= 0)
        mixed, updates = rows[linked].copy(), np.zeros(len(linked), np.int64)
        if memory:
            before, remembered, count = memory[-1]
            _, old, new = np.intersect1d(before, numbers[linked], return_indices=True)
            cosines = remembered[old] @ rows.T
            others = np.arange(len(rows)) != linked[new, None]
            different.append(cosines[others])
            updates[new] = count[old] + 1
            # As the tracker mixes: the mean of the first few, then a running mean.
            share = np.minimum(delta, updates[new] / (updates[new] + 1))[:, None]
            sums = share * remembered[old] + (1 - share) * mixed[new]
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            mixed[new] = sums / np.maximum(norms, np.finfo(np.float32).tiny)
        if len(memory) == gap:
            before, remembered, _ = memory[0]
            _, old, new = np.intersect1d(before, numbers[linked], return_indices=True)
            same.append((remembered[old] * rows[linked[new]]).sum(axis=1))
        memory.append((numbers[linked], mixed, updates))
    return np.concatenate(different), np.concatenate(same)


def _rounded(number: float) -> float:
    """To three digits: what is measured is not known better, and it is to be read."""
    return float(f"{number:.3g}")
