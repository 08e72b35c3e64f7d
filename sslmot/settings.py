"""What settings have in common: checks of their fields, and a YAML file that holds them."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from sslmot import files, reading

if TYPE_CHECKING:
    from typing_extensions import Self

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """A base of frozen dataclasses that check their fields in ``__post_init__``."""

    @classmethod
    def from_dict(cls, fields: Any, source: str = "config") -> Self:
        """Read what :meth:`to_dict` wrote; what is absent has its default.

        Raises:
            ValueError: A field is unknown or out of range.
        """
        expected = ", ".join(field.name for field in dataclasses.fields(cls))
        hints = get_type_hints(cls)
        try:
            if not isinstance(fields, dict):
                raise ValueError(f"expected a mapping of {expected}, got {fields!r}")
            if unknown := [name for name in fields if name not in cls.__dataclass_fields__]:
                raise ValueError(f"expected some of {expected}, got {unknown[0]!r}")
            return cls(**{name: _value(hints[name], value) for name, value in fields.items()})
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """All fields, as YAML and JSON know them."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def load(cls, path: str | Path, *, whole: bool = False) -> Self:
        """Read a YAML file.

        Args:
            path: The file.
            whole: Whether it must hold every field, as what :meth:`save` writes does.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no YAML, or a field is unknown, out of range or missing.
        """
        fields = reading.read_yaml(path)
        config = cls.from_dict({} if fields is None else fields, str(path))
        lacking = [name for name in cls.__dataclass_fields__ if name not in (fields or {})]
        if whole and lacking:
            raise ValueError(f"{path}: expected all fields, got none of {', '.join(lacking)}")
        return config

    def save(self, path: str | Path) -> None:
        """Write all fields as a YAML file, whole or not at all."""
        import yaml

        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        files.write(path, text.encode())

    def _expect_choice(self, name: str) -> None:
        """Check a field whose type is a Literal."""
        value, choices = getattr(self, name), get_args(get_type_hints(type(self))[name])
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")

    def _expect_integer(self, name: str, low: int, high: int = 2**63 - 1) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            interval = f"{low} or more" if high == 2**63 - 1 else f"{low} to {high}"
            raise ValueError(f"{name}: expected an integer of {interval}, got {value!r}")

    @staticmethod
    def _expect_crop_size(size: Any, least: tuple[int, int], multiple: int = 1) -> None:
        most = 1024
        if not (
            isinstance(size, tuple)
            and len(size) == 2
            and all(type(n) is int for n in size)
            and all(
                low <= n <= most and n % multiple == 0 for n, low in zip(size, least, strict=True)
            )
        ):
            steps = f" in steps of {multiple}" if multiple > 1 else ""
            raise ValueError(
                f"crop_size: expected (height, width) of {least} to ({most}, {most}){steps}, "
                f"got {size!r}"
            )

    def _expect_number(self, name: str, low: float, high: float, more: str = "") -> None:
        value = getattr(self, name)
        # An infinite bound is not in the range, and NaN in none.
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= min(high, sys.float_info.max)
        ):
            interval = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise ValueError(f"{name}: expected a number of {interval}{more}, got {value!r}")


def _value(hint: Any, value: Any) -> Any:
    """What a value of YAML or JSON, which know lists alone, stands for."""
    if isinstance(value, list):
        return tuple(value)
    # YAML 1.1, which PyYAML reads, takes 1e-4 for a text: it wants 1.0e-4, sign and all.
    if hint is not str and isinstance(value, str) and re.fullmatch(_EXPONENT, value):
        return float(value)
    return value
