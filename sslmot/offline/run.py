"""Track a clip, and write its tracks while they are made."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from tqdm import tqdm

from sslmot import files
from sslmot.data import mot
from sslmot.data.clip import Clip
from sslmot.data.mot import FrameResult
from sslmot.data.results import FORMATS, open_results
from sslmot.data.video import Video, frames_with_detections, read_video_detections
from sslmot.offline.draw import Annotator, VideoWriter
from sslmot.offline.interpolate import interpolate
from sslmot.offline.prefetch import prefetch
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, FeatureExtractor, Frame

Frames: TypeAlias = Iterable[tuple[int, Frame | None]]
"""Numbers of frames, from 1, in order, and the frames. Those that cannot be read are left out."""

Detections: TypeAlias = Mapping[int, ArrayLike] | Callable[[Frame], ArrayLike]
"""The detections of each frame by number, or a detector: (N, 5) or (N, 6), as ``Tracker.step``
takes."""


class Speed(NamedTuple):
    """Time taken by a clip.

    Attributes:
        frames: Number of frames.
        tracking: Seconds in ``Tracker.step``, including appearance.
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


def track(
    clip: Clip,
    frames: Frames | None,
    detections: Detections,
    tracker: Tracker,
    output: Output,
    *,
    appearance: bool = True,
    length: int | None = None,
    watch: Callable[[Frame, Tracks], bool] | None = None,
    progress: bool = False,
) -> Speed:
    """Track a clip. Write its tracks, and NAME.json with the time taken and the settings.

    Frames are read, and objects detected, in threads beside the tracker. After Ctrl-C, or an error
    in the middle, the files hold the frames before. If the process is killed, files of an earlier
    run are unchanged.

    Args:
        clip: The clip.
        frames: Its frames; None if nothing needs them.
        detections: Their detections, or a detector.
        tracker: A new or reset tracker. It gets the frame rate of the clip.
        output: What to write.
        appearance: Whether to embed boxes with the tracker's extractor. If False, track by motion
            only.
        length: Number of frames, if known.
        watch: Called with each frame and its tracks. Tracking ends when it returns False.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: ``max_gap`` is out of range, or detections are malformed.
        OSError: A file cannot be read or written.
    """
    tracker.frame_rate = clip.frame_rate
    paths = output.paths(clip.name)
    extractor = tracker.extractor if appearance else None
    count, last, tracking = 0, 0, 0.0
    stopped: BaseException | None = None
    start = time.perf_counter()
    with _writing(clip, output, paths) as add:
        try:
            for t, frame, found in tqdm(
                _detected(frames, detections, extractor),
                desc=clip.name,
                total=length,
                unit=" frames",
                disable=None if progress else True,
            ):
                begin = time.perf_counter()
                for _ in range(last + 1, t):  # left out, so nothing was missed in them
                    tracker.predict()
                tracks = tracker.step(frame if appearance else None, found)
                tracking += time.perf_counter() - begin
                classes = tracks.classes if np.shape(found)[-1] == 6 else None
                add(frame, FrameResult(t, tracks.ids, tracks.boxes, tracks.scores, classes))
                count, last = count + 1, t
                if watch is not None and frame is not None and not watch(frame, tracks):
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
    return speed


def _detected(
    frames: Frames | None, detections: Detections, extractor: FeatureExtractor | None
) -> Iterator[tuple[int, Frame | None, ArrayLike]]:
    """Yield frames with their detections, which are made in advance."""
    if callable(detections):
        read = prefetch(_sent(frames or (), extractor))
        yield from prefetch((t, frame, detections(frame)) for t, frame in read if frame is not None)
    elif frames is None:
        yield from ((t, None, found) for t, found in detections.items())
    else:
        yield from ((t, frame, detections[t]) for t, frame in prefetch(_sent(frames, extractor)))


def _sent(frames: Frames, extractor: FeatureExtractor | None) -> Frames:
    """Yield frames, and start to send each to the extractor's GPU if it has one."""
    send = getattr(extractor, "send", None)
    for t, frame in frames:
        if send is not None and frame is not None:
            send(frame)
        yield t, frame


@contextmanager
def _writing(
    clip: Clip, output: Output, paths: Mapping[str, Path]
) -> Iterator[Callable[[Frame | None, FrameResult], None]]:
    """Open the files of a clip, and give a function that takes a frame and its tracks."""
    kept: list[FrameResult] = []
    with ExitStack() as stack:
        if output.max_gap is not None:
            interpolate([], output.max_gap)  # fail now, not after the last frame
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
        FileNotFoundError: There are no frames, or a frame is missing.
        ValueError: The detections or a frame are malformed, or ``max_gap`` is out of range.
        OSError: The output cannot be written.
    """
    if appearance and not sequence.has_frames:
        raise FileNotFoundError(
            f"{sequence.name}: expected frames in {sequence.path / sequence.image_dir}, found "
            "none; without frames track by motion only (--motion-only)"
        )
    size = sequence.width, sequence.height
    frames = ((t, sequence.frame(t)) for t in range(1, sequence.length + 1))
    return track(
        Clip(sequence.name, sequence.frame_rate, size, source=str(sequence.path)),
        frames if appearance or output.video else None,
        sequence.detections(),
        tracker,
        output,
        appearance=appearance,
        length=sequence.length,
        progress=progress,
    )


def track_video(
    path: str | Path,
    detections_path: str | Path,
    tracker: Tracker,
    output: Output,
    *,
    appearance: bool = True,
    progress: bool = False,
) -> Speed:
    """Track a video up to the last frame with detections, as :func:`track` does.

    Args:
        path: The video.
        detections_path: Its detections in the MOTChallenge format, frames from 1.
        tracker: As for :func:`track`.
        output: As for :func:`track`.
        appearance: As for :func:`track`. If False, no frame is decoded.
        progress: As for :func:`track`.

    Warns:
        UserWarning: The video ends before the last detections. Only with appearance.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, there are no detections, or ``max_gap`` is out of range.
        OSError: The output cannot be written.
    """
    video, detections = Video(path), read_video_detections(detections_path)
    frames = frames_with_detections(video, detections_path, len(detections))
    return track(
        Clip(video.path.stem, video.frame_rate, source=str(video.path.absolute())),
        frames if appearance or output.video else None,
        detections,
        tracker,
        output,
        appearance=appearance,
        length=len(detections),
        progress=progress,
    )
