"""The camera's motion against known ones: of textures, of the generated crowd, of real frames."""

from itertools import pairwise, permutations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sslmot import Tracker, TrackerConfig, _core
from sslmot._core import _testing
from sslmot.data.mot import Sequence
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.inputs import read_detections
from sslmot.tracking.camera import camera_motion, preprocess, zoom

NOBODY = np.empty((0, 4), np.float32)


def similarity(turn, zoom, shift, centre):
    """(2, 3): a turn and a zoom about a centre, then a shift."""
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, centre - linear @ centre + shift])


def after(first, second):
    """One affine after another."""
    return (np.vstack([second, [0, 0, 1]]) @ np.vstack([first, [0, 0, 1]]))[:2]


def boxes_by_loops(boxes, affine):
    """Upright boxes (N, 4) xyxy as a camera that moved sees them."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    state = moved_by_loops(np.hstack([centre, size])[:, None], affine)[:, 0]
    half = state[:, 2:] / 2
    return np.hstack([state[:, :2] - half, state[:, :2] + half]).astype(np.float32)


def inverse(affine):
    return np.linalg.inv(np.vstack([affine, [0, 0, 1]]))[:2]


def film(image, affine, width, height):
    """What a camera sees of an image; the affine takes the image's pixels to the camera's."""
    # OpenCV counts from the middle of the first pixel.
    half = np.array([[1, 0, -0.5], [0, 1, -0.5]])
    matrix = after(after(inverse(half), affine), half)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC)


def error(estimate, truth, width, height):
    """How far apart two affines are, pixels: the median over the picture."""
    x, y = np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 9))
    points = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return np.median(np.linalg.norm(points @ (np.asarray(estimate) - truth).T, axis=1))


def texture(rng, width, height, grain=8):
    """Blotches in all colours, of some pixels and of many, like the things in real pictures."""
    world = np.full((height, width, 3), 128, np.float32)
    for size in (grain, 3 * grain, 9 * grain):
        noise = rng.normal(0, 30, (height // size + 1, width // size + 1, 3))
        world += cv2.resize(np.float32(noise), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(world, 0, 255).astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    turn=st.floats(-0.1, 0.1),
    zoom=st.floats(0.93, 1.07),
    shift=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
def test_turn_zoom_and_shift_of_a_texture(seed, turn, zoom, shift):
    world = texture(np.random.default_rng(seed), 800, 600)
    corner = np.array([[1, 0, -80.0], [0, 1, -60]])
    truth = similarity(turn, zoom, shift, (320, 240))
    before = preprocess(film(world, corner, 640, 480), NOBODY)
    now = preprocess(film(world, after(corner, truth), 640, 480), NOBODY)
    estimate = camera_motion(before, now)
    if error(truth, np.eye(2, 3), 640, 480) > 1:
        assert estimate is not None
    if estimate is not None:
        assert estimate.dtype == np.float32
        assert error(estimate, truth, 640, 480) < 0.3


@pytest.mark.parametrize("size", [(640, 480), (1281, 719), (1920, 1080), (3001, 1001)])
def test_pixels_are_those_of_the_frame(size):
    """Whatever the frame was shrunk by, also where that leaves a rest."""
    truth = similarity(0.06, 1.05, np.multiply(size, (0.02, -0.01)), np.divide(size, 2))
    world = texture(np.random.default_rng(0), *size, grain=size[0] // 64)
    estimate = camera_motion(
        preprocess(world, NOBODY), preprocess(film(world, truth, *size), NOBODY)
    )
    assert error(estimate, truth, *size) < 0.1 * size[0] / 640


# Turn (radians), zoom and shift (pixels) of each frame's camera against the first one's.
CAMERAS = {
    "stands": lambda t, rng: (0, 1, (0, 0)),
    "pans": lambda t, rng: (0, 1, (-12.5 * t, 2.25 * t)),
    "zooms": lambda t, rng: (0, 1.015**t, (0, 0)),
    "turns": lambda t, rng: (0.01 * t, 1, (0, 0)),
    "shakes": lambda t, rng: (
        rng.normal(0, 0.01),
        np.exp(rng.normal(0, 0.005)),
        rng.normal(0, 15, 2),
    ),
}


@pytest.fixture(scope="module")
def crowd():
    """Frames of a camera that stands, and their detected boxes."""
    crowd = Crowd(CrowdConfig(people=20, frames=4, width=2304, height=1296))
    return [(crowd.frame(t), crowd.detections(t)[:, :4]) for t in range(len(crowd))]


@pytest.mark.parametrize("boxed", [True, False], ids=["boxes", "no boxes"])
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.processor
def test_a_camera_in_front_of_the_generated_crowd(crowd, camera, boxed):
    rng, filmed = np.random.default_rng(0), []
    for t, (frame, boxes) in enumerate(crowd):
        middle = np.array([[1, 0, -192.0], [0, 1, -108]])
        pose = after(middle, similarity(*CAMERAS[camera](t, rng), (960, 540)))
        # Upright boxes of the people, as the camera sees them.
        seen = boxes_by_loops(boxes, pose) if boxed else NOBODY
        filmed.append((preprocess(film(frame, pose, 1920, 1080), seen), pose))
    for (before, pose), (now, next_pose) in pairwise(filmed):
        estimate = camera_motion(before, now)
        if camera == "stands":
            assert estimate is None
        else:
            assert error(estimate, after(inverse(pose), next_pose), 1920, 1080) < 1


def test_people_who_move_are_no_camera():
    rng = np.random.default_rng(0)
    street, coat = texture(rng, 1280, 720), texture(rng, 200, 600)

    def scene(x, *boxes):
        frame = street.copy()
        for left in (x, 300 + x, 600 + x):
            frame[60:660, left : left + 200] = coat
        return preprocess(frame, np.array(boxes, np.float32).reshape(-1, 4))

    assert camera_motion(scene(100), scene(112)) is None
    boxes = [(left, 60, left + 200, 660) for left in (100, 400, 700)]
    assert camera_motion(scene(100, *boxes), scene(112)) is None


def test_a_camera_that_follows_people_moves():
    rng = np.random.default_rng(0)
    street, coats = texture(rng, 1280, 720), texture(rng, 900, 720)
    truth = np.array([[1, 0, 20.0], [0, 1, 0]])
    frame, later = street.copy(), film(street, truth, 1280, 720)
    frame[:, 200:1100] = later[:, 200:1100] = coats
    now = preprocess(later, NOBODY)
    people = preprocess(frame, np.float32([[200, -50, 1100, 800]]))
    assert error(camera_motion(people, now), truth, 1280, 720) < 0.5
    # Nobody said that they are people, and most of the picture stands still.
    assert camera_motion(preprocess(frame, NOBODY), now) is None


@pytest.mark.parametrize("light", [0.9, 0.95, 1.05, 1.1])
def test_light_that_changes_is_no_camera(crowd, light):
    (frame, _), (later, _) = crowd[:2]
    later = cv2.convertScaleAbs(later, alpha=light)
    assert camera_motion(preprocess(frame, NOBODY), preprocess(later, NOBODY)) is None


def test_nothing_is_said_of_what_shows_nothing():
    rng = np.random.default_rng(0)
    street = texture(rng, 640, 480)
    moved = np.roll(street, 10, axis=1)
    blank = preprocess(np.full((480, 640, 3), 90, np.uint8), NOBODY)
    hidden = preprocess(street, np.float32([[-1e9, -1e9, 1e9, 1e9]]))
    noise = [
        preprocess(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8), NOBODY) for _ in range(2)
    ]
    assert camera_motion(preprocess(street, NOBODY), preprocess(moved, NOBODY)) is not None
    assert camera_motion(blank, blank) is None
    assert camera_motion(blank, preprocess(street, NOBODY)) is None
    assert camera_motion(preprocess(street, NOBODY), blank) is None
    assert camera_motion(hidden, preprocess(moved, NOBODY)) is None
    assert camera_motion(*noise) is None


def test_a_cut_is_no_motion(crowd):
    rng = np.random.default_rng(0)
    here = crowd[0][0][:720, :1280]
    elsewhere = Crowd(CrowdConfig(people=20, frames=1, seed=1)).frame(0)
    scenes = [here, here[:, ::-1], here[::-1], elsewhere]
    scenes += [texture(rng, 1280, 720, grain) for grain in (8, 32)]
    for before, now in permutations([preprocess(scene, NOBODY) for scene in scenes], 2):
        assert camera_motion(before, now) is None


@pytest.mark.parametrize(
    "wild",
    [(0, 1, (140, 0)), (0, 1, (0, -200)), (0.4, 1, (0, 0)), (0, 1.4, (0, 0)), (0, 0.6, (0, 0))],
)
def test_no_camera_is_that_fast(wild):
    world = texture(np.random.default_rng(0), 640, 480, grain=48)
    moved = film(world, similarity(*wild, (320, 240)), 640, 480)
    assert camera_motion(preprocess(world, NOBODY), preprocess(moved, NOBODY)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 1400), (17, 17), (16, 640)])
def test_frames_of_any_size(size):
    rng = np.random.default_rng(0)
    before, now = (
        preprocess(rng.integers(0, 256, (*size, 3), dtype=np.uint8), NOBODY) for _ in "ab"
    )
    assert camera_motion(before, now) is None


def test_the_same_frames_give_the_same_motion_and_are_left_as_they_are(crowd):
    frame, boxes = crowd[0]
    moved = film(frame, similarity(0.02, 1.01, (9, 4), (1000, 600)), 2304, 1296)
    inputs = [frame, boxes, moved]
    copies = [array.copy() for array in inputs]
    before, now = preprocess(frame, boxes), preprocess(moved, boxes)
    parts = [before.grey, before.ground, now.grey, now.ground]
    copies += [array.copy() for array in parts]
    motion = camera_motion(before, now)
    for seed in range(3):
        cv2.setRNGSeed(seed)
        again = camera_motion(preprocess(frame, boxes), preprocess(moved, boxes))
        assert again.tobytes() == motion.tobytes()
    for array, copy in zip([*inputs, *parts], copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_views_of_arrays_are_frames_too(crowd):
    frame = crowd[0][0]
    for view in (frame[::-1], frame[..., ::-1], frame[::2, ::2], frame[:, 100:900]):
        view.flags.writeable = False
        np.testing.assert_array_equal(
            preprocess(view, NOBODY).grey, preprocess(view.copy(), NOBODY).grey
        )


def test_no_pixel_of_a_box_is_ground():
    boxes = np.float32([[100.5, 40, 203, 300], [-30, 500, 20, 900], [1270, -9, 2000, 5]])
    view = preprocess(np.zeros((720, 1280, 3), np.uint8), boxes)
    assert view.scale == 2
    expected = np.full((360, 640), 255)
    expected[20:150, 50:102] = expected[250:, :10] = expected[:3, 635:] = 0
    np.testing.assert_array_equal(view.ground, expected)


def moved_by_loops(state, affine):
    """One number after the other, float64."""
    (a, b, x), (c, d, y) = np.float64(affine)
    zoom = abs(a * d - b * c) ** 0.5
    out = np.zeros(state.shape)
    for track, rows in enumerate(np.float64(state)):
        for k, (cx, cy, w, h) in enumerate(rows):
            if k == 0:
                out[track, k] = a * cx + b * cy + x, c * cx + d * cy + y, zoom * w, zoom * h
            elif k == 1:
                out[track, k] = a * cx + b * cy, c * cx + d * cy, zoom * w, zoom * h
            else:
                # The diagonal of L C L' where C is diagonal and L a turn and a zoom.
                out[track, k] = (
                    a * a * cx + b * b * cy,
                    c * c * cx + d * d * cy,
                    zoom * zoom * w,
                    zoom * zoom * h,
                )
    return out


def filmed(rng, tracks, motion):
    """A tracker that saw some things move for a while, not each of them in each frame."""
    config = TrackerConfig(
        motion=motion,
        ema=0.5,
        motion_weight=0.0,
        max_age=1 / 30,
    )
    tracker, start = Tracker(config), rng.uniform(10, 500, (tracks, 2, 2)).cumsum(axis=1)
    for t in range(4):
        rows = np.flatnonzero(rng.random(tracks) < (0.6 if t > 1 else 1))
        boxes = start.reshape(-1, 4)[rows] + rng.normal(0, 5, (len(rows), 4))
        boxes[:, 2:] = np.maximum(boxes[:, :2] + 1, boxes[:, 2:])
        # Each of a class of its own, so that it is taken for itself.
        dets = np.column_stack([boxes, np.ones(len(rows)), rows])
        tracker.step(dets=dets, embeddings=np.ones((len(rows), 1)))
    return tracker


def empty_frame(tracker, affine):
    """The tracker's next frame, in which there is nothing, after the camera moved."""
    return tracker.table.prepare(read_detections([]), affine=affine, zoom=zoom(affine))


def commit(tracker, step):
    table = tracker.table
    _core.associate_steps([step])
    table.commit(step, tracker.history)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    tracks=st.integers(0, 5),
    turn=st.floats(-0.5, 0.5),
    scale=st.floats(0.7, 1.4),
)
@pytest.mark.parametrize("motion", ["kalman", "none"])
def test_tracks_move_with_the_picture(motion, seed, tracks, turn, scale):
    """Those that are followed, their last boxes, and those that are lost."""
    rng = np.random.default_rng(seed)
    tracker = filmed(rng, tracks, motion)
    table, rows = tracker.table, 5 if motion == "kalman" else 1
    affine = similarity(turn, scale, rng.normal(0, 50, 2), (300, 200)).astype(np.float32)
    before, lost = table.tracks, table.lost
    # Each was matched with itself, and was seen often enough to be kept when it is lost.
    assume(len(before["ids"]) + len(lost["ids"]) == tracks and (before["hits"] > 0).all())
    expected = moved_by_loops(before["state"].reshape(-1, rows, 4), affine)
    step = empty_frame(tracker, affine)
    for name, values in table.tracks.items():
        np.testing.assert_array_equal(values, before[name])
    if motion == "kalman":
        there = _testing.predict(np.float32(expected), before["time_since_update"] + 1 / 30)
    else:
        there = boxes_by_loops(corners(expected[:, 0]), np.eye(2, 3))
    np.testing.assert_allclose(step.predicted, there, rtol=2e-4, atol=5e-3)
    commit(tracker, step)
    after = table.tracks
    followed = np.isin(before["classes"], after["classes"])
    assert (before["time_since_update"][~followed] > 0).all()
    state = after["state"].reshape(-1, rows, 4)
    np.testing.assert_allclose(state, expected[followed], rtol=2e-4, atol=1e-3)
    boxes = np.vstack([before["boxes"][followed], before["boxes"][~followed], lost["boxes"]])
    kinds = [before["classes"][followed], before["classes"][~followed], lost["classes"]]
    moved = dict(zip(np.concatenate(kinds), boxes_by_loops(boxes, affine), strict=True))
    for some in (after, table.lost):
        there = np.reshape([moved[kind] for kind in some["classes"]], (-1, 4))
        np.testing.assert_allclose(some["boxes"], there, rtol=2e-4, atol=5e-3)
    assert len(after["ids"]) + table.lost_count == tracks


def corners(boxes):
    """(N, 4) (cx, cy, w, h) -> xyxy."""
    half = boxes[:, 2:] / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])


@pytest.mark.parametrize("motion", ["kalman", "none"])
def test_a_still_picture_leaves_tracks_as_they_are(motion):
    tracker = Tracker(TrackerConfig(motion=motion))
    tracker.step(dets=[[80, 150, 120, 250]])
    before = tracker.table.tracks["state"]
    still = tracker.table.prepare(read_detections([])).predicted
    step = empty_frame(tracker, np.eye(2, 3, dtype=np.float32))
    np.testing.assert_array_equal(step.predicted, still)
    commit(tracker, step)
    np.testing.assert_array_equal(tracker.table.tracks["state"], before)


@pytest.fixture(scope="module")
def sequence(data_root):
    folder = data_root / "MOT17" / "train" / "MOT17-09-FRCNN"
    if not (folder / "img1").is_dir():
        pytest.skip(f"no frames in {folder}")
    return Sequence.open(folder)


def test_the_camera_of_mot17_09_stands(sequence):
    """Of all 524 pairs of frames one is found to move, by a pixel in a corner."""
    detections = sequence.detections()
    for t in range(1, sequence.length, 60):
        before, now = (preprocess(sequence.frame(k), detections[k][:, :4]) for k in (t, t + 1))
        assert camera_motion(before, now) is None


@pytest.mark.processor
def test_known_motions_of_real_frames(sequence):
    detections, rng, errors = sequence.detections(), np.random.default_rng(0), []
    for t in range(1, sequence.length, 60):
        truth = similarity(
            rng.normal(0, 0.02), np.exp(rng.normal(0, 0.02)), rng.normal(0, 20, 2), (960, 540)
        )
        before = preprocess(sequence.frame(t), detections[t][:, :4])
        now = preprocess(film(sequence.frame(t + 1), truth, 1920, 1080), NOBODY)
        errors.append(error(camera_motion(before, now), truth, 1920, 1080))
    assert np.median(errors) < 0.4
    assert max(errors) < 1


# In the tracker.

SHAKE = np.cumsum(np.random.default_rng(1).choice([-30, 30], (12, 2)), axis=0)
PAN = np.outer(np.arange(12), (30, 0))


@pytest.fixture(scope="module")
def street():
    return texture(np.random.default_rng(0), 1280, 900)


def shot(street, corner, *people):
    """What a camera shows of a street, and the boxes of people who stand there."""
    x, y = np.add(corner, (250, 200))
    boxes = np.array([(px, py, px + 24, py + 60) for px, py in people], np.float32).reshape(-1, 4)
    return street[y : y + 480, x : x + 640], boxes - np.float32([x, y, x, y])


ROW = [(700 + 40 * k, 450) for k in range(5)]


@pytest.mark.parametrize("motion", ["kalman", "none"])
@pytest.mark.parametrize("path", [SHAKE, PAN], ids=["shake", "pan"])
def test_ids_hold_when_the_camera_moves(street, path, motion):
    """By their boxes, which jump onto the neighbour's: all look alike."""

    def ids(camera):
        config = TrackerConfig(camera_motion=camera, motion=motion, ema=0.5)
        tracker = Tracker(config, extractor=lambda frame, boxes: np.ones((len(boxes), 2)))
        return [tracker.step(*shot(street, corner, *ROW)).ids.tolist() for corner in path]

    assert ids(camera=True) == [[1, 2, 3, 4, 5]] * 12
    if (path is SHAKE) or motion == "none":  # a filter follows a pan
        assert ids(camera=False)[-1] != [1, 2, 3, 4, 5]


@pytest.mark.parametrize("camera", [True, False])
def test_who_is_lost_moves_with_the_picture(street, camera):
    config = TrackerConfig(
        camera_motion=camera,
        max_age=2 / 30,
        motion="none",
        instant_confirm_score=9,
        reid_false_alarms=np.inf,
    )
    tracker, look = Tracker(config), np.float32([[1, 0]])
    for _ in range(3):
        tracks = tracker.step(*shot(street, (0, 0), ROW[0]), embeddings=look)
    assert tracks.ids.tolist() == [1]
    for corner in PAN[1:8]:
        tracker.step(shot(street, corner)[0])
    assert tracker.table.tracks["ids"].tolist() == []
    frame, boxes = shot(street, PAN[7], ROW[0])
    if camera:
        np.testing.assert_allclose(tracker.table.lost["boxes"], boxes, atol=1)
    for _ in range(2):
        tracks = tracker.step(frame, boxes, embeddings=look)
    assert tracks.ids.tolist() == ([1] if camera else [2])


def test_a_rejected_frame_is_not_looked_at(street):
    """Two trackers see the same video; one is also given a bad frame, and cannot be told apart."""
    looks = np.eye(5, dtype=np.float32)
    plain, disturbed = Tracker(), Tracker()
    for t, corner in enumerate(PAN):
        frame, boxes = shot(street, corner, *ROW)
        if t in (1, 5):
            view = disturbed.history.grey
            with pytest.raises(ValueError, match="embeddings: expected finite"):
                disturbed.step(frame[::-1], boxes, embeddings=np.nan * looks)
            assert disturbed.history.grey is view
        for tracker in (plain, disturbed):
            assert tracker.step(frame, boxes, embeddings=looks).ids.tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_array_equal(plain.table.tracks["state"], disturbed.table.tracks["state"])


def test_another_video_is_another_view(street):
    tracker = Tracker(extractor=lambda frame, boxes: np.zeros((len(boxes), 2)))
    for corner in PAN[:3]:
        frame, boxes = shot(street, corner, *ROW)
        tracker.step(frame, boxes)
    tracker.reset()
    assert tracker.history.grey is None
    for _ in range(2):
        tracks = tracker.step(frame[:400, :500], boxes)
    assert tracks.ids.tolist() == [1, 2, 3, 4, 5]


def test_a_frame_that_is_not_there_says_nothing_of_the_camera(street):
    """Nor does the next one, since nobody knows what was between."""
    tracker = Tracker(TrackerConfig(motion="none"))
    frame, boxes = shot(street, (0, 0), *ROW)
    tracker.step(frame, boxes, embeddings=np.eye(5))
    tracker.step(None)
    for corner, moved in ((40, 0), (70, 30)):
        tracker.step(shot(street, (corner, 0))[0])
        expected = boxes - np.float32([moved, 0, moved, 0])
        np.testing.assert_allclose(tracker.table.tracks["boxes"], expected, atol=0.5)
