"""Simulate a full disk for this process."""

import resource
import signal
from contextlib import contextmanager


@contextmanager
def full_disk(most=4096):
    """Limit the size of files to ``most`` bytes within the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
