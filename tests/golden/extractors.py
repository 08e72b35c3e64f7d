"""Extractors with integer features, for the generated scenes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Strips:
    """Embeds a box as the mean colours of five strips."""

    def __call__(
        self, frame: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        h, w = frame.shape[:2]
        rows = []
        for x1, y1, x2, y2 in boxes.astype(int).clip(0, (w, h, w, h)).tolist():
            strips = np.array_split(frame[y1:y2, x1:x2].astype(np.int64), 5, axis=0)
            means = [s.sum(axis=(0, 1)) // max(s.shape[0] * s.shape[1], 1) for s in strips]
            rows.append(np.concatenate(means) - 110)
        return np.array(rows, np.float32)


class Together(Strips):
    """As `Strips`, also for several frames at once, as in a group."""

    def embed_frames(
        self,
        frames: list[npt.NDArray[np.uint8]],
        boxes: list[npt.NDArray[np.float32]],
    ) -> list[npt.NDArray[np.float32]]:
        return [self(frame, rows) for frame, rows in zip(frames, boxes, strict=True)]
