"""Settings of the tracker, checked on construction."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

Motion = Literal["kalman", "none"]


@dataclass(frozen=True)
class TrackerConfig:
    """Settings of a :class:`~sslmot.Tracker`.

    Distances are relative L1 distances (SSL-MOT, eq. 7): the mean of |dx| / width and
    |dy| / height between box centres, in sizes of the track's own box, and beside it
    ``shape_weight`` times the mean change of log width and log height.

    Attributes:
        tau: Temperature of the affinity ``exp((cosine - 1) / tau)`` (eq. 6).
        min_affinity: Pairs of lower affinity never match by appearance (rho_1).
        appearance_weight: Weight of ``1 - affinity`` in the cost (alpha, eq. 7).
        motion_weight: Weight of the distance in the cost (beta, eq. 7).
        shape_weight: Share of the change of size in the distance; 0 in the paper.
        max_cost: Pairs that cost as much or more never match by appearance.
        appearance_reach: Pairs farther apart than this never match by appearance; may be inf.
        motion_reach: Pairs farther apart than this never match by motion alone; at most 1.
        rescue: Continue tracks seen in the frame before by motion alone where appearance found
            them no detection. (Without features, motion alone decides everything.)
        delta: Share of the old feature in the update of a matched track (delta); of the old box
            too where ``motion`` is "none".
        confirm: Matches after its birth that turn a potential track into a reported one.
        patience: Frames without detection for which a confirmed track is kept (rho_2).
        potential_patience: The same for a potential track; the paper has one number for both.
        motion: "kalman" predicts with constant velocity; "none" stays where the track was.
    """

    tau: float = 0.2
    min_affinity: float = 0.2
    appearance_weight: float = 0.5
    motion_weight: float = 0.5
    shape_weight: float = 1.0
    max_cost: float = 0.8
    appearance_reach: float = 2.5
    motion_reach: float = 0.6
    rescue: bool = True
    delta: float = 0.9
    confirm: int = 1
    patience: int = 90
    potential_patience: int = 1
    motion: Motion = "kalman"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_affinity", 0.0, 1.0),
            ("appearance_weight", 0.0, math.inf),
            ("motion_weight", 0.0, math.inf),
            ("shape_weight", 0.0, math.inf),
            ("delta", 0.0, 1.0),
        ):
            self._expect_number(name, low, high)
        for name, high in (("tau", math.inf), ("max_cost", math.inf), ("motion_reach", 1.0)):
            self._expect_number(name, 0.0, high, positive=True)
        self._expect_number("appearance_reach", 0.0, math.inf, positive=True, infinite=True)
        for name in ("confirm", "patience", "potential_patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**9:
                raise ValueError(f"{name}: expected an integer of 0 to 1e9, got {value!r}")
        if not isinstance(self.rescue, bool):
            raise ValueError(f"rescue: expected True or False, got {self.rescue!r}")
        if self.motion not in get_args(Motion):
            expected = " or ".join(map(repr, get_args(Motion)))
            raise ValueError(f"motion: expected {expected}, got {self.motion!r}")

    def _expect_number(
        self, name: str, low: float, high: float, *, positive: bool = False, infinite: bool = False
    ) -> None:
        value = getattr(self, name)
        well = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low <= value <= high
            # The native core computes in float32: within what that can divide by and multiply.
            and not (positive and value < 1e-6)
            and (value <= 1e6 or (infinite and value == math.inf))
        )
        if not well:
            interval = f"of {1e-6 if positive else low:g} to {min(high, 1e6):g}"
            interval += " or inf" if infinite else ""
            raise ValueError(f"{name}: expected a number {interval}, got {value!r}")

    @classmethod
    def paper(cls, **changes: object) -> TrackerConfig:
        """Exactly SSL-MOT, eq. 6-7 and section 3's track handling, nothing beyond.

        Appearance may match at any distance, a match moves box and feature half-way, and nothing
        is rescued by motion alone. (The paper does not say tau and the thresholds.)

        Args:
            **changes: Fields to set otherwise.
        """
        paper = cls(
            tau=0.2,
            min_affinity=0.2,
            appearance_weight=0.5,
            motion_weight=0.5,
            shape_weight=0.0,
            max_cost=1.0,
            appearance_reach=math.inf,
            motion_reach=1.0,
            rescue=False,
            delta=0.5,
            confirm=1,
            patience=30,
            potential_patience=30,
            motion="none",
        )
        return dataclasses.replace(paper, **changes)  # type: ignore[arg-type]
