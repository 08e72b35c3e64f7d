"""A frame on its way through a tracker: prepare, associate, commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sslmot import _core
from sslmot.inputs import of_video
from sslmot.tracking.camera import GreyFrame
from sslmot.tracking.features import DeviceTable
from sslmot.tracking.gallery import Gallery


class History(NamedTuple):
    """What a tracker keeps of a video beside its tracks.

    Attributes:
        size: (H, W) of the frames, None before the first.
        grey: The last frame, for the camera's motion.
        time: Of the last step, seconds; None before the first.
        clock: Of the last frame, stepped or predicted.
        device: Where the features of tracks are, None for host memory.
    """

    size: tuple[int, int] | None = None
    grey: GreyFrame | None = None
    device: Any = None
    time: float | None = None
    clock: float = 0.0


@dataclass(slots=True)
class Frame:
    """A frame that was prepared.

    Attributes:
        table: The tracks that it was prepared for.
        step: What the table computes of the frame.
        device: Where the features of tracks are, None for host memory.
        history: What is kept for the next frame.
        gallery: Gives identities, and gets new ones; None without a gallery or without features.
        model: Fingerprint of the encoder whose features the detections have.
        width: Numbers of a feature, None where the detections have none.
    """

    table: _core.TrackTable
    step: _core.Step
    device: DeviceTable | None
    history: History
    gallery: Gallery | None
    model: str
    width: int | None


def associate(frames: Sequence[Frame]) -> None:
    """Match tracks and detections, and decide which tracks get an identity.

    The rounds of matching are those of ByteTrack: detections of high score, then those of low
    score. Frames whose features are on one CUDA device are compared in one call.

    Args:
        frames: One of each video. Their tables are not changed.

    Raises:
        ValueError: Too many pairs are near each other; the video is named if there are several.
    """
    if len(frames) == 1:
        _core.associate_steps([frames[0].step])
        return
    on_device: dict[Any, list[Frame]] = {}
    for i, frame in enumerate(frames):
        if frame.device is not None:
            on_device.setdefault(frame.device.device, []).append(frame)
            continue
        with of_video(i):
            _core.associate_steps([frame.step])
    for together in on_device.values():
        _core.associate_steps([frame.step for frame in together])
