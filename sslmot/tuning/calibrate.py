"""Fit the tracker's thresholds to an encoder, from footage without labels.

Footage gives pairs without labels: two boxes in one frame are different people, and a strictly
linked tracklet is one person. Pairs are compared as in the tracker: the averaged feature of a
tracklet with the feature of a detection. This gives two cosines:

- *different*: 5 % of the pairs of different people have a higher cosine. It becomes the minimum
  for a track that was seen in the previous frame. Its position already supports the match, so
  appearance only has to not contradict it.
- *same*: the median cosine of a person with the own feature `GAP` frames earlier. The minimum for
  a lost track lies at two thirds of the way from *different* to *same*.

The threshold with the fewest errors on these pairs would be lower than two thirds, but it would
fit these pairs only. People who are never in one frame are not in the pairs, an encoder trained on
the footage separates just these pairs, and a lost track is compared with many detections. Also,
*same* is too high: strict links end where a person is hidden, so the pairs show people in full
view. The long gap reduces this effect, compared with neighbouring frames.

The temperature follows from the second cosine, whose affinity is set to ``lost_affinity``. So an
affinity means the same with each encoder. A constant part in all features, which only increases all
cosines, hardly changes the matches.

The shares, 5 % and two thirds, were chosen on MOT17-09 with three kinds of features, and on
MOT17-02, 05, 10 and 11 with features made from labels. Results are about the same with 3 to 7 % and
0.65 to 0.75.
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
"""Minimum number of pairs of different people, to estimate a high percentile."""

GAP = 60
"""Frames between the averaged feature of a tracklet and the detection compared with it."""

MIN_TRACKLETS = 10
"""Minimum number of tracklets that last for the gap."""

_WAY = 2 / 3  # from different to same
_KIND = "expected embeddings of one width, finite, a row for each detection"


class Cosines(NamedTuple):
    """Distribution of the cosines of one kind of pairs.

    Attributes:
        pairs: Number of pairs.
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
        """Compute the percentiles of one or more cosines."""
        low, median, high = (float(cosine) for cosine in np.percentile(cosines, (5, 50, 95)))
        return cls(len(cosines), low, median, high)


@dataclass(frozen=True)
class Calibration:
    """Fitted thresholds, and the data that they were fitted to.

    Attributes:
        config: The given settings, with fitted ``tau`` and ``min_affinity``.
        different: Cosines of different people in one frame.
        same: Cosines of one person before and after the gap.
        gap: Number of frames: `GAP`, or less if too few tracklets last that long.
        tracklets: Number of tracklets that last for the gap.
    """

    config: TrackerConfig
    different: Cosines
    same: Cosines
    gap: int
    tracklets: int

    @property
    def min_cosine(self) -> float:
        """Minimum cosine for a track that was seen in the previous frame."""
        return 1 + self.config.tau * math.log(self.config.min_affinity)

    @property
    def lost_cosine(self) -> float:
        """Minimum cosine for a lost track."""
        return 1 + self.config.tau * math.log(self.config.lost_affinity)

    @property
    def fields(self) -> dict[str, float]:
        """The fields that belong to the encoder, see `CALIBRATED`."""
        return {name: getattr(self.config, name) for name in CALIBRATED}


def calibrate(footage: Footage, config: TrackerConfig | None = None) -> Calibration:
    """Fit the thresholds of a tracker to the features of footage. The module says how.

    Args:
        footage: Footage with embeddings and several people in a frame. People must be far enough
            apart to be linked. A minute of a street is enough.
        config: The other settings, the defaults if None. ``ema`` averages features, and
            ``lost_affinity`` does not change.

    Raises:
        ValueError: The footage has no or invalid embeddings, or too few people; the embeddings do
            not separate people; or the config's ``lost_affinity`` is 0 or 1.
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
            f"footage: expected the median cosine of a person with itself {gap} frames later to be "
            f"above the 95th percentile of different people, got {same.median:.2f} and "
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
    """Return the boxes of each frame that have a feature, and the features with unit length."""
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
    """Return the longest gap up to `GAP` with enough tracklets, and the number of these."""
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
    """Compare the averaged features of tracklets with detections.

    Returns:
        The cosines with other people in the next frame, and with the same person a gap later.
    """
    different: list[npt.NDArray[np.floating]] = [np.empty(0)]
    same: list[npt.NDArray[np.floating]] = []
    # For each previous frame: tracklet numbers, averaged features, and numbers of updates.
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
            # As in the tracker: the mean of the first few features, then a moving average.
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
    """Round to three digits, for reading. The measurement is not more exact."""
    return float(f"{number:.3g}")
