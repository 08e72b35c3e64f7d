"""Market-1501: person crops of six cameras, named ``identity_camera-sequence_frame_box.jpg``."""

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
"""What is learned from, what is evaluated on, or both."""

HELD_OUT_EVERY, HELD_OUT_MOST = 6, 100
"""Held out are every sixth identity, in the order of their numbers, and at most 100."""

_NAME = re.compile(r"(-1|\d{4})_(c(\d)s\d)_(\d{6})_\d{2}\.jpg")  # such as 0002_c1s1_000451_03.jpg


@dataclass(frozen=True, eq=False)
class Market1501:
    """Crops, and beside them the labels, which are for evaluation only: learning sees the crops.

    Attributes:
        crops: N crops; a clip is one camera's sequence, such as "c1s1". No tracklets.
        identities: (N,) int64, the person.
        cameras: (N,) int32, 1 to 6.
    """

    crops: CropSet
    identities: npt.NDArray[np.int64]
    cameras: npt.NDArray[np.int32]


def is_market1501(root: str | Path) -> bool:
    """Whether a folder is the data set, or holds images with names of it."""
    root = Path(root)
    return (root / "bounding_box_train").is_dir() or (
        root.is_dir() and any(_NAME.fullmatch(path.name) for path in root.iterdir())
    )


def read_market1501(
    root: str | Path, size: tuple[int, int] = (128, 64), part: Part = "train"
) -> Market1501:
    """Read the training images; junk and distractors (identities -1 and 0) are left out.

    The held-out part is fixed by the names of the files: see `HELD_OUT_EVERY`.

    Args:
        root: The data set's folder, or its ``bounding_box_train``.
        size: Height and width of a crop, pixels.
        part: "train", "held-out" or "all"; no identity is in both of the first two.

    Warns:
        UserWarning: Images that cannot be read; they are skipped.

    Raises:
        FileNotFoundError: There is no such folder, or no image of this part in it.
        ValueError: There is no such part.
    """
    if part not in get_args(Part):
        raise ValueError(f"part: expected train, held-out or all, got {part!r}")
    root = Path(root)
    folder = root / "bounding_box_train"
    folder = folder if folder.is_dir() else root
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [(path, match) for path in files if (match := _NAME.fullmatch(path.name))]
    # By clip and time: the order of names is that of identities, which must not show.
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
