"""Copy frames to a CUDA device while the device computes."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from sslmot.types import Frame

_MOST = 8
"""Maximum number of sent frames that were not taken. Beyond it, the oldest is dropped."""


class Uploads:
    """Copies frames to a CUDA device in a separate stream.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._sent: dict[int, tuple[Frame, Tensor, Any]] = {}
        self._lock = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Start to copy a frame. Any thread may call this. Get the copy with :meth:`take`.

        Args:
            frame: (H, W, 3) uint8. It must not change before :meth:`take`.
        """
        # A copy from page-locked memory does not block the host.
        pinned = torch.empty(frame.shape, dtype=torch.uint8, pin_memory=True)
        pinned.numpy()[...] = frame
        with torch.cuda.stream(self._stream):
            there = pinned.to(self._device, non_blocking=True)
            arrived: Any = self._stream.record_event()
        with self._lock:
            # The reference to the frame keeps its id from being reused.
            self._sent[id(frame)] = frame, there, arrived
            while len(self._sent) > _MOST:
                del self._sent[next(iter(self._sent))]

    def take(self, frame: Frame) -> Tensor:
        """Return a frame on the device. The current stream waits for the copy.

        Args:
            frame: (H, W, 3) uint8. It is sent now if :meth:`send` was not called with it.
        """
        with self._lock:
            sent = self._sent.pop(id(frame), None)
        if sent is None:
            self.send(frame)
            return self.take(frame)
        _, there, arrived = sent
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(arrived)
        # The allocator must not reuse the memory before this stream has used it.
        there.record_stream(stream)
        return there
