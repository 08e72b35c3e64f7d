"""Score an encoder as the study does: re-identification, and tracking by the paper's tracker."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sslmot.appearance.encoder import Encoder
from sslmot.data import mot
from sslmot.evaluation.reid import Retrieval, evaluate_reid
from sslmot.evaluation.tracks import Scores, combine, count
from sslmot.inputs import to_numpy
from sslmot.study.sources import Sources, scene
from sslmot.threads import one_thread
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.tracker import Tracker
from sslmot.tuning.footage import Footage, embed_sequence, track
from sslmot.types import Boxes, FeatureExtractor, Features, Frame

GAP = 60
"""Frames between two views of a person, for rank-1 and AUC on a clip."""


@dataclass(frozen=True)
class Reid:
    """Scores of re-identification.

    Attributes:
        rank1: Rank-1 of Market-1501's held-out people, None without Market-1501.
        mean_ap: Mean average precision of the same.
        clip_rank1: Rank-1 after `GAP` frames, the mean of the sequences.
        clip_auc: AUC after `GAP` frames, the mean of the sequences.
    """

    rank1: float | None
    mean_ap: float | None
    clip_rank1: float
    clip_auc: float


@dataclass(frozen=True)
class CellScores:
    """Scores of a training.

    Attributes:
        reid: Of its feature.
        backbone: Of the backbone's feature.
        paper: Of the paper's tracker, all sequences and detectors combined.
        default: Of the default tracker.
        hz: Frames a second of encoder and the paper's tracker, on one core (or a GPU); without
            reading, detection and files.
        failed: What ended the training early, such as a collapse; "" if nothing did. Without
            scores then.
    """

    reid: Reid | None = None
    backbone: Reid | None = None
    paper: Scores | None = None
    default: Scores | None = None
    hz: float | None = None
    failed: str = ""

    def get(self, field: str) -> float | None:
        """Return a score, such as "paper.idf1" or "hz"; None if it was not computed."""
        value: Any = self
        for name in field.split("."):
            value = None if value is None else getattr(value, name)
        return None if value is None else float(value)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON has them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any], source: Path) -> CellScores:
        """Read what `to_dict` returned.

        Raises:
            ValueError: It is not that.
        """
        kinds: dict[str, Any] = {"reid": Reid, "backbone": Reid, "paper": Scores, "default": Scores}
        try:
            read = {
                name: kinds[name](**value) if name in kinds and value is not None else value
                for name, value in fields.items()
            }
            return cls(**read)
        except TypeError as error:
            raise ValueError(f"{source}: expected scores of a cell, got {error}") from error


def score(encoder: Encoder, sources: Sources, folder: Path) -> CellScores:
    """Score an encoder.

    Args:
        encoder: The encoder.
        sources: Data of the study.
        folder: Where the tracks of both trackers are written.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed.
        ImportError: TrackEval is not installed.
    """
    timed = Timed(encoder)
    with one_thread():  # so that speeds are comparable wherever a cell is scored
        clips = [embed_sequence(sequence, timed) for sequence in sources.evaluated]
    seconds = timed.seconds
    for clip in clips:
        tracker = Tracker(paper_tracker(clip), frame_rate=clip.frame_rate)
        start = time.perf_counter()
        track(clip, tracker)
        seconds += time.perf_counter() - start
    return CellScores(
        reid=reid(encoder, sources),
        backbone=reid(_of_backbone(encoder), sources),
        paper=tracked(clips, sources.evaluated, paper_tracker, folder / "paper"),
        default=tracked(clips, sources.evaluated, lambda _: TrackerConfig(), folder / "default"),
        hz=sum(len(clip) for clip in clips) / seconds,
    )


def reid(extractor: FeatureExtractor, sources: Sources) -> Reid:
    """Score an extractor by re-identification, see `sslmot.evaluation.reid`."""
    rank1 = mean_ap = None
    if sources.market is not None:
        (row,) = evaluate_reid(sources.market, extractor)
        assert isinstance(row.scores, Retrieval)
        rank1, mean_ap = row.scores.rank1, row.scores.mean_ap
    scenes = {scene(sequence): sequence for sequence in sources.evaluated}
    found: list[Any] = [
        row.scores
        for sequence in scenes.values()  # annotation and frames are the same for each detector
        for row in evaluate_reid(sequence.path, extractor, gaps=(GAP,))
    ]
    clip_rank1, clip_auc = (
        float(np.mean([getattr(s, k) for s in found])) for k in ("rank1", "auc")
    )
    return Reid(rank1, mean_ap, clip_rank1, clip_auc)


def paper_tracker(clip: Footage) -> TrackerConfig:
    """Return the paper's tracker, with the constants that the paper leaves open set by one rule.

    Let m be the median cosine of two detections of one frame, which show two people. The
    temperature of eq. 6 is 1 - m, so that their median affinity is 1/e, and the threshold rho_1 is
    that affinity: of two different people every second pair can be told apart by the encoder alone.
    The rule uses no label, and fits features of any spread. Overlapping detections can show one
    person; they are few.

    Args:
        clip: A clip with embeddings.

    Raises:
        ValueError: No frame has two detections.
    """
    cosines = [np.empty(0, np.float32)]
    for embeddings in clip.embeddings or ():
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit = (embeddings / np.maximum(lengths, 1e-12))[lengths[:, 0] > 0]
        cosines.append((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    pairs = np.concatenate(cosines)
    if not pairs.size:
        raise ValueError("clip: expected a frame with two detections, got none")
    tau = max(1 - float(np.median(pairs)), 1e-6)
    return TrackerConfig.paper(tau=tau, min_affinity=math.exp(-1))


def tracked(
    clips: Sequence[Footage],
    sequences: Sequence[mot.Sequence],
    config: Callable[[Footage], TrackerConfig],
    folder: Path | None = None,
) -> Scores:
    """Track clips, and score all together.

    Args:
        clips: Clips with embeddings.
        sequences: Their sequences, in the same order.
        config: Gives the settings of the tracker for a clip, such as `paper_tracker`.
        folder: Where ``NAME.txt`` of each is written; None for nowhere.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        counts = {}
        for clip, sequence in zip(clips, sequences, strict=True):
            tracker = Tracker(config(clip), frame_rate=clip.frame_rate)
            mot.write_results(place / f"{sequence.name}.txt", track(clip, tracker))
            counts[sequence.name] = count(sequence, place)
        return combine(counts)


class Timed:
    """An encoder that counts the seconds it takes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.seconds = 0.0

    def __call__(self, frame: Frame, boxes: Boxes) -> Features:
        """Embed boxes, see `Encoder`."""
        start = time.perf_counter()
        features = to_numpy(self._encoder(frame, boxes), "features")
        self.seconds += time.perf_counter() - start
        return np.asarray(features, np.float32)


def _of_backbone(encoder: Encoder) -> Encoder:
    """Return the encoder with the feature of its backbone."""
    other = Encoder(dataclasses.replace(encoder.config, feature="backbone"), device=encoder.device)
    with torch.no_grad():
        other.network.load_state_dict(encoder.network.state_dict())
    return other
