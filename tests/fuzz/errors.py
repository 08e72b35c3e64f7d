"""The errors that are documented: ValueErrors whose text begins with the argument's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Rejections:
    """How many inputs were refused."""

    count = 0


@contextmanager
def refusing(*names: str) -> Iterator[None]:
    """Swallow a refusal of one of some arguments.

    Args:
        *names: How its text may begin.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(names):
            raise AssertionError(f"expected an error of {names}, got: {error}") from error
        Rejections.count += 1
