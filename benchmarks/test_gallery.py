"""How long a gallery of 100,000 identities takes to identify persons, on one core.

    pytest benchmarks/test_gallery.py --benchmark-columns=min,median,iqr,rounds

The time is that of a call; divide it by the number of persons. Where other work shares the core,
add --benchmark-timer=time.process_time. A gallery with 8 samples of each
identity takes 5 GB of memory.
"""

from __future__ import annotations

import numpy as np
import pytest

from sslmot.tracking import gallery as module
from sslmot.tracking.gallery import Gallery

IDENTITIES, D = 100_000, 928


def spread(rng, n):
    """Differences between features, with the spectrum that those of the default encoder have.

    On Market-1501, 32, 64 and 128 directions hold 79, 86 and 93 % of the variance of persons.
    """
    scales = (np.arange(D) + 2.0) ** -0.75
    scales *= 0.6 / np.linalg.norm(scales)
    return rng.standard_normal((n, D), dtype=np.float32) * scales.astype(np.float32)


def views(rng, persons):
    """Features of persons, seen once more."""
    features = persons + spread(rng, len(persons))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def known(samples):
    """A gallery, and the features of its persons without what differs between views."""
    rng = np.random.default_rng(0)
    # Without a margin: at 0.1, some other person of 100,000 is often too similar.
    gallery = Gallery(capacity=IDENTITIES, samples=samples, margin=0.0)
    # As `add` would do it, in seconds and without a copy.
    gallery._samples = np.empty((IDENTITIES, samples, D), np.float32)
    persons = np.empty((IDENTITIES, D), np.float32)
    for i in range(0, IDENTITIES, 5000):
        part = slice(i, i + 5000)
        persons[part] = spread(rng, 5000)
        persons[part, 0] += 0.5
        for s in range(samples):
            gallery._samples[part, s] = views(rng, persons[part])
    gallery._counts = np.full(IDENTITIES, samples)
    gallery._identities = np.arange(1, IDENTITIES + 1)
    gallery._rows.update((k + 1, k) for k in range(IDENTITIES))
    gallery._stale = set(range(IDENTITIES))
    gallery._next_id = IDENTITIES + 1
    return gallery, persons


@pytest.fixture(scope="module", params=[3, 8])
def filled(request):
    return known(request.param)


@pytest.mark.parametrize("persons", [1, 4, 16])
def test_identify(benchmark, filled, persons):
    gallery, _ = filled
    benchmark.group = f"100,000 identities, {gallery.samples} samples of each, {D} numbers"
    rng = np.random.default_rng(1)
    who = rng.integers(0, IDENTITIES, persons)
    features = gallery._samples[who, 0] + 0.2 * spread(rng, persons)  # seen a moment later
    gallery.identify(features)  # codes the samples
    assert benchmark(gallery.identify, features).tolist() == (who + 1).tolist()


def test_the_shortlist_decides_as_all_samples(filled, monkeypatch):
    """Not a time: how often identities differ, of known persons in other views and of strangers."""
    gallery, everybody = filled
    rng = np.random.default_rng(2)
    strangers = spread(rng, 200)
    strangers[:, 0] += 0.5
    if gallery.samples > 3:
        pytest.skip("comparing all samples takes minutes")
    features = np.concatenate([views(rng, everybody[:200]), views(rng, strangers)])
    print()
    for floor, margin in ((0.75, 0.1), (0.75, 0.02), (0.6, 0.0)):
        monkeypatch.setattr(gallery, "min_similarity", floor)
        monkeypatch.setattr(gallery, "margin", margin)
        monkeypatch.setattr(module, "_FEW", 4096)
        listed = np.array([gallery.identify(row[None])[0] for row in features])
        monkeypatch.setattr(module, "_FEW", IDENTITIES)
        monkeypatch.setattr(module, "_MAX_COSINES", 2**26)
        exact = np.array([gallery.identify(row[None])[0] for row in features])
        differ = int((listed != exact).sum())
        assigned = int((exact > 0).sum())
        print(f"{floor=} {margin=}: of {len(features)}, {assigned} get one, {differ} differ")
        assert differ <= 0.02 * len(features)
