"""The README's tables of identity: tracks with each method, scores by TrackEval, prints the tables.

    python benchmarks/quality.py ../shared/data runs/quality [ROW ...] [--weights NAME=FILE ...]

All methods get the same detections: MOT17's public ones, or those of a YOLOX model. Those that use
appearance get features by our default encoder, and `sslmot-NAME` those of an encoder named on the
command line. A peer has a row at its defaults, and one at the best patience, by IDF1, of its
default and `PATIENCES`. Patience is said in frames of the sequence; where frames are left out, so
is their share of everyone's patience.

Everything lies in the second folder: the sequences cut to each setting, features, results, and the
tables in quality.md. A peer's results that are there already are not made again; ours are.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from peers import PEERS, Array, Method, Step

import sslmot
from sslmot import ColorHistogram, Tracker, TrackerConfig, assign
from sslmot.appearance.encoder import Encoder
from sslmot.assignment import iou
from sslmot.data.mot import PEDESTRIAN, Sequence, sequences, write_results, write_sequence
from sslmot.evaluation.tracks import Scores, evaluate
from sslmot.tuning.footage import embed_sequence

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from detect import Yolox

PATIENCES = (30, 90, 150)

ABLATIONS: dict[str, dict[str, object]] = {
    "no memory": {"reid_max_age": 0},
    "the lost as everyone": {"lost_affinity": TrackerConfig().min_affinity},
    "all births wait": {"instant_confirm_score": float("inf")},
    "no birth waits": {"min_hits": 0},
    "faint as everyone": {"high_score": -float("inf")},
    "births anywhere": {"new_track_max_iou": 1.0},
    "hidden looks too": {"max_occlusion": 1.0},
    "patience of 30": {"max_age": 30},
    "no Kalman filter": {"motion": "none"},
    "one noise for all": {"score_noise": 0.0},
    "re-update after a gap": {"reupdate": True},
    "no change of size": {"shape_weight": 0.0},
}
"""What is changed in the default settings, one thing a row."""

PERFECT = "perfect-association"
DISTRACTORS = (2, 7, 8, 12)
"""Classes of MOT17 whose detections the official preprocessing takes out."""


@dataclass(frozen=True)
class Setting:
    """Which frames of which sequences of MOT17 a table is about."""

    name: str
    title: str
    sequences: tuple[str, ...] = ("09",)
    first: int = 1
    every: int = 1
    appearance: bool = True
    detector: str | None = None  # of the models; None: the public detections


SETTINGS = (
    Setting("whole", "MOT17-09"),
    Setting("half", "MOT17-09, its second half (frames 263-525)", first=263),
    Setting("third", "MOT17-09, every third frame", every=3),
    Setting("tenth", "MOT17-09, every tenth frame", every=10),
    Setting(
        "yolox",
        "MOT17-09, people found by YOLOX-nano, scores from .1",
        detector="yolox_nano_416.onnx",
    ),
    Setting(
        "yolox-third",
        "MOT17-09, people found by YOLOX-nano, every third frame",
        every=3,
        detector="yolox_nano_416.onnx",
    ),
    Setting(
        "motion",
        "MOT17-02, 05, 10 and 11 together, motion alone",
        ("02", "05", "10", "11"),
        appearance=False,
    ),
)


@dataclass(frozen=True)
class Clip:
    """Some frames of a sequence, and the sequence of their own that they make."""

    source: Sequence
    frames: range
    sequence: Sequence

    @classmethod
    def cut(cls, source: Sequence, setting: Setting, root: Path) -> Clip:
        """Write the frames' detections and ground truth, renumbered from 1."""
        frames = range(setting.first, source.length + 1, setting.every)
        detections, truth = source.detections(), source.ground_truth()
        kept = np.isin(truth.frames, frames)
        thinned = {name: column[kept] for name, column in vars(truth).items()}
        thinned["frames"] = (thinned["frames"] - setting.first) // setting.every + 1
        sequence = write_sequence(
            root,
            source.name,
            source.frame_rate / setting.every,
            (source.width, source.height),
            {new: detections[t] for new, t in enumerate(frames, 1)},
            replace(truth, **thinned),
        )
        return cls(source, frames, sequence)


def read(data: Path, runs: Path, name: str, detector: str | None) -> Sequence:
    """A sequence of MOT17, with its public detections or with those of a model."""
    [public] = sequences(data / "MOT17/train", name, "FRCNN")
    if detector is None:
        return public
    root = runs / "detected" / detector
    if not (root / public.name / "seqinfo.ini").exists():
        detect = Yolox(data / "weights" / detector)
        found = {t: detect(public.frame(t)) for t in range(1, public.length + 1)}
        size = public.width, public.height
        write_sequence(root, public.name, public.frame_rate, size, found, public.ground_truth())
        (root / public.name / "img1").symlink_to((public.path / public.image_dir).resolve())
    return Sequence.open(root / public.name)


class Features:
    """The features of a sequence's detections by an encoder, or by colour histograms.

    They are made when they are asked for, and kept as those of the encoder's file, or of the source
    of the histograms.
    """

    def __init__(self, sequence: Sequence, weights: Path | None, runs: Path) -> None:
        self.sequence, self.weights = sequence, weights
        described_by = weights or Path(inspect.getfile(ColorHistogram))
        self.key = hashlib.sha256(described_by.read_bytes()).hexdigest()[:12]
        self.cache = runs / "features" / sequence.path.parent.name / f"{self.key}.npz"

    @cached_property
    def config(self) -> TrackerConfig:
        """The default settings with the affinities that fit these features."""
        describer = Encoder.load(self.weights) if self.weights else ColorHistogram()
        return Tracker(extractor=describer).config

    @cached_property
    def by_frame(self) -> list[Array]:
        """Of each frame, from the first, (N, D) float32, of unit length as some peers expect."""
        if not self.cache.exists():
            extractor = Encoder.load(self.weights) if self.weights else ColorHistogram()
            footage = embed_sequence(self.sequence, extractor, progress=True)
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self.cache, *footage.embeddings)
        with np.load(self.cache) as file:
            rows = [file[f"arr_{t}"] for t in range(self.sequence.length)]
        return [z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12) for z in rows]


def ours(name: str, features: str | None, config: TrackerConfig) -> Method:
    """A tracker of this project as one of the methods."""

    def make(patience: int) -> Step:
        share = patience / config.max_age  # of the frames, where some are left out
        tracker = Tracker(
            replace(
                config,
                max_age=patience,
                tentative_max_age=min(config.tentative_max_age, patience),
                reid_max_age=round(config.reid_max_age * share),
                reid_max_speed=config.reid_max_speed / share,
            )
        )

        def step(dets: Array, embeddings: Array | None, frame: Array | None) -> tuple[Array, Array]:
            tracks = tracker.step(None, dets, embeddings=embeddings)
            return tracks.ids, tracks.detection_index

        return step

    return Method(name, make, config.max_age, features)


def track(
    method: Method, patience: int, clip: Clip, features: list[Array] | None, output: Path
) -> None:
    """Write a method's results on a clip, and the time within its steps."""
    step, seconds, results = method.make(patience), 0.0, []
    detections = clip.sequence.detections()
    for new, t in enumerate(clip.frames, 1):
        frame = clip.source.frame(t) if method.frames else None
        embeddings = features[t - 1] if features else None
        begin = time.perf_counter()
        ids, index = step(detections[new], embeddings, frame)
        seconds += time.perf_counter() - begin
        rows = detections[new][index]
        results.append((new, ids, rows[:, :4], rows[:, 4]))
    write_results(output / f"{clip.sequence.name}.txt", results)
    record = {"frames": len(clip.frames), "seconds": seconds}
    (output / f"{clip.sequence.name}.json").write_text(json.dumps(record))


def associate_perfectly(clip: Clip, output: Path) -> None:
    """Give each detection the identity of the person whom it shows, by the official rules."""
    truth, results = clip.sequence.ground_truth(), []
    people = truth.considered & (truth.classes == PEDESTRIAN)

    def matched(boxes: Array, annotated: Array) -> tuple[Array, Array]:
        detected, rows = assign(1 - iou(boxes, truth.boxes[annotated]), np.nextafter(0.5, 1))
        return detected, np.flatnonzero(annotated)[rows]

    for t, dets in clip.sequence.detections().items():
        here = truth.frames == t
        detected, rows = matched(dets[:, :4], here)
        dets = np.delete(dets, detected[np.isin(truth.classes[rows], DISTRACTORS)], axis=0)
        detected, rows = matched(dets[:, :4], here & people)
        results.append((t, truth.ids[rows], dets[detected, :4], dets[detected, 4]))
    write_results(output / f"{clip.sequence.name}.txt", results)


class Comparison:
    """Scores of methods in one setting."""

    def __init__(
        self, setting: Setting, data: Path, runs: Path, features: dict[str, Features]
    ) -> None:
        self.setting, self.features = setting, features
        self.root, self.results = runs / setting.name / "sequences", runs / setting.name / "results"
        selected = (read(data, runs, name, setting.detector) for name in setting.sequences)
        self.clips = [Clip.cut(sequence, setting, self.root) for sequence in selected]

    def rows(self, methods: list[Method]) -> Iterator[str]:
        """Of each method that the setting suits one row, of a peer two."""
        for method in methods:
            if not self.setting.appearance and (method.features or method.frames):
                continue
            yield row(method.title, method.patience, self.score(method, method.patience))
            if method.package:
                scores = {p: self.score(method, p) for p in sorted({method.patience, *PATIENCES})}
                best = max(scores, key=lambda p: scores[p].idf1)
                yield row("… at its best patience", best, scores[best])

    def score(self, method: Method, patience: int) -> Scores:
        """Track, unless the results of a peer are there already, and score."""
        features = self.features[method.features] if method.features else None
        output = self.results / f"{method.title}-{patience}-{features.key if features else 'none'}"
        for clip in self.clips:
            if not (method.package and (output / f"{clip.sequence.name}.json").exists()):
                thinned = max(1, round(patience / self.setting.every))
                track(method, thinned, clip, features.by_frame if features else None, output)
        return self.total(output)

    def bound(self) -> str:
        """The row of the perfect association."""
        output = self.results / PERFECT
        for clip in self.clips:
            associate_perfectly(clip, output)
        return row(PERFECT, None, self.total(output))

    def total(self, results: Path) -> Scores:
        # Where there are several sequences, the last row is all of them together.
        return list(evaluate(self.root, results).values())[-1]


HEAD = """
| | patience | HOTA | AssA | MOTA | IDF1 | IDsw | FP | FN | Hz |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def row(title: str, patience: int | None, s: Scores) -> str:
    percent = [f"{value:.1f}" for value in (s.hota, s.assa, s.mota, s.idf1)]
    hz = "-" if s.hz is None else f"{s.hz:.0f}"
    cells = [title, "-" if patience is None else patience, *percent, s.idsw, s.fp, s.fn, hz]
    return "| " + " | ".join(map(str, cells)) + " |"


def tables(data: Path, runs: Path, weights: dict[str, Path], rows: list[str]) -> Iterator[str]:
    """Lines of Markdown, each as soon as it is known."""
    [shipped] = (Path(sslmot.__file__).parent / "weights").glob("*.safetensors")
    features = {
        detector: {
            name: Features(read(data, runs, "09", detector), path, runs)
            for name, path in {"histogram": None, "default": shipped, **weights}.items()
        }
        for detector in {None, *(setting.detector for setting in SETTINGS)}
    }
    default = TrackerConfig()
    methods = [
        *PEERS,
        ours("sslmot-paper", "default", TrackerConfig.paper()),
        ours("sslmot-motion", None, default),
        *(ours(f"sslmot-{name}", name, f.config) for name, f in features[None].items()),
    ]
    ablations = [ours(name, "default", replace(default, **c)) for name, c in ABLATIONS.items()]
    if rows:
        methods, ablations = ([m for m in ms if m.name in rows] for ms in (methods, ablations))
    for peer in filter(lambda method: method.package, list(methods)):
        if obstacle := peer.obstacle():
            methods.remove(peer)
            yield f"{peer.name}: {peer.package} is not installed or does not import: {obstacle}"
    for setting in SETTINGS:
        comparison = Comparison(setting, data, runs, features[setting.detector])
        yield f"\n**{setting.title}**\n{HEAD}"
        yield from comparison.rows(methods)
        if not rows or PERFECT in rows:
            yield comparison.bound()
        if ablations and setting.appearance:
            yield f"\n{setting.title}: the default with one thing changed\n{HEAD}"
            yield from comparison.rows(ablations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    args = parser.parse_args()
    weights = {name: Path(path) for name, path in (text.split("=", 1) for text in args.weights)}
    lines = []
    for line in tables(args.data, args.runs, weights, args.rows):
        print(line, flush=True)
        lines.append(line)
    (args.runs / "quality.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
