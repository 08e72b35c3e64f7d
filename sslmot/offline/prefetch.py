"""Read the next items in a thread while the caller works on the current one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


def prefetch(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """Iterate over items in a separate thread, so that decoding and tracking overlap.

    Args:
        items: Iterated in the thread. An error is raised in the caller, after the items before it.
        ahead: Maximum number of items that wait.

    Yields:
        The items, in order. When this generator ends, the thread ends after its current item.
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
        # With a timeout, since the source may wait for a camera and an interrupt must not hang.
        thread.join(timeout=1)
