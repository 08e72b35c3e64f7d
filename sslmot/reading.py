"""Files of others, read within bounds.

Only regular files are read: a pipe would keep its reader waiting. Sizes that a file declares are
compared with what is in it before anything is allocated, and nesting is limited. What is wrong with
a file is a ValueError that begins with its path.
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
"""Bytes of a JSON file."""

MOST_YAML = 2**16
"""Bytes of a YAML file: settings alone are read from some."""

DEEPEST = 16
"""Levels of lists and objects within each other."""

T = TypeVar("T")

# A text of JSON, be it cut off, or a bracket.
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
# What np.save writes, version 1.0: kinds of numbers and texts, and a shape.
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
    RuntimeError,  # ways to encrypt, or versions, that zipfile does not know
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile raises for bytes that are no archive, cut off or damaged."""


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file; False too for a name that no file can have."""
    try:
        return Path(path).is_file()
    except OSError:  # such as one that is too long
        return False


def read(
    path: str | os.PathLike[str], most: int | None = None, *, head: int | None = None
) -> bytes:
    """Read a regular file.

    Args:
        path: The file.
        most: Bytes it may have; None for any number.
        head: Bytes to read of it; None for all.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, a pipe or a device, or longer.
    """
    if "\0" in os.fspath(path):
        raise ValueError(f"{os.fspath(path)!r}: expected a path, got one with a null byte")
    # To open a pipe for reading would wait for its writer.
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
    """Read a text in UTF-8.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As :func:`read`, or it is no text.
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
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON, no object, or too deep or long.
    """
    content = _of(path, from_json, read_text(path, MOST_JSON))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {content!r:.200}")
    return content


def from_json(text: str) -> Any:
    """Read JSON of limited depth.

    Raises:
        ValueError: It is no JSON, or too deep.
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
    """Read YAML of limited depth, without aliases and tags: a few letters could mean gigabytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such YAML, or too long.
    """
    return _of(path, _from_yaml, read_text(path, MOST_YAML))


def _from_yaml(text: str) -> Any:
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
                raise ValueError(f"an alias or a tag,{event.start_mark}")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} levels,{event.start_mark}")
        return yaml.safe_load(text)
    # Numbers and dates that there are not are no errors of YAML's own.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ValueError(f"expected YAML, got {error}") from error


def read_array(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read what ``np.save`` wrote: numbers, truth values or texts.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such array, or has another size than it declares.
    """
    return _of(path, array_from, read(path))


def mapped_array(
    path: str | os.PathLike[str], mode: Literal["r", "r+"] = "r"
) -> np.memmap[Any, np.dtype[Any]]:
    """Map what ``np.save`` wrote into memory.

    Args:
        path: The file.
        mode: Whether it may be written too.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As :func:`read_array`.
    """
    start = read(path, head=2**16)
    size = Path(path).stat().st_size
    dtype, shape, order, offset = _of(path, lambda data: _npy_header(data, size), start)
    return np.memmap(path, dtype, mode, offset, shape, order)


def array_from(data: bytes) -> npt.NDArray[Any]:
    """Take what ``np.save`` wrote for an array of its own.

    Raises:
        ValueError: It is no such array, or has another size than it declares.
    """
    dtype, shape, order, offset = _npy_header(data, len(data))
    array = np.ndarray(shape, dtype, data, offset, order=order).copy(order="K")
    if dtype == np.bool_ and (array.view(np.uint8) > 1).any():
        raise ValueError("expected truth values, got other bytes")
    return array


def read_members(
    path: str | os.PathLike[str],
    what: str,
    names: Iterable[str] | None = None,
    most: int | None = None,
) -> dict[str, bytes]:
    """Read files out of a ZIP archive.

    Args:
        path: The archive.
        what: The archive is called in errors, such as "a gallery".
        names: Of the files in it; None for all of them.
        most: Bytes they may have in all; None for no more than the archive, uncompressed.

    Raises:
        FileNotFoundError: There is no such archive.
        ValueError: It is no archive, damaged, lacks a file, or they are longer.
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
                    # So many and no more are ever decompressed.
                    members[info.filename] = member.read(info.file_size)
            return members
    except _ZIP_ERRORS as error:
        raise ValueError(f"{path}: expected {what}, got {error}") from error


def _npy_header(
    data: bytes, size: int
) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """Dtype, shape, order and offset of an array whose file has so many bytes."""
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
    """What a file holds; errors begin with its path."""
    try:
        return parse(data)
    except ValueError as error:
        raise ValueError(f"{Path(path)}: {error}") from error
