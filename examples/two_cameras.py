"""Track two cameras in step, with one gallery: a person has the same id in both.

python examples/two_cameras.py north.mp4 north.txt south.mp4 south.txt
"""

import sys

from sslmot import Gallery, Tracker, TrackerGroup
from sslmot.data.mot import read_detections
from sslmot.data.video import Video

videos = [Video(path) for path in sys.argv[1::2]]
dets = [read_detections(path) for path in sys.argv[2::2]]
gallery = Gallery()  # Gallery.load("people.npz") knows the people of the last run
cameras = TrackerGroup([Tracker(frame_rate=v.frame_rate, gallery=gallery) for v in videos])
seen = [set() for _ in videos]
for numbered in zip(*videos, strict=False):  # up to the end of the shortest
    frames = [frame for _, frame in numbered]
    found = [dets.get(t, ()) for dets, (t, _) in zip(dets, numbered, strict=True)]
    for ids, tracks in zip(seen, cameras.step(frames, found), strict=True):
        ids.update(tracks.ids.tolist())
for video, ids in zip(videos, seen, strict=True):
    print(f"{video.path}: ids {sorted(ids)}")
print(f"in all: ids {sorted(set.intersection(*seen))}")
gallery.save("people.npz")
