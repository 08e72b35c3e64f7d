"""Other trackers behind one interface, to compare with: `pip install ".[peers]"`.

What is compared is which detections get one identity, so the boxes of all results are those of the
detections, not a peer's smoothed ones, and no peer reports a box where it found no detection. Where
a peer says boxes only, each belongs to a detection by the matching of the highest total IoU.

`PEERS` are scored by quality.py and timed by test_step.py, `IMPLEMENTATIONS` are timed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import assign
from sslmot.assignment import iou

Array: TypeAlias = npt.NDArray[np.generic]
Step: TypeAlias = Callable[[Array, Array | None, Array | None], tuple[Array, Array]]
"""Detections (N, 5) of the next frame, their features (N, D), the frame -> ids and the indices of
the detections that have them."""


@dataclass(frozen=True)
class Adapter:
    """A step in three parts, so that a peer's own time can be told from that of its types.

    Attributes:
        prepare: What a step is given -> the arguments of update.
        update: The peer's own work.
        read: What update returns, the detections -> what a step returns.
    """

    prepare: Callable[[Array, Array | None, Array | None], tuple[Any, ...]]
    update: Callable[..., Any]
    read: Callable[[Any, Array], tuple[Array, Array]]

    def __call__(
        self, dets: Array, embeddings: Array | None, frame: Array | None
    ) -> tuple[Array, Array]:
        return self.read(self.update(*self.prepare(dets, embeddings, frame)), dets)


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes:
        name: Of the row.
        make: A fresh tracker that keeps a lost track for so many frames.
        patience: What it is by default, in frames.
        features: Whose features of the detections it is given; None: by motion alone.
        frames: Whether it is given the frames, for the camera's motion.
        package: Where a peer comes from.
    """

    name: str
    make: Callable[[int], Step]
    patience: int
    features: str | None = None
    frames: bool = False
    package: str | None = None

    @property
    def title(self) -> str:
        """The name, of a peer with its package and version."""
        return (
            f"{self.name} ({self.package} {version(self.package)})" if self.package else self.name
        )

    def obstacle(self) -> str | None:
        """Why no tracker can be made, if so."""
        try:
            self.make(self.patience)
        except Exception as error:  # what a broken package raises on import is not ours to say
            return repr(error)
        return None


def roboflow(tracker: str) -> Callable[[int], Step]:
    def make(patience: int) -> Step:
        import trackers

        # The frame rate only scales the patience: 30 leaves it as it is.
        peer = getattr(trackers, tracker)(lost_track_buffer=patience, frame_rate=30)
        return through_supervision(peer.update, frames=True)

    return make


def supervision(patience: int) -> Step:
    from supervision import ByteTrack

    peer = ByteTrack(lost_track_buffer=patience, frame_rate=30)
    return through_supervision(peer.update_with_detections, frames=False)


def through_supervision(update: Callable[..., Any], *, frames: bool) -> Step:
    from supervision import Detections

    def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
        # The order may change; the class, which these trackers do not read, goes with it.
        index = np.arange(len(dets))
        detections = Detections(dets[:, :4], confidence=dets[:, 4], class_id=index)
        return (detections, frame) if frames else (detections,)

    def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
        known = tracks.tracker_id >= 0
        return tracks.tracker_id[known], tracks.class_id[known]

    return Adapter(prepare, update, read)


def boxmot(tracker: str, patience_option: str) -> Callable[[int], Step]:
    def make(patience: int) -> Step:
        import torch
        from boxmot.structures import Boxes, Detections
        from boxmot.trackers.factory import create_tracker
        from boxmot.trackers.specs import TrackerSpec

        peer = create_tracker(TrackerSpec(tracker, options=((patience_option, patience),)))
        nothing = np.zeros((16, 16, 3), np.uint8)

        def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
            if frame is None:  # some insist on one, to find the camera's motion
                peer.cmc, frame = None, nothing
            rows = torch.from_numpy(dets)
            detections = Detections(
                Boxes(rows[:, :4].contiguous()),
                scores=rows[:, 4].contiguous(),
                class_ids=torch.zeros(len(dets), dtype=torch.int64),
                sample_id="frame",
                embeddings=None if embeddings is None else torch.from_numpy(embeddings),
            )
            return detections, frame

        def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
            return tracks.track_ids.numpy(), tracks.detection_indices.numpy()

        return Adapter(prepare, peer.update, read)

    return make


def deep_sort(patience: int) -> Step:
    from deep_sort_realtime.deepsort_tracker import DeepSort

    peer = DeepSort(max_age=patience, embedder=None)

    def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
        ltwh = np.hstack([dets[:, :2], dets[:, 2:4] - dets[:, :2]])
        detections = [(box, score, 0) for box, score in zip(ltwh, dets[:, 4], strict=True)]
        return detections, embeddings, range(len(dets))

    def update(detections: Any, embeddings: Any, index: range) -> Any:
        return peer.update_tracks(detections, embeds=embeddings, others=index)

    def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
        found = [track for track in tracks if track.is_confirmed() and not track.time_since_update]
        ids = [int(track.track_id) for track in found]
        return np.array(ids, int), np.array([track.others for track in found], int)

    return Adapter(prepare, update, read)


def norfair(patience: int) -> Step:
    from norfair import Detection, Tracker

    # Distance and threshold of its own examples with boxes.
    peer = Tracker(distance_function="iou", distance_threshold=0.7, hit_counter_max=patience)

    def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
        return (
            [
                Detection(row[:4].reshape(2, 2), row[[4, 4]], data=(dets, i))
                for i, row in enumerate(dets)
            ],
        )

    def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
        # Of this frame are those whose last detection is.
        last = [(track.id, *track.last_detection.data) for track in tracks]
        found = [(id_, i) for id_, seen, i in last if seen is dets]
        ids, index = np.array(found, int).reshape(-1, 2).T
        return ids, index

    return Adapter(prepare, peer.update, read)


def pyxtrackers(tracker: str, patience_option: str, **settings: float) -> Callable[[int], Step]:
    def make(patience: int) -> Step:
        import pyxtrackers

        peer = getattr(pyxtrackers, tracker)(**{patience_option: patience}, **settings)

        def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
            return (dets.astype(np.float64),)

        def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
            rows, index = assign(1 - iou(tracks[:, :4], dets[:, :4]), 1.0)
            return tracks[rows, 4].astype(int), index

        return Adapter(prepare, peer.update, read)

    return make


def trackforge(
    tracker: str, patience_option: str, *, appearance: bool = False
) -> Callable[[int], Step]:
    def make(patience: int) -> Step:
        import trackforge

        peer = getattr(trackforge, tracker)(**{patience_option: patience})

        def prepare(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Any, ...]:
            ltwh = np.hstack([dets[:, :2], dets[:, 2:4] - dets[:, :2]]).tolist()
            detections = [(box, score, 0) for box, score in zip(ltwh, dets[:, 4], strict=True)]
            return (detections, embeddings.tolist()) if appearance else (detections,)

        def read(tracks: Any, dets: Array) -> tuple[Array, Array]:
            found = [(id_, index) for id_, _, _, _, index in tracks if index is not None]
            ids, index = np.array(found, int).reshape(-1, 2).T
            return ids, index

        return Adapter(prepare, peer.update, read)

    return make


PEERS = (
    Method("SORT", roboflow("SORTTracker"), 30, package="trackers"),
    Method("ByteTrack", roboflow("ByteTrackTracker"), 30, package="trackers"),
    Method("OC-SORT", roboflow("OCSORTTracker"), 30, package="trackers"),
    Method("C-BIoU", roboflow("CBIoUTracker"), 30, package="trackers"),
    Method("BoT-SORT", roboflow("BoTSORTTracker"), 30, frames=True, package="trackers"),
    *(
        Method(name, make, patience, features="default", frames=True, package="boxmot")
        for name, make, patience in (
            ("BoT-SORT-ReID", boxmot("botsort", "track_buffer"), 40),
            ("DeepOCSORT", boxmot("deepocsort", "max_age"), 30),
            ("StrongSORT", boxmot("strongsort", "max_age"), 30),
            ("HybridSORT", boxmot("hybridsort", "max_age"), 230),
            ("BoostTrack", boxmot("boosttrack", "max_age"), 60),
            ("OccluBoost", boxmot("occluboost", "max_age"), 146),
        )
    ),
    Method(
        "TrackTrack",
        trackforge("TRACKTRACK", "track_buffer", appearance=True),
        30,
        features="default",
        package="trackforge",
    ),
    Method("DeepSORT", deep_sort, 30, features="default", package="deep-sort-realtime"),
)

IMPLEMENTATIONS = (
    Method("ByteTrack", supervision, 30, package="supervision"),
    Method("norfair", norfair, 15, package="norfair"),
    Method("ByteTrack", boxmot("bytetrack", "track_buffer"), 30, package="boxmot"),
    Method("OC-SORT", boxmot("ocsort", "max_age"), 30, package="boxmot"),
    Method("SFSORT", boxmot("sfsort", "central_timeout"), 0, package="boxmot"),
    Method("SORT", pyxtrackers("Sort", "max_age"), 1, package="pyxtrackers"),
    Method("ByteTrack", pyxtrackers("BYTETracker", "track_buffer"), 30, package="pyxtrackers"),
    # Its threshold has no default; this is the one of its manual.
    Method("OC-SORT", pyxtrackers("OCSort", "max_age", det_thresh=0.3), 30, package="pyxtrackers"),
    Method("SORT", trackforge("SORT", "max_age"), 1, package="trackforge"),
    Method("ByteTrack", trackforge("BYTETRACK", "track_buffer"), 30, package="trackforge"),
    Method("OC-SORT", trackforge("OCSORT", "max_age"), 30, package="trackforge"),
    *(
        Method(
            name,
            trackforge(tracker, option, appearance=True),
            patience,
            features="default",
            package="trackforge",
        )
        for name, tracker, option, patience in (
            ("DeepSORT", "DEEPSORT", "max_age", 70),
            ("BoT-SORT", "BOTSORT", "track_buffer", 30),
            ("DeepOC-SORT", "DEEPOCSORT", "max_age", 30),
        )
    ),
)
