"""The generated crowd as a sequence: frames, ground truth and detections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.demo.camera import Camera, Floats, Mask
from sslmot.demo.people import Figure, Sketch, dress, pose
from sslmot.demo.plaza import Item, Plaza
from sslmot.demo.walk import walk
from sslmot.settings import Settings, setting
from sslmot.types import Boxes, Frame

DETECTABLE = 0.35  # minimum visibility of a person for the detector


@dataclass(frozen=True)
class CrowdConfig(Settings):
    """Settings of the crowd and of its detector.

    Attributes:
        people: Number of people, 0 to 250.
        frames: Number of frames.
        width: Width of a frame, pixels.
        height: Height of a frame, pixels.
        frame_rate: Frames per second. It does not change the walking speed.
        seed: Seed of all random numbers.
        lookalikes: Share of people with nearly the same clothes as another person.
        noise: Standard deviation of the sensor noise, grey levels.
        jitter: Standard deviation of the edges of a detected box, relative to the box size.
        misses: Probability that a fully visible person is not detected.
        false_positives: Mean number of false detections per frame.

    Raises:
        ValueError: A field is out of range.
    """

    people: int = setting(14, 0, 250)
    frames: int = setting(300, 1, 1_000_000)
    width: int = setting(1280, 64, 16384)
    height: int = setting(720, 64, 16384)
    frame_rate: float = setting(30.0, 1, 1000)
    seed: int = setting(0, 0)
    lookalikes: float = setting(0.2, 0, 1)
    noise: float = setting(3.0, 0, 32)
    jitter: float = setting(0.015, 0, 0.5)
    misses: float = setting(0.02, 0, 1)
    false_positives: float = setting(0.1, 0, 100)


class Truth(NamedTuple):
    """The people whose boxes touch one frame, in order of id. Hidden people are included."""

    ids: npt.NDArray[np.int64]
    """(N,) int64, from 1."""

    boxes: Boxes
    """(N, 4) float32, xyxy pixels, of the whole person. They may extend beyond the frame."""

    visibility: npt.NDArray[np.float32]
    """(N,) float32, visible share of the person's pixels, 0 to 1."""


class Crowd:
    """A generated sequence of a crowd with ground truth.

    Frames can be read in any order and repeatedly. They are always the same.

    Args:
        config: Settings, the defaults if None.
    """

    def __init__(self, config: CrowdConfig | None = None) -> None:
        self.config = config = config or CrowdConfig()
        # Separate random streams, so that clothes do not depend on the number of frames.
        clothes, ways, scene, grain = (
            np.random.default_rng((config.seed, stream)) for stream in range(4)
        )
        height, width = config.height, config.width
        self._camera = Camera(1.35 * height, width / 2, 0.36 * height, 2.6)
        self._outfits = dress(config.people, config.lookalikes, clothes)
        self._walk = walk(config.people, config.frames, config.frame_rate, self._camera, ways)
        self._plaza = Plaza(width, height, self._camera, scene)
        # The noise is larger than a frame, so that each frame uses another part. 128 is no change.
        shape = (height + 64, width + 64, 3)
        grains = 128 + config.noise * grain.standard_normal(shape, dtype=np.float32)
        self._grain = np.clip(np.rint(grains), 0, 255).astype(np.uint8)
        # Callers usually read picture, truth and detections of a frame one after the other.
        self._figures = lru_cache(maxsize=1)(self._draw_figures)
        self._observed = lru_cache(maxsize=1)(self._observe)

    def __len__(self) -> int:
        return self.config.frames

    def frame(self, t: int) -> Frame:
        """Render a frame.

        Args:
            t: Frame number, 0 to ``len(self) - 1``.

        Returns:
            (H, W, 3) uint8, BGR, a new array.

        Raises:
            IndexError: ``t`` is out of range.
        """
        figures = self._figures(t)
        picture = self._plaza.picture.copy()
        self._plaza.shade(picture, self._joints(t))
        for figure in figures:
            self._plaza.place(picture, figure)
        # The light changes slowly, as under thin clouds. Each frame has its own noise.
        light = 1 + 0.05 * np.sin(2 * np.pi * t / (9 * self.config.frame_rate))
        y, x = self._random(t, stream=4).integers(0, 64, 2)
        grain = self._grain[y : y + picture.shape[0], x : x + picture.shape[1]]
        return np.asarray(cv2.addWeighted(picture, light, grain, 1, -128), np.uint8)

    def truth(self, t: int) -> Truth:
        """Return the ground truth of a frame.

        Args:
            t: Frame number, 0 to ``len(self) - 1``.

        Returns:
            Ids, boxes and visibilities of all people whose box touches the frame.

        Raises:
            IndexError: ``t`` is out of range.
        """
        ids, boxes, visibility, _ = self._observed(t)
        return Truth(ids.copy(), boxes.astype(np.float32), visibility.astype(np.float32))

    def labels(self, t: int) -> Mask:
        """Return the person visible at each pixel.

        Args:
            t: Frame number, 0 to ``len(self) - 1``.

        Returns:
            (H, W) uint8, the id of the visible person, or 0.

        Raises:
            IndexError: ``t`` is out of range.
        """
        labels = np.zeros((self.config.height, self.config.width), np.uint8)
        things: list[Figure | Item] = [*self._figures(t), *self._plaza.scenery]
        for thing in sorted(things, key=lambda thing: -thing.depth):
            if isinstance(thing, Figure):
                thing.fill(labels, thing.identity)
            else:
                labels &= thing.clear
        return labels

    def detections(self, t: int) -> npt.NDArray[np.float32]:
        """Simulate the detections of a frame.

        People with a visibility below 35 % are missed. Boxes of partly hidden people shrink towards
        the visible part, and have lower scores. A few boxes are false positives.

        Args:
            t: Frame number, 0 to ``len(self) - 1``.

        Returns:
            (N, 5) float32, x1, y1, x2, y2 in pixels and a score of 0 to 1. Best score first.

        Raises:
            IndexError: ``t`` is out of range.
        """
        _, boxes, visibility, seen = self._observed(t)
        config, camera, rng = self.config, self._camera, self._random(t, stream=5)
        n = len(boxes)
        certainty = np.clip((visibility - DETECTABLE) / (0.7 - DETECTABLE), 0, 1)
        found = rng.random(n) < (1 - config.misses) * (0.6 + 0.4 * certainty)
        found &= visibility >= DETECTABLE
        hidden = 1 - visibility[:, None]
        size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + hidden * rng.uniform(0.5, 1, (n, 1)) * (seen - boxes)
        boxes += config.jitter * (1 + hidden) * size * rng.standard_normal((n, 4))
        score = 0.5 + 0.43 * certainty + 0.04 * rng.standard_normal(n)
        # A false positive has about the size of a person at that place.
        m = rng.poisson(config.false_positives)
        x, y = rng.uniform(0, config.width, m), rng.uniform(0.58, 1, m) * config.height
        tall = (y - camera.horizon) / camera.height * rng.uniform(1, 1.9, m)
        wide = tall * rng.uniform(0.15, 0.25, m)
        false = np.stack((x - wide, y - tall, x + wide, y), 1)

        boxes = np.concatenate((boxes[found], false))
        boxes = np.clip(boxes, 0, (config.width, config.height) * 2)
        score = np.concatenate((score[found], rng.uniform(0.25, 0.6, m)))
        order = np.argsort(-score, kind="stable")
        return np.column_stack((boxes, np.clip(score, 0.05, 0.99)))[order].astype(np.float32)

    def _random(self, t: int, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, stream, t))

    def _joints(self, t: int) -> Floats:
        """Return the joints of all people, (P, 19, 3) metres."""
        stature = np.array([outfit.stature for outfit in self._outfits])
        return pose(stature, *(part[t] for part in self._walk))

    def _draw_figures(self, t: int) -> list[Figure]:
        """Draw all people whose boxes touch the frame, ordered from far to near."""
        if not 0 <= t < self.config.frames:
            raise IndexError(f"t: expected 0 to {self.config.frames - 1}, got {t}")
        figures = []
        people = zip(self._outfits, self._joints(t), self._walk.heading[t], strict=True)
        for i, (outfit, joints, heading) in enumerate(people):
            figure = Sketch(outfit, joints, heading, self._camera).figure(i + 1)
            x1, y1, x2, y2 = figure.box
            if x1 < self.config.width and y1 < self.config.height and x2 > 0 and y2 > 0:
                figures.append(figure)
        return sorted(figures, key=lambda figure: -figure.depth)

    def _observe(self, t: int) -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats]:
        """Return ids, boxes, visibilities, and the boxes (N, 4) of the visible parts."""
        figures = sorted(self._figures(t), key=lambda figure: figure.identity)
        labels = self.labels(t)
        ids = np.array([figure.identity for figure in figures], np.int64)
        boxes = np.array([figure.box for figure in figures]).reshape(-1, 4)
        visibility, seen = np.zeros(len(figures)), boxes.copy()
        for i, figure in enumerate(figures):
            x1, y1, x2, y2 = figure.window
            whole = np.zeros((y2 - y1, x2 - x1), np.uint8)
            figure.fill(whole, 1, origin=(x1, y1))
            x1, y1 = max(x1, 0), max(y1, 0)
            mask = (labels[y1:y2, x1:x2] == figure.identity).view(np.uint8)
            visibility[i] = cv2.countNonZero(mask) / max(1, cv2.countNonZero(whole))
            if visibility[i] > 0:
                x, y, w, h = cv2.boundingRect(mask)
                seen[i] = x1 + x, y1 + y, x1 + x + w, y1 + y + h
        return ids, boxes, np.minimum(visibility, 1), seen
