"""Track what a detector of your own finds, and print the tracks of each frame as it comes.

python examples/own_detector.py my_video.mp4 > tracks.csv    # or a camera: 0
"""

import sys

import cv2
import numpy as np
from tqdm import tqdm

from sslmot import Tracker
from sslmot.data.frames import open_frames

background = cv2.createBackgroundSubtractorMOG2(history=100)


def detect(frame):
    """Find what moves before a still camera: (H, W, 3) uint8 BGR -> rows of xyxy pixels, score."""
    moving = (background.apply(frame) > 200).astype(np.uint8)  # shadows are grey
    moving = cv2.morphologyEx(cv2.medianBlur(moving, 3), cv2.MORPH_CLOSE, np.ones((15, 5)))
    boxes = map(cv2.boundingRect, cv2.findContours(moving, cv2.RETR_EXTERNAL, 2)[0])
    return [[x, y, x + w, y + h, 0.9] for x, y, w, h in boxes if h > w and h > 40]


source, tracker = open_frames(sys.argv[1]), Tracker()
for t, frame, seconds in tqdm(source, total=source.length, unit=" frames"):
    if frame is not None:  # it can be read
        for track in tracker.step(frame, detect(frame), timestamp=seconds):
            print(t, track.id, *track.box, track.score, sep=",", flush=True)
