"""A generated clip, its video, and results of both."""

import cv2
import pytest

from sslmot.appearance.histogram import ColorHistogram
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd
from sslmot.offline.clips import find_clips
from sslmot.offline.run import Output, track, track_sequence
from sslmot.tracking.tracker import Tracker


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Write data/crowd, results/, video.mp4 and of_video/. There are switches."""
    folder = tmp_path_factory.mktemp("report")
    config = CrowdConfig(people=24, frames=60, width=640, height=360, seed=2)
    crowd = write_crowd(Crowd(config), folder / "data" / "crowd")
    writer = cv2.VideoWriter("", 0, 0, (0, 0))
    code = cv2.VideoWriter_fourcc(*"mp4v")
    assert writer.open(str(folder / "video.mp4"), code, 30, (640, 360))
    for t in range(1, 61):
        writer.write(crowd.frame(t))
    writer.release()
    tracker = Tracker(extractor=ColorHistogram())
    track_sequence(crowd, tracker, Output(folder / "results"))
    tracker.reset()
    [found] = find_clips([str(folder / "video.mp4")], [crowd.detections_path])
    track(found.open(), tracker, Output(folder / "of_video"))
    return folder
