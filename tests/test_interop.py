"""Detections of supervision and results of ultralytics, by the real packages where installed."""

import importlib.util
import inspect
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import ColorHistogram, Tracker, interop

N = 4


@pytest.fixture(scope="module")
def sv():
    return pytest.importorskip("supervision", reason="pip install sslmot[interop]")


def scene(t, n=N):
    """Boxes, scores and classes of objects that move to the right, in another order each time."""
    order = np.random.default_rng(t).permutation(n)
    corner = np.column_stack([200.0 * order + 3 * t, 50.0 + 10 * order])
    boxes = np.hstack([corner, corner + np.array([40, 100])]).astype(np.float32)
    return boxes, np.linspace(0.6, 0.95, n, dtype=np.float32)[order], order % 2


def detections(sv, t, n=N, confidence=True, classes=True, **more):
    boxes, scores, kinds = scene(t, n)
    return sv.Detections(
        xyxy=boxes,
        confidence=scores if confidence else None,
        class_id=kinds if classes else None,
        **more,
    )


def test_the_packages_are_not_imported():
    code = (
        "import sys, sslmot.interop\n"
        "found = {'supervision', 'ultralytics', 'pandas', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(found) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.booleans(), st.booleans(), st.sampled_from([np.int64, np.int32]))
def test_supervision_in(sv, n, confidence, classes, kind):
    given_ = detections(sv, 7, n, confidence, classes)
    if classes:
        given_.class_id = given_.class_id.astype(kind)
    found = interop.from_supervision(given_)
    assert found.shape == (n, 6 if classes else 5 if confidence else 4)
    boxes, scores, kinds = scene(7, n)
    np.testing.assert_array_equal(found[:, :4], boxes)
    if confidence:
        np.testing.assert_array_equal(found[:, 4], scores)
    elif classes:
        assert (found[:, 4] == 1).all()
    if classes:
        np.testing.assert_array_equal(found[:, 5], kinds)
    Tracker().step(None, found)


def test_no_detections(sv):
    assert interop.from_supervision(sv.Detections.empty()).shape[0] == 0
    tracker = interop.SupervisionTracker()
    for found in (
        tracker.update(sv.Detections.empty()),
        tracker.update_with_detections(sv.Detections.empty()),
        interop.to_supervision(tracker.tracker.step()),
        interop.to_supervision(tracker.tracker.lost_tracks()),
    ):
        assert len(found) == 0
        assert found.tracker_id.shape == (0,)
        assert found.tracker_id.dtype == np.int64


def test_tracks_out(sv):
    tracker = Tracker()
    for t in range(5):
        tracks = tracker.step(None, interop.from_supervision(detections(sv, t)))
    found = interop.to_supervision(tracks)
    boxes, scores, kinds = scene(4)
    np.testing.assert_array_equal(found.xyxy, boxes)
    np.testing.assert_array_equal(found.confidence, scores)
    np.testing.assert_array_equal(found.class_id, kinds)
    np.testing.assert_array_equal(found.tracker_id, tracks.ids)
    assert sorted(found.tracker_id) == [1, 2, 3, 4]
    found.tracker_id[0] = 99  # a copy
    assert 99 not in tracks.ids


def test_predicted_and_lost_tracks_out(sv):
    tracker = Tracker()
    for t in range(5):
        tracker.step(None, interop.from_supervision(detections(sv, t)))
    tracker.step()
    lost, predicted = tracker.lost_tracks(), tracker.predict()
    assert len(lost) == len(predicted) == N
    for tracks, data in ((lost, {"age", "velocity"}), (predicted, set())):
        found = interop.to_supervision(tracks)
        assert found.confidence is None
        np.testing.assert_array_equal(found.xyxy, tracks.boxes)
        np.testing.assert_array_equal(found.class_id, tracks.classes)
        np.testing.assert_array_equal(found.tracker_id, tracks.ids)
        assert set(found.data) == data
        assert len(found[found.tracker_id > 2]) == 2
        with pytest.raises(ValueError, match=r"^detections: expected those of the tracks' step"):
            interop.to_supervision(tracks, detections(sv, 4))
    np.testing.assert_array_equal(interop.to_supervision(lost)["age"], lost.ages)
    np.testing.assert_array_equal(interop.to_supervision(lost)["velocity"], lost.velocities)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, N), min_size=1, max_size=8))
def test_the_rows_with_a_track_keep_what_they_had(sv, counts):
    """Masks, data and metadata; both methods agree with each other and with Tracker.step."""
    all_, tracked, plain = interop.SupervisionTracker(), interop.SupervisionTracker(), Tracker()
    for t, n in enumerate(counts):
        mask = np.zeros((n, 8, 8), bool)
        mask[np.arange(n), np.arange(n)] = True
        given_ = detections(
            sv,
            t,
            n,
            mask=mask,
            data={"name": np.array([f"row {i}" for i in range(n)]), "row": list(range(n))},
            metadata={"camera": "north"},
        )
        before = interop.from_supervision(given_)
        tracks = plain.step(None, before)
        found = all_.update(given_)
        assert len(found) == n
        expected = np.full(n, -1)
        expected[tracks.detection_index] = tracks.ids
        np.testing.assert_array_equal(found.tracker_id, expected)
        np.testing.assert_array_equal(found.xyxy, given_.xyxy)
        kept = tracked.update_with_detections(given_)
        assert kept == found[found.tracker_id != -1]
        assert kept["row"] == tracks.detection_index.tolist()
        np.testing.assert_array_equal(kept["name"], given_["name"][tracks.detection_index])
        np.testing.assert_array_equal(kept.mask, mask[tracks.detection_index])
        assert kept.metadata == found.metadata == {"camera": "north"}
        assert given_.tracker_id is None
        found["mine"] = np.zeros(n)
        assert "mine" not in given_.data
        np.testing.assert_array_equal(interop.from_supervision(given_), before)


def test_tracks_of_other_detections_are_refused(sv):
    tracks = Tracker().step(None, interop.from_supervision(detections(sv, 0, confidence=False)))
    assert len(tracks) == N
    with pytest.raises(ValueError, match=r"^detections: expected those of the tracks' step, got 2"):
        interop.to_supervision(tracks, detections(sv, 0, 2))


def test_frames_and_timestamps_are_passed_on(sv):
    frame = np.full((200, 900, 3), 90, np.uint8)
    for method in ("update", "update_with_detections"):
        ours, plain = (Tracker(extractor=ColorHistogram()) for _ in range(2))
        tracker = interop.SupervisionTracker(ours)
        for t in range(3):
            given_ = detections(sv, t)
            getattr(tracker, method)(given_, frame, timestamp=t / 7)
            plain.step(frame, interop.from_supervision(given_), timestamp=t / 7)
        state, expected = ours.state_dict(), plain.state_dict()
        assert ours.table.feature_dim > 0
        assert state["times"][0] == 2 / 7
        assert state.keys() == expected.keys()
        assert all(np.array_equal(state[name], expected[name]) for name in state)
        tracker.reset()
        assert len(ours.table) == 0


def test_a_wrong_input_changes_nothing(sv):
    tracker = interop.SupervisionTracker()
    wrong = detections(sv, 0)
    wrong.xyxy[1, 0] = np.nan
    for method in (tracker.update, tracker.update_with_detections):
        with pytest.raises(ValueError, match=r"^dets: expected finite numbers"):
            method(wrong)
        with pytest.raises(
            ValueError, match=r"^detections: expected supervision\.Detections, got list"
        ):
            method([[1, 2, 3, 4]])
    assert len(tracker.tracker.table) == 0


def test_the_extra_is_named_where_supervision_is_missing(monkeypatch):
    tracks = Tracker().step(None, [[10, 10, 50, 90]])
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install sslmot\[interop\]"):
        interop.to_supervision(tracks)


def test_frames_of_supervision_are_bgr(sv, tmp_path):
    path, red = str(tmp_path / "red.mp4"), np.full((64, 64, 3), (0, 0, 255), np.uint8)
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 64))
    for _ in range(5):
        writer.write(red)
    writer.release()
    for frame in sv.get_video_frames_generator(path):
        blue, _, red_ = frame.reshape(-1, 3).mean(axis=0)
        assert frame.dtype == np.uint8
        assert blue < 30
        assert red_ > 220
        break


def test_update_has_the_arguments_of_trackers():
    trackers = pytest.importorskip("trackers", reason="pip install trackers")
    names = [
        list(inspect.signature(kind.update).parameters)
        for kind in (interop.SupervisionTracker, trackers.ByteTrackTracker)
    ]
    assert names[0] == names[1]


def test_update_replaces_that_of_trackers(sv):
    """Of well separated objects both give the same tracks, apart from the first frame."""
    trackers = pytest.importorskip("trackers", reason="pip install trackers")
    ours, theirs = interop.SupervisionTracker(), trackers.ByteTrackTracker()
    same = {}
    for t in range(20):
        given_ = detections(sv, t)
        given_.confidence[:] = 0.95
        given_.data["row"] = np.arange(N)
        one, other = ours.update(given_), theirs.update(given_)
        assert type(one) is type(other)
        assert sorted(other["row"]) == one["row"].tolist()
        if t > 1:
            for row, identity in zip(other["row"], other.tracker_id, strict=True):
                same.setdefault(int(identity), set()).add(int(one.tracker_id[row]))
    assert len(same) == N
    assert -1 not in same
    assert sorted(map(sorted, same.values())) == [[1], [2], [3], [4]]


RESULTS = """
import contextlib, importlib.metadata, sys
import numpy as np, torch

read = importlib.metadata.version

def version(name):
    # ultralytics reads the version of torchvision when it is imported. Its models need that
    # package, its results do not.
    try:
        return read(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "torchvision":
            raise
        return "0.0"

importlib.metadata.version = version
from ultralytics.engine.results import Results

from sslmot import Tracker, interop

frame = np.zeros((300, 400, 3), np.uint8)
rows = torch.tensor([[10, 20, 50, 120, 0.875, 3], [200.5, 30, 260.25, 170, 0.25, 0]])
tracked = torch.cat([rows[:, :4], torch.tensor([[7.0], [8.0]]), rows[:, 4:]], dim=1)
results = {
    "plain": Results(frame, "a.jpg", {0: "person", 3: "car"}, boxes=rows),
    "tracked": Results(frame, "a.jpg", {0: "person", 3: "car"}, boxes=tracked),
    "empty": Results(frame, "a.jpg", {0: "person"}, boxes=torch.zeros(0, 6)),
    "turned": Results(
        frame, "a.jpg", {0: "ship"}, obb=torch.tensor([[100, 80, 60, 20, 0.0, 0.5, 0.0]])
    ),
}
results["numpy"] = results["plain"].numpy()
results["half"] = results["plain"].to(torch.float16)
results["one"] = results["plain"][1]
if torch.cuda.is_available():
    results["cuda"] = results["plain"].cuda()
found = {name: interop.from_ultralytics(result) for name, result in results.items()}
for name, result in results.items():
    Tracker().step(None, found[name])
assert results["plain"].orig_img is frame
with contextlib.suppress(ValueError):
    interop.from_ultralytics([results["plain"]])
    sys.exit("a list was taken")
with contextlib.suppress(ValueError):
    interop.from_ultralytics(Results(frame, "a.jpg", {0: "street"}, probs=torch.ones(1)))
    sys.exit("a result without boxes was taken")
np.savez(sys.argv[1], **found)
"""


@pytest.fixture(scope="module")
def ultralytics(tmp_path_factory):
    """What results become. In a process of its own: ultralytics changes NumPy, torch and OpenCV."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("no ultralytics: pip install --no-deps ultralytics polars polars-runtime-32")
    path = tmp_path_factory.mktemp("ultralytics")
    settings_ = {"YOLO_CONFIG_DIR": str(path), "YOLO_OFFLINE": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", RESULTS, str(path / "found.npz")],
        env={**os.environ, **settings_},
        check=True,
    )
    with np.load(path / "found.npz") as file:
        return dict(file)


ROWS = [[10, 20, 50, 120, 0.875, 3], [200.5, 30, 260.25, 170, 0.25, 0]]


@pytest.mark.parametrize("kind", ["plain", "tracked", "numpy", "half", "cuda"])
def test_ultralytics_in(ultralytics, kind):
    if kind not in ultralytics:
        pytest.skip("no CUDA device")
    np.testing.assert_array_equal(ultralytics[kind], ROWS)


def test_ultralytics_in_with_few_or_oriented_boxes(ultralytics):
    np.testing.assert_array_equal(ultralytics["one"], ROWS[1:])
    assert ultralytics["empty"].shape == (0, 6)
    np.testing.assert_allclose(ultralytics["turned"], [[70, 70, 130, 90, 0.5, 0]], atol=1e-4)


def test_what_is_no_result_of_ultralytics_is_refused():
    for wrong in (None, [], np.zeros((1, 6)), SimpleNamespace(boxes=None, obb=None)):
        with pytest.raises(ValueError, match=r"^result: expected ultralytics Results with boxes"):
            interop.from_ultralytics(wrong)
