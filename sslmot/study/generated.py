"""Generated data for a study: two crowds as sequences of MOT17, to try the command."""

from __future__ import annotations

from pathlib import Path

from sslmot import files
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd

_SEQUENCES = {"MOT17-02-FRCNN": (40, 1), "MOT17-09-FRCNN": (72, 2)}  # name: (frames, seed)


def write_generated(root: Path) -> Path:
    """Write a sequence to learn from and one to be scored on, and return the folder of the data.

    Args:
        root: Folder of the data. It is made whole or not at all, and used as it is if it exists.
    """
    if not root.exists():
        with files.new_folder(root) as part:
            for name, (frames, seed) in _SEQUENCES.items():
                config = CrowdConfig(people=6, frames=frames, width=640, height=360, seed=seed)
                write_crowd(Crowd(config), part / "MOT17" / "train" / name)
    return root
