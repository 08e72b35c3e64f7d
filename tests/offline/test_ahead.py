"""Boxes are embedded in threads, with the results of `Tracker.step`."""

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from sslmot import ColorHistogram, Gallery, Tracker
from sslmot.data.clip import Clip
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.offline.ahead import embedded, step
from sslmot.offline.run import Footage, Output, track

torch = pytest.importorskip("torch")

from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402

CONFIG = EncoderConfig("resnet18", crop_size=(64, 32), projection=(8,))
CROWD = Crowd(CrowdConfig(people=4, frames=8, width=320, height=240))


class Watched(Encoder):
    """An encoder that notes its threads, and fails at the call of a number."""

    def __init__(self, fails_at=None):
        super().__init__(CONFIG, device="cpu", bfloat16=False)
        self.threads, self.settings, self.fails_at = set(), set(), fails_at

    def __call__(self, frame, boxes):
        self.threads.add(threading.get_ident())
        self.settings.add(torch.get_num_threads())
        if self.fails_at is not None and np.array_equal(frame, CROWD.frame(self.fails_at)):
            raise OSError("broken")
        return super().__call__(frame, boxes)


def items(gone=()):
    for t in range(8):
        boxes = CROWD.truth(t).boxes
        found = np.hstack([boxes, np.full((len(boxes), 1), 0.9, np.float32)])
        there = t not in gone
        yield t, CROWD.frame(t) if there else None, t / 25, found if there else None


def tracked(tracker, made):
    return [
        step(tracker, frame, found, seconds, features)
        for _, frame, seconds, found, features in made
        if found is not None
    ]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("gone", [(), (0, 3)])
def test_the_tracks_are_those_of_steps(gallery, gone, threads):
    encoder = Watched()
    one, other = (
        Tracker(extractor=e, gallery=Gallery() if gallery else None) for e in (encoder, encoder)
    )
    got = tracked(one, embedded(items(gone), encoder))
    assert threading.get_ident() not in encoder.threads
    assert encoder.settings == {1}
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:  # a new thread has what this one has
        assert pool.submit(torch.get_num_threads).result() == 2
    wanted = [
        other.step(frame, found, timestamp=seconds)
        for _, frame, seconds, found in items(gone)
        if found is not None
    ]
    assert any(len(tracks) for tracks in wanted)
    for tracks, expected in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(tracks.ids, expected.ids)
        np.testing.assert_array_equal(tracks.boxes, expected.boxes)


def test_an_error_comes_with_its_frame(threads):
    encoder = Watched(fails_at=5)
    tracker = Tracker(extractor=encoder)
    with closing(embedded(items(), encoder)) as made:
        assert len(tracked(tracker, itertools.islice(made, 5))) == 5
        with pytest.raises(OSError, match="broken"):
            tracked(tracker, made)
    assert torch.get_num_threads() == 2


def test_malformed_detections_are_refused():
    encoder = Watched()
    broken = [(0, CROWD.frame(0), 0.0, np.zeros((2, 3)))]
    made = embedded(broken, encoder)
    with closing(made), pytest.raises(ValueError, match="dets: expected"):
        tracked(Tracker(extractor=encoder), made)


def test_it_may_end_early(threads):
    encoder = Watched()
    made = embedded(items(), encoder)
    next(made)
    made.close()
    assert torch.get_num_threads() == 2
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]


def test_of_two_at_once_neither_keeps_the_setting_of_the_other(threads):
    one, other = (embedded(items(), encoder) for encoder in (Watched(), Watched()))
    next(one)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, other).result()
        one.close()
        pool.submit(other.close).result()
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2


def test_live_video_is_embedded_one_frame_after_the_other(tmp_path):
    encoder = Watched()
    frames = [(t + 1, frame, seconds) for t, frame, seconds, _ in items()]
    found = {t + 1: boxes for t, _, _, boxes in items()}
    for length in (None, 8):
        clip = Clip(f"of {length}", 25.0, (320, 240), source="here")
        track(Footage(clip, frames, found, length), Tracker(extractor=encoder), Output(tmp_path))
        assert (encoder.threads == {threading.get_ident()}) == (length is None)
    results = [np.loadtxt(tmp_path / f"of {n}.txt", delimiter=",") for n in (None, 8)]
    np.testing.assert_array_equal(*results)


def test_a_thread_safe_extractor_needs_no_torch():
    code = (
        "import sys; import numpy as np; from sslmot import ColorHistogram, Tracker; "
        "from sslmot.offline.ahead import embedded, step\n"
        "class Safe(ColorHistogram): thread_safe = True\n"
        "frame, boxes = np.zeros((60, 80, 3), np.uint8), np.array([[5.0, 5, 20, 50, 0.9]])\n"
        "tracker = Tracker(extractor=Safe())\n"
        "items = [(t, frame, None, boxes) for t in range(4)]\n"
        "for _, f, _, found, z in embedded(items, tracker.extractor):\n"
        "    assert z is not None\n"
        "    tracks = step(tracker, f, found, None, z)\n"
        "assert len(tracks) == 1 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("extractor", [None, ColorHistogram()])
def test_other_extractors_are_left_to_the_tracker(extractor):
    assert all(features is None for *_, features in embedded(items(), extractor))
