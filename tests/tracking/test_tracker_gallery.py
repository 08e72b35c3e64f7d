"""A tracker with a gallery: people keep their identities from video to video."""

import numpy as np
import pytest

from sslmot import Tracker, TrackerConfig, TrackerGroup, _core
from sslmot.tracking.gallery import Gallery

WIDE = np.float32([60, 0, 60, 0])
PEOPLE = np.eye(8, dtype=np.float32)
FRAME = np.zeros((300, 700, 3), np.uint8)


def boxes(n):
    return np.float32([10, 50, 50, 150]) + np.arange(n, dtype=np.float32)[:, None] * WIDE


def watch(tracker, *people, frames=3):
    """The ids of some people, side by side, after some frames."""
    for _ in range(frames):
        tracks = tracker.step(None, boxes(len(people)), embeddings=PEOPLE[list(people)])
    assert tracks.detection_index.tolist() == list(range(len(people)))
    return tracks.ids.tolist()


def leave(tracker):
    """Nobody is in view any more, which the gallery takes note of."""
    tracker.step(None, ())


def test_people_return_in_another_video():
    gallery = Gallery()
    config = TrackerConfig(max_age=0)
    first, second = Tracker(config, gallery=gallery), Tracker(config, gallery=gallery)
    assert watch(first, 0, 1, 2) == [1, 2, 3]
    leave(first)
    assert watch(second, 2, 5, 0) == [3, 4, 1]
    leave(second)
    assert watch(first, 5, 6) == [4, 5]


def test_people_return_after_a_restart(tmp_path):
    tracker = Tracker(gallery=Gallery())
    watch(tracker, 0, 1)
    leave(tracker)
    tracker.gallery.save(tmp_path / "people.npz")
    restarted = Tracker(gallery=Gallery.load(tmp_path / "people.npz"))
    assert watch(restarted, 3, 1, 0) == [3, 2, 1]


def test_people_return_after_a_reset():
    tracker = Tracker(gallery=Gallery())
    assert watch(tracker, 0, 1) == [1, 2]
    tracker.reset()
    assert watch(tracker, 7, 1) == [3, 2]
    plain = Tracker()
    watch(plain, 0, 1)
    plain.reset()
    assert watch(plain, 7, 1) == [1, 2]


def test_the_gallery_sees_people_as_they_left():
    gallery = Gallery()
    tracker = Tracker(TrackerConfig(ema=0), gallery=gallery)
    turning = [(1, 0, 0), (0.9, 0.4, 0), (0.7, 0.7, 0), (0.4, 0.9, 0), (0, 1, 0)]
    for look in turning:
        tracks = tracker.step(None, boxes(1), embeddings=np.float32([look]))
        assert tracks.ids.tolist() == [1]
    assert gallery.identify(np.float32([[0, 1, 0]])) == [0]
    leave(tracker)
    assert gallery.identify(np.float32([[0, 1, 0]])) == [1]
    assert gallery.identify(np.float32([[1, 0, 0]])) == [1]  # and as they came


def test_a_double_of_somebody_in_view_is_a_stranger():
    gallery = Gallery()
    gallery.add([9], PEOPLE[:1])
    tracker = Tracker(gallery=gallery)
    assert watch(tracker, 0) == [9]
    assert watch(tracker, 0, 0, 0) == [9, 10, 11]


def test_who_is_lost_is_recognised_by_the_tracker_not_the_gallery():
    """Whose memory knows the place too: the gallery would give nothing for a double."""
    config = TrackerConfig(max_age=1 / 30, instant_confirm_score=9, reid_false_alarms=np.inf)
    tracker = Tracker(config, gallery=Gallery())
    watch(tracker, 0, 0)
    for _ in range(4):
        leave(tracker)
    assert watch(tracker, 0, 0) == [1, 2]


def test_the_gallery_knows_whom_the_tracker_misses():
    """Who comes back out of the tracker's reach is the same all the same, and one identity."""
    config = TrackerConfig(max_age=1 / 30, reid_max_speed=0.0)
    tracker = Tracker(config, gallery=Gallery())
    watch(tracker, 0)
    for _ in range(4):
        leave(tracker)
    tracks = tracker.step(None, boxes(9)[8:], embeddings=PEOPLE[:1])
    assert tracks.ids.tolist() == [1]
    assert tracks.explain(1).stage == "gallery"
    assert len(tracker.gallery) == 1
    assert tracker.table.lost_count == 0
    assert tracker.table.tracks["ids"].tolist() == [1]


def test_who_is_beyond_memory_is_recognised_by_the_gallery():
    tracker = Tracker(TrackerConfig(max_age=1 / 30, reid_max_age=2 / 30), gallery=Gallery())
    watch(tracker, 0)
    for _ in range(9):
        leave(tracker)
    tracks = tracker.step(None, boxes(1), embeddings=PEOPLE[:1])
    assert tracks.explain(1).stage == "gallery"


def test_ids_never_collide():
    """Of two cameras at a time, that see known people and strangers come and go."""
    rng = np.random.default_rng(0)
    looks = np.eye(30)
    gallery = Gallery(capacity=12)
    config = TrackerConfig(max_age=2 / 30, reid_max_age=10 / 30)
    cameras = [Tracker(config, gallery=gallery) for _ in range(2)]
    person_of = {}  # of each id, the first person that had it
    mistaken = reported = 0
    for _ in range(20):
        # Both show one street: who is not seen by one may be seen by the other.
        street = rng.permutation(30)[:8]
        for _ in range(20):
            for camera, here in zip(cameras, (street[:4], street[4:]), strict=True):
                seen = here[rng.random(4) < 0.9]
                z = looks[seen] + rng.normal(0, 0.05, (len(seen), 30))
                tracks = camera.step(None, boxes(30)[seen], embeddings=z)
                assert len(set(tracks.ids)) == len(tracks)
                for identity, j in zip(tracks.ids.tolist(), tracks.detection_index, strict=True):
                    reported += 1
                    mistaken += person_of.setdefault(identity, seen[j]) != seen[j]
    assert reported > 2000
    assert mistaken == 0
    assert max(person_of) < gallery.next_id


def state(tracker):
    """All that a step may change."""
    table, gallery = tracker.table, tracker.gallery
    return (
        [{name: values.tolist() for name, values in t.items()} for t in (table.tracks, table.lost)],
        table.read_features(np.arange(table.slots_with(0))).tolist(),
        [table.slots_with(2**k) for k in range(10)],
        table.next_id,
        tracker.history,
        (gallery.encoder, gallery.next_id, dict(gallery._rows), gallery._counts.tolist()),
        gallery._samples.tolist(),
    )


@pytest.mark.parametrize("known", [False, True], ids=["empty", "filled"])
def test_detections_without_features_are_refused(known):
    tracker = Tracker(gallery=Gallery())
    if known:
        watch(tracker, 0, 1)
    before = state(tracker)
    with pytest.raises(ValueError, match=r"embeddings: expected them, or a frame, .*got none"):
        tracker.step(None, boxes(2))
    assert state(tracker) == before
    leave(tracker)  # a frame without detections has none to describe
    assert watch(tracker, 0) == [1]


class Extractor:
    """Says who it is."""

    def __init__(self, fingerprint, width=8):
        self.fingerprint, self.features = fingerprint, PEOPLE[:, :width]

    def __call__(self, frame, boxes):
        return self.features[: len(boxes)].copy()


class TestWhoseFeatures:
    def test_an_extractor_names_itself(self, tmp_path):
        gallery = Gallery()
        Tracker(extractor=Extractor("mine"), gallery=gallery).step(FRAME, boxes(2))
        assert gallery.encoder == "mine"
        gallery.save(tmp_path / "people.npz")
        again = Tracker(extractor=Extractor("mine"), gallery=Gallery.load(tmp_path / "people.npz"))
        assert again.step(FRAME, boxes(2)).ids.tolist() == [1, 2]

    def test_an_extractor_without_a_name(self):
        gallery = Gallery()
        tracker = Tracker(extractor=lambda frame, boxes: PEOPLE[: len(boxes)], gallery=gallery)
        assert tracker.step(FRAME, boxes(2)).ids.tolist() == [1, 2]
        assert gallery.encoder == ""

    def test_another_encoder_is_refused(self):
        gallery = Gallery()
        Tracker(extractor=Extractor("mine"), gallery=gallery).step(FRAME, boxes(2))
        tracker = Tracker(extractor=Extractor("yours"), gallery=gallery)
        before = state(tracker)
        with pytest.raises(ValueError, match=r"encoder: expected 'mine', .*got 'yours'"):
            tracker.step(FRAME, boxes(2))
        assert state(tracker) == before
        # Nobody says whose features a caller's own ones are.
        with pytest.raises(ValueError, match=r"encoder: expected 'mine', .*got ''"):
            tracker.step(None, boxes(2), embeddings=PEOPLE[:2])
        assert state(tracker) == before

    def test_another_width_is_refused(self):
        gallery = Gallery()
        watch(Tracker(gallery=gallery), 0, 1)
        tracker = Tracker(gallery=gallery)
        before = state(tracker)
        with pytest.raises(ValueError, match=r"dim: expected 8, .*got 5"):
            tracker.step(None, boxes(1), embeddings=np.ones((1, 5)))
        assert state(tracker) == before

    def test_another_width_is_refused_also_where_the_gallery_was_empty(self):
        """Two cameras start at a time; the first to know somebody decides."""
        gallery, config = Gallery(), TrackerConfig(instant_confirm_score=9)
        one, two = Tracker(config, gallery=gallery), Tracker(config, gallery=gallery)
        two.step(None, boxes(1), embeddings=np.ones((1, 5)))
        watch(one, 0, 1)
        before = state(two)
        with pytest.raises(ValueError, match=r"dim: expected 8, .*got 5"):
            two.step(None, boxes(1), embeddings=np.ones((1, 5)))
        assert state(two) == before

    def test_a_rejected_frame_names_no_encoder(self):
        extractor = Extractor("broken")
        extractor.features = PEOPLE * np.nan
        tracker = Tracker(extractor=extractor, gallery=Gallery())
        before = state(tracker)
        with pytest.raises(ValueError, match="features of Extractor: expected finite numbers"):
            tracker.step(FRAME, boxes(2))
        assert state(tracker) == before
        assert tracker.gallery.encoder == ""


def test_a_gallery_of_another_kind():
    with pytest.raises(ValueError, match=r"gallery: expected a Gallery, got 'people.npz'"):
        Tracker(gallery="people.npz")


def test_features_on_any_device(device):
    torch = pytest.importorskip("torch")
    gallery = Gallery()
    for order in ([0, 1, 2], [2, 0, 1]):
        tracker = Tracker(gallery=gallery)
        for _ in range(2):
            z = torch.from_numpy(PEOPLE[order]).to(device)
            tracks = tracker.step(None, boxes(3), embeddings=z)
        leave(tracker)
        assert tracks.ids.tolist() == [i + 1 for i in order]


@pytest.mark.parametrize("together", [False, True])
def test_a_frame_that_could_need_more_ids_than_there_are(together):
    """It is refused before anything changes, also where several trackers share the ids."""
    gallery = Gallery()
    gallery.add([_core.LARGEST_ID - 3], PEOPLE[:1])
    trackers = [Tracker(gallery=gallery) for _ in range(2)]
    watch(trackers[0], 0)
    before = [state(tracker) for tracker in trackers]
    n, both = (2, trackers) if together else (4, trackers[:1])
    dets, embeddings = [boxes(n)] * len(both), [PEOPLE[4 : 4 + n]] * len(both)
    with pytest.raises(ValueError, match=r"dets: expected at most . rows, as 3 ids up to .*, got"):
        TrackerGroup(both).step(None, dets, embeddings=embeddings)
    assert [state(tracker) for tracker in trackers] == before
    last = [_core.LARGEST_ID - k for k in (2, 1, 0)]
    assert watch(trackers[1], 4, 5, 6, frames=1) == last
    assert watch(trackers[0], frames=1) == []
    trackers[0].reset()
    assert gallery.next_id == _core.LARGEST_ID + 1
