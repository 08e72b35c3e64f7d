"""The online tracker: SSL-MOT, section 3."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import (
    Detections,
    check_embeddings,
    check_frame,
    is_cuda,
    read_detections,
    to_numpy,
)
from sslmot.tracking import state
from sslmot.tracking.camera import Affine, GreyFrame, camera_motion, preprocess, zoom
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.explain import Evidence
from sslmot.tracking.features import DeviceTable, Embeddings, measure
from sslmot.tracking.frame import Context, Scene
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, Features

# Standard deviations of the Kalman filter, as shares of a box's height: process noise of value and
# velocity a frame, and measurement noise.
VALUE_NOISE = 0.1
VELOCITY_NOISE = 0.00625
MEASUREMENT_NOISE = 0.05

_FIELDS = {field.name for field in dataclasses.fields(TrackerConfig)}


class Tracker:
    """Tracks the objects of one video, frame by frame.

    A detection that no track takes starts a potential track, if it is not too faint. Once that has
    earned an identity it is reported in every frame in which it has a detection: at once where the
    detector is sure and nobody who was lost looks alike, else after ``config.min_hits`` matches,
    when it takes the identity of somebody lost whom it resembles. A track without a detection is
    followed for ``config.max_age`` frames, and remembered by its looks for ``config.reid_max_age``.

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
            from sslmot.appearance.encoder import Encoder

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
        self._table = _core.TrackTable(_settings(config))

    @property
    def extractor(self) -> FeatureExtractor:
        """What describes the boxes of a frame."""
        if self._extractor is None:
            # Here, since who brings features, or tracks by motion alone, needs no torch.
            from sslmot.appearance.encoder import Encoder

            self._extractor = Encoder.load()
        return self._extractor

    def reset(self) -> None:
        """Forget everything, for another video; ids start again, at 1 or after the gallery's.

        The gallery sees everybody in view once more.

        Raises:
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self._table]):
            tracks = self._table.tracks
            named = (tracks["ids"] > 0).nonzero()[0]
            if self.gallery is not None and self._table.feature_dim and len(named):
                features = self._read_features(tracks["slots"][named])
                self.gallery.add(tracks["ids"][named], features)
            self._table.reset()

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """All that is kept of the video, as named arrays: a copy.

        A tracker of the same settings, extractor and gallery that loads it goes on bit for bit.
        """
        return state.state_of(self._table, self._context)

    def load_state_dict(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            ValueError: The arrays are not those of a tracker with these settings; nothing has
                changed then.
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self._table]):
            state.restore(self._table, arrays)

    def save(self, path: str | Path) -> None:
        """Write settings and state as a safetensors file, whole or not at all.

        The extractor and the gallery are not in it.
        """
        state.write(path, self.state_dict(), self.config)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        extractor: FeatureExtractor | None = None,
        weights: str | Path | None = None,
        gallery: Gallery | None = None,
    ) -> Tracker:
        """Read what :meth:`save` wrote: a tracker that goes on.

        Args:
            path: The file.
            extractor: As for the constructor.
            weights: Likewise.
            gallery: Likewise.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no state of a tracker, or damaged.
        """
        arrays, config = state.read(path)
        tracker = cls(config, extractor=extractor, weights=weights, gallery=gallery)
        try:
            tracker.load_state_dict(arrays)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return tracker

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "extractor": self._extractor,
            "gallery": self.gallery,
            "state": self.state_dict(),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            kept["config"], extractor=kept["extractor"], gallery=kept["gallery"]
        )
        self.load_state_dict(kept["state"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracker:
        # An extractor describes; it remembers nothing that a copy would need of its own.
        twin = Tracker(
            self.config, extractor=self._extractor, gallery=copy.deepcopy(self.gallery, memo)
        )
        memo[id(self)] = twin
        twin.load_state_dict(self.state_dict())
        return twin

    @property
    def _context(self) -> Context:
        """What is kept of the video beside the tracks."""
        return self._table.context or Context()

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
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self._table]):
            scene = self._prepare(frame, dets, embeddings)
            _core.associate_steps([self._table], [scene.step])
            self._identify(scene)
            return self._commit(scene)

    def _prepare(
        self,
        frame: ArrayLike | None,
        dets: ArrayLike,
        embeddings: ArrayLike | None,
        extracted: ArrayLike | None = None,
        cameras: int = 1,
    ) -> Scene:
        """Check a frame, describe its boxes and predict where the tracks are in it.

        Args:
            frame: As for :meth:`step`.
            dets: Likewise.
            embeddings: Likewise.
            extracted: What the extractor says of the boxes, where it was asked already.
            cameras: How many trackers go on together.
        """
        detections, context = read_detections(dets), self._context
        size = context.size
        if frame is not None:
            frame = check_frame(frame, size)
            size = (int(frame.shape[0]), int(frame.shape[1]))
        self._expect_ids(len(detections.boxes), cameras)
        described, model = self._embed(frame, detections, embeddings, extracted)
        view, moved = self._camera_motion(frame, detections.boxes)
        device: DeviceTable | None = context.device
        if device is None and described is not None and is_cuda(described.values):
            device = DeviceTable(described.values)
        values, norms, norms_here = described or (None, None, None)
        step = self._table.prepare(
            detections.boxes,
            detections.scores,
            detections.classes,
            values,
            norms,
            norms_here,
            None if device is None else device.bind(self._table, len(detections.boxes), cameras),
            moved,
            1.0 if moved is None else zoom(moved),
        )
        width = None if described is None else int(described.values.shape[1])
        return Scene(detections, step, device, Context(size, view, device), model, width)

    def _expect_ids(self, detections: int, cameras: int) -> None:
        """Refuse a frame that could need more new ids than are left in the gallery.

        Only here: once the gallery assigns ids, nothing can be refused.
        """
        if self.gallery is None:
            return
        left = _core.LARGEST_ID + 1 - max(self._table.next_id, self.gallery.next_id)
        if detections * cameras > left:
            raise ValueError(
                f"dets: expected at most {left // cameras} rows, as {left} ids up to "
                f"{_core.LARGEST_ID} are left, got {detections}"
            )

    def _identify(self, scene: Scene) -> None:
        """Find the tracks that get an identity; without a gallery, they have it then."""
        self._table.reidentify(scene.step, self._gallery_for(scene) is not None)

    def _commit(self, scene: Scene) -> Tracks:
        """Take a frame in; nothing can be refused any more."""
        gallery = self._gallery_for(scene)
        if gallery is not None:
            if scene.width is not None:
                gallery.bind(scene.model, scene.width)
            self._name(scene, gallery)
        ids, at = self._table.commit(scene.step, scene.context)
        boxes, scores, classes = scene.detections
        evidence = Evidence(self.config, scene.step)
        return Tracks(ids, boxes[at], scores[at], classes[at], at, evidence)

    def _gallery_for(self, scene: Scene) -> Gallery | None:
        """The gallery, once there are features."""
        return self.gallery if self._table.feature_dim or scene.width else None

    def _name(self, scene: Scene, gallery: Gallery) -> None:
        """Give confirmations the identities that the gallery knows them by, or new ones.

        The gallery sees them, and the tracks that have just been lost.
        """
        table, step = self._table, scene.step
        for births in (False, True):
            rows = table.without_id(step, births)
            if not len(rows):
                continue
            features = (
                step.features[rows] if scene.device is None else scene.device.confirmations(rows)
            )
            known = gallery.identify(features, table.in_view(step).tolist())
            table.assign_ids(step, births, known, gallery.next_id)
            gallery.add(step.confirmed_ids[rows], features)
        lost, slots = table.just_lost(step)
        if len(lost):
            gallery.add(lost, self._read_features(slots))

    def _read_features(self, slots: npt.NDArray[np.int64]) -> Features:
        """The features of tracks in host memory: (n, D) float32, zeros where nothing is known."""
        return state.features_of(self._table, self._context, slots)

    def _embed(
        self,
        frame: ArrayLike | None,
        detections: Detections,
        embeddings: ArrayLike | None,
        extracted: ArrayLike | None,
    ) -> tuple[Embeddings | None, str]:
        """The features of the detections, and whose they are."""
        n, name, model = len(detections.boxes), "embeddings", ""
        if embeddings is None:
            if self.gallery is not None and frame is None and n > 0:
                raise ValueError("embeddings: expected them, or a frame, with a gallery, got none")
            if frame is None or n == 0:
                return None, model
            model = getattr(self.extractor, "fingerprint", "")
            # A copy: what an extractor does to its boxes must not reach the caller's.
            embeddings = (
                self.extractor(frame, detections.boxes.copy()) if extracted is None else extracted
            )
            name = f"features of {type(self.extractor).__name__}"
        dim, device = self._table.feature_dim, self._context.device
        like = (dim, "cpu" if device is None else str(device.device)) if dim else None
        checked = check_embeddings(embeddings, n, like, name)
        if n == 0:
            return None, model
        described = measure(checked, name)
        if self.gallery is not None:
            # Of every frame: another tracker may have filled it since the last.
            self.gallery.expect(model, checked.shape[1])
        return described, model

    def _camera_motion(
        self, frame: ArrayLike | None, boxes: Boxes
    ) -> tuple[GreyFrame | None, Affine | None]:
        """What to keep of a frame, and how the camera moved since the one before."""
        if frame is None or not self.config.camera_motion:
            return None, None
        view, before = preprocess(to_numpy(frame, "frame"), boxes), self._context.view
        return view, None if before is None else camera_motion(before, view)


def _settings(c: TrackerConfig) -> _core.TrackSettings:
    """A tracker's settings, as the native core takes them."""
    return _core.TrackSettings(
        by_both=_core.PairParams(
            tau=c.tau,
            min_affinity=c.min_affinity,
            appearance_weight=c.appearance_weight,
            motion_weight=c.motion_weight,
            shape_weight=c.shape_weight,
            max_cost=c.max_cost,
        ),
        by_motion=_core.PairParams(
            tau=1.0,
            min_affinity=0.0,
            appearance_weight=0.0,
            motion_weight=1.0,
            shape_weight=c.shape_weight,
            max_cost=c.motion_max_distance,
        ),
        by_appearance=_core.PairParams(
            tau=c.tau,
            min_affinity=c.lost_affinity,
            appearance_weight=1.0,
            motion_weight=0.0,
            shape_weight=0.0,
            max_cost=1.0,
        ),
        min_affinity=c.min_affinity,
        lost_affinity=c.lost_affinity,
        appearance_max_distance=c.appearance_max_distance,
        motion_max_distance=c.motion_max_distance,
        reid_max_speed=c.reid_max_speed,
        motion_fallback=c.motion_fallback,
        ema=c.ema,
        max_occlusion=c.max_occlusion,
        high_score=c.high_score,
        new_track_max_iou=c.new_track_max_iou,
        instant_confirm_score=c.instant_confirm_score,
        min_hits=c.min_hits,
        max_age=c.max_age,
        tentative_max_age=c.tentative_max_age,
        reid_max_age=c.reid_max_age,
        kalman=c.motion == "kalman",
        noise=_core.MotionNoise(
            value=VALUE_NOISE,
            velocity=VELOCITY_NOISE,
            measurement=MEASUREMENT_NOISE,
            by_score=c.score_noise,
        ),
        reupdate=c.reupdate,
    )
