"""Native core of sslmot: association, assignment and crops. See csrc/module.cpp."""

from typing import Any, Literal, TypeAlias

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
        max_cost: float,
    ) -> None: ...
    @property
    def gate(self) -> float: ...

class MotionNoise:
    def __init__(
        self, *, value: float, velocity: float, size: float, measurement: float, by_score: float
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
    max_distance: Any = None,
    track_classes: Any = None,
    detection_classes: Any = None,
    min_affinity: Any = None,
    stream: int = 0,
) -> None: ...
def candidates(
    track_boxes: Any,
    max_distance: Any,
    detection_boxes: Any,
    params: PairParams,
    track_classes: Any = None,
    detection_classes: Any = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]: ...
def assign(cost: Any, max_cost: float) -> npt.NDArray[np.int32]: ...
def assign_pairs(
    row_begin: Any, columns: Any, costs: Any, n_columns: int, max_cost: float
) -> npt.NDArray[np.int32]: ...
def associate(
    track_boxes: Any,
    max_distance: Any,
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
def predict(state: Any, time_since_update: Any) -> npt.NDArray[np.float32]: ...
def observe(
    state: Any,
    last: Any,
    time_since_update: Any,
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
def occluded_shares(boxes: Any) -> npt.NDArray[np.float32]: ...
def ema_update(
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

class TrackSettings:
    def __init__(
        self,
        *,
        by_both: PairParams,
        by_motion: PairParams,
        by_appearance: PairParams,
        min_affinity: float,
        lost_affinity: float,
        appearance_max_distance: float,
        reid_max_speed: float,
        motion_fallback: bool,
        ema: float,
        max_occlusion: float,
        high_score: float,
        new_track_max_iou: float,
        instant_confirm_score: float,
        min_hits: int,
        max_age: int,
        tentative_max_age: int,
        reid_max_age: int,
        kalman: bool,
        noise: MotionNoise,
        reupdate: bool,
    ) -> None: ...

Pairs: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]
Round: TypeAlias = tuple[
    Literal["appearance", "motion"],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int32],
    Pairs,
]
Confirmation: TypeAlias = tuple[int, int, Literal["new", "reidentified", "gallery"], float | None]

class Step:
    @property
    def match(self) -> npt.NDArray[np.int32]: ...
    @property
    def ids(self) -> npt.NDArray[np.int64]: ...
    @property
    def boxes(self) -> npt.NDArray[np.float32]: ...
    @property
    def predicted(self) -> npt.NDArray[np.float32]: ...
    @property
    def features(self) -> npt.NDArray[np.float32]: ...
    @property
    def confirmed_ids(self) -> npt.NDArray[np.int64]: ...
    def rounds(self, motion_max_cost: float, max_cost: float) -> tuple[Round, ...]: ...
    def confirmations(self) -> list[Confirmation]: ...

class DeviceFeatures:
    def __init__(
        self,
        values: Any,
        norms: Any,
        norms_here: Any,
        scratch: Any,
        scratch_norms: Any,
        host: Any,
        device: Any,
        stream: int,
    ) -> None: ...

class TrackTable:
    def __init__(self, settings: TrackSettings) -> None: ...
    def prepare(
        self,
        boxes: Any,
        scores: Any,
        classes: Any,
        embeddings: Any = None,
        norms: Any = None,
        norms_here: Any = None,
        device: DeviceFeatures | None = None,
        affine: Any = None,
        zoom: float = 1.0,
    ) -> Step: ...
    def reidentify(self, step: Step, gallery: bool) -> None: ...
    def without_id(self, step: Step, new_tracks: bool) -> npt.NDArray[np.int64]: ...
    def assign_ids(self, step: Step, new_tracks: bool, known: Any, first_id: int) -> None: ...
    def commit(
        self, step: Step, context: Any
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
    def restore(
        self,
        tracks: dict[str, Any],
        lost: dict[str, Any],
        features: Any,
        next_id: int,
        clip: Any,
        context: Any,
    ) -> None: ...
    def reset(self) -> None: ...
    def in_view(self, step: Step) -> npt.NDArray[np.int64]: ...
    def just_lost(self, step: Step) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
    def read_features(self, slots: Any) -> npt.NDArray[np.float32]: ...
    def slots_with(self, more: int) -> int: ...
    @property
    def tracks(self) -> dict[str, npt.NDArray[Any]]: ...
    @property
    def lost(self) -> dict[str, npt.NDArray[Any]]: ...
    @property
    def lost_count(self) -> int: ...
    @property
    def feature_dim(self) -> int: ...
    @property
    def next_id(self) -> int: ...
    @property
    def clip(self) -> npt.NDArray[np.float64]: ...
    @property
    def context(self) -> Any: ...
    def __len__(self) -> int: ...

class Hold:
    def __init__(self, tables: list[TrackTable]) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

def cuda_update_bytes(updates: int) -> int: ...
def associate_steps(tables: list[TrackTable], steps: list[Step]) -> None: ...
