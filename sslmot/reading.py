"""Read untrusted files with limits on size and depth.

Only regular files are read, since opening a pipe could block forever. The sizes declared in a file
are compared with its real size before memory is allocated. A malformed file gives a ValueError
that begins with the path.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

MOST_JSON = 2**24
"""Limit of bytes of a JSON file."""

MOST_YAML = 2**16
"""Limit of bytes of a YAML file. Only settings are read from YAML."""

DEEPEST = 16
"""Limit of nested lists and objects."""

T = TypeVar("T")

# A JSON string (its end may be cut off), or a bracket.
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
# The header that np.save writes, version 1.0: a dtype of numbers or texts, and a shape.
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([|<>][biufU]\d{1,8})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}(?:, \d{1,18})+|\d{1,18},)?)\), \} *\n"
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # an unknown encryption or version
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of zipfile for data that is not an archive, is truncated or damaged."""


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether the path is a regular file. An invalid name gives False."""
    try:
        return Path(path).is_file()
    except OSError:  # for example, the name is too long
        return False


def read(
    path: str | os.PathLike[str], most: int | None = None, *, head: int | None = None
) -> bytes:
    """Read a regular file.

    Args:
        path: The file.
        most: Limit of its bytes, None for no limit.
        head: Number of bytes to read, None for all.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is a folder, a pipe or a device, or has more than ``most`` bytes.
    """
    if "\0" in os.fspath(path):
        raise ValueError(f"{os.fspath(path)!r}: expected a path, got one with a null byte")
    # O_NONBLOCK: opening a pipe would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
            raise ValueError(f"{path}: expected a regular file, got {kind}")
        if most is not None and found.st_size > most:
            raise ValueError(f"{path}: expected at most {most} bytes, got {found.st_size}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(head)
    finally:
        os.close(descriptor)


def read_text(path: str | os.PathLike[str], most: int | None = None) -> str:
    """Read a text file in UTF-8.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: As for :func:`read`, or the file is not UTF-8.
    """
    return _of(path, _text, read(path, most))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a text in UTF-8, got {error}") from error


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not JSON, not an object, nested too deeply or too long.
    """
    content = read_any_json(path, MOST_JSON)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {content!r:.200}")
    return content


def read_any_json(path: str | os.PathLike[str], most: int) -> Any:
    """Read a JSON file of at most ``most`` bytes.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not JSON, nested too deeply or too long.
    """
    return _of(path, from_json, read_text(path, most))


def from_json(text: str) -> Any:
    """Parse JSON of limited depth.

    Raises:
        ValueError: The text is not JSON, or nested too deeply.
    """
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEEPEST:
            raise ValueError(f"expected JSON of at most {DEEPEST} levels, got more")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected JSON, got {error}") from error


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Read YAML of limited depth, without aliases and tags.

    With aliases a short text could expand to gigabytes.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not such YAML, or too long.
    """
    return _of(path, _from_yaml, read_text(path, MOST_YAML))


def _from_yaml(text: str) -> Any:
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
                raise ValueError(f"an alias or a tag{_place(event.start_mark)}")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} levels{_place(event.start_mark)}")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"expected YAML, got {what}{_place(error.problem_mark)}") from error
    # Invalid numbers and dates raise ValueError and OverflowError instead of YAMLError.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ValueError(f"expected YAML, got {error}") from error


def _place(mark: Any) -> str:
    """Return where in a YAML text a mark is."""
    return "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"


def read_array(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an array written by ``np.save``: numbers, bools or texts.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not such an array, or its size differs from the declared size.
    """
    return _of(path, array_from, read(path))


def mapped_array(
    path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r"
) -> np.memmap[Any, np.dtype[Any]]:
    """Map an array written by ``np.save`` into memory.

    Args:
        path: The file.
        mode: "r" to read, "r+" to write too.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: As for :func:`read_array`.
    """
    start = read(path, head=2**16)
    size = Path(path).stat().st_size
    dtype, shape, order, offset = _of(path, lambda data: _npy_header(data, size), start)
    return np.memmap(path, dtype, mode, offset, shape, order)


def array_from(data: bytes) -> npt.NDArray[Any]:
    """Parse the bytes of an array written by ``np.save``, and copy the array.

    Raises:
        ValueError: The bytes are not such an array, or their number differs from the declared size.
    """
    dtype, shape, order, offset = _npy_header(data, len(data))
    array = np.ndarray(shape, dtype, data, offset, order=order).copy(order="K")
    if dtype == np.bool_ and (array.view(np.uint8) > 1).any():
        raise ValueError("expected bools, got other bytes")
    return array


def read_members(
    path: str | os.PathLike[str],
    what: str,
    names: Iterable[str] | None = None,
    most: int | None = None,
) -> dict[str, bytes]:
    """Read files from a ZIP archive.

    Args:
        path: The archive.
        what: Name of the archive for errors, such as "a gallery".
        names: Names of the files to read, None for all.
        most: Limit of their uncompressed bytes together, None for the size of the archive.

    Returns:
        The content of each file, by its name.

    Raises:
        FileNotFoundError: The archive does not exist.
        ValueError: It is not an archive, is damaged, lacks a file, or its files are too long.
    """
    data = read(path)
    most = len(data) if most is None else most
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [archive.getinfo(name) for name in names or archive.namelist()]
            if any(info.compress_type not in _COMPRESSIONS for info in found):
                raise ValueError("an unknown compression")
            if sum(info.file_size for info in found) > most:
                raise ValueError(f"more than {most} bytes")
            members = {}
            for info in found:
                with archive.open(info) as member:
                    # The limit holds even if the declared size is wrong.
                    members[info.filename] = member.read(info.file_size)
            return members
    except _ZIP_ERRORS as error:
        raise ValueError(f"{path}: expected {what}, got {error}") from error


def _npy_header(
    data: bytes, size: int
) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """Parse the header of an array file of ``size`` bytes.

    Returns:
        Dtype, shape, order and the offset of the numbers.
    """
    start = len(_NPY_MAGIC) + 2
    if not data.startswith(_NPY_MAGIC) or len(data) < start:
        raise ValueError("expected an array, got another file")
    (length,) = struct.unpack_from("<H", data, start - 2)
    header = _NPY_HEADER.fullmatch(data, start, start + length)
    if header is None or len(data) < start + length:
        raise ValueError("expected an array, got another header than np.save's")
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError as error:
        raise ValueError(f"expected an array, got {error}") from error
    shape = tuple(int(n) for n in header[3].decode().split(",") if n)
    offset = start + length
    if math.prod(shape) * dtype.itemsize != size - offset:
        raise ValueError(f"expected {shape} {dtype}, got {size - offset} bytes")
    return dtype, shape, "F" if header[2] == b"True" else "C", offset


def _of(path: str | os.PathLike[str], parse: Callable[[Any], T], data: Any) -> T:
    """Parse the content of a file. Errors begin with its path."""
    try:
        return parse(data)
    except ValueError as error:
        raise ValueError(f"{Path(path)}: {error}") from error
