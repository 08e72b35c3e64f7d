"""Shortlists: the nearest codes, and galleries of more identities than are all compared."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import _core
from sslmot.tracking import gallery as module
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.shortlist import Shortlist

HEAD, TAIL = 32, 96  # numbers of the two parts of a code
BLOCK, ROUNDS = 4096, 8  # codes that are read together; in a round, every eighth block
SPREAD = ((np.arange(200) + 2.0) ** -0.75).astype(np.float32)  # as that of an encoder's features


def nearest(codes, asked, size):
    """Call `nearest_codes`; compare what it finds with all dot products, as integers."""
    stored = (codes + 128).astype(np.uint8)
    norms = np.ceil(np.linalg.norm(codes[:, HEAD:].astype(np.float64), axis=1)).astype(np.uint16)
    head, tail = (np.ascontiguousarray(part) for part in np.split(stored, [HEAD], axis=1))
    found = _core.nearest_codes(head, tail, norms, asked, size)
    assert found.shape == (len(asked), size)
    dots = asked.astype(np.int64) @ codes.astype(np.int64).T
    for row, scores in zip(found, dots, strict=True):
        assert len(set(row.tolist())) == size
        assert sorted(scores[row].tolist()) == sorted(scores.tolist())[len(codes) - size :]
    return found


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3000), st.integers(0, 5), st.integers(1, 100))
def test_nearest_codes(seed, n, queries, size):
    rng = np.random.default_rng(seed)
    scale = rng.choice([1, 20, 127], HEAD + TAIL)
    codes = np.clip(rng.normal(0, scale, (n, HEAD + TAIL)), -127, 127).round()
    asked = rng.integers(-63, 64, (queries, HEAD + TAIL)).astype(np.int8)
    nearest(codes, asked, min(size, n))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(9000, 40000),
    st.integers(1, 600),
    st.sampled_from(["first", "last", "first block", "first round", "equal"]),
)
def test_nearest_codes_in_any_order(seed, n, size, order):
    """The list is short early on: too short, where the best come first."""
    rng = np.random.default_rng(seed)
    codes = np.clip(rng.normal(0, rng.choice([5, 60], HEAD + TAIL), (n, HEAD + TAIL)), -127, 127)
    asked = rng.integers(-63, 64, (2, HEAD + TAIL)).astype(np.int8)
    best_first = codes.round()[np.argsort(-(codes.round() @ asked[0]))]
    places = np.arange(n)
    if order == "last":
        places = places[::-1]
    elif order == "first block":
        rng.shuffle(places[BLOCK:])
    elif order == "first round":
        in_round = places // BLOCK % ROUNDS == 0
        places = np.concatenate([places[in_round], places[~in_round]]).argsort()
    elif order == "equal":
        places[:] = 7
    nearest(best_first[places], asked, size)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_codes_whose_tails_decide(seed, size):
    """Their tails are parallel to the query's: no bound of the dot product may be lower."""
    rng = np.random.default_rng(seed)
    asked = rng.integers(-63, 64, HEAD + TAIL)
    by_head, by_tail = asked * rng.uniform(0, 2, (5000, 1)), asked * rng.uniform(0, 2, (50, 1))
    by_head[:, HEAD:] = by_tail[:, :HEAD] = 0
    nearest(np.vstack([by_head, by_tail]).round(), asked[None].astype(np.int8), size)


def test_extreme_codes():
    """Sums of products stay within their types."""
    codes = np.array([[-127], [127]] * 5).repeat(HEAD + TAIL, axis=1)
    asked = np.array([[63], [-63]], np.int8).repeat(HEAD + TAIL, axis=1)
    found = nearest(codes, asked, 5)
    assert np.sort(found).tolist() == [[1, 3, 5, 7, 9], [0, 2, 4, 6, 8]]
    head, tail = (np.full((9, part), 255, np.uint8) for part in (HEAD, TAIL))
    norms = np.full(9, 65535, np.uint16)
    for size in (1, 9):
        assert _core.nearest_codes(head, tail, norms, asked, size).shape == (2, size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": np.zeros((3, 31), np.uint8)}, "head: expected uint8"),
        ({"tail": np.zeros((2, 96), np.uint8)}, "tail: expected uint8"),
        ({"tail_norms": np.zeros(3)}, "tail_norms: expected uint16"),
        ({"queries": np.full((1, 128), 64, np.int8)}, "queries: expected numbers of -63 to 63"),
        ({"size": 0}, "size: expected 1 to 3, got 0"),
        ({"size": 4}, "size: expected 1 to 3, got 4"),
    ],
)
def test_refusals(change, message):
    good = {
        "head": np.zeros((3, HEAD), np.uint8),
        "tail": np.zeros((3, TAIL), np.uint8),
        "tail_norms": np.zeros(3, np.uint16),
        "queries": np.zeros((1, HEAD + TAIL), np.int8),
        "size": 1,
    }
    _core.nearest_codes(**good)
    with pytest.raises(ValueError, match=re.escape(message)):
        _core.nearest_codes(**good | change)


def views(rng, persons):
    return (persons + rng.normal(size=persons.shape) * 0.4 * SPREAD).astype(np.float32)


def test_a_large_gallery_decides_as_if_it_compared_all(monkeypatch):
    """It grows, changes and forgets meanwhile."""
    rng = np.random.default_rng(0)
    persons = rng.normal(size=(9000, len(SPREAD))) * SPREAD
    gallery = Gallery(capacity=6500, samples=3, min_similarity=0.6, margin=0.02)
    assigned = 0
    for begin, end in ((0, 4000), (2000, 5000), (0, 6500), (3000, 7000), (6000, 9000)):
        gallery.add(np.arange(begin, end) + 1, views(rng, persons[begin:end]))
        for some in (persons[rng.integers(0, end, 40)], rng.normal(size=(10, 200)) * SPREAD):
            features = views(rng, some)
            taken = rng.integers(1, end, 5).tolist()
            listed = gallery.identify(features, taken)
            with monkeypatch.context() as patch:
                patch.setattr(module, "_FEW", 10**6)
                exact = gallery.identify(features, taken)
            assert listed.tolist() == exact.tolist()
            assigned += (exact > 0).sum()
    assert assigned > 100
    assert len(gallery) == 6500
    again = copy.deepcopy(gallery)
    assert again.identify(features).tolist() == gallery.identify(features).tolist()


@pytest.mark.parametrize("width", [3, 130])
def test_narrow_features(width):
    rng = np.random.default_rng(1)
    persons = rng.normal(size=(5000, width)).astype(np.float32)
    gallery = Gallery(capacity=5000, margin=0)
    gallery.add(np.arange(1, 5001), persons)
    assert gallery.identify(persons[[7, 4000]]).tolist() == [8, 4001]
    assert gallery.identify(np.zeros((1, width), np.float32)).tolist() == [0]


def test_identities_without_samples_on_a_list():
    """More entries than samples: an interrupt can leave an identity without any."""
    gallery = Gallery(capacity=5000)
    gallery.add(np.arange(1, 4998), np.random.default_rng(2).normal(size=(4997, 9)))
    gallery._counts[:4995] = 0
    gallery._stale.update(range(4995))
    last = gallery._samples[4995:4997, 0]
    assert gallery.identify(last).tolist() == [4996, 4997]


@pytest.mark.slow
def test_100_000_identities():
    rng = np.random.default_rng(3)
    persons = (rng.normal(size=(100_000, 200)) * SPREAD).astype(np.float32)
    gallery = Gallery(capacity=100_000)
    for i in range(0, 100_000, 10_000):
        gallery.add(np.arange(i + 1, i + 10_001), persons[i : i + 10_000])
    who = rng.integers(0, 100_000, 60)
    features = persons[who] + 0.15 * views(rng, persons[who] * 0)
    unit = persons / np.linalg.norm(persons, axis=1, keepdims=True)
    cosines = features / np.linalg.norm(features, axis=1, keepdims=True) @ unit.T
    second, best = np.sort(cosines, axis=1)[:, -2:].T
    clear = (best >= 0.75) & (best - second >= 0.1)
    expected = np.where(clear, cosines.argmax(axis=1) + 1, 0)
    found = np.array([gallery.identify(row[None])[0] for row in features])
    assert found.tolist() == expected.tolist()
    assert clear.sum() > 10
    assert (found[clear] == who[clear] + 1).all()


def test_samples_that_were_taken_out_are_on_no_list():
    rng = np.random.default_rng(0)
    rows = 6000
    samples = rng.normal(size=(rows, 1, 200)).astype(np.float32)
    samples /= np.linalg.norm(samples, axis=2, keepdims=True)
    counts, shortlist = np.ones(rows, np.int64), Shortlist()
    shortlist.update(samples, counts, set(range(rows)))
    before = samples.copy()
    changed = rng.choice(rows, 1000, replace=False)
    samples[changed] = samples[changed] @ np.diag(rng.choice([-1, 1], 200)).astype(np.float32)
    shortlist.update(samples, counts, set(changed.tolist()))
    found, _ = shortlist.find(before[changed[:8], 0], 512)
    assert (found >= 0).all()
