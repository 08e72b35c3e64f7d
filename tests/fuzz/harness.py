"""Run cases in a child process, with limits on time and memory of each.

The child writes the name of each case to shared memory before it runs. So the parent can report the
case if the child hangs, or is killed by a signal or a sanitizer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import struct
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import Rejections

Target = Callable[[np.random.Generator], None]
Prepare = Mapping[str, Callable[[], object]]
"""Preparation of each target, by name. It runs before the first case and is not measured."""

LONGEST_CASE = 20.0 if "san.so" in os.environ.get("LD_PRELOAD", "") else 5.0
"""Limit of processor seconds per case, so that other work on the machine has no influence. It is
higher under sanitizers, which are slow."""
MOST_MEMORY = 512 * 2**20
"""Limit of bytes that a case may allocate. The largest allowed step takes 300 MiB."""
HANG = 120.0
"""Seconds of wall time after which a case counts as hanging."""


@dataclass
class Tally:
    """Statistics of a target."""

    cases: int = 0
    rejected: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    most_memory: int = 0


class Note:
    """The running case, in memory shared with the parent."""

    _FORMAT = struct.Struct("=d?200s")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORMAT.size)

    def write(self, case: str, *, reported: bool = False) -> None:
        """Record that a case begins, or that its fault was printed (``reported``)."""
        self._FORMAT.pack_into(self._memory, 0, time.monotonic(), reported, case.encode())

    def read(self) -> tuple[float, bool, str]:
        """Return its start, whether its fault was printed, and its name."""
        began, reported, case = self._FORMAT.unpack_from(self._memory)
        return began, reported, case.rstrip(b"\0").decode()


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """Return the random generator of one case."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), number])


def run_case(target: Target, seed: int, name: str, number: int, tally: Tally) -> None:
    """Run one case.

    Raises:
        AssertionError: The case took too long, or too much memory.
        Exception: The target raised an undocumented error.
    """
    _forget_peak()
    rejected, memory, began = Rejections.count, _peak(), time.process_time()
    target(generator(seed, name, number))
    seconds, memory = time.process_time() - began, _peak() - memory
    tally.cases += 1
    tally.rejected += Rejections.count > rejected
    tally.seconds += seconds
    tally.longest = max(tally.longest, seconds)
    tally.most_memory = max(tally.most_memory, memory)
    assert seconds <= LONGEST_CASE, f"expected at most {LONGEST_CASE} s, took {seconds:.1f}"
    assert memory <= MOST_MEMORY, f"expected at most {MOST_MEMORY} bytes, took {memory}"


def fuzz(
    targets: dict[str, Target], seconds: float, seed: int, prepare: Prepare | None = None
) -> bool:
    """Run cases of all targets with equal shares of the time. Return whether there was no fault."""
    note = Note()
    return _watched(note, lambda: _run(targets, seconds, seed, note, prepare or {}), seed)


def repeat(
    target: Target, seed: int, name: str, number: int, prepare: Prepare | None = None
) -> bool:
    """Run one case again. Return whether there was no fault."""
    note = Note()

    def run() -> bool:
        _prepare(name, prepare or {}, note)
        note.write(f"{name}:{number}")
        run_case(target, seed, name, number, Tally())
        return True

    return _watched(note, run, seed)


def _prepare(name: str, prepare: Prepare, note: Note) -> None:
    note.write(f"what {name} needs")
    if name in prepare:
        prepare[name]()


def _run(
    targets: dict[str, Target], seconds: float, seed: int, note: Note, prepare: Prepare
) -> bool:
    tallies = {name: Tally() for name in targets}
    for name in targets:
        _prepare(name, prepare, note)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = min(tallies, key=lambda name: tallies[name].seconds)
        number = tallies[name].cases
        note.write(f"{name}:{number}")
        run_case(targets[name], seed, name, number, tallies[name])
    print(f"{'target':<24}{'cases':>9}{'rejected':>9}{'a minute':>10}{'longest':>10}{'memory':>10}")
    for name, t in tallies.items():
        rate = 60 * t.cases / max(t.seconds, 1e-9)
        print(
            f"{name:<24}{t.cases:>9}{t.rejected:>9}{rate:>10.0f}{1e3 * t.longest:>7.0f} ms"
            f"{t.most_memory / 2**20:>6.0f} MiB"
        )
    print("no fault in", sum(t.cases for t in tallies.values()), "cases")
    return True


def _watched(note: Note, run: Callable[[], bool], seed: int) -> bool:
    """Run in a child process, and print the case if the child ends with a fault."""
    note.write("the start")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if run() else 1
        except BaseException:
            case = note.read()[2]
            print(f"fault in {case}, seed {seed}\n{traceback.format_exc()}", flush=True)
            note.write(case, reported=True)
        finally:
            sys.stdout.flush()
            os._exit(status)  # without cleanup of the parent's open files
    seen = note.read()
    changed = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        read = note.read()
        if ended:
            break
        if read != seen:  # also if it was read while the child wrote it
            seen, changed = read, time.monotonic()
        _, _, case = seen
        if time.monotonic() - changed > HANG:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(f"fault in {case}, seed {seed}: it did not end in {HANG:.0f} s")
            return False
        time.sleep(0.05)
    _, reported, case = read
    if status != 0 and not reported:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "an abort"
        print(f"fault in {case}, seed {seed}: the process ended by {how}")
    return status == 0


def _peak() -> int:
    """Return the peak memory since the last call of ``_forget_peak``, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    """Reset the peak to the current memory. If the system cannot, the peak only grows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
