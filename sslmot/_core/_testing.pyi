"""Parts of the native core by themselves, for tests and benchmarks.

The conventions are those of :mod:`sslmot._core`.
"""

import numpy as np
import numpy.typing as npt

from sslmot._core import (
    ByteTensor,
    Floats,
    FloatTensor,
    Int32s,
    Int64s,
    Int64Tensor,
    MotionNoise,
    PairParams,
    Pairs,
    SupportsDLPack,
)

MOST_PAIRS: int
"""Most candidates of a comparison."""

def cost(
    track_features: FloatTensor | None,
    detection_features: FloatTensor | None,
    track_boxes: FloatTensor,
    detection_boxes: FloatTensor,
    params: PairParams,
    out: FloatTensor,
    max_distance: FloatTensor | None = None,
    track_classes: Int32s | SupportsDLPack | None = None,
    detection_classes: Int32s | SupportsDLPack | None = None,
    min_affinity: FloatTensor | None = None,
    stream: int = 0,
) -> None:
    """Compute the costs of all pairs (SSL-MOT, eq. 6-7) of B independent problems.

    Everything is on the CPU, or everything on one CUDA device: there the call launches on
    ``stream`` and does not wait.

    Args:
        track_features: (B, T, D), norms up to LARGEST_NORM; float32, on CUDA float16 or bfloat16
            too. None, as both sides: motion alone decides.
        detection_features: (B, N, D), of the same dtype.
        track_boxes: (B, T, 4).
        detection_boxes: (B, N, 4).
        params: Settings of the cost.
        out: (B, T, N), overwritten with costs up to ``max_cost``.
        max_distance: (B, T), unlimited by default.
        track_classes: (B, T) int32. Pairs of two classes cost ``max_cost``.
        detection_classes: (B, N) int32; both or neither.
        min_affinity: (B, T), by default that of ``params``.
        stream: CUDA stream.
    """

def candidates(
    track_boxes: Floats,
    max_distance: Floats,
    detection_boxes: Floats,
    track_classes: Int32s | None = None,
    detection_classes: Int32s | None = None,
) -> Pairs:
    """Find the pairs of one class within each track's distance limit, with their distances.

    Args:
        track_boxes: (T, 4).
        max_distance: (T,).
        detection_boxes: (N, 4).
        track_classes: (T,).
        detection_classes: (N,); both or neither.

    Raises:
        ValueError: There are more than MOST_PAIRS.
    """

def assign_pairs(
    row_begin: Int32s,
    columns: Int32s,
    costs: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    n_columns: int,
    max_cost: float,
) -> Int32s:
    """Match rows and columns of sparse pairs, none of which comes twice; else as assign.

    Args:
        row_begin: (T + 1,), see Pairs.
        columns: (pairs,), 0 up to ``n_columns``.
        costs: (pairs,).
        n_columns: Up to 2**20.
        max_cost: As for assign.
    """

def associate(
    track_boxes: Floats,
    max_distance: Floats,
    detection_boxes: Floats,
    params: PairParams,
    table: Floats | None = None,
    table_norms: Floats | None = None,
    rows: Int64s | None = None,
    embeddings: Floats | None = None,
    norms: Floats | None = None,
    track_classes: Int32s | None = None,
    detection_classes: Int32s | None = None,
    min_affinity: Floats | None = None,
) -> tuple[Int32s, Pairs]:
    """Compare and match tracks and detections of a frame on the CPU.

    Args:
        track_boxes: (T, 4).
        max_distance: (T,).
        detection_boxes: (N, 4).
        params: Settings of the cost.
        table: (S, D), features of tracks. None, as ``embeddings``: motion alone decides.
        table_norms: (S,).
        rows: (T,), the row of ``table`` of each track.
        embeddings: (N, D).
        norms: (N,).
        track_classes: (T,).
        detection_classes: (N,); both or neither.
        min_affinity: (T,), by default that of ``params``.

    Returns:
        (T,), the detection of each track or -1; and the pairs that cost less than ``max_cost``.

    Raises:
        ValueError: A cost is NaN, or there are more than MOST_PAIRS candidates.
    """

def associate_cuda(
    comparisons: list[tuple[FloatTensor | Int32s | Int64s | PairParams | None, ...]],
    host: npt.NDArray[np.uint8],
    device: ByteTensor,
    stream: int,
) -> list[tuple[Int32s, Pairs]]:
    """Run associate for several frames on CUDA.

    Launches on ``stream`` once for all candidates, and once for each frame most of whose pairs are
    candidates; waits for it once.

    Args:
        comparisons: Arguments of associate of each frame: table, table_norms, embeddings and norms
            on one CUDA device, the rest in host memory.
        host: Bytes, page-locked; the sum of cuda_comparison_bytes or more.
        device: As many bytes on the device.
        stream: CUDA stream.
    """

def largest_overlaps(
    boxes: Floats, others: Floats, classes: Int32s, other_classes: Int32s
) -> tuple[Floats, Int32s]:
    """Compute for each box (N, 4) the largest IoU with one of ``others`` (M, 4) of its class.

    Returns:
        (N,), 0 where none touches it, and the first of the others with this IoU, -1 for none.
    """

def occluded_shares(boxes: Floats) -> Floats:
    """Compute the largest share of each box (N, 4) that one other box covers.

    Only boxes with a lower edge at least as low count: they are nearer to the camera.

    Raises:
        ValueError: A number is NaN.
    """

def predict(state: Floats, gaps: npt.NDArray[np.float64]) -> Floats:
    """Predict boxes (T, 4) with the Kalman filter.

    Args:
        state: (T, 5, 4), as of each track's last detection: see csrc/motion.h.
        gaps: (T,), seconds since then, 0 or more.
    """

def observe(
    state: Floats,
    gaps: npt.NDArray[np.float64],
    rows: Int64s,
    boxes: Floats,
    columns: Int64s,
    noise: MotionNoise,
) -> None:
    """Update the Kalman filter with detections: track ``rows[i]`` has box ``columns[i]``.

    Args:
        state: (T, 5, 4), updated in place.
        gaps: As for predict.
        rows: (n,).
        boxes: (N, 4).
        columns: (n,).
        noise: Settings of the filter.
    """

def ema_update(
    table: FloatTensor,
    table_norms: FloatTensor,
    rows: Int64Tensor,
    embeddings: FloatTensor,
    norms: FloatTensor,
    columns: Int64Tensor,
    delta: FloatTensor,
    stream: int = 0,
) -> None:
    """Update features of tracks by exponential moving averages of unit length.

    ``table[rows] = unit(delta * table[rows] + (1 - delta) * unit(embeddings[columns]))``

    Everything is on the CPU, or everything on one CUDA device: there rows and columns are not
    checked, and the call launches on ``stream`` and does not wait.

    Args:
        table: (S, D), rows of length 1 or 0; updated in place.
        table_norms: (S,), 1 or 0; updated in place.
        rows: (n,), none twice.
        embeddings: (N, D).
        norms: (N,). A feature whose norm is below SMALLEST_NORM does not count.
        columns: (n,).
        delta: (n,).
        stream: CUDA stream.
    """
