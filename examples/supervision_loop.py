"""Track in a loop of supervision, and draw with its annotators: pip install sslmot[interop].

python examples/supervision_loop.py my_video.mp4 detections.txt annotated.mp4
"""

import sys

import numpy as np
import supervision as sv

from sslmot import Tracker
from sslmot.data.mot import read_detections
from sslmot.interop import SupervisionTracker, to_supervision

source, dets, target = sys.argv[1], read_detections(sys.argv[2]), sys.argv[3]
info = sv.VideoInfo.from_video_path(source)
tracker = SupervisionTracker(Tracker(frame_rate=info.fps))
draw_boxes, draw_labels, draw_trails = sv.BoxAnnotator(), sv.LabelAnnotator(), sv.TraceAnnotator()
with sv.VideoSink(target, info) as sink:
    for t, frame in enumerate(sv.get_video_frames_generator(source), 1):
        rows = dets.get(t, np.empty((0, 5)))  # in place of a detector's sv.Detections
        found = sv.Detections(rows[:, :4], confidence=rows[:, 4], class_id=np.zeros(len(rows), int))
        tracked = tracker.update_with_detections(found, frame)
        lost = to_supervision(tracker.tracker.lost_tracks())  # hidden people, where expected
        picture = draw_boxes.annotate(draw_boxes.annotate(frame.copy(), tracked), lost)
        picture = draw_labels.annotate(picture, tracked, [f"{i}" for i in tracked.tracker_id])
        sink.write_frame(draw_trails.annotate(picture, tracked))
