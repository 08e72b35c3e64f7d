"""The online tracker: SSL-MOT, section 3."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import check_frame, read_detections, to_numpy
from sslmot.plausible import doubt
from sslmot.tracking import state
from sslmot.tracking.camera import camera_motion, preprocess, zoom
from sslmot.tracking.clock import LEAST_STEP, check_number, next_time, predicted_time
from sslmot.tracking.config import TrackerConfig, native_settings
from sslmot.tracking.explain import Evidence
from sslmot.tracking.features import NO_EMBEDDINGS, DeviceTable, embed
from sslmot.tracking.frame import Frame, History, associate
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.identities import assign_ids, expect_ids
from sslmot.tracking.tracks import LostTracks, Tracks
from sslmot.types import ArrayLike, FeatureExtractor

_PROOFS = 30  # frames whose detections are checked to be pixels and scores of 0 to 1


class Tracker:
    """Tracks the objects of one video, frame by frame.

    A detection that matches no track starts a tentative track, unless its score is low. A track is
    confirmed in its first frame where the score is high and no lost track resembles it, else after
    ``config.min_hits`` more matches. A confirmed track has an identity: a new one, or that of the
    lost track that it resembles. It is reported in each frame in which it has a detection. Without
    detections it is predicted for ``config.max_age`` seconds, and can be re-identified for
    ``config.reid_max_age``.

    Detections may come at any times: pass :meth:`step` a timestamp, or call :meth:`predict` in the
    frames in which nothing is looked for.

    Trackers share nothing but a gallery. The same input gives the same output.

    Args:
        config: Settings. The defaults go beyond the paper, ``TrackerConfig.paper()`` does not.
        frame_rate: Frames a second of the video, where steps have no timestamps.
        extractor: Computes the features of the boxes of a frame. None for an
            :class:`~sslmot.Encoder` with the weights of the package, loaded when a frame needs it.
        weights: File of another encoder, to be the extractor.
        gallery: Identities of other clips and cameras. Tracks that it knows get their old identity,
            and it learns those of this video. Each frame with detections then needs features.

    Raises:
        ValueError: An argument has another type, an extractor and weights are both given, or the
            file holds no encoder.
        FileNotFoundError: The file of weights is missing.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        frame_rate: float = 30.0,
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
        self.frame_rate = frame_rate
        self._extractor = extractor
        self.gallery = gallery
        config = config or TrackerConfig()
        self.config = config
        self.table = _core.TrackTable(native_settings(config))
        self._unproven = _PROOFS

    @property
    def extractor(self) -> FeatureExtractor:
        """Computes the features of the boxes of a frame."""
        if self._extractor is None:
            # Here: embeddings that are given, and motion alone, need no torch.
            from sslmot.appearance.encoder import Encoder

            self._extractor = Encoder.load()
        return self._extractor

    @extractor.setter
    def extractor(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor

    @property
    def has_extractor(self) -> bool:
        """Whether an extractor was given, or loaded."""
        return self._extractor is not None

    @property
    def frame_rate(self) -> float:
        """Frames a second, where steps have no timestamps."""
        return self._frame_rate

    @frame_rate.setter
    def frame_rate(self, frame_rate: float) -> None:
        self._frame_rate = check_number("frame_rate", frame_rate, 1e-6, 1e6)

    @property
    def history(self) -> History:
        """What is kept of the video beside the tracks."""
        return self.table.context or History()

    def step(
        self,
        frame: ArrayLike | None = None,
        dets: ArrayLike = (),
        *,
        timestamp: float | None = None,
        embeddings: ArrayLike | None = None,
    ) -> Tracks:
        """Track one more frame.

        Args:
            frame: (H, W, 3) uint8, BGR; the extractor computes features of its boxes. None for no
                appearance, unless there are embeddings.
            dets: (N, 4), (N, 5) or (N, 6) numbers: xyxy pixels[, score[, class]]. Classes are
                evidence, see ``config.class_agnostic``. At most 16,384, and in all 2**23 pairs of
                a track and a detection near each other.
            timestamp: Of the frame, seconds from any origin, above that of the step before. None
                for ``1 / frame_rate`` after the frame before, which may be one of :meth:`predict`.
                After a pause of more than ``config.max_age`` and a frame, all tracks are lost.
            embeddings: (N, D) features of the detections, in place of the extractor's. Length does
                not matter; a row of zeros matches nothing by appearance. On CUDA they stay there. D
                is at most 65,536.

        Returns:
            The confirmed tracks with a detection in this frame.

        Warns:
            UserWarning: The detections look as if they were no pixels, or no scores of 0 to 1. It
                comes once.

        Raises:
            ValueError: An argument is not as described, or not of the same size as in the frames
                before; nothing has changed then.
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            prepared = self.prepare(frame, dets, embeddings, timestamp=timestamp)
            associate([prepared])
            return self.commit(prepared)

    def predict(self, timestamp: float | None = None) -> Tracks:
        """Return where confirmed tracks are expected in a frame in which nothing is looked for.

        The tracks do not change: it is no miss.

        Args:
            timestamp: Seconds, not before the last step; nothing changes. None for the next frame:
                ``1 / frame_rate`` after the frame before. A step without timestamp continues there.

        Returns:
            The confirmed tracks whose last detection is at most ``config.max_age`` old. Their
            ``detection_index`` is -1, their ``scores`` are NaN.

        Raises:
            ValueError: The timestamp is not as described.
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            history = self.history
            clock, elapsed = predicted_time(history, self.frame_rate, timestamp)
            if clock != history.clock:
                self.table.set_context(history._replace(clock=clock))
            ids, boxes, classes = self.table.predict(elapsed)
        scores, rows = np.full(len(ids), np.nan, np.float32), np.full(len(ids), -1)
        return Tracks(ids, boxes, scores, classes, rows, None)

    def lost_tracks(self) -> LostTracks:
        """Return the confirmed tracks without a detection in the last step.

        They are predicted for ``config.max_age`` seconds after their last detection, and some are
        kept for ``config.reid_max_age`` to be re-identified. Nothing changes.

        Returns:
            Their boxes and ages in the last frame, which may be one of :meth:`predict`.

        Raises:
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            history = self.history
            elapsed = 0.0 if history.time is None else history.clock - history.time
            parts = self.table.tracks, self.table.lost
            predicted_ids, predicted_boxes, _ = self.table.predict(elapsed)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        since = columns["time_since_update"]
        lost = ((columns["ids"] > 0) & (since > 0)).nonzero()[0]
        lost = lost[np.argsort(since[lost], kind="stable")]
        ids, boxes = columns["ids"][lost], columns["boxes"][lost]
        expected = dict(zip(predicted_ids.tolist(), predicted_boxes, strict=True))
        for box, identity in zip(boxes, ids.tolist(), strict=True):
            box[:] = expected.get(identity, box)
        velocities = np.zeros((len(lost), 2), np.float32)
        if self.config.motion == "kalman":
            velocities[:] = columns["state"][lost, 4:6]
        return LostTracks(ids, boxes, columns["classes"][lost], since[lost] + elapsed, velocities)

    def prepare(
        self,
        frame: ArrayLike | None,
        dets: ArrayLike,
        embeddings: ArrayLike | None,
        *,
        timestamp: float | None = None,
        extracted: ArrayLike | None = None,
        cameras: int = 1,
    ) -> Frame:
        """Check a frame, compute features and predict the tracks: the first phase of a step.

        Nothing changes.

        Args:
            frame: As for :meth:`step`.
            dets: As for :meth:`step`.
            embeddings: As for :meth:`step`.
            timestamp: As for :meth:`step`.
            extracted: Features of the extractor, where it was called already.
            cameras: Number of frames that are associated in one call.

        Raises:
            ValueError: As for :meth:`step`.
        """
        detections, history = read_detections(dets), self.history
        time, elapsed = next_time(history, self.frame_rate, timestamp)
        size, device = history.size, history.device
        if frame is not None:
            frame = check_frame(frame, size)
            size = (int(frame.shape[0]), int(frame.shape[1]))
        if self._unproven and len(detections):
            self._notice(detections, size)
        if self.gallery is not None:
            if frame is None and embeddings is None and len(detections):
                raise ValueError("embeddings: expected them, or a frame, with a gallery, got none")
            expect_ids(self.table, self.gallery, len(detections), cameras)
        embedded = NO_EMBEDDINGS
        if frame is not None or embeddings is not None:
            like = None
            if self.table.feature_dim:
                like = self.table.feature_dim, "cpu" if device is None else str(device.device)
            extractor = self.extractor if embeddings is None else None
            embedded = embed(frame, detections, extractor, embeddings, extracted, like)
        width = on_device = None
        if embedded.values is not None:
            width = int(embedded.values.shape[1])
            if self.gallery is not None:
                # In each frame: another tracker can have filled the gallery.
                self.gallery.expect(embedded.model, width)
            if device is None and embedded.norms is not None:
                device = DeviceTable(embedded.values)
        if device is not None:
            on_device = device.bind(self.table, len(detections), cameras)
        grey = moved = None
        if frame is not None and self.config.camera_motion:
            grey = preprocess(to_numpy(frame, "frame"), detections.boxes)
            moved = None if history.grey is None else camera_motion(history.grey, grey)
        gallery = self.gallery if width or self.table.feature_dim else None
        step = self.table.prepare(
            detections,
            gallery is not None,
            embedded.values,
            embedded.name,
            embedded.norms,
            embedded.host_norms,
            on_device,
            moved,
            1.0 if moved is None else zoom(moved),
            elapsed,
            elapsed > self.config.max_age + 1 / self.frame_rate + LEAST_STEP,
        )
        history = History(size, grey, device, time, time)
        return Frame(self.table, step, device, history, gallery, embedded.model, width)

    def _notice(self, detections: _core.Detections, size: tuple[int, int] | None) -> None:
        """Warn once if the first detections look as if their numbers had another meaning."""
        self._unproven -= 1
        shape = None if size is None else size[::-1]
        reason = doubt(detections.boxes, detections.scores, shape)
        if reason is not None:
            self._unproven = 0
            warnings.warn(f"dets: {reason}", stacklevel=4)

    def commit(self, frame: Frame) -> Tracks:
        """Update the tracks by a frame that is associated: the last phase of a step.

        Args:
            frame: What :meth:`prepare` gave, after :func:`~sslmot.tracking.frame.associate`.

        Returns:
            As :meth:`step`.

        Raises:
            RuntimeError: The frame is not associated, or another frame came in between.
        """
        if frame.gallery is not None:
            with frame.gallery.lock:
                assign_ids(frame, frame.gallery)
        found = self.table.commit(frame.step, frame.history)
        return Tracks(*found, Evidence(self.config, frame.step))

    def reset(self) -> None:
        """Forget all tracks, for another video.

        Identities start again, at 1 or after the gallery's. The gallery gets the features of all
        confirmed tracks once more.

        Raises:
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            tracks = self.table.tracks
            confirmed = (tracks["ids"] > 0).nonzero()[0]
            if self.gallery is not None and self.table.feature_dim and len(confirmed):
                slots = tracks["slots"][confirmed]
                features = state.features_of(self.table, self.history, slots)
                self.gallery.add(tracks["ids"][confirmed], features)
            self.table.reset()

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is kept of the video, as named arrays: a copy.

        A tracker of the same settings, frame rate, extractor and gallery that loads it continues
        bit for bit.

        Raises:
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            return state.state_of(self.table, self.history)

    def load_state_dict(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Raises:
            ValueError: The arrays are not those of a tracker with these settings; nothing has
                changed then.
            RuntimeError: Another thread is in a step of this tracker.
        """
        with _core.Hold([self.table]):
            state.restore(self.table, arrays)

    def save(self, path: str | Path) -> None:
        """Write settings and state as a safetensors file, whole or not at all.

        The frame rate is among the settings. The extractor and the gallery are not in it.
        """
        state.write(path, self.state_dict(), self.config, self.frame_rate)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        extractor: FeatureExtractor | None = None,
        weights: str | Path | None = None,
        gallery: Gallery | None = None,
    ) -> Tracker:
        """Read what :meth:`save` wrote: a tracker that continues.

        Args:
            path: The file.
            extractor: As for the constructor.
            weights: As for the constructor.
            gallery: As for the constructor.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: It holds no state of a tracker, or is damaged.
        """
        arrays, config, frame_rate = state.read(path)
        tracker = cls(config, extractor=extractor, weights=weights, gallery=gallery)
        try:
            tracker.frame_rate = frame_rate
            tracker.load_state_dict(arrays)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return tracker

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "frame_rate": self.frame_rate,
            "extractor": self._extractor,
            "gallery": self.gallery,
            "state": self.state_dict(),
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            kept["config"],
            frame_rate=kept["frame_rate"],
            extractor=kept["extractor"],
            gallery=kept["gallery"],
        )
        self.load_state_dict(kept["state"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracker:
        # The copy shares the extractor, which keeps nothing of a video.
        twin = Tracker(
            self.config,
            frame_rate=self.frame_rate,
            extractor=self._extractor,
            gallery=copy.deepcopy(self.gallery, memo),
        )
        memo[id(self)] = twin
        twin.load_state_dict(self.state_dict())
        return twin
