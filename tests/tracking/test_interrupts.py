"""Interrupts (Ctrl-C) at any line of a step: the frame was taken in, or it was not."""

import sys
from pathlib import Path

import numpy as np
import pytest

import sslmot
from sslmot import Tracker, TrackerConfig
from sslmot.tracking.gallery import Gallery

PACKAGE = str(Path(sslmot.__file__).parent)
CONFIG = TrackerConfig(min_hits=1, instant_confirm_score=0.9, max_age=0.1)
LOOKS = np.eye(40, dtype=np.float32)
PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
# Persons and their scores. In the one that is interrupted the second is lost, the third is
# confirmed, and the fourth is new; later the second comes back.
BEFORE = [{0: 1, 1: 1}, {0: 1, 1: 1, 2: 0.5}]
FRAME = {0: 1, 2: 0.5, 3: 1}
AFTER = [{0: 1, 3: 1, 2: 1}, {3: 1, 2: 1, 1: 1, 4: 1}]


def see(tracker, people, told):
    """The identity of each person in a frame; one has none twice."""
    x = np.float32([60 * who for who in people])
    dets = np.stack([x, 0 * x, x + 30, 0 * x + 80, list(people.values())], axis=1)
    tracks = tracker.step(
        PICTURE if "frame" in told else None,
        dets,
        embeddings=LOOKS[list(people)] if "embeddings" in told else None,
    )
    assert len(set(tracks.ids.tolist())) == len(tracks)
    who = [list(people)[j] for j in tracks.detection_index]
    return dict(zip(who, tracks.ids.tolist(), strict=True))


class Interrupt:
    """Raises KeyboardInterrupt at the k-th line, or instruction, of the package inside it."""

    def __init__(self, k, of="line"):
        self.left, self.of, self.raised = k, of, False

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, kind, *_):
        sys.settrace(self.before)
        return self.raised and kind is KeyboardInterrupt

    def enter(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = self.of == "opcode"
        return self.count

    def count(self, frame, event, arg):
        if event == self.of:
            self.left -= 1
            if self.left == 0:
                self.raised = True
                raise KeyboardInterrupt
        return self.count


def tracker_with(strangers=None, **settings):
    """A tracker; with a gallery, if there are to be strangers in it."""
    gallery = None
    if strangers is not None:
        gallery = Gallery(**settings)
        gallery.add(np.arange(1, strangers + 1), LOOKS[20 : 20 + strangers])
    return Tracker(CONFIG, gallery=gallery)


def table_of(tracker):
    table = tracker.table
    columns = [values.tolist() for t in (table.tracks, table.lost) for values in t.values()]
    return columns, table.next_id, table.feature_dim, tracker.history.size


def gallery_of(tracker):
    gallery = tracker.gallery
    if gallery is None:
        return None
    return gallery.encoder, gallery.next_id, list(gallery._rows), gallery._counts.tolist()


CASES = {
    "motion": (BEFORE, "", {}),
    "embeddings": (BEFORE, "frame, embeddings", {}),
    "first frame": ([], "frame, embeddings", {}),
    "first frame with a gallery": ([], "embeddings", {"strangers": 0}),
    "full gallery": (BEFORE, "embeddings", {"strangers": 2, "capacity": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_after_an_interrupt_tracking_goes_on(case):
    before, told, settings = CASES[case]
    twin = tracker_with(**settings)
    earlier = [see(twin, people, told) for people in before]
    whole = see(twin, FRAME, told)
    later = [see(twin, people, told) for people in AFTER]

    taken_in, lines = [], 0
    while True:
        lines += 1
        tracker = tracker_with(**settings)
        for people in before:
            see(tracker, people, told)
        table, gallery = table_of(tracker), gallery_of(tracker)
        with Interrupt(lines) as interrupt:
            see(tracker, FRAME, told)
        if not interrupt.raised:
            break
        taken_in.append(table_of(tracker) != table)
        # Only a gallery may have seen what the tracker has not.
        same = taken_in[-1] or gallery_of(tracker) == gallery
        check_gallery(tracker.gallery)
        ids = []
        if not taken_in[-1]:
            ids.append(see(tracker, FRAME, told))
            assert not same or ids == [whole]
        ids += [see(tracker, people, told) for people in AFTER]
        assert not same or ids[-len(AFTER) :] == later
        check_identities(earlier + ids)
        check_gallery(tracker.gallery)
    # Once taken in, it is so whatever comes.
    assert taken_in == sorted(taken_in)
    assert set(taken_in) == {False, True}
    assert len(taken_in) > 30


@pytest.mark.parametrize(("strangers", "capacity"), [(0, 4), (4, 4), (16, 99)])
def test_a_gallery_that_is_interrupted_contradicts_itself_nowhere(strangers, capacity):
    """Somebody known is seen, with one more look, and somebody new."""
    ids, features = [2, 99], LOOKS[:2]
    k, raised = 0, True
    while raised:
        k += 1
        gallery = Gallery(capacity=capacity, samples=2)
        gallery.add(np.arange(1, strangers + 1), LOOKS[20 : 20 + strangers])
        with Interrupt(k, "opcode") as interrupt:
            gallery.add(ids, features)
        raised = interrupt.raised
        check_gallery(gallery)
        gallery.add(ids, features)
        check_gallery(gallery)
        assert gallery.next_id == 100
        assert list(gallery._rows)[-2:] == ids
        assert gallery.identify(features).tolist() == ids
    assert k > 100


def check_identities(frames):
    """Everyone has one identity, which is nobody else's."""
    pairs = {pair for people in frames for pair in people.items()}
    assert sorted(who for who, _ in pairs) == [0, 1, 2, 3, 4]
    assert len({identity for _, identity in pairs}) == len(pairs)


def check_gallery(gallery):
    """What a gallery holds does not contradict itself."""
    if gallery is not None:
        n = len(gallery)
        assert n <= gallery.capacity
        assert sorted(gallery._rows.values()) == list(range(n))
        assert len(gallery._samples) >= len(gallery._counts) >= n
        assert all(identity < gallery.next_id for identity in gallery._rows)
        samples = gallery._samples[:n][gallery._filled()]
        assert (abs(np.linalg.norm(samples, axis=1) - 1) < 1e-5).all()
