"""Native core of sslmot: tracks between frames, assignment, crops.

Built from ``csrc/``. These stubs are its documentation.

Arrays are C-contiguous and aligned, and dtypes are exact: nothing is converted. A function raises
ValueError for an argument of another dtype, shape or device, and changes nothing then. A function
that allocates may raise MemoryError. All functions release the GIL while they compute.

Shapes: T tracks, N detections, D numbers of a feature. Boxes are xyxy pixels.
"""

from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

class SupportsDLPack(Protocol):
    """A tensor, such as torch's, in host memory or on CUDA."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> Any: ...

Floats: TypeAlias = npt.NDArray[np.float32]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]

FloatTensor: TypeAlias = npt.NDArray[np.float32] | SupportsDLPack
"""float32: a NumPy array, or a tensor where CUDA tensors may come."""

Int64Tensor: TypeAlias = npt.NDArray[np.int64] | SupportsDLPack
ByteTensor: TypeAlias = npt.NDArray[np.uint8] | SupportsDLPack

Pairs: TypeAlias = tuple[Int32s, Int32s, Floats]
"""``(row_begin, columns, values)`` of sparse pairs: those of row i are the entries
``row_begin[i]:row_begin[i + 1]`` of columns and values."""

Round: TypeAlias = tuple[Literal["appearance", "motion"], Int64s, Int64s, Int32s, Pairs, Floats]
"""A round of association: ``(cue, tracks, detections, match, pairs, cosines)``.

``tracks`` and ``detections`` are row numbers. ``match`` and ``pairs`` count positions in these two:
``match[i]`` is that of the detection of track i, or -1; ``pairs`` are the pairs that could match,
with their costs. With a Kalman filter a cost is minus the evidence: below 0. Then ``cosines`` are
those of the pairs, NaN where appearance is no evidence, and none by motion alone.
"""

Confirmation: TypeAlias = tuple[int, int, Literal["new", "reidentified", "gallery"], float | None]
"""``(id, detection, source of the id, affinity to the re-identified lost track)``."""

LARGEST_NORM: float
"""Largest norm of a feature."""

SMALLEST_NORM: float
"""A feature whose norm is smaller counts as unknown."""

MOST_DETECTIONS: int
"""Limit of detections per frame. With more in one place, pairwise comparison takes seconds."""

LARGEST_NUMBER: float
"""Largest absolute value of a coordinate, score or class."""

LARGEST_ID: int
"""Largest id of a track."""

class PairParams:
    """Settings of the cost of a pair (SSL-MOT, eq. 6-7)."""

    def __init__(
        self,
        *,
        tau: float,
        min_affinity: float,
        appearance_weight: float,
        motion_weight: float,
        max_cost: float,
    ) -> None:
        """Take the settings as given; they are not checked.

        Args:
            tau: Temperature of the affinity (eq. 6).
            min_affinity: Pairs of a lower affinity never match.
            appearance_weight: Weight of ``1 - affinity`` in the cost.
            motion_weight: Weight of the distance, capped at 1, in the cost.
            max_cost: Pairs that cost as much or more never match.
        """
    @property
    def max_cost(self) -> float:
        """As given, rounded to float32."""

class MotionNoise:
    """Noise of the Kalman filter, as shares of a box's height."""

    def __init__(self, *, value: float, velocity: float, size: float, measurement: float) -> None:
        """Take the settings as given; they are not checked.

        Args:
            value: Standard deviation of what a centre drifts in a second.
            velocity: Standard deviation of what its velocity, per second, changes in a second.
            size: Standard deviation of width and height between two detections.
            measurement: Standard deviation of a detection.
        """

def cuda_device_count() -> int:
    """Return the number of CUDA devices: 0 without a driver, or in a build without CUDA."""

def row_norms(embeddings: Floats, name: str = "embeddings") -> Floats:
    """Compute the Euclidean norms (N,) of the rows of (N, D).

    Raises:
        ValueError: A row holds a NaN or an infinity, or its norm exceeds LARGEST_NORM; the message
            calls the argument ``name`` and names the first such row.
    """

def nearest_codes(
    head: npt.NDArray[np.uint8],
    tail: npt.NDArray[np.uint8],
    tail_norms: npt.NDArray[np.uint16],
    queries: npt.NDArray[np.int8],
    size: int,
) -> npt.NDArray[np.int64]:
    """Find the codes with the largest dot products: (Q, size) rows, in no order.

    A code is a row of ``head`` (N, 32) and the same row of ``tail`` (N, 96); 128 stands for 0.
    ``tail_norms`` (N,) has the norms of the tails, or more. ``queries`` (Q, 128) has numbers of -63
    to 63. Of codes with the same dot product, any may be found.

    Raises:
        ValueError: A shape, a dtype, a query or the size, which is at most N, is not as described.
    """

def assign(cost: npt.NDArray[np.float32] | npt.NDArray[np.float64], max_cost: float) -> Int32s:
    """Match rows and columns of (T, N) at minimum cost.

    The sum of matched costs plus ``max_cost`` for each unmatched row is minimal. Costs and limits
    of 1e300 and more count as infinite. With an infinite ``max_cost``, as many pairs as possible
    are matched.

    Returns:
        (T,), the column of each row, -1 for an unmatched row. Pairs that cost ``max_cost`` or more
        are never matched.

    Raises:
        ValueError: A cost is NaN or not above -1e300; ``max_cost`` is NaN or -inf.
    """

class Detections:
    """The detections of a frame, checked; made by :func:`read_detections`. Arrays are copies."""

    @property
    def boxes(self) -> Floats:
        """(N, 4)."""
    @property
    def scores(self) -> Floats:
        """(N,), 1 where none were given."""
    @property
    def classes(self) -> Int32s:
        """(N,), 0 where none were given."""
    def __len__(self) -> int:
        """Return N."""

def read_detections(
    rows: npt.NDArray[np.float32] | npt.NDArray[np.float64],
) -> tuple[Detections, int]:
    """Split (N, 4), (N, 5) or (N, 6) rows ``x1, y1, x2, y2[, score[, class]]`` and check them.

    There are at most MOST_DETECTIONS.

    Returns:
        The detections, and the first invalid row, or -1. A row is invalid if a number is not finite
        or exceeds LARGEST_NUMBER, if x2 < x1 or y2 < y1, or if the class is not an integer. The
        detections are undefined from an invalid row on.
    """

def crop(
    frame: ByteTensor,
    boxes: FloatTensor,
    out: FloatTensor,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    bgr_to_rgb: bool,
    stream: int = 0,
) -> None:
    """Resize boxes of a frame with antialiasing: ``out = (value / 255 - mean) / std``.

    Everything is on the CPU, or everything on one CUDA device: there the call launches on
    ``stream`` and does not wait.

    Args:
        frame: (H, W, 3), sides up to 65,535; rows may be strided.
        boxes: (N, 4) pixels. Pixels outside the frame have the mean colour.
        out: (N, 3, h, w), sides up to 4096; overwritten.
        mean: Of the channels of ``out``.
        std: Likewise, above 0.
        bgr_to_rgb: Reverse the channels.
        stream: CUDA stream.
    """

def cuda_comparison_bytes(tracks: int, detections: int) -> int:
    """Return the most bytes that a comparison needs of each buffer of DeviceFeatures."""

def cuda_update_bytes(updates: int) -> int:
    """Return the most bytes that ``updates`` updates need of each buffer of DeviceFeatures."""

class TrackSettings:
    """Settings of a TrackTable. TrackerConfig documents them; they are not checked again."""

    def __init__(
        self,
        *,
        by_both: PairParams,
        by_motion: PairParams,
        by_appearance: PairParams,
        reid_max_speed: float,
        ema: float,
        max_occlusion: float,
        high_score: float,
        new_track_max_iou: float,
        instant_confirm_score: float,
        min_hits: int,
        max_age: float,
        tentative_max_age: float,
        reid_max_age: float,
        reid_false_alarms: float,
        kalman: bool,
        noise: MotionNoise,
        class_agnostic: bool,
    ) -> None:
        """Take the settings as given.

        Args:
            by_both: Costs of appearance and motion.
            by_motion: Costs of motion alone, where ``kalman`` is False.
            by_appearance: Costs of re-identification.
            reid_max_speed: See TrackerConfig, as for all that follow.
            ema: Likewise.
            max_occlusion: Likewise.
            high_score: Likewise.
            new_track_max_iou: Likewise.
            instant_confirm_score: Likewise.
            min_hits: Likewise.
            max_age: Likewise.
            tentative_max_age: Likewise.
            reid_max_age: Likewise.
            reid_false_alarms: Likewise.
            kalman: Whether a Kalman filter predicts; else boxes stay in place.
            noise: Of the Kalman filter.
            class_agnostic: See TrackerConfig.
        """

class Step:
    """One frame on its way through a TrackTable; made by :meth:`TrackTable.prepare`.

    Arrays are copies. Those of a later phase are empty before it.
    """

    @property
    def boxes(self) -> Floats:
        """(N, 4), as given."""
    @property
    def predicted(self) -> Floats:
        """(T, 4), the boxes of the tracks, predicted into the frame."""
    @property
    def match(self) -> Int32s:
        """(T,), the detection of each track, -1 for none; from associate_steps."""
    @property
    def features(self) -> Floats:
        """Features of the confirmations, as this frame updates them; from associate_steps.

        Empty on CUDA, where they are in the scratch of DeviceFeatures, and after commit.
        """
    @property
    def confirmed_ids(self) -> Int64s:
        """Ids of all confirmations, 0 where none is assigned."""
    @property
    def ids(self) -> Int64s:
        """(T,), 0 for tentative tracks; from commit."""
    def rounds(self) -> tuple[Round, ...]:
        """Return the rounds of association in order; from associate_steps."""
    def confirmations(self) -> list[Confirmation]:
        """Return the confirmations with an id."""

class DeviceFeatures:
    """The feature table of a tracker on CUDA. It keeps its arrays alive."""

    def __init__(
        self,
        values: SupportsDLPack,
        norms: SupportsDLPack,
        norms_here: Floats,
        scratch: SupportsDLPack,
        scratch_norms: SupportsDLPack,
        host: npt.NDArray[np.uint8],
        device: SupportsDLPack,
        stream: int,
    ) -> None:
        """Take memory for the table and for the work on it. All tensors are on one device.

        Args:
            values: (slots, D) float32.
            norms: (slots,) float32, 1 or 0 for an unknown feature.
            norms_here: (slots,), page-locked: a copy of ``norms``, current when ``stream`` is idle.
            scratch: (rows, D) float32, for the features of confirmations.
            scratch_norms: (rows,) float32.
            host: Bytes, page-locked.
            device: As many bytes, uint8.
            stream: CUDA stream of all work.
        """

class TrackTable:
    """The tracks of one video between frames.

    A frame goes through prepare, :func:`associate_steps`, assign_ids where there is a gallery, and
    commit. Until commit the table does not change. Each raises RuntimeError for a step
    of another frame or table, or out of order.
    """

    def __init__(self, settings: TrackSettings) -> None:
        """Make an empty table."""
    def prepare(
        self,
        detections: Detections,
        gallery: bool = False,
        embeddings: FloatTensor | None = None,
        name: str = "embeddings",
        norms: FloatTensor | None = None,
        norms_here: Floats | None = None,
        device: DeviceFeatures | None = None,
        affine: Floats | None = None,
        zoom: float = 1.0,
        elapsed: float = 1 / 30,
        pause: bool = False,
    ) -> Step:
        """Predict the tracks into a frame.

        Args:
            detections: The detections.
            gallery: Whether a gallery assigns ids, by assign_ids.
            embeddings: (N, D), on CUDA if ``device`` is given. Tensors stay alive until commit.
            name: What errors call the embeddings.
            norms: (N,), of embeddings on CUDA; those in host memory are measured.
            norms_here: (N,), the same in host memory.
            device: The feature table, with room for N more tracks; None for features in host
                memory.
            affine: (2, 3), maps pixels of the frame before to this frame; None for a still camera.
            zoom: Factor of lengths in ``affine``.
            elapsed: Seconds since the step before, above 0.
            pause: Whether that is too long to predict: no track is matched.

        Raises:
            ValueError: A row of embeddings in host memory is not finite, or its norm exceeds
                LARGEST_NORM.
        """
    def predict(self, elapsed: float) -> tuple[Int64s, Floats, Int32s]:
        """Return ids, boxes and classes of the confirmed tracks, some seconds after the last step.

        Those whose last detection is older than ``max_age`` are left out.
        """
    def without_id(self, step: Step, new_tracks: bool) -> Int64s:
        """Return the confirmations to assign ids to: of tentative tracks, or of new tracks.

        They are row numbers of ``step.features`` and ``step.confirmed_ids``.
        """
    def assign_ids(self, step: Step, new_tracks: bool, known: Int64s, first_id: int) -> None:
        """Assign ids to the confirmations that without_id returns.

        Args:
            step: The frame.
            new_tracks: As for without_id. Tentative tracks come first.
            known: The id that a gallery knows each by, or 0.
            first_id: Least id of those that no gallery knows.

        Raises:
            ValueError: An id would exceed LARGEST_ID; nothing has changed then.
        """
    def commit(self, step: Step, context: Any) -> tuple[Int64s, Floats, Floats, Int32s, Int64s]:
        """Update, start and expire tracks, and keep ``context`` beside them.

        Returns:
            Of the confirmed tracks with a detection in the frame, in the order of detections: ids
            (M,), boxes (M, 4), scores (M,), classes (M,), rows of the detections (M,).
        """
    def restore(
        self,
        tracks: dict[str, npt.NDArray[Any]],
        lost: dict[str, npt.NDArray[Any]],
        features: Floats | None,
        next_id: int,
        impostors: Int64s,
        clip: npt.NDArray[np.float64],
        context: Any,
    ) -> None:
        """Replace all tracks.

        Args:
            tracks: Columns as :attr:`tracks` has them; slots are given anew.
            lost: Likewise.
            features: (T + L, D), of both, of length 1 or 0; None without features.
            next_id: Above all ids, up to LARGEST_ID + 1.
            impostors: As :attr:`impostors`.
            clip: As :attr:`clip`.
            context: Kept beside the tracks.

        Raises:
            ValueError: A number is out of range, not finite, or an id comes twice.
        """
    def reset(self) -> None:
        """Drop all tracks and the context; ids start at 1."""
    def in_view(self, step: Step) -> Int64s:
        """Return the ids that have a detection in the frame, so far."""
    def just_lost(self, step: Step) -> tuple[Int64s, Int64s]:
        """Return ids and slots of the tracks that miss their first detection in the frame."""
    def read_features(self, slots: Int64s) -> Floats:
        """Return the features of slots in host memory: (n, D), zeros where unknown."""
    def slots_with(self, more: int) -> int:
        """Return the number of slots after ``more`` tracks have started."""
    @property
    def tracks(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the columns of the tentative and confirmed tracks, oldest first.

        ``ids`` (0 for tentative), ``hits``, ``feature_updates``, ``slots`` (T,) int64;
        ``time_since_update`` (T,) float64, seconds from the last detection to the last frame;
        ``probation`` (T,) float64, seconds that a track beside a confirmed one has to be seen
        before it can be confirmed; ``classes`` (T,) int32; ``boxes`` (T, 4), ``state`` (T, 20 or 4)
        float32.
        """
    @property
    def lost(self) -> dict[str, npt.NDArray[Any]]:
        """Likewise of the lost tracks."""
    @property
    def lost_count(self) -> int:
        """Number of lost tracks."""
    @property
    def feature_dim(self) -> int:
        """D, 0 before the first features."""
    @property
    def next_id(self) -> int:
        """Least id that was never assigned."""
    @property
    def impostors(self) -> Int64s:
        """(512,) numbers of cosines between different objects, from -1 to 1."""
    @property
    def clip(self) -> npt.NDArray[np.float64]:
        """(15,) what is learned of the clip.

        The scale of innovations, the densities of new tracks and of low-score detections of no
        track, the frames that these are the mean of, and the log-likelihoods of eight candidates of
        the scale; then count, sum and sum of squares of the cosines of objects with themselves, of
        which old ones fade.
        """
    @property
    def context(self) -> Any:
        """As committed or set, or None."""
    def set_context(self, context: Any) -> None:
        """Keep another context beside the tracks."""
    def __len__(self) -> int:
        """Return the number of tentative and confirmed tracks."""

class Hold:
    """A context in which one thread holds tables: RuntimeError in a second thread."""

    def __init__(self, tables: list[TrackTable]) -> None:
        """Take the tables to hold."""
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

def associate_steps(steps: list[Step]) -> None:
    """Match the tracks of each step's table with its detections; see csrc/cascade.h.

    Then find the tracks that become confirmed, and re-identify lost tracks among them; see
    csrc/identities.h. Without a gallery, all of these get an id. Steps whose features are on one
    CUDA device are compared in one call, in the buffers of the first.

    Raises:
        ValueError: There are more than 2**23 pairs of a track and a detection near each other; a
            step comes twice.
    """
