"""Several cameras, one frame of each at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from sslmot import _core
from sslmot.inputs import check_frame, of_video, read_detections
from sslmot.tracking.clock import predicted_time
from sslmot.tracking.frame import Frame, associate
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, FramesExtractor


class TrackerGroup:
    """Tracks several videos, one frame of each at a time.

    Each video has its own tracker, and the result is that of the tracker alone. The boxes of all
    frames go through an :class:`~sslmot.Encoder` in one batch (or through another extractor that
    takes several frames, see :class:`~sslmot.types.FramesExtractor`), and features on CUDA are
    compared in one call in the first round. Identities of two trackers are unrelated, unless the
    trackers share a :class:`~sslmot.Gallery`.

    Args:
        trackers: One for each video. Trackers without an extractor share one default encoder.

    Attributes:
        trackers: As given.

    Raises:
        ValueError: The list is empty, holds something else, or holds a tracker twice.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)
        if not self.trackers or not all(isinstance(t, Tracker) for t in self.trackers):
            raise ValueError(f"trackers: expected at least one Tracker, got {trackers!r}")
        if len({id(t) for t in self.trackers}) < len(self.trackers):
            raise ValueError("trackers: expected each once, got one twice")

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.trackers)

    def reset(self) -> None:
        """Forget all tracks, for other videos; see :meth:`Tracker.reset`."""
        for tracker in self.trackers:
            tracker.reset()

    def step(
        self,
        frames: Sequence[ArrayLike | None] | None,
        dets: Sequence[ArrayLike],
        *,
        timestamps: Sequence[float | None] | None = None,
        embeddings: Sequence[ArrayLike | None] | None = None,
    ) -> list[Tracks]:
        """Track one more frame of each video.

        Args:
            frames: The frame of each video, as :meth:`Tracker.step` takes it; None for no frames.
            dets: The detections of each video.
            timestamps: The timestamp of each frame, as :meth:`Tracker.step` takes it; None for no
                timestamps.
            embeddings: The features of each video's detections; None for those of the extractors.

        Returns:
            The tracks of each video.

        Raises:
            ValueError: The number of frames, detections, timestamps or embeddings is not that of
                the videos, an argument is not as :meth:`Tracker.step` expects it, or trackers that
                share a gallery have features of different encoders or widths. The video is named;
                nothing has changed in any.
        """
        n = len(self)
        frames = [None] * n if frames is None else frames
        timestamps = [None] * n if timestamps is None else timestamps
        embeddings = [None] * n if embeddings is None else embeddings
        for name, values in (
            ("frames", frames),
            ("dets", dets),
            ("timestamps", timestamps),
            ("embeddings", embeddings),
        ):
            if len(values) != n:
                raise ValueError(f"{name}: expected those of {n} videos, got {len(values)}")
        with _core.Hold([tracker.table for tracker in self.trackers]):
            extracted = self._extract(frames, dets, embeddings)
            prepared = []
            for i, tracker in enumerate(self.trackers):
                with of_video(i):
                    prepared.append(
                        tracker.prepare(
                            frames[i],
                            dets[i],
                            embeddings[i],
                            timestamp=timestamps[i],
                            extracted=extracted[i],
                            cameras=n,
                        )
                    )
            associate(prepared)
            galleries = {t.gallery for t in self.trackers if t.gallery is not None}
            with ExitStack() as held:
                for gallery in sorted(galleries, key=id):  # one order: two groups cannot deadlock
                    held.enter_context(gallery.lock)
                self._check_galleries(prepared)
                return [t.commit(frame) for t, frame in zip(self.trackers, prepared, strict=True)]

    def predict(self, timestamps: Sequence[float | None] | None = None) -> list[Tracks]:
        """Return where tracks are expected in a frame of each video; see :meth:`Tracker.predict`.

        Args:
            timestamps: One for each video, as :meth:`Tracker.predict` takes it; None for the next
                frames.

        Returns:
            The tracks of each video.

        Raises:
            ValueError: The number of timestamps is not that of the videos, or one is not as
                :meth:`Tracker.predict` expects it. The video is named; nothing has changed in any.
            RuntimeError: Another thread is in a step of one of the trackers.
        """
        n = len(self)
        timestamps = [None] * n if timestamps is None else timestamps
        if len(timestamps) != n:
            raise ValueError(f"timestamps: expected those of {n} videos, got {len(timestamps)}")
        pairs = list(zip(self.trackers, timestamps, strict=True))
        with _core.Hold([tracker.table for tracker in self.trackers]):
            for i, (tracker, timestamp) in enumerate(pairs):
                with of_video(i):
                    predicted_time(tracker.history, tracker.frame_rate, timestamp)
            return [tracker.predict(timestamp) for tracker, timestamp in pairs]

    def _extract(
        self,
        frames: Sequence[ArrayLike | None],
        dets: Sequence[ArrayLike],
        embeddings: Sequence[ArrayLike | None],
    ) -> list[Any]:
        """Compute the features of all frames whose extractor takes several frames at once."""
        found: list[Any] = [None] * len(self)
        asked: dict[int, list[int]] = {}
        boxes: dict[int, Boxes] = {}
        for i, tracker in enumerate(self.trackers):
            with of_video(i):
                detections = read_detections(dets[i])
                if frames[i] is None or embeddings[i] is not None or not len(detections):
                    continue
                boxes[i] = detections.boxes
                check_frame(frames[i], tracker.history.size)
            if not tracker.has_extractor:
                tracker.extractor = self._default_extractor
            if isinstance(tracker.extractor, FramesExtractor):
                asked.setdefault(id(tracker.extractor), []).append(i)
        for videos in asked.values():
            extractor: Any = self.trackers[videos[0]].extractor
            features = extractor.embed_frames(
                [frames[i] for i in videos], [boxes[i] for i in videos]
            )
            if len(features) != len(videos):
                raise ValueError(
                    f"features of {type(extractor).__name__}: expected those of {len(videos)} "
                    f"frames, got {len(features)}"
                )
            for i, rows in zip(videos, features, strict=True):
                found[i] = rows
        return found

    def _check_galleries(self, frames: Sequence[Frame]) -> None:
        """Check that all features fit their galleries, before a tracker adds to its own."""
        first: dict[int, tuple[int, str, int]] = {}
        for i, (tracker, frame) in enumerate(zip(self.trackers, frames, strict=True)):
            if tracker.gallery is None or frame.width is None:
                continue
            kind = frame.model, frame.width
            with of_video(i):
                tracker.gallery.expect(*kind)
            video, *other = first.setdefault(id(tracker.gallery), (i, *kind))
            if kind != tuple(other):
                raise ValueError(
                    f"video {i}: expected features of the encoder {other[0]!r} and width "
                    f"{other[1]}, as video {video} has, which shares its gallery, got {kind}"
                )

    @cached_property
    def _default_extractor(self) -> FeatureExtractor:
        from sslmot.appearance.encoder import Encoder

        return Encoder.load()
