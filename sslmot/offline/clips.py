"""Find the clips of sources, with their frames and detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslmot.data import mot
from sslmot.data.clip import Clip
from sslmot.data.frames import FrameSource, NumberedFrame, SequenceFrames, Stream, open_frames
from sslmot.data.video import frames_with_detections, read_video_detections
from sslmot.offline.run import Detections, Footage
from sslmot.types import ArrayLike, Frame

FRAME_RATE = 30.0
"""Frames a second of a source that does not say it."""


@dataclass(frozen=True)
class FoundClip:
    """A clip whose detections are not read yet. All but those of streams can be pickled.

    Attributes:
        name: Name of the clip.
        source: Its frames.
        detections: File of its detections; None for those of a sequence, or of a detector.
        frames: Whether frames are needed.
        frame_rate: Frames a second in place of what the source says, or None.
    """

    name: str
    source: FrameSource
    detections: Path | None
    frames: bool
    frame_rate: float | None

    @property
    def inputs(self) -> list[Path]:
        """The files that it is read from."""
        path = Path(str(self.source))
        if self.detections is not None:
            return [path, self.detections]
        if isinstance(self.source, SequenceFrames):
            return [path, self.source.sequence.detections_path]
        return [path]

    def clip(self, classes: Mapping[int, str] | None = None) -> Clip:
        """Return what is known of it.

        Args:
            classes: Name of each class of the detections, by number.
        """
        path = Path(str(self.source))
        place = str(path.absolute() if path.exists() else self.source)
        rate = self.frame_rate or self.source.frame_rate or FRAME_RATE
        return Clip(self.name, rate, self.source.size, classes or {}, place)

    def open(self, detector: Callable[[Frame], ArrayLike] | None = None) -> Footage:
        """Read the detections.

        Args:
            detector: Makes the detections, if the clip was found for one.

        Raises:
            FileNotFoundError: The file of the detections does not exist.
            ValueError: The detections are malformed, or there are none.
        """
        source = self.source
        frames: Iterable[NumberedFrame] = source
        found: Detections
        length = source.length
        if detector is not None:
            found = detector
        elif self.detections is not None:
            found = read_video_detections(self.detections, source.size)
            length = len(found)
            frames = frames_with_detections(source, self.detections, length)
        elif isinstance(source, SequenceFrames):
            found = source.sequence.detections()
        else:
            raise ValueError(_without_detections(source))
        if self.frame_rate is not None and not isinstance(source, Stream):
            # The times in a file agree with its frame rate, not with this one.
            frames = _without_times(frames)
        clip = self.clip(getattr(detector, "classes", None))
        return Footage(clip, frames if self.frames else None, found, length, self.inputs)


def find_clips(
    sources: Sequence[str],
    detections: Sequence[Path] = (),
    *,
    detector: bool = False,
    frames: bool = True,
    frame_rate: float | None = None,
    sequences: Iterable[str] | None = None,
    variant: mot.Detector | None = None,
) -> list[FoundClip]:
    """Find the clips of sources, and open their frames.

    Args:
        sources: What :func:`sslmot.data.frames.open_frames` takes, and folders of sequences.
        detections: A file for each clip, in order; none if sequences have their own, or a detector
            makes them.
        detector: Whether a detector makes the detections.
        frames: Whether frames are needed. A detector needs them in any case.
        frame_rate: Frames a second of all clips, in place of what they say.
        sequences: Sequences of a folder to use, None for all.
        variant: Variant of MOT17's sequences to use.

    Raises:
        FileNotFoundError: A source does not exist.
        ValueError: A source cannot be opened, a video has no detections, or the numbers of clips
            and of files of detections differ.
    """
    if detections and detector:
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
    files: Sequence[Path | None] = detections or [None] * len(opened)
    found = []
    for source, name, file in zip(opened, _names_apart(opened), files, strict=True):
        if isinstance(source, SequenceFrames):
            if (frames or detector) and not source.sequence.has_frames:
                raise FileNotFoundError(
                    f"{source.name}: {source.sequence.expected_frames}; without frames track by "
                    "motion only (--motion-only)"
                )
        elif file is None and not detector:
            raise ValueError(_without_detections(source))
        found.append(FoundClip(name, source, file, frames or detector, frame_rate))
    return found


def _without_detections(source: FrameSource) -> str:
    return f"detections: expected a file of {source}, or a detector, got none"


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
