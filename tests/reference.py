"""The method in simple float64 loops, the oracle for all faster versions."""

from __future__ import annotations

import itertools
import math

import numpy as np


def cosine(track, detection):
    """Return the cosine, or -inf if either is zero: unknown features match nothing."""
    track, detection = np.asarray(track, np.float64), np.asarray(detection, np.float64)
    norms = math.sqrt(track @ track) * math.sqrt(detection @ detection)
    return float(track @ detection / norms) if norms > 0 else -math.inf


def affinity(cos, tau):
    """Compute SSL-MOT, eq. 6, divided by its largest value."""
    return math.exp((cos - 1) / tau)


def distance(track, detection, shape_weight=0.0):
    """Compute the L1 distance of two xyxy boxes, relative to the size of the track's box."""
    tx1, ty1, tx2, ty2 = (float(x) for x in track)
    dx1, dy1, dx2, dy2 = (float(x) for x in detection)
    tw, th = max(tx2 - tx1, 1e-6), max(ty2 - ty1, 1e-6)
    dw, dh = max(dx2 - dx1, 1e-6), max(dy2 - dy1, 1e-6)
    centre = abs(dx1 + dx2 - tx1 - tx2) / 2 / tw + abs(dy1 + dy2 - ty1 - ty2) / 2 / th
    shape = abs(math.log(dw / tw)) + abs(math.log(dh / th))
    return (centre + shape_weight * shape) / 2


def pair_cost(cos, dis, max_distance, p):
    """Compute SSL-MOT, eq. 7, clamped at ``max_cost``. ``p``: dict of the fields of PairParams."""
    a = affinity(cos, p["tau"])
    if a < p["min_affinity"] or cos == -math.inf or dis > max_distance:
        return p["max_cost"]
    cost = p["appearance_weight"] * (1 - a) + p["motion_weight"] * min(1, dis)
    return min(cost, p["max_cost"])


def cost(
    track_features, features, track_boxes, boxes, max_distance, p, track_classes=None, classes=None
):
    """Compute the (T, N) costs, pair by pair."""
    out = np.empty((len(track_boxes), len(boxes)))
    for i, j in itertools.product(range(len(track_boxes)), range(len(boxes))):
        cos = 1.0 if features is None else cosine(track_features[i], features[j])
        dis = distance(track_boxes[i], boxes[j], p["shape_weight"])
        out[i, j] = pair_cost(cos, dis, max_distance[i], p)
        if classes is not None and track_classes[i] != classes[j]:
            out[i, j] = p["max_cost"]
    return out


def objective(cost, match, max_cost):
    """Compute the total of a matching (column per row or -1). Unmatched rows add ``max_cost``."""
    return sum(max_cost if j < 0 else float(cost[i, j]) for i, j in enumerate(match))


def kalman(
    boxes, value_noise, velocity_noise, measurement_noise, first_velocity, scores=None, by_score=0
):
    """Run a constant-velocity Kalman filter of one track, with full matrices.

    Args:
        boxes: A list of (cx, cy, w, h), or None for frames without a detection.
        scores: Scores of the boxes. A score reduces the measured variance by ``by_score`` times it.

    Returns:
        The predicted box of each frame, before its update.
    """
    x = np.concatenate([np.asarray(boxes[0], np.float64), np.zeros(4)])
    h = x[3]
    cov = np.diag([(2 * measurement_noise * h) ** 2] * 4 + [(first_velocity * h) ** 2] * 4)
    move = np.eye(8)
    move[:4, 4:] = np.eye(4)
    see = np.eye(4, 8)
    predicted = [x[:4].copy()]
    lost = False
    for t, z in enumerate(boxes[1:], 1):
        if lost:
            x[6:] = 0
        h = x[3]
        noise = [(value_noise * h) ** 2] * 4 + [(velocity_noise * h) ** 2] * 4
        size = x[2:4].copy()
        x = move @ x
        x[2:4] = np.maximum(x[2:4], size / 2)
        cov = move @ cov @ move.T + np.diag(noise)
        predicted.append(x[:4].copy())
        lost = z is None
        if z is None:
            continue
        measured = (measurement_noise * x[3]) ** 2
        if scores is not None:
            measured *= 1 - by_score * min(max(scores[t], 0), 1)
        innovation = see @ cov @ see.T + np.eye(4) * measured
        gain = cov @ see.T @ np.linalg.inv(innovation)
        x = x + gain @ (np.asarray(z, np.float64) - see @ x)
        cov = (np.eye(8) - gain @ see) @ cov
    return np.array(predicted)


def filled(boxes):
    """Fill the missing boxes of a track by linear interpolation between two boxes."""
    boxes = list(boxes)
    seen = [t for t, box in enumerate(boxes) if box is not None]
    for a, b in itertools.pairwise(seen):
        for t in range(a + 1, b):
            share = (t - a) / (b - a)
            boxes[t] = (1 - share) * np.float64(boxes[a]) + share * np.float64(boxes[b])
    return boxes
