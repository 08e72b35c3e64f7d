"""The number of threads of torch's operations. It is partly of a thread, partly of the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Blocks:
    """The blocks that are entered, in any thread."""

    lock = threading.Lock()
    entered = 0
    before = 0  # the number of threads before the first of them


@contextmanager
def kept_threads() -> Iterator[int]:
    """Restore the number of threads after a block, in which threads may set it for themselves.

    A thread that first uses torch meanwhile begins with the number that was set last.

    Yields:
        The number before the first of the blocks that are entered.
    """
    import torch

    own = torch.get_num_threads()
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
            torch.set_num_threads(own if _Blocks.entered else first)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in a block."""
    import torch

    with kept_threads():
        torch.set_num_threads(1)
        yield
