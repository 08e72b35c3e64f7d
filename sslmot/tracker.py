"""The online tracker: SSL-MOT, section 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.association import BoxPairs, Match, Matching
from sslmot.camera import Affine, View, camera_motion, look, warp
from sslmot.config import TrackerConfig
from sslmot.evidence import Evidence, Named, Round, Stage
from sslmot.features import Comparison, Embeddings, FeatureTable, RowPool
from sslmot.gallery import Gallery
from sslmot.inputs import Detections, check_embeddings, check_frame, read_detections, to_numpy
from sslmot.motion import ConstantVelocity, MotionModel, Stationary, to_centre, to_corners
from sslmot.scene import Scene
from sslmot.tracks import Tracks, TrackTable
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, Rows

_FIELDS = {field.name for field in dataclasses.fields(TrackerConfig)}
_NO_CLASS = np.int32(-(2**31))
"""A class that no track has."""
_NOBODY = np.empty(0, np.int64)
_LOOKS = 10_000
"""As many looks are an average over the past whatever delta is."""
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
            ConstantVelocity(c.score_noise, c.reupdate)
            if c.motion == "kalman"
            else Stationary(c.delta)
        )
        # Of what was known before a look, by the number of looks: the first few weigh alike.
        self._shares = np.arange(_LOOKS, dtype=np.float32)
        self._shares = np.minimum(self._shares / (1 + self._shares), np.float32(c.delta))
        self._min_affinity = np.float32(c.min_affinity)
        self._lost_affinity = np.float32(c.lost_affinity)
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
                a detection of one class may match. At most 16,384, and in all 2**23 pairs of a
                track and a detection within its reach.
            embeddings: (N, D) features of the detections by a model of the caller's, in place of
                the extractor's. Length does not matter; a row of zeros matches nothing by
                appearance. On CUDA they stay there. D is at most 65,536.

        Returns:
            The confirmed tracks with a detection in this frame.

        Raises:
            ValueError: An argument is not as described, or not of the same size as in the frames
                before; nothing has changed then.
        """
        scene = self._see(frame, dets, embeddings)
        match, rounds = self._match(scene, self._first_round(scene).match())
        # Nothing can be refused from here on.
        return self._follow(scene, match, rounds)

    def _see(
        self,
        frame: ArrayLike | None,
        dets: ArrayLike,
        embeddings: ArrayLike | None,
        extracted: ArrayLike | None = None,
    ) -> Scene:
        """Check a frame, describe its boxes and predict where the tracks are in it.

        Args:
            frame: As for :meth:`step`.
            dets: Likewise.
            embeddings: Likewise.
            extracted: What the extractor says of the boxes, where it was asked already.
        """
        detections = read_detections(dets)
        size = self._frame_size
        if frame is not None:
            frame = check_frame(frame, size)
            size = (int(frame.shape[0]), int(frame.shape[1]))
        features, looks, model = self._describe(frame, detections, embeddings, extracted)
        view, moved = self._look(frame, detections.boxes)
        table = self._table
        state = table.state if moved is None else warp(table.state, moved)
        expected = self._motion.predict(state, table.misses)
        pairs = BoxPairs(expected, table.classes, detections.boxes, detections.classes)
        faint = detections.scores < self.config.low_score
        visible = self._visible(detections.boxes, looks)
        return Scene(
            size, view, moved, state, detections, pairs, features, looks, model, faint, visible
        )

    def _follow(self, scene: Scene, match: Match, rounds: list[Round]) -> Tracks:
        """Move the tracks to their detections, and see who is new, who is back, and who is gone."""
        self._frame_size, self._view, self._features = scene.size, scene.view, scene.features
        if self.gallery is not None and scene.looks is not None:
            self.gallery.bind(scene.model, scene.looks.values.shape[1])
        if scene.moved is not None:
            self._table.state = scene.state
            for table in (self._table, self._lost):
                table.boxes = _moved(table.boxes, scene.moved)
        self._update(scene, match)
        born, births = self._bear(scene, match)
        known = self._table.ids.copy()
        named = self._confirm(scene.detections, match, born, births)
        # Who is recognised loses the old track, which had the identity in this frame.
        ids = np.maximum(known, self._table.ids)
        evidence = Evidence(self.config, scene.pairs, match, rounds, ids, named)
        tracks = self._report(scene.detections, evidence)
        self._retire(births)
        return tracks

    def _describe(
        self,
        frame: ArrayLike | None,
        detections: Detections,
        embeddings: ArrayLike | None,
        extracted: ArrayLike | None,
    ) -> tuple[FeatureTable | None, Embeddings | None, str]:
        """The table of the tracks' features, those of the detections, and whose they are."""
        n, table = len(detections.boxes), self._features
        name = "embeddings"
        model = ""
        if embeddings is None:
            if self.gallery is not None and frame is None and n > 0:
                raise ValueError("embeddings: expected them, or a frame, with a gallery, got none")
            if frame is None or n == 0:
                return table, None, model
            model = getattr(self.extractor, "fingerprint", "")
            # A copy: what an extractor does to its boxes must not reach the caller's.
            embeddings = (
                self.extractor(frame, detections.boxes.copy()) if extracted is None else extracted
            )
            name = f"features of {type(self.extractor).__name__}"
        like = (table.dim, table.device) if table is not None else None
        checked = check_embeddings(embeddings, n, like, name)
        if n == 0:
            return table, None, model
        if table is None:
            table = FeatureTable.like(checked)
            table.grow(self._rows.size)
        described = table.prepare(checked, name)
        if self.gallery is not None:
            # Of every frame: another tracker may have filled it since the last.
            self.gallery.expect(model, checked.shape[1])
        return table, described, model

    def _look(self, frame: ArrayLike | None, boxes: Boxes) -> tuple[View | None, Affine | None]:
        """What to keep of a frame, and how the camera moved since the one before."""
        if frame is None or not self.config.camera:
            return None, None
        view = look(to_numpy(frame, "frame"), boxes)
        return view, None if self._view is None else camera_motion(self._view, view)

    def _visible(self, boxes: Boxes, looks: Embeddings | None) -> npt.NDArray[np.bool_]:
        """Which features say who is in a box: known, and not of one in front: (N,)."""
        if looks is None:
            return np.zeros(len(boxes), bool)
        visible: npt.NDArray[np.bool_] = looks.known
        if self.config.max_hidden < 1:
            visible = visible & (_core.hidden_shares(boxes) <= self.config.max_hidden)
        return visible

    def _first_round(self, scene: Scene) -> Comparison:
        """What to match by appearance and motion, or by motion alone where no features are."""
        pairs = scene.pairs
        if np.count_nonzero(scene.faint):
            # Whom a faint detection continues is asked when the others have chosen.
            pairs = pairs._replace(classes=np.where(scene.faint, _NO_CLASS, pairs.classes))
        return self._compare(scene.stage, slice(None), pairs, scene.features, scene.looks)

    def _compare(
        self,
        stage: Stage,
        tracks: Rows | slice,
        pairs: BoxPairs,
        features: FeatureTable | None,
        looks: Embeddings | None,
    ) -> Comparison:
        """Some tracks and detections to match, whose boxes and looks are given."""
        c, table = self.config, self._table
        if stage == "motion" or features is None or looks is None:
            return Comparison.by_motion(pairs, c.motion_reach, self._by_motion)
        least = np.where(table.misses[tracks] > 0, self._lost_affinity, self._min_affinity)
        reach, rows = pairs.each(c.appearance_reach), table.feature_rows[tracks]
        return features.compare(pairs, reach, least, rows, looks, self._by_both)

    def _match(self, scene: Scene, matching: Matching) -> tuple[Match, list[Round]]:
        """The detection of each track (T,), -1 for none, and the rounds that found them.

        Args:
            scene: The frame.
            matching: Of the first round.
        """
        match, rounds = self._all_rounds(scene, matching)
        self._expect_few_resemblances(scene, match)
        return match, rounds

    def _all_rounds(self, scene: Scene, matching: Matching) -> tuple[Match, list[Round]]:
        """Match what the first round left."""
        table, match = self._table, matching.match
        everyone, everything = np.arange(len(table)), np.arange(len(scene.faint))
        rounds = [Round(scene.stage, everyone, everything, matching)]
        # What is left may continue a track that was seen in the frame before.
        tracks = ((match < 0) & (table.misses == 0)).nonzero()[0]
        if not len(tracks) or not np.count_nonzero(scene.free(match)):
            return match, rounds
        match = match.copy()

        def again(stage: Stage, some: Rows, candidates: npt.NDArray[np.bool_]) -> None:
            some, others = some[match[some] < 0], (candidates & scene.free(match)).nonzero()[0]
            if len(some) and len(others):
                looks = None if scene.looks is None else scene.looks.take(others)
                pairs = scene.pairs.take(some, others)
                matching = self._compare(stage, some, pairs, scene.features, looks).match()
                made = matching.match >= 0
                match[some[made]] = others[matching.match[made]]
                rounds.append(Round(stage, some, others, matching))

        def rescue(candidates: npt.NDArray[np.bool_]) -> None:
            if scene.features is not None and scene.looks is not None and self.config.rescue:
                known = scene.features.known(table.feature_rows[tracks])
                seen = (table.looks[tracks] > 0) & known
                again("motion", tracks[~seen], candidates)
                again("motion", tracks[seen], candidates & ~scene.visible)

        rescue(~scene.faint)
        if np.count_nonzero(scene.faint):
            again(scene.stage, tracks, scene.faint)
            rescue(scene.faint)
        return match, rounds

    def _expect_few_resemblances(self, scene: Scene, match: Match) -> None:
        """Check that those who may turn out to be somebody missing can be compared with them.

        That comes after the first changes, so it is asked before. Who is asked for here are at
        least those who are compared then.
        """
        c, table, detections = self.config, self._table, scene.detections
        everyone = len(table) + len(self._lost)
        if scene.features is None or everyone * len(detections.boxes) <= _core.MOST_PAIRS:
            return
        missing = self._lost.extend(table.keep(match < 0))
        missing = missing.keep((missing.ids > 0) & (missing.misses < c.memory))
        boxes = missing.boxes if scene.moved is None else _moved(missing.boxes, scene.moved)
        reach = (c.appearance_reach + c.walk * (missing.misses + 1)).astype(np.float32)
        due = match[(match >= 0) & (table.ids == 0) & (table.matches + 1 >= c.confirm)]
        sure = (detections.scores >= c.sure_score) | (c.confirm == 0)
        born = (scene.free(match) & ~scene.faint & sure).nonzero()[0]
        for rows in (due, born):
            _core.candidates(
                boxes,
                reach,
                detections.boxes[rows],
                self._by_looks,
                missing.classes,
                detections.classes[rows],
            )

    def _update(self, scene: Scene, match: Match) -> None:
        """Move matched tracks to their detections, and take in how they look."""
        table = self._table
        rows = (match >= 0).nonzero()[0]
        columns = match[rows].astype(np.int64)
        boxes, scores, _ = scene.detections
        self._motion.observe(table.state, table.boxes, table.misses, rows, boxes, columns, scores)
        table.matches[rows] += 1
        table.misses += 1
        table.misses[rows] = 0
        self._lost.misses += 1
        if scene.features is not None and scene.looks is not None:
            clear = scene.clear[columns]
            # Before a track was seen clearly, a hidden look is better than none.
            taken = clear | (table.looks[rows] == 0)
            seen, shown = rows[taken], columns[taken]
            delta = self._shares.take(table.looks[seen], mode="clip")
            scene.features.store(table.feature_rows[seen], scene.looks, shown, delta)
            table.looks[rows] += clear

    def _bear(self, scene: Scene, match: Match) -> tuple[Rows, TrackTable | None]:
        """Detections that start potential tracks, and these, if any."""
        detections = scene.detections
        if np.count_nonzero(match >= 0) == len(scene.faint):
            return _NOBODY, None
        born = (scene.free(match) & ~scene.faint).nonzero()[0]
        if len(born) and self.config.birth_overlap < 1:
            known = match[(match >= 0) & (self._table.ids > 0)]
            boxes, _, classes = detections
            overlap = _core.largest_overlaps(
                boxes[born], boxes[known], classes[born], classes[known]
            )
            born = born[overlap <= self.config.birth_overlap]
        if not len(born):
            return born, None
        births = TrackTable.births(
            detections.classes[born],
            self._rows.take(len(born)),
            detections.boxes[born],
            self._motion.start(detections.boxes[born]),
        )
        if scene.features is not None:
            scene.features.grow(self._rows.size)
            if scene.looks is not None:
                nothing = np.zeros(len(born), np.float32)
                scene.features.store(births.feature_rows, scene.looks, born, nothing)
                births.looks += scene.clear[born]
        return born, births

    def _confirm(
        self, detections: Detections, match: Match, born: Rows, births: TrackTable | None
    ) -> Named:
        """Give identities to who has earned one: who they are, and how that is known."""
        c, table = self.config, self._table
        potential = (table.ids == 0).nonzero()[0]
        if births is None and not len(potential):
            return {}
        due = potential[(match[potential] >= 0) & (table.matches[potential] >= c.confirm)]
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

    def _recall(self, missing: TrackTable, table: TrackTable, rows: Rows) -> Matching:
        """Match who is missing (M,) with some tracks (N,), by their looks."""
        c, features = self.config, self._features
        assert features is not None
        pairs = BoxPairs(missing.boxes, missing.classes, table.boxes[rows], table.classes[rows])
        reach = (c.appearance_reach + c.walk * missing.misses).astype(np.float32)
        least = pairs.each(c.lost_affinity)
        looks = features.take(table.feature_rows[rows])
        lost = missing.feature_rows
        return features.compare(pairs, reach, least, lost, looks, self._by_looks).match()

    def _resemble_anyone(self, table: TrackTable, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of some tracks look like somebody who is missing: (N,)."""
        resemble = np.zeros(len(rows), bool)
        if self._features is not None and len(rows) and len(missing := self._missing()):
            resemble[self._recall(missing, table, rows).pairs.columns] = True
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
        matching = self._recall(missing, table, rows)
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
        ids = np.zeros(len(detections.boxes), np.int64)
        rows = (evidence.match >= 0).nonzero()[0]
        ids[evidence.match[rows]] = evidence.ids[rows]
        for identity, (detection, _, _) in evidence.named.items():
            ids[detection] = identity
        columns = ids.nonzero()[0]
        return Tracks(
            ids[columns],
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
        if np.count_nonzero(followed) < len(table):
            gone, table = table.keep(~followed), table.keep(followed)
            # Who was seen but once is not remembered: false detections come like that.
            seen_again = gone.matches >= max(c.confirm, 1)
            kept = (gone.ids > 0) & seen_again & (self._features is not None)
            freed.append(gone.feature_rows[~kept])
            self._lost = self._lost.extend(gone.keep(kept))
        remembered = self._lost.misses <= c.memory
        if np.count_nonzero(remembered) < len(remembered):
            freed.append(self._lost.feature_rows[~remembered])
            self._lost = self._lost.keep(remembered)
        self._table = table.extend(births) if births is not None else table
        # Last, so that an interruption leaves no row in two hands.
        for rows in freed:
            if self._features is not None:
                self._features.forget(rows)
            self._rows.give_back(rows)


def _moved(boxes: Boxes, by: Affine) -> Boxes:
    """(N, 4) xyxy boxes, moved with the camera."""
    return to_corners(warp(to_centre(boxes)[:, None], by)[:, 0])
