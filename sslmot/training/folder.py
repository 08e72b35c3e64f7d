"""The folder of a run: made by a new run, read by a resumed one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sslmot.data.crops import CropSet
from sslmot.files import new_folder
from sslmot.settings import Settings
from sslmot.training.checkpoints import Checkpoint

CHECKPOINT = "checkpoint.safetensors"
ENCODER = "encoder.safetensors"
CONFIG = "config.yaml"
_CROPS = "crops"

_Config = TypeVar("_Config", bound=Settings)


def check_output(output: Path, command: str = "sslmot train") -> None:
    """Refuse to start a run in a folder that is not empty.

    Args:
        output: The folder; may be missing.
        command: The command that resumes a run of this kind, by ``--resume``.

    Raises:
        FileExistsError: The folder holds something.
    """
    if output.exists() and any(output.iterdir()):
        hint = f" ({command} --resume {output} goes on with it)"
        raise FileExistsError(
            f"output: expected a new or empty folder, got {output}"
            + (hint if (output / CONFIG).exists() else "")
        )


@contextmanager
def new_run(output: Path, config: Settings, crops: CropSet) -> Iterator[Path]:
    """Make the folder of a run, whole or not at all.

    Args:
        output: The folder; missing or empty.
        config: Settings of the run.
        crops: The training data.

    Yields:
        The folder while it is made, for more files.
    """
    with new_folder(output) as part:
        crops.save(part / _CROPS)
        yield part
        config.save(part / CONFIG)


def open_run(output: Path, kind: type[_Config]) -> tuple[_Config, CropSet, Checkpoint | None]:
    """Read the folder of a run to resume.

    Args:
        output: The folder.
        kind: Class of the settings.

    Returns:
        Settings, crops, and the checkpoint, or None before the first epoch is done.

    Raises:
        FileNotFoundError: There is no run in the folder.
        ValueError: A file is damaged, or the checkpoint is of other settings.
    """
    if not (output / CONFIG).is_file():
        raise FileNotFoundError(f"resume: expected a run with {output / CONFIG}")
    config = kind.load(output / CONFIG, whole=True)
    crops = CropSet.load(output / _CROPS)
    path = output / CHECKPOINT
    return config, crops, Checkpoint.load(path, config) if path.exists() else None
