"""Search the tracker's settings with Optuna, on your own annotated sequences."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Several
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from tqdm import tqdm

from sslmot import reading
from sslmot.data.mot import Sequence, write_results
from sslmot.evaluation.tracks import Counts, combine, count
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.tracker import Tracker
from sslmot.tuning.footage import Footage, embed_sequence, track
from sslmot.types import FeatureExtractor

try:
    import optuna
    import trackeval  # noqa: F401 - fail now if it is missing, not after an hour of embedding
    from optuna.trial import TrialState
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as error:
    raise ImportError(f"tuning needs: pip install sslmot[tune] ({error})") from error

Metric: TypeAlias = Literal["hota", "idf1", "mota"]
"""The field of `sslmot.evaluation.tracks.Scores` to maximise."""


class Range(NamedTuple):
    """The range in which a setting is searched.

    Attributes:
        low: Lowest value. An int means an integer setting.
        high: Highest value.
        log: Whether to search on a logarithmic scale.
        appearance: Whether the setting has no effect without appearance.
    """

    low: float
    high: float
    log: bool = False
    appearance: bool = False


SPACE: Mapping[str, Range] = {
    "ema": Range(0.0, 0.98, appearance=True),
    "max_occlusion": Range(0.1, 1.0, appearance=True),
    "high_score": Range(0.0, 0.9),
    "new_track_max_iou": Range(0.1, 1.0),
    "instant_confirm_score": Range(0.3, 1.1),
    "min_hits": Range(0, 3),
    "max_age": Range(0.2, 10.0, log=True),
    "tentative_max_age": Range(0.0, 1.0),
    "reid_max_age": Range(0.0, 300.0, appearance=True),
    "reid_false_alarms": Range(0.001, 1.0, log=True, appearance=True),
}
"""The range of each field of `TrackerConfig` that is searched. Other fields do not change."""


class Tuned(NamedTuple):
    """Result of a search.

    Attributes:
        config: The best settings.
        score: Score of the best settings, percent, all sequences combined.
        default: Score of the default settings.
        trials: Number of settings that were tried.
        pruned: Number of trials that were stopped before the last sequence.
    """

    config: TrackerConfig
    score: float
    default: float
    trials: int
    pruned: int


def tune(
    sequences: Several[Sequence],
    output: Path,
    *,
    extractor: FeatureExtractor | None = None,
    metric: Metric = "hota",
    trials: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> Tuned:
    """Search the settings that give the best scores on annotated sequences.

    The first trial uses the defaults, so the result is never worse. Each trial tracks the sequences
    one by one. It is stopped if its score so far is below the median of earlier trials. Frames are
    not kept, so there is no camera motion (``TrackerConfig.camera_motion`` has no effect).

    ``output`` contains ``study.db`` and ``config.yaml``, the best settings so far. Another call
    with the same ``output`` continues the search. The same seed gives the same result, with or
    without interruption.

    Args:
        sequences: Sequences with ground truth, and with frames if there is an extractor.
        output: Output folder. It is created if missing.
        extractor: Extractor of features, called once per frame. None for motion only.
        metric: The score to maximise.
        trials: Total number of trials, including those of earlier calls.
        seed: Seed of the sampler.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: A sequence lacks ground truth or frames.
        ValueError: An argument is invalid, a file is malformed, or the study in ``output`` has
            other sequences, another metric or another extractor.
        ImportError: Optuna or TrackEval is not installed.
    """
    _check(sequences, metric, trials, seed)
    space = {name: r for name, r in SPACE.items() if extractor is not None or not r.appearance}
    about = {
        "metric": metric,
        "sequences": [sequence.name for sequence in sequences],
        "extractor": None if extractor is None else _fingerprint(extractor),
    }
    start = Tracker(extractor=extractor).config
    output.mkdir(parents=True, exist_ok=True)
    with _study(output / "study.db", about) as study:
        clips = [(s, embed_sequence(s, extractor, progress=progress)) for s in sequences]
        done = len(_finished(study))
        if not done:
            study.enqueue_trial({name: getattr(start, name) for name in space})
        bar = tqdm(initial=done, total=trials, unit=" trials", disable=None if progress else True)
        with bar:
            for number in range(done, trials):
                # A seed per trial, so that a continued search gives the same result.
                state = np.random.SeedSequence([seed, number]).generate_state(1)
                study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
                study.optimize(lambda trial: _score(trial, start, space, clips, metric), n_trials=1)
                dataclasses.replace(start, **study.best_params).save(output / "config.yaml")
                bar.set_postfix_str(f"{metric} {study.best_value:.2f}")
                bar.update()
        finished = _finished(study)
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        return Tuned(
            config=dataclasses.replace(start, **study.best_params),
            score=study.best_value,
            default=float(complete[0].values[0]),
            trials=len(finished),
            pruned=len(finished) - len(complete),
        )


def _check(sequences: Several[Sequence], metric: object, trials: object, seed: object) -> None:
    if metric not in get_args(Metric):
        raise ValueError(f"metric: expected {', '.join(get_args(Metric))}, got {metric!r}")
    for name, number, low in (("trials", trials, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < low:
            raise ValueError(f"{name}: expected an integer of {low} or more, got {number!r}")
    if not sequences:
        raise ValueError("sequences: expected one or more, got none")
    for sequence in sequences:
        sequence.ground_truth()


def _fingerprint(extractor: FeatureExtractor) -> str:
    return str(getattr(extractor, "fingerprint", type(extractor).__name__))


@contextmanager
def _study(path: Path, about: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """Open or create the study in a file. The attributes of an existing study must be equal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # no traceback after an interruption
    if path.exists() and not reading.is_file(path):
        raise ValueError(f"{path}: expected a study of Optuna, got a folder or special file")
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
    except SQLAlchemyError as error:
        raise ValueError(f"{path}: expected a study of Optuna, got {error}") from error
    try:
        study = optuna.create_study(
            storage=storage,
            pruner=optuna.pruners.MedianPruner(),
            study_name="sslmot",
            direction="maximize",
            load_if_exists=True,
        )
        for name, value in about.items():
            before = study.user_attrs.get(name, value)
            if before != value:
                raise ValueError(f"{path}: expected {name} {before!r} as before, got {value!r}")
            study.set_user_attr(name, value)
        yield study
    finally:
        storage.engine.dispose()


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _score(
    trial: optuna.Trial,
    start: TrackerConfig,
    space: Mapping[str, Range],
    clips: Several[tuple[Sequence, Footage]],
    metric: Metric,
) -> float:
    """Track all clips with proposed settings, and return the combined score."""
    config = _proposed(trial, start, space)
    counts: dict[str, Counts] = {}
    with tempfile.TemporaryDirectory() as folder:
        for sequence, footage in clips:
            results = track(footage, Tracker(config, frame_rate=footage.frame_rate))
            write_results(Path(folder) / f"{sequence.name}.txt", results)
            counts[sequence.name] = count(sequence, Path(folder))
            score: float = getattr(combine(counts), metric)
            trial.report(score, len(counts))
            if len(counts) < len(clips) and trial.should_prune():
                raise optuna.TrialPruned
    return score


def _proposed(
    trial: optuna.Trial, start: TrackerConfig, space: Mapping[str, Range]
) -> TrackerConfig:
    changes: dict[str, Any] = {name: _propose(trial, name, r) for name, r in space.items()}
    return dataclasses.replace(start, **changes)


def _propose(trial: optuna.Trial, name: str, where: Range) -> float:
    if isinstance(where.low, int):
        return trial.suggest_int(name, where.low, int(where.high), log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)
