"""Several cameras, tracked in step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from sslmot import _core
from sslmot.inputs import check_frame, of_video, read_detections
from sslmot.tracking.frame import Scene
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, FramesExtractor


class TrackerGroup:
    """Tracks several videos, a frame of each at a time.

    Each is tracked by its own tracker, as if it were alone; what they save is passes: the boxes of
    all frames go through an :class:`~sslmot.Encoder` together (or another extractor that takes
    several frames, see :class:`~sslmot.types.FramesExtractor`), and features on CUDA are compared
    by one call, with one wait. Identities of different trackers have nothing to do with each other,
    unless the trackers share a :class:`~sslmot.Gallery`.

    Args:
        trackers: One a video. Those that would each make the default encoder share one.

    Attributes:
        trackers: As given.

    Raises:
        ValueError: There is none, one is no tracker, or one comes twice.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)
        if not self.trackers or not all(isinstance(t, Tracker) for t in self.trackers):
            raise ValueError(f"trackers: expected at least one Tracker, got {trackers!r}")
        if len({id(t) for t in self.trackers}) < len(self.trackers):
            raise ValueError("trackers: expected each once, got one twice")

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.trackers)

    def reset(self) -> None:
        """Forget everything, for other videos; see :meth:`Tracker.reset`."""
        for tracker in self.trackers:
            tracker.reset()

    def step(
        self,
        frames: Sequence[ArrayLike | None] | None,
        dets: Sequence[ArrayLike],
        *,
        embeddings: Sequence[ArrayLike | None] | None = None,
    ) -> list[Tracks]:
        """Track one more frame of each video.

        Args:
            frames: Of each video what :meth:`Tracker.step` takes, or None for no frames at all.
            dets: Likewise its detections.
            embeddings: Likewise their features, or None for those of the extractors.

        Returns:
            Of each video its tracks.

        Raises:
            ValueError: The number of frames, detections or embeddings is not that of the videos,
                one is not as :meth:`Tracker.step` expects it, or trackers that share a gallery have
                features of different encoders or widths; the video is named, and nothing has
                changed in any.
        """
        n = len(self)
        frames = [None] * n if frames is None else frames
        embeddings = [None] * n if embeddings is None else embeddings
        for name, values in (("frames", frames), ("dets", dets), ("embeddings", embeddings)):
            if len(values) != n:
                raise ValueError(f"{name}: expected those of {n} videos, got {len(values)}")
        with _core.Hold([t._table for t in self.trackers]):
            extracted = self._extract(frames, dets, embeddings)
            scenes = []
            for i, tracker in enumerate(self.trackers):
                with of_video(i):
                    scenes.append(
                        tracker._prepare(frames[i], dets[i], embeddings[i], extracted[i], n)
                    )
            self._associate(scenes)
            for i, (tracker, scene) in enumerate(zip(self.trackers, scenes, strict=True)):
                with of_video(i):
                    tracker._identify(scene)
            galleries = {t.gallery for t in self.trackers if t.gallery is not None}
            with ExitStack() as held:
                for gallery in sorted(galleries, key=id):  # in one order: groups wait in no circle
                    held.enter_context(gallery.lock)
                self._check_galleries(scenes)
                # Nothing can be refused from here on.
                return [t._commit(scene) for t, scene in zip(self.trackers, scenes, strict=True)]

    def _associate(self, scenes: Sequence[Scene]) -> None:
        """Match each video; those with features on one CUDA device by one native call."""
        on: dict[Any, list[int]] = {}
        for i, (tracker, scene) in enumerate(zip(self.trackers, scenes, strict=True)):
            if scene.device is not None:
                on.setdefault(scene.device.device, []).append(i)
                continue
            with of_video(i):
                _core.associate_steps([tracker._table], [scene.step])
        for these in on.values():
            _core.associate_steps(
                [self.trackers[i]._table for i in these], [scenes[i].step for i in these]
            )

    def _extract(
        self,
        frames: Sequence[ArrayLike | None],
        dets: Sequence[ArrayLike],
        embeddings: Sequence[ArrayLike | None],
    ) -> list[Any]:
        """Features of the boxes of each frame, where an extractor takes several frames at once."""
        found: list[Any] = [None] * len(self)
        asked: dict[int, list[int]] = {}
        boxes: dict[int, Boxes] = {}
        for i, tracker in enumerate(self.trackers):
            with of_video(i):
                boxes[i] = read_detections(dets[i]).boxes
                if frames[i] is None or embeddings[i] is not None or not len(boxes[i]):
                    continue
                check_frame(frames[i], tracker._context.size)
            if tracker._extractor is None:
                tracker._extractor = self._default_extractor
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

    def _check_galleries(self, scenes: Sequence[Scene]) -> None:
        """Check that all features fit their galleries, before one tracker adds to its own."""
        first: dict[int, tuple[int, str, int]] = {}
        for i, (tracker, scene) in enumerate(zip(self.trackers, scenes, strict=True)):
            if tracker.gallery is None or scene.width is None:
                continue
            kind = scene.model, scene.width
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
