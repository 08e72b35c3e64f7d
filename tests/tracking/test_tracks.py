"""What a step returns, row by row and as a table, and the lost tracks."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import LostTrack, Track, Tracker, TrackerConfig

PEOPLE = 3
SPEED = np.array([[60.0, 0.0], [0.0, -30.0], [0.0, 0.0]])  # pixels per second
START = np.array([[100.0, 300.0], [600.0, 300.0], [900.0, 300.0]])
NEAR = 2.0  # pixels, and pixels per second: the filter has nearly settled after two seconds
Z = np.eye(PEOPLE, dtype=np.float32)


def people(seconds):
    """Boxes (PEOPLE, 4) of people who walk steadily, float64."""
    corner = START + SPEED * seconds
    return np.hstack([corner, corner + np.array([40.0, 100.0])])


def step(tracker, seconds, present, timestamp=None, score=0.95):
    rows = np.flatnonzero(present)
    dets = np.column_stack([people(seconds)[rows], np.full(len(rows), score), rows])
    return tracker.step(None, dets, embeddings=Z[rows], timestamp=timestamp)


def walked(seconds=2.0, config=None, timestamps=False):
    """A tracker that has followed everybody for some seconds; ids are 1, 2, 3."""
    tracker = Tracker(config)
    for t in range(round(30 * seconds) + 1):
        step(tracker, t / 30, [True] * PEOPLE, t / 30 if timestamps else None)
    return tracker


presence = st.lists(st.lists(st.booleans(), min_size=PEOPLE, max_size=PEOPLE), max_size=40)


@settings(max_examples=30, deadline=None)
@given(presence)
def test_iteration_yields_the_rows(frames):
    tracker = Tracker()
    for t, present in enumerate(frames):
        for tracks in (step(tracker, t / 30, present), tracker.predict(t / 30)):
            records = list(tracks)
            assert len(records) == len(tracks)
            for i, record in enumerate(records):
                assert isinstance(record, Track)
                assert (record.id, record.class_id, record.detection_index) == (
                    tracks.ids[i],
                    tracks.classes[i],
                    tracks.detection_index[i],
                )
                assert record.box == tuple(tracks.boxes[i])
                np.testing.assert_equal(record.score, float(tracks.scores[i]))
        lost = tracker.lost_tracks()
        records = list(lost)
        assert len(records) == len(lost)
        for i, record in enumerate(records):
            assert isinstance(record, LostTrack)
            assert (record.id, record.class_id) == (lost.ids[i], lost.classes[i])
            assert record.box == tuple(lost.boxes[i])
            assert record.age == lost.ages[i]
            assert record.velocity == tuple(lost.velocities[i])


def test_a_row_is_immutable_and_of_plain_numbers():
    [track, *_] = step(walked(), 2 + 1 / 30, [True] * PEOPLE)
    with pytest.raises(AttributeError):
        track.id = 7
    identity, box, score, class_id, index = track
    assert [type(value) for value in (identity, score, class_id, index)] == [int, float, int, int]
    assert [type(side) for side in box] == [float] * 4
    assert hash(track) == hash(Track(*track))


def test_iteration_starts_again_each_time():
    tracks = step(walked(), 2 + 1 / 30, [True] * PEOPLE)
    assert list(tracks) == list(tracks)
    assert [track.id for track in tracks] == [1, 2, 3]


def test_tracks_become_a_table():
    pandas = pytest.importorskip("pandas")
    tracker, tables = walked(), {}
    for t in (61, 62):
        tracks = step(tracker, t / 30, [True, False, True])
        tables[t] = table = tracks.to_pandas()
        names = ["id", "x1", "y1", "x2", "y2", "score", "class_id", "detection_index"]
        assert list(table.columns) == names
        np.testing.assert_array_equal(table["id"], tracks.ids)
        np.testing.assert_array_equal(table[["x1", "y1", "x2", "y2"]], tracks.boxes)
        assert [tuple(row) for row in table.itertuples(index=False)] == [
            (track.id, *track.box, track.score, track.class_id, track.detection_index)
            for track in tracks
        ]
        table["id"] += 7  # a table is a copy
        assert tracks.ids.tolist() == [1, 3]
    video = pandas.concat(tables, names=["frame"])
    assert video.loc[62, "id"].tolist() == [8, 10]
    lost = tracker.lost_tracks()
    table = lost.to_pandas()
    assert list(table.columns) == ["id", "x1", "y1", "x2", "y2", "class_id", "age", "vx", "vy"]
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        (track.id, *track.box, track.class_id, track.age, *track.velocity) for track in lost
    ]
    assert len(Tracker().step().to_pandas()) == len(Tracker().lost_tracks().to_pandas()) == 0


def test_a_table_needs_pandas(monkeypatch):
    tracks = Tracker().step(None, [[10, 10, 50, 90]])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas: pip install sslmot\[pandas\]"):
        tracks.to_pandas()


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_lost_track_goes_on_at_its_velocity(timestamps):
    tracker = walked(timestamps=timestamps)
    for missed in range(1, 31):
        seconds = 2 + missed / 30
        tracks = step(tracker, seconds, [False, False, True], seconds if timestamps else None)
        assert tracks.ids.tolist() == [3]
        lost = tracker.lost_tracks()
        assert sorted(lost.ids) == [1, 2]
        rows = lost.ids - 1
        np.testing.assert_allclose(lost.ages, missed / 30, atol=1e-9)
        np.testing.assert_allclose(lost.velocities, SPEED[rows], atol=NEAR)
        np.testing.assert_allclose(lost.boxes, people(seconds)[rows], atol=NEAR)
        assert lost.classes.tolist() == rows.tolist()


def test_the_last_frame_may_be_a_predicted_one():
    tracker = walked()
    step(tracker, 2 + 1 / 30, [True, True, False])
    before = tracker.lost_tracks()
    expected = tracker.predict()
    lost = tracker.lost_tracks()
    assert lost.ids.tolist() == [3]
    np.testing.assert_allclose(lost.ages - before.ages, 1 / 30)
    np.testing.assert_array_equal(lost.boxes, expected.boxes[expected.ids == 3])
    np.testing.assert_array_equal(lost.velocities, before.velocities)


def test_after_max_age_a_lost_track_is_where_it_was_detected():
    tracker = walked(config=TrackerConfig(max_age=0.5, reid_max_age=2.0))
    for t in range(1, 121):
        step(tracker, 2 + t / 30, [False, True, True])
        lost = tracker.lost_tracks()
        if t > 60:
            assert len(lost) == 0  # it is forgotten
            continue
        assert lost.ids.tolist() == [1]
        np.testing.assert_allclose(lost.ages, t / 30)
        np.testing.assert_allclose(lost.velocities, SPEED[:1], atol=NEAR)
        expected = people(2 + t / 30 if t <= 15 else 2)[:1]
        np.testing.assert_allclose(lost.boxes, expected, atol=NEAR)


def test_the_most_recent_come_first():
    tracker = walked()
    step(tracker, 2 + 1 / 30, [True, False, True])
    step(tracker, 2 + 2 / 30, [False, False, True])
    step(tracker, 2 + 3 / 30, [False, False, False])
    assert [track.id for track in tracker.lost_tracks()] == [3, 1, 2]


def test_without_a_motion_model_nothing_moves():
    tracker = walked(config=TrackerConfig(motion="none", ema=0.0))
    for t in range(1, 4):
        step(tracker, 2 + t / 30, [False] * PEOPLE)
    lost = tracker.lost_tracks()
    assert sorted(lost.ids) == [1, 2, 3]
    assert not lost.velocities.any()
    np.testing.assert_allclose(lost.boxes, people(2)[lost.ids - 1], rtol=1e-5)


def test_tentative_tracks_are_not_among_the_lost():
    tracker = Tracker()
    step(tracker, 0, [True] * PEOPLE, score=0.7)
    assert len(tracker.step()) == len(tracker.lost_tracks()) == 0


@settings(max_examples=40, deadline=None)
@given(presence, st.sampled_from(["kalman", "none"]), st.integers(1, 9))
def test_each_identity_is_detected_lost_or_forgotten(frames, motion, every):
    """A track is as predict() says while it is predicted; asking changes nothing."""
    config = TrackerConfig(motion=motion, max_age=0.3, reid_max_age=0.6)
    tracker, last = Tracker(config), {}
    for t, present in enumerate(frames):
        now = t * every / 30
        tracks = step(tracker, now, present, now)
        last.update(dict.fromkeys(tracks.ids.tolist(), now))
        before = tracker.state_dict()
        lost = tracker.lost_tracks()
        after = tracker.state_dict()
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
        assert not set(lost.ids) & set(tracks.ids)
        kept = {i: now - seen for i, seen in last.items() if 0 < now - seen <= 0.3 + 1e-6}
        assert set(kept) <= set(lost.ids.tolist()) <= set(last)
        assert (np.diff(lost.ages) >= 0).all()
        for identity, age in zip(lost.ids.tolist(), lost.ages, strict=True):
            assert age == pytest.approx(now - last[identity])
            assert 0 < age <= 0.6 + 1e-6
        expected = tracker.predict(now)
        for identity, box in zip(expected.ids.tolist(), expected.boxes, strict=True):
            if identity not in tracks.ids:
                np.testing.assert_array_equal(lost.boxes[lost.ids == identity], [box])


def test_a_reset_tracker_has_lost_nothing():
    tracker = walked()
    step(tracker, 3, [False] * PEOPLE)
    assert len(tracker.lost_tracks()) == PEOPLE
    tracker.reset()
    assert len(tracker.lost_tracks()) == 0
