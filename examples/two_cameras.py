"""Track two cameras in step, with one gallery: a person has the same id in both.

python examples/two_cameras.py north.mp4 north.txt south.mp4 south.txt
"""

import sys

from sslmot import Gallery, Tracker, TrackerGroup
from sslmot.data.frames import open_frames
from sslmot.data.mot import read_detections

videos = [open_frames(path) for path in sys.argv[1::2]]
dets = [read_detections(path) for path in sys.argv[2::2]]
gallery = Gallery()  # Gallery.load("people.npz") knows the people of the last run
cameras = TrackerGroup([Tracker(gallery=gallery) for _ in videos])
seen = [set() for _ in videos]
for numbered in zip(*videos, strict=False):  # up to the end of the shortest
    numbers, frames, seconds = zip(*numbered, strict=True)
    found = [some.get(t, ()) for some, t in zip(dets, numbers, strict=True)]
    for ids, tracks in zip(seen, cameras.step(frames, found, timestamps=seconds), strict=True):
        ids.update(tracks.ids.tolist())
for video, ids in zip(videos, seen, strict=True):
    print(f"{video}: ids {sorted(ids)}")
print(f"in all: ids {sorted(set.intersection(*seen))}")
gallery.save("people.npz")
