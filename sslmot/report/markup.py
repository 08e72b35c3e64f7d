"""Build HTML and SVG. Text is escaped, markup is not."""

from __future__ import annotations

import html
from typing import TypeAlias

VOID = {"br", "img", "input", "meta"}
"""HTML elements without an end tag."""


class Markup(str):
    """HTML or SVG, which needs no escaping."""

    __slots__ = ()


Child: TypeAlias = str | int | float | None


def element(name: str, /, *children: Child, **attributes: Child) -> Markup:
    """Build an element.

    Args:
        name: Tag name.
        children: Text is escaped, `Markup` is inserted as it is, None is left out.
        attributes: ``class_`` becomes ``class``, ``aria_label`` becomes ``aria-label``. None is
            left out, True is an attribute without a value. Numbers get at most two decimals.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_text(value)}"')
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Concatenate children, as `element` does."""
    return Markup("".join(_text(child) for child in children if child is not None))


def _text(value: Child) -> str:
    if isinstance(value, Markup):
        return str(value)
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return html.escape(str(value))
