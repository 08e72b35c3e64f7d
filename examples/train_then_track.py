"""Train the encoder on your own video, without labels, then track the video with it.

python examples/train_then_track.py my_video.mp4 detections.txt runs/mine
"""

import sys

from sslmot import Tracker
from sslmot.data.frames import open_frames
from sslmot.data.mot import read_detections
from sslmot.data.sources import read_sources
from sslmot.training.adapt import adapt, adaptation

path, dets_path, output = sys.argv[1:4]
epochs = int(sys.argv[4]) if len(sys.argv) > 4 else 4
crops = read_sources([path], adaptation().crop_size, detections=[dets_path])
weights = adapt(crops, output, epochs=epochs, progress=True)
dets, tracker = read_detections(dets_path), Tracker(weights=weights)
for t, frame, seconds in open_frames(path):
    for track in tracker.step(frame, dets.get(t, ()), timestamp=seconds):
        print(t, track.id, *(round(side) for side in track.box))
