"""Colours of identities, legible on light and dark pages and on pictures."""

from __future__ import annotations

import math

_TONES = ((0.74, 0.15), (0.65, 0.18), (0.86, 0.10))
"""Lightness and chroma (OKLCH): all are light enough for black text."""


def colour(identity: int) -> str:
    """Return the colour of an identity, ``#rrggbb``. Near numbers differ clearly."""
    # Steps of the golden ratio spread any number of hues evenly.
    lightness, chroma = _TONES[(identity + identity // 21) % len(_TONES)]
    red, green, blue = _srgb(lightness, chroma, 2 * math.pi * (identity * 0.618034 % 1))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _srgb(lightness: float, chroma: float, hue: float) -> tuple[int, int, int]:
    """Convert OKLCH to sRGB, 0 to 255. Colours outside of sRGB are clipped."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3

    def channel(linear: float) -> int:
        value = min(max(linear, 0.0), 1.0)
        encoded = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        return round(255 * encoded)

    return (
        channel(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        channel(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        channel(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )
