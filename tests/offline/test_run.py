"""Frames are read and sent to the device of the extractor in advance."""

import json
import threading

import cv2
import numpy as np

from sslmot import ColorHistogram, Tracker
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd
from sslmot.offline.clips import find_clips
from sslmot.offline.run import Output, track, track_sequence


class Sending(ColorHistogram):
    def __init__(self):
        super().__init__()
        self.events = []

    def send(self, frame):
        self.events.append(("sent", id(frame), threading.get_ident()))

    def __call__(self, frame, boxes):
        self.events.append(("described", id(frame), threading.get_ident()))
        return super().__call__(frame, boxes)


def test_frames_are_sent_before_they_are_embedded(tmp_path):
    crowd = Crowd(CrowdConfig(people=4, frames=12, width=320, height=240))
    sequence, extractor = write_crowd(crowd, tmp_path / "crowd"), Sending()
    track_sequence(sequence, Tracker(extractor=extractor), Output(tmp_path / "sent"))
    sent = [frame for what, frame, _ in extractor.events if what == "sent"]
    assert len(sent) == 12
    waiting = []
    for what, frame, thread in extractor.events:
        if what == "sent":
            waiting.append(frame)
            assert thread != threading.get_ident()
        else:
            # Earlier frames may have had no boxes.
            assert frame in waiting
            del waiting[: waiting.index(frame) + 1]
            assert thread == threading.get_ident()
    track_sequence(sequence, Tracker(extractor=ColorHistogram()), Output(tmp_path / "plain"))
    results = [np.loadtxt(tmp_path / way / "crowd.txt", delimiter=",") for way in ("sent", "plain")]
    np.testing.assert_array_equal(*results)


def test_a_kill_leaves_no_partial_record(tmp_path):
    crowd = Crowd(CrowdConfig(people=2, frames=3, width=160, height=120))
    sequence = write_crowd(crowd, tmp_path / "crowd")
    output = tmp_path / "results"
    track_sequence(sequence, Tracker(), Output(output), appearance=False)
    record = output / f"{sequence.name}.json"
    before = record.read_bytes()
    # A new record is another file until it is complete.
    held = record.open("rb")
    track_sequence(sequence, Tracker(), Output(output), appearance=False)
    assert held.read() == before
    held.close()
    assert sorted(path.suffix for path in output.iterdir()) == [".json", ".txt"]


def test_trackers_get_the_frame_rate(tmp_path):
    """That of a sequence and of a video, one after the other."""
    tracker = Tracker()
    crowd = Crowd(CrowdConfig(people=2, frames=3, width=160, height=120, frame_rate=12.5))
    sequence = write_crowd(crowd, tmp_path / "crowd")
    track_sequence(sequence, tracker, Output(tmp_path), appearance=False)
    assert tracker.frame_rate == 12.5
    assert json.loads((tmp_path / "crowd.json").read_text())["frame_rate"] == 12.5
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 20, (160, 120))
    writer.write(np.zeros((120, 160, 3), np.uint8))
    writer.release()
    tracker.reset()
    [found] = find_clips([str(video)], [sequence.detections_path], frames=False)
    track(found.open(), tracker, Output(tmp_path), appearance=False)
    assert tracker.frame_rate == 20
