"""Track a clip, and write its tracks while they are made."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from tqdm import tqdm

from sslmot import files, reading
from sslmot.data import mot
from sslmot.data.clip import Clip
from sslmot.data.frames import NumberedFrame, SequenceFrames
from sslmot.data.mot import FrameResult
from sslmot.data.results import FORMATS, open_results
from sslmot.inputs import to_numpy
from sslmot.offline.ahead import Detected, embedded, step
from sslmot.offline.draw import Annotator, VideoWriter
from sslmot.offline.interpolate import interpolate
from sslmot.offline.prefetch import prefetch
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, FeatureExtractor, Frame

Detections: TypeAlias = Mapping[int, ArrayLike] | Callable[[Frame], ArrayLike]
"""The detections of each frame by number, or a detector: (N, 5) or (N, 6), as ``Tracker.step``
takes."""

_NOTHING = np.empty((0, 5), np.float32)


class Speed(NamedTuple):
    """Time taken by a clip.

    Attributes:
        frames: Number of frames.
        tracking: Seconds of association, and of waiting for features.
        total: Seconds including reading and detection, which run mostly in parallel.
    """

    frames: int
    tracking: float
    total: float


@dataclass(frozen=True)
class Output:
    """What is written of a clip.

    Attributes:
        folder: Where. It is created if missing.
        formats: Keys of `sslmot.data.results.FORMATS`.
        video: Whether to write NAME.mp4, with the tracks drawn.
        max_gap: Gaps of up to so many frames are filled after the last frame, see
            :func:`~sslmot.offline.interpolate.interpolate`. None for the online results.
    """

    folder: Path
    formats: Sequence[str] = ("mot",)
    video: bool = False
    max_gap: int | None = None

    def paths(self, name: str) -> dict[str, Path]:
        """Return the files of a clip: of each format, the "record", and the "video"."""
        suffixes = {key: FORMATS[key].suffix for key in self.formats} | {"record": ".json"}
        if self.video:
            suffixes["video"] = ".mp4"
        return {key: self.folder / f"{name}{suffix}" for key, suffix in suffixes.items()}

    def check(self, clip: Clip, inputs: Iterable[Path]) -> None:
        """Check the settings, and that nothing is lost when the files of a clip are written.

        Args:
            clip: The clip.
            inputs: Files that are read.

        Raises:
            ValueError: ``max_gap`` is out of range, or a file is an input, or holds the results of
                another clip.
        """
        if self.max_gap is not None:
            interpolate([], self.max_gap)  # fail now, not after the last frame
        paths = self.paths(clip.name)
        files.keep_inputs(paths.values(), inputs)
        record = reading.read_json(paths["record"]) if paths["record"].exists() else {}
        if record.get("source", clip.source) != clip.source:
            raise ValueError(
                f"output: expected a folder without results of another {clip.name}, got "
                f"{self.folder} with those of {record['source']}"
            )


@dataclass(frozen=True)
class Footage:
    """A clip to track.

    Attributes:
        clip: What is known of it.
        frames: Its frames, see `sslmot.data.frames.FrameSource`; None if nothing needs them.
        detections: Its detections, or a detector.
        length: Number of frames, if known.
        inputs: The files that it is read from.
    """

    clip: Clip
    frames: Iterable[NumberedFrame] | None
    detections: Detections
    length: int | None = None
    inputs: Sequence[Path] = ()


def track(
    footage: Footage,
    tracker: Tracker,
    output: Output,
    *,
    appearance: bool = True,
    watch: Callable[[Frame, ArrayLike, ArrayLike], bool] | None = None,
    progress: bool | Callable[[int], object] = False,
) -> Speed:
    """Track a clip. Write its tracks, and NAME.json with the time taken and the settings.

    Frames are read, objects detected, and boxes embedded by a thread-safe extractor, in threads
    beside the tracker. Boxes of live video, whose length is not known, are embedded one frame after
    the other. After Ctrl-C, or an error in the middle, the files hold the frames before.
    If the process is killed, files of an earlier run are unchanged. In a frame that cannot be read,
    tracks are not missed.

    Args:
        footage: The clip.
        tracker: A new or reset tracker. It gets the frame rate of the clip.
        output: What to write.
        appearance: Whether to embed boxes with the tracker's extractor. If False, track by motion
            only.
        watch: Called with each frame, ids and boxes, such as :func:`sslmot.offline.draw.window`.
            Tracking ends when it returns False.
        progress: Whether to show a progress bar, or a function that is called with the number of
            frames so far.

    Raises:
        ValueError: ``max_gap`` is out of range, detections are malformed, or a file would replace
            an input or the results of another clip.
        OSError: A file cannot be read or written.
    """
    clip = footage.clip
    output.check(clip, footage.inputs)
    tracker.frame_rate = clip.frame_rate
    paths = output.paths(clip.name)
    extractor = tracker.extractor if appearance else None
    count, tracking = 0, 0.0
    summary = _Summary()
    stopped: BaseException | None = None
    start = time.perf_counter()
    live = footage.length is None
    made = embedded(_detected(footage, extractor), None if live else extractor)
    with _writing(clip, output, paths) as add, closing(made):
        try:
            for t, frame, seconds, found, features in tqdm(
                made,
                desc=clip.name,
                total=footage.length,
                unit=" frames",
                disable=None if progress is True else True,
            ):
                begin = time.perf_counter()
                if found is None:
                    tracker.predict(seconds)
                    continue
                tracks = step(tracker, frame if appearance else None, found, seconds, features)
                tracking += time.perf_counter() - begin
                classes = tracks.classes if np.shape(found)[-1] == 6 else None
                add(frame, FrameResult(t, tracks.ids, tracks.boxes, tracks.scores, classes))
                summary.add(found, tracks)
                count += 1
                if callable(progress):
                    progress(count)
                if watch and frame is not None and not watch(frame, tracks.ids, tracks.boxes):
                    break
        except BaseException as error:
            if count == 0:
                raise
            stopped = error
    speed = Speed(count, tracking, time.perf_counter() - start)
    record = {
        "source": clip.source,
        "complete": stopped is None,
        "frames": speed.frames,
        "seconds": round(speed.tracking, 6),
        "seconds_with_reading": round(speed.total, 6),
        "appearance": type(extractor).__name__ if appearance else None,
        "interpolated": output.max_gap,
        "frame_rate": tracker.frame_rate,
        "config": {
            # JSON has no infinity.
            k: str(v) if isinstance(v, float) and math.isinf(v) else v
            for k, v in dataclasses.asdict(tracker.config).items()
        },
        "version": version("sslmot"),
    }
    files.write(paths["record"], (json.dumps(record, indent=1) + "\n").encode())
    if stopped is not None:
        raise stopped
    summary.warn(clip.name, tracker)
    return speed


class _Summary:
    """Counts what goes in and comes out, to notice that nothing comes out."""

    _FEW = 10  # detections may be false, and give no track

    def __init__(self) -> None:
        self.detections, self.tracks, self.best = 0, 0, -math.inf

    def add(self, found: ArrayLike, tracks: Tracks) -> None:
        self.detections += len(found)
        self.tracks += len(tracks)
        if not self.tracks and len(found) and np.shape(found)[1] > 4:
            self.best = max(self.best, float(to_numpy(found, "dets")[:, 4].max()))

    def warn(self, name: str, tracker: Tracker) -> None:
        """Warn if there are detections but no tracks."""
        if self.tracks or self.detections < self._FEW:
            return
        reason, needed = "", tracker.config.high_score
        if self.best < needed:
            reason = f": no score is {needed:g} or more (high_score), the best is {self.best:.3g}"
        warnings.warn(f"{name}: no tracks of {self.detections} detections{reason}", stacklevel=3)


def _detected(footage: Footage, extractor: FeatureExtractor | None) -> Iterator[Detected]:
    """Yield frames with their detections, made in advance. None for a frame that is not there."""
    frames, detections = footage.frames, footage.detections
    if frames is None:
        if callable(detections):
            raise ValueError("frames: expected them with a detector, got None")
        yield from ((t, None, None, found) for t, found in detections.items())
        return
    read = prefetch(_sent(frames, extractor))
    if callable(detections):
        yield from prefetch(
            (t, frame, seconds, None if frame is None else detections(frame))
            for t, frame, seconds in read
        )
    else:
        yield from (
            (t, frame, seconds, None if frame is None else detections.get(t, _NOTHING))
            for t, frame, seconds in read
        )


def _sent(
    frames: Iterable[NumberedFrame], extractor: FeatureExtractor | None
) -> Iterator[NumberedFrame]:
    """Yield frames, and start to send each to the extractor's GPU if it has one."""
    send = getattr(extractor, "send", None)
    for t, frame, seconds in frames:
        if send is not None and frame is not None:
            send(frame)
        yield t, frame, seconds


@contextmanager
def _writing(
    clip: Clip, output: Output, paths: Mapping[str, Path]
) -> Iterator[Callable[[Frame | None, FrameResult], None]]:
    """Open the files of a clip, and give a function that takes a frame and its tracks."""
    kept: list[FrameResult] = []
    with ExitStack() as stack:
        writers = [stack.enter_context(open_results(paths[f], f, clip)) for f in output.formats]
        draw = stack.enter_context(_drawing(paths["video"], clip)) if output.video else None

        def write(result: FrameResult) -> None:
            for writer in writers:
                writer(result)

        def add(frame: Frame | None, result: FrameResult) -> None:
            if output.max_gap is None:
                write(result)
            else:
                kept.append(result)
            if draw is not None and frame is not None:
                draw(frame, result)

        yield add
        if output.max_gap is not None:
            for result in interpolate(kept, output.max_gap):
                write(result)


@contextmanager
def _drawing(path: Path, clip: Clip) -> Iterator[Callable[[Frame, FrameResult], None]]:
    """Open a video that replaces the target at the end."""
    annotate = Annotator()
    with files.workplace(path) as folder:
        part = folder / "part.mp4"
        with VideoWriter(part, clip.frame_rate) as video:
            yield lambda frame, result: video.write(annotate(frame, result.ids, result.boxes))
        if part.exists():
            part.replace(path)


def track_sequence(
    sequence: mot.Sequence,
    tracker: Tracker,
    output: Output,
    *,
    appearance: bool = True,
    progress: bool = False,
) -> Speed:
    """Track a sequence with its public detections, as :func:`track` does.

    Raises:
        FileNotFoundError: There are no frames.
        ValueError: The detections are malformed, no frame can be read, or ``max_gap`` is out of
            range.
        OSError: The output cannot be written.
    """
    clip = Clip(sequence.name, sequence.frame_rate, sequence.size, source=str(sequence.path))
    frames = SequenceFrames(sequence) if appearance or output.video else None
    inputs = [sequence.path, sequence.detections_path]
    footage = Footage(clip, frames, sequence.detections(), sequence.length, inputs)
    return track(footage, tracker, output, appearance=appearance, progress=progress)
