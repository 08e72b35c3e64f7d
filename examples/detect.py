"""Detect people in a video or a MOTChallenge sequence with YOLOX, as input of `sslmot track`.

    python examples/detect.py my_video.mp4 yolox_nano.onnx det.txt
    sslmot track my_video.mp4 --detections det.txt

Models: https://github.com/Megvii-BaseDetection/YOLOX (Apache-2.0), exported as ONNX with raw
outputs (their default). OpenCV runs the model, so sslmot is the only package needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sslmot.data.mot import Sequence
from sslmot.data.video import Video
from sslmot.types import Frame

PERSON = 0  # class of COCO
STRIDES = (8, 16, 32)
LOWEST_SCORE = 0.1  # the tracker also uses low-score detections
OVERLAP = 0.65  # IoU above which two boxes are the same person


class Yolox:
    """Detects people in frames.

    Args:
        model: ONNX file.
        side: Side of the model's square input, pixels.
    """

    def __init__(self, model: Path, side: int = 416) -> None:
        self.network, self.side = cv2.dnn.readNetFromONNX(str(model)), side
        cells = [np.indices((side // s, side // s)).reshape(2, -1)[::-1].T for s in STRIDES]
        self.corner = np.concatenate(cells)  # corner of each cell, in cells: (A, 2)
        self.stride = np.repeat(STRIDES, [len(c) for c in cells])[:, None]

    def __call__(self, frame: Frame) -> npt.NDArray[np.float32]:
        """Detect people: (H, W, 3) uint8 BGR -> (N, 5) float32, xyxy pixels and score."""
        scale = self.side / max(frame.shape[:2])
        small = cv2.resize(frame, None, fx=scale, fy=scale)
        square = np.full((self.side, self.side, 3), 114, np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        self.network.setInput(cv2.dnn.blobFromImage(square))
        found = self.network.forward()[0]
        scores = found[:, 4] * found[:, 5 + PERSON]
        likely = scores >= LOWEST_SCORE
        found, scores = found[likely], scores[likely]
        centre = (found[:, :2] + self.corner[likely]) * self.stride[likely]
        size = np.exp(found[:, 2:4]) * self.stride[likely]
        corner = (centre - size / 2) / scale
        size = size / scale
        kept = cv2.dnn.NMSBoxes(
            np.hstack([corner, size]).tolist(), scores.tolist(), LOWEST_SCORE, OVERLAP
        )
        boxes = np.hstack([corner, corner + size, scores[:, None]])
        return boxes[np.asarray(kept, int).ravel()].astype(np.float32)


def frames(source: Path) -> Iterable[tuple[int, Frame]]:
    """Return frame numbers, from 1, and frames, with a progress bar."""
    if not source.is_dir():
        return tqdm(Video(source), unit=" frames")
    sequence = Sequence.open(source)
    numbers = tqdm(range(1, sequence.length + 1), unit=" frames")
    return ((t, sequence.frame(t)) for t in numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a video, or the folder of a sequence")
    parser.add_argument("model", type=Path, help="YOLOX as ONNX")
    parser.add_argument("output", type=Path, help="file of detections, in the MOTChallenge format")
    parser.add_argument("--side", type=int, default=416, help="side of the model's square input")
    args = parser.parse_args()
    detect = Yolox(args.model, args.side)
    with args.output.open("w", buffering=1) as file:  # each line as it comes
        for t, frame in frames(args.source):
            for x1, y1, x2, y2, score in detect(frame):
                box = f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"  # 1-based
                print(f"{t},-1,{box},{score:.6g}", file=file)


if __name__ == "__main__":
    main()
