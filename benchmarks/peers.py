"""Other trackers behind one interface, to compare with: `pip install ".[peers]"`.

What is compared is which detections get one identity, so the boxes of all results are those of the
detections, not a peer's smoothed ones, and no peer reports a box where it found no detection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]
Step: TypeAlias = Callable[[Array, Array | None, Array | None], tuple[Array, Array]]
"""Detections (N, 5) of the next frame, their features (N, D), the frame -> ids and the indices of
the detections that have them."""


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
        import supervision
        import trackers

        # The frame rate only scales the patience: 30 leaves it as it is.
        peer = getattr(trackers, tracker)(lost_track_buffer=patience, frame_rate=30)

        def step(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Array, Array]:
            # The order may change; the class, which these trackers do not read, goes with it.
            index = np.arange(len(dets))
            detections = supervision.Detections(dets[:, :4], confidence=dets[:, 4], class_id=index)
            tracks = peer.update(detections, frame)
            known = tracks.tracker_id >= 0
            return tracks.tracker_id[known], tracks.class_id[known]

        return step

    return make


def boxmot(tracker: str, patience_option: str) -> Callable[[int], Step]:
    def make(patience: int) -> Step:
        import torch
        from boxmot.structures import Boxes, Detections
        from boxmot.trackers.factory import create_tracker
        from boxmot.trackers.specs import TrackerSpec

        peer = create_tracker(TrackerSpec(tracker, options=((patience_option, patience),)))

        def step(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Array, Array]:
            rows = torch.from_numpy(dets)
            detections = Detections(
                Boxes(rows[:, :4].contiguous()),
                scores=rows[:, 4].contiguous(),
                class_ids=torch.zeros(len(dets), dtype=torch.int64),
                sample_id="frame",
                embeddings=torch.from_numpy(embeddings),
            )
            tracks = peer.update(detections, frame)
            return tracks.track_ids.numpy(), tracks.detection_indices.numpy()

        return step

    return make


def deep_sort(patience: int) -> Step:
    from deep_sort_realtime.deepsort_tracker import DeepSort

    peer = DeepSort(max_age=patience, embedder=None)

    def step(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Array, Array]:
        ltwh = np.hstack([dets[:, :2], dets[:, 2:4] - dets[:, :2]])
        detections = [(box, score, 0) for box, score in zip(ltwh, dets[:, 4], strict=True)]
        tracks = peer.update_tracks(detections, embeds=embeddings, others=range(len(dets)))
        found = [track for track in tracks if track.is_confirmed() and not track.time_since_update]
        ids = [int(track.track_id) for track in found]
        return np.array(ids, int), np.array([track.others for track in found], int)

    return step


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
        )
    ),
    Method("DeepSORT", deep_sort, 30, features="default", package="deep-sort-realtime"),
)
