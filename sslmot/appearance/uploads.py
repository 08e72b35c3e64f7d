"""Frames on their way to a CUDA device, which goes on with its work meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from sslmot.types import Frame

_MOST = 8
"""Frames that were sent and nobody asked for, before the oldest is forgotten."""


class Uploads:
    """Sends frames by a stream of its own.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._sent: dict[int, tuple[Frame, Tensor, Any]] = {}
        self._lock = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Start sending a frame, for the same array to be asked for later; in any thread.

        Args:
            frame: (H, W, 3) uint8, left as it is until then.
        """
        # From page-locked memory the copy runs while the host goes on.
        pinned = torch.empty(frame.shape, dtype=torch.uint8, pin_memory=True)
        pinned.numpy()[...] = frame
        with torch.cuda.stream(self._stream):
            there = pinned.to(self._device, non_blocking=True)
            arrived: Any = self._stream.record_event()
        with self._lock:
            # The frame is kept: no other array can have its place, and so its number.
            self._sent[id(frame)] = frame, there, arrived
            while len(self._sent) > _MOST:
                del self._sent[next(iter(self._sent))]

    def take(self, frame: Frame) -> Tensor:
        """A frame on the device, for which the current stream waits; sent now if it was not.

        Args:
            frame: (H, W, 3) uint8.
        """
        with self._lock:
            sent = self._sent.pop(id(frame), None)
        if sent is None:
            self.send(frame)
            return self.take(frame)
        _, there, arrived = sent
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(arrived)
        # So that its memory is not given to another before this stream is done with it.
        there.record_stream(stream)
        return there
