"""A generated crowd without frames for benchmarks: boxes, embeddings and identities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

NEAR = 2.5  # maximum relative L1 distance of a neighbour, box sizes


def embedding_crowd(
    people: int,
    frames: int,
    dim: int = 512,
    *,
    seed: int = 0,
    neighbours: float = 2.5,
    cosine: float = 0.85,
    misses: float = 0.02,
    hidden: float = 0.0,
    leave: float = 0.0,
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    """Simulate people of about 40 x 100 pixels, who walk with the density of a real crowd.

    Args:
        people: Number of people, at least 1.
        frames: Number of frames.
        dim: Width of an embedding.
        seed: Seed of all random numbers.
        neighbours: Mean number of people within 2.5 box sizes, by relative L1 distance.
        cosine: Mean cosine of two embeddings of one person. It is about 0 for two people.
        misses: Probability that a person is not detected in a frame.
        hidden: Probability per frame that a person gets hidden for 8 to 25 frames.
        leave: Probability per frame that a person is replaced by a new person elsewhere.

    Yields:
        The N detections of a frame in random order: (N, 5) float32, x1, y1, x2, y2 in pixels and
        a score; (N, dim) float32 embeddings of length 1; (N,) int64 identities from 0.
    """
    rng = np.random.default_rng(seed)
    # Positions are in mean box sizes, in a square whose side gives the density. Two uniform points
    # have |dx| + |dy| <= r with probability 2q^2 - 4/3 q^3 + q^4/6, q = r / side <= 1. The relative
    # L1 distance is half of |dx| + |dy|.
    q = np.linspace(0, 1, 2001)
    near = 2 * q**2 - 4 / 3 * q**3 + q**4 / 6
    side = 2 * NEAR / np.interp(neighbours / max(1, people - 1), near, q)
    position = rng.uniform(0, side, (people, 2))
    angle = rng.uniform(0, 2 * np.pi, people)
    speed = rng.uniform(0.01, 0.06, people)  # mean box widths (40 px) a frame: 0.4 to 2.4 px
    size = np.array((40, 100)) * rng.uniform(0.85, 1.15, (people, 1))
    person, embedding_of = np.arange(people), unit_vectors(people, dim, rng)
    hidden_for = np.zeros(people, np.int64)
    # A vector of length 1 with noise of length s has an expected cosine of 1 / (1 + s^2).
    noise = np.float32(np.sqrt((1 / cosine - 1) / dim))

    for _ in range(frames):
        seen = rng.permutation(people)
        seen = seen[(rng.random(people) >= misses) & (hidden_for[seen] == 0)]
        n = len(seen)
        centre = position[seen] * (40, 100)
        boxes = np.concatenate((centre - size[seen] / 2, centre + size[seen] / 2), 1)
        boxes += 0.02 * np.tile(size[seen], 2) * rng.standard_normal((n, 4))
        score = rng.uniform(0.6, 1, n)
        embeddings = embedding_of[seen] + noise * rng.standard_normal((n, dim), dtype=np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        yield np.column_stack((boxes, score)).astype(np.float32), embeddings, person[seen]

        # Walk straight, with random turns. The border reflects.
        turns = rng.random(people) < 0.02
        angle = angle + turns * rng.normal(0, 1.2, people)
        step = speed[:, None] * np.stack((np.cos(angle), 0.4 * np.sin(angle)), 1)
        outside = (position + step < 0) | (position + step > side)
        position = position + np.where(outside, -step, step)
        angle = np.where(outside[:, 0], np.pi - angle, angle)
        angle = np.where(outside[:, 1], -angle, angle)

        hidden_for = np.maximum(hidden_for - 1, 0)
        hides = (hidden_for == 0) & (rng.random(people) < hidden)
        hidden_for[hides] = rng.integers(8, 26, hides.sum())
        gone = rng.random(people) < leave
        person[gone] = person.max() + 1 + np.arange(gone.sum())
        position[gone] = rng.uniform(0, side, (gone.sum(), 2))
        embedding_of[gone] = unit_vectors(gone.sum(), dim, rng)


def unit_vectors(people: int, dim: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return random unit vectors, (people, dim)."""
    embedding_of = rng.standard_normal((people, dim), dtype=np.float32)
    return embedding_of / np.linalg.norm(embedding_of, axis=1, keepdims=True)
