"""Format numbers for people."""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
"""What stands for no value."""

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as "1 frame" or "1,200 frames"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a time, such as "17.5 s", "2:05 min" or "1:02:05 h"."""
    if 0 < seconds < 0.95:
        return f"{seconds:.2f}{SPACE}s"
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}{SPACE}h" if hours else f"{minutes}:{rest:02}{SPACE}min"


def number(value: float) -> str:
    """Return a number with about three digits, and a real minus sign."""
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e6):
        text = f"{value:.2e}"
    else:
        text = f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"
    return text.replace("-", MINUS)


def moment(frame: int, frame_rate: float | None) -> str:
    """Return a frame with its time, such as "frame 231 (7.7 s)"."""
    time = "" if frame_rate is None else f" ({duration((frame - 1) / frame_rate)})"
    return f"frame {frame:,}{time}"
