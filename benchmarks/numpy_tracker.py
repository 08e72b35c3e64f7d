"""SSL-MOT's association in NumPy and SciPy, to compare with ``Tracker.step``."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


class NumpyTracker:
    """A dense, plain implementation of SSL-MOT (eq. 6-7, section 3), with a TrackerConfig."""

    def __init__(self, config, dim):
        self.config, self.next_id = config, 1
        self.boxes, self.z = np.empty((0, 4), np.float32), np.empty((0, dim), np.float32)
        self.ids, self.matches, self.misses = (np.empty(0, int) for _ in range(3))

    def step(self, boxes, embeddings):
        """Return the ids of the detections, (N,). 0 means not reported."""
        c = self.config
        z = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        track_centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        affinity = np.exp((self.z @ z.T - 1) / c.tau)
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        distance = (np.abs(centre[None] - track_centre[:, None]) / size[:, None]).mean(-1)
        cost = c.appearance_weight * (1 - affinity) + c.motion_weight * np.minimum(distance, 1)
        cost[affinity < c.min_affinity] = c.max_cost
        cost = np.minimum(cost, c.max_cost)
        rows, columns = linear_sum_assignment(cost)
        kept = cost[rows, columns] < c.max_cost
        rows, columns = rows[kept], columns[kept]

        self.boxes[rows] = c.ema * self.boxes[rows] + (1 - c.ema) * boxes[columns]
        mixed = c.ema * self.z[rows] + (1 - c.ema) * z[columns]
        self.z[rows] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        self.matches[rows] += 1
        self.misses += 1
        self.misses[rows] = 0
        new = rows[(self.matches[rows] >= c.min_hits) & (self.ids[rows] == 0)]
        self.ids[new] = np.arange(self.next_id, self.next_id + len(new))
        self.next_id += len(new)
        out = np.zeros(len(boxes), int)
        out[columns] = self.ids[rows]

        alive = self.misses <= 30 * c.max_age
        started = np.setdiff1d(np.arange(len(boxes)), columns)
        zeros = np.zeros(len(started), int)
        self.boxes = np.concatenate([self.boxes[alive], boxes[started]])
        self.z = np.concatenate([self.z[alive], z[started]])
        self.ids = np.concatenate([self.ids[alive], zeros])
        self.matches = np.concatenate([self.matches[alive], zeros])
        self.misses = np.concatenate([self.misses[alive], zeros])
        return out
