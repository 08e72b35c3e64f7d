"""Score tracking results against MOTChallenge ground truth.

TrackEval computes the scores, with its own reader and preprocessing of MOTChallenge. The
preprocessing removes results that match a distractor, and ground truth that is not a considered
pedestrian. motmetrics can score the preprocessed data too, to check the scores.

All tracks are scored as pedestrians, whatever their class: the class numbers of a detector are not
those of MOTChallenge. TrackEval reads copies of the files in its own format, so that names, byte
order marks and blank lines do not matter.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import reading
from sslmot.data.mot import Detector, Sequence, read_results, results_rows, sequences

MOST_SCORED = 10**6
"""Limit of frames up to the last box. TrackEval uses 3 kB per frame, even without a box."""

COMBINED = "COMBINED"
"""Name of the row of all sequences together: their counts are added, not their scores averaged."""


Counts: TypeAlias = list[dict[str, Any]]
"""The fields of each metric for one sequence. TrackEval can combine them over sequences."""


@dataclass(frozen=True)
class Scores:
    """Scores of one sequence, or of several combined.

    Attributes:
        hota: HOTA, the mean over its 19 thresholds, percent.
        assa: Association accuracy of HOTA, percent.
        deta: Detection accuracy of HOTA, percent.
        mota: MOTA of CLEAR, percent. Negative if there are more errors than boxes.
        idf1: Identity F1, percent.
        fp: Number of false positives.
        fn: Number of false negatives.
        idsw: Number of identity switches.
        mt: Number of people tracked in more than 80 % of their frames.
        ml: Number of people tracked in less than 20 % of their frames.
        frag: Number of times that a track is resumed.
        hz: Frames per second, None if not measured.
    """

    hota: float
    assa: float
    deta: float
    mota: float
    idf1: float
    fp: int
    fn: int
    idsw: int
    mt: int
    ml: int
    frag: int
    hz: float | None = None


def evaluate(
    root: str | os.PathLike[str],
    results: str | os.PathLike[str],
    names: str | Iterable[str] | None = None,
    detector: Detector | None = None,
) -> dict[str, Scores]:
    """Score results with TrackEval.

    Args:
        root: A sequence or a folder of sequences, see `sslmot.data.mot.sequences`.
        results: A folder with ``<sequence>.txt`` for each sequence. It may contain
            ``<sequence>.json`` with ``{"frames": int, "seconds": float}``.
        names: Names of sequences, see `sslmot.data.mot.sequences`.
        detector: Variant of MOT17.

    Returns:
        The scores of each sequence, and `COMBINED` if there are several.

    Warns:
        UserWarning: Some sequences have no results. They are left out. Or tracks have several
            classes.

    Raises:
        FileNotFoundError: No sequence has results, or a sequence lacks ground truth.
        ValueError: A file is malformed.
        ImportError: TrackEval is not installed.
    """
    _import("trackeval")  # fail early
    selected = _with_results(root, results, names, detector)
    counts = {sequence.name: count(sequence, Path(results)) for sequence in selected}
    times = {name: _time(Path(results) / f"{name}.json") for name in counts}
    scores = {name: _scores(ChainMap(*counts[name]), times[name]) for name in counts}
    if len(counts) > 1:
        measured = [time for time in times.values() if time is not None]
        total = np.sum(measured, axis=0) if len(measured) == len(times) else None
        scores[COMBINED] = _scores(_combined(counts), total)
    return scores


def count(sequence: Sequence, results: Path) -> Counts:
    """Compute the fields of all metrics for the results of one sequence.

    Args:
        sequence: A sequence with ground truth.
        results: A folder with its ``<sequence>.txt``.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed.
        ImportError: TrackEval is not installed.
    """
    data = _preprocessed(sequence, results)
    return [metric.eval_sequence(data) for metric in _metrics()]


def combine(counts: Mapping[str, Counts]) -> Scores:
    """Score several sequences together, from the `count` of each."""
    return _scores(_combined(counts), None)


def motmetrics_scores(
    root: str | os.PathLike[str],
    results: str | os.PathLike[str],
    names: str | Iterable[str] | None = None,
    detector: Detector | None = None,
) -> dict[str, dict[str, float]]:
    """Score results with motmetrics, after TrackEval's preprocessing.

    motmetrics and TrackEval can differ in ``idsw``, and so in ``mota``. If several boxes match a
    person, TrackEval prefers the identity of the previous frame, as the official kit does.
    motmetrics prefers the last identity of the person, from any earlier frame
    (https://github.com/cheind/py-motmetrics/issues/132).

    Args:
        root: As in `evaluate`.
        results: As in `evaluate`.
        names: As in `evaluate`.
        detector: As in `evaluate`.

    Returns:
        The fields ``mota``, ``idf1``, ``fp``, ``fn`` and ``idsw`` of `Scores`, for each sequence
        and for `COMBINED` if there are several.

    Raises:
        FileNotFoundError: As in `evaluate`.
        ValueError: As in `evaluate`.
        ImportError: motmetrics or TrackEval is not installed.
    """
    motmetrics = _import("motmetrics")
    accumulators = {}
    for sequence in _with_results(root, results, names, detector):
        data = _preprocessed(sequence, Path(results))
        accumulators[sequence.name] = accumulator = motmetrics.MOTAccumulator(auto_id=True)
        # A fixed solver, so that ties do not depend on the solvers that are installed.
        with motmetrics.lap.set_default_solver("scipy"):
            for people, tracks, iou in zip(
                data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True
            ):
                accumulator.update(people, tracks, np.where(iou >= 0.5, 1 - iou, np.nan))
    columns = {
        "mota": ("mota", 100),
        "idf1": ("idf1", 100),
        "fp": ("num_false_positives", 1),
        "fn": ("num_misses", 1),
        "idsw": ("num_switches", 1),
    }
    summary = motmetrics.metrics.create().compute_many(
        list(accumulators.values()),
        names=list(accumulators),
        metrics=[column for column, _ in columns.values()],
        generate_overall=len(accumulators) > 1,
    )
    return {
        COMBINED if name == "OVERALL" else name: {
            field: unit * float(row[column]) for field, (column, unit) in columns.items()
        }
        for name, row in summary.iterrows()
    }


def table(scores: Mapping[str, Scores]) -> str:
    """Format scores as a text table, one row per sequence.

    Raises:
        ImportError: tabulate is not installed.
    """
    tabulate = _import("tabulate").tabulate
    headers = ["HOTA", "AssA", "DetA", "MOTA", "IDF1"]
    headers += ["FP", "FN", "IDsw", "MT", "ML", "Frag", "Hz"]
    rows = [
        [
            name,
            *(f"{value:.1f}" for value in (s.hota, s.assa, s.deta, s.mota, s.idf1)),
            *(s.fp, s.fn, s.idsw, s.mt, s.ml, s.frag),
            "-" if s.hz is None else f"{s.hz:.1f}",
        ]
        for name, s in scores.items()
    ]
    alignment = ("left", *("right" for _ in headers))
    text: str = tabulate(rows, ["", *headers], colalign=alignment, disable_numparse=True)
    return text


def _import(name: str) -> Any:
    """Import a package of the extra ``evaluation`` when it is needed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"scores need {name}: pip install sslmot[evaluation]") from error


def _metrics() -> list[Any]:
    """Create the metrics HOTA, CLEAR and Identity. Their fields have different names."""
    metrics = _import("trackeval").metrics
    quiet = {"PRINT_CONFIG": False}
    return [metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet)]


def _combined(counts: Mapping[str, Counts]) -> Mapping[str, Any]:
    """Combine the fields of all sequences."""
    return ChainMap(
        *(
            metric.combine_sequences({name: fields[i] for name, fields in counts.items()})
            for i, metric in enumerate(_metrics())
        )
    )


def _with_results(
    root: str | os.PathLike[str],
    results: str | os.PathLike[str],
    names: str | Iterable[str] | None,
    detector: Detector | None,
) -> list[Sequence]:
    """Return the sequences that have results. Errors in their files contain the line."""
    selected = sequences(root, names, detector)
    found = [s for s in selected if (Path(results) / f"{s.name}.txt").is_file()]
    missing = ", ".join(s.name for s in selected if s not in found)
    if not found:
        raise FileNotFoundError(f"results: expected <sequence>.txt in {results} for {missing}")
    if missing:
        warnings.warn(f"no results in {results} for {missing}: left out", stacklevel=3)
    for sequence in found:
        sequence.ground_truth()
        path = Path(results) / f"{sequence.name}.txt"
        tracks = read_results(path, sequence.length)
        classes = {c for frame in tracks if frame.classes is not None for c in frame.classes}
        if len(classes) > 1:
            got = ", ".join(map(str, sorted(classes)))
            warnings.warn(
                f"{path}: tracks of classes {got} are all scored as pedestrians", stacklevel=3
            )
    return found


def _preprocessed(sequence: Sequence, results: Path) -> dict[str, Any]:
    """Read and preprocess a sequence with TrackEval: ids and IoU of each frame."""
    trackeval = _import("trackeval")
    rows = results_rows(results / f"{sequence.name}.txt", sequence.length)
    truth = sequence.ground_truth_rows()
    # Frames after the last box do not change the scores.
    last = int(max(rows[:, 0].max(initial=1), truth[:, 0].max(initial=1)))
    if last > MOST_SCORED:
        raise ValueError(
            f"{sequence.path}: expected boxes in frames up to {MOST_SCORED}, got frame {last}"
        )
    # MOT20 has other distractors than MOT16 and MOT17. MOT15 has ten columns without a class, and
    # is not preprocessed.
    benchmark = "MOT20" if sequence.name.startswith("MOT20-") else "MOT17"
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "clip" / "gt" / "gt.txt", truth)
        _write(Path(folder) / "results" / "clip.txt", rows[:, :7])
        config = {
            "PRINT_CONFIG": False,
            "BENCHMARK": "MOT15" if truth.shape[1] == 10 else benchmark,
            "GT_FOLDER": folder,
            "TRACKERS_FOLDER": str(Path(folder) / "results"),
            "TRACKERS_TO_EVAL": [""],
            "TRACKER_SUB_FOLDER": "",
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {"clip": last},
        }
        try:
            dataset = trackeval.datasets.MotChallenge2DBox(config)
            raw = dataset.get_raw_seq_data("", "clip")
            data: dict[str, Any] = dataset.get_preprocessed_seq_data(raw, "pedestrian")
        except trackeval.utils.TrackEvalException as error:
            raise ValueError(f"{sequence.path}: {error}") from error
    return data


def _write(path: Path, rows: npt.NDArray[np.float64]) -> None:
    """Write rows for TrackEval, without rounding."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, fmt="%.17g", delimiter=",")


def _time(path: Path) -> tuple[float, float] | None:
    """Read frames and seconds from the file that ``sslmot track`` writes beside its results."""
    if not reading.is_file(path):
        return None
    time = reading.read_json(path)
    numbers: list[Any] = [time.get("frames"), time.get("seconds")]
    if not all(type(n) in (int, float) and 0 < n < 1e15 for n in numbers):
        raise ValueError(f'{path}: expected {{"frames": int, "seconds": float}}, got {time}')
    return float(time["frames"]), float(time["seconds"])


def _scores(fields: Mapping[str, Any], time: tuple[float, float] | None) -> Scores:
    """Convert TrackEval's fields to percent and counts."""
    return Scores(
        hota=100 * float(np.mean(fields["HOTA"])),
        assa=100 * float(np.mean(fields["AssA"])),
        deta=100 * float(np.mean(fields["DetA"])),
        mota=100 * float(fields["MOTA"]),
        idf1=100 * float(fields["IDF1"]),
        fp=int(fields["CLR_FP"]),
        fn=int(fields["CLR_FN"]),
        idsw=int(fields["IDSW"]),
        mt=int(fields["MT"]),
        ml=int(fields["ML"]),
        frag=int(fields["Frag"]),
        hz=None if time is None else time[0] / time[1],
    )
