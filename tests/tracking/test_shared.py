"""Galleries that processes share: nothing is lost, no id is given twice, and all agree."""

import copy
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from sslmot import Tracker, _core
from sslmot.tracking.gallery import Gallery

pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install sslmot[gallery]")

from sslmot.tracking.shared import SharedGallery

D = 16
PEOPLE = np.random.default_rng(0).normal(size=(500, D)).astype(np.float32)
BOX = np.float32([10, 50, 50, 150])
WIDE = np.float32([60, 0, 60, 0])

COMMON = f"""
import sys, time
import numpy as np
from sslmot import Tracker
from sslmot.tracking.shared import SharedGallery
PEOPLE = np.random.default_rng(0).normal(size=(500, {D})).astype(np.float32)
path, arguments = sys.argv[1], sys.argv[2:]
"""
# Add new people, one at a time; print each id once it is in the store.
WRITER = (
    COMMON
    + """
first, count = map(int, arguments)
with SharedGallery(path, interval=0, capacity=10**6) as gallery:
    for k in range(first, first + count):
        identity = gallery.reserve(300)
        gallery.add([identity], PEOPLE[[k]])
        gallery.flush()
        print(identity, k, flush=True)
"""
)
# Show people to a tracker, and print their ids.
CAMERA = (
    COMMON
    + """
people = list(map(int, arguments))
boxes = np.float32([10, 50, 50, 150]) + np.arange(len(people), dtype=np.float32)[:, None] * (
    np.float32([60, 0, 60, 0])
)
with SharedGallery(path, interval=0) as gallery:
    tracker = Tracker(gallery=gallery)
    for _ in range(3):
        tracks = tracker.step(None, boxes, embeddings=PEOPLE[people])
    tracker.step(None, ())
    print(*tracks.ids.tolist())
"""
)


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def finish(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return [tuple(map(int, line.split())) for line in out.splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.lance"


def expect_all(path, written):
    """Each identity that a process reported is in the store, with its person's feature."""
    ids = [identity for identity, _ in written]
    assert len(set(ids)) == len(ids)
    with SharedGallery(path, capacity=10**6) as gallery:
        found = gallery.identify(PEOPLE[[k for _, k in written]])
        assert found.tolist() == ids
        return len(gallery)


def test_two_processes_that_write_at_once_lose_nothing(path):
    writers = [start(WRITER, path, first, 20) for first in (0, 100)]
    written = [line for writer in writers for line in finish(writer)]
    assert len(written) == 40
    assert expect_all(path, written) == 40


def test_a_killed_writer_loses_what_it_had_not_written(path):
    killed, other = start(WRITER, path, 0, 400), start(WRITER, path, 400, 15)
    lines = [killed.stdout.readline() for _ in range(5)]
    killed.send_signal(signal.SIGKILL)
    lines += killed.stdout.readlines()
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    written = [tuple(map(int, line.split())) for line in lines] + finish(other)
    # One more may be in the store: the process was killed before it could say so.
    assert len(written) <= expect_all(path, written) <= len(written) + 1
    after = finish(start(WRITER, path, 430, 3))  # and others go on
    expect_all(path, written + after)


def test_a_person_has_one_id_in_two_processes(path):
    first = finish(start(CAMERA, path, 0, 1, 2))[0]
    assert first == (1, 2, 3)
    second = finish(start(CAMERA, path, 7, 2, 0))[0]
    assert second[1:] == (3, 1)
    assert second[0] not in first


def test_what_another_adds_is_known_after_the_interval(path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with SharedGallery(path, interval=5) as one, SharedGallery(path, interval=5) as two:
        one.add([one.reserve(1)], PEOPLE[:1])
        now += 4.9
        assert one.identify(PEOPLE[:1]).tolist() == [1]
        assert two.identify(PEOPLE[:1]).tolist() == [0]
        now += 0.1
        one.reserve(1)  # as each step of a tracker does
        assert two.identify(PEOPLE[:1]).tolist() == [1]


def test_trackers_of_two_galleries_at_once(path):
    """They meet the same people in turn, and new ones all the time."""
    rng = np.random.default_rng(1)
    galleries = [SharedGallery(path, interval=0) for _ in range(2)]
    person_of = {}
    for turn in range(12):
        tracker = Tracker(gallery=galleries[turn % 2])
        here = rng.permutation(30)[:4]
        boxes = BOX + np.arange(4, dtype=np.float32)[:, None] * WIDE
        for _ in range(3):
            tracks = tracker.step(None, boxes, embeddings=np.eye(30, dtype=np.float32)[here])
            for identity, j in zip(tracks.ids.tolist(), tracks.detection_index, strict=True):
                assert person_of.setdefault(identity, here[j]) == here[j]
        tracker.reset()
    assert len(person_of) == len(set(person_of.values()))  # one id each


def test_a_tracker_with_an_id_of_another_process_can_be_restored(path):
    with SharedGallery(path, interval=0) as one, SharedGallery(path, interval=0) as two:
        two.reserve(1)  # the lower ids
        one.add([one.reserve(1)], PEOPLE[:1])
        one.flush()
        tracker = Tracker(gallery=two)
        for _ in range(3):
            tracks = tracker.step(None, BOX[None], embeddings=PEOPLE[:1])
        assert tracks.ids.tolist() == [1001]
        again = Tracker(gallery=one)
        again.load_state_dict(tracker.state_dict())
        boxes = np.stack([BOX, BOX + 3 * WIDE])
        for _ in range(3):
            tracks = again.step(None, boxes, embeddings=PEOPLE[:2])
        assert tracks.ids.tolist() == [1001, 1002]


def test_ids_are_reserved_in_blocks(path):
    with SharedGallery(path) as one, SharedGallery(path) as two:
        assert [one.reserve(3), two.reserve(1000), one.reserve(1000)] == [1, 1001, 1]
        assert one.reserve(1001) == 5001  # 1001 to 5000 are the other's
        assert one.reserve(4004) == one.next_id == 5001
        assert one.reserve(1, least=9100) == 9100
        assert two.reserve(1) == two.next_id == 1001
        assert two.reserve(5000) > 9100
        with pytest.raises(ValueError, match=r"lance: expected .* ids up to 2147483647, got"):
            two.reserve(1, least=_core.LARGEST_ID)
        assert two.reserve(1) > 9100


def test_ids_that_nobody_reserved_are_refused(path):
    with SharedGallery(path) as one, SharedGallery(path) as two:
        with pytest.raises(
            ValueError, match="ids: expected ids that were reserved, up to 0, got 1"
        ):
            one.add([1], PEOPLE[:1])
        assert len(one) == 0
        two.reserve(1)
        one.add([1], PEOPLE[:1])  # as it learns
        assert 1 in one


def test_features_of_another_encoder_or_width_are_refused(path):
    one, two, three = (SharedGallery(path, interval=3600) for _ in range(3))
    for gallery, encoder, width in ((one, "a", D), (two, "b", D), (three, "a", 3)):
        gallery.bind(encoder, width)
        gallery.add([gallery.reserve(1)], PEOPLE[:1, :width])
    one.flush()
    with pytest.raises(
        ValueError, match=r"people.lance: expected features of encoder 'b', got 'a'"
    ):
        two.flush()
    with pytest.raises(ValueError, match=r"people.lance: expected features of width 3, got 16"):
        three.flush()
    with pytest.raises(ValueError, match=r"expected features of encoder 'c', got 'a'"):
        SharedGallery(path, encoder="c")
    assert SharedGallery(path).encoder == "a"


def test_it_decides_as_a_gallery_with_the_same_samples(path):
    rng = np.random.default_rng(2)
    plain, shared = Gallery(capacity=20), SharedGallery(path, capacity=20, interval=0)
    shared.reserve(100)
    for _ in range(10):
        ids = rng.integers(1, 40, 6)
        features = PEOPLE[ids] + rng.normal(0, 0.3, (6, D))
        plain.add(ids, features)
        shared.add(ids, features)
    for gallery in (shared, pickle.loads(pickle.dumps(shared)), copy.deepcopy(shared)):
        assert gallery.identify(PEOPLE[:40]).tolist() == plain.identify(PEOPLE[:40]).tolist()
    assert plain.identify(PEOPLE[:40]).any()


def test_unknown_appearance_and_nothing(path):
    with SharedGallery(path, interval=0) as one, SharedGallery(path, interval=0) as two:
        first = one.reserve(2)
        one.add([first, first + 1], np.stack([PEOPLE[0], 0 * PEOPLE[0]]))
        one.add([], [])
        one.flush()
        assert two.identify(PEOPLE[:1]).tolist() == [first]
        assert one.next_id == first + 2


def test_compaction_keeps_all_while_others_write(path):
    with SharedGallery(path, interval=0) as one, SharedGallery(path, interval=0) as two:
        for k in range(6):
            one.add([one.reserve(1)], PEOPLE[[k]])
            two.add([two.reserve(1)], PEOPLE[[100 + k]])
        one.compact()
        two.add([two.reserve(1)], PEOPLE[[106]])
        two.flush()
        assert one.reserve(1) != two.reserve(1)
        expected = [1, 2, 3, 4, 5, 6]
        assert one.identify(PEOPLE[:6]).tolist() == expected
        assert two.identify(PEOPLE[:6]).tolist() == expected
    with SharedGallery(path) as later:
        assert later.identify(PEOPLE[:6]).tolist() == expected
        assert later.identify(PEOPLE[100:107]).tolist() == list(range(1001, 1008))


def test_removed_samples_are_noticed(path):
    import lancedb

    with SharedGallery(path, interval=3600) as gallery:
        gallery.add([gallery.reserve(1)], PEOPLE[:1])
        gallery.flush()
        lancedb.connect(path).open_table("samples").delete("id = 1")
        with pytest.raises(ValueError, match="expected the 1 samples that were there, got 0"):
            gallery.flush()


def test_a_file_of_it_is_a_gallery(path, tmp_path):
    with SharedGallery(path) as gallery:
        gallery.add([gallery.reserve(1)], PEOPLE[:1])
        gallery.save(tmp_path / "people.npz")
    plain = Gallery.load(tmp_path / "people.npz")
    assert type(plain) is Gallery
    assert plain.identify(PEOPLE[:1]).tolist() == [1]


def test_without_the_package(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ImportError, match=r"pip install sslmot\[gallery\]"):
        SharedGallery(path)


@pytest.mark.parametrize("interval", [-1, np.nan, "1", True])
def test_intervals(path, interval):
    with pytest.raises(ValueError, match="interval: expected a number of 0 to 86400, got"):
        SharedGallery(path, interval=interval)
    assert not path.exists()
