"""Detections made from annotated trajectories, where a clip has none.

The model is seeded and simple: a box that others hide is missed more often, scores less and is
placed worse. Faults last: whether a person is found, and where the box lies, depends on the frame
before, as with a real detector. False detections come, stay for some frames and go.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot.data.mot import GroundTruth

LOWEST_SCORE = 0.1
MEMORY = 0.9  # correlation of a person's faults from frame to frame
CLEAR, HIDDEN, SPREAD = 2.5, 7.0, 2.0  # logit of the score: in plain view, less if hidden, noise
JITTER = 0.03  # of a box in plain view, in sizes; three times as much if hidden
GHOSTS, STAY = 0.04, 8.0  # false detections that begin in a frame, and frames that they stay


def simulate_detections(
    truth: GroundTruth, length: int, size: tuple[int, int], seed: int = 0
) -> list[npt.NDArray[np.float32]]:
    """Make detections of each frame from its annotated boxes.

    Args:
        truth: The annotation.
        length: Frames.
        size: Width and height of a frame, pixels.
        seed: Of everything random.

    Returns:
        Of each frame (N, 5) float32 ``x1, y1, x2, y2, score``, the highest score first.
    """
    random = np.random.default_rng(seed)
    people, person = np.unique(truth.ids, return_inverse=True)
    order = np.argsort(truth.frames, kind="stable")
    ends = np.searchsorted(truth.frames[order], np.arange(length + 1), "right")
    faults = random.standard_normal((len(people), 5))  # of score, x, y, width, height
    ghosts = np.empty((0, 5))
    found = []
    for t in range(1, length + 1):
        here = order[ends[t - 1] : ends[t]]
        boxes = truth.boxes[here].astype(np.float64)
        sizes = boxes[:, 2:] - boxes[:, :2]
        hidden = hidden_share(boxes)
        fresh = random.standard_normal(faults.shape)
        faults = MEMORY * faults + np.sqrt(1 - MEMORY**2) * fresh
        noise = faults[person[here]]
        scores = 1 / (1 + np.exp(HIDDEN * hidden - CLEAR - SPREAD * noise[:, 0]))
        # Half of a box's fault lasts, half is new in each frame.
        offsets = (noise[:, 1:] + random.standard_normal((len(boxes), 4))) / np.sqrt(2)
        offsets *= JITTER * (1 + 2 * hidden[:, None])
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + offsets[:, :2] * sizes
        half = sizes / 2 * np.exp(offsets[:, 2:])
        seen = np.column_stack([centre - half, centre + half, scores])[scores >= LOWEST_SCORE]
        ghosts = ghosts[random.random(len(ghosts)) > 1 / STAY]
        for _ in range(random.poisson(GHOSTS) if len(boxes) else 0):
            w, h = sizes[random.integers(len(sizes))]
            x, y = random.random(2) * np.maximum(np.subtract(size, (w, h)), 1)
            ghosts = np.vstack([ghosts, (x, y, x + w, y + h, random.uniform(LOWEST_SCORE, 0.7))])
        rows = np.vstack([seen, ghosts])
        found.append(rows[np.argsort(-rows[:, 4], kind="stable")].astype(np.float32))
    return found


def hidden_share(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the share of each box behind another one, whose lower edge is lower: (N, 4) -> (N,).

    The largest of the shares, where there are several such boxes.
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    common[boxes[:, None, 3] >= boxes[None, :, 3]] = 0  # the other one is behind, or it is itself
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
    share: npt.NDArray[np.float64] = common.max(axis=1, initial=0) / area
    return share
