"""The method in simple float64 loops, the oracle for all faster versions."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.stats import multivariate_t, norm


def cosine(track, detection):
    """Return the cosine, or -inf if either is zero: unknown features match nothing."""
    track, detection = np.asarray(track, np.float64), np.asarray(detection, np.float64)
    norms = math.sqrt(track @ track) * math.sqrt(detection @ detection)
    return float(track @ detection / norms) if norms > 0 else -math.inf


def affinity(cos, tau):
    """Compute SSL-MOT, eq. 6, divided by its largest value."""
    return math.exp((cos - 1) / tau)


def distance(track, detection):
    """Compute the L1 distance of two xyxy boxes, relative to the size of the track's box."""
    tx1, ty1, tx2, ty2 = (float(x) for x in track)
    dx1, dy1, dx2, dy2 = (float(x) for x in detection)
    tw, th = max(tx2 - tx1, 1e-6), max(ty2 - ty1, 1e-6)
    centre = abs(dx1 + dx2 - tx1 - tx2) / 2 / tw + abs(dy1 + dy2 - ty1 - ty2) / 2 / th
    return centre / 2


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
        dis = distance(track_boxes[i], boxes[j])
        out[i, j] = pair_cost(cos, dis, max_distance[i], p)
        if classes is not None and track_classes[i] != classes[j]:
            out[i, j] = p["max_cost"]
    return out


def objective(cost, match, max_cost):
    """Compute the total of a matching (column per row or -1). Unmatched rows add ``max_cost``."""
    return sum(max_cost if j < 0 else float(cost[i, j]) for i, j in enumerate(match))


GROWTH = 1 / 30
"""Seconds after a detection in which a size changes."""


def process(gap, value_noise, velocity_noise, size_noise):
    """The transition of a state (8) and the covariance of its noise, per squared height.

    Args:
        gap: Seconds since the last detection.
        value_noise: Standard deviation of what a centre drifts in a second.
        velocity_noise: Of what a velocity changes in a second.
        size_noise: Of a size, whatever the gap.
    """
    seconds = np.array([gap, gap, min(gap, GROWTH), min(gap, GROWTH)])
    move, noise = np.eye(8), np.zeros((8, 8))
    turn = velocity_noise**2
    drift = [gap * value_noise**2] * 2 + [size_noise**2] * 2
    for k, t in enumerate(seconds):
        move[k, k + 4] = t
        noise[k, k] = drift[k] + turn * t**3 / 3
        noise[k, k + 4] = noise[k + 4, k] = turn * t**2 / 2
        noise[k + 4, k + 4] = turn * t
    return move, noise


def kalman(
    boxes, times, value_noise, velocity_noise, size_noise, measurement_noise, first_velocity
):
    """Run a constant-velocity Kalman filter of one track, with full matrices.

    Args:
        boxes: A list of (cx, cy, w, h), or None for frames without a detection.
        times: Of the frames, seconds.
        first_velocity: Standard deviation of a new track's velocity, heights a second.

    Returns:
        The predicted box of each frame, before its update.
    """
    x = np.concatenate([np.asarray(boxes[0], np.float64), np.zeros(4)])
    h = x[3]
    cov = np.diag([(2 * measurement_noise * h) ** 2] * 4 + [(first_velocity * h) ** 2] * 4)
    see = np.eye(4, 8)
    predicted, last = [x[:4].copy()], times[0]
    for z, time in zip(boxes[1:], times[1:], strict=True):
        move, noise = process(time - last, value_noise, velocity_noise, size_noise)
        there = move @ x
        there[2:4] = np.maximum(there[2:4], x[2:4] / 2)
        predicted.append(there[:4].copy())
        if z is None:
            continue
        cov = move @ cov @ move.T + noise * x[3] ** 2
        innovation = see @ cov @ see.T + np.eye(4) * (measurement_noise * there[3]) ** 2
        gain = cov @ see.T @ np.linalg.inv(innovation)
        x = there + gain @ (np.asarray(z, np.float64) - see @ there)
        cov = (np.eye(8) - gain @ see) @ cov
        last = time
    return np.array(predicted)


def expected_detection(state, predicted, gap, noise):
    """What a detection of a track is expected to be, by its state (5, 4) as of its last detection.

    Args:
        predicted: The box where the track is expected, xyxy.
        gap: Seconds since the last detection.
        noise: Of a centre, its velocity, a size and the measurement, see `kalman`.

    Returns:
        The mean (cx, cy, w, h), the variances, and the squared height of the last box.
    """
    *of_process, measurement = noise
    value_var, cov, velocity_var = np.array(state[2:], np.float64)
    square = np.float64(state[0][3]) ** 2
    move, more = process(gap, *of_process)
    whole = np.block([[np.diag(value_var), np.diag(cov)], [np.diag(cov), np.diag(velocity_var)]])
    var = np.diag(move @ whole @ move.T + more * square)[:4]
    x1, y1, x2, y2 = np.float64(predicted)
    mean = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
    return mean, var + measurement**2 * square, square


def student(box, mean, var, square, scale):
    """Density of t with 4 degrees of freedom in 4 dimensions, per height to the fourth power."""
    x1, y1, x2, y2 = np.float64(box)
    error = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) - mean
    var = var * np.square([scale, scale, 1, 1])
    density = multivariate_t(shape=np.diag(var), df=4).pdf(error)
    return density * square**2


def evidence(box, mean, var, square, missed, scale, density, detected=0.8):
    """Log of how much likelier a track explains a box than chance does.

    Args:
        missed: Frames without a detection before this one.
        density: Of detections that show no track.
        detected: The chance that a track has a detection.
    """
    returns = 1 if missed == 0 else 1 / (3 * (1 + missed))
    track = detected * returns * student(box, mean, var, square, scale)
    return np.log(track) - np.log((1 - detected) * density)


def class_evidence(track, detection):
    """Log of how much likelier two classes are of one object than of two."""
    return 0 if track == detection else -math.log(200)


def appearance_evidence(cosine, genuines, impostors):
    """Log of how much likelier a cosine is between one object's features than between two's.

    Args:
        genuines: Count, sum and sum of squares of cosines of objects with themselves.
        impostors: Histogram of the cosines of different objects, from -1 to 1.
    """

    def fit(prior, count, total, squares):
        number, mean, deviation = prior
        total, squares = total + number * mean, squares + number * (mean**2 + deviation**2)
        mean = total / (count + number)
        return mean, max(np.sqrt(squares / (count + number) - mean**2), 0.01)

    centres = (np.arange(len(impostors)) + 0.5) * 2 / len(impostors) - 1
    same, spread = fit((10, 0.9, 0.1), *genuines)
    moments = [(impostors * centres**k).sum() for k in range(3)]
    other, other_spread = fit((30, 0.5, 0.2), *moments)
    other = min(other, same - 0.01)
    outliers = 0.002 + 0.1 * 10 / (10 + genuines[0])
    c = min(max(cosine, other), same)
    one = (1 - outliers) * norm.pdf(c, same, spread) + outliers / 2
    two = (1 - outliers) * norm.pdf(c, other, other_spread) + outliers / 2
    return np.log(one / two)


def learned_scale(likelihood, boxes, expected, new_density):
    """Likelihoods of the candidates of the scale after matches, and the scale.

    Args:
        boxes: The matches.
        expected: Of each of their tracks what `expected_detection` returns.
    """
    candidates = 2.0 ** np.arange(-4, 4)
    likelihood = likelihood * np.exp(-len(boxes) / 1000)
    for box, track in zip(boxes, expected, strict=True):
        density = np.array([student(box, *track, scale) for scale in candidates])
        likelihood = likelihood + np.log(0.2 * new_density + 0.8 * density)
    posterior = likelihood - 100 * np.log(candidates) ** 2 / 2
    weights = np.exp(posterior - posterior.max())
    return likelihood, np.exp((weights * np.log(candidates)).sum() / weights.sum())
