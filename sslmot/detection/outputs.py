"""Read the outputs of families of detectors: pictures in, boxes, scores and classes out.

The formats are those of the families' own exports: YOLOX's ``tools/export_onnx.py``, and
ultralytics' ``model.export(format="onnx")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]

STRIDES = (8, 16, 32)
"""Pixels between neighbouring cells of the three maps of a YOLO."""


class Found(NamedTuple):
    """What a detector found in its input.

    Attributes:
        boxes: (N, 4) xyxy pixels of the input.
        scores: (N,), 0 to 1.
        classes: (N,) class numbers.
    """

    boxes: Numbers
    scores: Numbers
    classes: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[Any]) -> Found:
        """Return the rows of these numbers, or those where a mask is true."""
        return Found(self.boxes[rows], self.scores[rows], self.classes[rows])


class Family(Protocol):
    """How a family of detectors takes pictures, and what it makes of them.

    Attributes:
        centred: Whether the frame is in the middle of the input, else at its top left.
        names: Name of each class, by number.
    """

    centred: bool
    names: Mapping[int, str]

    def prepare(self, picture: npt.NDArray[np.uint8]) -> Numbers:
        """Return (H, W, 3) for (H, W, 3) uint8, BGR."""
        ...

    def read(self, output: Numbers) -> Found:
        """Read the output for one picture.

        Raises:
            ValueError: It has another shape.
        """
        ...


class Yolox:
    """YOLOX: a row of ``x, y, width, height, objectness, scores of the classes`` for each cell.

    Args:
        size: Height and width of the input.
        names: Name of each class, by number.
        decoded: Whether centres and sizes are in pixels, else relative to the cell, sizes as
            logarithms.
    """

    centred = False

    def __init__(self, size: tuple[int, int], names: Mapping[int, str], *, decoded: bool) -> None:
        height, width = size
        maps = [np.indices((height // s, width // s)).reshape(2, -1)[::-1].T for s in STRIDES]
        self.names, self._decoded = names, decoded
        self._cells = np.concatenate(maps)
        self._strides = np.repeat(STRIDES, [len(cells) for cells in maps])[:, None]

    def prepare(self, picture: npt.NDArray[np.uint8]) -> Numbers:
        """Return BGR, 0 to 255."""
        return picture.astype(np.float32)

    def read(self, output: Numbers) -> Found:
        """Read the output for one picture, see `Family.read`."""
        expected = (len(self._cells), 5 + len(self.names))
        if output.shape != expected:
            raise ValueError(f"expected {expected} of YOLOX, got {output.shape}")
        centre, size = output[:, :2], output[:, 2:4]
        if not self._decoded:
            centre = (centre + self._cells) * self._strides
            size = np.exp(size) * self._strides
        return _best(centre, size, output[:, 4:5] * output[:, 5:])


class Ultralytics:
    """YOLOv5, v8, 11 and newer, as ultralytics exports them.

    Args:
        names: Name of each class, by number.
    """

    centred = True
    _MOST = 300  # rows of an export that has suppressed overlaps, or needs not

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names

    def prepare(self, picture: npt.NDArray[np.uint8]) -> Numbers:
        """Return RGB, 0 to 1."""
        return picture[:, :, ::-1].astype(np.float32) / np.float32(255)

    def read(self, output: Numbers) -> Found:
        """Read the output for one picture, see `Family.read`."""
        count = len(self.names)
        if output.ndim == 2 and output.shape[1] == 6 and len(output) <= self._MOST:
            return Found(output[:, :4], output[:, 4], output[:, 5].astype(np.int64))
        if output.ndim == 2 and output.shape[1] == 5 + count:  # v5
            return _best(output[:, :2], output[:, 2:4], output[:, 4:5] * output[:, 5:])
        if output.ndim == 2 and output.shape[0] == 4 + count:
            return _best(output[:2].T, output[2:4].T, output[4:].T)
        raise ValueError(
            f"expected (4 + {count}, N), (N, 5 + {count}) or (up to {self._MOST}, 6) of a detector "
            f"of {count} classes by ultralytics, got {output.shape}"
        )


def _best(centre: Numbers, size: Numbers, scores: Numbers) -> Found:
    """Return the best class of each row."""
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    classes = scores.argmax(axis=1)
    return Found(boxes, np.take_along_axis(scores, classes[:, None], axis=1)[:, 0], classes)
