"""A frame on its way through a tracker, between the phases of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sslmot import _core
from sslmot.inputs import Detections
from sslmot.tracking.camera import GreyFrame
from sslmot.tracking.features import DeviceTable


@dataclass(slots=True)
class Scene:
    """A frame that was prepared.

    Attributes:
        detections: What was detected.
        step: What the table of tracks knows of the frame.
        device: Where the features of tracks are, None for host memory.
        context: What is kept for the next frame beside the tracks.
        model: Whose features the detections have, as a gallery keeps it.
        width: Of these features, None where there are none.
    """

    detections: Detections
    step: _core.Step
    device: DeviceTable | None
    context: Context
    model: str
    width: int | None


@dataclass(frozen=True, slots=True)
class Context:
    """What is kept of a video beside its tracks.

    Attributes:
        size: (H, W) of the frames, None before the first.
        view: Of the last frame, for the camera's motion.
        device: Where the features of tracks are, None for host memory.
    """

    size: tuple[int, int] | None = None
    view: GreyFrame | None = None
    device: Any = None
