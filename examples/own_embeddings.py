"""Track by the embeddings of a model of your own, and print when each identity was seen.

python examples/own_embeddings.py my_video.mp4 detections.txt
"""

import sys

import cv2
import numpy as np
import pandas

from sslmot import Tracker
from sslmot.data.frames import open_frames
from sslmot.data.mot import read_detections


def embed(frame, boxes):
    """Return (N, D) float32, a row for each box. In place of a network: small pictures."""
    corners = boxes.clip(0, [frame.shape[1] - 1, frame.shape[0] - 1] * 2).astype(int)
    crops = [frame[y1 : y2 + 1, x1 : x2 + 1] for x1, y1, x2, y2 in corners]
    return np.float32([cv2.resize(crop, (4, 12)).ravel() - 128.0 for crop in crops])


dets, tracker, tables = read_detections(sys.argv[2]), Tracker(), {}
for t, frame, seconds in open_frames(sys.argv[1]):
    found = dets.get(t, np.empty((0, 5)))
    tracks = tracker.step(None, found, timestamp=seconds, embeddings=embed(frame, found[:, :4]))
    tables[t] = tracks.to_pandas()
frames = pandas.concat(tables, names=["frame"]).reset_index("frame").groupby("id")["frame"]
print(frames.agg(["min", "max", "count"]))
