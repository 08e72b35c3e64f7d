"""Track a video, and save the tracker every 30 frames. Run it again to go on after an interruption.

python examples/resume.py my_video.mp4 detections.txt tracker.safetensors
"""

import sys
from pathlib import Path

from sslmot import Tracker
from sslmot.data.frames import Video
from sslmot.data.mot import read_detections

dets, saved = read_detections(sys.argv[2]), Path(sys.argv[3])
tracker = Tracker.load(saved) if saved.exists() else Tracker()
last = tracker.history.time  # of the frame that was tracked last, seconds
for t, frame, seconds in Video(sys.argv[1]):
    if last is not None and seconds <= last:
        continue
    tracks = tracker.step(frame, dets.get(t, ()), timestamp=seconds)
    print(f"{seconds:.2f} s: ids {tracks.ids.tolist()}", flush=True)
    if t % 30 == 0:
        tracker.save(saved)  # whole or not at all
tracker.save(saved)
