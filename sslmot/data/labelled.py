"""Read labelled person crops, for supervised training."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslmot.data import mot
from sslmot.data.crops import CropSet, cut
from sslmot.data.market1501 import is_market1501, read_market1501
from sslmot.data.sources import with_frames

VISIBLE = 0.5
"""Minimum visibility of a person, if the data set annotates it."""


def read_labelled(
    path: str | Path,
    size: tuple[int, int],
    sequences: Iterable[str] | None = None,
    detector: mot.Detector | None = None,
) -> tuple[CropSet, npt.NDArray[np.int64]]:
    """Read crops and their identities.

    Args:
        path: Market-1501 (its "train" part is read), or MOTChallenge with frames and annotations.
        size: Height and width of a crop, pixels.
        sequences: Sequences of MOTChallenge to read, see `sslmot.data.mot.sequences`.
        detector: Variant of MOT17.

    Returns:
        N crops, and (N,) int64 identities. They are unique over all clips.

    Warns:
        UserWarning: Images or frames cannot be read, or sequences have no frames. They are
            skipped.

    Raises:
        FileNotFoundError: The data does not exist.
        ValueError: A file is malformed, or a selection matches nothing.
    """
    if is_market1501(path):
        if sequences is not None or detector is not None:
            raise ValueError("sequences, detector: expected none with Market-1501")
        data = read_market1501(path, size)
        return data.crops, data.identities
    sets, people, count = [], [], 0
    for sequence in with_frames(path, mot.sequences(path, sequences, detector)):
        crops, ids = _of_sequence(sequence, size)
        sets.append(crops)
        people.append(ids + count)
        count += int(ids.max(initial=-1)) + 1
    return CropSet.concatenate(sets), np.concatenate(people)


def _of_sequence(
    sequence: mot.Sequence, size: tuple[int, int]
) -> tuple[CropSet, npt.NDArray[np.int64]]:
    gt = sequence.ground_truth()
    shown = gt.considered & (gt.classes == mot.PEDESTRIAN) & (gt.visibility >= VISIBLE)
    frames, ids, boxes = gt.frames[shown], gt.ids[shown], gt.boxes[shown]
    order = np.argsort(frames, kind="stable")
    frames, ids, boxes = frames[order], ids[order], boxes[order]
    images = np.empty((len(frames), *size, 3), np.uint8)
    readable, skipped = np.ones(len(frames), np.bool_), []
    for t in np.unique(frames):
        rows = frames == t
        try:
            frame = sequence.frame(int(t))
        except (OSError, ValueError) as error:
            readable[rows] = False
            skipped.append(str(error))
        else:
            images[rows] = cut(frame, boxes[rows], size)
    if skipped:
        warnings.warn(
            f"{len(skipped)} frames of {sequence.name} cannot be read, the first: {skipped[0]}",
            stacklevel=3,
        )
        images, frames, ids = images[readable], frames[readable], ids[readable]
    crops = CropSet(
        images=images,
        clips=np.zeros(len(frames), np.int32),
        frames=frames,
        tracklets=np.full(len(frames), -1, np.int64),
        clip_names=(sequence.name,),
        skipped=tuple(skipped),
    )
    return crops, ids
