"""Frame rates, timestamps, and frames in which nothing is looked for."""

import copy
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import Tracker, TrackerConfig, TrackerGroup

PEOPLE = 4


def film(frames, frame_rate=30.0, score=0.8):
    """Detections (PEOPLE, 5) of people who walk a box's width a second, 4 boxes apart."""
    for t in range(frames):
        at = np.column_stack([300.0 * np.arange(PEOPLE) + 40 * t / frame_rate, [50.0] * PEOPLE])
        yield np.column_stack([at, at + np.array([40, 100]), np.full(PEOPLE, score)])


def assert_same(state, other):
    assert state.keys() == other.keys()
    for name, values in state.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def said(tracks):
    return tracks.ids.tolist(), tracks.detection_index.tolist()


@pytest.mark.parametrize("between", ["predict", "empty", "timestamps"])
def test_detections_on_every_third_frame_are_tracked(between):
    """Of scores that confirm no track at once: the second detection does."""
    tracker, reported = Tracker(), 0
    for t, dets in enumerate(film(60)):
        if t % 3 == 0:
            timestamp = t / 30 if between == "timestamps" else None
            tracks = tracker.step(dets=dets, timestamp=timestamp)
            assert tracks.ids.tolist() == ([1, 2, 3, 4] if t else [])
            reported += len(tracks)
        elif between == "predict":
            tracker.predict()
        elif between == "empty":
            tracker.step()
    assert reported == 19 * PEOPLE


def test_predict_says_where_tracks_are_between_detections():
    tracker, frames = Tracker(TrackerConfig()), list(film(90))
    for t, dets in enumerate(frames):
        if t % 3 == 0:
            tracker.step(dets=dets)
            continue
        tracks = tracker.predict()
        if t < 30:
            continue
        assert tracks.ids.tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(tracks.boxes, dets[:, :4], atol=0.5)
        assert (tracks.detection_index == -1).all()
        assert np.isnan(tracks.scores).all()
        assert tracks.classes.tolist() == [0] * PEOPLE
        with pytest.raises(ValueError, match=r"^identity: expected one of a step"):
            tracks.explain(1)


@pytest.mark.parametrize("motion", ["kalman", "none"])
def test_predict_changes_nothing_but_the_clock(motion):
    tracker = Tracker(TrackerConfig(motion=motion))
    assert len(tracker.predict()) == len(tracker.predict(7.0)) == 0
    assert "times" not in tracker.state_dict()
    for dets in film(10):
        tracker.step(dets=dets)
    before = tracker.state_dict()
    there = tracker.predict(before["times"][0] + 0.1)
    assert_same(tracker.state_dict(), before)
    np.testing.assert_array_equal(tracker.predict(before["times"][0] + 0.1).boxes, there.boxes)
    tracker.predict()
    after = tracker.state_dict()
    assert after.pop("times")[1] == pytest.approx(before.pop("times")[1] + 1 / 30)
    assert_same(after, before)


def test_predict_ends_with_max_age():
    tracker = Tracker(TrackerConfig(max_age=1.0))
    for dets in film(10):
        last = tracker.step(dets=dets, timestamp=None)
    assert len(last) == PEOPLE
    time = tracker.state_dict()["times"][0]
    assert len(tracker.predict(time)) == len(tracker.predict(time + 1.0)) == PEOPLE
    assert len(tracker.predict(time + 1.01)) == 0
    with pytest.raises(ValueError, match=r"^timestamp: expected .* or more, of the frame before"):
        tracker.predict(time - 0.01)


@pytest.mark.parametrize("frame_rate", [30.0, 25.0, 7.3])
def test_timestamps_of_a_steady_video_change_nothing(frame_rate):
    """Wherever they begin: the same identities, and to the last bits the same tracks."""
    rng = np.random.default_rng(0)
    for origin in (0.0, -3.0, 1.7e9):
        plain, stamped = Tracker(frame_rate=frame_rate), Tracker()
        for t, dets in enumerate(film(80, frame_rate)):
            dets = dets[rng.random(PEOPLE) > 0.3]
            ours = plain.step(dets=dets)
            theirs = stamped.step(dets=dets, timestamp=origin + t / frame_rate)
            assert said(ours) == said(theirs)
        one, other = plain.table.tracks, stamped.table.tracks
        np.testing.assert_allclose(one["state"], other["state"], rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(one["time_since_update"], other["time_since_update"], atol=1e-6)


def test_the_default_is_thirty_frames_a_second():
    one, other = Tracker(), Tracker()
    for t, dets in enumerate(film(40)):
        one.step(dets=dets)
        other.step(dets=dets, timestamp=t / 30)
    state, stamped = one.state_dict(), other.state_dict()
    np.testing.assert_allclose(state.pop("times"), stamped.pop("times"), rtol=1e-12)
    assert_same(state, stamped)


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([5.0, 12.5, 30.0, 60.0]),
    steps=st.lists(st.integers(1, 6), min_size=5, max_size=25),
)
def test_frames_that_are_predicted_are_as_timestamps(rate, steps):
    asked, stamped = Tracker(frame_rate=rate), Tracker(frame_rate=rate)
    frames = list(film(1 + sum(steps), rate))
    t = 0
    for step in [0, *steps]:
        for _ in range(step - 1):
            asked.predict()
        t += step
        ours = asked.step(dets=frames[t])
        theirs = stamped.step(dets=frames[t], timestamp=t / rate)
        assert said(ours) == said(theirs)


@pytest.mark.parametrize("frame_rate", [10.0, 30.0, 60.0])
def test_ages_are_seconds_at_any_frame_rate(frame_rate):
    """A lost track is kept for max_age, and one frame more is too long."""
    config = TrackerConfig(max_age=0.5, instant_confirm_score=0.0)
    missed = round(0.5 * frame_rate)
    for more in (0, 1):
        tracker = Tracker(config, frame_rate=frame_rate)
        for dets in film(5, frame_rate):
            tracker.step(dets=dets)
        for _ in range(missed + more):
            tracker.step()
        assert len(tracker.table) == (0 if more else PEOPLE)


def test_a_step_without_timestamp_follows_the_one_before():
    tracker = Tracker(frame_rate=20.0)
    for timestamp, time in ((5.0, 5.0), (None, 5.05), (6.0, 6.0), (None, 6.05)):
        tracker.step(timestamp=timestamp)
        assert tracker.state_dict()["times"] == pytest.approx([time, time])
    tracker.reset()
    tracker.step()
    assert tracker.state_dict()["times"].tolist() == [0, 0]


@pytest.mark.parametrize("later", [3.2, 3.1, -1.0, math.nextafter(3.2, 4)])
def test_timestamps_must_grow(later):
    tracker = Tracker()
    frames = list(film(3))
    tracker.step(dets=frames[0], timestamp=0.1)
    tracker.step(dets=frames[1], timestamp=3.2)
    before = tracker.state_dict()
    message = f"timestamp: expected more than 3.2, of the frame before, got {later}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tracker.step(dets=frames[2], timestamp=later)
    assert_same(tracker.state_dict(), before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "1", True, 1.8e12, [1.0], 1j])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_timestamp_is_refused(bad, first):
    tracker = Tracker()
    if not first:
        tracker.step()
    before = tracker.state_dict()
    for ask in (lambda: tracker.step(timestamp=bad), lambda: tracker.predict(bad)):
        with pytest.raises(ValueError, match=r"^timestamp: expected a number of "):
            ask()
    assert_same(tracker.state_dict(), before)


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, "30", None, True])
def test_what_is_no_frame_rate_is_refused(bad):
    with pytest.raises(ValueError, match=r"^frame_rate: expected a number of 1e-06 to 1e"):
        Tracker(frame_rate=bad)
    tracker = Tracker(frame_rate=np.float32(12.5))
    with pytest.raises(ValueError, match=r"^frame_rate: expected a number"):
        tracker.frame_rate = bad
    assert tracker.frame_rate == 12.5


def test_after_a_long_pause_all_tracks_are_lost():
    """Longer than max_age: motion says nothing, so no one in a place keeps an identity by it."""
    for pause, known in ((2.9, True), (3.1, False)):
        tracker = Tracker()
        frames = list(film(12, score=1.0))
        for t, dets in enumerate(frames):
            tracker.step(dets=dets, timestamp=t / 30)
        here = tracker.predict(11 / 30 + pause).boxes if known else frames[-1][:, :4]
        dets = np.column_stack([here, np.ones(PEOPLE)])
        ids = tracker.step(dets=dets, timestamp=11 / 30 + pause).ids
        assert ids.tolist() == ([1, 2, 3, 4] if known else [5, 6, 7, 8])


def test_after_a_long_pause_tracks_are_reidentified_by_appearance():
    config = TrackerConfig(reid_false_alarms=math.inf, min_hits=0)
    tracker, features = Tracker(config), np.eye(PEOPLE)
    for t, dets in enumerate(film(5, score=1.0)):
        tracker.step(dets=dets, timestamp=float(t) / 30, embeddings=features)
    tracks = tracker.step(dets=dets, timestamp=5.0, embeddings=features)
    assert tracks.ids.tolist() == [1, 2, 3, 4]
    assert tracks.explain(1).stage == "reidentified"


def test_state_carries_the_times(tmp_path):
    tracker = Tracker(frame_rate=12.0)
    frames = list(film(30, 12.0))
    for dets in frames[:10]:
        tracker.step(dets=dets, timestamp=None)
    tracker.predict()
    tracker.predict()
    tracker.save(tmp_path / "tracker")
    loaded = Tracker(frame_rate=12.0)
    loaded.load_state_dict(tracker.state_dict())
    others = [loaded, Tracker.load(tmp_path / "tracker"), copy.deepcopy(tracker)]
    others.append(pickle.loads(pickle.dumps(tracker)))
    for dets in frames[12:]:
        tracker.step(dets=dets)
    for other in others:
        assert other.frame_rate == 12.0
        for dets in frames[12:]:
            other.step(dets=dets)
        assert_same(other.state_dict(), tracker.state_dict())


@pytest.mark.parametrize(
    "bad", [np.array([0.0]), np.array([1, 2]), np.array([2.0, 1.0]), np.array([np.nan, 0.0])]
)
def test_a_state_with_bad_times_is_refused(bad):
    tracker = Tracker()
    tracker.step()
    state = tracker.state_dict() | {"times": bad}
    with pytest.raises(ValueError, match=r"^state: expected .* last"):
        Tracker().load_state_dict(state)


def test_a_group_takes_a_timestamp_of_each_camera():
    alone = [Tracker(), Tracker()]
    group = TrackerGroup([Tracker(), Tracker()])
    for t, dets in enumerate(film(20)):
        times = [t / 30, 5 + t / 3]
        found = group.step(None, [dets, dets], timestamps=times)
        for tracks, tracker, time in zip(found, alone, times, strict=True):
            assert said(tracks) == said(tracker.step(dets=dets, timestamp=time))
    with pytest.raises(ValueError, match=r"^timestamps: expected those of 2 videos, got 1"):
        group.step(None, [dets, dets], timestamps=[9.0])
    with pytest.raises(ValueError, match=r"^video 1: timestamp: expected more than"):
        group.step(None, [dets, dets], timestamps=[9.0, 5.0])


@pytest.mark.parametrize("people", [2, 20])
@pytest.mark.parametrize("shake", [0, 3])
def test_bursty_frames_keep_their_tracks(people, shake):
    """Frames that come 2 and 65 ms apart, in turn, from a camera that shakes."""
    rng, tracker = np.random.default_rng(0), Tracker()
    start = np.stack([150 * np.arange(people), np.full(people, 100)], axis=1)
    time, ids = 0.0, []
    for t in range(200):
        time += 0.002 if t % 2 else 0.065
        corner = start + rng.normal(0, shake, 2)
        boxes = np.hstack([corner, corner + np.array([40, 100])]).astype(np.float32)
        ids.append(tracker.step(None, boxes, timestamp=time).ids.tolist())
    assert ids == [list(range(1, people + 1))] * 200


def test_a_time_that_float64_cannot_tell_apart_is_refused():
    tracker = Tracker()
    tracker.step(None, [[0, 0, 40, 90]], timestamp=1e11)
    before = tracker.state_dict()
    with pytest.raises(ValueError, match="timestamp: expected more than"):
        tracker.step(None, [[0, 0, 40, 90]], timestamp=1e11)
    for name, values in tracker.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_clock_beyond_its_limit_is_refused():
    """A state with such a time would be refused too."""
    tracker = Tracker(frame_rate=1)
    tracker.step(None, [[0, 0, 40, 90]], timestamp=1e12)
    for go_on in (lambda: tracker.step(None, [[0, 0, 40, 90]]), tracker.predict):
        with pytest.raises(ValueError, match="timestamp: expected a number of"):
            go_on()
    tracker.load_state_dict(tracker.state_dict())


def test_a_pause_ends_tentative_tracks():
    """However long they could be kept: no track is compared after it."""
    config = TrackerConfig(tentative_max_age=100, instant_confirm_score=9)
    tracker, dets = Tracker(config), [[0, 0, 40, 90]]
    tracker.step(None, dets, timestamp=0)
    tracker.step(None, dets, timestamp=10)
    assert len(tracker.table) == 1
