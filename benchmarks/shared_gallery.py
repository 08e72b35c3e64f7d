"""Measure a shared gallery: processes that write at once, and the time to open a large store.

    python benchmarks/shared_gallery.py [WRITERS ...] [--open SAMPLES]

Each writer makes an identity and exchanges with the store, 30 times, as fast as it can.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sslmot.tracking.shared import SharedGallery

D, TURNS = 928, 30


def write(path: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with SharedGallery(path, interval=3600, capacity=100_000) as gallery:
        start, exchanges = time.perf_counter(), []
        for _ in range(TURNS):
            gallery.add([gallery.reserve(1)], rng.standard_normal((1, D)))
            before = time.perf_counter()
            gallery.flush()
            exchanges.append(time.perf_counter() - before)
        print(time.perf_counter() - start, *exchanges)


def measure(writers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/people"
        command = [sys.executable, __file__, "--write", path, "--seed"]
        started = [
            subprocess.Popen([*command, str(k)], stdout=subprocess.PIPE, text=True)
            for k in range(writers)
        ]
        rows = [list(map(float, one.communicate()[0].split())) for one in started]
        assert not any(one.returncode for one in started)
        with SharedGallery(path, capacity=100_000) as gallery:
            assert len(gallery) == writers * TURNS
        exchanges = 1e3 * np.concatenate([row[1:] for row in rows])
        rate = writers * TURNS / max(row[0] for row in rows)
        print(
            f"{writers} writers: {rate:.0f} commits a second, an exchange takes "
            f"{np.median(exchanges):.0f} ms (median), {exchanges.max():.0f} ms (most); none lost"
        )


def measure_open(samples: int) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/people"
        with SharedGallery(path, interval=3600, capacity=samples) as gallery:
            first = gallery.reserve(samples)
            for i in range(0, samples, 5000):
                features = rng.standard_normal((min(5000, samples - i), D), dtype=np.float32)
                gallery.add(np.arange(first + i, first + i + len(features)), features)
                gallery.flush()
        size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
        before = time.perf_counter()
        with SharedGallery(path, capacity=samples) as gallery:
            seconds = time.perf_counter() - before
            assert len(gallery) == samples
        print(f"{samples} samples: {size / 2**20:.0f} MiB, opened in {seconds:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("writers", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--open", type=int, default=0)
    parser.add_argument("--write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write, arguments.seed)
    else:
        for count in arguments.writers:
            measure(count)
        if arguments.open:
            measure_open(arguments.open)
