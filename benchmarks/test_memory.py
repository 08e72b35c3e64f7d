"""Memory of a tracker that runs for long, which must not grow, nor must its steps.

    pytest benchmarks/test_memory.py --benchmark-columns=median

People come and go. Who has gone is remembered for 300 frames, so until then memory does grow. What
is measured is what the process has resident (Linux says it), the generated crowd included.
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
    not sys.platform.startswith("linux"), reason="/proc/self/statm: Linux alone has it"
)

MOST = 2.0
"""MB that memory may grow by: 250 bytes a frame in the longer test, 1 kB in the other."""


def resident():
    """MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(benchmark, step, frames, count, settled):
    """Step through frames; report and return by how much memory grew once the tracker had settled.

    Args:
        benchmark: of pytest-benchmark.
        step: a tracker's, (frame, detections, embeddings).
        frames: iterable of its arguments.
        count: how many frames to take, a multiple of 100.
        settled: from which frame on memory is to stay as it is.
    """
    # Of a size from the start, so that what is measured is not what measures.
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
    """10,000 frames of 50 people, whose places 5,000 others take one after another."""
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
    """3,000 frames, in which a clip of 150 starts again and again: all people jump."""
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
