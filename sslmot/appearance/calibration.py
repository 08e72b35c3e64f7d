"""Tracker thresholds that fit one encoder, stored in the encoder's file."""

from __future__ import annotations

from sslmot import reading

CALIBRATED = {"tau": (1e-6, 1e6), "min_affinity": (0.0, 1.0), "lost_affinity": (0.0, 1.0)}
"""Fields of :class:`~sslmot.TrackerConfig`, with lower and upper limit."""


def fields_from_json(text: str) -> dict[str, float]:
    """Parse the thresholds.

    Args:
        text: A JSON object with the fields of `CALIBRATED`.

    Raises:
        ValueError: The text is not such an object, or a field is out of range.
    """
    try:
        fields = reading.from_json(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or set(fields) != set(CALIBRATED):
        expected = ", ".join(CALIBRATED)
        raise ValueError(f"calibration: expected a JSON object of {expected}, got {text}")
    for name, (low, high) in CALIBRATED.items():
        number = fields[name]
        if type(number) not in (int, float) or not low <= number <= high:
            raise ValueError(
                f"calibration: {name}: expected a number of {low:g} to {high:g}, got {number!r}"
            )
    return fields
