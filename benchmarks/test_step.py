"""``Tracker.step`` with given embeddings (D = 512), compared with other trackers and NumPy.

    pytest benchmarks/test_step.py --benchmark-columns=median,iqr,rounds

With ``--benchmark-timer=time.process_time``, other work on the machine has less influence.

The crowd is generated with the density of real crowds (2.5 people within 2.5 box sizes). Its
identities are known, so each row also has a score: the identity F1 of the detections in the timed
frames. There are no frames, so no tracker estimates camera motion. In one crowd, people are often
hidden for 8 to 25 frames, about once in 50 frames. Peers have their default settings. The time to
convert arrays to their formats is not included, and is reported separately. Slow trackers get fewer
frames.

Peers need ``pip install sslmot[peers]``. Missing peers are skipped.
"""

from __future__ import annotations

from functools import lru_cache
from time import process_time

import numpy as np
import pytest
from crowd import embedding_crowd
from numpy_tracker import NumpyTracker
from peers import IMPLEMENTATIONS, PEERS, Adapter, Method
from scipy.optimize import linear_sum_assignment

from sslmot import Tracker, TrackerConfig

DIM = 512
WARM_UP = 10
FRAMES = {"10": 300, "50": 300, "50, often hidden": 300, "200": 120, "1000": 40}
SECONDS = 1
"""Processor time of a row. It limits the number of timed frames, which is at least 5."""
LONGEST = 30
"""Processor time for the warm-up. A tracker that needs more is skipped."""


def ours(config=None):
    def make(patience):
        tracker = Tracker(config)

        def update(dets, embeddings):
            return tracker.step(None, dets, embeddings=embeddings)

        return Adapter(
            lambda dets, embeddings, frame: (dets, embeddings),
            update,
            lambda tracks, dets: (tracks.ids, tracks.detection_index),
        )

    return make


def plain(patience):
    tracker = NumpyTracker(TrackerConfig.paper(), DIM)

    def read(ids, dets):
        return ids[ids > 0], np.flatnonzero(ids)

    return Adapter(lambda dets, z, frame: (dets[:, :4], z), tracker.step, read)


OURS = (
    Method("sslmot", ours(), round(30 * TrackerConfig().max_age), features="given"),
    Method("sslmot, motion alone", ours(), round(30 * TrackerConfig().max_age)),
    Method("sslmot, paper's preset", ours(TrackerConfig.paper()), 0, features="given"),
    Method("paper's preset in NumPy + SciPy", plain, 0, features="given"),
)


def row(method):
    name = method.name if method.package is None else f"{method.name}, {method.package}"
    # Warnings of peers are ignored.
    marks = [pytest.mark.filterwarnings("ignore")] if method.package else []
    return pytest.param(method, id=name, marks=marks)


@lru_cache(maxsize=1)
def crowd_of(people):
    number, *hidden = people.split(", ")
    frames = WARM_UP + FRAMES[people]
    return list(embedding_crowd(int(number), frames, DIM, hidden=0.02 if hidden else 0))


def frames_in(seconds, method, people):
    """Return the number of steps done in the time. All are run, since some trackers slow down."""
    tracker, crowd = method.make(method.patience), crowd_of(people)
    end = process_time() + seconds
    for t, (dets, embeddings, _) in enumerate(crowd):
        if process_time() > end:
            return t
        tracker(dets, embeddings if method.features else None, None)
    return len(crowd)


def identity_f1(results, persons):
    """Compute the IDF1 of results (ids, detection indices), from the person of each detection."""
    reported = np.concatenate([ids for ids, _ in results])
    shown = np.concatenate([p[index] for (_, index), p in zip(results, persons, strict=True)])
    _, ids = np.unique(reported, return_inverse=True)
    together = np.zeros((shown.max(initial=0) + 1, ids.max(initial=0) + 1))
    np.add.at(together, (shown, ids), 1)
    right = together[linear_sum_assignment(together, maximize=True)].sum()
    return 2 * right / (len(reported) + sum(map(len, persons)))


@pytest.mark.parametrize("method", [row(method) for method in (*OURS, *PEERS, *IMPLEMENTATIONS)])
@pytest.mark.parametrize("people", FRAMES)
def test_step(benchmark, people, method):
    if method.package and (obstacle := method.obstacle()):
        pytest.skip(f"{method.package} is of no use here: {obstacle}; see peers in pyproject.toml")
    benchmark.group = f"step, people: {people}; D = {DIM}"
    benchmark.name = method.title
    rounds = min(FRAMES[people], max(5, frames_in(SECONDS, method, people) - WARM_UP))
    tracker = method.make(method.patience)
    frames = iter(crowd_of(people))
    conversion, pending, results, persons = [], [], [], []

    def read():
        if pending:
            result, dets = pending.pop()
            results.append(tracker.read(result, dets))

    def setup():
        read()  # before the next frame, since some trackers change their tracks in place
        dets, embeddings, identities = next(frames)
        begin = process_time()
        arguments = tracker.prepare(dets, embeddings if method.features else None, None)
        conversion.append(process_time() - begin)
        persons.append(identities)
        return (dets, *arguments), {}

    def step(dets, *arguments):
        pending.append((tracker.update(*arguments), dets))

    end = process_time() + LONGEST
    for _ in range(WARM_UP):
        if process_time() > end:
            pytest.skip(f"{method.title}: {WARM_UP} steps take more than {LONGEST} s")
        step(*setup()[0])
    benchmark.pedantic(step, setup=setup, rounds=rounds)
    while len(persons) < WARM_UP + rounds:  # with --benchmark-disable there is only one round
        step(*setup()[0])
    read()

    results, persons = results[WARM_UP:], persons[WARM_UP:]
    for (ids, index), identities in zip(results, persons, strict=True):
        assert ids.shape == index.shape == (len(np.unique(index)),)
        assert len(np.unique(ids)) == len(ids)
        assert np.isin(index, range(len(identities))).all()
    identity = identity_f1(results, persons)
    benchmark.extra_info.update(
        {
            "conversion, ms": 1e3 * float(np.median(conversion)) if method.package else 0.0,
            "by": "appearance" if method.features else "motion",
            "identity F1": f"{identity:.3f}",
            "frames": rounds,
        }
    )
    if method.package is None:
        assert identity > (0.97 if method.features else 0.9)
