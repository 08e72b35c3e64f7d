"""Write files and folders atomically: complete or not at all, even if the process is killed.

Data is first written to a temporary folder beside the target, then moved to the target. If a
process is killed, its temporary folder stays. The next write to the same target removes it. The
name of the folder contains a hash of the target's name. A file lock shows whether the writing
process still runs.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_PREFIX = ".sslmot-"
_LOCK = "lock"
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Error numbers that concern the target's disk (a broken pipe, for example, does not)."""


def write(path: str | Path, data: bytes) -> None:
    """Write or replace a file atomically.

    Args:
        path: The file, in an existing folder.
        data: Content of the file.

    Raises:
        OSError: The file cannot be written. The error contains the path.
    """
    path = Path(path)
    with workplace(path) as folder:
        part = folder / "part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # without it, a power cut could leave an empty file
        part.replace(path)


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Check that no output would replace an input.

    Raises:
        ValueError: An output is an input, also by another name.
    """
    read = [path for path in inputs if path.exists()]
    for output in outputs:
        if output.exists() and any(output.samefile(path) for path in read):
            raise ValueError(f"output: expected another file than an input, got {output}")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text file that replaces the target when the block ends without an error.

    Args:
        path: The file. Missing parent folders are created.

    Yields:
        A text file to write to, in UTF-8.

    Raises:
        OSError: The file cannot be written. The error contains the path.
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
    """Create a folder that appears when the block ends without an error.

    Args:
        path: A missing or empty folder. Missing parent folders are created.

    Yields:
        A temporary folder to write the content to.

    Raises:
        FileExistsError: The folder is not empty.
        OSError: The folder cannot be written. The error contains the path.
    """
    path = Path(path)
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(f"expected a new or empty folder, got {path}, which is not empty")
    path.parent.mkdir(parents=True, exist_ok=True)
    with workplace(path) as folder:
        part = folder / "part"
        part.mkdir()
        yield part
        part.replace(path)


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """Create a temporary folder beside a target, and remove it when the block ends.

    Args:
        path: The target, in an existing folder.

    Yields:
        The temporary folder.

    Raises:
        OSError: A file in the folder cannot be written. The error contains the target.
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
        # A network file system keeps an open file and its folder until the file is closed.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def naming(path: Path, within: Path | None = None) -> Iterator[None]:
    """Add a path to system errors that have none, such as the error of a full disk.

    Args:
        path: The path to put into errors.
        within: A temporary folder. Errors about a path in it get ``path`` instead.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if named is None and error.errno in _OF_DISKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if named is None and type(error) is OSError and str(path) not in str(error):
            raise OSError(f"{path}: {error}") from error  # from NumPy, if a write is incomplete
        if within is not None and Path(os.fsdecode(named or "")).is_relative_to(within):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _new_workplace(parent: Path, prefix: str) -> tuple[Path, int]:
    """Create a temporary folder and the lock file that marks it as in use.

    Returns:
        The folder, and the descriptor of its locked file.
    """
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another process removed the folder before it was locked
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
    """Remove the temporary folders of processes that have ended."""
    for entry in list(os.scandir(parent)):
        if not entry.name.startswith(prefix):
            continue
        try:
            # A missing lock file is created. The writer that then finds it locked takes a new
            # folder.
            lock = os.open(Path(entry) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # it belongs to another user, or is gone
            continue
        try:
            if _lock(lock):
                shutil.rmtree(entry, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool:
    """Lock a file.

    Returns:
        False if the file system has no locks.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BlockingIOError(error.errno, error.strerror) from error
        return False
    return True
