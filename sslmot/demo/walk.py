"""How people of the generated crowd walk: each to its own goals, often behind an obstacle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sslmot.demo.camera import Camera, Floats


class Footprint(NamedTuple):
    """Position and size of an obstacle on the plaza, metres."""

    x: float
    depth: float
    half_width: float
    half_depth: float


COLUMN = Footprint(-2.3, 8.4, 0.65, 0.65)
KIOSK = Footprint(2.4, 10.2, 1.5, 0.8)
PLANTER = Footprint(-5.2, 13.2, 1.6, 0.5)


class Walk(NamedTuple):
    """The motion of all people, one row per frame."""

    position: Floats  # (F, P, 2) metres: x, depth
    heading: Floats  # (F, P) radians: 0 to the right, pi/2 away from the camera
    phase: Floats  # (F, P) radians of the walking cycle
    swing: Floats  # (F, P) radians, amplitude of the legs; 0 when standing


def walk(
    people: int, frames: int, frame_rate: float, camera: Camera, rng: np.random.Generator
) -> Walk:
    """Simulate people who walk to their goals and avoid each other and the obstacles."""
    n = people
    substeps = int(np.ceil(25 / frame_rate))  # at low frame rates, long time steps are unstable
    dt = 1 / (frame_rate * substeps)
    obstacles = np.array((COLUMN, KIOSK, PLANTER))
    low, high = obstacles[:, :2] - obstacles[:, 2:], obstacles[:, :2] + obstacles[:, 2:]
    near, far = np.log(6.1), np.log(14)  # evenly by size in the picture, not by distance

    def edge(depth: float) -> float:
        """Return the metres from the middle of the picture to its side."""
        return camera.centre / camera.focal * depth

    def next_goal(x: float) -> tuple[float, float, float]:
        """Choose the next goal of a person at x: x, depth, seconds to stay there."""
        choice, depth = rng.random(), float(np.exp(rng.uniform(near, far)))
        if choice < 0.45:  # cross the picture and leave it
            return -np.sign(x) * (edge(depth) + 0.9), depth, rng.uniform(0.2, 1.5)
        if choice < 0.8:  # behind an obstacle, so that the further direction is unknown
            place = (COLUMN, KIOSK, PLANTER)[rng.choice(3, p=(0.35, 0.55, 0.1))]
            behind = place.depth + place.half_depth + rng.uniform(0.5, 1.2)
            return place.x + rng.uniform(-0.5, 0.5) * place.half_width, behind, rng.uniform(0, 0.8)
        return rng.uniform(-0.8, 0.8) * edge(depth), depth, rng.uniform(0.3, 1.5)

    depth = np.exp(rng.uniform(near, far, n))
    position = np.stack((rng.uniform(-0.95, 0.95, n) * edge(1) * depth, depth), 1)
    plan = np.array([next_goal(x) for x in position[:, 0]]).reshape(-1, 3)
    goal, stay = plan[:, :2], plan[:, 2]
    pace = np.clip(rng.normal(1.35, 0.15, n), 1, 1.7)  # metres a second
    velocity = np.zeros((n, 2))
    heading = np.arctan2(*(goal - position).T[::-1])
    phase = rng.uniform(0, 2 * np.pi, n)
    steps = []
    # Frames until all people walk and none overlap.
    warm_up = int(1.5 * frame_rate) + 1
    for step in range((warm_up + frames) * substeps):
        way = goal - position
        distance = np.linalg.norm(way, axis=1)
        there = distance < 0.3
        stay = stay - dt * there
        for i in np.flatnonzero(there & (stay <= 0)):
            *goal[i], stay[i] = next_goal(position[i, 0])
        wanted = way * (~there * pace / np.maximum(distance, 0.5))[:, None]
        # Slide along an obstacle, in the direction of the current motion.
        gap = position[:, None] - np.clip(position[:, None], low, high)  # (P, obstacles, 2)
        room = np.linalg.norm(gap, axis=2)
        nearest = np.arange(n), room.argmin(1)
        room, away = room[nearest], gap[nearest] / np.maximum(room[nearest], 1e-6)[:, None]
        along = away[:, ::-1] * (-1, 1)
        along *= np.where((along * velocity).sum(1) < 0, -1, 1)[:, None]
        blocked = (room < 0.45) & ((wanted * away).sum(1) < 0)
        wanted = np.where(blocked[:, None], along * pace[:, None], wanted)
        push = away * 8 * np.exp(-room / 0.1)[:, None]
        # Keep a distance of a shoulder's width from other people, and step aside.
        apart = position[:, None] - position
        space = np.linalg.norm(apart, axis=2) + 10 * np.eye(n)
        press = (np.exp((0.45 - space) / 0.15) / np.maximum(space, 0.1))[..., None] * apart
        push += (press + 0.5 * press[..., ::-1] * (-1, 1)).sum(1)
        velocity = velocity + ((wanted - velocity) / 0.3 + push) * dt
        position = position + velocity * dt
        position[:, 1] = np.clip(position[:, 1], 6, 16)
        speed = np.linalg.norm(velocity, axis=1)
        turn = np.arctan2(velocity[:, 1], velocity[:, 0]) - heading
        turn = (turn + np.pi) % (2 * np.pi) - np.pi
        heading = heading + np.where(speed > 0.25, np.clip(turn, -5 * dt, 5 * dt), 0)
        phase = phase + speed * dt * 2 * np.pi / 1.4  # two steps are 1.4 m
        if step >= warm_up * substeps and step % substeps == 0:
            steps.append((position, heading, phase, 0.4 * np.clip(speed / 1.35, 0, 1.1)))
    return Walk(*(np.stack(part) for part in zip(*steps, strict=True)))
