"""What a study learns from and what it is scored on, as far as it is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sslmot.data import mot
from sslmot.data.crops import CropSet
from sslmot.data.market1501 import is_market1501, read_market1501
from sslmot.data.video import read_sequence_crops

TRAINED = ("02", "05", "10", "11")
"""Training sequences of MOT17 that the paper learns from. MOT16 has the same frames."""

EVALUATED = ("04", "09", "13")
"""Training sequences of MOT17 that the paper is scored on, which are never learned from."""

_DETECTORS = get_args(mot.Detector)
_LEARNED = ("FRCNN", "SDP", "DPM")  # whose detections are learned from: the first that is there


@dataclass(frozen=True)
class Sources:
    """Data of a study.

    Attributes:
        market: Market-1501, None if it is missing.
        trained: Sequences to learn from, with frames; one for each scene, with the detections of
            FRCNN where they are at hand.
        evaluated: Sequences to be scored on, with frames and ground truth; each detector's.
        missing: What the paper uses and is not at hand.
    """

    market: Path | None
    trained: tuple[mot.Sequence, ...]
    evaluated: tuple[mot.Sequence, ...]
    missing: tuple[str, ...]

    def crops(self, size: tuple[int, int]) -> CropSet:
        """Read the crops to learn from, of ``size`` (height, width), without labels."""
        sets = [] if self.market is None else [read_market1501(self.market, size).crops]
        return CropSet.concatenate(
            [*sets, *(read_sequence_crops(sequence, size) for sequence in self.trained)]
        )


def find_sources(root: str | Path) -> Sources:
    """Look for the data of the study.

    Args:
        root: A folder with ``Market-1501`` and ``MOT17/train`` (or ``MOT16/train``).

    Raises:
        FileNotFoundError: There is nothing to learn from, or nothing to be scored on.
        ValueError: A sequence is malformed.
    """
    root = Path(root)
    missing = []
    market: Path | None = root / "Market-1501"
    if not is_market1501(root / "Market-1501"):
        missing.append("Market-1501")
        market = None
    found = list(_sequences(root))
    trained, evaluated = [], []
    for number in TRAINED:
        of_scene = [s for s in found if scene(s) == number and s.has_frames]
        of_scene.sort(key=_preference)
        trained += of_scene[:1]  # all variants show the same frames
        missing += [] if of_scene else [f"MOT17-{number} (training)"]
    for number in EVALUATED:
        for detector in _DETECTORS:
            suits = [
                s
                for s in found
                if s.name.endswith(f"-{number}-{detector}")
                and s.has_frames
                and s.ground_truth_path.is_file()
            ]
            evaluated += suits[:1]
            missing += [] if suits else [f"MOT17-{number}-{detector} (evaluation)"]
    if market is None and not trained:
        raise FileNotFoundError(
            f"data: expected Market-1501, or frames of a sequence {', '.join(TRAINED)} in "
            f"MOT17/train, in {root}, found neither"
        )
    if not evaluated:
        raise FileNotFoundError(
            f"data: expected frames and ground truth of a sequence {', '.join(EVALUATED)} in "
            f"{root / 'MOT17' / 'train'}, found none"
        )
    return Sources(market, tuple(trained), tuple(evaluated), tuple(missing))


def _sequences(root: Path) -> Iterator[mot.Sequence]:
    """Yield the training sequences of MOT17, then those of MOT16."""
    for benchmark in ("MOT17", "MOT16"):
        folder = root / benchmark / "train"
        if any(folder.glob("*/seqinfo.ini")):
            yield from mot.sequences(folder)


def _preference(sequence: mot.Sequence) -> int:
    name = sequence.name.rpartition("-")[2]
    return _LEARNED.index(name) if name in _LEARNED else len(_LEARNED)


def scene(sequence: mot.Sequence) -> str:
    """Return the scene of a sequence, such as "09" of "MOT17-09-FRCNN"."""
    return (*sequence.name.split("-"), "")[1]
