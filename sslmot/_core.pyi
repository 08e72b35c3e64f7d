"""Native core of sslmot: association, assignment and crops. See csrc/module.cpp."""

from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST_NORM: float
SMALLEST_NORM: float
SMALLEST_MIX: float
LARGEST_NUMBER: float
MOST_PAIRS: int

class PairParams:
    def __init__(
        self,
        *,
        tau: float,
        min_affinity: float,
        appearance_weight: float,
        motion_weight: float,
        shape_weight: float,
        gate: float,
    ) -> None: ...
    @property
    def gate(self) -> float: ...

class MotionNoise:
    def __init__(
        self, *, value: float, velocity: float, measurement: float, by_score: float
    ) -> None: ...

def cuda_device_count() -> int: ...
def row_norms(embeddings: Any, name: str = "embeddings") -> npt.NDArray[np.float32]: ...
def cost(
    track_features: Any,
    detection_features: Any,
    track_boxes: Any,
    detection_boxes: Any,
    params: PairParams,
    out: Any,
    reach: Any = None,
    track_classes: Any = None,
    detection_classes: Any = None,
    min_affinity: Any = None,
    stream: int = 0,
) -> None: ...
def candidates(
    track_boxes: Any,
    reach: Any,
    detection_boxes: Any,
    params: PairParams,
    track_classes: Any = None,
    detection_classes: Any = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]: ...
def assign(cost: Any, gate: float) -> npt.NDArray[np.int32]: ...
def assign_pairs(
    row_begin: Any, columns: Any, costs: Any, n_columns: int, gate: float
) -> npt.NDArray[np.int32]: ...
def associate(
    track_boxes: Any,
    reach: Any,
    detection_boxes: Any,
    params: PairParams,
    table: Any = None,
    table_norms: Any = None,
    rows: Any = None,
    embeddings: Any = None,
    norms: Any = None,
    track_classes: Any = None,
    detection_classes: Any = None,
    min_affinity: Any = None,
) -> tuple[
    npt.NDArray[np.int32],
    tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]],
]: ...
def largest_overlaps(
    boxes: Any, others: Any, classes: Any, other_classes: Any
) -> npt.NDArray[np.float32]: ...
def read_detections(
    rows: Any,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32], int]: ...
def predict(state: Any, misses: Any) -> npt.NDArray[np.float32]: ...
def observe(
    state: Any,
    last: Any,
    misses: Any,
    rows: Any,
    boxes: Any,
    columns: Any,
    scores: Any,
    noise: MotionNoise,
    reupdate: bool,
) -> None: ...
def cuda_comparison_bytes(tracks: int, detections: int) -> int: ...
def associate_cuda(
    comparisons: list[tuple[Any, ...]], host: Any, device: Any, stream: int
) -> list[
    tuple[
        npt.NDArray[np.int32],
        tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]],
    ]
]: ...
def hidden_shares(boxes: Any) -> npt.NDArray[np.float32]: ...
def blend(
    table: Any,
    table_norms: Any,
    rows: Any,
    embeddings: Any,
    norms: Any,
    columns: Any,
    delta: Any,
    stream: int = 0,
) -> None: ...
def crop(
    frame: Any,
    boxes: Any,
    out: Any,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    bgr_to_rgb: bool,
    stream: int = 0,
) -> None: ...
