"""What files of results say of a clip, beside its tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sslmot.data.mot import FrameResult

Add: TypeAlias = Callable[[FrameResult], Any]
"""Writes the tracks of a frame, which were checked."""


@dataclass(frozen=True)
class Clip:
    """A clip whose tracks are written.

    Attributes:
        name: Name of the clip.
        frame_rate: Frames a second.
        size: Width and height, pixels; None where they are not known.
        classes: Name of each class, by number. Any other is called "class N", and none "object".
        source: Where it is from: a path or an address.
    """

    name: str
    frame_rate: float
    size: tuple[int, int] | None = None
    classes: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    def class_name(self, number: int) -> str:
        """Return the name of a class; -1 for none."""
        return self.classes.get(number, "object" if number == -1 else f"class {number}")
