"""Top-down pose models as ONNX: from a crop of a person to 17 or 18 joints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, RGB
from sslmot.pose.canvas import MARGIN, Canvas
from sslmot.pose.estimator import MOST_BYTES, MOST_SIDE, fingerprint
from sslmot.pose.joints import Joints, from_coco17

INPUT_SIZE = (256, 192)
"""Usual height and width of the input of top-down models, for models that do not say."""

RECIPE = 1
"""Version of this code, by which joints are cached: raise it when the joints change."""

Array: TypeAlias = npt.NDArray[np.float32]


class OnnxPose:
    """A top-down pose model: SimpleBaseline, HRNet, ViTPose, or an OpenPose exported alike.

    The input is (N, 3, H, W) float32, RGB, normalised. The one output is heatmaps (N, J, h, w),
    whose cell i lies at pixel i * W / w and whose values are confidences; or coordinates (N, J, 3):
    x and y in pixels of the input, confidence; or (N, J, 2), with confidence 1. J is 17 for the
    keypoints of COCO, 18 for those of OpenPose. The model runs in onnxruntime if that is installed,
    otherwise in OpenCV, which does not tell the size of the input.

    Args:
        path: The file of the model.
        size: Height and width of the input, pixels; None for the model's own, or `INPUT_SIZE` if it
            does not say.
        mean: Mean of red, green and blue, in 0..1.
        std: Standard deviation of each.

    Attributes:
        fingerprint: Identifies the model, its input and this code.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a model, or does not support this size.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = None,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        model = reading.read(path, MOST_BYTES)
        try:
            self._network, own_size = _load(model)
            self._size = size or own_size or INPUT_SIZE
            if not all(1 <= side <= MOST_SIDE for side in self._size):
                raise ValueError(f"an input of {self._size}")
            self._mean, self._std = (np.array(colour, np.float32) for colour in (mean, std))
            output = self._network(np.zeros((1, 3, *self._size), np.float32))
        except Exception as error:  # runtimes raise errors of their own, of no common base
            raise ValueError(
                f"{path}: expected a model of images (N, 3, H, W), got {error}"
            ) from error
        if not (
            output.ndim in (3, 4)
            and output.shape[:2] in ((1, 17), (1, 18))
            and (output.ndim == 4 or output.shape[2] in (2, 3))
        ):
            raise ValueError(
                f"{path}: expected heatmaps (N, J, h, w) or coordinates (N, J, 2 or 3) of J = 17 "
                f"or 18 joints, got {output.shape}"
            )
        self.fingerprint = fingerprint(model, "onnx", RECIPE, MARGIN, self._size, mean, std)

    def __call__(self, crops: npt.NDArray[np.uint8]) -> Joints:
        """Find joints; see `sslmot.pose.estimator.PoseEstimator`."""
        canvas = Canvas((crops.shape[1], crops.shape[2]), self._size)
        points = np.empty((len(crops), 18, 3), np.float32)
        for i, crop in enumerate(crops):  # one by one, since many models have a fixed batch of 1
            image = (canvas.draw(crop) / np.float32(255) - self._mean) / self._std
            planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
            found = self._decode(self._network(planes))
            points[i] = from_coco17(found)[0] if found.shape[1] == 17 else found[0]
        return canvas.to_shares(points)

    def _decode(self, output: Array) -> Array:
        """Convert an output to (1, J, 3): x and y in pixels of the input, confidence."""
        if output.ndim == 4:
            points = heatmap_peaks(output)
            points[..., 0] *= self._size[1] / output.shape[3]
            points[..., 1] *= self._size[0] / output.shape[2]
        elif output.shape[2] == 2:
            points = np.concatenate([output, np.ones_like(output[..., :1])], axis=2)
        else:
            points = output.copy()
        points[..., 2] = points[..., 2].clip(0, 1)
        return points


def heatmap_peaks(maps: Array) -> Array:
    """Find the peak of each heatmap, moved a quarter of a cell towards its higher neighbours.

    Args:
        maps: (N, J, h, w) float32.

    Returns:
        (N, J, 3) float32: x and y in cells, value of the peak.
    """
    n, j, h, w = maps.shape
    flat = maps.reshape(n * j, h, w)
    y, x = np.divmod(flat.reshape(n * j, -1).argmax(1), w)
    row = np.arange(n * j)
    # At the edge, a cell stands in for its missing neighbour.
    dx = np.sign(flat[row, y, np.minimum(x + 1, w - 1)] - flat[row, y, np.maximum(x - 1, 0)])
    dy = np.sign(flat[row, np.minimum(y + 1, h - 1), x] - flat[row, np.maximum(y - 1, 0), x])
    inside_x, inside_y = (x > 0) & (x < w - 1), (y > 0) & (y < h - 1)
    peaks = [x + 0.25 * dx * inside_x, y + 0.25 * dy * inside_y, flat[row, y, x]]
    return np.stack(peaks, axis=1).astype(np.float32).reshape(n, j, 3)


def _load(model: bytes) -> tuple[Callable[[Array], Array], tuple[int, int] | None]:
    """Return the network, and height and width of its input if they are known."""
    try:
        import onnxruntime
    except ImportError:
        return _load_with_opencv(model), None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (given, *_), outputs = session.get_inputs(), session.get_outputs()
    _check_one(len(outputs))
    sides = given.shape[2:]

    def network(image: Array) -> Array:
        output: Array = session.run(None, {given.name: image})[0]
        return output

    fixed = len(sides) == 2 and all(isinstance(side, int) for side in sides)
    return network, (sides[0], sides[1]) if fixed else None


def _load_with_opencv(model: bytes) -> Callable[[Array], Array]:
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    _check_one(len(net.getUnconnectedOutLayersNames()))

    def network(image: Array) -> Array:
        net.setInput(image)
        return np.asarray(net.forward(), np.float32)

    return network


def _check_one(outputs: int) -> None:
    if outputs != 1:
        raise ValueError(f"{outputs} outputs instead of one")
