"""Files and folders that are there whole or not at all, whenever the process is killed.

What is written grows in a workplace, a folder beside the target, and is moved when it is complete.
The workplace of a writer that was killed goes with the next one of the same target. Its name tells
the target, and a lock that ends with the process tells that nobody works there any more.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_PREFIX = ".sslmot-"
_LOCK = "lock"
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors that are the target's; a broken pipe, say, is somebody else's."""


def write(path: str | Path, data: bytes) -> None:
    """Write a file, or replace it when the new one is complete.

    Args:
        path: In a folder that is there.
        data: What the file is to hold.

    Raises:
        OSError: It cannot be written; the error names the path.
    """
    path = Path(path)
    with workplace(path) as folder:
        part = folder / "part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the name
        part.replace(path)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text that takes the place of a file when it is complete.

    Args:
        path: The file; the folders above it are made.

    Yields:
        What to write to, in UTF-8.

    Raises:
        OSError: It cannot be written; the error names the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with workplace(path) as folder:
        part = folder / "part"
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
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
        OSError: It cannot be written; the error names the path.
    """
    path = Path(path)
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(f"expected a new or empty folder, got {path}, which holds something")
    path.parent.mkdir(parents=True, exist_ok=True)
    with workplace(path) as folder:
        part = folder / "part"
        part.mkdir()
        yield part
        part.replace(path)


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """A folder beside a target, for what is to become it; in the end it is removed.

    Args:
        path: The target, in a folder that is there.

    Yields:
        The folder.

    Raises:
        OSError: Something in it cannot be written; the error names the target.
    """
    prefix = f"{_PREFIX}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"
    with naming(path, path.parent):
        _remove_abandoned(path.parent, prefix)
        folder, lock = _new_workplace(path.parent, prefix)
    try:
        with naming(path, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        # A network file system keeps a file that is open, and its folder.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def naming(path: Path, within: Path | None = None) -> Iterator[None]:
    """Let errors of the system name a path where they name none: a full disk says not what of.

    Args:
        path: What is worked on.
        within: A folder that nobody knows of; errors in it name the path too.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is None and error.errno in _OF_DISKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if named is None and type(error) is OSError and str(path) not in str(error):
            raise OSError(f"{path}: {error}") from error  # NumPy's, of an array half written
        if within is not None and Path(os.fsdecode(named or "")).is_relative_to(within):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _new_workplace(parent: Path, prefix: str) -> tuple[Path, int]:
    """A folder, and the descriptor whose lock says that it is in use."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # taken for abandoned before it was locked
            continue
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            _lock(lock)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), (folder / _LOCK).stat()):
                    return folder, lock
        except BlockingIOError:
            pass
        os.close(lock)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the workplaces of writers that are no more."""
    for entry in list(os.scandir(parent)):
        if not entry.name.startswith(prefix):
            continue
        try:
            # Made where it is missing: who finds it locked looks for another place.
            lock = os.open(Path(entry) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # of another user, or gone
            continue
        try:
            if _lock(lock):
                shutil.rmtree(entry, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool:
    """Lock a file; False where the file system knows no locks.

    Raises:
        BlockingIOError: Another writer has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BlockingIOError(error.errno, error.strerror) from error
        return False
    return True
