"""Track what a detector of your own finds, and print the tracks of each frame as it comes.

python examples/own_detector.py my_video.mp4 > tracks.csv
"""

import sys

import cv2
import numpy as np
from tqdm import tqdm

from sslmot import Tracker
from sslmot.data.video import Video

background = cv2.createBackgroundSubtractorMOG2(history=100)


def detect(frame):
    """Find what moves before a still camera: (H, W, 3) uint8 BGR -> rows of xyxy pixels, score."""
    moving = (background.apply(frame) > 200).astype(np.uint8)  # shadows are grey
    moving = cv2.morphologyEx(cv2.medianBlur(moving, 3), cv2.MORPH_CLOSE, np.ones((15, 5)))
    boxes = map(cv2.boundingRect, cv2.findContours(moving, cv2.RETR_EXTERNAL, 2)[0])
    return [[x, y, x + w, y + h, 0.9] for x, y, w, h in boxes if h > w and h > 40]


video = Video(sys.argv[1])
tracker = Tracker(frame_rate=video.frame_rate)
for t, frame in tqdm(video, unit=" frames"):
    for track in tracker.step(frame, detect(frame)):
        print(t, track.id, *track.box, track.score, sep=",", flush=True)
