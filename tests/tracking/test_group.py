"""Several cameras in step: as if each tracker were alone, and with fewer passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sslmot
from sslmot import ColorHistogram, Gallery, Tracker, TrackerConfig, TrackerGroup, _core
from sslmot._core import _testing
from sslmot.tracking.frame import associate

PERSON = np.float32([40, 40, 80, 140, 0.95])


def crowd(rng, frames, people=4, dim=8):
    """Of each frame boxes and features of people who walk, come and go."""
    at, looks = rng.uniform(0, 400, (people, 2)), rng.normal(size=(people, dim))
    for _ in range(frames):
        at = at + rng.normal(0, 4, at.shape)
        seen = rng.permutation(people)[: rng.integers(0, people + 1)]
        corner = at[seen]
        boxes = np.hstack(
            [corner, corner + np.array((40, 100)), rng.uniform(0.3, 1, (len(seen), 1))]
        )
        noise = rng.normal(0, 0.1, (len(seen), dim))
        yield boxes.astype(np.float32), np.float32(looks[seen] + noise)


def same(one, other):
    for name in ("ids", "boxes", "scores", "classes", "detection_index"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cameras=st.integers(1, 4))
def test_each_is_tracked_as_if_it_were_alone(seed, cameras):
    rng = np.random.default_rng(seed)
    clips = [list(crowd(rng, 15)) for _ in range(cameras)]
    alone = [Tracker() for _ in clips]
    group = TrackerGroup([Tracker() for _ in clips])
    for frame in zip(*clips, strict=True):
        dets, features = zip(*frame, strict=True)
        # A camera without features is tracked by motion alone.
        given = [None if i % 3 == 2 else z for i, z in enumerate(features)]
        for tracker, boxes, z, tracks in zip(
            alone, dets, given, group.step(None, dets, embeddings=given), strict=True
        ):
            same(tracks, tracker.step(None, boxes, embeddings=z))
        for tracker, tracks in zip(alone, group.predict(), strict=True):
            same(tracks, tracker.predict())


def test_predict_takes_a_timestamp_for_each_video():
    group = TrackerGroup([Tracker(), Tracker()])
    for t in range(4):
        group.step(None, [PERSON[None] + t * np.float32([3, 0, 3, 0, 0])] * 2)
    one, other = group.predict([3 / 30 + 0.1, 3 / 30])
    same(one, group.trackers[0].predict(3 / 30 + 0.1))
    assert one.boxes[0, 0] > other.boxes[0, 0] + 2


def test_a_refused_predict_moves_no_clock():
    group = TrackerGroup([Tracker(), Tracker()])
    group.step(None, [PERSON[None]] * 2)
    before = [tracker.state_dict()["times"].tolist() for tracker in group.trackers]
    for timestamps, message in (
        ([None, -1.0], r"^video 1: timestamp: expected 0.0 or more"),
        ([None, "now"], r"^video 1: timestamp: expected a number"),
        ([None], r"^timestamps: expected those of 2 videos, got 1$"),
    ):
        with pytest.raises(ValueError, match=message):
            group.predict(timestamps)
    assert [tracker.state_dict()["times"].tolist() for tracker in group.trackers] == before


def test_embeddings_on_each_device(device):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    clips = [list(crowd(rng, 30, people=2 + 3 * i)) for i in range(3)]
    alone = [Tracker() for _ in clips]
    group = TrackerGroup([Tracker() for _ in clips])
    for frame in zip(*clips, strict=True):
        dets, features = zip(*frame, strict=True)
        there = [torch.from_numpy(z).to(device) for z in features]
        for tracker, boxes, z, tracks in zip(
            alone, dets, features, group.step(None, dets, embeddings=there), strict=True
        ):
            same(tracks, tracker.step(None, boxes, embeddings=z))


class Device:
    """Stands in for a CUDA device: a video with features says that they are there."""

    device = "cuda:0"


def test_cameras_on_one_device_are_compared_in_one_call(monkeypatch):
    rng, calls, scenes = np.random.default_rng(0), [], []
    group, alone = TrackerGroup([Tracker() for _ in range(4)]), [Tracker() for _ in range(4)]
    people = (1, 2, 3, 2)
    dets = [[PERSON + 200 * k for k in range(n)] for n in people]
    prepare, native = Tracker.prepare, _core.associate_steps

    def prepared(*arguments, **more):
        scene = prepare(*arguments, **more)
        scene.device = None if scene.width is None else Device()
        scenes.append(scene.step)
        return scene

    def counted(steps):
        calls.append([scenes.index(step) for step in steps])
        native(steps)

    for _ in range(3):
        given = [np.eye(8)[:n] + rng.normal(0, 0.1, (n, 8)) for n in people]
        given[3] = None  # a camera without features is not asked
        with monkeypatch.context() as patch:
            patch.setattr(Tracker, "prepare", prepared)
            patch.setattr(_core, "associate_steps", counted)
            found = group.step(None, dets, embeddings=given)
        assert calls == [[3], [0, 1, 2]]
        calls.clear(), scenes.clear()
        for tracker, boxes, z, tracks in zip(alone, dets, given, found, strict=True):
            same(tracks, tracker.step(None, boxes, embeddings=z))
    assert [len(tracks.ids) for tracks in found] == [*people]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_tables_in_one_call_are_matched_as_each_alone(seed):
    rng = np.random.default_rng(seed)
    clips = [list(crowd(rng, 10, people=3 + 4 * i)) for i in range(3)]
    alone, together = [Tracker() for _ in clips], [Tracker() for _ in clips]
    for frame in zip(*clips, strict=True):
        scenes = [t.prepare(None, boxes, z) for t, (boxes, z) in zip(together, frame, strict=True)]
        associate(scenes)
        for tracker, other, scene, (boxes, z) in zip(alone, together, scenes, frame, strict=True):
            same(other.commit(scene), tracker.step(None, boxes, embeddings=z))


def test_steps_that_are_not_to_be_associated():
    tracker = Tracker()
    scene = tracker.prepare(None, [PERSON], None)
    with pytest.raises(ValueError, match="steps: expected steps, each once"):
        _core.associate_steps([scene.step, scene.step])
    associate([scene])
    with pytest.raises(RuntimeError, match="step: expected one to associate, got one after"):
        associate([scene])
    tracker.commit(scene)
    with pytest.raises(RuntimeError, match="step: expected one before commit, got one after"):
        associate([scene])


class Together(ColorHistogram):
    """Takes several frames at once, and counts."""

    def __init__(self):
        super().__init__()
        self.passes = []

    def embed_frames(self, frames, boxes):
        self.passes.append([len(b) for b in boxes])
        return [self(frame, some) for frame, some in zip(frames, boxes, strict=True)]


def pictures(seed, n):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 255, (200, 300, 3), np.uint8) for _ in range(n)]


def test_boxes_of_all_frames_are_described_in_one_pass():
    extractor = Together()
    group = TrackerGroup([Tracker(extractor=extractor) for _ in range(3)])
    alone = [Tracker(extractor=ColorHistogram()) for _ in range(3)]
    dets = [[PERSON, PERSON + 60], [], [PERSON]]
    for t in range(3):
        frames = pictures(t, 3)
        for tracker, frame, boxes, tracks in zip(
            alone, frames, dets, group.step(frames, dets), strict=True
        ):
            same(tracks, tracker.step(frame, boxes))
    assert extractor.passes == [[2, 1]] * 3  # who has no boxes is not asked


def test_cameras_without_a_frame_or_with_features_are_not_described():
    extractor = Together()
    group = TrackerGroup([Tracker(extractor=extractor) for _ in range(3)])
    frames = [*pictures(0, 2), None]
    group.step(frames, [[PERSON]] * 3, embeddings=[None, np.ones((1, 512), np.float32), None])
    assert extractor.passes == [[1]]


def test_the_default_encoder_is_made_once():
    pytest.importorskip("torch")
    group = TrackerGroup([Tracker(), Tracker()])
    group.step(pictures(0, 2), [[PERSON], [PERSON]])
    assert group.trackers[0].extractor is group.trackers[1].extractor
    assert isinstance(group.trackers[0].extractor, sslmot.Encoder)


@pytest.mark.parametrize(
    ("frames", "dets", "embeddings", "message"),
    [
        (None, [[PERSON]], None, r"dets: expected those of 2 videos, got 1"),
        ([None], [[], []], None, r"frames: expected those of 2 videos, got 1"),
        (None, [[], []], [None] * 3, r"embeddings: expected those of 2 videos, got 3"),
        (None, [[PERSON], [[9, 9, 0, 0]]], None, r"video 1: dets: expected x1 <= x2"),
        (None, [[PERSON], [PERSON]], [np.ones((1, 4)), np.ones((2, 4))], r"video 1: embeddings"),
        ([np.zeros((4, 4), np.uint8), None], [[], []], None, r"video 0: frame: expected \(H, W, 3"),
    ],
)
def test_nothing_changes_where_one_is_refused(frames, dets, embeddings, message):
    group, other = (TrackerGroup([Tracker(), Tracker()]) for _ in range(2))
    first = [[PERSON], [PERSON]], [np.ones((1, 4)), np.ones((1, 4))]
    for g in (group, other):
        g.step(None, first[0], embeddings=first[1])
    with pytest.raises(ValueError, match=message):
        group.step(frames, dets, embeddings=embeddings)
    for tracks, expected in zip(
        group.step(None, first[0], embeddings=first[1]),
        other.step(None, first[0], embeddings=first[1]),
        strict=True,
    ):
        same(tracks, expected)


def test_trackers_that_share_a_gallery_bring_features_that_compare():
    gallery = Gallery()
    group = TrackerGroup([Tracker(gallery=gallery), Tracker(gallery=gallery)])
    with pytest.raises(ValueError, match=r"video 1: expected features .* width 8, as video 0 has"):
        group.step(None, [[PERSON]] * 2, embeddings=[np.ones((1, 8)), np.ones((1, 16))])
    assert len(gallery) == 0
    # Nothing is left of what was refused.
    tracks = group.step(None, [[PERSON]] * 2, embeddings=[np.ones((1, 16)), -np.ones((1, 16))])
    assert [t.ids.tolist() for t in tracks] == [[1], [2]]


def test_a_refused_step_names_no_encoder_to_a_gallery():
    class Named(Together):
        fingerprint = "A"

    gallery = Gallery()
    group = TrackerGroup([Tracker(gallery=gallery, extractor=Named()), Tracker(gallery=gallery)])
    nan = np.full((1, 512), np.nan, np.float32)
    with pytest.raises(ValueError, match="video 1: embeddings: expected finite"):
        group.step([pictures(0, 1)[0], None], [[PERSON]] * 2, embeddings=[None, nan])
    assert gallery.encoder == ""


def test_an_extractor_that_forgets_a_frame_is_told():
    class Forgetful(Together):
        def embed_frames(self, frames, boxes):
            return super().embed_frames(frames, boxes)[:-1]

    extractor = Forgetful()
    group = TrackerGroup([Tracker(extractor=extractor) for _ in range(2)])
    with pytest.raises(ValueError, match="Forgetful: expected those of 2 frames, got 1"):
        group.step(pictures(0, 2), [[PERSON]] * 2)


def test_reset_starts_all_again():
    group = TrackerGroup([Tracker(), Tracker()])
    for _ in range(2):
        group.step(None, [[PERSON], [PERSON, PERSON + 200]])
    group.reset()
    assert [t.ids.tolist() for t in group.step(None, [[PERSON], []])] == [[1], []]


def test_cameras_that_share_a_gallery_share_identities():
    gallery = Gallery()
    group = TrackerGroup([Tracker(gallery=gallery), Tracker(gallery=gallery)])
    a, b = np.eye(2, dtype=np.float32)[:, None]
    seen = [
        [t.ids.tolist() for t in group.step(None, dets, embeddings=z)]
        for dets, z in (
            ([[PERSON], [PERSON]], [a, b]),
            ([[PERSON], []], [a, b[:0]]),
            ([[], [PERSON, PERSON + 300]], [a[:0], np.vstack([b, a])]),
        )
    ]
    assert seen[0] == [[1], [2]]
    assert seen[2][1] == [2, 1]


@pytest.mark.parametrize("trackers", [[], [Tracker(), 3]])
def test_other_than_trackers_are_refused(trackers):
    with pytest.raises(ValueError, match="trackers: expected at least one Tracker"):
        TrackerGroup(trackers)


def test_a_tracker_comes_once():
    tracker = Tracker()
    with pytest.raises(ValueError, match="once, got one twice"):
        TrackerGroup([tracker, tracker])
    assert len(TrackerGroup([tracker])) == 1


def test_a_pile_is_named_by_its_video():
    pile = np.tile(PERSON[:4], (int(_testing.MOST_PAIRS**0.5) + 1, 1))
    still = TrackerConfig(motion="none")  # the filter takes so dense a pile for chance
    group = TrackerGroup([Tracker(still), Tracker(still)])
    for _ in range(2):
        group.step(None, [pile[:1], pile])
        with pytest.raises(ValueError, match="video 1: dets: expected at most"):
            group.step(None, [pile[:1], pile])
        group.reset()
