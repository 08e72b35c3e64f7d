"""Run detectors in ONNX files: YOLOX, and those that ultralytics exports."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.detection.coco_classes import CLASSES
from sslmot.detection.outputs import Family, Found, Ultralytics, Yolox
from sslmot.types import Frame

LOWEST_SCORE = 0.1
"""Detections that score less are dropped. The tracker makes use of low scores."""

MOST_OVERLAP = 0.65
"""IoU above which two boxes of a class show one object, as in YOLOX (ultralytics has .7)."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GREY = 114  # of the input around the frame, in both families
_SIDE = 640  # of the input of a model that takes any


class Detector:
    """Detects objects with a model in an ONNX file, by ONNX Runtime.

    The file tells the kind of the model. One that stores the names of its classes is taken for an
    export of ultralytics (YOLOv5, v8, 11 and newer), any other for YOLOX. The environment variable
    OMP_NUM_THREADS limits the threads.

    Args:
        model: ONNX file.
        classes: Names or numbers of the classes to detect.
        device: "cpu", or "cuda" with the package onnxruntime-gpu; None for CUDA where there is one.

    Attributes:
        classes: Name of each class that is detected, by number.

    Raises:
        ImportError: ONNX Runtime is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The file is no such model; it has no such class; or there is no such device.
    """

    def __init__(
        self,
        model: str | Path,
        classes: Iterable[str | int] = ("person",),
        *,
        device: str | None = None,
    ) -> None:
        self._session = _open(Path(model), device)
        self._input, *others = self._session.get_inputs()
        shape = self._input.shape
        if others or len(shape) != 4 or shape[1] not in (3, "channels"):
            raise ValueError(
                f"model: expected one input of colour pictures, got {model} with "
                f"{[given.shape for given in (self._input, *others)]}"
            )
        height, width = (side if isinstance(side, int) else _SIDE for side in shape[2:])
        self._size = height, width
        self._family = self._recognised(model)
        self.classes = _chosen(self._family.names, classes)

    def __call__(self, frame: Frame) -> npt.NDArray[np.float32]:
        """Detect objects in a frame.

        Args:
            frame: (H, W, 3) uint8, BGR.

        Returns:
            (N, 6) float32 ``x1, y1, x2, y2, score, class``, xyxy pixels, the best score first.
        """
        import cv2

        height, width = self._size
        scale = min(height / frame.shape[0], width / frame.shape[1])
        rows, columns = (max(1, round(side * scale)) for side in frame.shape[:2])
        centred = self._family.centred
        top, left = ((height - rows) // 2, (width - columns) // 2) if centred else (0, 0)
        picture = np.full((height, width, 3), _GREY, np.uint8)
        picture[top : top + rows, left : left + columns] = cv2.resize(frame, (columns, rows))

        found = self._family.read(self._run(self._family.prepare(picture)))
        found = _suppressed(found, list(self.classes))
        boxes = (found.boxes - [left, top, left, top]) / scale
        return np.column_stack([boxes, found.scores, found.classes]).astype(np.float32)

    def _run(self, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        dtype = np.float16 if "float16" in self._input.type else np.float32
        images = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype)
        output = self._session.run(None, {self._input.name: images})[0]
        return np.asarray(output[0], np.float32)

    def _recognised(self, model: str | Path) -> Family:
        """Return the family of the model, whose output for a grey picture has its shape."""
        stored = self._session.get_modelmeta().custom_metadata_map
        grey = self._run(np.full((*self._size, 3), _GREY, np.float32))
        family: Family
        if "names" in stored:
            family = Ultralytics(dict(ast.literal_eval(stored["names"])))
        else:
            count = grey.shape[-1] - 5
            names = CLASSES if count == len(CLASSES) else {k: f"class {k}" for k in range(count)}
            # Sizes are above 0. Their logarithms are not for every cell.
            decoded = grey.ndim == 2 and bool((grey[:, 2:4] >= 0).all())
            family = Yolox(self._size, names, decoded=decoded)
        try:
            family.read(grey)
        except ValueError as error:
            raise ValueError(f"model: {error} with {model}") from None
        return family


def _open(model: Path, device: str | None) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "a detector needs ONNX Runtime: pip install onnxruntime, or onnxruntime-gpu for CUDA"
        ) from None
    if not reading.is_file(model):
        raise FileNotFoundError(f"model: expected an ONNX file, got {model}")
    available = onnxruntime.get_available_providers()
    if device is None:
        device = "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if _PROVIDERS.get(device) not in available:
        here = [name for name, provider in _PROVIDERS.items() if provider in available]
        raise ValueError(f"device: expected one that ONNX Runtime has here, {here}, got {device!r}")
    options = onnxruntime.SessionOptions()
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        options.intra_op_num_threads = int(threads)  # as torch does
    try:
        return onnxruntime.InferenceSession(str(model), options, [_PROVIDERS[device]])
    except Exception as error:  # its errors have no common type
        reason = str(error).splitlines()[0]
        raise ValueError(f"model: expected an ONNX model, got {model}: {reason}") from None


def _chosen(names: Mapping[int, str], classes: Iterable[str | int]) -> dict[int, str]:
    """Return the number and name of the classes, given as either."""
    numbers = {name: number for number, name in names.items()}
    chosen = {}
    for given in classes:
        number = numbers.get(str(given), int(given) if str(given).isdecimal() else -1)
        if number not in names:
            raise ValueError(
                f"classes: expected names or numbers of {', '.join(names.values())}, got {given!r}"
            )
        chosen[number] = names[number]
    return chosen


def _suppressed(found: Found, classes: list[int]) -> Found:
    """Return the best of the boxes that overlap, a class at a time, the best score first."""
    import cv2

    likely = np.isfinite(found.boxes).all(axis=1) & (found.boxes[:, :2] < found.boxes[:, 2:]).all(1)
    likely &= (found.scores >= LOWEST_SCORE) & np.isin(found.classes, classes)
    found = found.take(likely)
    sizes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        sizes.tolist(), found.scores.tolist(), found.classes.tolist(), LOWEST_SCORE, MOST_OVERLAP
    )
    rows = np.asarray(kept, np.int64).ravel()
    return found.take(rows[np.argsort(-found.scores[rows], kind="stable")])
