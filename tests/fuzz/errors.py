"""Documented errors: ValueErrors whose text begins with the name of the argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Rejections:
    """Number of rejected inputs."""

    count = 0


@contextmanager
def refusing(*names: str) -> Iterator[None]:
    """Catch and count a ValueError about one of some arguments.

    Args:
        *names: Allowed beginnings of its text.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(names):
            raise AssertionError(f"expected an error of {names}, got: {error}") from error
        Rejections.count += 1
