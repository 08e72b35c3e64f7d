"""The tracker: its rules, the paper's preset against loops, its inputs and their errors."""

import dataclasses
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import sslmot
from sslmot import Tracker, TrackerConfig, TrackerGroup
from sslmot._core import _testing
from sslmot.data import mot
from sslmot.tracking.frame import associate

PERSON = np.float32([100, 100, 140, 200])


Z = np.eye(4, dtype=np.float32)
LOOKS = pytest.mark.parametrize("looks", [False, True], ids=["motion", "features"])


def at(*shifts, score=None):
    """Detections: the person, moved to the right by some pixels."""
    boxes = (PERSON + np.outer(shifts, [1, 0, 1, 0])).astype(np.float32)
    return boxes if score is None else np.hstack([boxes, np.full((len(boxes), 1), score)])


def of_classes(dets, *classes):
    """Detections, with a sure score if they have none, of these classes."""
    scores = dets[:, 4:] if dets.shape[1] > 4 else np.full((len(dets), 1), 0.95)
    return np.column_stack([dets[:, :4], scores, classes])


def run(tracker, frames, embeddings=None):
    """Ids by detection, frame by frame; 0 where a detection is not reported."""
    out = []
    for t, dets in enumerate(frames):
        z = None if embeddings is None else embeddings[t]
        tracks = tracker.step(None, dets, embeddings=z)
        ids = np.zeros(len(dets), int)
        ids[tracks.detection_index] = tracks.ids
        out.append(ids.tolist())
    return out


def beside(frames, looks, columns=None):
    """Features of the detections of each frame, for ``run``: people of which each looks other."""
    if not looks:
        return None
    columns = [range(len(dets)) for dets in frames] if columns is None else columns
    return [Z[list(who)] for who in columns]


def meeting():
    """Two walk towards each other, meet after 12 frames, and turn back."""
    way = [5 * min(t, 24 - t) for t in range(24)]
    return [at(x, 110 - x) for x in way]


class TestLife:
    def test_reported_once_confirmed(self):
        assert run(
            Tracker(TrackerConfig(min_hits=2, instant_confirm_score=9)), [at(k) for k in range(4)]
        ) == [
            [0],
            [0],
            [1],
            [1],
        ]

    def test_confirm_zero_reports_at_birth(self):
        assert run(Tracker(TrackerConfig(min_hits=0)), [at(0), at(1, 400)]) == [[1], [1, 2]]

    def test_ids_go_to_confirmed_tracks_only(self):
        """A false detection in one frame uses no id up."""
        frames = [at(0), at(1, 500), at(2), at(3, 800), at(4, 801)]
        config = TrackerConfig(tentative_max_age=0.0, instant_confirm_score=9)
        assert run(Tracker(config), frames) == [[0], [1, 0], [1], [1, 0], [1, 2]]

    @pytest.mark.parametrize(("missed", "same"), [(5, True), (6, False)])
    def test_patience(self, missed, same):
        tracker = Tracker(TrackerConfig(max_age=5 / 30))
        ids = run(tracker, [at(0), at(0), *[at()] * missed, at(0), at(0)])
        assert ids[1] == [1]
        assert ids[-1] == ([1] if same else [2])

    @pytest.mark.parametrize(("missed", "reported"), [(0, True), (1, True), (2, False)])
    def test_potential_patience(self, missed, reported):
        tracker = Tracker(TrackerConfig(tentative_max_age=1 / 30, instant_confirm_score=9))
        ids = run(tracker, [at(0), *[at()] * missed, at(0)])
        assert ids[-1] == ([1] if reported else [0])

    def test_lost_tracks_are_not_reported(self):
        tracker = Tracker()
        run(tracker, [at(0), at(0)])
        assert len(tracker.step(None, at())) == 0

    def test_reset_starts_again_at_one(self):
        tracker = Tracker()
        frame = np.zeros((300, 300, 3), np.uint8)
        first = [tracker.step(frame, at(0)).ids.tolist() for _ in range(3)]
        tracker.reset()
        other = np.zeros((200, 300, 3), np.uint8)  # another video, of another size
        assert [tracker.step(other, at(0)).ids.tolist() for _ in range(3)] == first

    def test_ids_belong_to_the_instance(self):
        one, two = Tracker(), Tracker()
        run(one, [at(0, 300), at(0, 300)])
        assert run(two, [at(0), at(0)])[-1] == [1]


class TestResult:
    def test_fields(self):
        tracker = Tracker(TrackerConfig(min_hits=0, high_score=0.2))
        dets = np.float64([[*PERSON, 0.25, 7], [*(PERSON + 300), 0.75, 2]])
        tracks = tracker.step(None, dets)
        assert len(tracks) == 2
        np.testing.assert_array_equal(tracks.ids, [1, 2])
        np.testing.assert_array_equal(tracks.boxes, dets[:, :4])
        np.testing.assert_array_equal(tracks.scores, [0.25, 0.75])
        np.testing.assert_array_equal(tracks.classes, [7, 2])
        np.testing.assert_array_equal(tracks.detection_index, [0, 1])
        assert [
            x.dtype
            for x in (
                tracks.ids,
                tracks.boxes,
                tracks.scores,
                tracks.classes,
                tracks.detection_index,
            )
        ] == [np.int64, np.float32, np.float32, np.int32, np.int64]

    def test_is_ordered_by_detection(self):
        tracker = Tracker()
        run(tracker, [at(0, 300, 600)] * 2)
        tracks = tracker.step(None, at(600, 0, 300))
        assert tracks.detection_index.tolist() == [0, 1, 2]
        assert tracks.ids.tolist() == [3, 1, 2]

    def test_without_scores_and_classes(self):
        tracks = Tracker(TrackerConfig(min_hits=0)).step(None, at(0))
        assert tracks.scores.tolist() == [1]
        assert tracks.classes.tolist() == [0]

    @pytest.mark.parametrize("nothing", [(), [], np.empty((0, 4)), np.empty((0, 6)), np.empty(0)])
    def test_no_detections(self, nothing):
        tracker = Tracker()
        assert len(tracker.step(None, nothing)) == 0
        assert len(tracker.step()) == 0
        for empty in ([], np.zeros(0), np.zeros((0, 0)), np.zeros((0, 8), np.float32)):
            assert len(tracker.step(None, nothing, embeddings=empty)) == 0
        assert run(tracker, [at(0)] * 2, [np.ones((1, 5))] * 2)[-1] == [1]


class TestMatching:
    @pytest.mark.parametrize("config", [TrackerConfig(motion="none"), TrackerConfig.paper()])
    def test_eq_7_keeps_classes_apart(self, config):
        frames = [of_classes(at(0), c) for c in (0, 0, 1, 1)]
        assert run(Tracker(config), frames, [Z[:1]] * 4)[1::2] == [[1], [2]]
        agnostic = Tracker(dataclasses.replace(config, class_agnostic=True))
        assert run(agnostic, frames, [Z[:1]] * 4)[1::2] == [[1], [1]]

    @pytest.mark.parametrize("every", [1, 2, 5])
    @LOOKS
    def test_a_detector_may_change_its_mind_about_a_class(self, every, looks):
        """Of one object, at any time after its first frame."""
        frames = [of_classes(at(3 * t), 7 if t // every % 2 else 2) for t in range(40)]
        tracker = Tracker()
        assert run(tracker, frames, beside(frames, looks)) == [[1]] * 40
        assert tracker.table.tracks["classes"].tolist() == [7]  # of the last detection

    @LOOKS
    def test_objects_of_two_classes_that_pass_each_other(self, looks):
        """One is hidden behind the other, and no class changes."""
        way = [(4 * t, 160 - 4 * t) for t in range(40)]
        frames = [of_classes(at(*xs), 2, 7) for xs in way]
        frames[18:23] = [dets[:1] for dets in frames[18:23]]
        looks = [z[: len(dets)] for z, dets in zip([Z] * 40, frames, strict=True)]
        for features in (None, looks):
            ids = run(Tracker(), frames, features)
            assert ids == [[1, 2][: len(dets)] for dets in frames]

    def test_a_class_decides_where_the_place_does_not(self):
        """Two turn back where they meet: by motion alone they pass through each other."""
        frames = [of_classes(dets, 0, 1) for dets in meeting()]
        assert run(Tracker(), frames)[-1] == [1, 2]
        assert run(Tracker(TrackerConfig(class_agnostic=True)), frames)[-1] == [2, 1]

    def test_a_class_does_not_change_where_the_place_is_not_certain(self):
        frames = [of_classes(at(x), c) for x, c in ((0, 0), (0, 0), (0, 0), (40, 1), (40, 1))]
        assert run(Tracker(), frames)[-1] == [2]
        assert run(Tracker(), [dets[:, :5] for dets in frames])[-1] == [1]

    @LOOKS
    def test_class_agnostic_is_without_classes(self, looks):
        """Matches, low-score detections and new tracks."""
        rng = np.random.default_rng(5)
        frames = []
        for t in range(60):
            dets = at(*(np.array([0, 15, 80, 300]) + 2 * t), score=SURE)
            dets[rng.random(4) < 0.2, 4] = FAINT
            frames.append(of_classes(dets, *rng.integers(0, 3, 4)))
        features = beside(frames, looks)
        trackers = [Tracker(TrackerConfig(class_agnostic=True)), Tracker()]
        found = run(trackers[0], frames, features)
        assert found == run(trackers[1], [dets[:, :5] for dets in frames], features)
        assert np.ravel(found).any()
        tracks = trackers[0].step(None, frames[-1], embeddings=None)
        np.testing.assert_array_equal(tracks.classes, frames[-1][tracks.detection_index, 5])

    def test_appearance_tells_two_that_turn_back(self):
        frames, z = meeting(), np.eye(2, dtype=np.float32)
        assert run(Tracker(), frames, [z] * 24)[-1] == [1, 2]
        assert run(Tracker(), frames)[-1] == [2, 1]  # what motion alone would say

    def test_appearance_finds_a_lost_track_again(self):
        z = np.float32([[1, 0]])
        frames = [at(0), at(0), at(), at(), at(90), at(90)]
        features = [z, z, z[:0], z[:0], z, z]
        assert run(Tracker(), frames, features)[-1] == [1]
        assert run(Tracker(), frames)[-1] == [2]  # too far for motion alone

    @pytest.mark.parametrize("unknown", [0, 1])
    def test_rescue_by_motion_where_appearance_is_unknown(self, unknown):
        """Of the detection, or of the track."""
        z = np.eye(2, dtype=np.float32)[:1]
        features = [z, z * unknown, z * (1 - unknown)] if unknown else [0 * z, 0 * z, z]
        assert run(Tracker(), [at(0), at(0), at(1)], features)[-1] == [1]

    def test_rescue_by_motion_of_who_is_hidden(self):
        """What is seen of a box mostly behind another says nothing against who was there."""
        z = np.eye(3, dtype=np.float32)
        behind, front = at(0), at(2) + np.float32([0, 0, 0, 20])
        frames = [np.vstack([behind, front])] * 3
        features = [z[[0, 1]], z[[0, 1]], z[[2, 1]]]
        assert run(Tracker(), frames, features)[-1] == [1, 2]

    def test_a_lonely_box_keeps_its_identity(self):
        """Motion is certain, and nothing else is near: embeddings that are noise are no reason."""
        rng = np.random.default_rng(0)
        z = np.eye(8, dtype=np.float32)[:1]
        noise = rng.normal(size=(20, 1, 8)).astype(np.float32)
        features = [z if t % 3 else noise[t // 3] for t in range(1, 60)]
        assert run(Tracker(), [at(0)] * 59, features)[1:] == [[1]] * 58

    def test_weak_embeddings_break_no_tracks(self):
        """Few frames a second, and embeddings that are half noise: motion is never sure."""
        broken = 0
        for seed in range(5):
            rng, centre = np.random.default_rng(seed), np.arange(5) * 300.0
            tracker, z = Tracker(frame_rate=1), np.eye(64, dtype=np.float32)[:5]
            for t in range(40):
                noise = rng.normal(size=z.shape)
                noise /= np.linalg.norm(noise, axis=1, keepdims=True)
                dets = at(*(centre + rng.normal(0, 40, 5)), score=SURE)
                ids = tracker.step(None, dets, embeddings=(z + noise).astype(np.float32)).ids
                broken += t > 20 and len(set(ids.tolist()) - {1, 2, 3, 4, 5})
        assert broken <= 5

    def test_a_picture_that_changes_for_good_renames_nobody(self):
        rng, z = np.random.default_rng(0), np.eye(8, dtype=np.float32)[:5]
        other = rng.normal(size=8).astype(np.float32)
        features = [z] * 40 + [z + other] * 40
        frames = [at(*range(0, 600, 120))] * 80
        assert run(Tracker(), frames, features)[1:] == [[1, 2, 3, 4, 5]] * 79

    def test_a_flash_is_no_reason_to_rename(self):
        """All look alike in four frames, and boxes are so coarse that looks could overrule them."""
        renamed, z = 0, np.eye(16, dtype=np.float32)[:6]
        for seed in range(5):
            rng, tracker = np.random.default_rng(seed), Tracker()
            place, flash = 200 * np.arange(1, 7), rng.normal(size=16).astype(np.float32)
            for t in range(70):
                centre = np.stack([place, np.full(6, 300)], axis=1) + rng.normal(0, 5, (6, 2))
                half = [20, 50] * np.exp(rng.normal(0, 0.15, (6, 2)))
                looks = np.tile(flash, (6, 1)) if t in (35, 45, 55, 65) else z
                dets = np.hstack([centre - half, centre + half, np.full((6, 1), 0.8)])
                ids = tracker.step(None, dets, embeddings=looks).ids.tolist()
                renamed += t > 30 and ids != [1, 2, 3, 4, 5, 6]
        assert renamed <= 5

    def test_zero_embeddings_match_nothing_by_appearance(self):
        zero = np.zeros((1, 8), np.float32)
        frames, features = [at(0)] * 3, [zero] * 3
        assert run(Tracker(), frames, features)[-1] == [1]  # by motion
        assert run(Tracker(TrackerConfig.paper()), frames, features)[-1] == [0]

    def test_frames_with_and_without_features_mix(self):
        z = np.eye(2, dtype=np.float32)
        frames = [at(0, 300)] * 6
        features = [None, None, z, None, z, z]
        assert run(Tracker(), frames, features)[1:] == [[1, 2]] * 5

    def test_a_frame_is_described_by_the_extractor(self):
        seen = []

        def extractor(frame, boxes):
            seen.append((frame.shape, boxes.copy()))
            return np.eye(3, dtype=np.float32)[: len(boxes)]

        tracker = Tracker(extractor=extractor)
        frame = np.zeros((240, 320, 3), np.uint8)
        tracker.step(frame, at(0, 50))
        tracker.step(frame, at())  # nothing to describe: not called
        tracker.step(frame, at(0), embeddings=np.ones((1, 3), np.float32))  # given: not called
        assert len(seen) == 1
        assert seen[0][0] == (240, 320, 3)
        np.testing.assert_array_equal(seen[0][1], at(0, 50))

    def test_the_paper_matches_people_in_a_row(self):
        """Boxes that share a centre coordinate, without a limit to the distance."""
        frames, z = [at(*range(0, 300, 60))] * 4, np.eye(5, dtype=np.float32)
        assert run(Tracker(TrackerConfig.paper()), frames, [z] * 4)[-1] == [1, 2, 3, 4, 5]

    def test_an_extractor_cannot_change_boxes(self):
        def careless(frame, boxes):
            boxes[:] = 0
            return np.ones((len(boxes), 3), np.float32)

        tracker, dets = Tracker(TrackerConfig(min_hits=0), extractor=careless), at(0)
        tracks = tracker.step(np.zeros((300, 300, 3), np.uint8), dets)
        np.testing.assert_array_equal(tracks.boxes, at(0))
        np.testing.assert_array_equal(dets, at(0))


SURE, FAINT = 0.8, 0.3


class TestFaint:
    """Detections below ``high_score``."""

    @LOOKS
    def test_continue_who_was_just_seen(self, looks):
        frames = [at(2 * t, score=FAINT if t > 1 else SURE) for t in range(8)]
        assert run(Tracker(), frames, beside(frames, looks))[1:] == [[1]] * 7

    def test_are_told_apart_by_their_looks(self):
        frames = [np.insert(d, 4, SURE if t < 12 else FAINT, 1) for t, d in enumerate(meeting())]
        assert run(Tracker(), frames, [Z[:2]] * 24)[-1] == [1, 2]
        assert run(Tracker(), frames)[-1] == [2, 1]  # what motion alone would say

    @LOOKS
    def test_find_the_lost_by_evidence(self, looks):
        """Without the filter there is no evidence: a low-score detection finds no lost track."""
        for motion, score, found in (("kalman", FAINT, 1), ("none", FAINT, 0), ("none", SURE, 1)):
            frames = [*[at(0, score=SURE)] * 3, at(), at(0, score=score)]
            tracker = Tracker(TrackerConfig(motion=motion))
            assert run(tracker, frames, beside(frames, looks))[-1] == [found]

    @LOOKS
    def test_never_start_a_track(self, looks):
        tracker, frames = Tracker(TrackerConfig(min_hits=0)), [at(0, 90, score=FAINT)] * 4
        assert run(tracker, frames, beside(frames, looks)) == [[0, 0]] * 4
        assert len(tracker.table) == 0
        assert run(tracker, [at(90, score=SURE)], beside([()], looks, [[1]])) == [[1]]

    @LOOKS
    def test_come_after_the_sure(self, looks):
        """Who is surely there is it, be it farther away; the other may continue somebody else."""
        one = np.vstack([at(0, score=FAINT), at(9, score=SURE)])
        frames = [*[at(0, score=SURE)] * 3, one]
        same = [[0]] * 3 + [[0, 0]]
        assert run(Tracker(), frames, beside(frames, looks, same))[-1] == [0, 1]
        frames, same = [*[at(0, 20, score=SURE)] * 3, one], [[0, 0]] * 4
        assert run(Tracker(), frames, beside(frames, looks, same))[-1] == [2, 1]

    @pytest.mark.parametrize("track", [Z[:1], 0 * Z[:1]], ids=["known", "unknown"])
    @pytest.mark.parametrize("faint", [Z[0], 0 * Z[0]], ids=["alike", "unlike anybody"])
    def test_come_after_the_sure_of_whom_looks_say_nothing(self, track, faint):
        frames = [*[at(0, score=SURE)] * 3]
        frames += [np.vstack([at(0, score=FAINT), at(9, score=SURE)])]
        features = [*[track] * 3, np.float32([faint, 0 * Z[0]])]
        assert run(Tracker(), frames, features)[-1] == [0, 1]

    @LOOKS
    def test_are_of_one_class(self, looks):
        for label, same in ((7, 1), (6, 0)):
            frames = [np.hstack([at(0, score=SURE), [[7]]])] * 3
            frames += [np.hstack([at(0, score=FAINT), [[label]]])]
            tracker = Tracker(TrackerConfig(motion="none"))
            assert run(tracker, frames, beside(frames, looks))[-1] == [same]
            assert run(Tracker(), frames, beside(frames, looks))[-1] == [1]
            agnostic = Tracker(TrackerConfig(motion="none", class_agnostic=True))
            assert run(agnostic, frames, beside(frames, looks))[-1] == [1]

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_threshold_is_sure(self, dtype):
        for score, reported in ((0.4, 1), (np.nextafter(np.float32(0.4), np.float32(0)), 0)):
            tracker = Tracker(TrackerConfig(high_score=0.4, min_hits=0))
            assert run(tracker, [at(0, score=score).astype(dtype)]) == [[reported]]

    @LOOKS
    def test_are_as_everyone_without_a_threshold(self, looks):
        config = TrackerConfig(high_score=-np.inf, instant_confirm_score=9)
        frames = [at(0, score=-5)] * 3 + [at()] * 2 + [at(0, score=-7)]
        by_score = run(Tracker(config), frames, beside(frames, looks))
        assert by_score[-1] == [1]
        plain = [frame[:, :4] for frame in frames]
        assert run(Tracker(config), plain, beside(frames, looks)) == by_score

    @pytest.mark.parametrize("look", [Z[0], 0 * Z[3]], ids=["like", "unknown"])
    def test_continue_a_track_by_place(self, look):
        frames = [*[at(0, score=SURE)] * 3, at(1, score=FAINT)]
        features = [*[Z[:1]] * 3, look[None]]
        assert run(Tracker(), frames, features)[-1] == [1]

    def test_an_embedding_of_an_occluded_box_is_no_evidence(self):
        behind, front = at(0, score=SURE), at(2, score=SURE) + np.float32([0, 0, 0, 20, 0])
        away, faint = front + np.float32([60, 0, 60, 0, 0]), at(0, score=FAINT)
        frames = [*[np.vstack([behind, away])] * 3, np.vstack([faint, front])]
        features = [*[Z[:2]] * 3, Z[[3, 1]]]
        assert run(Tracker(), frames, features)[-1] == [1, 2]

    def test_a_look_says_nothing_where_the_track_has_none(self):
        frames = [*[at(0, score=SURE)] * 2, at(1, score=FAINT)]
        assert run(Tracker(), frames, [None, None, Z[:1]])[-1] == [1]

    @LOOKS
    def test_a_threshold_above_all_scores_ends_tracking(self, looks):
        frames = [at(0, score=1)] * 3
        tracker = Tracker(TrackerConfig(high_score=np.inf))
        assert run(tracker, frames, beside(frames, looks)) == [[0]] * 3


class TestBirthOverlap:
    """Of a new detection with one of a confirmed track."""

    @pytest.mark.parametrize("config", [TrackerConfig(min_hits=0), TrackerConfig()])
    @LOOKS
    def test_who_stands_close_to_somebody_known_is_nobody_new(self, config, looks):
        """An IoU of 0.6 is more than 0.4, which 0.33 is not."""
        for shift, new in ((10, 0), (20, 2)):
            tracker, frames = Tracker(config), [at(0), *[at(0, shift)] * 3]
            assert run(tracker, frames, beside(frames, looks))[1:] == [[1, new]] * 3
            assert len(tracker.table) == (2 if new or looks else 1)  # one is on probation

    @LOOKS
    def test_one_allows_all(self, looks):
        tracker, frames = Tracker(TrackerConfig(new_track_max_iou=1)), [at(0), at(0, 0), at(0, 0)]
        assert sorted(run(tracker, frames, beside(frames, looks))[-1]) == [1, 2]

    @pytest.mark.parametrize(("new_track_max_iou", "born"), [(0.5, 1), (0.49, 0)])
    def test_more_than_the_threshold_is_too_much(self, new_track_max_iou, born):
        half = PERSON + np.float32([0, 0, 40, 0])  # twice as wide
        tracker = Tracker(TrackerConfig(new_track_max_iou=new_track_max_iou))
        run(tracker, [at(0), np.vstack([at(0), half])])
        assert len(tracker.table) == 1 + born

    @LOOKS
    def test_beside_a_potential_track_is_as_good_a_place_as_any(self, looks):
        """Which of the two is somebody is to be seen; those of one frame are as new."""
        waiting = TrackerConfig(instant_confirm_score=9, min_hits=2)
        frames = [at(0), at(0, 10), at(0, 10), at(0, 10)]
        assert run(Tracker(waiting), frames, beside(frames, looks))[-1] == [1, 2]
        frames = [at(0, 10)] * 2
        assert run(Tracker(), frames, beside(frames, looks)) == [[1, 2]] * 2

    @LOOKS
    def test_of_another_class_is_nobody_known(self, looks):
        """A rider does not keep the bicycle from being found."""
        both = np.hstack([at(0, 4, score=1), [[0], [1]]])
        frames = [both[:1], both, both]
        assert run(Tracker(), frames, beside(frames, looks))[-1] == [1, 2]
        agnostic = Tracker(TrackerConfig(class_agnostic=True))
        assert run(agnostic, frames, beside(frames, looks))[-1] == [1, 0]

    def test_where_somebody_was_lost_is_free(self):
        frames, features = [at(0), at(0), at(), at(0)], [Z[:1], Z[:1], Z[:0], Z[1:2]]
        assert run(Tracker(TrackerConfig(max_age=0)), frames, features)[-1] == [2]


def couple(fps=30, shift=(24, 0), alone=5, together=60, seed=0, same=False, noise=0.3):
    """Somebody, and then somebody else beside; with noise, or one person who is found twice.

    A shift of 24 pixels of 80 is an IoU of .54.

    Returns:
        Frames, features, and the first frame of the second box.
    """
    rng = np.random.default_rng(seed)
    looks = np.linalg.qr(rng.normal(size=(64, 2)))[0].T
    looks = looks[[0, 0]] if same else looks
    box = np.float64([100, 100, 180, 340])
    boxes = np.array([box, box + np.tile(shift, 2)])
    frames, features = [], []
    for t in range(alone + together):
        n = 1 + (t >= alone)
        seen = boxes[:n] + rng.normal(0, 1, (n, 4))
        frames.append(np.column_stack([seen, np.full(n, 0.95)]).astype(np.float32))
        features.append((looks[:n] + rng.normal(0, noise / 8, (n, 64))).astype(np.float32))
    return frames, features, alone


class TestProbation:
    """Of tracks beside a confirmed one."""

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("fps", [3, 10, 30, 60])
    @pytest.mark.parametrize("shift", [(24, 0), (20, 20), (20, -20)], ids=["side", "front", "back"])
    def test_somebody_else_is_reported_after_a_second(self, shift, fps, seed):
        frames, features, start = couple(fps, shift, together=2 * fps + 2, seed=seed)
        ids = run(Tracker(frame_rate=fps), frames, features)
        reported = [t for t, (_, second) in enumerate(ids[start:]) if second]
        assert fps <= reported[0] <= fps + 2
        assert ids[start + reported[0] :] == [[1, 2]] * (len(frames) - start - reported[0])

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("noise", [0, 0.3, 0.8])
    def test_who_is_found_twice_is_one(self, noise, seed):
        frames, features, start = couple(same=True, noise=noise, together=300, seed=seed)
        for seen, z in ((frames, features), (frames, None)):
            assert all(sorted(ids) == [0, 1] for ids in run(Tracker(), seen, z)[start:])

    def test_without_evidence_of_appearance_nobody_is_on_probation(self):
        frames, features, _ = couple()
        still, unknown = {"motion": "none"}, [0 * z for z in features]
        for config, z in (({}, None), ({}, unknown), (still, None), (still, features)):
            tracker = Tracker(TrackerConfig(**config))
            assert max(ids[-1] for ids in run(tracker, frames, z)[6:]) <= 1
            assert len(tracker.table) == 1

    def test_a_second_like_the_first_begins_anew(self):
        """Half a second of another look, twice, is no second."""
        frames, features, start = couple(together=48)
        for t in (start + 20, start + 21, start + 22, start + 23, start + 24):
            features[t][1] = features[t][0]
        assert run(Tracker(), frames, features)[-1] == [1, 0]
        # A frame in which the looks say little is bridged.
        frames, features, start = couple(together=48)
        features[start + 20][1] = features[start + 20][0]
        assert run(Tracker(), frames, features)[-1] == [1, 2]

    def test_takes_no_detection_of_another(self):
        """The track beside takes what the confirmed one leaves, be it nearer."""
        frames, features, _ = couple(together=20)
        frames.append(frames[-1][1:]), features.append(features[0])
        assert run(Tracker(), frames, features)[-1] == [1]

    def test_ends_where_somebody_is_alone(self):
        """Away from the other a detection starts a track as everywhere."""
        frames, features, _ = couple(together=10)
        away = frames[-1] + np.float32([[0, 0, 0, 0, 0], [30, 0, 30, 0, 0]])
        ids = run(
            Tracker(TrackerConfig(instant_confirm_score=9)),
            [*frames, away, away, away],
            [*features, *[features[-1]] * 3],
        )
        assert ids[-3:] == [[1, 0], [1, 2], [1, 2]]

    def test_takes_the_identity_of_who_was_lost(self):
        frames, features, start = couple(together=80)
        far = frames[-1] + np.float32([[0, 0, 0, 0, 0], [200, 0, 200, 0, 0]])
        film = [*[far] * 60, *[far[:1]] * 10, *frames[start:]]
        looks = [*[features[-1]] * 60, *[features[-1][:1]] * 10, *features[start:]]
        config = TrackerConfig(max_age=0.1, reid_false_alarms=np.inf)
        assert run(Tracker(config), film, looks)[-1] == [1, 2]

    def test_goes_on_in_a_copy_of_any_frame(self):
        frames, features, _ = couple(together=40)
        whole, cut = Tracker(), Tracker()
        for dets, z in zip(frames, features, strict=True):
            state = cut.state_dict()
            cut = Tracker()
            cut.load_state_dict(state)
            for tracker in (whole, cut):
                tracker.step(None, dets, embeddings=z)
            for name, values in whole.state_dict().items():
                np.testing.assert_array_equal(cut.state_dict()[name], values, name)
        assert whole.table.tracks["ids"].tolist() == [1, 2]

    def test_a_dense_crowd_is_left_alone(self):
        """More pairs than are compared are no error where nobody is confirmed by them."""
        frames = [at(0), at(0), *[at(*np.zeros(3000))] * 2]
        features = [Z[:1], Z[:1], *[Z[[0] + [1] * 2999]] * 2]
        assert max(run(Tracker(), frames, features)[-1]) == 1


class PaperTracker:
    """SSL-MOT, section 3, in loops and float64."""

    def __init__(self, config):
        self.c, self.tracks, self.next_id = config, [], 1

    def step(self, boxes, features):
        c, ids = self.c, np.zeros(len(boxes), int)
        settings_ = {
            "tau": c.tau,
            "min_affinity": c.min_affinity,
            "appearance_weight": c.appearance_weight,
            "motion_weight": c.motion_weight,
            "max_cost": c.max_cost,
        }
        cost = reference.cost(
            [t["z"] for t in self.tracks],
            features,
            [t["box"] for t in self.tracks],
            boxes,
            [np.inf] * len(self.tracks),
            settings_,
        )
        taken = set()
        for track in self.tracks:
            track["misses"] += 1
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] >= c.max_cost:
                continue
            track = self.tracks[i]
            taken.add(j)
            track["misses"] = 0
            track["matches"] += 1
            track["box"] = c.ema * track["box"] + (1 - c.ema) * boxes[j]
            new = c.ema * track["z"] + (1 - c.ema) * features[j] / np.linalg.norm(features[j])
            track["z"] = new / np.linalg.norm(new)
        for track in self.tracks:
            if track["misses"] == 0 and track["id"] == 0 and track["matches"] >= c.min_hits:
                track["id"], self.next_id = self.next_id, self.next_id + 1
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] < c.max_cost:
                ids[j] = self.tracks[i]["id"]
        self.tracks = [t for t in self.tracks if t["misses"] <= 30 * c.max_age]
        for j in range(len(boxes)):
            if j not in taken:
                z = features[j] / np.linalg.norm(features[j])
                self.tracks.append({"z": z, "box": boxes[j], "misses": 0, "matches": 0, "id": 0})
        return ids.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), people=st.integers(1, 12), confirm=st.integers(0, 3))
def test_the_papers_preset_is_the_paper(seed, people, confirm):
    rng = np.random.default_rng(seed)
    config = TrackerConfig.paper(
        tau=0.5,
        min_affinity=0.2,
        min_hits=max(confirm, 1),
        max_age=4 / 30,
        tentative_max_age=4 / 30,
    )
    tracker, oracle = Tracker(config), PaperTracker(config)
    identity = rng.normal(size=(people, 16))
    centre = rng.uniform(0, 400, (people, 2))
    for _ in range(15):
        centre += rng.normal(0, 6, centre.shape)
        seen = rng.permutation(people)[: rng.integers(0, people + 1)]
        boxes = np.hstack([centre[seen] - [20, 50], centre[seen] + [20, 50]]).astype(np.float32)
        z = (identity[seen] + rng.normal(0, 0.4, (len(seen), 16))).astype(np.float32)
        got = run(tracker, [boxes], [z])[0]
        assert got == oracle.step(boxes.astype(np.float64), z.astype(np.float64))


class TestInputs:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint16])
    def test_number_types(self, dtype):
        assert run(Tracker(), [at(0).astype(dtype)] * 2)[-1] == [1]

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_embedding_types(self, dtype):
        z = np.eye(2).astype(dtype)
        assert run(Tracker(), [at(0, 90)] * 3, [z] * 3)[-1] == [1, 2]

    def test_torch_arrays(self, device):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(0)
        frames = [at(*rng.uniform(0, 3, 5) + np.arange(5) * 60) for _ in range(6)]
        z = [np.eye(5, 32, dtype=np.float32) + rng.normal(0, 0.05, (5, 32)) for _ in range(6)]
        by_numpy = run(Tracker(), frames, z)
        moved = [torch.from_numpy(f).to(device) for f in frames]
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            features = [torch.from_numpy(x).to(device, dtype) for x in z]
            assert run(Tracker(), moved, features) == by_numpy

    def test_torch_embeddings_that_require_a_gradient(self, device):
        torch = pytest.importorskip("torch")
        z = torch.eye(1, 4, device=device, requires_grad=True)
        assert run(Tracker(), [at(0)] * 2, [z] * 2)[-1] == [1]

    def test_torch_cpu_embeddings_are_not_copied(self):
        torch = pytest.importorskip("torch")
        from sslmot.inputs import check_embeddings

        z = torch.ones(2, 4)
        assert check_embeddings(z, 2, None).ctypes.data == z.data_ptr()

    def test_strided_and_read_only_arrays(self):
        dets = np.repeat(at(0, 300), 2, axis=0)[::2]
        z = np.asfortranarray(np.eye(2, 8, dtype=np.float32))
        z.flags.writeable = False
        assert run(Tracker(), [dets] * 2, [z] * 2)[-1] == [1, 2]

    def test_unaligned_arrays_and_subclasses(self):
        packet = np.zeros(33, np.uint8)[1:]
        unaligned = packet.view(np.float32).reshape(2, 4)
        unaligned[:] = at(0, 300)
        z = np.zeros(17, np.uint8)[1:].view(np.float32).reshape(2, 2)
        z[:] = np.eye(2)
        assert run(Tracker(), [unaligned] * 2, [z] * 2)[-1] == [1, 2]
        with_classes = np.hstack([at(0, 300), [[0.9, 1], [0.8, 1]]])
        assert run(Tracker(), [np.ma.masked_array(with_classes)] * 2)[-1] == [1, 2]

    def test_inputs_are_not_changed_or_kept(self):
        tracker = Tracker()
        for _ in range(3):
            dets, z = at(0, 300), 3 * np.eye(2, dtype=np.float32)
            before = dets.copy(), z.copy()
            tracks = tracker.step(None, dets, embeddings=z)
            np.testing.assert_array_equal(dets, before[0])
            np.testing.assert_array_equal(z, before[1])
            dets[:], z[:] = -1, np.nan  # a caller that uses its buffers again
        assert tracks.ids.tolist() == [1, 2]
        np.testing.assert_array_equal(tracks.boxes, at(0, 300))


def bad_inputs():
    """(name, step arguments, message): what a step refuses after two good frames."""
    frame = np.zeros((300, 400, 3), np.uint8)
    z = np.ones((2, 8), np.float32)
    nan_z, inf_z = z.copy(), z.copy()
    nan_z[1, 3], inf_z[0, 0] = np.nan, np.inf
    nan_box, inf_box, flipped, half_class = (
        np.hstack([at(0, 90), [[0.9, 0], [0.9, 0]]]) for _ in range(4)
    )
    nan_box[1, 2], inf_box[0, 4], half_class[1, 5] = np.nan, np.inf, 0.5
    far = np.float64([[0, 0, 2e19, 2e19], [0, 0, 1, 1]])
    huge_class = np.hstack([at(0), [[0.9, 3e9]]])
    flipped[1, 2] = 0
    return [
        ((frame, at(0)[0]), r"dets: expected \(N, 4\), \(N, 5\) or \(N, 6\).*got \(4,\) float32"),
        ((frame, np.zeros((2, 3))), r"dets: expected .*got \(2, 3\) float64 on cpu"),
        ((frame, np.zeros((2, 7))), r"dets: expected .*got \(2, 7\)"),
        ((frame, at(0).astype(bool)), "dets: expected float or integer numbers, got .* bool"),
        ((frame, at(0).astype(complex)), "dets: expected float or integer numbers"),
        ((frame, at(0).astype(str)), "dets: expected float or integer numbers"),
        ((frame, "dets"), "dets: expected an array .*got str"),
        ((frame, None), "dets: expected an array .*got NoneType"),
        ((frame, [[1, 2, 3, 4], [1, 2]]), "dets: expected an array of numbers, got list"),
        ((frame, [["a", "b", "c", "d"]]), "dets: expected an array of numbers, got list"),
        ((frame, [[10**400, 0, 1, 1]]), "dets: expected an array of numbers, got list"),
        ((frame, at(0), np.array([[1e300] * 8])), "embeddings: expected finite numbers"),
        ((frame, far), r"dets: expected finite numbers up to 1e\+09, got .* in row 0"),
        ((frame, np.float64([[0, 0, 1, 1e300]])), "dets: expected finite numbers up to"),
        ((frame, huge_class), "dets: expected finite numbers up to"),
        ((frame, nan_box), r"dets: expected finite numbers up to 1e\+09, got \[.*nan.*\] in row 1"),
        ((frame, inf_box), "dets: expected finite numbers up to .* in row 0"),
        ((frame, flipped), r"dets: expected x1 <= x2 and y1 <= y2 \(xyxy\), .* in row 1"),
        ((frame, half_class), "dets: expected integer classes, got 0.5 in row 1"),
        ((frame, at(0, 90), nan_z), "embeddings: expected finite numbers.* row 1"),
        ((frame, at(0, 90), inf_z), "embeddings: expected finite numbers.* row 0"),
        ((frame, at(0), z), r"embeddings: expected \(1, 8\) float32 on cpu, got \(2, 8\) float32"),
        ((frame, at(0, 90), z[:, :7]), r"embeddings: expected \(2, 8\) .* got \(2, 7\)"),
        ((frame, at(0, 90), z[0]), r"embeddings: expected \(2, 8\) .* got \(8,\)"),
        ((frame, at(0, 90), z.astype(int)), r"embeddings: expected .*float32.* int64 on cpu"),
        ((frame, at(0, 90), "z"), "embeddings: expected an array"),
        ((frame, at(0, 90), z[:, :0]), r"embeddings: expected \(2, 8\) .* got \(2, 0\)"),
        ((frame[:200], at(0)), r"frame: expected \(300, 400, 3\) .*got \(200, 400, 3\)"),
        ((frame[..., 0], at(0)), r"frame: expected \(H, W, 3\) uint8, got \(300, 400\)"),
        ((frame.astype(np.float32), at(0)), "frame: expected .*uint8, got .* float32"),
        ((frame[:0], at(0)), r"frame: expected \(H, W, 3\)"),
        (("frame", at(0)), "frame: expected an array"),
    ]


@pytest.mark.parametrize(("args", "message"), bad_inputs())
def test_a_rejected_step_changes_nothing(args, message):
    """Two trackers see the same video; one is also given a bad frame, and cannot be told apart."""
    rng = np.random.default_rng(0)
    identity = rng.normal(size=(2, 8)).astype(np.float32)
    frame = np.zeros((300, 400, 3), np.uint8)
    plain, disturbed = Tracker(), Tracker()
    for t in range(8):
        dets = at(2 * t, 90 - 2 * t) if t != 5 else at()
        z = identity[: len(dets)] + 0.1
        if t in (2, 6):
            names = ("frame", "dets", "embeddings")
            with pytest.raises(ValueError, match=message):
                disturbed.step(**dict(zip(names, args, strict=False)))
        a = plain.step(frame, dets, embeddings=z)
        b = disturbed.step(frame, dets, embeddings=z)
        for field in ("ids", "boxes", "scores", "detection_index"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
        same_table(plain, disturbed)


def kept(tracker):
    """All that is kept from frame to frame, as arrays."""
    table, context = tracker.table, tracker.history
    columns = {
        f"{name} {column}": values
        for name in ("tracks", "lost")
        for column, values in getattr(table, name).items()
    }
    view = {} if context.grey is None else context.grey._asdict()
    return {
        **columns,
        **view,
        "features": table.read_features(np.arange(table.slots_with(0))),
        "room": [table.slots_with(2**k) for k in range(10)],
        "next id": table.next_id,
        "size": context.size,
    }


def same_table(one, two):
    these, those = kept(one), kept(two)
    assert these.keys() == those.keys()
    for name, values in these.items():
        np.testing.assert_array_equal(values, those[name], err_msg=str(name))


def test_a_bad_first_step_changes_nothing():
    tracker = Tracker()
    with pytest.raises(ValueError, match="embeddings"):
        tracker.step(
            np.zeros((9, 9, 3), np.uint8), at(0), embeddings=np.full((1, 5), np.nan, np.float32)
        )
    frame = np.zeros((200, 300, 3), np.uint8)
    z = np.ones((1, 3), np.float32)
    tracker.step(frame, at(0), embeddings=z)  # another size and width than what was refused
    assert tracker.step(frame, at(0), embeddings=z).ids.tolist() == [1]


@pytest.mark.parametrize("features", [np.ones((5, 3), np.float32), np.full((1, 3), np.nan), "no"])
def test_a_bad_extractor_is_named(features):
    def model(frame, boxes):
        return features

    with pytest.raises(ValueError, match=r"^features of function: expected"):
        Tracker(extractor=model).step(np.zeros((9, 9, 3), np.uint8), at(0))


def test_an_extractor_that_raises_changes_nothing():
    def model(frame, boxes):
        if frame.max() > 0:
            raise RuntimeError("out of memory")
        return np.eye(2, 8, dtype=np.float32)[: len(boxes)]

    plain, disturbed = Tracker(extractor=model), Tracker(extractor=model)
    frame = np.zeros((300, 400, 3), np.uint8)
    for t in range(5):
        if t == 3:
            with pytest.raises(RuntimeError, match="out of memory"):
                disturbed.step(frame + 1, at(5))
        for tracker in (plain, disturbed):
            tracker.step(frame, at(t, 90))
        same_table(plain, disturbed)


@pytest.mark.parametrize("reset", [False, True], ids=["another step", "a reset"])
def test_a_step_of_a_frame_before_is_refused_and_changes_nothing(reset):
    """Rows of a step are those of the table that it was prepared for."""
    z = np.eye(3, 8, dtype=np.float32)
    plain, late = Tracker(), Tracker()
    for t in range(3):
        for tracker in (plain, late):
            tracker.step(None, at(t, 90 + t), embeddings=z[:2])
    scene = late.prepare(None, at(4, 300), z[[0, 2]])
    associate([scene])
    for tracker in (plain, late):
        if reset:
            tracker.reset()
        else:
            tracker.step(None, at(), embeddings=z[:0])
    same_table(plain, late)
    with pytest.raises(RuntimeError, match="step: expected one of this frame, got one of another"):
        late.commit(scene)
    same_table(plain, late)
    for t in range(4, 8):
        one, other = (x.step(None, at(t, 90 + t), embeddings=z[:2]) for x in (plain, late))
        np.testing.assert_array_equal(one.ids, other.ids)
        same_table(plain, late)
    assert one.ids.tolist() == [1, 2]


def test_a_step_is_taken_in_once():
    z = np.eye(2, 8, dtype=np.float32)
    plain, twice = Tracker(TrackerConfig(min_hits=0)), Tracker(TrackerConfig(min_hits=0))
    plain.step(None, at(0, 90), embeddings=z)
    scene = twice.prepare(None, at(0, 90), z)
    associate([scene])
    assert twice.commit(scene).ids.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="step: expected one of this frame"):
        twice.commit(scene)
    same_table(plain, twice)


def test_a_config_and_an_extractor_of_another_kind():
    with pytest.raises(ValueError, match=r"config: expected a TrackerConfig, got {'tau': 1}"):
        Tracker({"tau": 1})
    with pytest.raises(ValueError, match=r"extractor: expected .*, got 3"):
        Tracker(extractor=3)


def test_an_extractor_and_weights_exclude_each_other():
    with pytest.raises(ValueError, match="weights: expected none beside an extractor"):
        Tracker(extractor=lambda frame, boxes: None, weights="encoder.safetensors")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), with_features=st.booleans(), paper=st.booleans())
def test_any_sequence_keeps_the_rules(seed, with_features, paper):
    """Ids are unique in a frame and start at 1 without gaps; indices are valid; runs repeat."""
    rng = np.random.default_rng(seed)
    config = TrackerConfig.paper() if paper else TrackerConfig(max_age=0.1)
    frames, features = [], []
    for _ in range(20):
        n = int(rng.integers(0, 15))
        corner = rng.uniform(-50, 300, (n, 2))
        frames.append(np.hstack([corner, corner + rng.choice([0, 1, 40, 300], (n, 2))]))
        features.append(rng.normal(size=(n, 4)) * rng.choice([0, 1], (n, 1)))
    given_features = features if with_features else None
    once = run(Tracker(config), frames, given_features)
    for ids in once:
        reported = [i for i in ids if i]
        assert len(set(reported)) == len(reported)
    everyone = {i for ids in once for i in ids if i}
    assert everyone == set(range(1, len(everyone) + 1))
    assert run(Tracker(config), frames, given_features) == once


def test_memory_stays_flat():
    """Tracks that come and go leave nothing behind."""
    tracker, rng = (
        Tracker(TrackerConfig(max_age=5 / 30, reid_max_age=0.3)),
        np.random.default_rng(0),
    )
    sizes = []
    for _ in range(300):
        corner = rng.uniform(0, 5000, (30, 2))
        dets = np.hstack([corner, corner + 50])
        tracker.step(None, dets, embeddings=rng.normal(size=(30, 8)))
        sizes.append(tracker.table.slots_with(0))
    assert max(sizes) <= 256  # about 180 tracks live at a time


def test_tracking_needs_no_torch():
    code = """
import sys, numpy as np, sslmot
t = sslmot.Tracker(extractor=sslmot.ColorHistogram())
t.step(None, [[10, 10, 50, 90]], embeddings=np.ones((1, 8), np.float32))
assert "cv2" not in sys.modules
t.reset()
frame = np.zeros((200, 200, 3), np.uint8)
for _ in range(3):
    t.step(frame, [[10, 10, 50, 90, 0.9]])
    z = t.extractor(frame, np.float32([[10, 10, 50, 90]]))
    tracks = t.step(None, [[10, 10, 50, 90]], embeddings=z)
assert tracks.ids.tolist() == [1]
loaded = {"torch", "motmetrics", "trackeval", "pandas"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class TestMot17:
    """The real sequences, with public detections and motion alone."""

    @pytest.mark.processor
    def test_motion_alone_beats_the_peers(self, data_root, tmp_path):
        """Each figure is the best of the open trackers at their defaults: docs/quality.md."""
        from sslmot.evaluation.tracks import evaluate

        sequence = mot.Sequence.open(data_root / "MOT17/train/MOT17-09-FRCNN")
        detections, tracker, results = sequence.detections(), Tracker(), []
        for t in range(1, sequence.length + 1):
            tracks = tracker.step(None, detections[t])
            results.append((t, tracks.ids, tracks.boxes, tracks.scores))
        mot.write_results(tmp_path / f"{sequence.name}.txt", results)
        scores = evaluate(sequence.path, tmp_path)[sequence.name]
        assert scores.hota > 48.1
        assert scores.idf1 > 57.8
        assert scores.mota > 54.9


def test_assign_is_public():
    rows, columns = sslmot.assign(np.array([[1.0, 2.0], [0.5, 9.0]]), max_cost=5)
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]


def disturb(config, before, bad, after, message):
    """Two trackers see the same frames; one is also given a bad one, and cannot be told apart."""
    plain, disturbed = Tracker(config), Tracker(config)
    for dets, z in before:
        plain.step(None, dets, embeddings=z)
        disturbed.step(None, dets, embeddings=z)
    with pytest.raises(ValueError, match=message):
        disturbed.step(None, bad[0], embeddings=bad[1])
    for dets, z in after:
        one = plain.step(None, dets, embeddings=z)
        other = disturbed.step(None, dets, embeddings=z)
        np.testing.assert_array_equal(one.ids, other.ids)
        same_table(plain, disturbed)


class TestLimits:
    """A step whose work has no bound is refused before anything changes."""

    pile = np.tile(PERSON, (int(_testing.MOST_PAIRS**0.5) + 1, 1))
    corner = 100 * np.stack(np.divmod(np.arange(len(pile)), 60), axis=1)
    apart = np.hstack([corner, corner + 10]).astype(np.float32)
    looks = np.ones((len(pile), 3), np.float32)
    alone = (at(0), np.ones((1, 3), np.float32))
    message = "^dets: expected at most 8388608 pairs of a track and a detection near each other"

    def test_a_pile_on_a_pile(self):
        config = TrackerConfig(motion="none", new_track_max_iou=1.0, max_occlusion=1.0)
        first = (self.pile, self.looks)
        disturb(config, [first], first, [self.alone], self.message)

    @pytest.mark.parametrize("instant_confirm_score", [0.9, 2.0], ids=["new", "tentative"])
    def test_a_crowd_that_comes_back_is_compared_with_those_seen_last(self, instant_confirm_score):
        """More pairs than are kept at once: a refusal would come again in every later frame."""
        config = TrackerConfig(
            max_age=0.0,
            reid_max_speed=1e6,
            instant_confirm_score=instant_confirm_score,
        )
        tracker, n = Tracker(config), len(self.apart)
        for _ in range(2):
            tracker.step(None, self.apart, embeddings=self.looks)
        tracker.step(None, [])
        for _ in range(3):
            tracks = tracker.step(None, self.apart + 9000, embeddings=self.looks)
        assert len(tracks) == n
        assert (tracks.ids > 0).all()

    def test_too_many_detections(self):
        many = np.zeros((2**14 + 1, 4), np.float32)
        message = "dets: expected at most 16384 rows, got 16385"
        disturb(None, [self.alone], (many, None), [self.alone], message)

    def test_features_that_are_too_wide(self):
        wide = np.ones((1, 2**16 + 1), np.float32)
        with pytest.raises(ValueError, match=r"embeddings: expected \(1, D up to 65536\) float32"):
            Tracker().step(None, at(0), embeddings=wide)

    def test_many_births_beside_many_tracks(self):
        """Most of either are far apart: no pair of them is made."""
        n = 16_000
        corner = 100 * np.stack(np.divmod(np.arange(n), 200), axis=1)
        boxes = np.hstack([corner, corner + 10]).astype(np.float32)
        tracker = Tracker()
        np.testing.assert_array_equal(tracker.step(None, boxes[::2]).ids, np.arange(1, n // 2 + 1))
        ids = tracker.step(None, boxes).ids
        np.testing.assert_array_equal(ids[::2], np.arange(1, n // 2 + 1))
        np.testing.assert_array_equal(ids[1::2], np.arange(n // 2 + 1, n + 1))


class Broken:
    """Looks like an array until it is read."""

    def __init__(self, error, where):
        self.error, self.where = error, where

    def act(self, where, value):
        if where == self.where:
            raise self.error
        return value

    def __dlpack_device__(self):
        return self.act("device", (1, 0))

    def __dlpack__(self, **_):
        return self.act("array", "no capsule")

    @property
    def dtype(self):
        return self.act("dtype", np.float32)

    @property
    def shape(self):
        return self.act("shape", (1, 4))


ERRORS = [RuntimeError("gone"), KeyError(), ZeroDivisionError("one\ntwo"), OSError(), ValueError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["device", "array", "nowhere", "dtype", "shape"])
def test_objects_that_fail_to_be_arrays_are_named(error, where):
    broken = Broken(error, where)
    with pytest.raises(ValueError, match=r"^dets: expected an array of numbers, got "):
        Tracker().step(None, broken)
    with pytest.raises(ValueError, match=r"^embeddings: expected an array of numbers, got "):
        Tracker().step(None, at(0), embeddings=broken)
    with pytest.raises(ValueError, match=r"^frame: expected an array of numbers, got "):
        Tracker().step(broken, at(0))
    with pytest.raises(ValueError, match=r"^boxes: expected an array \(NumPy, or any.*got Broken"):
        _testing.occluded_shares(broken)


@pytest.mark.parametrize("device", ["cpu", (1,), (1, "0"), None, (2**40, 0), 7])
def test_a_device_that_is_none_is_named(device):
    class Odd(Broken):
        def __dlpack_device__(self):
            return device

    with pytest.raises(ValueError, match=r"^boxes: expected an array .*got Odd"):
        _testing.occluded_shares(Odd(None, "nowhere"))


def test_an_interruption_is_no_error_of_an_argument():
    with pytest.raises(KeyboardInterrupt):
        _testing.occluded_shares(Broken(KeyboardInterrupt(), "device"))


class TestDoubt:
    """Detections of other units are noticed once."""

    @pytest.mark.parametrize(
        ("dets", "said"),
        [
            ([[10, 10, 50, 90, 87.5]], "dets: scores of 87.5 to 87.5: expected 0 to 1, are they"),
            ([[0.1, 0.1, 0.3, 0.9, 0.9]], "dets: all 1 boxes lie within 0.1 to 0.9: expected pix"),
        ],
    )
    def test_a_warning_comes_once(self, dets, said):
        tracker = Tracker()
        with pytest.warns(UserWarning, match=re.escape(said)) as caught:
            tracker.step(None, dets)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tracker.step(None, dets)

    def test_of_a_group_too(self):
        with pytest.warns(UserWarning, match="are they percent"):
            TrackerGroup([Tracker(), Tracker()]).step(None, [[[10, 10, 50, 90, 87.0]], []])
