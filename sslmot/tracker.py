"""The online tracker: SSL-MOT, section 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.association import BoxPairs, Match, Matching, Rows, match_by_motion
from sslmot.camera import Affine, View, camera_motion, look, warp
from sslmot.config import TrackerConfig
from sslmot.evidence import Evidence, Named, Stage
from sslmot.features import Embeddings, FeatureTable, RowPool
from sslmot.gallery import Gallery
from sslmot.inputs import Detections, check_embeddings, check_frame, read_detections, to_numpy
from sslmot.motion import ConstantVelocity, MotionModel, State, Stationary, to_centre, to_corners
from sslmot.tracks import Tracks, TrackTable
from sslmot.types import ArrayLike, Boxes, FeatureExtractor

_FIELDS = {field.name for field in dataclasses.fields(TrackerConfig)}
_NEVER = 2**62
"""Frames without detection of a track that has nothing to wait for."""


class Tracker:
    """Tracks the objects of one video, frame by frame.

    A detection that no track takes starts a potential track, if it is not too faint. Once that has
    earned an identity it is reported in every frame in which it has a detection: at once where the
    detector is sure and nobody who was lost looks alike, else after ``config.confirm`` matches,
    when it takes the identity of somebody lost whom it resembles. A track without a detection is
    followed for ``config.patience`` frames, and remembered by its looks for ``config.memory``.

    Instances share nothing but a gallery; the same input gives the same output.

    Args:
        config: Settings; the defaults go beyond the paper, ``TrackerConfig.paper()`` does not. None
            for the defaults with the affinities that fit the extractor, where it knows them.
        extractor: What describes the boxes of a frame; by default an :class:`~sslmot.Encoder` with
            the weights that come with the package, made when a frame asks for it.
        weights: File of another encoder, to be the extractor.
        gallery: Who was seen before, in other clips or by other cameras: its people get their old
            identities, and those who are seen here are added. Every frame with detections needs
            features then.

    Raises:
        ValueError: The config, the extractor or the gallery is none, both an extractor and weights
            are given, or the weights are of no use.
        FileNotFoundError: There is no file of weights.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        extractor: FeatureExtractor | None = None,
        weights: str | Path | None = None,
        gallery: Gallery | None = None,
    ) -> None:
        if config is not None and not isinstance(config, TrackerConfig):
            raise ValueError(f"config: expected a TrackerConfig, got {config!r}")
        if extractor is not None and not callable(extractor):
            raise ValueError(f"extractor: expected (frame, boxes) -> features, got {extractor!r}")
        if extractor is not None and weights is not None:
            raise ValueError("weights: expected none beside an extractor")
        if gallery is not None and not isinstance(gallery, Gallery):
            raise ValueError(f"gallery: expected a Gallery, got {gallery!r}")
        if weights is not None:
            from sslmot.encoder import Encoder

            extractor = Encoder.load(weights)
        self._extractor = extractor
        self.gallery = gallery
        if config is None:
            calibration = getattr(extractor, "calibration", {})
            if not isinstance(calibration, Mapping) or not set(calibration) <= _FIELDS:
                raise ValueError(
                    f"extractor.calibration: expected fields of TrackerConfig, got {calibration!r}"
                )
            config = TrackerConfig(**calibration)
        self.config = config
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
        self._by_looks = _core.PairParams(
            tau=c.tau,
            min_affinity=c.lost_affinity,
            appearance_weight=1.0,
            motion_weight=0.0,
            shape_weight=0.0,
            gate=1.0,
        )
        self._start()

    @property
    def extractor(self) -> FeatureExtractor:
        """What describes the boxes of a frame."""
        if self._extractor is None:
            # Here, since who brings features, or tracks by motion alone, needs no torch.
            from sslmot.encoder import Encoder

            self._extractor = Encoder.load()
        return self._extractor

    def reset(self) -> None:
        """Forget everything, for another video; ids start again, at 1 or after the gallery's.

        The gallery sees everybody in view once more.
        """
        self._show(self._table, (self._table.ids > 0).nonzero()[0])
        self._start()

    def _start(self) -> None:
        self._frame_size: tuple[int, int] | None = None
        self._view: View | None = None
        self._next_id = 1
        self._rows = RowPool()
        self._features: FeatureTable | None = None
        # Tracks that are followed, and those who are only remembered.
        self._table, self._lost = self._nobody(), self._nobody()

    def _nobody(self) -> TrackTable:
        boxes = np.empty((0, 4), np.float32)
        return TrackTable.births(
            np.empty(0, np.int32), np.empty(0, np.int64), boxes, self._motion.start(boxes)
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
        view, moved = self._look(frame, detections.boxes)
        state = self._table.state if moved is None else warp(self._table.state, moved)
        predicted = self._motion.predict(state, self._table.misses > 0)
        pairs = BoxPairs(
            to_corners(predicted[0]), self._table.classes, detections.boxes, detections.classes
        )
        matching = self._match(pairs, features, described)
        clear = self._clear(detections.boxes, described)
        match = matching.match
        if features is not None and described is not None and self.config.rescue:
            match = self._rescue(pairs, match, features, clear)

        # Nothing can be refused from here on.
        self._frame_size, self._view, self._features = size, view, features
        if moved is not None:
            for table in (self._table, self._lost):
                table.boxes = to_corners(warp(to_centre(table.boxes)[None], moved)[0])
        self._update(predicted, match, detections, described, clear)
        born, births = self._bear(detections, match, described, clear)
        known = self._table.ids.copy()
        named = self._confirm(detections, match, born, births)
        evidence = Evidence(
            self.config,
            pairs,
            matching,
            match,
            # Who is recognised loses the old track, which had the identity in this frame.
            np.maximum(known, self._table.ids),
            features is not None and described is not None,
            named,
        )
        tracks = self._report(detections, evidence)
        self._retire(births)
        return tracks

    def _describe(
        self, frame: ArrayLike | None, detections: Detections, embeddings: ArrayLike | None
    ) -> tuple[FeatureTable | None, Embeddings | None]:
        """The detections' features, and the table of the tracks' ones that they compare with."""
        n, table = len(detections.boxes), self._features
        name = "embeddings"
        model = ""
        if embeddings is None:
            if self.gallery is not None and frame is None and n > 0:
                raise ValueError("embeddings: expected them, or a frame, with a gallery, got none")
            if frame is None or n == 0:
                return table, None
            model = getattr(self.extractor, "fingerprint", "")
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
        described = table.prepare(checked, name)
        if self.gallery is not None:
            # Of every frame: another tracker may have filled it since the last. And last, since it
            # may name an encoder to an empty gallery.
            self.gallery.bind(model, checked.shape[1])
        return table, described

    def _look(self, frame: ArrayLike | None, boxes: Boxes) -> tuple[View | None, Affine | None]:
        """What to keep of a frame, and how the camera moved since the one before."""
        if frame is None or not self.config.camera:
            return None, None
        view = look(to_numpy(frame, "frame"), boxes)
        return view, None if self._view is None else camera_motion(self._view, view)

    def _match(
        self, pairs: BoxPairs, features: FeatureTable | None, described: Embeddings | None
    ) -> Matching:
        """Match by appearance and motion, or by motion alone where nobody has features."""
        c, table = self.config, self._table
        if features is None or described is None:
            return match_by_motion(pairs, c.motion_reach, self._by_motion)
        least = np.where(table.misses > 0, c.lost_affinity, c.min_affinity).astype(np.float32)
        reach = pairs.each(c.appearance_reach)
        return features.match(pairs, reach, least, table.feature_rows, described, self._by_both)

    def _clear(self, boxes: Boxes, described: Embeddings | None) -> npt.NDArray[np.bool_]:
        """Which features say who is in a box: known, and not of one in front: (N,)."""
        if described is None:
            return np.zeros(len(boxes), bool)
        clear: npt.NDArray[np.bool_] = described.known
        if self.config.max_hidden < 1:
            clear = clear & (_core.hidden_shares(boxes) <= self.config.max_hidden)
        return clear

    def _rescue(
        self,
        pairs: BoxPairs,
        match: Match,
        features: FeatureTable,
        clear: npt.NDArray[np.bool_],
    ) -> Match:
        """The detection of each track, with those that motion finds where looks say little."""
        table = self._table
        tracks = ((match < 0) & (table.misses == 0)).nonzero()[0]
        left = _unmatched(match, len(pairs.boxes)) if len(tracks) else tracks
        if not len(left):
            return match
        seen = (table.looks[tracks] > 0) & features.known(table.feature_rows[tracks])
        match = match.copy()
        for some, others in ((tracks[~seen], left), (tracks[seen], left[~clear[left]])):
            others = others[~np.isin(others, match)]
            if len(some) and len(others):
                found = match_by_motion(
                    pairs.take(some, others), self.config.motion_reach, self._by_motion
                ).match
                match[some[found >= 0]] = others[found[found >= 0]]
        return match

    def _update(
        self,
        predicted: State,
        match: Match,
        detections: Detections,
        described: Embeddings | None,
        clear: npt.NDArray[np.bool_],
    ) -> None:
        """Move matched tracks to their detections, and take in how they look."""
        table, features = self._table, self._features
        matched = match >= 0
        rows = matched.nonzero()[0]
        columns = match[rows].astype(np.int64)
        boxes = predicted[0].copy()
        boxes[rows] = to_centre(detections.boxes)[columns]
        table.state = self._motion.update(predicted, boxes, matched)
        table.boxes[rows] = detections.boxes[columns]
        table.matches += matched
        table.misses += 1
        table.misses[rows] = 0
        self._lost.misses += 1
        if features is not None and described is not None:
            # Before a track was seen clearly, a hidden look is better than none.
            taken = clear[columns] | (table.looks[rows] == 0)
            seen, looks = rows[taken], columns[taken]
            # The first few looks weigh alike.
            delta = np.minimum(self.config.delta, 1 - 1 / (1 + table.looks[seen]))
            features.store(table.feature_rows[seen], described, looks, delta.astype(np.float32))
            table.looks[rows] += clear[columns]

    def _bear(
        self,
        detections: Detections,
        match: Match,
        described: Embeddings | None,
        clear: npt.NDArray[np.bool_],
    ) -> tuple[Rows, TrackTable | None]:
        """Detections that no track took, and the potential tracks that they start, if any."""
        born = _unmatched(match, len(detections.boxes))
        born = born[detections.scores[born] >= self.config.birth_score]
        if not len(born):
            return born, None
        births = TrackTable.births(
            detections.classes[born],
            self._rows.take(len(born)),
            detections.boxes[born],
            self._motion.start(to_centre(detections.boxes[born])),
        )
        if self._features is not None:
            self._features.grow(self._rows.size)
            if described is not None:
                nothing = np.zeros(len(born), np.float32)
                self._features.store(births.feature_rows, described, born, nothing)
                births.looks += clear[born]
        return born, births

    def _confirm(
        self, detections: Detections, match: Match, born: Rows, births: TrackTable | None
    ) -> Named:
        """Give identities to who has earned one: who they are, and how that is known."""
        c, table = self.config, self._table
        due = ((match >= 0) & (table.ids == 0) & (table.matches >= c.confirm)).nonzero()[0]
        named = self._name(table, due, match[due])
        if births is None:
            return named
        if c.confirm == 0:
            return named | self._name(births, np.arange(len(born)), born)
        sure = (detections.scores[born] >= c.sure_score).nonzero()[0]
        new = sure[~self._resemble_anyone(births, sure)]
        return named | self._introduce(births, new, born[new])

    def _missing(self) -> TrackTable:
        """Everybody who has an identity and no detection, and is not forgotten."""
        everyone = self._lost.extend(self._table) if len(self._lost) else self._table
        missed = (everyone.misses > 0) & (everyone.misses <= self.config.memory)
        return everyone.keep((everyone.ids > 0) & missed)

    def _compare(self, missing: TrackTable, table: TrackTable, rows: Rows) -> Matching:
        """Match who is missing (M,) with some tracks (N,), by their looks."""
        c, features = self.config, self._features
        assert features is not None
        pairs = BoxPairs(missing.boxes, missing.classes, table.boxes[rows], table.classes[rows])
        reach = (c.appearance_reach + c.walk * missing.misses).astype(np.float32)
        least = pairs.each(c.lost_affinity)
        looks = features.take(table.feature_rows[rows])
        return features.match(pairs, reach, least, missing.feature_rows, looks, self._by_looks)

    def _resemble_anyone(self, table: TrackTable, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of some tracks look like somebody who is missing: (N,)."""
        resemble = np.zeros(len(rows), bool)
        if self._features is not None and len(rows) and len(missing := self._missing()):
            resemble[self._compare(missing, table, rows).pairs.columns] = True
        return resemble

    def _name(self, table: TrackTable, rows: Rows, detections: npt.NDArray[np.integer]) -> Named:
        """Give tracks the identities of the missing whom they resemble; introduce the others."""
        if not len(rows):
            return {}
        named = self._recognise(table, rows, detections)
        others = table.ids[rows] == 0
        return named | self._introduce(table, rows[others], detections[others])

    def _introduce(
        self, table: TrackTable, rows: Rows, detections: npt.NDArray[np.integer]
    ) -> Named:
        """Give tracks the identities that the gallery knows them by, or new ones."""
        named: Named = {}
        if self.gallery is not None and self._features is not None and len(rows):
            everyone = (self._table, self._lost, table)
            here = np.concatenate([t.ids[(t.ids > 0) & (t.misses == 0)] for t in everyone])
            looks = self._features.read(table.feature_rows[rows])
            known = self.gallery.identify(looks, here.tolist())
            # Whom the gallery knows may be missing here.
            self._end(known[known > 0])
            table.ids[rows] = known
            self._next_id = max(self._next_id, self.gallery.next_id)
        for row, detection in zip(rows.tolist(), detections.tolist(), strict=True):
            stage: Stage = "gallery" if table.ids[row] else "new"
            if stage == "new":
                table.ids[row] = self._next_id
                self._next_id += 1
            named[int(table.ids[row])] = (detection, stage, None)
        self._show(table, rows)
        return named

    def _recognise(
        self, table: TrackTable, rows: Rows, detections: npt.NDArray[np.integer]
    ) -> Named:
        """Give tracks the identities of the missing whom they resemble."""
        named: Named = {}
        if self._features is None or not len(missing := self._missing()):
            return named
        matching = self._compare(missing, table, rows)
        found = (matching.match >= 0).nonzero()[0]
        self._end(missing.ids[found])
        for person in found.tolist():
            which = int(matching.match[person])
            table.ids[rows[which]] = missing.ids[person]
            affinity = 1 - matching.pairs.cost(person, which)
            named[int(missing.ids[person])] = (int(detections[which]), "recognised", affinity)
        return named

    def _end(self, ids: npt.NDArray[np.int64]) -> None:
        """End with this frame the tracks of the missing whose identity another track has now."""
        for table in (self._table, self._lost):
            over = np.isin(table.ids, ids) & (table.misses > 0)
            table.ids[over], table.misses[over] = 0, _NEVER

    def _show(self, table: TrackTable, rows: Rows) -> None:
        """Let the gallery see some tracks as they have been seen so far."""
        if self.gallery is not None and self._features is not None and len(rows):
            self.gallery.add(table.ids[rows], self._features.read(table.feature_rows[rows]))

    def _report(self, detections: Detections, evidence: Evidence) -> Tracks:
        """The confirmed tracks with a detection, in the order of detections."""
        rows = ((evidence.match >= 0) & (evidence.ids > 0)).nonzero()[0]
        ids, columns = evidence.ids[rows], evidence.match[rows].astype(np.int64)
        new = [(i, named[0]) for i, named in evidence.named.items() if i not in ids]
        if new:
            ids = np.concatenate([ids, [i for i, _ in new]])
            columns = np.concatenate([columns, [j for _, j in new]])
        order = np.argsort(columns, kind="stable")
        columns = columns[order]
        return Tracks(
            ids[order],
            detections.boxes[columns],
            detections.scores[columns],
            detections.classes[columns],
            columns,
            evidence,
        )

    def _retire(self, births: TrackTable | None) -> None:
        """Stop following who has gone unseen for too long, and forget whom nobody remembers."""
        c, table = self.config, self._table
        if self.gallery is not None:
            self._show(table, ((table.misses == 1) & (table.ids > 0)).nonzero()[0])
        patience = np.where(table.ids > 0, c.patience, c.potential_patience)
        followed = table.misses <= patience
        freed = []
        if not followed.all():
            gone, table = table.keep(~followed), table.keep(followed)
            # Who was seen but once is not remembered: false detections come like that.
            seen_again = gone.matches >= max(c.confirm, 1)
            kept = (gone.ids > 0) & seen_again & (self._features is not None)
            freed.append(gone.feature_rows[~kept])
            self._lost = self._lost.extend(gone.keep(kept))
        remembered = self._lost.misses <= c.memory
        if not remembered.all():
            freed.append(self._lost.feature_rows[~remembered])
            self._lost = self._lost.keep(remembered)
        self._table = table.extend(births) if births is not None else table
        # Last, so that an interruption leaves no row in two hands.
        for rows in freed:
            if self._features is not None:
                self._features.forget(rows)
            self._rows.give_back(rows)


def _unmatched(match: Match, n: int) -> Rows:
    """The detections, of ``n``, that no track takes."""
    free = np.ones(n + 1, bool)
    free[match] = False  # -1, for tracks without one, is the last
    return free[:n].nonzero()[0]
