"""Scenes that need no data: each setting, and each kind of use of a tracker."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

from sslmot import ColorHistogram, Gallery, Tracker, TrackerConfig, TrackerGroup

from .draws import uniform
from .extractors import Strips, Together
from .people import Moment, Street, labelled
from .pictures import Pictures, View, shaken, still
from .recording import Scenes
from .refusals import Failing, refuse, refuse_frames, refuse_group
from .settings import CLASS_AGNOSTIC, CONFIGS, IMPATIENT, NO_CAMERA, config, gallery

STREET = Street("street")
SQUARE = Street("square", people=6, frames=36, width=320, height=180, jumps=0.005, false=0.3)
LONG = Street("long", people=4, frames=240, gaps=((30, 0.25), (100, 0.4)), false=0.1, copies=0.02)


@cache
def moments(street: Street) -> tuple[Moment, ...]:
    return tuple(street)


def configured(name: str) -> Scenes:
    """Track the street with one setting: with features and motion, and with motion only."""
    full, motion = Tracker(config(name)), Tracker(config(name))
    for moment in moments(STREET):
        yield "detections", moment.dets
        yield "features", moment.features
        yield "looks", full.step(None, moment.dets, embeddings=moment.features)
        yield "motion", motion.step(None, moment.dets)


def classes() -> Scenes:
    """Track two classes, and three classes (also negative) with a few wrong ones."""
    steady, changing, motion = (Tracker(TrackerConfig()) for _ in range(3))
    agnostic = Tracker(TrackerConfig(**CLASS_AGNOSTIC))  # type: ignore[arg-type]
    still = Tracker(TrackerConfig(motion="none"))
    for t, moment in enumerate(moments(STREET)):
        of = moment.people % 2
        wrong = uniform(f"classes/{t}", len(of)) < 0.05
        labels = np.where(wrong, (moment.people + 1) % 3, moment.people % 3) - 1
        dets = labelled(moment, labels)
        yield "two", steady.step(None, labelled(moment, of), embeddings=moment.features)
        yield "changing", changing.step(None, dets, embeddings=moment.features)
        yield "motion", motion.step(None, dets)
        yield "agnostic", agnostic.step(None, dets, embeddings=moment.features)
        yield "no motion", still.step(None, dets, embeddings=moment.features)


def forms() -> Scenes:
    """Use detections without score, as lists, integers, float64, and features of other floats."""
    plain, listed, whole, wide = (Tracker(TrackerConfig()) for _ in range(4))
    for t, moment in enumerate(moments(STREET)):
        dets, features = moment.dets, moment.features
        yield "no score", plain.step(None, dets[:, :4], embeddings=features)
        rows = dets[:, : 4 + t % 2].tolist()
        yield "lists", listed.step(dets=rows, embeddings=features.astype(np.float16))
        yield "whole", whole.step(None, np.rint(dets[:, :4]).astype(np.int32), embeddings=features)
        some = np.asfortranarray(dets, np.float64), np.asfortranarray(features, np.float64)
        yield "float64", wide.step(None, some[0], embeddings=some[1])


def gaps() -> Scenes:
    """Track people who are away for up to 100 frames, and return at another place."""
    trackers = {
        "default": Tracker(),
        "motion": Tracker(TrackerConfig()),
        "no memory": Tracker(config("no memory")),
        "impatient": Tracker(TrackerConfig(**IMPATIENT)),  # type: ignore[arg-type]
        "walk": Tracker(config("walk")),
        "no walk": Tracker(config("no walk")),
        "paper": Tracker(config("paper")),
    }
    for moment in moments(LONG):
        for name, tracker in trackers.items():
            features = None if "motion" in name else moment.features
            yield name, tracker.step(None, moment.dets, embeddings=features)


def sometimes() -> Scenes:
    """Use features only in some frames, not at first, and frames without detections."""
    tracker, empty, late = (Tracker(TrackerConfig()) for _ in range(3))
    for t, moment in enumerate(moments(STREET)):
        features = moment.features if t >= 5 and t % 7 < 5 else None
        yield "looks", tracker.step(None, moment.dets, embeddings=features)
        nothing = [(), np.empty((0, 5)), np.empty((0, 6), np.float32), []][t % 4]
        pause = t % 9 == 4 or 30 <= t < 38
        if pause:
            yield "pauses", empty.step(None, nothing, embeddings=np.empty((0, STREET.dim)))
        else:
            yield "pauses", empty.step(None, moment.dets, embeddings=moment.features)
        if t >= 3:
            yield "late", late.step(None, *([moment.dets] if t >= 10 else []))


def crowds() -> Scenes:
    """Track many people, very many, one, and piles of people. Some boxes are the same."""
    many = Street("many", people=50, frames=25, width=1280, height=720, jumps=0.0)
    most = Street("most", people=200, frames=6, width=1920, height=1080, gaps=((5, 0.1),))
    pile = Street("pile", people=12, frames=40, width=100, height=60, speed=2, dim=16)
    one = Street("one", people=1, frames=60, misses=0.2)
    for street in (many, most, pile, one):
        full, motion, paper = Tracker(), Tracker(), Tracker(config("paper"))
        for moment in street:
            yield f"{street.name}, looks", full.step(None, moment.dets, embeddings=moment.features)
            yield f"{street.name}, motion", motion.step(None, moment.dets)
            yield f"{street.name}, paper", paper.step(None, moment.dets, embeddings=moment.features)
    same, apart = Tracker(), Tracker()
    for t, moment in enumerate(pile):
        dets = moment.dets.copy()
        dets[::2, :4] = dets[:1, :4]
        yield "same boxes", same.step(None, dets, embeddings=moment.features)
        # Boxes without width or height, and some far outside the frame.
        dets[1::3, 2] = dets[1::3, 0]
        dets[2::5, 3] = dets[2::5, 1]
        dets[3::7, :4] += 100_000 * (t % 2)
        yield "odd boxes", apart.step(None, dets, embeddings=moment.features)


def resets() -> Scenes:
    """Reset the tracker in the middle, with and without a gallery."""
    alone, known = Tracker(), Tracker(gallery=gallery("lenient"))
    for t, moment in enumerate(moments(STREET)):
        if t in (25, 26, 50):
            alone.reset()
            known.reset()
        yield "alone", alone.step(None, moment.dets, embeddings=moment.features)
        yield "gallery", known.step(None, moment.dets, embeddings=moment.features)


def galleries() -> Scenes:
    """Use galleries shared by two trackers, saved and loaded, full, and with other settings."""
    for name in ("default", "lenient", "strict", "small"):
        shared = gallery(name)
        here, there = Tracker(gallery=shared), Tracker(config("patience"), gallery=shared)
        # The two trackers see the same people at other places and times.
        half = STREET.frames // 2
        for first, second in zip(moments(STREET)[:half], moments(STREET)[half:], strict=True):
            yield f"{name}, here", here.step(None, first.dets, embeddings=first.features)
            yield f"{name}, there", there.step(None, second.dets, embeddings=second.features)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.npz"
        for part, every in (("saved", 15), ("saved, small", 6)):
            kept = gallery("small" if "small" in part else "lenient")
            tracker = Tracker(config("patience"), gallery=kept)
            for t, moment in enumerate(moments(STREET)):
                if t and t % every == 0:
                    tracker.reset()
                    kept.save(path)
                    kept = Gallery.load(path)
                    tracker = Tracker(config("patience"), gallery=kept)
                yield part, tracker.step(None, moment.dets, embeddings=moment.features)


def groups() -> Scenes:
    """Track groups of three cameras with other settings, missing frames, and a gallery."""
    for part, shared in (("apart", None), ("gallery", gallery("lenient"))):
        names = ("default", "paper", "confirm 2")
        group = TrackerGroup([Tracker(config(name), gallery=shared) for name in names])
        for t in range(50):
            three = [moments(STREET)[t + 10 * camera] for camera in range(3)]
            missing = [t % (5 + camera) == camera for camera in range(3)]
            dets = [[] if gone else m.dets for m, gone in zip(three, missing, strict=True)]
            features = [
                None if gone else m.features for m, gone in zip(three, missing, strict=True)
            ]
            if shared is None and t % 11 == 3:
                features[t % 3] = None
            for camera, tracks in enumerate(group.step(None, dets, embeddings=features)):
                yield f"{part}, {camera}", tracks
            if t == 35:
                group.reset()
    group = TrackerGroup([Tracker(TrackerConfig()), Tracker(config("walk"))])
    for t in range(40):
        dets = [moments(STREET)[t].dets, moments(STREET)[30 + t].dets]
        for camera, tracks in enumerate(group.step(None, dets)):
            yield f"motion, {camera}", tracks


SQUARE = Street("square", people=6, frames=36, width=320, height=180, jumps=0.005, false=0.3)


def cameras() -> Scenes:
    """Track frames of a camera that shakes, pans and zooms, and of a static camera."""
    pictures = Pictures(SQUARE)
    for part, view_at in (("shaken", shaken), ("still", still)):
        trackers = {
            "looks": Tracker(),
            "no camera": Tracker(TrackerConfig(**NO_CAMERA)),  # type: ignore[arg-type]
            "no motion": Tracker(config("no motion")),
            "histogram": Tracker(extractor=ColorHistogram()),
            "function": Tracker(extractor=Strips().__call__),
        }
        if view_at is still:
            del trackers["no camera"], trackers["no motion"]
        for t, moment in enumerate(moments(SQUARE)):
            frame, dets = pictures.show(t, moment, view_at(SQUARE, t))
            if t in (15, 16):  # a cut to black
                frame[:] = 0
            yield "pixels", frame
            for name, tracker in trackers.items():
                given = name in ("looks", "no camera", "no motion")
                features = moment.features if given else None
                # Some frames are missing.
                shown = None if given and t % 13 == 10 else frame
                yield f"{part}, {name}", tracker.step(shown, dets, embeddings=features)


def group_frames() -> Scenes:
    """Track a group with extractors: shared, own, and for several frames at once."""
    pictures, shared = Pictures(SQUARE), Together()
    group = TrackerGroup(
        [
            Tracker(extractor=shared),
            Tracker(config("paper"), extractor=shared),
            Tracker(extractor=ColorHistogram()),
        ]
    )
    for t, moment in enumerate(moments(SQUARE)[:20]):
        views = [
            pictures.show(t, moment, view)
            for view in (shaken(SQUARE, t), still(SQUARE, t), View(180, 150, 200))
        ]
        frames = [None if t % 7 == 2 + camera else view[0] for camera, view in enumerate(views)]
        dets = [[] if t % 9 == camera else view[1] for camera, view in enumerate(views)]
        for camera, tracks in enumerate(group.step(frames, dets)):
            yield str(camera), tracks


def dark() -> Scenes:
    """Track black frames: all features are equal, and there is no camera motion."""
    histogram, full = Tracker(extractor=ColorHistogram()), Tracker()
    frame = np.zeros((180, 320, 3), np.uint8)
    for moment in moments(STREET)[:30]:
        yield "looks", full.step(frame, moment.dets, embeddings=moment.features)
        # Boxes have the same colour. People are far apart, so positions decide the matches.
        apart = moment.dets[(moment.people >= 0) & (moment.people % 5 == 0)]
        yield "histogram", histogram.step(frame, apart)


def refused() -> Scenes:
    """Track a scene with and without rejected steps in between."""
    for part, make in (("looks", lambda: None), ("gallery", lambda: gallery("lenient"))):
        plain, asked = Tracker(gallery=make()), Tracker(gallery=make())
        for t, moment in enumerate(moments(STREET)):
            yield f"{part}, without", plain.step(None, moment.dets, embeddings=moment.features)
            if t and t % 5 == 0:
                refuse(asked, moment.dets, moment.features)
            yield f"{part}, with", asked.step(None, moment.dets, embeddings=moment.features)
    plain_group, asked_group = (
        TrackerGroup([Tracker(), Tracker(config("paper"))]) for _ in range(2)
    )
    for t in range(40):
        two = moments(STREET)[t], moments(STREET)[30 + t]
        dets, features = [m.dets for m in two], [m.features for m in two]
        for camera, tracks in enumerate(plain_group.step(None, dets, embeddings=features)):
            yield f"group {camera}, without", tracks
        if t and t % 5 == 0:
            refuse_group(asked_group, dets, features)
        for camera, tracks in enumerate(asked_group.step(None, dets, embeddings=features)):
            yield f"group {camera}, with", tracks


def refused_frames() -> Scenes:
    """Track a scene with frames and an extractor, with and without rejected steps."""
    pictures = Pictures(SQUARE)
    failing = Failing()
    plain, asked = Tracker(extractor=Strips()), Tracker(extractor=failing)
    for t, moment in enumerate(moments(SQUARE)[:20]):
        frame, dets = pictures.show(t, moment, shaken(SQUARE, t))
        yield "without", plain.step(frame, dets)
        if t % 10 == 5:
            refuse_frames(asked, frame, dets, failing)
        yield "with", asked.step(frame, dets)


SOURCES: dict[str, Callable[[], Scenes]] = {
    **{name: partial(configured, name) for name in CONFIGS},
    **{
        source.__name__: source
        for source in (
            classes,
            forms,
            gaps,
            sometimes,
            crowds,
            resets,
            galleries,
            groups,
            cameras,
            group_frames,
            dark,
            refused,
            refused_frames,
        )
    },
}
