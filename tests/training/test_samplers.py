"""Batches of pairs and their relations, against loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.data.crops import CropSet
from sslmot.training.samplers import (
    Batch,
    IdentityPairs,
    OnePerTracklet,
    Plain,
    TrackletPairs,
    members,
)

seeds = st.integers(0, 2**32 - 1)


def crop_set(clips, frames, tracklets):
    n = len(clips)
    return CropSet(
        images=np.zeros((n, 1, 1, 3), np.uint8),
        clips=np.array(clips, np.int32),
        frames=np.array(frames, np.int64),
        tracklets=np.array(tracklets, np.int64),
        clip_names=("a", "b", "c"),
    )


def random_set(rng, n=30):
    """Tracklets of one clip each; some crops have no tracklet, some no frame."""
    tracklets = rng.integers(-1, 9, n)
    return crop_set(tracklets % 3, rng.integers(-1, 6, n), tracklets)


def together_loop(crops):
    """Pairs of tracklets with a crop each in one frame."""
    return {
        (crops.tracklets[i], crops.tracklets[j])
        for i in range(len(crops))
        for j in range(len(crops))
        if crops.tracklets[i] != crops.tracklets[j]
        and min(crops.tracklets[i], crops.tracklets[j], crops.frames[i]) >= 0
        and (crops.clips[i], crops.frames[i]) == (crops.clips[j], crops.frames[j])
    }


def make(name, rng, batch_size):
    crops = random_set(rng)
    if name == "identities":
        return crops, IdentityPairs(crops, rng.integers(-1, 6, len(crops)), batch_size)
    sampler = {"plain": Plain, "tracklet": OnePerTracklet, "pairs": TrackletPairs}[name]
    return crops, sampler(crops, batch_size)


every_sampler = pytest.mark.parametrize("name", ["plain", "tracklet", "pairs", "identities"])


@every_sampler
@settings(max_examples=15, deadline=None)
@given(seed=seeds, batch_size=st.integers(2, 9))
def test_batches_are_whole(name, seed, batch_size):
    crops, sampler = make(name, np.random.default_rng(seed), batch_size)
    batches = list(sampler.epoch(np.random.default_rng(seed)))
    assert len(batches) == sampler.steps == sampler.length // batch_size
    for first, second, relation in batches:
        assert first.shape == second.shape == (batch_size,)
        assert first.dtype == second.dtype == np.int64
        assert ((first >= 0) & (first < len(crops))).all()
        assert ((second >= 0) & (second < len(crops))).all()
        if relation is not None:
            assert relation.shape == (batch_size, batch_size)
            assert relation.dtype == np.int8
            assert (relation.diagonal() == 1).all()


@every_sampler
def test_an_epoch_is_decided_by_the_generator(name):
    _, sampler = make(name, np.random.default_rng(0), 3)

    def epoch(seed):
        return [
            (first.tolist(), second.tolist())
            for first, second, _ in sampler.epoch(np.random.default_rng(seed))
        ]

    assert epoch(1) == epoch(1)  # the sampler has no state
    assert epoch(1) != epoch(2)


@every_sampler
@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_pair(name, n):
    crops = crop_set([0] * n, [-1] * n, [-1] * n)
    sampler = (
        IdentityPairs(crops, np.full(n, -1, np.int64), 2)
        if name == "identities"
        else {"plain": Plain, "tracklet": OnePerTracklet, "pairs": TrackletPairs}[name](crops, 2)
    )
    assert sampler.length == (n if name in ("plain", "tracklet") else 0)
    assert sampler.steps == 0
    assert list(sampler.epoch(np.random.default_rng(0))) == []


def test_lone_members_make_no_pair():
    crops = crop_set([0] * 4, [1, 2, 3, 4], [0, 1, 2, -1])
    assert TrackletPairs(crops, 2).length == 0
    assert IdentityPairs(crops, crops.tracklets, 2).length == 0


# The share of a process.


@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_make_the_batch(world):
    rng = np.random.default_rng(0)
    whole = Batch(rng.permutation(8), rng.permutation(8), rng.integers(-1, 2, (8, 8)).astype("i1"))
    shares = [whole.share(rank, world) for rank in range(world)]
    for part, joined in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(joined), part)
    assert all(share.relation.shape == (8 // world, 8) for share in shares)


def test_a_share_of_what_is_not_known_is_not_known():
    share = Batch(np.arange(4), np.arange(4), None).share(1, 2)
    assert share.relation is None
    assert share.first.tolist() == share.second.tolist() == [2, 3]


# Crops paired with themselves.


def test_plain_meets_every_crop_once():
    crops = random_set(np.random.default_rng(0))
    batches = list(Plain(crops, 5).epoch(np.random.default_rng(0)))
    first = np.concatenate([batch.first for batch in batches])
    assert sorted(first) == list(range(30))
    assert first.tolist() != list(range(30))
    for batch in batches:
        assert batch.relation is None
        np.testing.assert_array_equal(batch.first, batch.second)


def test_one_per_tracklet_meets_every_tracklet_once_and_each_of_its_crops_in_time():
    crops = crop_set([0] * 9, range(9), [4, 4, 4, 7, 7, -1, -1, -1, 2])
    sampler = OnePerTracklet(crops, 6)
    seen = set()
    for seed in range(30):
        (batch,) = sampler.epoch(np.random.default_rng(seed))
        assert sorted(crops.tracklets[batch.first]) == [-1, -1, -1, 2, 4, 7]
        assert {5, 6, 7, 8} < set(batch.first.tolist())
        assert batch.relation is None
        np.testing.assert_array_equal(batch.first, batch.second)
        seen.update(batch.first.tolist())
    assert seen == set(range(9))


# Two crops of a tracklet.


@settings(max_examples=30, deadline=None)
@given(seed=seeds, batch_size=st.integers(2, 9))
def test_tracklet_pairs_against_the_loop(seed, batch_size):
    rng = np.random.default_rng(seed)
    crops = random_set(rng)
    together, of = together_loop(crops), crops.tracklets
    for first, second, relation in TrackletPairs(crops, batch_size).epoch(rng):
        assert (first != second).all()
        np.testing.assert_array_equal(of[first], of[second])
        for i in range(batch_size):
            for j in range(batch_size):
                a, b = of[first[i]], of[second[j]]
                assert relation[i, j] == (1 if a == b else -1 if (a, b) in together else 0)


def test_tracklet_pairs_know_all_three():
    """Tracklets 0 and 1 share a frame; 2 walks alone, in the same frames of another clip."""
    crops = crop_set([0, 0, 0, 0, 1, 1], [1, 2, 2, 3, 1, 2], [0, 0, 1, 1, 2, 2])
    (batch,) = TrackletPairs(crops, 6).epoch(np.random.default_rng(0))
    order = np.argsort(batch.first)  # crops 0 to 5, so tracklets 0 0 1 1 2 2
    expected = [[1, -1, 0], [-1, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(
        batch.relation[order][:, order], np.kron(expected, np.ones((2, 2)))
    )


def test_tracklet_pairs_meet_every_linked_crop_once():
    crops = crop_set([0] * 8, range(8), [3, 3, -1, 5, 3, 5, 8, -1])
    sampler = TrackletPairs(crops, 5)
    seconds = Counter()
    for seed in range(40):
        (batch,) = sampler.epoch(np.random.default_rng(seed))
        assert sorted(batch.first) == [0, 1, 3, 4, 5]
        seconds.update(zip(batch.first.tolist(), batch.second.tolist(), strict=True))
    # Each other crop of the tracklet is drawn.
    assert set(seconds) == {(0, 1), (0, 4), (1, 0), (1, 4), (4, 0), (4, 1), (3, 5), (5, 3)}


# Two crops of a pseudo-identity.


@settings(max_examples=30, deadline=None)
@given(seed=seeds, batch_size=st.integers(2, 9))
def test_identity_pairs_against_the_loop(seed, batch_size):
    rng = np.random.default_rng(seed)
    crops, identities = random_set(rng), rng.integers(-1, 6, 30)
    for first, second, relation in IdentityPairs(crops, identities, batch_size).epoch(rng):
        for i in range(batch_size):
            assert first[i] != second[i]
            assert identities[first[i]] == identities[second[i]] >= 0
            mine = [k for k in range(30) if identities[k] == identities[first[i]]]
            if len({int(crops.clips[k]) for k in mine}) > 1:
                assert crops.clips[first[i]] != crops.clips[second[i]]
            for j in range(batch_size):
                same = identities[first[i]] == identities[second[j]]
                assert relation[i, j] == (1 if same else -1)


def test_identities_take_turns():
    """Large and small identities are drawn equally often, with two crops each time."""
    rng = np.random.default_rng(0)
    identities = np.repeat([0, 1, 2, 3, 4, -1], [2, 2, 3, 20, 13, 5])
    n = len(identities)
    sampler = IdentityPairs(crop_set([0] * n, [-1] * n, [-1] * n), identities, 10)
    assert sampler.length == 40
    met = set()
    for batch in sampler.epoch(rng):
        assert Counter(identities[batch.first].tolist()) == dict.fromkeys(range(5), 2)
        assert len(set(batch.first.tolist())) == 10
        met.update(batch.first.tolist())
    assert len(met) > 10  # not the same two each time


def test_an_epoch_of_identities_ends_in_the_middle_of_a_round():
    crops = crop_set([0, 1] * 4 + [2], [-1] * 9, [-1] * 9)
    identities = np.array([0, 0, 0, 0, 0, 1, 1, -1, -1])
    (batch,) = IdentityPairs(crops, identities, 7).epoch(np.random.default_rng(0))
    counts = Counter(identities[batch.first].tolist())
    assert sorted(counts.values()) == [3, 4]


def test_all_crops_of_another_clip_are_drawn():
    crops = crop_set([0, 0, 1, 1, 2], [-1] * 5, [-1] * 5)
    sampler = IdentityPairs(crops, np.zeros(5, np.int64), 5)
    drawn = set()
    for seed in range(60):
        (batch,) = sampler.epoch(np.random.default_rng(seed))
        drawn.update(zip(batch.first.tolist(), batch.second.tolist(), strict=True))
    clips = crops.clips
    assert drawn == {(i, j) for i in range(5) for j in range(5) if clips[i] != clips[j]}


# Groups.


def test_members():
    found = members(np.array([4, -1, 2, 4, 2, 9, -1]))
    assert {group: rows.tolist() for group, rows in found.items()} == {2: [2, 4], 4: [0, 3], 9: [5]}


@pytest.mark.parametrize("groups", [[], [-1], [-1, -1]])
def test_no_members(groups):
    assert members(np.array(groups, np.int64)) == {}
