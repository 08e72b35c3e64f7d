"""Spread jobs over the machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Report: TypeAlias = Callable[[int], object]
"""Takes the number of steps of a job that are done, such as frames."""

_INTERVAL = 1.0  # seconds between two looks at the tasks, and between two reports of a task
_PATIENCE = 10.0  # seconds to connect, and for tasks to end after Ctrl-C
# OpenCV, FFmpeg within it, and torch would each start a thread for every core.
_THREADS = ("OMP_NUM_THREADS", "OPENCV_FFMPEG_THREADS", "OPENCV_FOR_THREADS_NUM")


def spread(
    function: Callable[[Job, Report], Result],
    jobs: Iterable[Job],
    *,
    address: str | None = None,
    gpus: int = 0,
    retries: int = 2,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[tuple[Job, Result | Exception]]:
    """Call a function with each job, each call in a task of a Ray cluster.

    A task has a new process, one CPU, and one thread for each library. It runs in the working
    directory of the caller. Nothing is uploaded: each machine needs this directory at the same
    path, and this package. A task whose process or machine dies is repeated. A task whose function
    raises an exception is not, since it would raise it again.

    If the iteration stops early, running tasks get a KeyboardInterrupt and 10 seconds to end.

    Args:
        function: A function of a module. It takes a job and a `Report`.
        jobs: What the function takes. Jobs and results are pickled.
        address: Address of the cluster, as for ``ray.init``. None for the cluster of RAY_ADDRESS,
            else the one that runs on this machine, else a new one on this machine. If this process
            is connected to a cluster already, that one is used and stays connected.
        gpus: Number of GPUs of a task.
        retries: Number of times to repeat a task whose process dies.
        progress: Called about once a second with the number of jobs that ended, and the steps of
            all jobs.

    Yields:
        Each job with its result or error, in the order of their ends. The error is an exception of
        the function, or of Ray if the process died each time.

    Raises:
        ImportError: Ray is not installed.
        ValueError: There is no such cluster, or it has no CPU or too few GPUs.
    """
    # Below `uv run`, Ray would upload the working directory.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise ImportError("a cluster needs Ray: pip install sslmot[ray]") from error

    with _connected(address):
        for name, least in {"CPU": 1, "GPU": gpus}.items():
            if (found := ray.cluster_resources().get(name, 0)) < least:
                raise ValueError(f"address: expected a cluster with a {name}, got {found:g}")
        task = ray.remote(
            num_cpus=1,
            num_gpus=gpus,
            max_retries=retries,
            max_calls=1,  # a new process: no job finds what another left
            runtime_env={"env_vars": dict.fromkeys(_THREADS, "1")},
        )(_call)
        board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()
        waiting = {
            task.remote(function, job, k, board, Path.cwd()): (k, job) for k, job in enumerate(jobs)
        }
        count = len(waiting)
        steps: dict[int, int] = {}
        try:
            while waiting:
                # All at once, since there may be thousands.
                ready, _ = ray.wait([*waiting], num_returns=len(waiting), timeout=_INTERVAL)
                ended = []
                for ref in ready:
                    k, job = waiting.pop(ref)
                    outcome, steps[k] = _outcome(ref, steps.get(k, 0))
                    ended.append((job, outcome))
                if progress is not None:
                    with suppress(ray.exceptions.RayError):  # the board is being restarted
                        board_steps = ray.get(board.read.remote(), timeout=_INTERVAL)
                        running = {k for k, _ in waiting.values()}
                        steps |= {k: n for k, n in board_steps.items() if k in running}
                    progress(count - len(waiting), sum(steps.values()))
                yield from ended
        finally:
            _stop([*waiting])


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster for a block, unless this process is connected."""
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        host, _, port = (address or "").rpartition(":")
        if port.isdecimal() and "/" not in host:
            # Ray itself tries for minutes.
            socket.create_connection((host, int(port)), _PATIENCE).close()
        ray.init(
            address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (ValueError, OSError, RuntimeError) as error:
        raise ValueError(f"address: expected a Ray cluster, got {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _outcome(ref: Any, steps: int) -> tuple[Any, int]:
    """Return the result or error of a task, and the steps that it did."""
    import ray

    try:
        result, steps = ray.get(ref)
        return result, steps
    except ray.exceptions.RayTaskError as error:
        return error.cause, steps
    except ray.exceptions.RayError as error:
        return error, steps


def _stop(refs: list[Any]) -> None:
    """Interrupt tasks, and wait for them."""
    import ray

    for ref in refs:
        ray.cancel(ref)
    if refs:
        ray.wait(refs, num_returns=len(refs), timeout=_PATIENCE)


class _Board:
    """The steps of each running job, in a process of its own."""

    def __init__(self) -> None:
        self.steps: dict[int, int] = {}

    def write(self, k: int, steps: int) -> None:
        self.steps[k] = steps

    def read(self) -> dict[int, int]:
        return self.steps


def _call(
    function: Callable[[Job, Report], Result], job: Job, k: int, board: Any, folder: Path
) -> tuple[Result, int]:
    """Call the function with job number k. Return its result and the steps that it reported."""
    # Where the cluster was started in the background, SIGINT is ignored, and so would Ray's
    # interrupts be.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        os.chdir(folder)
    except OSError as error:
        raise FileNotFoundError(
            f"expected the working directory {folder} on each machine: {error.strerror}"
        ) from None
    done, next_time = 0, time.monotonic() + _INTERVAL

    def report(steps: int) -> None:
        nonlocal done, next_time
        done = steps
        if time.monotonic() >= next_time:
            board.write.remote(k, steps)
            next_time = time.monotonic() + _INTERVAL

    return function(job, report), done
