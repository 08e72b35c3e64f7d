"""Scenes of real clips: each with every frame, every third and every tenth frame.

    motion      detections only
    made        also made features: of the annotated person nearest to the box, with noise
    histogram   also frames, with colour histograms and camera motion, if the clip has frames

SportsMOT has annotations only. Its detections are made from them, with misses, jitter and false
positives. This module reads the files itself, since the readers of sslmot may change.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sslmot import ColorHistogram, Tracker, TrackerConfig

from .draws import bell, integers, order, uniform
from .recording import Scenes

EVERY = (1, 3, 10)
DIM = 64

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A folder in the MOTChallenge layout."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def __len__(self) -> int:
        parser = configparser.ConfigParser()
        parser.read(self.folder / "seqinfo.ini")
        return int(parser["Sequence"]["seqLength"])

    @property
    def has_frames(self) -> bool:
        return (self.folder / "img1").is_dir()

    def frame(self, t: int) -> npt.NDArray[np.uint8]:
        """Read a frame, (H, W, 3) uint8, BGR, from t = 0."""
        path = self.folder / "img1" / f"{t + 1:06d}.jpg"
        frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert frame is not None, f"{path}: expected an image"
        return np.asarray(frame, np.uint8)

    def detections(self) -> Iterator[tuple[Floats, npt.NDArray[np.int64]]]:
        """Yield (N, 5) float32 x1, y1, x2, y2, score, and the (N,) person or -1 of each frame."""
        truth = self._rows("gt")
        truth = truth[(truth[:, 6] != 0) & (truth[:, 7] == 1)]
        detected = self._rows("det") if (self.folder / "det").is_dir() else None
        for t in range(len(self)):
            people = truth[truth[:, 0] == t + 1]
            if detected is None:
                yield self._detect(t, people)
            else:
                here = detected[detected[:, 0] == t + 1]
                dets = np.column_stack((_corners(here), here[:, 6])).astype(np.float32)
                yield dets, _nearest(dets[:, :4], people)

    def _rows(self, kind: str) -> npt.NDArray[np.float64]:
        return np.loadtxt(self.folder / kind / f"{kind}.txt", delimiter=",", ndmin=2)

    def _detect(
        self, t: int, people: npt.NDArray[np.float64]
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Make detections from annotations, with misses of single frames and of longer times."""
        ids = people[:, 1].astype(np.int64)
        missed = [uniform(f"{self.name}/{i}/gone/{t // 20}", 1)[0] < 0.06 for i in ids.tolist()]
        seen = ~np.array(missed, bool) & (uniform(f"{self.name}/{t}/misses", len(ids)) >= 0.06)
        boxes, ids = _corners(people)[seen], ids[seen]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + np.rint(sides * bell(f"{self.name}/{t}/jitter", len(ids), 4)) / 32
        n = int(uniform(f"{self.name}/{t}/ghosts", 1)[0] < 0.3)
        corner = integers(f"{self.name}/{t}/where", n, 2) % (1000, 500)
        boxes = np.concatenate((boxes, np.column_stack((corner, corner + np.array((40, 100))))))
        ids = np.concatenate((ids, np.full(n, -1)))
        scores = (integers(f"{self.name}/{t}/scores", len(ids)) % 96 + 32) / 128
        rows = order(f"{self.name}/{t // 8}/order", len(ids))  # the same for 8 frames
        return np.column_stack((boxes, scores)).astype(np.float32)[rows], ids[rows]

    def features(self, t: int, ids: npt.NDArray[np.int64]) -> Floats:
        """Make features (N, DIM) of the people in the detections. They are integers."""
        blur = 10 + 35 * uniform(f"{self.name}/{t}/blur", len(ids), 1)
        noise = bell(f"{self.name}/{t}/noise", len(ids), DIM)
        faces = [_face(self.name, i) for i in ids.tolist()]
        known = (ids >= 0)[:, None]
        features = np.where(known, np.reshape(faces, (-1, DIM)) + blur * noise, 58 * noise)
        return np.rint(features).astype(np.float32)


@cache
def _face(clip: str, person: int) -> npt.NDArray[np.int64]:
    return integers(f"{clip}/{person}", DIM) % 201 - 100


def _corners(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert 1-based left, top, width, height to 0-based x1, y1, x2, y2."""
    corner = rows[:, 2:4] - 1
    return np.concatenate((corner, corner + rows[:, 4:6]), axis=1)


def _nearest(boxes: Floats, people: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the annotated person with the largest IoU of at least 0.5 for each box, or -1."""
    if not len(people):
        return np.full(len(boxes), -1)
    one, other = boxes[:, None].astype(np.float64), _corners(people)
    sides = np.minimum(one[..., 2:], other[:, 2:]) - np.maximum(one[..., :2], other[:, :2])
    shared = sides.clip(0).prod(axis=2)
    areas = [(b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (one, other)]
    overlap = shared / (areas[0] + areas[1] - shared)
    best = overlap.argmax(axis=1)
    far = overlap[np.arange(len(boxes)), best] < 0.5
    return np.where(far, -1, people[best, 1].astype(np.int64))


class CachedHistogram(ColorHistogram):
    """Colour histograms, cached for a frame, since several trackers need them."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[object, Floats] | None = None

    def __call__(self, frame, boxes):  # type: ignore[no-untyped-def]
        if self._seen is None or self._seen[0] is not frame:
            self._seen = frame, super().__call__(frame, boxes)
        return self._seen[1]


def tracked(folder: Path) -> Scenes:
    """Run all scenes of a clip in one pass, so that frames are read once."""
    clip, histogram = Clip(folder), CachedHistogram()
    motion = {every: Tracker(TrackerConfig()) for every in EVERY}
    made = {every: Tracker(TrackerConfig()) for every in EVERY}
    seen = {every: Tracker(extractor=histogram) for every in EVERY}
    for t, (dets, ids) in enumerate(clip.detections()):
        features = clip.features(t, ids)
        yield "detections", dets
        yield "looks", features
        frame = None
        if clip.has_frames:
            frame = clip.frame(t)
            yield "pixels", frame[::8]
        for every in EVERY:
            if t % every:
                continue
            yield f"motion, every {every}", motion[every].step(None, dets)
            yield f"made, every {every}", made[every].step(None, dets, embeddings=features)
            if frame is not None:
                yield f"histogram, every {every}", seen[every].step(frame, dets)


CLIPS = (
    *(f"MOT17/train/MOT17-{number}-FRCNN" for number in ("02", "05", "09", "10", "11")),
    "clips/TUD-Stadtmitte",
    "clips/PRW-c6s1-a",
    "SportsMOT/v_-6Os86HzwCs_c001",
    "SportsMOT/v_1LwtoLPw2TU_c012",
    "SportsMOT/v_1yHWGw8DH4A_c077",
    "SportsMOT/v_2j7kLB-vEEk_c002",
    "SportsMOT/v_4LXTUim5anY_c002",
    "SportsMOT/v_ApPxnw_Jffg_c001",
    "SportsMOT/v_CW0mQbgYIF4_c004",
    "SportsMOT/v_HdiyOtliFiw_c003",
    "SportsMOT/v_dChHNGIfm4Y_c003",
)
"""Folders in the data's root. The last part is the name of the source."""


def clips(data: Path) -> dict[str, partial[Scenes]]:
    """Return the sources of the clips that exist."""
    folders = [data / clip for clip in CLIPS]
    return {f.name: partial(tracked, f) for f in folders if (f / "seqinfo.ini").is_file()}
