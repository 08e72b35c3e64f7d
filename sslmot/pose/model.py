"""Loading of pose models."""

from __future__ import annotations

from pathlib import Path

from sslmot import reading
from sslmot.pose.estimator import PoseEstimator


def load_pose_model(path: str | Path) -> PoseEstimator:
    """Load a pose model.

    Args:
        path: BlazePose as ``.tflite``, or another model as ``.onnx``; see
            `sslmot.pose.blazepose` and `sslmot.pose.onnx`.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: Its runtime is not installed.
        ValueError: It has another suffix, or is not such a model.
    """
    path = Path(path)
    if path.suffix not in (".tflite", ".onnx"):
        raise ValueError(f"path: expected a pose model, .tflite or .onnx, got {path}")
    if not reading.is_file(path):
        raise FileNotFoundError(
            f"path: expected a pose model, found no {path}; `sslmot pose-model extract` gets one"
        )
    if path.suffix == ".tflite":
        from sslmot.pose.blazepose import BlazePose

        return BlazePose(path)
    from sslmot.pose.onnx import OnnxPose

    return OnnxPose(path)
