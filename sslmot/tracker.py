"""The online tracker: SSL-MOT, section 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.association import BoxPairs, Match, Rows, match_by_motion
from sslmot.config import TrackerConfig
from sslmot.features import Embeddings, FeatureTable, RowPool
from sslmot.inputs import Detections, check_embeddings, check_frame, read_detections
from sslmot.motion import ConstantVelocity, MotionModel, Stationary, to_centre, to_corners
from sslmot.tracks import Tracks, TrackTable
from sslmot.types import ArrayLike, FeatureExtractor


class Tracker:
    """Tracks the objects of one video, frame by frame.

    A detection that no track takes starts a potential track; after ``config.confirm`` matches it
    gets an id and is reported in every frame in which it has a detection. A track without one is
    kept for ``config.patience`` frames.

    Instances share nothing; the same input gives the same output.

    Args:
        config: Settings; the defaults go beyond the paper, ``TrackerConfig.paper()`` does not.
        extractor: What describes the boxes of a frame; by default an :class:`~sslmot.Encoder` with
            the weights that come with the package, made when a frame asks for it.
        weights: File of another encoder, to be the extractor.

    Raises:
        ValueError: The config or the extractor is none, both an extractor and weights are given,
            or the weights are of no use.
        FileNotFoundError: There is no file of weights.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        extractor: FeatureExtractor | None = None,
        weights: str | Path | None = None,
    ) -> None:
        if config is not None and not isinstance(config, TrackerConfig):
            raise ValueError(f"config: expected a TrackerConfig, got {config!r}")
        if extractor is not None and not callable(extractor):
            raise ValueError(f"extractor: expected (frame, boxes) -> features, got {extractor!r}")
        if extractor is not None and weights is not None:
            raise ValueError("weights: expected none beside an extractor")
        if weights is not None:
            from sslmot.encoder import Encoder

            extractor = Encoder.load(weights)
        self._extractor = extractor
        self.config = config if config is not None else TrackerConfig()
        c = self.config
        self._motion: MotionModel = (
            ConstantVelocity() if c.motion == "kalman" else Stationary(c.delta)
        )
        self._by_both = _core.PairParams(
            tau=c.tau,
            min_affinity=c.min_affinity,
            appearance_weight=c.appearance_weight,
            motion_weight=c.motion_weight,
            shape_weight=c.shape_weight,
            gate=c.max_cost,
        )
        self._by_motion = _core.PairParams(
            tau=1.0,
            min_affinity=0.0,
            appearance_weight=0.0,
            motion_weight=1.0,
            shape_weight=c.shape_weight,
            gate=c.motion_reach,
        )
        self.reset()

    @property
    def extractor(self) -> FeatureExtractor:
        """What describes the boxes of a frame."""
        if self._extractor is None:
            # Here, since who brings features, or tracks by motion alone, needs no torch.
            from sslmot.encoder import Encoder

            self._extractor = Encoder.load()
        return self._extractor

    def reset(self) -> None:
        """Forget everything, for another video; ids start again at 1."""
        self._frame_size: tuple[int, int] | None = None
        self._next_id = 1
        self._rows = RowPool()
        self._features: FeatureTable | None = None
        nothing = np.empty((0, 4), np.float32)
        self._table = TrackTable.births(
            np.empty(0, np.int32), self._rows.take(0), self._motion.start(nothing)
        )

    def step(
        self,
        frame: ArrayLike | None = None,
        dets: ArrayLike = (),
        *,
        embeddings: ArrayLike | None = None,
    ) -> Tracks:
        """Track one more frame.

        Args:
            frame: (H, W, 3) uint8, BGR; the extractor describes its boxes. None: no appearance,
                unless there are embeddings.
            dets: (N, 4), (N, 5) or (N, 6) numbers: xyxy pixels[, score[, class]]. Only a track and
                a detection of one class may match.
            embeddings: (N, D) features of the detections by a model of the caller's, in place of
                the extractor's. Length does not matter; a row of zeros matches nothing by
                appearance. On CUDA they stay there.

        Returns:
            The confirmed tracks with a detection in this frame.

        Raises:
            ValueError: An argument is not as described, or not of the same size as in the frames
                before; nothing has changed then.
        """
        detections = read_detections(dets)
        size = self._frame_size
        if frame is not None:
            frame = check_frame(frame, size)
            size = (int(frame.shape[0]), int(frame.shape[1]))
        features, described = self._describe(frame, detections, embeddings)
        predicted = self._motion.predict(self._table.state, self._table.misses > 0)
        match = self._match(predicted[0], detections, features, described)

        # Nothing can be refused from here on.
        self._frame_size = size
        self._features = features
        return self._update(predicted, match, detections, described)

    def _describe(
        self, frame: ArrayLike | None, detections: Detections, embeddings: ArrayLike | None
    ) -> tuple[FeatureTable | None, Embeddings | None]:
        """The detections' features, and the table of the tracks' ones that they compare with."""
        n, table = len(detections.boxes), self._features
        name = "embeddings"
        if embeddings is None:
            if frame is None or n == 0:
                return table, None
            # A copy: what an extractor does to its boxes must not reach the caller's.
            embeddings = self.extractor(frame, detections.boxes.copy())
            name = f"features of {type(self.extractor).__name__}"
        like = (table.dim, table.device) if table is not None else None
        checked = check_embeddings(embeddings, n, like, name)
        if n == 0:
            return table, None
        if table is None:
            table = FeatureTable.like(checked)
            table.grow(self._rows.size)
        return table, table.prepare(checked, name)

    def _match(
        self,
        boxes: npt.NDArray[np.float32],
        detections: Detections,
        features: FeatureTable | None,
        described: Embeddings | None,
    ) -> Match:
        """The detection of each track, -1 for none: (T,) int32."""
        c, table = self.config, self._table
        pairs = BoxPairs(to_corners(boxes), table.classes, detections.boxes, detections.classes)
        if features is None or described is None:
            return match_by_motion(pairs, c.motion_reach, self._by_motion)
        match = features.match(
            pairs, c.appearance_reach, table.feature_rows, described, self._by_both
        )
        if c.rescue:
            tracks = ((match < 0) & (table.misses == 0)).nonzero()[0]
            left = _unmatched(match, len(detections.boxes)) if len(tracks) else tracks
            if len(left):
                rescued = match_by_motion(pairs.take(tracks, left), c.motion_reach, self._by_motion)
                found = rescued >= 0
                match[tracks[found]] = left[rescued[found]]
        return match

    def _update(
        self,
        predicted: npt.NDArray[np.float32],
        match: Match,
        detections: Detections,
        described: Embeddings | None,
    ) -> Tracks:
        """Move the table on by a frame; what to report of it."""
        c, table = self.config, self._table
        measured = to_centre(detections.boxes)

        # Matched tracks move to their detections and take in how they look.
        matched = match >= 0
        rows = matched.nonzero()[0]
        columns = match[rows].astype(np.int64)
        boxes = predicted[0].copy()
        boxes[rows] = measured[columns]
        table.state = self._motion.update(predicted, boxes, matched)
        table.matches += matched
        table.misses += 1
        table.misses[rows] = 0
        if self._features is not None and described is not None:
            self._features.store(table.feature_rows[rows], described, columns, c.delta)

        # Potential tracks that have been matched often enough are confirmed.
        reported = self._confirm(table, rows)
        ids, columns = table.ids[rows[reported]], columns[reported]

        # Tracks that have gone without a detection for too long end.
        patience = np.where(table.ids > 0, c.patience, c.potential_patience)
        alive = table.misses <= patience
        dead = table.feature_rows[~alive]
        if len(dead):
            table = table.keep(alive)

        # Detections that no track took start potential tracks.
        born = _unmatched(match, len(measured))
        if len(born):
            births = TrackTable.births(
                detections.classes[born],
                self._rows.take(len(born)),
                self._motion.start(measured[born]),
            )
            if self._features is not None:
                self._features.grow(self._rows.size)
                if described is not None:
                    self._features.store(births.feature_rows, described, born, 0.0)
            if self._confirm(births, np.arange(len(born))).any():
                ids, columns = np.concatenate([ids, births.ids]), np.concatenate([columns, born])
            table = table.extend(births)
        self._table = table
        # Last, so that an interruption leaves no row in two hands.
        if len(dead):
            if self._features is not None:
                self._features.forget(dead)
            self._rows.give_back(dead)

        order = np.argsort(columns, kind="stable")
        columns = columns[order]
        return Tracks(
            ids[order],
            detections.boxes[columns],
            detections.scores[columns],
            detections.classes[columns],
            columns,
        )

    def _confirm(self, table: TrackTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Give ids to those of some rows that have earned one; which of them have one now."""
        ready = table.matches[rows] >= self.config.confirm
        new = rows[ready & (table.ids[rows] == 0)]
        table.ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        return ready


def _unmatched(match: Match, n: int) -> Rows:
    """The detections, of ``n``, that no track takes."""
    free = np.ones(n + 1, bool)
    free[match] = False  # -1, for tracks without one, is the last
    return free[:n].nonzero()[0]
