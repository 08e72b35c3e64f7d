"""A tracker that is copied, pickled or saved between two frames goes on as the one that was not."""

import copy
import pickle
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sslmot
from sslmot import ColorHistogram, Gallery, Tracker, TrackerConfig, TrackerGroup, _core

FRAMES = 30


def crowd(seed, dim=8):
    """Frames, detections and features of people who walk, vanish and come back."""
    rng = np.random.default_rng(seed)
    at, step = rng.uniform(0, 300, (8, 2)), rng.normal(0, 3, (8, 2))
    looks, away = rng.normal(size=(8, dim)), np.zeros(8, int)
    ground = rng.integers(0, 256, (420, 420, 3), np.uint8)
    for t in range(FRAMES):
        at += step
        away = np.maximum(away - 1, 0)
        away[rng.random(8) < 0.05] = rng.integers(1, 9)
        seen = np.flatnonzero(away == 0)
        corner = at[seen] + rng.normal(0, 1, (len(seen), 2))
        scores = rng.choice([0.3, 0.6, 0.95], len(seen))
        dets = np.column_stack([corner, corner + np.array((25, 60)), scores])
        frame = np.roll(ground, 3 * t, axis=1)[:360, :360].copy()
        yield frame, dets, looks[seen] + rng.normal(0, 0.3, (len(seen), dim))


KINDS = {
    "features": (lambda: Tracker(), lambda t, f, d, z: t.step(None, d, embeddings=z)),
    "motion": (lambda: Tracker(), lambda t, f, d, z: t.step(None, d)),
    "paper": (
        lambda: Tracker(TrackerConfig.paper()),
        lambda t, f, d, z: t.step(None, d, embeddings=z),
    ),
    "frames": (
        lambda: Tracker(extractor=ColorHistogram()),
        lambda t, f, d, z: t.step(f, d),
    ),
    "gallery": (
        lambda: Tracker(gallery=Gallery(capacity=5)),
        lambda t, f, d, z: t.step(None, d, embeddings=z),
    ),
}


def through_a_file(tracker, path):
    tracker.save(path / "tracker.safetensors")
    return Tracker.load(
        path / "tracker.safetensors", extractor=tracker.extractor, gallery=tracker.gallery
    )


WAYS = {
    "deepcopy": lambda t, path: copy.deepcopy(t),
    "pickle": lambda t, path: pickle.loads(pickle.dumps(t)),
    "file": through_a_file,
}


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def same(a, b):
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.detection_index, b.detection_index)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_from_any_frame(kind, way, tmp_path):
    make, step = KINDS[kind]
    for seed in range(2):
        whole, cut = make(), make()
        for frame, dets, features in crowd(seed):
            cut = WAYS[way](cut, tmp_path)
            tracks = step(cut, frame, dets, features)
            assert same(tracks, step(whole, frame, dets, features))
            assert equal(cut.state_dict(), whole.state_dict())


def test_a_copy_and_its_original_part_ways():
    tracker = Tracker(gallery=Gallery())
    film = list(crowd(0))
    for _, dets, features in film[:10]:
        tracker.step(None, dets, embeddings=features)
    twin, before = copy.deepcopy(tracker), tracker.state_dict()
    for _, dets, features in film[10:]:
        twin.step(None, dets, embeddings=features)
    assert equal(tracker.state_dict(), before)
    assert twin.gallery is not tracker.gallery
    assert twin.has_extractor == tracker.has_extractor


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_group_keeps_what_its_trackers_share(way, tmp_path):
    gallery = Gallery()
    group = TrackerGroup([Tracker(gallery=gallery) for _ in range(2)])
    twin = WAYS[way](group, tmp_path)
    assert twin.trackers[0].gallery is twin.trackers[1].gallery is not gallery
    for one, other in zip(crowd(1), crowd(2), strict=True):
        dets, features = [one[1], other[1]], [one[2], other[2]]
        found = [g.step(None, dets, embeddings=features) for g in (group, twin)]
        assert all(same(a, b) for a, b in zip(*found, strict=True))


def spoiled():
    """What is no state: by name what to change."""
    ids = lambda s: {**s, "tracks.ids": np.full_like(s["tracks.ids"], 1)}  # noqa: E731
    return {
        "twice": (ids, "ids: expected each once, got 1 twice"),
        "missing": (lambda s: {k: v for k, v in s.items() if k != "lost.hits"}, "lost.hits"),
        "more": (lambda s: {**s, "more": s["next_id"]}, "more"),
        "shape": (lambda s: {**s, "tracks.boxes": s["tracks.boxes"][:, :3]}, "boxes: expected"),
        "type": (lambda s: {**s, "tracks.hits": s["tracks.hits"].astype(float)}, "hits: expected"),
        "below": (lambda s: {**s, "tracks.hits": s["tracks.hits"] - 9**9}, "hits: expected 0 to"),
        "probation": (
            lambda s: {**s, "tracks.probation": s["tracks.probation"] + 1},
            "probation: expected seconds, 0 to 0.000000, got 1.000000",
        ),
        "NaN": (lambda s: {**s, "tracks.state": s["tracks.state"] * np.nan}, "state: expected fin"),
        "length": (lambda s: {**s, "features": 2 * s["features"]}, "features: expected rows of"),
        "rows": (lambda s: {**s, "features": s["features"][1:]}, "features: expected"),
        "next": (lambda s: {**s, "next_id": np.array(1)}, "next_id: expected more than all ids"),
    }


@pytest.mark.parametrize("kind", spoiled())
def test_what_is_no_state_changes_nothing(kind, tmp_path):
    change, message = spoiled()[kind]
    tracker = Tracker()
    for _, dets, features in crowd(0):
        tracker.step(None, dets, embeddings=features)
    before = tracker.state_dict()
    with pytest.raises(ValueError, match=message):
        tracker.load_state_dict(change(before))
    assert equal(tracker.state_dict(), before)


def test_ids_end_at_the_largest():
    """A frame that needs more is refused before anything changes."""
    tracker = Tracker(TrackerConfig(min_hits=0))
    state = tracker.state_dict()
    for wrong in (_core.LARGEST_ID + 2, 2**62, 2**63 - 1):
        with pytest.raises(ValueError, match=r"^state: next_id: expected at most"):
            tracker.load_state_dict({**state, "next_id": np.array(wrong)})
    tracker.load_state_dict({**state, "next_id": np.array(_core.LARGEST_ID)})
    person = [[0, 0, 40, 100]]
    assert tracker.step(None, person).ids.tolist() == [_core.LARGEST_ID]
    before = tracker.state_dict()
    with pytest.raises(ValueError, match=r"^ids: expected at most"):
        tracker.step(None, [*person, [200, 0, 240, 100]])
    for name, values in tracker.state_dict().items():
        np.testing.assert_array_equal(values, before[name], name)
    assert tracker.step(None, person).ids.tolist() == [_core.LARGEST_ID]
    tracker.load_state_dict(before)
    with pytest.raises(ValueError, match=r"^state: ids: expected 0 to"):
        tracker.load_state_dict({**before, "tracks.ids": np.array([_core.LARGEST_ID + 1])})


def test_files_that_are_none(tmp_path):
    path = tmp_path / "tracker.safetensors"
    with pytest.raises(FileNotFoundError):
        Tracker.load(path)
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"tracker.safetensors: expected the state of a tracker"):
        Tracker.load(path)
    Tracker().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"tracker.safetensors: expected the state of a tracker"):
        Tracker.load(path)


def test_a_second_thread_is_refused():
    inside, go_on = threading.Event(), threading.Event()

    def waits(frame, boxes):
        tracker.state_dict()  # a hold within the hold of this thread's step
        inside.set()
        assert go_on.wait(10)
        return np.ones((len(boxes), 2))

    tracker = Tracker(TrackerConfig(camera_motion=False), extractor=waits)
    frame, dets = np.zeros((90, 90, 3), np.uint8), [[1, 1, 9, 30]]
    kept = tracker.state_dict()
    thread = threading.Thread(target=tracker.step, args=(frame, dets))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(RuntimeError, match="expected one thread at a time"):
        tracker.step(None, dets)
    with pytest.raises(RuntimeError, match="expected one thread at a time"):
        TrackerGroup([tracker]).step(None, [dets])
    with pytest.raises(RuntimeError, match="expected one thread at a time"):
        tracker.reset()
    with pytest.raises(RuntimeError, match="expected one thread at a time"):
        tracker.load_state_dict(kept)
    with pytest.raises(RuntimeError, match="expected one thread at a time"):
        tracker.state_dict()
    go_on.set()
    thread.join()
    assert tracker.step(frame, dets).ids.tolist() == [1]


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "gallery"])
def test_trackers_in_threads_equal_each_alone(kind):
    make, step = KINDS[kind]
    barrier = threading.Barrier(2)

    def run(seed, together):
        if together:
            barrier.wait(10)
        tracker = make()
        said = [step(tracker, *seen) for seen in crowd(seed)]
        return [(t.ids.tolist(), t.detection_index.tolist()) for t in said], tracker.state_dict()

    alone = [run(seed, False) for seed in (0, 1)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            at_once = list(pool.map(run, (0, 1), (True, True)))
    finally:
        sys.setswitchinterval(interval)
    for (said, state), (expected, expected_state) in zip(at_once, alone, strict=True):
        assert said == expected
        assert equal(state, expected_state)


def test_tracks_that_are_kept_keep_no_features():
    """A list of the tracks of a long video must not hold what its frames were described by."""
    tracker, kept = Tracker(), []
    for _, dets, features in crowd(0):
        embeddings = features.astype(np.float32)
        gone = weakref.ref(embeddings)
        kept.append(tracker.step(None, dets, embeddings=embeddings))
        del embeddings
        assert gone() is None
    assert any(tracks.explain(tracks.ids[0]).cost for tracks in kept if len(tracks))


def test_tracking_and_saving_need_no_torch(tmp_path):
    import subprocess
    import sys

    program = (
        "import sys, sslmot; t = sslmot.Tracker(); t.step(None, [[0, 0, 9, 9]]);"
        f"t.save(r'{tmp_path}/t'); sslmot.Tracker.load(r'{tmp_path}/t');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert sslmot.Tracker.load(tmp_path / "t").state_dict()["next_id"] == 2
