"""Read Market-1501: person crops of six cameras.

Files have names such as ``0002_c1s1_000451_03.jpg``: identity, camera and sequence, frame, box.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sslmot.data.crops import CropSet
from sslmot.data.images import read_images

Part: TypeAlias = Literal["train", "held-out", "all"]
"""The part for training, the part for evaluation, or both."""

HELD_OUT_EVERY, HELD_OUT_MOST = 6, 100
"""Every sixth identity, in the order of their numbers, is held out, up to 100 identities."""

_NAME = re.compile(r"(-1|\d{4})_(c(\d)s\d)_(\d{6})_\d{2}\.jpg")  # such as 0002_c1s1_000451_03.jpg


@dataclass(frozen=True, eq=False)
class Market1501:
    """Crops with labels. Self-supervised training uses the crops only.

    Attributes:
        crops: N crops without tracklets. A clip is one sequence of a camera, such as "c1s1".
        identities: (N,) int64, the person.
        cameras: (N,) int32, 1 to 6.
    """

    crops: CropSet
    identities: npt.NDArray[np.int64]
    cameras: npt.NDArray[np.int32]


def is_market1501(root: str | Path) -> bool:
    """Return whether a folder is Market-1501 or contains images with its names."""
    root = Path(root)
    return (root / "bounding_box_train").is_dir() or (
        root.is_dir() and any(_NAME.fullmatch(path.name) for path in root.iterdir())
    )


def read_market1501(
    root: str | Path, size: tuple[int, int] = (128, 64), part: Part = "train"
) -> Market1501:
    """Read the training images, without junk and distractors (identities -1 and 0).

    The identities of the held-out part follow from the file names, see `HELD_OUT_EVERY`.

    Args:
        root: The folder of the data set, or its ``bounding_box_train``.
        size: Height and width of a crop, pixels.
        part: "train", "held-out" or "all". "train" and "held-out" share no identity.

    Warns:
        UserWarning: Some images cannot be read. They are skipped.

    Raises:
        FileNotFoundError: The folder does not exist, or has no image of this part.
        ValueError: The part is unknown.
    """
    if part not in get_args(Part):
        raise ValueError(f"part: expected train, held-out or all, got {part!r}")
    root = Path(root)
    folder = root / "bounding_box_train"
    folder = folder if folder.is_dir() else root
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [(path, match) for path in files if (match := _NAME.fullmatch(path.name))]
    # Sort by clip and time. The order of names would reveal the identities to training.
    named.sort(key=lambda entry: (entry[1][2], int(entry[1][4]), entry[0].name))
    identities = np.array([int(match[1]) for _, match in named], np.int64)
    people = np.unique(identities[identities > 0])
    held_out = np.isin(identities, people[::HELD_OUT_EVERY][:HELD_OUT_MOST])
    parts = {"train": ~held_out, "held-out": held_out, "all": np.ones_like(held_out)}
    chosen = parts[part] & (identities > 0)
    if not chosen.any():
        raise FileNotFoundError(
            f"root: expected images of Market-1501 ({part}) such as 0002_c1s1_000451_03.jpg in "
            f"{folder}, found none"
        )
    named = [entry for entry, wanted in zip(named, chosen, strict=True) if wanted]
    images, readable, skipped = read_images([path for path, _ in named], size, "Market-1501")
    matches = [match for (_, match), good in zip(named, readable, strict=True) if good]
    clip_names = sorted({match[2] for match in matches})
    number = {name: i for i, name in enumerate(clip_names)}
    return Market1501(
        crops=CropSet(
            images=images,
            clips=np.array([number[match[2]] for match in matches], np.int32),
            frames=np.array([int(match[4]) for match in matches], np.int64),
            tracklets=np.full(len(images), -1, np.int64),
            clip_names=tuple(clip_names),
            skipped=skipped,
        ),
        identities=identities[chosen][readable],
        cameras=np.array([int(match[3]) for match in matches], np.int32),
    )
