"""Files and folders that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".sslmot-"


def write(path: str | Path, data: bytes) -> None:
    """Write a file, or replace it when the new one is complete.

    Args:
        path: In a folder that is there.
        data: What the file is to hold.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_PREFIX) as folder:
        part = Path(folder) / "part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the name
        part.replace(path)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder that gets its name when all is in it.

    Args:
        path: Missing or empty; what is above it is made.

    Yields:
        The folder to fill.

    Raises:
        FileExistsError: The folder holds something.
    """
    path = Path(path)
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(f"expected a new or empty folder, got {path}, which holds something")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_PREFIX) as folder:
        part = Path(folder) / "part"
        part.mkdir()
        yield part
        part.replace(path)
