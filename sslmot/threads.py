"""The number of threads of torch's operations. It is partly of a thread, partly of the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Blocks:
    """The blocks that are entered, in any thread."""

    lock = threading.Lock()
    entered = 0
    before = 0  # the number of threads before the first of them


def set_threads(count: int) -> None:
    """Set the number of threads, if torch is in use."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@contextmanager
def kept_threads() -> Iterator[int]:
    """Restore the number of threads after a block, in which threads may set it for themselves.

    A thread that first uses torch meanwhile begins with the number that was set last.

    Yields:
        The number before the first of the blocks that are entered. Without torch, that of the
        cores.
    """
    if "torch" not in sys.modules:
        yield os.cpu_count() or 1
        return
    own = sys.modules["torch"].get_num_threads()
    with _Blocks.lock:
        if not _Blocks.entered:
            _Blocks.before = own
        _Blocks.entered += 1
        first = _Blocks.before
    try:
        yield first
    finally:
        with _Blocks.lock:
            _Blocks.entered -= 1
            set_threads(own if _Blocks.entered else first)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in a block."""
    with kept_threads():
        set_threads(1)
        yield
