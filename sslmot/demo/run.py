"""``sslmot demo``: track a generated crowd, from frames to scores and pictures."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.appearance.histogram import ColorHistogram
from sslmot.data.mot import (
    PEDESTRIAN,
    FrameResult,
    GroundTruth,
    Sequence,
    read_results,
    write_sequence,
)
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.evaluation.tracks import evaluate, table
from sslmot.offline.draw import Annotator, VideoWriter, contact_sheet
from sslmot.offline.run import Output, track_sequence
from sslmot.tracking.tracker import Tracker


def demo(output: str | Path, people: int = 14, frames: int = 300, seed: int = 0) -> None:
    """Generate a crowd as a MOTChallenge sequence, and track it with and without appearance.

    Write ``crowd/`` (the sequence), ``appearance/`` and ``motion/`` (results), ``demo.mp4`` and
    ``demo.jpg``. Print scores.

    Args:
        output: Output folder. It is created if missing.
        people: Number of people.
        frames: Number of frames, 30 per second.
        seed: Seed of the crowd.

    Raises:
        ValueError: A number is out of range.
        ImportError: TrackEval is not installed.
    """
    output = Path(output)
    print(f"Generating {people} people, {frames / 30:g} s ...")
    crowd = Crowd(CrowdConfig(people=people, frames=frames, seed=seed))
    sequence = write_crowd(crowd, output / "crowd")
    tracker, scores = Tracker(extractor=ColorHistogram()), {}
    for name, appearance in (("appearance", True), ("motion", False)):
        tracker.reset()
        track_sequence(
            sequence, tracker, Output(output / name), appearance=appearance, progress=True
        )
        scores[name] = evaluate(sequence.path, output / name)[sequence.name]
    print(table(scores))

    results = read_results(output / "appearance" / f"{sequence.name}.txt")
    video, picture = output / "demo.mp4", output / "demo.jpg"
    draw(sequence, results, video, picture)
    print(f"\nvideo    {video}\npicture  {picture}\nsequence {output / 'crowd'}")


def write_crowd(crowd: Crowd, path: Path) -> Sequence:
    """Write a crowd as a MOTChallenge sequence with frames. Hidden people are not scored."""
    length, truths = len(crowd), [crowd.truth(t) for t in range(len(crowd))]
    visibility = np.concatenate([truth.visibility for truth in truths])
    sequence = write_sequence(
        path.parent,
        path.name,
        crowd.config.frame_rate,
        (crowd.config.width, crowd.config.height),
        {t + 1: crowd.detections(t) for t in range(length)},
        GroundTruth(
            frames=np.repeat(np.arange(1, length + 1), [len(truth.ids) for truth in truths]),
            ids=np.concatenate([truth.ids for truth in truths]),
            boxes=np.concatenate([truth.boxes for truth in truths]),
            considered=visibility > 0,
            classes=np.full(len(visibility), PEDESTRIAN),
            visibility=visibility,
        ),
    )
    images = path / sequence.image_dir
    images.mkdir(exist_ok=True)
    for t in range(length):
        cv2.imwrite(
            str(images / f"{t + 1:06d}.jpg"), crowd.frame(t), [cv2.IMWRITE_JPEG_QUALITY, 92]
        )
    return sequence


def draw(sequence: Sequence, results: list[FrameResult], video: Path, picture: Path) -> None:
    """Draw all frames into a video, and the frames around the longest gaps into a picture."""
    by_frame = {result.frame: result for result in results}
    nothing = np.empty((0, 4), np.float32)
    no_tracks = FrameResult(0, np.empty(0, np.int64), nothing, nothing[:, 0])
    moments, drawn = longest_gaps(results, sequence), []
    annotator = Annotator()
    with VideoWriter(video, sequence.frame_rate) as writer:
        for t in range(1, sequence.length + 1):
            found = by_frame.get(t, no_tracks)
            frame = annotator(sequence.frame(t), found.ids, found.boxes)
            writer.write(frame)
            if t in moments:
                drawn.append(frame)
    captions = [moments[t] for t in sorted(moments)]
    cv2.imwrite(str(picture), contact_sheet(drawn, 3, captions=captions))


def longest_gaps(results: list[FrameResult], sequence: Sequence) -> dict[int, str]:
    """Find the two longest gaps of ids, and return frames before, in and after each with captions.

    A caption says whether the id is of the same person after the gap. If there is no gap, return
    the first frame.
    """
    seen: defaultdict[int, list[int]] = defaultdict(list)
    box: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
    for result in results:
        for identity, xyxy in zip(result.ids.tolist(), result.boxes, strict=True):
            seen[identity].append(result.frame)
            box[identity, result.frame] = xyxy
    gaps = [
        (later - earlier, identity, earlier, later)
        for identity, frames in seen.items()
        for earlier, later in pairwise(frames)
        if later - earlier > 1
    ]
    truth = sequence.ground_truth()
    moments: dict[int, str] = {}
    shown: set[int] = set()
    for _, identity, earlier, later in sorted(gaps, reverse=True):
        between = (earlier + later) // 2
        if identity in shown or moments.keys() & {earlier, between, later}:
            continue
        people = {person_in(box[identity, t], t, truth) for t in (earlier, later)}
        outcome = "again" if len(people) == 1 else "now another person"
        for t, what in ((earlier, "seen"), (between, "hidden"), (later, outcome)):
            moments[t] = f"{t / sequence.frame_rate:.1f} s: {identity} {what}"
        shown.add(identity)
        if len(shown) == 2:
            break
    return moments or {1: ""}


def person_in(box: npt.NDArray[np.float32], t: int, truth: GroundTruth) -> int:
    """Return the person whose box in frame ``t`` is nearest to a tracked box."""
    rows = np.flatnonzero((truth.frames == t) & truth.considered)
    return int(truth.ids[rows[np.abs(truth.boxes[rows] - box).sum(1).argmin()]])
