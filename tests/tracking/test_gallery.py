"""The gallery: who is recognised, who is forgotten, and what a file of it keeps."""

import copy
import pickle
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sslmot import Tracker, TrackerGroup, _core
from sslmot.tracking.gallery import Gallery

D = 6


def unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def at(*degrees):
    """Features in a plane, (N, 2): their cosines are those of the angles between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def decide(known, features, taken, floor, margin):
    """The rule of `Gallery.identify` in loops and float64.

    Args:
        known: {identity: (S, D) samples}.
        features: (N, D), none of zeros.
        taken: identities.
        floor: min_similarity.
        margin: margin.

    Returns:
        The identities, and the least distance of a number from where it would decide otherwise.
    """
    ids, room = list(known), np.inf
    score = np.zeros((len(features), len(ids)))  # what a pair adds to the matching; 0 forbids it
    for n, feature in enumerate(features):
        cosines = [max(unit(s) @ unit(feature) for s in known[i]) for i in ids]
        for k, identity in enumerate(ids):
            lead = cosines[k] - max(cosines[:k] + cosines[k + 1 :], default=-np.inf)
            room = min(room, abs(cosines[k] - floor), abs(lead - margin))
            if cosines[k] >= floor and lead >= margin and identity not in taken:
                score[n, k] = 10 + cosines[k]  # as many pairs as possible, then the most alike
    found = np.zeros(len(features), int)
    for n, k in zip(*linear_sum_assignment(-score), strict=True):
        if score[n, k] > 0:
            found[n] = ids[k]
    return found, room


@st.composite
def scenes(draw):
    """A few looks, persons who have some of them, and features near them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    persons, samples, n = (draw(st.integers(1, most)) for most in (6, 3, 7))
    looks = rng.normal(size=(persons, D))
    known = {
        int(i): look + 0.4 * rng.normal(size=(samples, D))
        for i, look in zip(rng.permutation(50)[:persons] + 1, looks, strict=True)
    }
    features = looks[rng.integers(0, persons, n)] + 0.5 * rng.normal(size=(n, D))
    features *= rng.uniform(0.1, 9, (n, 1))
    taken = [i for i in known if rng.random() < 0.2] + [99]
    return known, features.astype(np.float32), taken


def gallery_of(known, **settings):
    gallery = Gallery(**settings)
    for identity, samples in known.items():
        gallery.add([identity] * len(samples), np.asarray(samples, np.float32))
    return gallery


@settings(max_examples=150, deadline=None)
@given(scenes(), st.sampled_from([-1.0, 0.3, 0.6, 0.8]), st.sampled_from([0.0, 0.05, 0.2]))
def test_decisions_are_those_of_the_rule(scene, floor, margin):
    known, features, taken = scene
    expected, room = decide(known, features, taken, floor, margin)
    assume(room > 1e-5)  # where float32 decides alike
    found = gallery_of(known, min_similarity=floor, margin=margin).identify(features, taken)
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()


@settings(max_examples=100, deadline=None)
@given(scenes(), st.sampled_from([-1.0, 0.5]), st.sampled_from([0.0, 0.1]))
def test_nobody_twice_and_nobody_in_view(scene, floor, margin):
    known, features, taken = scene
    found = gallery_of(known, min_similarity=floor, margin=margin).identify(features, taken)
    given_out = found[found > 0].tolist()
    assert len(set(given_out)) == len(given_out)
    assert set(given_out) <= set(known) - set(taken)


def test_the_returning_get_their_ids_and_strangers_none():
    gallery = Gallery()
    gallery.add([3, 5], at(0, 90))
    assert gallery.identify(at(95, 200, 10)).tolist() == [5, 0, 3]
    # Of two who look like 3, the one who does more.
    assert gallery.identify(at(10, 5)).tolist() == [0, 3]


def test_who_looks_like_somebody_in_view_is_in_doubt():
    gallery = gallery_of({1: at(0), 2: at(40)})
    assert gallery.identify(at(0)).tolist() == [1]
    assert gallery.identify(at(20)).tolist() == [0]
    assert gallery.identify(at(18), taken=[2]).tolist() == [0]
    assert gallery.identify(at(0), taken=[1]).tolist() == [0]
    assert gallery.identify(at(0), taken=iter([2, 7])).tolist() == [1]


def test_unknown_appearance():
    gallery = Gallery(min_similarity=-1)
    nothing = np.zeros((2, 2), np.float32)
    assert gallery.identify(nothing).tolist() == [0, 0]
    gallery.add([4, 6], nothing)
    assert (len(gallery), gallery.next_id) == (0, 7)
    gallery.add([4, 2], at(0, 50))
    assert gallery.identify(np.vstack([nothing, at(1)])).tolist() == [0, 0, 4]
    assert gallery.identify(np.empty((0, 2), np.float32)).tolist() == []
    gallery.add([], [])
    assert len(gallery) == 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_features_of_any_length_and_float_type(dtype):
    gallery = Gallery()
    gallery.add(np.array([1, 2], np.uint8), 7 * at(0, 90).astype(dtype))
    assert gallery.identify(0.1 * at(80).astype(dtype)).tolist() == [2]


def test_torch_tensors(device):
    torch = pytest.importorskip("torch")
    gallery = Gallery()
    gallery.add([1, 2], torch.from_numpy(at(0, 90)).to(device))
    assert gallery.identify(torch.from_numpy(at(80)).to(device).bfloat16()).tolist() == [2]


def test_ids_are_never_given_out_again():
    gallery = Gallery(capacity=2)
    assert gallery.next_id == 1
    gallery.add([7, 3], at(0, 90))
    assert gallery.next_id == 8
    gallery.add([8, 9], at(180, 270))
    assert 7 not in gallery
    assert gallery.next_id == 10


def test_who_has_not_been_seen_for_longest_is_forgotten():
    gallery = Gallery(capacity=3)
    gallery.add([1, 2, 3], at(0, 60, 120))
    gallery.identify(at(0))  # to be recognised is not yet to be remembered anew
    gallery.add([1], np.zeros((1, 2)))  # seen, though nobody knows how
    gallery.add([4], at(180))
    assert [i in gallery for i in (1, 2, 3, 4)] == [True, False, True, True]
    gallery.add([5, 3, 6], at(240, 120, 300))
    assert [i in gallery for i in range(1, 7)] == [False, False, True, False, True, True]
    # Nothing is left of the looks of 2 and 4, whose places others have.
    found = gallery.identify(at(60, 180, 240, 300))
    assert found.tolist() == [0, 0, 5, 6]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=12),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_sizes_are_bounded_and_order_is_that_of_sight(calls, capacity, samples, seed):
    rng = np.random.default_rng(seed)
    gallery, seen = Gallery(capacity=capacity, samples=samples), []
    for ids in calls:
        gallery.add(ids, rng.normal(size=(len(ids), 3)))
        for i in ids:
            seen = [j for j in seen if j != i] + [i]
            seen = seen[-capacity:]
        assert len(gallery) == len(seen)
        assert all(i in gallery for i in seen)
        assert gallery._samples.shape[0] <= capacity
        assert (gallery._counts <= samples).all()
    assert gallery.next_id == 1 + max((i for ids in calls for i in ids), default=0)


def largest_cosine(samples):
    cosines = unit(samples) @ unit(samples).T
    return cosines[np.triu_indices(len(samples), 1)].max()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_samples_stay_diverse(seed, size):
    """Against the best of all ways to drop one of the samples and the new one."""
    rng = np.random.default_rng(seed)
    gallery, before = Gallery(samples=size), None
    for feature in rng.normal(size=(25, 3)).astype(np.float32):
        gallery.add([1], feature[None])
        after = gallery._samples[0].copy()
        if before is not None:
            more = np.vstack([before, unit(feature)])
            best = min(largest_cosine(np.delete(more, k, axis=0)) for k in range(size + 1))
            assert largest_cosine(after) == pytest.approx(best, abs=1e-6)
            assert best <= largest_cosine(before) + 1e-6
        before = after if gallery._counts[0] == size else None


def test_many_looks_from_a_stream_of_equal_ones():
    gallery = Gallery(samples=3)
    for degrees in [0] * 20 + [100] + [0] * 20 + [200] + [0] * 20:
        gallery.add([1], at(degrees))
    assert gallery.identify(at(101)).tolist() == [1]
    assert gallery.identify(at(199)).tolist() == [1]
    # Of two alike, the newer.
    newest = Gallery(samples=1)
    newest.add([1, 1], at(0, 100))
    assert newest.identify(at(0)).tolist() == [0]
    assert newest.identify(at(100)).tolist() == [1]


# Files


@settings(max_examples=25, deadline=None)
@given(scenes(), st.data())
def test_a_saved_gallery_decides_and_goes_on_alike(tmp_path_factory, scene, data):
    known, features, taken = scene
    path = tmp_path_factory.mktemp("gallery") / "gallery.npz"
    gallery = gallery_of(known, min_similarity=0.4, margin=0.02, capacity=4, samples=2, encoder="e")
    gallery.save(path)
    again = Gallery.load(path)
    for _ in range(3):
        assert (
            again.identify(features, taken).tolist() == gallery.identify(features, taken).tolist()
        )
        assert len(again) == len(gallery)
        assert [i for i in range(60) if i in again] == [i for i in range(60) if i in gallery]
        assert (again.next_id, again.encoder) == (gallery.next_id, "e")
        ids = data.draw(
            st.lists(st.integers(1, 60), min_size=len(features), max_size=len(features))
        )
        again.add(ids, features)
        gallery.add(ids, features)
    again.save(path.with_name("again"))
    gallery.save(path)
    assert path.read_bytes() == path.with_name("again").read_bytes()


def test_an_empty_gallery_in_a_file(tmp_path):
    Gallery(capacity=3).save(tmp_path / "gallery.npz")
    gallery = Gallery.load(tmp_path / "gallery.npz")
    assert (len(gallery), gallery.next_id, gallery.capacity) == (0, 1, 3)
    gallery.add([1], at(0))
    assert 1 in gallery


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "gallery.npz"
    gallery_of({1: at(0, 9), 2: at(90)}).save(path)
    return path


def test_damaged_files(saved):
    whole = saved.read_bytes()
    for data in (b"", b"PK", whole[:-30], whole[: len(whole) // 2], b"\x80\x04N."):
        saved.write_bytes(data)
        with pytest.raises(ValueError, match=r"gallery\.npz: expected a gallery, got"):
            Gallery.load(saved)
    with saved.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="expected a gallery, got"):
        Gallery.load(saved)
    with pytest.raises(FileNotFoundError):
        Gallery.load(saved.with_name("nowhere"))


def test_a_flipped_bit_is_noticed_or_harmless(saved):
    whole = saved.read_bytes()
    for place in range(0, len(whole), 3):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            gallery = Gallery.load(saved)
        except ValueError:
            continue
        assert gallery.identify(at(2, 91)).tolist() == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.array([1, 1])},
        {"ids": np.array([0, 2])},
        {"ids": np.array([1, 3])},  # 3 is to be given out next
        {"ids": np.array([1.0, 2.0])},
        {"ids": np.array([1, {}], object)},
        {"rows": np.array([0, 2])},
        {"counts": np.array([-1, 4])},
        {"counts": np.array([1, 1])},
        {"features": 2 * at(0, 9, 90)},
        {"features": np.full((3, 2), np.nan, np.float32)},
        {"features": at(0, 9, 90)[0]},
        {"next_id": np.array([3, 3])},
        {"next_id": np.array(2**31 + 1)},
        {"settings": np.array("{}}")},
        {"settings": np.array('{"capacity": 1}')},
        {"settings": np.array('{"capacity": "many"}')},
        {"settings": np.array('{"size": 1}')},
        {"more": np.array(1)},
    ],
)
def test_a_file_that_contradicts_itself(saved, change):
    with np.load(saved) as file:
        fields = dict(file)
    np.savez(saved, **fields | change)
    with pytest.raises(ValueError, match=r"gallery\.npz: expected a gallery, got"):
        Gallery.load(saved)


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    whole = saved.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        Gallery().save(saved)
    assert saved.read_bytes() == whole


# Errors


def test_features_of_another_encoder_are_refused(tmp_path):
    gallery = Gallery()
    gallery.bind("")
    gallery.bind("a1b2")
    with pytest.raises(ValueError, match=r"expected 'a1b2', whose features .* got 'c3d4'"):
        gallery.bind("c3d4")
    gallery.add([1], at(0))
    gallery.save(tmp_path / "gallery.npz")
    again = Gallery.load(tmp_path / "gallery.npz")
    again.bind("a1b2")
    with pytest.raises(ValueError, match=r"encoder: expected 'a1b2'.* got ''"):
        again.bind("")
    without_id = gallery_of({1: at(0)})
    with pytest.raises(ValueError, match=r"encoder: expected ''.* got 'a1b2'"):
        without_id.bind("a1b2")


@pytest.mark.parametrize(
    ("ids", "features", "message"),
    [
        ([3, 0], at(10, 20), r"ids: expected integers of 1 to 2147483647, got \[3, 0\]"),
        (np.array([3, 2**63], np.uint64), at(10, 20), "ids: expected integers of 1 to"),
        ([3, 2**31], at(10, 20), "ids: expected integers of 1 to"),
        ([3.0, 4.0], at(10, 20), r"ids: expected \(N,\) integers, got"),
        ([[3, 4]], at(10, 20), r"ids: expected \(N,\) integers, got"),
        ([3], at(10, 20), r"features: expected \(1, 2\) float32 on cpu, got \(2, 2\)"),
        ([3, 4], np.ones((2, 3)), r"features: expected \(2, 2\) float32 on cpu, got \(2, 3\)"),
        ([3, 4], np.ones((2, 2), int), r"features: expected \(2, 2\)"),
        ([3, 4], at(10, np.nan), r"features: expected finite .* in row 1"),
        ([3, 4], None, "features: expected an array"),
    ],
)
def test_a_rejected_call_changes_nothing(tmp_path, ids, features, message):
    gallery = gallery_of({1: at(0), 2: at(90)})
    gallery.save(tmp_path / "before")
    with pytest.raises(ValueError, match=message):
        gallery.add(ids, features)
    gallery.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


@pytest.mark.parametrize("features", [np.ones((1, 3)), at(np.nan), np.float32(1), [[1, 2], [3]]])
def test_features_that_cannot_be_identified(features):
    with pytest.raises(ValueError, match="features: expected"):
        gallery_of({1: at(0)}).identify(features)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"min_similarity": 1.1}, "min_similarity: expected a number of -1 to 1, got 1.1"),
        ({"margin": float("nan")}, "margin: expected a number of 0 to 2, got nan"),
        ({"margin": -0.1}, "margin: expected a number of 0 to 2, got -0.1"),
        ({"capacity": 0}, "capacity: expected an integer of 1 or more, got 0"),
        ({"samples": 2.0}, "samples: expected an integer of 1 or more, got 2.0"),
        ({"samples": True}, "samples: expected an integer of 1 or more, got True"),
        ({"encoder": None}, "encoder: expected a text, got None"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        Gallery(**setting)


def test_no_torch_is_needed():
    code = "import sys, sslmot.tracking.gallery; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_of_a_file_allocate_nothing(tmp_path):
    gallery = Gallery(samples=10**9, capacity=10**9)
    gallery.add([1, 1, 2], at(0, 50, 90))
    gallery.save(tmp_path / "gallery.npz")
    loaded = Gallery.load(tmp_path / "gallery.npz")
    assert loaded.identify(at(50, 90)).tolist() == [1, 2]
    for angle in range(9):
        loaded.add([1], at(10 * angle))
    assert loaded._samples.nbytes < 10_000


def test_a_declared_shape_allocates_nothing(saved):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    large, changes = re.subn(
        rb"\(3, 2\), \} {12}", b"(1000000000000, 2), }", members["features.npy"]
    )
    assert changes == 1
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in (members | {"features.npy": large}).items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=r"gallery\.npz: expected a gallery, got"):
        Gallery.load(saved)


# Threads


@pytest.fixture
def in_threads():
    """Run calls in threads that begin together and take turns as often as Python allows."""

    def run(*calls):
        barrier = Barrier(len(calls))

        def begin(call):
            barrier.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(begin, call) for call in calls]]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield run
    sys.setswitchinterval(before)


def expect_whole(gallery):
    """What holds of a gallery after any calls."""
    n, size = len(gallery), len(gallery._counts)
    assert n <= size <= gallery.capacity
    assert gallery._samples.shape[0] == size
    assert sorted(gallery._rows.values()) == list(range(n))
    assert gallery._counts[:n].min() >= 1
    assert gallery._counts.max() <= gallery._samples.shape[1] <= gallery.samples
    assert max(gallery._rows) < gallery.next_id
    lengths = np.linalg.norm(gallery._samples[:n][gallery._filled()], axis=1)
    assert lengths == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("capacity", [30, 1000])
def test_threads_share_a_gallery(in_threads, tmp_path, capacity):
    """Some add, identify and bind; others save and copy meanwhile."""
    gallery = Gallery(capacity=capacity, samples=3, min_similarity=0.3)

    def use(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            gallery.bind("encoder", D)
            features = rng.normal(size=(4, D)).astype(np.float32)
            found = gallery.identify(features, [1, 2])
            assert (found > 2).sum() == len(set(found[found > 0]))
            gallery.add(rng.integers(1, 400, 4), features)
            gallery.expect("encoder", D)
            assert len(gallery) <= capacity

    def save():
        gallery.save(tmp_path / "gallery.npz")
        return Gallery.load(tmp_path / "gallery.npz")

    def take(copied):
        for _ in range(25):
            twin = copied()
            if len(twin):
                expect_whole(twin)

    in_threads(
        *[lambda seed=seed: use(seed) for seed in range(4)],
        lambda: take(save),
        lambda: take(lambda: copy.deepcopy(gallery)),
        lambda: take(lambda: pickle.loads(pickle.dumps(gallery))),
    )
    assert len(gallery) == 30 or capacity == 1000
    expect_whole(gallery)


def test_trackers_in_threads_share_a_gallery(in_threads):
    """Each sees persons of its own: no two persons get one identity."""
    cameras, persons = 4, 15
    gallery = Gallery()
    looks = np.eye(cameras * persons, dtype=np.float32).reshape(cameras, persons, -1)

    def watch(camera):
        tracker, found = Tracker(gallery=gallery), {}
        for person in [*range(persons), *range(persons)]:
            dets = [[400 * person, 0, 400 * person + 30, 90]]
            tracks = tracker.step(None, dets, embeddings=looks[camera, person : person + 1])
            for identity in tracks.ids.tolist():
                assert found.setdefault(person, identity) == identity
            if person % 5 == 4:
                tracker.reset()
        return list(found.values())

    found = np.concatenate(in_threads(*[lambda c=c: watch(c) for c in range(cameras)]))
    assert sorted(found) == list(range(1, cameras * persons + 1))
    assert len(gallery) == len(found)
    expect_whole(gallery)


def test_groups_in_threads_share_galleries(in_threads):
    """In whichever order their trackers use them."""
    galleries = [Gallery(), Gallery()]

    def watch(order):
        group = TrackerGroup([Tracker(gallery=galleries[i]) for i in order])
        for person in range(20):
            dets = [[[400 * person, 0, 400 * person + 30, 90]]] * 2
            looks = np.eye(40, dtype=np.float32)[[20 * order[0] + person]]
            group.step(None, dets, embeddings=[looks, looks])

    in_threads(lambda: watch((0, 1)), lambda: watch((1, 0)))
    for gallery in galleries:
        assert len(gallery) == gallery.next_id - 1 == 40
        expect_whole(gallery)


@pytest.mark.parametrize("group", [False, True])
def test_another_thread_may_bind_a_gallery_during_a_step(monkeypatch, group):
    galleries = [Gallery(), Gallery()]
    trackers = [Tracker(gallery=gallery) for gallery in galleries[: 1 + group]]
    dets, looks = [[0, 0, 30, 90]], np.eye(1, 3, dtype=np.float32)
    before = [tracker.state_dict() for tracker in trackers]
    associate = _core.associate_steps

    def step():
        if group:
            TrackerGroup(trackers).step(None, [dets] * 2, embeddings=[looks] * 2)
        else:
            trackers[0].step(None, dets, embeddings=looks)

    def bind(*args):
        """What another thread may do after the frame has been checked."""
        galleries[group].bind("another")
        associate(*args)

    monkeypatch.setattr(_core, "associate_steps", bind)
    with pytest.raises(ValueError, match="encoder: expected 'another'"):
        step()
    for tracker, old in zip(trackers, before, strict=True):
        new = tracker.state_dict()
        assert new.keys() == old.keys()
        assert all(np.array_equal(new[name], old[name]) for name in old)
        assert len(tracker.gallery) == 0
