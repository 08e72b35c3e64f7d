"""Pseudo-identities against slow loops in float64, in generated worlds and on real crops."""

import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sslmot.appearance.histogram import ColorHistogram
from sslmot.data.crops import CropSet
from sslmot.data.market1501 import read_market1501
from sslmot.training import identities
from sslmot.training.identities import Lag, pseudo_identities, transit_lags

seeds = st.integers(0, 2**32 - 1)


def crop_set(clips, frames, tracklets=None):
    n = len(clips)
    return CropSet(
        images=np.zeros((n, 1, 1, 3), np.uint8),
        clips=np.array(clips, np.int32),
        frames=np.array(frames, np.int64),
        tracklets=np.full(n, -1) if tracklets is None else np.array(tracklets, np.int64),
        clip_names=tuple("abcd"),
    )


def select(crops, rows):
    return crop_set(crops.clips[rows], crops.frames[rows], crops.tracklets[rows])


def members_of(crops):
    """For each clip, its crops with a known frame, in order of time."""
    return [
        np.array(
            sorted(
                (i for i in range(len(crops)) if crops.clips[i] == c and crops.frames[i] >= 0),
                key=lambda i: crops.frames[i],
            ),
            np.int64,
        )
        for c in np.unique(crops.clips)
    ]


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


# The lags between the clips, by their clocks.
WAYS = {0: 40_000, 1: 1_300, 2: 90_500}


def walks(rng, people=30, *, spread=20.0, noise=0.1, strangers=False, dim=16, views=4):
    """People walk from clip to clip: features, crops, and true identities.

    Each starts at a random one of 30,000 frames and is seen ``views`` times in each clip, every 25
    frames. Strangers are seen in one clip only.
    """
    appearance = rng.standard_normal((people, dim))
    starts = rng.integers(0, 30_000, people)
    features, clips, frames, truth = [], [], [], []
    for person in range(people):
        for clip, way in WAYS.items():
            if strangers and clip != person % len(WAYS):
                continue
            begin = starts[person] + way + round(spread * rng.standard_normal())
            for view in range(views):
                features.append(appearance[person] + noise * rng.standard_normal(dim))
                clips.append(clip)
                frames.append(begin + 25 * view)
                truth.append(person)
    order = rng.permutation(len(truth))
    features = unit(np.array(features)).astype(np.float32)[order]
    return (
        features,
        crop_set(np.array(clips)[order], np.array(frames)[order]),
        np.array(truth)[order],
    )


def agree(labels, truth):
    """Whether two labellings are equal up to their numbers."""
    return len(set(labels)) == len(set(truth)) == len(set(zip(labels, truth, strict=True)))


# The usual lags.


def lags_loop(features, crops, members, window):
    features, lags = features.astype(np.float64), []
    for a in range(len(members)):
        for b in range(a + 1, len(members)):
            found = []
            for i in members[a]:
                j = max(members[b], key=lambda j: features[i] @ features[j], default=None)
                if j is not None and i == max(members[a], key=lambda k: features[k] @ features[j]):
                    found.append(int(crops.frames[j] - crops.frames[i]))
            if not found:
                continue
            groups = [sorted(f for f in found if s <= f <= s + window) for s in sorted(found)]
            best = max(groups, key=len)  # the first of the largest
            by_chance = [
                best[0] <= crops.frames[j] - crops.frames[i] <= best[0] + window
                for i in members[a]
                for j in members[b]
            ]
            chance = sum(by_chance) / len(by_chance) * len(found)
            if len(best) - chance >= 6 * math.sqrt(chance + 1):
                lags.append(Lag(a, b, float(np.median(best)), len(best)))
    return lags


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 12), st.sampled_from([0.1, 0.6]), st.sampled_from([60, 20_000]))
def test_lags_against_the_loop(seed, people, noise, window):
    rng = np.random.default_rng(seed)
    features, crops, _ = walks(rng, people, noise=noise, views=2, dim=6)
    members = members_of(crops)
    with mock.patch.object(identities, "_ROWS", 5):
        assert transit_lags(features, crops, members, window) == lags_loop(
            features, crops, members, window
        )


@pytest.mark.parametrize("seed", range(4))
def test_lags_are_found_whatever_the_clocks(seed):
    features, crops, _ = walks(np.random.default_rng(seed), people=60)
    lags = transit_lags(features, crops, members_of(crops), 500)
    assert [(lag.first, lag.second) for lag in lags] == [(0, 1), (0, 2), (1, 2)]
    for lag in lags:
        assert lag.frames == pytest.approx(WAYS[lag.second] - WAYS[lag.first], abs=20)
        assert 60 <= lag.support <= 240


def test_lags_that_are_equal_agree_within_no_frame_at_all():
    features, crops, _ = walks(np.random.default_rng(0), people=30, spread=0, views=1)
    lags = transit_lags(features, crops, members_of(crops), 0)
    assert [lag.frames for lag in lags] == [-38_700, 50_500, 89_200]


@pytest.mark.parametrize("seed", range(4))
def test_strangers_have_no_lag(seed):
    features, crops, _ = walks(np.random.default_rng(seed), people=120, strangers=True)
    assert transit_lags(features, crops, members_of(crops), 500) == []


def test_similar_people_hide_no_lag():
    rng = np.random.default_rng(0)
    features, crops, truth = walks(rng, people=90)
    appearance = unit(rng.standard_normal((30, 16)))  # every three look alike
    features = unit(appearance[truth % 30] + 0.05 * features).astype(np.float32)
    lags = transit_lags(features, crops, members_of(crops), 500)
    assert [round(lag.frames, -2) for lag in lags] == [-38_700, 50_500, 89_200]


def test_no_lag_where_nothing_is_known():
    features, crops, _ = walks(np.random.default_rng(0), people=5)
    no_crops = np.empty(0, np.int64)
    assert transit_lags(features, crops, [], 500) == []
    assert transit_lags(features, crops, [no_crops, no_crops], 500) == []
    assert transit_lags(features, crops, [members_of(crops)[0], no_crops], 500) == []


# Which crops may show one person.

LAGS = [Lag(0, 1, 7.5, 9), Lag(0, 2, -12.0, 9), Lag(1, 3, 20.0, 9)]


def possible_loop(crops, lags, stay, transit):
    """The definition, from pairs of crops."""
    n, t = len(crops), crops.tracklets
    together = {
        (t[i], t[j])
        for i in range(n)
        for j in range(n)
        if t[i] != t[j]
        and crops.clips[i] == crops.clips[j]
        and crops.frames[i] == crops.frames[j] >= 0
    }
    usual = {(lag.first, lag.second): lag.frames for lag in lags}
    usual |= {(b, a): -frames for (a, b), frames in usual.items()}
    # Clips are numbered over all crops, with or without a frame.
    number = {c: i for i, c in enumerate(sorted(set(crops.clips.tolist())))}
    possible = np.zeros((n, n), bool)
    for i in range(n):
        for j in range(n):
            a, b = number[int(crops.clips[i])], number[int(crops.clips[j])]
            between = crops.frames[j] - crops.frames[i]
            if crops.frames[i] < 0 or crops.frames[j] < 0:
                possible[i, j] = True
            elif a == b:
                possible[i, j] = abs(between) <= stay
            elif (a, b) in usual:
                possible[i, j] = abs(between - usual[a, b]) <= transit
            if t[i] >= 0 and t[j] >= 0 and (t[i], t[j]) in together:
                possible[i, j] = False
    return possible


def random_set(rng, n):
    """All kinds of crops, with frames close enough for neighbours."""
    return crop_set(rng.integers(0, 4, n), rng.integers(-1, 40, n), rng.integers(-1, 8, n))


def stages(features, crops, lags, stay, transit, neighbours):
    """Possible pairs, the neighbours and their distances, computed in blocks of three."""
    n = len(crops)
    with (
        mock.patch.object(identities, "transit_lags", return_value=lags),
        mock.patch.object(identities, "_ROWS", 3),
    ):
        blocks = list(identities._blocks(features, crops, stay, transit))
    assert sorted(np.concatenate([block.rows for block in blocks])) == list(range(n))
    possible = np.zeros((n, n), bool)
    for rows, others, allowed in blocks:
        assert len(set(others.tolist())) == len(others)
        possible[np.ix_(rows, others)] = allowed
    near = identities._neighbours(features, blocks, neighbours)
    return possible, near, identities._jaccard_distance(near)


def neighbours_loop(features, possible, count):
    """For each crop (similarity, crop): itself, then the most similar."""
    features = features.astype(np.float64)
    rows = []
    for i in range(len(features)):
        others = [
            (features[i] @ features[j], j)
            for j in range(len(features))
            if j != i and possible[i, j] and features[i] @ features[j] > 0
        ]
        rows.append([(1.0, i), *sorted(others, reverse=True)[:count]])
    return rows


def jaccard_loop(near):
    """Zhong et al., 2017: k-reciprocal vectors, averaged over the four nearest, compared."""
    n = len(near)
    vectors = np.zeros((n, n))
    for i in range(n):
        for similarity, j in near[i]:
            if any(k == i for _, k in near[j]):
                squared = 2 - 2 * similarity
                vectors[i, j] = math.exp(-squared)
        vectors[i] /= vectors[i].sum()
    vectors = np.array([np.mean([vectors[j] for _, j in row[:4]], axis=0) for row in near])
    return np.array(
        [[1 - np.minimum(v, w).sum() / np.maximum(v, w).sum() for w in vectors] for v in vectors]
    )


cases = given(
    seed=seeds,
    n=st.integers(1, 25),
    stay=st.integers(0, 15),
    transit=st.integers(1, 15),
    neighbours=st.integers(1, 8),
)


@settings(max_examples=25, deadline=None)
@cases
def test_stages_against_loops(seed, n, stay, transit, neighbours):
    rng = np.random.default_rng(seed)
    crops = random_set(rng, n)
    features = unit(rng.standard_normal((n, 5))).astype(np.float32)
    clips = len(set(crops.clips.tolist()))
    lags = [lag for lag in LAGS if lag.second < clips]

    possible, near, apart = stages(features, crops, lags, stay, transit, neighbours)
    np.testing.assert_array_equal(possible, possible_loop(crops, lags, stay, transit))

    expected = neighbours_loop(features, possible, neighbours)
    for i, row in enumerate(expected):
        mine = slice(*near.indptr[i : i + 2])
        assert near.indices[mine].tolist() == [j for _, j in row]
        np.testing.assert_allclose(near.data[mine], [s for s, _ in row], atol=1e-5)

    dense = np.ones((n, n))
    held = apart.tocoo()  # some are an explicit 0
    dense[held.row, held.col] = held.data
    np.testing.assert_allclose(dense, jaccard_loop(expected), atol=1e-5)


def clusters_loop(apart, eps):
    """DBSCAN: (clusters of the core crops, crops that are near a core but not one)."""
    n = len(apart)
    near = [[j for j in range(n) if apart[i, j] <= eps] for i in range(n)]
    core = [i for i in range(n) if len(near[i]) >= 4]
    cluster = {i: {i} for i in core}
    for i in core:
        for j in near[i]:
            if j in cluster and cluster[j] is not cluster[i]:
                whole = cluster[i] | cluster[j]
                cluster |= dict.fromkeys(whole, whole)
    border = {i: [j for j in near[i] if j in cluster] for i in range(n) if i not in cluster}
    return cluster, border


@settings(max_examples=15, deadline=None)
@given(seed=seeds, n=st.integers(1, 40), distance=st.floats(0.2, 0.9))
def test_identities_against_the_loop(seed, n, distance):
    rng = np.random.default_rng(seed)
    crops = random_set(rng, n)
    appearance = rng.standard_normal((4, 6))
    features = appearance[rng.integers(0, 4, n)] + 0.4 * rng.standard_normal((n, 6))
    features = (features * rng.uniform(0.1, 9, (n, 1))).astype(np.float32)
    lags = lags_loop(unit(features), crops, members_of(crops), 10)
    near = neighbours_loop(unit(features), possible_loop(crops, lags, 15, 10), 6)
    apart = jaccard_loop(near)
    assume(np.abs(apart - distance).min() > 1e-4)

    cluster, border = clusters_loop(apart, distance)
    labels = pseudo_identities(
        features, crops, stay=15, transit=10, neighbours=6, distance=distance
    )
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    assert sorted(set(labels.tolist()) - {-1}) == list(range(labels.max() + 1))
    assert len({frozenset(whole) for whole in cluster.values()}) == labels.max() + 1
    for whole in cluster.values():
        assert len({labels[i] for i in whole}) == 1
    for i, cores in border.items():
        assert labels[i] in ({labels[j] for j in cores} or {-1})


# Generated worlds.


@pytest.mark.parametrize("seed", range(3))
def test_the_people_of_a_world_are_found(seed):
    features, crops, truth = walks(np.random.default_rng(seed), people=30)
    before = features.copy()
    assert agree(pseudo_identities(features, crops), truth)
    np.testing.assert_array_equal(features, before)


def test_time_separates_similar_people():
    rng = np.random.default_rng(1)
    _, crops, truth = walks(rng, people=30)
    appearance = unit(rng.standard_normal((15, 16)))  # every two look alike
    features = unit(appearance[truth % 15] + 0.02 * rng.standard_normal((len(truth), 16)))
    features = features.astype(np.float32)
    assert agree(pseudo_identities(features, crops), truth)
    # Without time they have one identity.
    timeless = crop_set(crops.clips, np.full(len(truth), -1))
    blind = pseudo_identities(features, timeless, neighbours=24)
    assert agree(blind, truth % 15)


def test_the_order_of_the_crops_does_not_matter():
    rng = np.random.default_rng(0)
    features, crops, _ = walks(rng, people=20, noise=0.3)
    labels = pseudo_identities(features, crops)
    order = rng.permutation(len(crops))
    assert agree(pseudo_identities(features[order], select(crops, order)), labels[order])


def test_strangers_of_several_clips_stay_apart():
    features, crops, truth = walks(np.random.default_rng(0), people=30, strangers=True, views=6)
    assert agree(pseudo_identities(features, crops), truth)


def test_a_person_may_stay_for_a_while():
    """One person in one clip: gaps of up to ``stay`` frames are bridged."""
    rng = np.random.default_rng(0)
    frames = np.concatenate([np.arange(0, 300, 60), np.arange(500, 800, 60)])  # a gap of 260
    features = np.ones((len(frames), 8)) + 0.01 * rng.standard_normal((len(frames), 8))
    crops = crop_set([0] * len(frames), frames)
    features = features.astype(np.float32)
    assert agree(pseudo_identities(features, crops, stay=200), frames >= 500)
    assert set(pseudo_identities(features, crops, stay=600)) == {0}


def test_people_in_view_together_are_no_neighbours():
    """Twins walk side by side: only their common frames separate them."""
    rng = np.random.default_rng(0)
    frames, twin = np.tile(np.arange(8), 2), np.repeat([0, 1], 8)
    features = (np.ones((16, 8)) + 0.01 * rng.standard_normal((16, 8))).astype(np.float32)
    assert set(pseudo_identities(features, crop_set([0] * 16, frames))) == {0}
    crops = crop_set([0] * 16, frames, twin)
    assert agree(pseudo_identities(features, crops), twin)
    # One frame in common is enough, for the whole of both tracklets.
    crops = crop_set([0] * 16, frames + 7 * twin, twin)
    assert agree(pseudo_identities(features, crops), twin)


def test_a_crop_without_a_frame_is_of_any_time():
    rng = np.random.default_rng(0)
    features, crops, truth = walks(rng, people=12)
    frames = np.where(rng.random(len(truth)) < 0.2, -1, crops.frames)
    assert agree(pseudo_identities(features, crop_set(crops.clips, frames)), truth)
    assert agree(pseudo_identities(features, crop_set(crops.clips, np.full(len(truth), -1))), truth)


def test_one_clip():
    rng = np.random.default_rng(0)
    truth = np.repeat(range(5), 6)
    features = (np.eye(5)[truth] + 0.05 * rng.standard_normal((30, 5))).astype(np.float32)
    assert agree(pseudo_identities(features, crop_set([2] * 30, np.arange(30))), truth)


def test_a_feature_of_zeros_is_like_nothing():
    features, crops, truth = walks(np.random.default_rng(0), people=10)
    features[[3, 40]] = 0
    labels = pseudo_identities(features, crops)
    assert labels[[3, 40]].tolist() == [-1, -1]
    rest = np.setdiff1d(np.arange(len(truth)), [3, 40])
    assert agree(labels[rest], truth[rest])
    assert set(pseudo_identities(np.zeros_like(features), crops)) == {-1}


@pytest.mark.parametrize("frame", [0, -1])
@pytest.mark.parametrize("n", range(1, 7))
def test_fewer_crops_than_neighbours(n, frame):
    labels = pseudo_identities(np.ones((n, 4), np.float32), crop_set([0] * n, [frame] * n))
    assert labels.tolist() == [0 if n >= 4 else -1] * n


# Real crops.


def pairs_right(labels, people, cameras):
    """Whether each pair of an identity shows one person: of all pairs, and of two cameras."""
    a, b = np.triu_indices(len(labels), 1)
    joined = (labels[a] == labels[b]) & (labels[a] >= 0)
    right, across = people[a] == people[b], cameras[a] != cameras[b]
    return right[joined], right[joined & across]


@pytest.mark.processor
@pytest.mark.slow
def test_on_market1501(data_root, tmp_path):
    """The first sequence of each camera; labels are used only to check."""
    for path in (data_root / "Market-1501" / "bounding_box_train").glob("*s1_*.jpg"):
        (tmp_path / path.name).symlink_to(path)
    real = read_market1501(tmp_path)
    crops, box = real.crops, [[0, 0, 64, 128]]
    histogram = ColorHistogram()
    features = np.concatenate([histogram(image[..., ::-1], box) for image in crops.images])

    labels = pseudo_identities(features, crops)
    everywhere, across = pairs_right(labels, real.identities, real.cameras)
    assert everywhere.mean() > 0.75
    assert across.mean() > 0.72
    assert (labels >= 0).mean() > 0.85

    # Without time far fewer people are matched across cameras.
    timeless = replace(crops, frames=np.full(len(crops), -1))
    _, blind = pairs_right(pseudo_identities(features, timeless), real.identities, real.cameras)
    assert across.sum() > 2 * blind.sum()
