import runpy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.walk import COLUMN

SMALL = CrowdConfig(width=640, height=360, frames=60)
PERFECT = replace(SMALL, noise=0, jitter=0, misses=0, false_positives=0)


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(PERFECT)


def put(crowd, places):
    """Let all people stand still, facing right, at places (x, depth)."""
    walk = crowd._walk
    for part in (walk.heading, walk.phase, walk.swing):
        part[:] = 0
    walk.position[:] = places
    return crowd


def test_everything_follows_from_the_seed():
    one, other = Crowd(SMALL), Crowd(SMALL)
    late, early = one.frame(50), one.frame(3)
    assert np.array_equal(other.frame(3), early)  # in another order
    assert np.array_equal(other.frame(50), late)
    assert np.array_equal(one.detections(50), other.detections(50))
    for a, b in zip(one.truth(50), other.truth(50), strict=True):
        assert np.array_equal(a, b)
    third = Crowd(replace(SMALL, seed=1))
    assert not np.array_equal(third.frame(3), early)
    assert not np.array_equal(third.truth(3).boxes, one.truth(3).boxes)


def test_returned_arrays_belong_to_the_caller():
    crowd = Crowd(SMALL)
    before = crowd.truth(0)
    for array in (crowd.frame(0), crowd.detections(0), crowd.labels(0), *crowd.truth(0)):
        array[:] = 0
    for a, b in zip(before, crowd.truth(0), strict=True):
        assert np.array_equal(a, b)


def test_shapes_and_types(crowd):
    ids, boxes, visibility = crowd.truth(0)
    frame, labels, detections = crowd.frame(0), crowd.labels(0), crowd.detections(0)
    assert (frame.shape, frame.dtype) == ((360, 640, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((360, 640), np.uint8)
    assert detections.shape[1] == 5
    assert boxes.shape == (len(ids), 4)
    assert visibility.shape == ids.shape
    assert detections.dtype == boxes.dtype == visibility.dtype == np.float32
    assert ids.dtype == np.int64
    assert len(crowd) == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [("people", 251), ("frames", 0), ("width", 10), ("frame_rate", 0), ("misses", 1.5),
     ("jitter", float("nan")), ("seed", -1), ("people", 2.0), ("width", "640"), ("noise", True)],
)  # fmt: skip
def test_config_names_the_wrong_field(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .* got {value!r}$"):
        CrowdConfig(**{name: value})


@pytest.mark.parametrize("t", [-1, 60])
@pytest.mark.parametrize("method", ["frame", "truth", "labels", "detections"])
def test_frame_number_out_of_range(crowd, method, t):
    with pytest.raises(IndexError, match=f"t: expected 0 to 59, got {t}"):
        getattr(crowd, method)(t)


def test_pixels_of_a_person_lie_inside_the_box(crowd):
    for t in range(0, 60, 6):
        labels, (ids, boxes, visibility) = crowd.labels(t), crowd.truth(t)
        assert set(np.unique(labels)) - {0} <= set(ids)
        assert len(set(ids)) == len(ids)
        for identity, box, share in zip(ids, boxes, visibility, strict=True):
            y, x = np.nonzero(labels == identity)
            assert (len(x) > 0) == (share > 0)
            if len(x):
                seen = np.array((x.min(), y.min(), x.max() + 1, y.max() + 1))
                assert (seen[:2] >= box[:2] - 1.5).all()
                assert (seen[2:] <= box[2:] + 1.5).all()
                if share == 1:
                    np.testing.assert_allclose(seen, box, atol=1.5)


def test_people_are_drawn_at_their_ground_truth(crowd):
    no_people = Crowd(replace(PERFECT, people=0))
    assert len(no_people.detections(0)) == len(no_people.truth(0).ids) == 0
    for t in (0, 30):
        frame, empty = crowd.frame(t).astype(int), no_people.frame(t).astype(int)
        painted = np.abs(frame - empty).max(axis=2) > 12
        assert painted[crowd.labels(t) > 0].mean() > 0.9
        outside = np.ones(painted.shape, bool)
        for x1, y1, x2, y2 in crowd.truth(t).boxes:
            outside[max(0, int(y1) - 1) : int(y2) + 2, max(0, int(x1) - 1) : int(x2) + 2] = False
        # Elsewhere, people change only the shadows.
        assert (frame - empty)[outside].max() <= 1
        assert (frame - empty)[outside].min() < -20


def test_a_person_behind_another_is_hidden():
    crowd = put(Crowd(replace(PERFECT, people=2)), [(0.4, 8.6), (0.4, 8.0)])
    ids, boxes, visibility = crowd.truth(0)
    assert ids.tolist() == [1, 2]
    assert visibility[0] < 0.35
    assert visibility[1] == 1
    assert boxes[1, 3] > boxes[0, 3]  # the nearer person is lower in the picture
    (detection,) = crowd.detections(0)
    np.testing.assert_allclose(detection[:4], boxes[1], atol=0.01)

    apart = put(Crowd(replace(PERFECT, people=2)), [(-0.6, 8.6), (0.4, 8.0)])
    assert apart.truth(0).visibility.tolist() == [1, 1]
    assert len(apart.detections(0)) == 2


def test_scenery_hides_people():
    behind, before = COLUMN.depth + 1, COLUMN.depth - 1.2
    places = [(COLUMN.x * depth / COLUMN.depth, depth) for depth in (behind, before)]
    crowd = put(Crowd(replace(PERFECT, people=2)), places)
    assert crowd.truth(0).visibility[1] == 1
    alone = put(Crowd(replace(PERFECT, people=1)), places[:1])
    assert alone.truth(0).visibility.tolist() == [0]
    assert len(alone.detections(0)) == 0
    no_people = Crowd(replace(PERFECT, people=0))
    x1, y1, x2, y2 = alone.truth(0).boxes[0].astype(int)
    head = slice(y1, (y1 + y2) // 2), slice(x1, x2)  # the shadow is lower
    assert np.array_equal(alone.frame(0)[head], no_people.frame(0)[head])


def test_detections_are_plausible():
    crowd = Crowd(SMALL)
    for t in range(60):
        detections = crowd.detections(t)
        x1, y1, x2, y2, score = detections.T
        assert np.isfinite(detections).all()
        assert ((x1 < x2) & (y1 < y2)).all()
        assert min(x1.min(), y1.min()) >= 0
        assert x2.max() <= 640
        assert y2.max() <= 360
        assert (np.diff(score) <= 0).all()
        assert score.min() > 0
        assert score.max() < 1


def test_detections_follow_the_visible_part(crowd):
    for t in range(0, 60, 5):
        _, boxes, visibility = crowd.truth(t)
        detections = crowd.detections(t)
        assert (visibility >= 0.7).sum() <= len(detections) <= (visibility >= 0.35).sum()
        whole = np.clip(boxes[visibility == 1], 0, (640, 360) * 2)
        for box in whole:
            assert np.abs(detections[:, :4] - box).max(axis=1).min() < 0.01


def test_partly_hidden_people_score_less():
    crowds = (  # beside another person, and partly behind
        put(Crowd(replace(PERFECT, people=2)), [(x, 8.6), (0.4, 8.0)]) for x in (-0.6, 0.32)
    )
    (beside, behind), (whole, part) = zip(
        *((crowd.detections(0), crowd.truth(0).visibility[0]) for crowd in crowds), strict=True
    )
    assert whole == 1
    assert 0.35 < part < 0.7
    assert len(beside) == len(behind) == 2
    assert beside[:, 4].min() > behind[:, 4].min() + 0.1


def test_boxes_of_partly_hidden_people_are_cropped():
    depth = COLUMN.depth + 1
    edge = (COLUMN.x + 0.92 * COLUMN.half_width) * depth / COLUMN.depth
    crowd = put(Crowd(replace(PERFECT, people=1)), [(edge, depth)])
    _, (whole,), (share,) = crowd.truth(0)
    ((x1, _, x2, _, _),) = crowd.detections(0)
    assert 0.35 < share < 0.7
    assert x2 == pytest.approx(whole[2], abs=1)
    assert whole[0] + 1 < x1 < x2


@pytest.mark.slow
def test_people_often_vanish_and_come_back():
    crowd = Crowd(CrowdConfig(width=320, height=180))
    seen = np.full((len(crowd), crowd.config.people + 1), np.nan)
    for t in range(len(crowd)):
        ids, _, visibility = crowd.truth(t)
        seen[t, ids] = visibility
    returns = 0
    for track in seen.T[1:]:
        shown = np.flatnonzero(track > 0.5)
        # Hidden for at least a third of a second, inside the frame.
        gaps = [track[a + 1 : b] for a, b in pairwise(shown) if b - a > 10]
        returns += sum(bool((gap < 0.15).any()) and not np.isnan(gap).any() for gap in gaps)
    assert returns >= 8
    assert np.nanmax(seen[:, 1:], axis=0).min() > 0.9  # each person is visible at some time


@pytest.mark.parametrize("frame_rate", [2, 10, 60])
def test_people_walk_as_fast_at_any_frame_rate(frame_rate):
    config = replace(SMALL, frames=5 * frame_rate, frame_rate=frame_rate, width=64, height=64)
    steps = np.diff(Crowd(config)._walk.position, axis=0)
    speed = np.linalg.norm(steps, axis=2) * frame_rate
    assert 0.9 < np.median(speed) < 1.6
    assert speed.max() < 2.5


@pytest.mark.parametrize(("width", "height", "people"), [(101, 255, 30), (1921, 1079, 2)])
def test_any_size(width, height, people):
    crowd = Crowd(CrowdConfig(width=width, height=height, people=people, frames=2))
    assert crowd.frame(1).shape == (height, width, 3)
    assert np.isfinite(crowd.detections(1)).all()


def test_embedding_crowd_is_dense_and_visible():
    path = Path(__file__).parents[2] / "benchmarks" / "crowd.py"
    embedding_crowd = runpy.run_path(str(path))["embedding_crowd"]
    first, *_, last = frames = list(embedding_crowd(100, 20, 256, misses=0))
    again = list(embedding_crowd(100, 20, 256, misses=0))
    for a, b in zip(frames, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    for detections, embeddings, identities in (first, last):
        assert (detections.shape, detections.dtype) == ((100, 5), np.float32)
        assert (embeddings.shape, embeddings.dtype) == ((100, 256), np.float32)
        assert sorted(identities) == list(range(100))
        assert np.isfinite(detections).all()
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
        centre = (detections[:, :2] + detections[:, 2:4]) / 2
        size = detections[:, 2:4] - detections[:, :2]
        distance = (np.abs(centre[:, None] - centre) / size[:, None]).mean(2)
        assert 1.5 < (distance < 2.5).sum() / 100 - 1 < 3.5
    order = [np.argsort(identities) for *_, identities in (first, last)]
    cosine = first[1][order[0]] @ last[1][order[1]].T
    assert 0.8 < np.diag(cosine).mean() < 0.9
    assert cosine[~np.eye(100, dtype=bool)].max() < 0.5
