"""Find the clips of sources, with their frames and detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sslmot.data import mot
from sslmot.data.clip import Clip
from sslmot.data.frames import FrameSource, NumberedFrame, SequenceFrames, Stream, open_frames
from sslmot.data.video import frames_with_detections, read_video_detections
from sslmot.offline.run import Footage
from sslmot.types import ArrayLike, Frame

FRAME_RATE = 30.0
"""Frames a second of a source that does not say it."""


def open_clips(
    sources: Sequence[str],
    detections: Sequence[Path] = (),
    detector: Callable[[Frame], ArrayLike] | None = None,
    *,
    frames: bool = True,
    frame_rate: float | None = None,
    sequences: Iterable[str] | None = None,
    variant: mot.Detector | None = None,
) -> list[Footage]:
    """Open the clips of sources.

    Args:
        sources: What :func:`sslmot.data.frames.open_frames` takes, and folders of sequences.
        detections: A file for each clip, in order; none if sequences have their own, or a detector
            makes them.
        detector: Makes the detections.
        frames: Whether frames are needed. A detector needs them in any case.
        frame_rate: Frames a second of all clips, in place of what they say.
        sequences: Sequences of a folder to use, None for all.
        variant: Variant of MOT17's sequences to use.

    Raises:
        FileNotFoundError: A source or file does not exist.
        ValueError: A source cannot be opened, a video has no detections, or the numbers of clips
            and of files of detections differ.
    """
    if detections and detector is not None:
        raise ValueError("detections: expected none beside a detector")
    opened: list[FrameSource] = []
    for place in sources:
        if _has_sequences(place):
            opened.extend(map(SequenceFrames, mot.sequences(place, sequences, variant)))
        elif sequences is not None or variant is not None:
            raise ValueError(f"sequences: expected none with {place}, which has none")
        else:
            opened.append(open_frames(place))
    if detections and len(detections) != len(opened):
        raise ValueError(
            f"detections: expected a file for each of {len(opened)} clips, got {len(detections)}"
        )
    names = _names_apart(opened)
    found = []
    for k, source in enumerate(opened):
        rate = frame_rate or source.frame_rate or FRAME_RATE
        path = Path(str(source))
        place = str(path.absolute() if path.exists() else source)
        clip = Clip(names[k], rate, source.size, getattr(detector, "classes", {}), place)
        file = detections[k] if detections else None
        inputs = [path, *([] if file is None else [file])]
        if detector is not None:
            footage = Footage(clip, source, detector, source.length, inputs)
        elif file is not None:
            boxes = read_video_detections(file, source.size)
            read = frames_with_detections(source, file, len(boxes))
            footage = Footage(clip, read, boxes, len(boxes), inputs)
        elif isinstance(source, SequenceFrames):
            boxes = source.sequence.detections()
            inputs.append(source.sequence.detections_path)
            footage = Footage(clip, source, boxes, source.length, inputs)
        else:
            raise ValueError(f"detections: expected a file of {source}, or a detector, got none")
        if not frames and detector is None:
            footage = replace(footage, frames=None)
        elif frame_rate is not None and not isinstance(source, Stream):
            # The times in a file agree with its frame rate, not with this one.
            footage = replace(footage, frames=_without_times(footage.frames or ()))
        found.append(footage)
    return found


def _has_sequences(source: str) -> bool:
    """Return whether the source is a MOTChallenge sequence, or a folder of some."""
    path = Path(source)
    return path.is_dir() and bool([*path.glob("seqinfo.ini"), *path.glob("*/seqinfo.ini")])


def _without_times(frames: Iterable[NumberedFrame]) -> Iterator[NumberedFrame]:
    return ((t, frame, None) for t, frame, _ in frames)


def _names_apart(sources: Sequence[FrameSource]) -> list[str]:
    """Return a name for each source. Folders tell those of one name apart: "cam1-video".

    Raises:
        ValueError: A source is there twice.
    """
    names = [source.name for source in sources]
    folders = [list(Path(str(source)).absolute().parent.parts) for source in sources]
    while twice := {name for name, count in Counter(names).items() if count > 1}:
        for k, name in enumerate(names):
            if name in twice:
                if not folders[k]:
                    raise ValueError(f"sources: expected each once, got {sources[k]} twice")
                names[k] = f"{folders[k].pop().strip('/')}-{name}"
    return names
