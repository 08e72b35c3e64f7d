"""What comes next is made while the present is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


def prefetch(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """Give items that a thread of its own makes, so that decoding and tracking overlap.

    Args:
        items: Iterated in that thread; an error in it reaches the caller after what came before.
        ahead: So many items wait at most.

    Yields:
        The items, in order. The thread ends with this generator, as soon as the source lets it.
    """
    waiting: queue.Queue[T | object] = queue.Queue(ahead)
    errors: list[BaseException] = []
    over = threading.Event()

    def put(item: T | object) -> None:
        while not over.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item)
                if over.is_set():
                    return
        except BaseException as error:
            errors.append(error)
        finally:
            put(_END)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if errors:
            raise errors[0]
    finally:
        over.set()
        # No longer, should the source be waiting for a camera: an interrupt is not to hang on it.
        thread.join(timeout=1)
