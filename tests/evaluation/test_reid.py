"""Re-identification scores: float64 loops, known answers, data that is read, errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import ColorHistogram
from sslmot.data.mot import GroundTruth, Sequence, write_sequence
from sslmot.evaluation import reid
from sslmot.evaluation.reid import (
    GapRetrieval,
    Retrieval,
    Row,
    across_gap,
    evaluate_reid,
    retrieval,
    table,
)

NINE = "MOT17-09-FRCNN"


def cosine(a, b):
    """Return a rounded cosine. Cosines of the vectors below are equal or at least 2e-5 apart."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.sqrt((a @ a) * (b @ b))
    return round(float(a @ b / lengths), 5) if lengths else 0.0


def retrieval_by_loops(features, ids, cameras):
    """Compute (rank-1, rank-5, mean AP, queries) by sorting each gallery; None without queries."""
    rank1, rank5, ap = [], [], []
    for q in range(len(ids)):
        gallery = []
        for i in range(len(ids)):
            if ids[i] == ids[q] and cameras[i] == cameras[q]:
                continue
            # In a tie, the wrong image comes first.
            gallery.append((-cosine(features[q], features[i]), bool(ids[i] == ids[q])))
        hits = [right for _, right in sorted(gallery)]
        if any(hits):
            rank1.append(hits[0])
            rank5.append(any(hits[:5]))
            precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if hits[k]]
            ap.append(sum(precision) / len(precision))
    return (np.mean(rank1), np.mean(rank5), np.mean(ap), len(ap)) if ap else None


def across_gap_by_loops(features, frames, ids, gap, every):
    """Compute (rank-1, AUC, queries) pair by pair; None without queries."""
    rank1, one, two = [], [], []
    for q in range(len(ids)):
        if (frames[q] - 1) % every:
            continue
        own, others = None, []
        for i in range(len(ids)):
            if frames[i] == frames[q] + gap:
                similarity = cosine(features[q], features[i])
                if ids[i] == ids[q]:
                    own = similarity
                    one.append(similarity)
                else:
                    others.append(similarity)
                    two.append(similarity)
        if own is not None:
            rank1.append(all(own > other for other in others))
    above = [float(a > b) + 0.5 * float(a == b) for a in one for b in two]
    return (np.mean(rank1), np.mean(above) if above else np.nan, len(rank1)) if rank1 else None


vectors = st.lists(st.integers(-2, 2), min_size=3, max_size=3)  # with zeros, copies, multiples


# Across cameras


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(vectors, st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=14),
    st.sampled_from([1, 256]),
)
def test_retrieval_is_that_of_loops(images, block):
    features, ids, cameras = (np.array(column) for column in zip(*images, strict=True))
    expected = retrieval_by_loops(features, ids, cameras)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reid, "_BLOCK", block)
        if expected is None:
            with pytest.raises(ValueError, match="expected a person seen by two cameras"):
                retrieval(features.astype(float), ids, cameras)
        else:
            scores = retrieval(features.astype(float), ids, cameras)
            got = (scores.rank1, scores.rank5, scores.mean_ap, scores.queries)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def crowd(n=60, people=6, cameras=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng, np.arange(n) % people, rng.integers(0, cameras, n)


def test_perfect_features():
    _, ids, cameras = crowd()
    assert retrieval(np.eye(6)[ids], ids, cameras) == Retrieval(1, 1, 1, 60)


def test_a_constant_feature_finds_no_match():
    rng, ids, cameras = crowd()
    scores = retrieval(np.tile(rng.standard_normal(300), (60, 1)), ids, cameras)
    assert scores == retrieval(np.zeros((60, 4)), ids, cameras)
    assert (scores.rank1, scores.rank5, scores.queries) == (0, 0, 60)
    assert scores.mean_ap < 1 / 6  # below chance


def test_the_same_person_in_the_same_camera_is_neither_right_nor_wrong():
    ids, cameras = np.array([1, 1, 1, 2, 2]), np.array([1, 1, 2, 1, 2])
    # Image 1 is by far the nearest to image 0. It is of the same camera, so it does not count.
    features = np.array([[1, 0.0], [1, 0.01], [1, 0.5], [0, 1], [0.1, 1]])
    assert retrieval(features, ids, cameras).rank1 == 1
    features[2] = [0, 1]  # as 3: found third, third; finds third and fourth; then twice second
    expected = np.mean([1 / 3, 1 / 3, (1 / 3 + 2 / 4) / 2, 1 / 2, 1 / 2])
    assert retrieval(features, ids, cameras) == Retrieval(0, 1, pytest.approx(expected), 5)


def test_images_without_a_match_are_no_queries_but_stay_in_the_gallery():
    ids, cameras = np.array([1, 1, 2, 3, 3]), np.array([1, 2, 1, 1, 1])
    features = np.array([[1, 0.0], [1, 0.2], [1, 0.1], [0, 1], [0, 1]])
    scores = retrieval(features, ids, cameras)
    assert scores == Retrieval(rank1=0, rank5=1, mean_ap=0.5, queries=2)
    assert retrieval(features[[0, 1, 3, 4]], ids[[0, 1, 3, 4]], cameras[[0, 1, 3, 4]]).rank1 == 1


def test_known_average_precision():
    angles = np.deg2rad([0, 10, 20, 30, 40])  # by distance from the first: wrong, right, ...
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ids, cameras = np.array([1, 2, 1, 3, 1]), np.array([1, 2, 2, 2, 2])
    # 0 finds 2nd and 4th; 2 finds 0 third (1 and 3 are nearer); 4 finds 0 third (no 2: same camera)
    expected = np.mean([(1 / 2 + 2 / 4) / 2, 1 / 3, 1 / 3])
    assert retrieval(features, ids, cameras) == Retrieval(0, 1, pytest.approx(expected), 3)


def test_lengths_do_not_matter():
    rng, ids, cameras = crowd()
    features = rng.standard_normal((60, 5))
    scale = 10.0 ** rng.integers(-30, 30, (60, 1))
    scores, scaled = (retrieval(f, ids, cameras) for f in (features, features * scale))
    assert 0 < scores.rank1 < 1
    assert scaled == scores


def test_features_may_be_tensors_and_lists():
    torch = pytest.importorskip("torch")
    rng, ids, cameras = crowd()
    features = rng.integers(-9, 9, (60, 5)).astype(np.float32)
    expected = retrieval(features, ids, cameras)
    tensors = torch.from_numpy(features).bfloat16(), torch.from_numpy(ids), cameras.tolist()
    assert retrieval(*tensors) == expected
    assert (features == torch.from_numpy(features).numpy()).all()  # unchanged


# Across a gap


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(1, 9), st.integers(1, 4)), vectors, min_size=1, max_size=20
    ),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_across_gap_is_that_of_loops(people, gap, every):
    frames, ids = np.array(list(people)).T
    features = np.array(list(people.values()))
    expected = across_gap_by_loops(features, frames, ids, gap, every)
    if expected is None:
        with pytest.raises(ValueError, match=f"expected a person in view {gap} frames later"):
            across_gap(features.astype(float), frames, ids, gap, every)
    else:
        scores = across_gap(features.astype(float), frames, ids, gap, every)
        np.testing.assert_allclose(
            (scores.rank1, scores.auc, scores.queries), expected, rtol=0, atol=1e-12
        )


def clip(length=30, people=4):
    frames, ids = np.divmod(np.arange(length * people), people)
    return frames + 1, ids


def test_perfect_and_constant_features_across_a_gap():
    frames, ids = clip()
    assert across_gap(np.eye(4)[ids], frames, ids, 15) == GapRetrieval(1, 1, 20)
    constant = np.tile(np.random.default_rng(0).standard_normal(300), (len(ids), 1))
    for features in (constant, np.zeros_like(constant)):
        assert across_gap(features, frames, ids, 15) == GapRetrieval(0, 0.5, 20)


def test_a_person_without_a_match_is_no_query_but_is_in_pairs():
    frames, ids = np.array([1, 1, 4]), np.array([1, 2, 1])
    features = np.array([[1.0, 0], [0.9, 0.1], [0.9, 0.1]])
    # The later person 1 is more similar to person 2 than to person 1.
    assert across_gap(features, frames, ids, 3) == GapRetrieval(1, 0, 1)


def test_one_person_alone_has_no_auc():
    scores = across_gap(np.ones((2, 3)), [1, 4], [7, 7], 3)
    assert (scores.rank1, scores.queries) == (1, 1)
    assert np.isnan(scores.auc)


def test_the_order_of_rows_does_not_matter():
    frames, ids = clip()
    rng = np.random.default_rng(1)
    features = rng.standard_normal((len(ids), 6)) + 2 * np.eye(6)[ids]
    order = rng.permutation(len(ids))
    expected = across_gap(features, frames, ids, 6)
    assert 0.25 < expected.rank1 < 1
    assert across_gap(features[order], frames[order], ids[order], 6) == expected


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.ones(6)}, r"features: expected \(N, D\) floats, got \(6,\) float64"),
        ({"features": np.ones((6, 2), int)}, r"features: expected .* got \(6, 2\) int64"),
        ({"features": np.ones((6, 0))}, r"features: expected .* got \(6, 0\)"),
        ({"features": np.ones((5, 2))}, r"ids: expected \(5,\), got \(6,\) int64"),
        ({"features": np.full((6, 2), np.nan)}, "features: expected finite .* in row 0"),
        ({"features": np.diag([1, 1, 1, 1, 1e300, 1])}, "features: expected finite .* in row 4"),
        ({"ids": [1, 2]}, r"ids: expected \(6,\), got \(2,\) float64"),
        ({"ids": "people"}, "ids: expected an array"),
        ({"cameras": np.ones((6, 1))}, r"cameras: expected \(6,\), got \(6, 1\)"),
        ({"cameras": np.ones(6)}, "ids, cameras: expected a person seen by two cameras.*6 images"),
        ({"ids": np.arange(6)}, "ids, cameras: expected a person seen by two cameras"),
    ],
)
def test_wrong_arguments_of_retrieval(change, message):
    good = {
        "features": np.ones((6, 2)),
        "ids": np.array([1, 1, 1, 2, 2, 2]),
        "cameras": np.array([1, 2, 3, 1, 2, 3]),
    }
    retrieval(**good)
    with pytest.raises(ValueError, match=message):
        retrieval(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gap": 0}, "gap: expected at least 1 frame, got 0"),
        ({"every": 0}, "every: expected at least 1 frame, got 0"),
        ({"frames": [1, 4]}, r"frames: expected \(4,\)"),
        ({"ids": [1, 2, 1]}, r"ids: expected \(4,\)"),
        ({"ids": [1, 2, 3, 4]}, "expected a person in view 3 frames later, got none"),
        ({"gap": 300}, "expected a person in view 300 frames later, got none"),
        ({"features": np.full((4, 2), np.inf)}, "features: expected finite"),
    ],
)
def test_wrong_arguments_of_across_gap(change, message):
    good = {
        "features": np.ones((4, 2)),
        "frames": [1, 1, 4, 4],
        "ids": [1, 2, 1, 2],
        "gap": 3,
        "every": 3,
    }
    across_gap(**good)
    with pytest.raises(ValueError, match=message):
        across_gap(**{**good, **change})


def test_nothing_at_all():
    none = np.empty(0, int)
    with pytest.raises(ValueError, match="got none in 0 images"):
        retrieval(np.empty((0, 5)), none, none)
    with pytest.raises(ValueError, match="expected a person in view 15 frames later"):
        across_gap(np.empty((0, 5)), none, none, 15)


# Market-1501


COLOURS = {1: (200, 30, 30), 7: (30, 30, 200)}  # RGB of the first and seventh person: held out


@pytest.fixture
def market(tmp_path):
    """Write eight people, two cameras, two images each. The held-out two differ by colour."""
    folder = tmp_path / "market" / "bounding_box_train"
    folder.mkdir(parents=True)
    for person in range(1, 9):
        for camera in (1, 2):
            for t in (1, 2):
                image = np.full((128, 64, 3), COLOURS.get(person, (90, 90, 90)), np.uint8)
                image[: 8 * t, :32] = 20 * camera  # so that all images differ
                path = folder / f"{person:04d}_c{camera}s1_{t:06d}_00.jpg"
                assert cv2.imwrite(str(path), image[..., ::-1])
    return folder.parent


def test_market_images_are_embedded_unchanged(market, monkeypatch):
    monkeypatch.setattr(reid, "_BATCH", 3)
    sizes, seen = [], []

    def extractor(frame, boxes):
        assert frame.dtype == np.uint8
        assert boxes.dtype == np.float32
        sizes.append(len(boxes))
        for x1, y1, x2, y2 in boxes.astype(int):
            seen.append(frame[y1:y2, x1:x2])
        return np.array([image.mean(axis=(0, 1)) for image in seen[-len(boxes) :]])

    (row,) = evaluate_reid(market, extractor)
    assert row == Row("Market-1501", None, Retrieval(1, 1, 1, 8))
    assert sizes == [3, 3, 2]
    held_out = (market / "bounding_box_train").glob("000[17]_*")
    held_out = sorted(held_out, key=lambda path: (path.name[4:], path.name))  # by camera and time
    expected = [cv2.imread(str(path)) for path in held_out]
    np.testing.assert_array_equal(seen, expected)
    assert evaluate_reid(market / "bounding_box_train", ColorHistogram())[0].scores.rank1 == 1


def test_embedding_together_matches_one_by_one():
    images = np.random.default_rng(0).integers(0, 256, (64, 128, 64, 3), dtype=np.uint8)
    extractor = ColorHistogram()
    together = extractor(*reid.column(images))
    for image, row in zip(images, together, strict=True):
        alone = extractor(np.ascontiguousarray(image[..., ::-1]), [[0, 0, 64, 128]])
        np.testing.assert_array_equal(row, alone[0])


@pytest.mark.parametrize("selection", [{"sequences": "09"}, {"detector": "SDP"}])
def test_market_has_no_sequences(market, selection):
    with pytest.raises(ValueError, match="sequences, detector: expected none with Market-1501"):
        evaluate_reid(market, ColorHistogram(), **selection)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((3, 2)), r"extractor: expected \(8, D up to 65536\) float32, got \(3, 2\)"),
        (np.ones(8), r"extractor: expected \(8, D up to 65536\) float32, got \(8,\)"),
        (None, "extractor: expected an array"),
        (np.full((8, 2), np.nan), "features: expected finite numbers, got NaN or inf in row 0"),
    ],
)
def test_extractors_that_give_something_else(market, features, message):
    with pytest.raises(ValueError, match=message):
        evaluate_reid(market, lambda frame, boxes: features)


@pytest.mark.processor
def test_histogram_on_market(data_root):
    (row,) = evaluate_reid(data_root / "Market-1501", ColorHistogram())
    assert (row.name, row.gap, row.scores.queries) == ("Market-1501", None, 1947)
    assert row.scores.rank1 == pytest.approx(0.4355, abs=0.003)
    assert row.scores.mean_ap == pytest.approx(0.2407, abs=0.003)
    assert 0.6 < row.scores.rank5 < 0.65


# Sequences


def sequence_of_squares(root, name="A", length=13, frames=range(1, 14)):
    """Write a sequence. People 1 and 2 stay; 3 to 6 must not be embedded. Frame t is grey 10 t."""
    rows = []
    for t in range(1, length + 1):
        #             id, x1, considered, class, visibility
        rows.append((t, 1, 0, 1, 1, 0.3))
        rows.append((t, 2, 20, 1, 1, 1))
        rows.append((t, 3, 40, 0, 1, 1))
        rows.append((t, 4, 40, 1, 7, 1))
        rows.append((t, 5, 40, 1, 1, 0.29))
    t, ids, x1, considered, classes, visibility = np.array(rows).T
    boxes = np.stack([x1, 0 * x1, x1 + 10, 0 * x1 + 20], axis=1).astype(np.float32)
    gt = GroundTruth(
        t.astype(int), ids.astype(int), boxes, considered == 1, classes.astype(int), visibility
    )
    detections = dict.fromkeys(range(1, length + 1), np.empty((0, 5)))
    sequence = write_sequence(root, name, 30, (60, 20), detections, gt)
    sequence.image_dir.mkdir()
    for t in frames:
        cv2.imwrite(str(sequence.image_dir / f"{t:06d}.jpg"), np.full((20, 60, 3), 10 * t, "u1"))
    return sequence


class Spy:
    """Embeds people by their position, and records the frames."""

    def __init__(self):
        self.frames, self.boxes = [], []

    def __call__(self, frame, boxes):
        self.frames.append(round(float(frame.mean()) / 10))
        self.boxes.append(boxes)
        return np.stack([boxes[:, 0] < 15, boxes[:, 0] >= 15], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("gaps", "needed"),
    [
        ((3,), [1, 4, 7, 10, 13]),
        ((3, 6, 12), [1, 4, 7, 10, 13]),
        ((9,), [1, 4, 10, 13]),
        ((12,), [1, 13]),
        ((11,), [1, 12]),
    ],
)
def test_only_needed_frames_and_people_are_read(tmp_path, gaps, needed):
    sequence_of_squares(tmp_path, frames=needed)  # other frames do not exist
    spy = Spy()
    rows = evaluate_reid(tmp_path / "A", spy, gaps=gaps)
    assert spy.frames == needed
    for boxes in spy.boxes:
        np.testing.assert_array_equal(boxes, [[0, 0, 10, 20], [20, 0, 30, 20]])
    queries = {3: 8, 6: 6, 9: 4, 12: 2, 11: 2}
    assert rows == [Row("A", gap, GapRetrieval(1, 1, queries[gap])) for gap in gaps]


def test_several_sequences_and_what_is_left_out(tmp_path):
    for name in ("X-01-DPM", "X-01-SDP", "X-02-SDP", "X-03-SDP"):
        sequence_of_squares(tmp_path, name)
    (tmp_path / "X-02-SDP" / "gt" / "gt.txt").unlink()
    shutil.rmtree(tmp_path / "X-03-SDP" / "img1")
    with pytest.warns(UserWarning, match="frames of X-02-SDP, X-03-SDP: left out") as caught:
        rows = evaluate_reid(tmp_path, Spy(), gaps=[6])
    assert [row.name for row in rows] == ["X-01-DPM", "X-01-SDP"]
    assert Path(caught[0].filename) == Path(__file__)
    rows = evaluate_reid(tmp_path, Spy(), sequences="01", detector="SDP", gaps=[6])
    assert [row.name for row in rows] == ["X-01-SDP"]
    with pytest.raises(FileNotFoundError, match="ground truth and frames of X-02-SDP, X-03-SDP"):
        evaluate_reid(tmp_path, Spy(), sequences=["02", "03"])


def test_gaps_longer_than_all_people(tmp_path):
    sequence_of_squares(tmp_path)
    with pytest.warns(
        UserWarning, match="A: no person in view again 15, 60 frames later: left out"
    ):
        rows = evaluate_reid(tmp_path, Spy(), gaps=(3, 15, 60))
    assert [row.gap for row in rows] == [3]
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match=r"gaps: expected one after .* got \(15,\)"),
    ):
        evaluate_reid(tmp_path, Spy(), gaps=(15,))


@pytest.mark.parametrize("gaps", [(), (15, 0)])
def test_wrong_gaps(tmp_path, gaps):
    with pytest.raises(ValueError, match="gaps: expected one or more, each at least 1 frame"):
        evaluate_reid(tmp_path, Spy(), gaps=gaps)


def test_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a sequence"):
        evaluate_reid(tmp_path, Spy())
    sequence_of_squares(tmp_path, frames=[1, 4, 7, 10])
    with pytest.raises(FileNotFoundError, match="frame 13 of A"):
        evaluate_reid(tmp_path, Spy(), gaps=(3,))


@pytest.mark.processor
def test_histogram_on_mot17(data_root):
    root = data_root / "MOT17" / "train"
    if not Sequence.open(root / NINE).has_frames:
        pytest.skip(f"no frames of {NINE}")
    rows = evaluate_reid(root, ColorHistogram(), sequences="09")
    assert [(row.name, row.gap, row.scores.queries) for row in rows] == [
        (NINE, 15, 989),
        (NINE, 60, 663),
        (NINE, 150, 297),
    ]
    figures = [(row.scores.rank1, row.scores.auc) for row in rows]
    expected = [(0.992, 0.997), (0.946, 0.976), (0.902, 0.955)]
    np.testing.assert_allclose(figures, expected, rtol=0, atol=0.005)


# The table


def test_table():
    pytest.importorskip("tabulate")
    text = table(
        [
            Row("Market-1501", None, Retrieval(0.43554, 0.6, 0.24066, 1947)),
            Row(NINE, 60, GapRetrieval(0.9457, 0.976, 663)),
        ]
    )
    head, _, first, second = text.splitlines()
    assert head.split() == ["gap", "queries", "rank-1", "rank-5", "mAP", "AUC"]
    assert first.split() == ["Market-1501", "-", "1947", "0.436", "0.600", "0.241", "-"]
    assert second.split() == [NINE, "60", "663", "0.946", "-", "-", "0.976"]
