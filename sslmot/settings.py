"""A base of all settings: it checks the fields, and reads and writes them as YAML or JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from sslmot import files, reading

if TYPE_CHECKING:
    from typing_extensions import Self

_T = TypeVar("_T")

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.IGNORECASE)
_LARGEST: dict[type, float] = {int: 2**63 - 1, float: sys.float_info.max}


def setting(
    default: _T, low: Any, high: Any = None, *, infinite: bool = False, multiple: int = 1
) -> _T:
    """Declare a field that holds numbers, and the interval of them.

    Args:
        default: Value of the field where none is given.
        low: Least number; of a tuple, one for all its numbers or a tuple of one for each.
        high: Largest number, likewise; None for the largest int64 or float.
        infinite: Allow inf, and -inf where ``low`` is negative.
        multiple: Allow only multiples of this integer.

    Returns:
        The field, which a type checker takes for its value.
    """
    interval = {"low": low, "high": high, "infinite": infinite, "multiple": multiple}
    return dataclasses.field(default=default, metadata=interval)


@dataclass(frozen=True)
class Settings:
    """A base of frozen dataclasses whose fields are checked on construction.

    The type of a field says what it may hold: bool, int, float, str, None, a Literal, a tuple of
    numbers, or a union of these. Fields that hold numbers are declared by :func:`setting`.

    Raises:
        ValueError: A field has another type or is out of range; the message begins with its name.
    """

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if not _fits(value, hint, **field.metadata):
                expected = _expected(hint, **field.metadata)
                raise ValueError(f"{field.name}: expected {expected}, got {value!r}")

    @classmethod
    def from_dict(cls, fields: Any, source: str = "config") -> Self:
        """Read what :meth:`to_dict` returned; an absent field has its default.

        Args:
            fields: A mapping from names to values.
            source: Where they are from, for the error message.

        Raises:
            ValueError: A field is unknown or out of range.
        """
        hints = _hints(cls)
        try:
            if not isinstance(fields, dict):
                raise ValueError(f"expected a mapping of {', '.join(hints)}, got {fields!r:.200}")
            if unknown := [name for name in fields if name not in hints]:
                raise ValueError(f"expected some of {', '.join(hints)}, got {unknown[0]!r:.200}")
            return cls(**{name: _value(hints[name], value) for name, value in fields.items()})
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, as YAML and JSON hold them: tuples as lists."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_json(cls, text: str, source: str = "config") -> Self:
        """Read what :meth:`to_json` returned; an absent field has its default.

        Args:
            text: A JSON object.
            source: Where it is from, for the error message.

        Raises:
            ValueError: It is not JSON, or a field is unknown or out of range.
        """
        try:
            fields = reading.from_json(text)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        return cls.from_dict(fields, source)

    def to_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(self.to_dict())

    @classmethod
    def load(cls, path: str | Path, *, whole: bool = False) -> Self:
        """Read a YAML file.

        Args:
            path: The file.
            whole: Require every field, as in a file that :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not YAML, or a field is unknown, out of range or missing.
        """
        fields = reading.read_yaml(path)
        config = cls.from_dict({} if fields is None else fields, str(path))
        missing = [name for name in _hints(cls) if name not in (fields or {})]
        if whole and missing:
            raise ValueError(f"{path}: expected all fields, got none of {', '.join(missing)}")
        return config

    def save(self, path: str | Path) -> None:
        """Write all fields as a YAML file, whole or not at all."""
        import yaml

        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        files.write(path, text.encode())


_HINTS: dict[type, dict[str, Any]] = {}  # evaluating annotations takes most of a construction


def _hints(config: type[Settings]) -> dict[str, Any]:
    """Return the type of each field, in the order of the fields."""
    if config not in _HINTS:
        hints = get_type_hints(config)
        _HINTS[config] = {field.name: hints[field.name] for field in dataclasses.fields(config)}
    return _HINTS[config]


def _fits(value: Any, hint: Any, low: Any = None, high: Any = None, **more: Any) -> bool:
    """Return whether a value has a type, and lies in the interval of `setting`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part, low, high, **more) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple) or (parts[-1] is not ... and len(value) != len(parts)):
            return False
        bounds = (b if isinstance(b, tuple) else (b,) * len(value) for b in (low, high))
        rows = zip(value, *bounds, strict=True)
        return all(_fits(number, parts[0], *ends, **more) for number, *ends in rows)
    if hint in (int, float):
        return _is_number(value, hint, low, high, **more)
    return isinstance(value, hint)


def _is_number(
    value: Any, kind: type, low: float, high: float | None, infinite: bool, multiple: int
) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return False
    if infinite and abs(value) == math.inf:
        return value > 0 or low < 0
    in_range: bool = low <= value <= (_LARGEST[kind] if high is None else high)
    return in_range and (multiple == 1 or value % multiple == 0)


def _expected(hint: Any, **interval: Any) -> str:
    """Return what `_fits` accepts, in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_expected(part, **interval) for part in parts)
    if origin is Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(map(str, parts))
    if origin is tuple:
        count = "" if parts[-1] is ... else f"{len(parts)} "
        kind = "integers" if parts[0] is int else "numbers"
        return f"a tuple of {count}{kind} of {_in_words(**interval)}"
    if hint in (int, float):
        return f"{'an integer' if hint is int else 'a number'} of {_in_words(**interval)}"
    return {bool: "True or False", str: "a text", NoneType: "None"}[hint]


def _in_words(low: Any, high: Any, infinite: bool, multiple: int) -> str:
    def word(bound: Any) -> str:
        return f"{bound:g}" if isinstance(bound, float) else str(bound)

    text = f"{word(low)} or more" if high is None else f"{word(low)} to {word(high)}"
    if multiple > 1:
        text += f" in steps of {multiple}"
    if infinite:
        text += ", -inf or inf" if low < 0 else " or inf"
    return text


def _value(hint: Any, value: Any) -> Any:
    """Return the value of a field for a value of YAML or JSON, which have no tuples."""
    if isinstance(value, list):
        return tuple(value)
    # PyYAML reads YAML 1.1, where 1e-4 is a text; a number would be 1.0e-4.
    if hint is not str and isinstance(value, str) and re.fullmatch(_EXPONENT, value):
        return float(value)
    return value
