"""Choose the ticks of an axis."""

from __future__ import annotations

import math

from sslmot.report.words import MINUS


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from ``low`` to ``high``: at most ``most``, but at least one.

    Their distance is 1, 2 or 5 times a power of ten.
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [i * step for i in range(first, last + 1)]


def labels(marks: list[float]) -> list[str]:
    """Return the texts of ticks, with the decimals that tell them apart."""
    step = marks[1] - marks[0] if len(marks) > 1 else abs(marks[0]) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{mark:,.{decimals}f}".replace("-", MINUS) for mark in marks]
