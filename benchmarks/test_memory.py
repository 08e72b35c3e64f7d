"""Memory and step time of a tracker that runs for long. Neither may grow.

    pytest benchmarks/test_memory.py --benchmark-columns=median

People come and go. The tracker keeps a lost track for 300 frames, so memory grows at first. The
resident memory of the process is measured (on Linux), including the generated crowd.
"""

from __future__ import annotations

import gc
import os
import sys
from itertools import cycle, islice
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from crowd import embedding_crowd

from sslmot import ColorHistogram, Tracker
from sslmot.demo.crowd import Crowd, CrowdConfig

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="/proc/self/statm: only on Linux"
)

MOST = 2.0
"""Allowed growth of memory, MB: 250 bytes per frame in the longer test, 1 kB in the other."""


def resident():
    """Return the resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(benchmark, step, frames, count, settled):
    """Step through frames, and report and return the growth of memory after ``settled`` frames.

    Args:
        benchmark: The fixture of pytest-benchmark.
        step: A step of a tracker, (frame, detections, embeddings).
        frames: Iterable of the arguments of ``step``.
        count: Number of frames, a multiple of 100.
        settled: Frame after which memory must not grow.
    """
    # Preallocated, so that the measurement itself does not grow.
    memory, seconds = np.zeros(count // 100), np.zeros(count)

    def run():
        for t, arguments in enumerate(islice(frames, count)):
            begin = process_time()
            step(*arguments)
            seconds[t] = process_time() - begin
            if t % 100 == 99:
                gc.collect()
                memory[t // 100] = resident()

    benchmark.pedantic(run)
    before = memory[settled // 100 - 1]
    growth = memory[-1] - before
    late, early = np.median(seconds[-1000:]), np.median(seconds[settled:-1000])
    benchmark.extra_info.update(
        {
            "frames": count,
            "settled at": settled,
            "MB then": float(before),
            "growth since, MB": float(growth),
            "peak, MB": float(memory.max()),
            "step, ms": 1e3 * float(early),
            "last 1000 / before": float(late / early),
        }
    )
    return growth


def test_embeddings(benchmark):
    """10,000 frames of 50 people, which are replaced by 5,000 others one by one."""
    benchmark.group = benchmark.name = "memory, embeddings given"
    crowd = embedding_crowd(50, 10_000, 512, leave=0.01)
    tracker, newest, people = Tracker(), 0, 0

    def step(dets, embeddings, persons):
        nonlocal newest, people
        ids = tracker.step(None, dets, embeddings=embeddings).ids
        newest, people = max(newest, *ids.tolist()), max(people, *persons.tolist())

    growth = watch(benchmark, step, crowd, 10_000, settled=2_000)
    assert people > 4_000
    assert newest == pytest.approx(people, rel=0.05)
    assert growth < MOST


def test_frames(benchmark):
    """3,000 frames: a clip of 150 frames is repeated, and all people jump at each restart."""
    benchmark.group = benchmark.name = "memory, frames of 640 x 360 and ColorHistogram"
    crowd = Crowd(CrowdConfig(width=640, height=360, frames=150))
    clip = [(crowd.frame(t), crowd.detections(t)) for t in range(len(crowd))]
    tracker, seen = Tracker(extractor=ColorHistogram()), 0

    def step(frame, dets):
        nonlocal seen
        seen += len(tracker.step(frame, dets))

    growth = watch(benchmark, step, cycle(clip), 3_000, settled=1_000)
    assert seen > 0.8 * 20 * sum(len(dets) for _, dets in clip)
    assert growth < MOST
