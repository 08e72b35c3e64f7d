"""How people walk: to goals of their own, often behind something."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sslmot.demo.camera import Camera, Floats


class Footprint(NamedTuple):
    """Where something stands on the plaza, in metres."""

    x: float
    depth: float
    half_width: float
    half_depth: float


COLUMN = Footprint(-2.3, 8.4, 0.65, 0.65)
KIOSK = Footprint(2.4, 10.2, 1.5, 0.8)
PLANTER = Footprint(-5.2, 13.2, 1.6, 0.5)


class Walk(NamedTuple):
    """How everybody moves, a row a frame."""

    position: Floats  # (F, P, 2) metres: x, depth
    heading: Floats  # (F, P) radians: 0 to the right, pi/2 away from the camera
    phase: Floats  # (F, P) radians of the walking cycle
    swing: Floats  # (F, P) radians by which the legs swing; 0 when standing


def walk(
    people: int, frames: int, frame_rate: float, camera: Camera, rng: np.random.Generator
) -> Walk:
    """Let people walk to goals of their own, around each other and around what stands there."""
    n = people
    substeps = int(np.ceil(25 / frame_rate))  # a slow camera must not make people jump
    dt = 1 / (frame_rate * substeps)
    obstacles = np.array((COLUMN, KIOSK, PLANTER))
    low, high = obstacles[:, :2] - obstacles[:, 2:], obstacles[:, :2] + obstacles[:, 2:]
    near, far = np.log(6.1), np.log(14)  # evenly by size in the picture, not by distance

    def edge(depth: float) -> float:
        """Metres from the middle of the picture to its side."""
        return camera.centre / camera.focal * depth

    def next_goal(x: float) -> tuple[float, float, float]:
        """Where somebody at x goes next: x, depth, seconds to stay there."""
        choice, depth = rng.random(), float(np.exp(rng.uniform(near, far)))
        if choice < 0.45:  # across and out of the picture
            return -np.sign(x) * (edge(depth) + 0.9), depth, rng.uniform(0.2, 1.5)
        if choice < 0.8:  # behind something: from where nobody can tell which way they will go
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
    warm_up = (
        int(1.5 * frame_rate) + 1
    )  # frames until everybody walks and nobody stands inside another
    for step in range((warm_up + frames) * substeps):
        way = goal - position
        distance = np.linalg.norm(way, axis=1)
        there = distance < 0.3
        stay = stay - dt * there
        for i in np.flatnonzero(there & (stay <= 0)):
            *goal[i], stay[i] = next_goal(position[i, 0])
        wanted = way * (~there * pace / np.maximum(distance, 0.5))[:, None]
        # Slide along an obstacle, on the side one is already turning to.
        gap = position[:, None] - np.clip(position[:, None], low, high)  # (P, obstacles, 2)
        room = np.linalg.norm(gap, axis=2)
        nearest = np.arange(n), room.argmin(1)
        room, away = room[nearest], gap[nearest] / np.maximum(room[nearest], 1e-6)[:, None]
        along = away[:, ::-1] * (-1, 1)
        along *= np.where((along * velocity).sum(1) < 0, -1, 1)[:, None]
        blocked = (room < 0.45) & ((wanted * away).sum(1) < 0)
        wanted = np.where(blocked[:, None], along * pace[:, None], wanted)
        push = away * 8 * np.exp(-room / 0.1)[:, None]
        # Keep a shoulder's breadth from each other, stepping aside a little.
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
