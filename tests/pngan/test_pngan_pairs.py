"""Pairs of crops: which are found, which are not, and how an epoch is drawn."""

import dataclasses

import numpy as np
import pytest
from stick_figures import people, walking

pytest.importorskip("torch")  # of the canonical poses
pytest.importorskip("sklearn")
pytest.importorskip("kornia")

from sslmot.pngan.pairs import (
    DIFFERENT,
    Pairs,
    flip_pairs,
    identity_pairs,
    pseudo_pairs,
    tracklet_pairs,
)
from sslmot.pose.canonical import distance, pose_vectors
from sslmot.pose.full_body import full_body
from sslmot.training.embed import by_histogram


def make(source, target):
    return Pairs(np.int64(source), np.int64(target), np.zeros(len(source), bool))


def as_set(pairs):
    return set(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True))


@pytest.fixture(scope="module")
def world():
    """Three people with a crop every 3 frames; some are cut off, some have no tracklet."""
    crops, joints = people(3, 24)
    rng = np.random.default_rng(0)
    joints = joints.copy()
    joints[rng.choice(len(joints), 12, replace=False), :, 1] += 0.3  # the feet are out
    tracklets = crops.tracklets.copy()
    tracklets[rng.choice(len(joints), 8, replace=False)] = -1
    frames = crops.frames // 2
    frames[10] = -1
    crops = dataclasses.replace(crops, tracklets=tracklets, frames=frames)
    assert full_body(joints).sum() == len(joints) - 12
    return crops, joints


def expected(crops, joints, allowed):
    """All pairs, one by one."""
    full, v = full_body(joints), pose_vectors(joints, 0.5)
    rows = range(len(crops))
    return {
        (i, j)
        for i in rows
        for j in rows
        if full[i] and full[j] and distance(v[i], v[j]) > DIFFERENT and allowed(i, j)
    }


def test_pairs_of_tracklets(world):
    crops, joints = world
    t, frames = crops.tracklets, crops.frames

    def allowed(i, j):
        known = t[i] >= 0 and frames[i] >= 0 and frames[j] >= 0
        return known and t[i] == t[j] and 5 <= abs(frames[i] - frames[j]) <= 50

    pairs = tracklet_pairs(crops, joints)
    want = expected(crops, joints, allowed)
    assert as_set(pairs) == want
    assert len(pairs) == len(want) > 300
    assert not pairs.mirrored.any()


@pytest.mark.parametrize("in_one_clip", [False, True])
def test_pairs_of_identities(world, in_one_clip):
    crops, joints = world
    rng = np.random.default_rng(1)
    identities = rng.integers(-1, 4, len(crops))
    clips = rng.integers(0, 2, len(crops)).astype(np.int32)
    crops = dataclasses.replace(crops, clips=clips)

    def allowed(i, j):
        return identities[i] == identities[j] >= 0 and (not in_one_clip or clips[i] == clips[j])

    pairs = identity_pairs(crops, joints, identities, in_one_clip=in_one_clip)
    want = expected(crops, joints, allowed)
    assert as_set(pairs) == want
    assert len(pairs) == len(want) > 100
    across = (clips[pairs.source] != clips[pairs.target]).any()
    assert across == (not in_one_clip)


def test_pairs_of_pseudo_identities(monkeypatch):
    crops, joints = people(4, 12)
    identities = crops.tracklets  # unknown to pseudo-identities
    clips = np.tile(np.int32([0, 1]), 24)
    unlinked = np.full(len(crops), -1, np.int64)
    crops = dataclasses.replace(crops, clips=clips, tracklets=unlinked)
    # Each person has a colour, and the encoder embeds colours.
    monkeypatch.setattr("sslmot.pngan.pairs.by_encoder", lambda *_: by_histogram(crops))
    pairs = pseudo_pairs(crops, joints, None)
    assert len(np.unique(pairs.source)) > 30
    np.testing.assert_array_equal(identities[pairs.source], identities[pairs.target])
    np.testing.assert_array_equal(clips[pairs.source], clips[pairs.target])


def test_pairs_of_mirror_images(world):
    _, joints = world
    pairs = flip_pairs(joints)
    np.testing.assert_array_equal(pairs.source, np.flatnonzero(full_body(joints)))
    np.testing.assert_array_equal(pairs.target, pairs.source)
    assert pairs.mirrored.all()


def test_an_epoch_has_every_source_once(world):
    pairs = tracklet_pairs(*world)
    epoch = pairs.draw(np.random.default_rng(0))
    assert sorted(epoch.source) == np.unique(pairs.source).tolist()
    assert epoch.source.tolist() != sorted(epoch.source)
    assert as_set(epoch) <= as_set(pairs)


def test_an_epoch_depends_on_the_seed_alone(world):
    pairs = tracklet_pairs(*world)
    first, again, other = (pairs.draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.source, again.source)
    np.testing.assert_array_equal(first.target, again.target)
    assert as_set(first) != as_set(other)


def test_every_target_is_as_likely():
    pairs = make([0, 0, 0, 0, 1], [1, 2, 3, 4, 0])
    drawn = [pairs.draw(np.random.default_rng(seed)) for seed in range(800)]
    targets = [int(epoch.target[epoch.source == 0][0]) for epoch in drawn]
    assert np.bincount(targets, minlength=5)[1:].min() > 150
    assert 300 < sum(int(epoch.source[0]) for epoch in drawn) < 500


def test_no_pair_at_all():
    crops, joints = people(2, 3)
    still = walking(np.zeros(6))
    message = (
        r"^crops: expected two full bodies of a tracklet, 5 to 50 frames apart in different poses, "
        r"got none: of 6 crops 6 show a full body, 6 of them one that is linked to others$"
    )
    with pytest.raises(ValueError, match=message):
        tracklet_pairs(crops, still)
    alone = dataclasses.replace(crops, tracklets=np.full(6, -1, np.int64))
    with pytest.raises(ValueError, match="of 6 crops 6 show a full body, 0 of them"):
        tracklet_pairs(alone, joints)
    no_joints = np.zeros_like(joints)
    with pytest.raises(ValueError, match=r"full bodies of an identity in one clip in .* 0 show a"):
        identity_pairs(crops, no_joints, crops.tracklets, in_one_clip=True)
    with pytest.raises(ValueError, match="joints: expected a full body, got none in 6 crops"):
        flip_pairs(no_joints)


def test_what_does_not_fit():
    crops, joints = people(2, 3)
    with pytest.raises(ValueError, match=r"^joints: expected those of 6 crops, got 5"):
        tracklet_pairs(crops, joints[:5])
    with pytest.raises(ValueError, match=r"^identities: expected \(6,\) int64, got \(5,\) int64"):
        identity_pairs(crops, joints, np.zeros(5, np.int64))
    with pytest.raises(ValueError, match=r"^target: expected \(2,\) int64 of 0 or more, got \(1,"):
        Pairs(np.int64([0, 1]), np.int64([0]), np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"^target: expected \(1,\) int64 of 0 or more"):
        make([0], [-1])
    with pytest.raises(ValueError, match=r"^mirrored: expected \(1,\) bool"):
        Pairs(np.int64([0]), np.int64([0]), np.int64([0]))
    with pytest.raises(ValueError, match=r"^source: expected a pair or more, got none"):
        make([], [])
