"""Evaluate a pose generator on held-out people of Market-1501.

    python benchmarks/pngan.py DATA RUN [PICTURE]

DATA contains Market-1501 and weights/pose_landmark_full.tflite. RUN is a run of
`sslmot train-pngan`. Full-body crops of held-out people are generated in the pose of another crop
of the same person and camera, which is the true image. The SSIM is compared with two trivial
answers: the unchanged source, and the mean full body of the training people. The pose model also
finds joints on the generated image and on the source. Their distances from the joints of the target
are compared. PICTURE shows people in rows: source, pose, generated, true.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from sslmot.data.market1501 import read_market1501
from sslmot.pngan.generator import PoseGenerator
from sslmot.pngan.pairs import identity_pairs
from sslmot.pngan.quality import ssim
from sslmot.pose.canonical import distance, pose_vectors
from sslmot.pose.estimator import estimate
from sslmot.pose.full_body import full_body
from sslmot.pose.maps import pose_maps
from sslmot.pose.model import load_pose_model

PAIRS = 1000
SHOWN = 12


def main(data: Path, run: Path, picture: Path | None) -> None:
    generator = PoseGenerator.load(run / "generator.safetensors")
    size = generator.config.crop_size
    model = load_pose_model(data / "weights/pose_landmark_full.tflite")
    cache = Path("runs/joints")
    train = read_market1501(data / "Market-1501", size).crops
    held_out = read_market1501(data / "Market-1501", size, part="held-out")
    crops = held_out.crops
    joints = estimate(crops, model, cache, progress=True)
    bodies = train.images[full_body(estimate(train, model, cache, progress=True))]

    rng = np.random.default_rng(0)
    pairs = identity_pairs(crops, joints, held_out.identities, in_one_clip=True).draw(rng)[:PAIRS]
    source, target = crops.images[pairs.source], crops.images[pairs.target]
    made = generator(source, joints[pairs.target])
    mean = np.broadcast_to(np.rint(bodies.mean(axis=0)).astype(np.uint8), target.shape)
    print(f"{len(pairs)} pairs of {len(np.unique(held_out.identities[pairs.source]))} people")
    print("| | SSIM to the true image |\n| --- | --- |")
    for name, images in (("generated", made), ("the source", source), ("mean body", mean)):
        print(f"| {name} | {ssim(np.ascontiguousarray(images), target).mean():.3f} |")

    aspect = size[1] / size[0]
    wanted = pose_vectors(joints[pairs.target], aspect)
    print("\n| joints found on | from the target's, median, torsos |\n| --- | --- |")
    for name, found in (("generated", model(made)), ("the source", joints[pairs.source])):
        print(f"| {name} | {np.median(distance(pose_vectors(found, aspect), wanted)):.3f} |")

    if picture is not None:
        _, first = np.unique(held_out.identities[pairs.source], return_index=True)
        rows = rng.permutation(first)[:SHOWN]
        maps = pose_maps(joints[pairs.target[rows]], size).transpose(0, 2, 3, 1)
        people = np.concatenate([source[rows], maps, made[rows], target[rows]], axis=2)
        grid = np.concatenate([np.concatenate(people[k::3], axis=0) for k in range(3)], axis=1)
        cv2.imwrite(str(picture), np.ascontiguousarray(grid[..., ::-1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
