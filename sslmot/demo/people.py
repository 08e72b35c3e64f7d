"""People of the generated crowd: clothes, poses, and the polygons to draw them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.demo.camera import (
    CIRCLE,
    SUBPIXEL_BITS,
    Camera,
    Colour,
    Floats,
    Image,
    Mask,
    arc,
    hsv,
    lit,
    palette,
    subpixels,
)

PADDING = 3  # pixels: antialiased edges extend slightly beyond a polygon


@dataclass(frozen=True)
class Outfit:
    """A body and its clothes."""

    stature: float  # metres
    build: float  # 1 is average
    skin: Colour
    hair: Colour
    top: Colour
    accent: Colour  # of the pattern, bag and hat
    lower: Colour
    shoes: Colour
    pattern: str  # plain, stripes, bars, block, jacket
    cut: str  # trousers, shorts, skirt
    short_sleeves: bool
    long_hair: bool
    extra: str  # nothing, backpack, satchel, handbag, hat


SKINS = palette("e8c3aa d6ac8c be8c69 966648 6c4834")
HAIRS = palette("1a1a1c 3e2c24 64422c cd9e60 a09b96 7a4028")
LOWERS = palette("345276 262628 c0a880 78766f 223254 dcd8d4 682a3e 5c6442")
NEUTRALS = palette("eae8e4 303032 928e8c")


def dress(people: int, lookalikes: float, rng: np.random.Generator) -> list[Outfit]:
    """Choose clothes for all people. A share of ``lookalikes`` nearly copy another person's."""

    def vary(colour: Colour) -> Colour:
        shade = rng.normal(1, 0.06)
        blue, green, red = np.clip(np.multiply(colour, shade) + rng.normal(0, 3, 3), 0, 255)
        return float(blue), float(green), float(red)

    def pick(colours: list[Colour]) -> Colour:
        return vary(colours[rng.integers(len(colours))])

    outfits: list[Outfit] = []
    first = rng.random()
    for i in range(people):
        hue = first + 0.618 * i  # steps of the golden ratio spread any number of hues evenly
        colour = hsv(hue, rng.uniform(0.35, 0.7), rng.uniform(0.4, 0.8))
        other = hsv(hue + rng.uniform(0.3, 0.7), 0.45, rng.uniform(0.3, 0.8))
        outfit = Outfit(
            stature=float(np.clip(rng.normal(1.72, 0.08), 1.52, 1.92)),
            build=rng.uniform(0.95, 1.18),
            skin=pick(SKINS),
            hair=pick(HAIRS),
            top=pick(NEUTRALS) if rng.random() < 0.2 else colour,
            accent=pick(NEUTRALS) if rng.random() < 0.5 else other,
            lower=pick(LOWERS),
            shoes=pick(NEUTRALS),
            pattern=str(rng.choice(("plain", "stripes", "bars", "block", "jacket"))),
            cut=str(rng.choice(("trousers", "shorts", "skirt"), p=(0.68, 0.14, 0.18))),
            short_sleeves=rng.random() < 0.45,
            long_hair=rng.random() < 0.4,
            extra=str(rng.choice(("nothing", "backpack", "satchel", "handbag", "hat"))),
        )
        if outfits and rng.random() < lookalikes:
            twin = outfits[rng.integers(len(outfits))]
            top, accent = vary(twin.top), vary(twin.accent)
            outfit = replace(outfit, top=top, accent=accent, pattern=twin.pattern)
        outfits.append(outfit)
    return outfits


# Joints are 0 pelvis, 1 neck, 2 head, then these eight for the left side and for the right side.
HIP, KNEE, ANKLE, TOE, SHOULDER, ELBOW, WRIST, HAND = range(8)
SIDES = (3, 11)  # the first joint of each side
# A limb connects two joints. The radius at each joint is relative to the stature.
THIGH, SHIN, FOOT, UPPER_ARM, FOREARM, PALM = range(6)
LIMBS = (
    (HIP, KNEE, 0.047, 0.034),
    (KNEE, ANKLE, 0.034, 0.022),
    (ANKLE, TOE, 0.024, 0.018),
    (SHOULDER, ELBOW, 0.031, 0.025),
    (ELBOW, WRIST, 0.025, 0.018),
    (WRIST, HAND, 0.018, 0.016),
)
# The trunk from hem to neck. Each level has a position between pelvis (0) and neck (1), and half
# its width and half its thickness, relative to the stature.
TRUNK = np.array(
    (
        (-0.16, 0.094, 0.070),
        (0.00, 0.097, 0.072),
        (0.35, 0.086, 0.062),
        (0.72, 0.112, 0.070),
        (0.90, 0.121, 0.062),
        (0.98, 0.085, 0.050),
        (1.04, 0.035, 0.035),
    )
)


def pose(
    stature: Floats, position: Floats, heading: Floats, phase: Floats, swing: Floats
) -> Floats:
    """Compute the joints (P, 19, 3) of walking people, metres. One foot is always on the ground."""
    zero, size = np.zeros_like(heading), stature[:, None]
    forward = size * np.stack((np.cos(heading), zero, np.sin(heading)), 1)
    left = size * np.stack((-np.sin(heading), zero, np.cos(heading)), 1)
    up = size * np.array((0, 1, 0))

    def hang(angle: Floats, length: float) -> Floats:
        """Return the vector along a limb. Angle 0 is straight down, positive is forward."""
        swung = np.sin(angle)[:, None] * forward - np.cos(angle)[:, None] * up
        return np.asarray(length * swung)

    pelvis = np.zeros_like(up)
    neck = pelvis + 0.29 * up + 0.012 * forward
    joints = [pelvis, neck, neck + 0.1 * up + 0.012 * forward]
    lowest = zero
    for side, offset in ((1, 0), (-1, np.pi)):
        thigh = swing * np.sin(phase + offset) + 0.03
        # The knee bends while the leg moves forward.
        shin = thigh - 0.06 - 1.5 * swing * np.maximum(0, np.cos(phase + offset))
        arm = -0.85 * swing * np.sin(phase + offset) - 0.05
        forearm = arm + 0.2 + 0.5 * swing
        hip = side * 0.05 * left
        knee = hip + hang(thigh, 0.245)
        ankle = knee + hang(shin, 0.245)
        toe = ankle + hang(np.minimum(1.35, shin + 1.45), 0.085)
        shoulder = 0.258 * up + side * 0.108 * left
        elbow = shoulder + hang(arm, 0.175) + side * 0.02 * left
        wrist = elbow + hang(forearm, 0.145)
        joints += [hip, knee, ankle, toe, shoulder, elbow, wrist, wrist + hang(forearm, 0.05)]
        sole = np.minimum(ankle[:, 1] - 0.024 * stature, toe[:, 1] - 0.018 * stature)
        lowest = np.minimum(lowest, sole)
    stand = np.stack((position[:, 0], -lowest, position[:, 1]), 1)
    return np.asarray(np.stack(joints, 1) + stand[:, None])


class Figure(NamedTuple):
    """A person as coloured convex polygons in picture coordinates, in drawing order."""

    identity: int
    depth: float  # metres
    points: Floats  # (K, 2) pixels, the concatenated polygons
    ends: list[int]  # end of each polygon in points
    colours: list[Colour]
    box: Floats  # (4,) xyxy: bounding box of the polygons
    window: tuple[int, int, int, int]  # the box with padding, integer pixels

    def polygons(self, origin: tuple[int, int], scale: int) -> list[npt.NDArray[np.int32]]:
        """Return the polygons on a canvas that starts at origin, in OpenCV's sub-pixels."""
        return np.split(subpixels((self.points - origin) * scale), self.ends[:-1])

    def fill(self, canvas: Mask, value: int, origin: tuple[int, int] = (0, 0)) -> None:
        """Fill the silhouette."""
        for polygon in self.polygons(origin, 1):
            cv2.fillConvexPoly(canvas, polygon, (value,), shift=SUBPIXEL_BITS)

    def sprite(self) -> Image:
        """Draw the window: (h, w, 4) float32, BGR times alpha and alpha, 0 to 255."""
        x1, y1, x2, y2 = self.window
        # Draw at twice the size with antialiasing, so that no jagged edges are visible.
        canvas = np.zeros((2 * (y2 - y1), 2 * (x2 - x1), 4), np.uint8)
        for polygon, colour in zip(self.polygons((x1, y1), 2), self.colours, strict=True):
            cv2.fillConvexPoly(canvas, polygon, (*colour, 255), cv2.LINE_AA, SUBPIXEL_BITS)
        small = cv2.resize(canvas, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
        sprite = small.astype(np.float32)
        # Shade the body with light from the left. The gradient of the blurred silhouette
        # approximates the surface normal.
        reach = max(1, (y2 - y1) // 28)
        blurred = cv2.blur(sprite[..., 3], (4 * reach + 1, 4 * reach + 1))
        slope = np.roll(blurred, -reach, 1) - np.roll(blurred, reach, 1)
        sprite[..., :3] *= 1 + slope[..., None] * np.float32(0.5 / 255)
        return sprite


CAP = arc(np.pi / 2, 3 * np.pi / 2, 7)


def capsules(a: Floats, b: Floats, radius_a: Floats, radius_b: Floats) -> Floats:
    """Return tapered bars (L, 14, 2) from points a to b (L, 2) with a radius (L,) at each end."""
    axis = b - a
    axis = axis / np.maximum(np.hypot(*axis.T), 1e-9)[:, None]
    across = axis[:, ::-1] * (-1, 1)
    cap = CAP @ np.stack((axis, across), 1)
    start = a[:, None] + cap * radius_a[:, None, None]
    return np.concatenate((start, b[:, None] - cap * radius_b[:, None, None]), 1)


class Sketch:
    """The drawing of one person, from back to front."""

    def __init__(self, outfit: Outfit, joints: Floats, heading: float, camera: Camera) -> None:
        self.outfit = outfit
        self.depth = float(joints[0, 2])
        self.polygons: list[Floats] = []
        self.colours: list[Colour] = []
        self.flat = camera.project(joints)  # (19, 2) pixels
        self.scale = outfit.stature * camera.focal / self.depth  # pixels
        self.aside, self.facing = float(np.cos(heading)), -float(np.sin(heading))
        # The trunk is an ellipse at each level. This is its half width as seen by the camera.
        half = np.hypot(TRUNK[:, 1] * self.facing, TRUNK[:, 2] * self.aside)
        middle = self.flat[0] + TRUNK[:, :1] * (self.flat[1] - self.flat[0])
        self.levels = np.column_stack((middle, half * outfit.build * self.scale))
        limbs = np.array([(first + a, first + b, *r) for first in SIDES for a, b, *r in LIMBS])
        start, stop = limbs[:, :2].astype(int).T
        radius = limbs[:, 2:].T * outfit.build * self.scale
        self.limbs = capsules(self.flat[start], self.flat[stop], *radius).reshape(2, 6, -1, 2)

        depth = joints[3:, 2].reshape(2, 8)
        far_leg = int(depth[:, [HIP, KNEE, ANKLE]].mean(1).argmax())
        behind = depth[:, [SHOULDER, ELBOW, WRIST]].mean(1) > joints[1, 2] + 0.05
        for side in range(2):
            if behind[side]:
                self.arm(side, 0.75)
        if self.facing > 0.1:
            self.backpack()
        self.leg(far_leg, 0.78)
        self.leg(1 - far_leg, 1)
        self.trunk()
        if self.facing <= 0.1:
            self.backpack()
        for side in range(2):
            if not behind[side]:
                self.arm(side, 0.92)
        self.head()

    def figure(self, identity: int) -> Figure:
        """Return the finished drawing."""
        points = np.concatenate(self.polygons)
        low, high = points.min(0), points.max(0)
        x1, y1 = (int(v) - PADDING for v in np.floor(low))
        x2, y2 = (int(v) + PADDING for v in np.ceil(high))
        ends = np.cumsum([len(polygon) for polygon in self.polygons]).tolist()
        box = np.concatenate((low, high))
        return Figure(identity, self.depth, points, ends, self.colours, box, (x1, y1, x2, y2))

    def put(self, polygon: Floats, colour: Colour, light: float = 1) -> None:
        """Add a convex polygon."""
        self.polygons.append(polygon)
        self.colours.append(lit(colour, light))

    def bar(self, a: Floats, b: Floats, radius: float) -> Floats:
        """Return a rounded bar between two points. The radius is relative to the stature."""
        ends = np.full((2, 1), radius * self.scale)
        return np.asarray(capsules(a[None], b[None], *ends)[0])

    def slab(self, low: float, high: float, left: float = -1, right: float = 1) -> Floats:
        """Return a slice of the trunk between two levels of TRUNK and two sides, -1 to 1."""
        at = np.array((low, *range(int(low) + 1, int(np.ceil(high))), high))
        below = np.minimum(at.astype(int), len(TRUNK) - 2)
        part = (at - below)[:, None]
        x, y, half = ((1 - part) * self.levels[below] + part * self.levels[below + 1]).T
        ring = np.concatenate((x + left * half, (x + right * half)[::-1]))
        return np.stack((ring, np.concatenate((y, y[::-1]))), 1)

    def leg(self, side: int, light: float) -> None:
        """Draw shoe, shin and thigh."""
        outfit, limbs = self.outfit, self.limbs[side]
        self.put(limbs[FOOT], outfit.shoes, light)
        self.put(limbs[SHIN], outfit.lower if outfit.cut == "trousers" else outfit.skin, light)
        self.put(limbs[THIGH], outfit.skin if outfit.cut == "skirt" else outfit.lower, light)

    def arm(self, side: int, light: float) -> None:
        """Draw hand and sleeves, and the handbag in the left hand."""
        outfit, limbs = self.outfit, self.limbs[side]
        self.put(limbs[PALM], outfit.skin, light)
        self.put(limbs[FOREARM], outfit.skin if outfit.short_sleeves else outfit.top, light)
        self.put(limbs[UPPER_ARM], outfit.top, light)
        if outfit.extra == "handbag" and side == 0:
            shape = np.array(((-0.025, -0.005), (0.025, -0.005), (0.055, 0.09), (-0.055, 0.09)))
            self.put(self.flat[SIDES[0] + HAND] + self.scale * shape, outfit.accent, light)

    def trunk(self) -> None:
        """Draw hips or skirt, neck, top with its pattern, and satchel."""
        outfit = self.outfit
        if outfit.cut == "skirt":
            knees = self.flat[[first + KNEE for first in SIDES]]
            left, right = knees[:, 0] + 0.04 * self.scale * np.where(
                knees[:, 0] == knees[:, 0].min(), -1, 1
            )
            hem = 0.15 * self.levels[0, 1] + 0.85 * knees[:, 1].mean()
            skirt = np.concatenate((self.slab(0.5, 1.2), ((left, hem), (right, hem))))
            hull = cv2.convexHull(skirt.astype(np.float32))[:, 0]
            self.put(hull.astype(np.float64), outfit.lower)
        else:
            self.put(self.slab(0, 1), outfit.lower)
        self.put(self.bar(self.flat[1], self.flat[2], 0.027), outfit.skin, 0.82)
        for low, high in ((0.4, 2), (2, 4), (4, 6)):
            self.put(self.slab(low, high), outfit.top)
        patches: list[tuple[float, ...]] = []
        if outfit.pattern == "stripes":
            patches = [(low, low + 0.28) for low in (0.7, 1.45, 2.1, 2.7, 3.3)]
        elif outfit.pattern == "bars":
            sides = [(left, left + 0.3) for left in (-0.75, -0.15, 0.45)]
            patches = [(*span, *side) for side in sides for span in ((0.4, 2), (2, 4.4))]
        elif outfit.pattern == "block":
            patches = [(0.4, 2), (2, 2.4)]
        elif outfit.pattern == "jacket" and self.facing > 0:  # open in front
            left, right = np.clip((0.75 * self.aside - 0.3, 0.75 * self.aside + 0.3), -1, 1)
            patches = [(0.4, 2, left, right), (2, 5.4, left, right)]
        for patch in patches:
            self.put(self.slab(*patch), outfit.accent)
        if outfit.extra == "satchel":
            side = 0.8 if self.aside > 0 else -0.8
            hip, shoulder = (
                self.levels[level, :2] + (sign * side * self.levels[level, 2], 0)
                for level, sign in ((1, 1), (5, -1))
            )
            self.put(self.bar(shoulder, hip, 0.007), outfit.accent, 0.6)
            wide, drop = self.scale * np.array(((0.02, 0), (0, 0.03)))
            self.put(self.bar(hip + drop - wide, hip + drop + wide, 0.042), outfit.accent)

    def backpack(self) -> None:
        """Draw the backpack, if the outfit has one."""
        if self.outfit.extra == "backpack":
            back = np.array((-0.075 * self.aside * self.scale, 0))
            top, bottom = self.levels[[4, 2], :2] + back
            wide = 0.045 + 0.03 * abs(self.facing)
            self.put(self.bar(top, bottom, wide), self.outfit.accent)
            self.put(self.bar(bottom, bottom, 0.6 * wide), self.outfit.accent, 0.8)

    def head(self) -> None:
        """Draw hair, the visible part of the face, and hat."""
        outfit, aside, head = self.outfit, self.aside, self.flat[2]
        if outfit.long_hair and self.facing < 0.5:  # otherwise it is hidden behind the neck
            tips = self.flat[1] - (0.03 * aside * self.scale, 0)
            self.put(self.bar(head, tips, 0.047), outfit.hair, 0.92)
        size = np.array((0.053 + 0.006 * abs(aside), 0.069))
        hair = CIRCLE * size + (-0.01 * aside, -0.006)
        self.put(head + self.scale * hair, outfit.hair)
        if self.facing > -0.55:
            turned = np.sqrt(1 + min(0, self.facing))  # seen from behind, the face gets narrower
            face = CIRCLE * (0.041 * turned, 0.055) + (0.021 * aside, 0.014)
            self.put(head + self.scale * face, outfit.skin)
        if outfit.extra == "hat":
            crown = arc(np.pi, 2 * np.pi, 12) * (0.06, 0.066) + (-0.004 * aside, -0.018)
            brim = head + self.scale * np.array((0.03 * aside, -0.018))
            wide = self.scale * np.array((0.052, 0))
            self.put(head + self.scale * crown, outfit.accent)
            self.put(self.bar(brim - wide, brim + wide, 0.009), outfit.accent, 0.75)
