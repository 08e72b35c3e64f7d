"""Measure the pose gate: the share of crops with a full body, of people and of background.

    python benchmarks/pose_gate.py DATA [PICTURE]

DATA contains Market-1501, MOT17/train/MOT17-09-FRCNN and weights/pose_landmark_full.tflite. Each
set has 1,000 random crops of 128x64. Background crops are random boxes with the shape of a person.
Their IoU with each annotated and detected box is at most 0.05. PICTURE shows 24 crops of
Market-1501 that passed, and below them 24 that failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.assignment import iou
from sslmot.data.crops import cut
from sslmot.data.market1501 import read_market1501
from sslmot.data.mot import Sequence
from sslmot.data.video import read_sequence_crops
from sslmot.pose.full_body import full_body
from sslmot.pose.joints import Joints
from sslmot.pose.maps import pose_maps
from sslmot.pose.model import load_pose_model

Images = npt.NDArray[np.uint8]
COUNT, SIZE = 1000, (128, 64)
RNG = np.random.default_rng(0)


def some(images: Images) -> Images:
    return images[np.sort(RNG.choice(len(images), min(COUNT, len(images)), replace=False))]


def background(sequence: Sequence) -> Images:
    truth, detections = sequence.ground_truth(), sequence.detections()
    found: list[Images] = []
    while sum(map(len, found)) < COUNT:
        t = int(RNG.integers(1, sequence.length + 1))
        height = RNG.uniform(60, 600, 100)
        width = height * RNG.uniform(0.35, 0.5, 100)
        left, top = RNG.uniform(0, sequence.width - width), RNG.uniform(0, sequence.height - height)
        boxes = np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)
        people = np.concatenate([truth.boxes[truth.frames == t], detections[t][:, :4]])
        clear = boxes[iou(boxes, people).max(axis=1, initial=0) <= 0.05]
        found.append(cut(sequence.frame(t), clear[:10], SIZE))
    return np.concatenate(found)[:COUNT]


def picture(images: Images, joints: Joints, passed: npt.NDArray[np.bool_]) -> Images:
    height, width = 2 * SIZE[0], 2 * SIZE[1]
    rows = []
    for wanted in (passed, ~passed):
        chosen = np.flatnonzero(wanted)[:24]
        maps = pose_maps(joints[chosen], (height, width)).transpose(0, 2, 3, 1)
        crops = np.stack([cv2.resize(image, (width, height)) for image in images[chosen]])
        drawn = np.where(maps.any(axis=3, keepdims=True), crops // 3 + maps // 3 * 2, crops)
        rows += [np.hstack(list(drawn[:12])), np.hstack(list(drawn[12:]))]
    return np.vstack(rows)


def main(data: Path, path: Path | None) -> None:
    estimator = load_pose_model(data / "weights/pose_landmark_full.tflite")
    sequence = Sequence.open(data / "MOT17/train/MOT17-09-FRCNN")
    sets = {
        "Market-1501": some(read_market1501(data / "Market-1501", SIZE, part="all").crops.images),
        "MOT17-09, public detections": some(read_sequence_crops(sequence, SIZE).images),
        "MOT17-09, background": background(sequence),
    }
    print("| crops | number | full body |\n| --- | --- | --- |", flush=True)
    for name, images in sets.items():
        joints = estimator(images)
        passed = full_body(joints)
        print(f"| {name} | {len(images)} | {passed.mean():.1%} |", flush=True)
        if path is not None and name == "Market-1501":
            cv2.imwrite(str(path), picture(images, joints, passed)[..., ::-1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
