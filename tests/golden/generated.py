"""Scenes that need no data: each setting, and each way to use a tracker."""

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
from .pictures import Look, Pictures, shaken, still
from .recording import Scenes
from .refusals import Failing, refuse, refuse_frames, refuse_group
from .settings import CONFIGS, IMPATIENT, NO_CAMERA, config, gallery

STREET = Street("street")
SQUARE = Street("square", people=6, frames=36, width=320, height=180, jumps=0.005, false=0.3)
LONG = Street("long", people=4, frames=240, gaps=((30, 0.25), (100, 0.4)), false=0.1, copies=0.02)


@cache
def moments(street: Street) -> tuple[Moment, ...]:
    return tuple(street)


def configured(name: str) -> Scenes:
    """One setting: the street by looks and motion, and by motion alone."""
    looks, motion = Tracker(config(name)), Tracker(config(name))
    for moment in moments(STREET):
        yield "detections", moment.dets
        yield "features", moment.looks
        yield "looks", looks.step(None, moment.dets, embeddings=moment.looks)
        yield "motion", motion.step(None, moment.dets)


def classes() -> Scenes:
    """Two classes; three of which a few detections have another than before; negative ones."""
    steady, changing, motion = (Tracker(TrackerConfig()) for _ in range(3))
    for t, moment in enumerate(moments(STREET)):
        of = moment.people % 2
        wrong = uniform(f"classes/{t}", len(of)) < 0.05
        labels = np.where(wrong, (moment.people + 1) % 3, moment.people % 3) - 1
        dets = labelled(moment, labels)
        yield "two", steady.step(None, labelled(moment, of), embeddings=moment.looks)
        yield "changing", changing.step(None, dets, embeddings=moment.looks)
        yield "motion", motion.step(None, dets)


def forms() -> Scenes:
    """Detections without score, as lists, whole numbers, float64; looks of other floats."""
    plain, listed, whole, wide = (Tracker(TrackerConfig()) for _ in range(4))
    for t, moment in enumerate(moments(STREET)):
        dets, looks = moment.dets, moment.looks
        yield "no score", plain.step(None, dets[:, :4], embeddings=looks)
        rows = dets[:, : 4 + t % 2].tolist()
        yield "lists", listed.step(dets=rows, embeddings=looks.astype(np.float16))
        yield "whole", whole.step(None, np.rint(dets[:, :4]).astype(np.int32), embeddings=looks)
        some = np.asfortranarray(dets, np.float64), np.asfortranarray(looks, np.float64)
        yield "float64", wide.step(None, some[0], embeddings=some[1])


def gaps() -> Scenes:
    """People who are away for up to some hundred frames, and come back elsewhere."""
    trackers = {
        "default": Tracker(),
        "motion": Tracker(TrackerConfig()),
        "motion, re-update": Tracker(config("reupdate")),
        "no memory": Tracker(config("no memory")),
        "impatient": Tracker(TrackerConfig(**IMPATIENT)),  # type: ignore[arg-type]
        "walk": Tracker(config("walk")),
        "no walk": Tracker(config("no walk")),
        "paper": Tracker(config("paper")),
    }
    for moment in moments(LONG):
        for name, tracker in trackers.items():
            looks = None if "motion" in name else moment.looks
            yield name, tracker.step(None, moment.dets, embeddings=looks)


def sometimes() -> Scenes:
    """Looks in some frames only, none at first; frames without detections, without anything."""
    tracker, empty, late = (Tracker(TrackerConfig()) for _ in range(3))
    for t, moment in enumerate(moments(STREET)):
        looks = moment.looks if t >= 5 and t % 7 < 5 else None
        yield "looks", tracker.step(None, moment.dets, embeddings=looks)
        nothing = [(), np.empty((0, 5)), np.empty((0, 6), np.float32), []][t % 4]
        pause = t % 9 == 4 or 30 <= t < 38
        if pause:
            yield "pauses", empty.step(None, nothing, embeddings=np.empty((0, STREET.dim)))
        else:
            yield "pauses", empty.step(None, moment.dets, embeddings=moment.looks)
        if t >= 3:
            yield "late", late.step(None, *([moment.dets] if t >= 10 else []))


def crowds() -> Scenes:
    """Many people, very many, few, and piles of them: some boxes are the same."""
    many = Street("many", people=50, frames=25, width=1280, height=720, jumps=0.0)
    most = Street("most", people=200, frames=6, width=1920, height=1080, gaps=((5, 0.1),))
    pile = Street("pile", people=12, frames=40, width=100, height=60, speed=2, dim=16)
    one = Street("one", people=1, frames=60, misses=0.2)
    for street in (many, most, pile, one):
        looks, motion, paper = Tracker(), Tracker(), Tracker(config("paper"))
        for moment in street:
            yield f"{street.name}, looks", looks.step(None, moment.dets, embeddings=moment.looks)
            yield f"{street.name}, motion", motion.step(None, moment.dets)
            yield f"{street.name}, paper", paper.step(None, moment.dets, embeddings=moment.looks)
    same, apart = Tracker(), Tracker()
    for t, moment in enumerate(pile):
        dets = moment.dets.copy()
        dets[::2, :4] = dets[:1, :4]
        yield "same boxes", same.step(None, dets, embeddings=moment.looks)
        # Boxes without width or height, and some far out of any picture.
        dets[1::3, 2] = dets[1::3, 0]
        dets[2::5, 3] = dets[2::5, 1]
        dets[3::7, :4] += 100_000 * (t % 2)
        yield "odd boxes", apart.step(None, dets, embeddings=moment.looks)


def resets() -> Scenes:
    """Another video in the middle, with and without a gallery."""
    alone, known = Tracker(), Tracker(gallery=gallery("lenient"))
    for t, moment in enumerate(moments(STREET)):
        if t in (25, 26, 50):
            alone.reset()
            known.reset()
        yield "alone", alone.step(None, moment.dets, embeddings=moment.looks)
        yield "gallery", known.step(None, moment.dets, embeddings=moment.looks)


def galleries() -> Scenes:
    """Shared by two trackers in turn, saved and loaded, full, and of other settings."""
    for name in ("default", "lenient", "strict", "small"):
        shared = gallery(name)
        here, there = Tracker(gallery=shared), Tracker(config("patience"), gallery=shared)
        # The same people at another place and time.
        half = STREET.frames // 2
        for first, second in zip(moments(STREET)[:half], moments(STREET)[half:], strict=True):
            yield f"{name}, here", here.step(None, first.dets, embeddings=first.looks)
            yield f"{name}, there", there.step(None, second.dets, embeddings=second.looks)
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
                yield part, tracker.step(None, moment.dets, embeddings=moment.looks)


def groups() -> Scenes:
    """Three cameras in step: of other settings, with frames that are missing, with a gallery."""
    for part, shared in (("apart", None), ("gallery", gallery("lenient"))):
        names = ("default", "paper", "confirm 2")
        group = TrackerGroup([Tracker(config(name), gallery=shared) for name in names])
        for t in range(50):
            three = [moments(STREET)[t + 10 * camera] for camera in range(3)]
            missing = [t % (5 + camera) == camera for camera in range(3)]
            dets = [[] if gone else m.dets for m, gone in zip(three, missing, strict=True)]
            looks = [None if gone else m.looks for m, gone in zip(three, missing, strict=True)]
            if shared is None and t % 11 == 3:
                looks[t % 3] = None
            for camera, tracks in enumerate(group.step(None, dets, embeddings=looks)):
                yield f"{part}, {camera}", tracks
            if t == 35:
                group.reset()
    group = TrackerGroup([Tracker(TrackerConfig()), Tracker(config("no rescue"))])
    for t in range(40):
        dets = [moments(STREET)[t].dets, moments(STREET)[30 + t].dets]
        for camera, tracks in enumerate(group.step(None, dets)):
            yield f"motion, {camera}", tracks


SQUARE = Street("square", people=6, frames=36, width=320, height=180, jumps=0.005, false=0.3)


def cameras() -> Scenes:
    """Frames of a camera that shakes, pans and zooms, and of one that stands still."""
    pictures = Pictures(SQUARE)
    for part, looking in (("shaken", shaken), ("still", still)):
        trackers = {
            "looks": Tracker(),
            "no camera": Tracker(TrackerConfig(**NO_CAMERA)),  # type: ignore[arg-type]
            "no motion": Tracker(config("no motion")),
            "histogram": Tracker(extractor=ColorHistogram()),
            "function": Tracker(extractor=Strips().__call__),
        }
        if looking is still:
            del trackers["no camera"], trackers["no motion"]
        for t, moment in enumerate(moments(SQUARE)):
            frame, dets = pictures.show(t, moment, looking(SQUARE, t))
            if t in (15, 16):  # a cut to black
                frame[:] = 0
            yield "pixels", frame
            for name, tracker in trackers.items():
                given = name in ("looks", "no camera", "no motion")
                looks = moment.looks if given else None
                # Now and then there is no frame.
                shown = None if given and t % 13 == 10 else frame
                yield f"{part}, {name}", tracker.step(shown, dets, embeddings=looks)


def group_frames() -> Scenes:
    """Cameras of one group with extractors: shared, their own, of several frames at once."""
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
            pictures.show(t, moment, look)
            for look in (shaken(SQUARE, t), still(SQUARE, t), Look(180, 150, 200))
        ]
        frames = [None if t % 7 == 2 + camera else view[0] for camera, view in enumerate(views)]
        dets = [[] if t % 9 == camera else view[1] for camera, view in enumerate(views)]
        for camera, tracks in enumerate(group.step(frames, dets)):
            yield str(camera), tracks


def dark() -> Scenes:
    """Frames that are black: nothing is told apart, and no camera moves."""
    histogram, looks = Tracker(extractor=ColorHistogram()), Tracker()
    frame = np.zeros((180, 320, 3), np.uint8)
    for moment in moments(STREET)[:30]:
        yield "looks", looks.step(frame, moment.dets, embeddings=moment.looks)
        # Boxes of one colour cost the same: people stand apart, so that places decide.
        apart = moment.dets[(moment.people >= 0) & (moment.people % 5 == 0)]
        yield "histogram", histogram.step(frame, apart)


def refused() -> Scenes:
    """The same scene with steps that are refused in between, and without them."""
    for part, make in (("looks", lambda: None), ("gallery", lambda: gallery("lenient"))):
        plain, asked = Tracker(gallery=make()), Tracker(gallery=make())
        for t, moment in enumerate(moments(STREET)):
            yield f"{part}, without", plain.step(None, moment.dets, embeddings=moment.looks)
            if t and t % 5 == 0:
                refuse(asked, moment.dets, moment.looks)
            yield f"{part}, with", asked.step(None, moment.dets, embeddings=moment.looks)
    plain_group, asked_group = (
        TrackerGroup([Tracker(), Tracker(config("paper"))]) for _ in range(2)
    )
    for t in range(40):
        two = moments(STREET)[t], moments(STREET)[30 + t]
        dets, looks = [m.dets for m in two], [m.looks for m in two]
        for camera, tracks in enumerate(plain_group.step(None, dets, embeddings=looks)):
            yield f"group {camera}, without", tracks
        if t and t % 5 == 0:
            refuse_group(asked_group, dets, looks)
        for camera, tracks in enumerate(asked_group.step(None, dets, embeddings=looks)):
            yield f"group {camera}, with", tracks


def refused_frames() -> Scenes:
    """Likewise with frames and an extractor, which may fail too."""
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
