"""Read crops from data sets, videos or folders of images. The kind of a source is detected."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from sslmot.data import mot
from sslmot.data.crops import CropSet
from sslmot.data.images import read_image_folder
from sslmot.data.market1501 import is_market1501, read_market1501
from sslmot.data.video import read_sequence_crops, read_video_crops


def read_sources(
    paths: Iterable[str | Path],
    size: tuple[int, int],
    *,
    sequences: Iterable[str] | None = None,
    detector: mot.Detector | None = None,
    detections: Iterable[str | Path] | None = None,
    frames: range | None = None,
) -> CropSet:
    """Read crops for training, without labels.

    Args:
        paths: One or more sources. A source is Market-1501 (its "train" part is read), a
            MOTChallenge sequence or a folder of sequences (public detections are used), a video
            file, or a folder of images.
        size: Height and width of a crop, pixels.
        sequences: Sequences of MOTChallenge to read, see `sslmot.data.mot.sequences`.
        detector: Variant of MOT17.
        detections: A detections file for each video, in the order of the videos.
        frames: Frames of each video and sequence to use, such as range(1, 263) for 1 to 262. Crops
            and tracklets use no other frame. All by default.

    Warns:
        UserWarning: Some images cannot be read. They are skipped.

    Raises:
        FileNotFoundError: A source is missing.
        ValueError: A source contains no crop or is malformed, or no source fits an argument.
    """
    places = [Path(path) for path in paths]
    if not places:
        raise ValueError("paths: expected one source or more, got none")
    for path in places:
        if not path.exists():
            raise FileNotFoundError(
                f"paths: expected a folder or a video, got {path}, which does not exist"
            )
    videos = [path for path in places if path.is_file()]
    detections = list(detections or [])
    if len(detections) != len(videos):
        got = ", ".join(map(str, detections)) or "none"
        raise ValueError(
            f"detections: expected a file for each video ({len(videos)} among the sources), "
            f"got {got}"
        )
    selected = {"sequences": sequences, "detector": detector}
    for name, value in selected.items():
        if value is not None and not any(map(_is_mot, places)):
            raise ValueError(f"{name}: expected a MOTChallenge source with it, got none")
    if frames is not None and not (videos or any(map(_is_mot, places))):
        raise ValueError("frames: expected a video or a MOTChallenge source with it, got none")
    files = iter(detections)

    def read(path: Path) -> list[CropSet]:
        if path.is_file():
            return [read_video_crops(path, next(files), size, frames)]
        if _is_mot(path):
            chosen = with_frames(path, mot.sequences(path, sequences, detector))
            return [read_sequence_crops(sequence, size, frames) for sequence in chosen]
        if is_market1501(path):
            return [read_market1501(path, size).crops]
        return [read_image_folder(path, size)]

    sets = []
    for path in places:
        found = read(path)
        if not any(map(len, found)):
            raise ValueError(f"paths: expected person crops in {path}, found none")
        sets += found
    return CropSet.concatenate(sets)


def with_frames(path: str | Path, selected: list[mot.Sequence]) -> list[mot.Sequence]:
    """Return the sequences that have frames.

    Args:
        path: The folder, for errors.
        selected: Sequences of the folder.

    Warns:
        UserWarning: Some sequences have no frames. They are left out.

    Raises:
        FileNotFoundError: No sequence has frames.
        ValueError: Several sequences have the same frames (variants of MOT17).
    """
    found = [sequence for sequence in selected if sequence.has_frames]
    if not found:
        raise FileNotFoundError(f"{path}: expected a sequence with frames, found none")
    if lacking := ", ".join(s.name for s in selected if s not in found):
        warnings.warn(f"no frames of {lacking}: left out", stacklevel=4)
    names = [sequence.name.removesuffix(f"-{d}") for sequence in found
             for d in get_args(mot.Detector) if sequence.name.endswith(f"-{d}")]  # fmt: skip
    if len(set(names)) < len(names):
        raise ValueError(
            f"detector: expected one of {', '.join(get_args(mot.Detector))}, since {path} holds "
            "the same frames for several, got none"
        )
    return found


def _is_mot(path: Path) -> bool:
    return (path / "seqinfo.ini").is_file() or any(path.glob("*/seqinfo.ini"))
