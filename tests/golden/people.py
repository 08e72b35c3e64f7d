"""A generated street: people cross, hide, leave, return, jump, and are detected badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .draws import bell, integers, order, uniform

Rows = npt.NDArray[np.int64]

_UNIT = 16
"""Positions are integers in 1/16 pixel, so their sums are exact."""


class Moment(NamedTuple):
    """The detections of a frame.

    Attributes:
        dets: (N, 5) float32: x1, y1, x2, y2, score.
        features: (N, D) float32 integers, a row of zeros for an unknown feature.
        people: (N,) int64, the person in the box, -1 for a false detection.
    """

    dets: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    people: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Street:
    """Settings of the street. Shares are probabilities per detection or per frame.

    Attributes:
        name: Seed of all numbers.
        people: Number of people.
        frames: Number of frames.
        width: Width of a frame, pixels.
        height: Height of a frame, pixels.
        dim: Width of a feature.
        speed: Maximum speed, pixels per frame.
        misses: Share of people who are not detected.
        gaps: (length, share): in each period of this length, this share of people is away.
        low_scores: Share of detections with a score of 0.1 to 0.5.
        false: Mean number of false detections per frame.
        copies: Share of people with a second detection beside the first.
        unknown: Share of features that are zeros.
        jumps: Share of people who jump, usually by a few widths.
        blur: Maximum noise of a feature. A feature is about 58 in each dimension.
    """

    name: str
    people: int = 12
    frames: int = 70
    width: int = 400
    height: int = 260
    dim: int = 32
    speed: int = 4
    misses: float = 0.04
    gaps: tuple[tuple[int, float], ...] = ((7, 0.12), (25, 0.15))
    low_scores: float = 0.12
    false: float = 0.6
    copies: float = 0.05
    unknown: float = 0.04
    jumps: float = 0.02
    blur: int = 45

    def faces(self) -> npt.NDArray[np.int64]:
        """Return the features of the people, (people, D). Every fourth is similar to another."""
        faces = integers(f"{self.name}/faces", self.people, self.dim) % 201 - 100
        first, second = faces[0:-1:4], faces[1::4]
        faces[1::4] = (4 * first + 3 * second) // 5
        return faces

    def __iter__(self) -> Iterator[Moment]:
        n, limit = self.people, np.array((self.width, self.height)) * _UNIT
        faces = self.faces()
        place = integers(f"{self.name}/places", n, 2) % limit
        pace = np.array((self.speed * _UNIT, self.speed * _UNIT // 4))
        velocity = integers(f"{self.name}/velocities", n, 2) % (2 * pace + 1) - pace
        for t in range(self.frames):

            def of(what: str, t: int = t) -> str:
                return f"{self.name}/{t}/{what}"

            # People lower in the frame are nearer, so they are larger.
            height = 40 * _UNIT + place[:, 1] // 4
            size = np.stack((height * 2 // 5, height), 1)
            there = uniform(of("misses"), n) >= self.misses
            for length, share in self.gaps:
                away = uniform(f"{self.name}/gaps of {length}/{t // length}", n) < share
                there &= ~away
            seen = there.nonzero()[0]
            again = seen[uniform(of("copies"), len(seen)) < self.copies]
            beside = (size[again] * (bell(of("beside"), len(again), 2) / 5)).astype(np.int64)
            false = int(uniform(of("false"), 1)[0] * (2 * self.false + 1))
            ghosts = integers(of("ghosts"), false, 2) % limit
            people = np.concatenate((seen, again, np.full(false, -1)))
            centres = np.concatenate((place[seen], place[again] + beside, ghosts))
            sizes = np.concatenate((size[seen], size[again], np.full((false, 2), 50 * _UNIT)))
            yield self._detect(of, people, centres, sizes, faces)

            jump = uniform(of("jumps"), n) < self.jumps
            far = 3 * size[:, :1] * bell(of("far"), n, 2)
            place = place + velocity + np.where(jump[:, None], far, 0).astype(np.int64)
            outside = (place < 0) | (place >= limit)
            velocity = np.where(outside, -velocity, velocity)
            place = place.clip(0, limit - 1)

    def _detect(
        self, of: Callable[[str], str], people: Rows, centres: Rows, sizes: Rows, faces: Rows
    ) -> Moment:
        """Make boxes with jitter, scores, and features with noise, in any order."""
        n = len(people)
        corners = np.concatenate((centres - sizes // 2, centres + sizes // 2), 1)
        jitter = np.rint(np.tile(sizes, 2) * bell(of("jitter"), n, 4) * 0.02)
        scores = 0.5 + (integers(of("scores"), n) % 128) / 256
        low = uniform(of("faint"), n) < self.low_scores
        scores = np.where(low, scores - 0.4, scores)
        blur = 10 + (self.blur - 10) * uniform(of("blur"), n, 1)
        false = (people < 0)[:, None]
        noise = np.where(false, blur + 58, blur) * bell(of("noise"), n, self.dim)
        features = np.rint(np.where(false, 0, faces[people]) + noise)
        features[uniform(of("unknown"), n) < self.unknown] = 0
        rows = order(of("order"), n)
        dets = np.column_stack(((corners + jitter) / _UNIT, scores)).astype(np.float32)
        return Moment(dets[rows], features.astype(np.float32)[rows], people[rows])


def labelled(moment: Moment, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return detections (N, 6) with classes."""
    return np.column_stack((moment.dets, labels)).astype(np.float32)
