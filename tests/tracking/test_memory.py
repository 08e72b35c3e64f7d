"""Who is remembered, and gets the old identity back; who is new at once; what is taken in."""

import dataclasses
import math

import numpy as np
import pytest
import reference

from sslmot import Tracker, TrackerConfig

PERSON = np.float32([100, 100, 140, 200])


def config_of(**changes):
    """Settings by which few people, of whom chance tells nothing, are re-identified."""
    return TrackerConfig(reid_false_alarms=math.inf, **changes)


CONFIG = config_of(
    tau=0.2, min_affinity=0.39, max_age=2 / 30, reid_max_age=10 / 30, instant_confirm_score=1
)
A, B, C = np.eye(3, dtype=np.float32)


def at(*shifts, score=0.5, label=0):
    """Detections: the person, moved to the right by some pixels."""
    boxes = PERSON + np.outer(shifts, [1, 0, 1, 0])
    return np.hstack([boxes, np.full((len(shifts), 1), score), np.full((len(shifts), 1), label)])


def like(affinity, one=A, other=C):
    """A feature of some affinity to one person."""
    cosine = 1 + CONFIG.tau * math.log(affinity)
    return np.float32(cosine * one + math.sqrt(1 - cosine**2) * other)


def step(tracker, dets=(), *looks):
    """Ids by detection; 0 where one is not reported."""
    dets = np.reshape(dets, (-1, 6))
    features = np.float32(looks).reshape(-1, 3) if looks or not len(dets) else None
    tracks = tracker.step(None, dets, embeddings=features)
    ids = np.zeros(len(dets), int)
    ids[tracks.detection_index] = tracks.ids
    return ids.tolist()


def seen_and_lost(missed, config=CONFIG, **how):
    """A tracker that knows person 1 with the looks A, for some frames without a detection."""
    tracker = Tracker(config)
    for _ in range(3):
        ids = step(tracker, at(0, **how), A)
    assert ids == [1]
    for _ in range(missed):
        step(tracker)
    return tracker


def back(tracker, shift=20, looks=A, **how):
    """The id of somebody who is seen twice, which confirms."""
    assert step(tracker, at(shift, **how), looks) == [0]
    return step(tracker, at(shift, **how), looks)[0]


class TestTheLost:
    @pytest.mark.parametrize(("missed", "same"), [(3, True), (8, True), (9, False)])
    def test_are_remembered_for_a_while(self, missed, same):
        """The frames up to that in which a return is confirmed are without a detection too."""
        tracker = seen_and_lost(missed)
        assert tracker.table.tracks["ids"].tolist() == []  # no longer followed
        assert back(tracker) == (1 if same else 2)

    def test_are_forgotten_at_once_without_a_memory(self):
        assert (
            back(
                seen_and_lost(
                    3, config_of(max_age=2 / 30, reid_max_age=0.0, instant_confirm_score=1)
                )
            )
            == 2
        )

    def test_get_their_identity_while_they_are_still_followed(self):
        """Where the track itself was out of reach: too far for one frame, not for several."""
        config = config_of(
            max_age=20 / 30,
            reid_max_speed=15.0,
            instant_confirm_score=1,
        )
        tracker = seen_and_lost(3, config)
        assert tracker.table.tracks["ids"].tolist() == [1]
        assert back(tracker, 300) == 1
        assert tracker.table.tracks["ids"].tolist() == [1]  # the old track has ended

    @pytest.mark.parametrize(("boxes", "same"), [(9.9, True), (10.1, False)])
    def test_walk_so_far_and_no_farther(self, boxes, same):
        """2.5, and a half in each of five frames: the mean of both directions' boxes."""
        config = config_of(
            max_age=1 / 30,
            reid_max_speed=15.0,
            instant_confirm_score=1,
        )
        tracker = seen_and_lost(3, config)
        assert back(tracker, 40 * boxes) == (1 if same else 2)

    @pytest.mark.parametrize(("affinity", "same"), [(0.41, True), (0.37, False)])
    def test_must_look_alike(self, affinity, same):
        assert back(seen_and_lost(4), looks=like(affinity)) == (1 if same else 2)

    def test_are_of_one_class(self):
        assert back(seen_and_lost(4, label=3), label=3) == 1
        assert back(seen_and_lost(4, label=3), label=2) == 2
        assert (
            back(
                seen_and_lost(4, dataclasses.replace(CONFIG, class_agnostic=True), label=3), label=2
            )
            == 1
        )

    def test_are_not_in_view(self):
        """A double of somebody in view is somebody else."""
        tracker = seen_and_lost(0)
        for _ in range(2):
            ids = step(tracker, at(0, 60), A, A)
        assert ids == [1, 2]

    def test_are_one_person_each(self):
        """Of two who resemble one, the more alike is that one, whoever comes first."""
        tracker = seen_and_lost(4)
        for _ in range(2):
            ids = step(tracker, at(20, 90), like(0.5), like(0.8))
        assert ids == [2, 1]

    def test_are_told_apart(self):
        tracker = Tracker(CONFIG)
        for _ in range(3):
            step(tracker, at(0, 90), A, B)
        for _ in range(4):
            step(tracker)
        for _ in range(2):
            ids = step(tracker, at(10, 80), B, A)  # they changed places
        assert ids == [2, 1]

    def test_can_be_lost_again_and_again(self):
        tracker = seen_and_lost(5)
        for _ in range(5):
            assert back(tracker) == 1
            for _ in range(5):
                step(tracker)
            assert tracker.table.lost_count == 1

    def test_were_seen_where_they_were_seen_last(self):
        tracker = seen_and_lost(
            0, config_of(max_age=1 / 30, reid_max_speed=0.0, instant_confirm_score=1)
        )
        for shift in range(0, 800, 20):
            assert step(tracker, at(shift), A) == [1]
        for _ in range(4):
            step(tracker)
        assert back(tracker, 780) == 1

    def test_were_confirmed(self):
        tracker = Tracker(CONFIG)
        step(tracker, at(0), A)
        for _ in range(4):
            step(tracker)
        assert tracker.table.lost_count == 0
        assert back(tracker) == 1  # the first identity that is given

    def test_were_seen_more_than_once(self):
        """A false detection that looked sure must not lend its identity to somebody."""
        tracker = Tracker(CONFIG)
        assert step(tracker, at(0, score=1), A) == [1]
        for _ in range(4):
            step(tracker)
        assert tracker.table.lost_count == 0
        assert back(tracker) == 2

    def test_need_looks_to_be_remembered(self):
        tracker = Tracker(CONFIG)
        for _ in range(3):
            step(tracker, at(0))
        for _ in range(4):
            step(tracker)
        assert tracker.table.lost_count == 0

    def test_are_forgotten_on_reset(self):
        tracker = seen_and_lost(4)
        tracker.reset()
        assert back(tracker) == 1  # the first of another video
        assert step(tracker, at(20, 90, score=1), A, B) == [1, 2]


class TestSureDetections:
    def test_are_reported_at_once(self):
        tracker = Tracker(config_of(instant_confirm_score=0.9))
        assert step(tracker, at(0, score=0.9), A) == [1]
        assert step(tracker, [*at(0), *at(90, score=0.89)], A, B) == [1, 0]

    def test_are_reported_at_once_without_looks(self):
        tracker = Tracker()
        assert step(tracker, at(0, score=1)) == [1]
        assert step(tracker, [*at(0), *at(90, score=0.8)]) == [1, 0]

    @pytest.mark.parametrize("missed", [1, 5])
    def test_wait_where_they_resemble_somebody_lost(self, missed):
        """Whether that one is still followed or only remembered."""
        config = config_of(max_age=2 / 30, reid_max_speed=15.0)
        tracker = seen_and_lost(missed, config, score=1)
        assert step(tracker, at(260, 490, score=1), A, B) == [0, 2]
        assert step(tracker, at(260, 490, score=1), A, B) == [1, 2]

    def test_do_not_wait_for_who_is_recognised_in_this_frame(self):
        """A second one who looks alike is no longer in doubt: nobody is missing any more."""
        tracker = seen_and_lost(4, config_of(max_age=2 / 30))
        assert step(tracker, at(20, score=0.5), A) == [0]
        ids = step(tracker, [*at(20, score=0.5), *at(90, score=1)], A, A)
        assert ids == [1, 2]

    def test_without_looks_resemble_nobody(self):
        tracker = seen_and_lost(4, config_of(max_age=2 / 30))
        assert step(tracker, at(20, score=1), 0 * A) == [2]
        tracker = seen_and_lost(4, config_of(max_age=2 / 30))
        assert step(tracker, at(20, score=1)) == [2]

    def test_where_nothing_needs_confirmation_the_lost_are_recognised_at_once(self):
        tracker = seen_and_lost(4, config_of(max_age=2 / 30, min_hits=0))
        assert step(tracker, at(20), A) == [1]


@pytest.mark.parametrize("features", [(), (A,)])
def test_the_faint_start_no_track(features):
    tracker = Tracker(config_of(high_score=0.4, min_hits=0))
    assert step(tracker, at(0, score=0.39), *features) == [0]
    assert len(tracker.table) == 0
    assert step(tracker, at(0, score=0.41), *features) == [1]
    assert step(tracker, at(0, score=0.01), *features) == [1]  # but they continue one


# What is taken in.


def looks_of(tracker, identity):
    tracks = tracker.table.tracks
    return tracker.table.read_features(tracks["slots"][tracks["ids"] == identity])[0]


@pytest.mark.parametrize(("max_occlusion", "taken_in"), [(0.5, False), (0.7, True), (1.0, True)])
def test_the_looks_of_who_is_hidden_are_not_taken_in(max_occlusion, taken_in):
    """One walks behind another, and the crop shows both."""
    tracker = Tracker(config_of(max_occlusion=max_occlusion, ema=0.5))
    front = np.float32([[200, 100, 240, 210, 1, 0]])
    for shift in (0, 20, 40, 60):
        ids = step(tracker, [*at(shift, score=1), *front], A, B)
    assert ids == [1, 2]
    before = looks_of(tracker, 1)
    np.testing.assert_allclose(before, A)
    mixed = like(0.5, A, B)
    # 64 % of the box, whose feet are higher.
    assert step(tracker, [*at(126 - 40, score=1), *front], mixed, B) == [1, 2]
    expected = (before + mixed) / np.linalg.norm(before + mixed) if taken_in else before
    np.testing.assert_allclose(looks_of(tracker, 1), expected, atol=1e-6)
    np.testing.assert_allclose(looks_of(tracker, 2), B)
    # Out of the shadow, it is again.
    step(tracker, [*at(70, score=1), *front], mixed, B)
    assert reference.cosine(looks_of(tracker, 1), A) < 0.99


def test_the_looks_of_the_faint_are_not_taken_in():
    tracker = Tracker(config_of(ema=0.5))
    for _ in range(3):
        assert step(tracker, at(0, score=1), A) == [1]
    mixed = like(0.5, A, B)
    for _ in range(3):
        assert step(tracker, at(0, score=0.3), mixed) == [1]
    np.testing.assert_allclose(looks_of(tracker, 1), A)
    # Of the fourth look, after three and not after six, the share is that of delta.
    assert step(tracker, at(0, score=1), mixed) == [1]
    expected = (A + mixed) / np.linalg.norm(A + mixed)
    np.testing.assert_allclose(looks_of(tracker, 1), expected, atol=1e-6)


def test_the_looks_of_the_faint_stand_in_for_none():
    """Until a track was seen clearly, which then counts alone."""
    tracker = Tracker()
    assert step(tracker, at(0, score=1)) == [1]
    assert step(tracker, at(0, score=0.3), B) == [1]
    np.testing.assert_allclose(looks_of(tracker, 1), B)
    mixed = like(0.5, B, A)
    assert step(tracker, at(0, score=1), mixed) == [1]
    np.testing.assert_allclose(looks_of(tracker, 1), mixed, atol=1e-6)


@pytest.mark.parametrize("delta", [0.9, 0.6, 0.0])
def test_the_first_looks_weigh_alike(delta):
    """The mean of the first ones, until a new one weighs 1 - delta."""
    rng = np.random.default_rng(0)
    tracker, looks = Tracker(config_of(ema=delta)), None
    for k in range(25):
        new = np.float32(2 * A + rng.uniform(-0.3, 0.3, 3))
        assert step(tracker, at(0, score=1), new) == [1]
        unit = new / np.linalg.norm(new)
        share = min(delta, k / (k + 1))
        looks = unit if looks is None else share * looks + (1 - share) * unit
        looks = looks / np.linalg.norm(looks)
        np.testing.assert_allclose(looks_of(tracker, 1), looks, atol=1e-5)


# Slots of the feature table.


def slots_in_use(tracker):
    table = tracker.table
    held = np.concatenate([table.tracks["slots"], table.lost["slots"]])
    size = table.slots_with(0)
    assert len(np.unique(held)) == len(held)
    assert np.isin(held, np.arange(size)).all()
    # As many as are not held have room without growth, and no more: nobody leaks.
    free = size - len(held)
    assert table.slots_with(free) == size < table.slots_with(free + 1)
    return len(held)


def check_newborn(tracker, described):
    """A slot says of who has just got it what was seen, and nothing of who had it before."""
    tracks = tracker.table.tracks
    newborn = (tracks["hits"] == 0) & (tracks["time_since_update"] == 0)
    if tracker.table.feature_dim:
        features = tracker.table.read_features(tracks["slots"][newborn])
        assert (features.any(axis=1) == described).all()


def test_slots_come_back_from_the_forgotten():
    tracker = seen_and_lost(4)
    assert slots_in_use(tracker) == 1
    assert back(tracker) == 1
    assert slots_in_use(tracker) == 1  # of the new track
    for _ in range(13):
        step(tracker)
    assert slots_in_use(tracker) == 0


@pytest.mark.parametrize("described", [1, 0.5, 0])
@pytest.mark.parametrize("confirm", [0, 2])
def test_nobody_leaks_over_many_frames(described, confirm):
    rng = np.random.default_rng(0)
    config = config_of(max_age=0.1, reid_max_age=20 / 30, min_hits=confirm)
    tracker, looks, everyone, returns = Tracker(config), rng.normal(size=(12, 3)), set(), 0
    for _ in range(2000 if described == 1 and confirm else 300):
        seen = rng.permutation(12)[: rng.integers(0, 7)]
        dets = at(*80 * seen)
        dets[:, 4], dets[:, 5] = rng.uniform(0, 1, len(seen)), seen % 2
        features = looks[seen] + rng.normal(0, 0.1, (len(seen), 3))
        features = features if rng.random() < described else None
        tracks = tracker.step(None, dets, embeddings=features)
        returns += sum(tracks.explain(i).stage == "reidentified" for i in tracks.ids)
        assert len(set(tracks.ids)) == len(tracks)
        everyone |= set(tracks.ids.tolist())
        named = np.concatenate([tracker.table.tracks["ids"], tracker.table.lost["ids"]])
        assert len(np.unique(named[named > 0])) == (named > 0).sum()
        assert slots_in_use(tracker) < 64
        check_newborn(tracker, features is not None)
    assert everyone == set(range(1, len(everyone) + 1))
    assert (returns > 5) == (described > 0)


def test_a_slot_that_was_somebodys_says_nothing(device):
    """Who is born without a feature does not look like whoever had its slot before."""
    tracker = Tracker(config_of(max_age=1 / 30, tentative_max_age=0.0, instant_confirm_score=1))

    def see(*shifts, looks=None):
        dets = at(*shifts)
        z = None if looks is None else np.repeat(looks, len(dets), axis=0)
        if z is not None and device == "cuda":
            import torch

            z = torch.from_numpy(z).to(device)
        return tracker.step(None, dets, embeddings=z).ids.tolist()

    look = np.eye(1, 8, dtype=np.float32)
    assert [see(0, looks=look) for _ in range(3)] == [[], [1], [1]]
    for _ in range(3):
        see()
    see(300, looks=-look)  # takes a slot, and dies as nobody sees it again
    see()
    assert [see(20), see(20)] == [[], [2]]  # by motion alone: in that slot
