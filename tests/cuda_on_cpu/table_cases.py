"""Tables of tracks whose features are on the device, against those in host memory, frame by frame.

test_kernels.py runs these cases as those of cases.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from device import Array, _core, history, set_device

from sslmot import TrackerConfig
from sslmot.tracking.config import native_settings

DIM = 70


@pytest.fixture(autouse=True)
def _no_history():
    set_device()
    history()


class Frame:
    """What a camera sees."""

    def __init__(self, boxes, scores, classes):
        rows = np.column_stack([boxes, scores, classes]).astype(np.float64)
        self.detections, refused = _core.read_detections(rows)
        assert refused < 0
        self.embeddings = self.affine = None

    def __len__(self):
        return len(self.detections)


def film(rng, frames, people, extent, silent=(), dim=DIM):
    """Frames of people who walk, are away for a while and come back; all but some are described."""
    at, looks = rng.uniform(0, extent, (people, 2)), rng.normal(size=(people, dim))
    come, classes = rng.integers(0, frames // 2, people), rng.integers(0, 2, people)
    come[: people // 2] = 0
    leave = come + rng.integers(1, 5, people)
    back = leave + rng.integers(3, 5, people)
    for t in range(frames):
        at += rng.normal(0, 2, at.shape)
        seen = rng.permutation(np.flatnonzero((t >= come) & ((t < leave) | (t >= back))))
        corner = at[seen]
        boxes = np.float32(np.hstack([corner, corner + np.array((40, 100))]))
        scores = rng.uniform(0.3, 1.1, len(seen)).clip(max=1).astype(np.float32)
        frame = Frame(boxes, scores, classes[seen].astype(np.int32))
        if t not in silent:
            noise = rng.normal(0, 0.4, (len(seen), dim))
            frame.embeddings = np.float32((looks[seen] + noise) * rng.uniform(0.1, 9))
            frame.embeddings[rng.random(len(seen)) < 0.1] = 0
        yield frame


def on_device(embeddings, norms=None):
    """The arguments of prepare for embeddings on the device."""
    norms = np.linalg.norm(embeddings, axis=1) if norms is None else norms
    return Array(embeddings), "embeddings", Array(norms), norms


class Features:
    """The feature table of a tracker, as sslmot.tracking.features.DeviceTable keeps it."""

    def __init__(self, dim=DIM):
        self.dim, self.values, self.scratch, self.growths = dim, None, None, 0

    def bind(self, table, detections, spare=0):
        slots = table.slots_with(detections)
        if self.values is None or slots > self.values.shape[0]:
            values, norms = np.zeros((slots, self.dim), np.float32), np.zeros(slots, np.float32)
            if self.values is not None:
                before = self.values.shape[0]
                values[:before], norms[:before] = self.values.numpy(), self.norms.numpy()
            self.values, self.norms, self.norms_here = Array(values), Array(norms), norms.copy()
            self.growths += 1
        # Exactly as large as it must be, so that a byte more is an error.
        self.scratch = Array(np.full((detections, self.dim), np.nan, np.float32))
        self.scratch_norms = Array(np.full(detections, np.nan, np.float32))
        tracks = len(table) + table.lost_count
        self.size = spare + max(
            _core.cuda_comparison_bytes(tracks, detections),
            _core.cuda_update_bytes(tracks + detections),
        )
        buffer = np.empty(self.size, np.uint8)
        self._host, self._there = buffer, Array(buffer)
        return _core.DeviceFeatures(
            *(self.values, self.norms, self.norms_here, self.scratch, self.scratch_norms),
            *(self._host, self._there, 0),
        )


class Camera:
    """One video, tracked with features in host memory, and again with features on the device."""

    def __init__(self, **settings):
        settings = native_settings(TrackerConfig(**settings))
        self.here, self.there = _core.TrackTable(settings), _core.TrackTable(settings)
        self.features, self.stages, self.rounds, self.most_lost = None, [], [], 0

    def prepare(self, frame, spare=0):
        """The steps of both."""
        self.frame, there = frame, ()
        if frame.embeddings is not None:
            there = on_device(frame.embeddings)
            self.features = self.features or Features(frame.embeddings.shape[1])
        device = self.features and self.features.bind(self.there, len(frame), spare)
        self.steps = (
            self.here.prepare(frame.detections, True, frame.embeddings, affine=frame.affine),
            self.there.prepare(frame.detections, True, *there, device=device, affine=frame.affine),
        )
        return self.steps

    def finish(self):
        """The phases after the matching, and whether both are alike after each."""
        here, there = self.steps
        same_rounds(here.rounds(), there.rounds())
        np.testing.assert_array_equal(here.match, there.match)
        self.rounds.extend((stage, len(pairs[1])) for stage, *_, pairs, _ in here.rounds())
        n = len(here.features)
        if n:
            got = self.features.scratch.numpy()[:n] if self.features else np.zeros((n, 1))
            np.testing.assert_allclose(got, here.features, atol=1e-5)
        reports = []
        for table, step in ((self.here, here), (self.there, there)):
            for new_tracks in (False, True):
                known = np.zeros(len(table.without_id(step, new_tracks)), np.int64)
                table.assign_ids(step, new_tracks, known, 1)
            reports.append(table.commit(step, None))
        self.stages.extend(stage for _, _, stage, _ in there.confirmations())
        assert [x[:3] for x in here.confirmations()] == [x[:3] for x in there.confirmations()]
        for one, other in zip(*reports, strict=True):
            np.testing.assert_array_equal(one, other)
        self.same_tables()
        return reports[0]

    def same_tables(self):
        assert self.here.next_id == self.there.next_id
        slots = []
        for one, other in (
            (self.here.tracks, self.there.tracks),
            (self.here.lost, self.there.lost),
        ):
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
            slots.extend(one["slots"])
        self.most_lost = max(self.most_lost, self.here.lost_count)
        # A cosine at the edge of a bin may fall on either side of it.
        counts, others = self.here.impostors, self.there.impostors
        assert counts.sum() == others.sum()
        assert np.abs(np.cumsum(counts - others)).max() <= 2
        if self.features is None:
            assert self.here.feature_dim == self.there.feature_dim == 0
            return
        norms = self.features.norms.numpy()
        np.testing.assert_array_equal(norms, self.features.norms_here)
        expected = self.here.read_features(np.array(slots, np.int64))
        got = self.features.values.numpy()[slots] * norms[slots, None]
        np.testing.assert_allclose(got[:, : expected.shape[1]], expected, atol=1e-5)

    def step(self, frame):
        here, there = self.prepare(frame)
        _core.associate_steps([here])
        _core.associate_steps([there])
        return self.finish()


def same_rounds(rounds, others):
    assert [stage for stage, *_ in rounds] == [stage for stage, *_ in others]
    for (_, *lists, pairs, cosines), (_, *their_lists, their_pairs, their_cosines) in zip(
        rounds, others, strict=True
    ):
        for one, other in zip((*lists, *pairs[:2]), (*their_lists, *their_pairs[:2]), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(their_pairs[2], pairs[2], atol=1e-3)
        np.testing.assert_allclose(their_cosines, cosines, atol=1e-5)


def kinds():
    """What was done, in short."""
    return [line.split("<")[0].split(" on 0")[0] for line in history()]


class TestTable:
    @pytest.mark.parametrize(
        ("extent", "kernel"), [(3000, "cosine_kernel"), (350, "cost_kernel")], ids=["few", "many"]
    )
    @pytest.mark.parametrize("settings", [{}, {"min_hits": 0, "motion": "none"}, {"min_hits": 2}])
    def test_as_in_host_memory(self, extent, kernel, settings):
        rng = np.random.default_rng(extent)
        camera = Camera(
            max_age=1 / 30,
            reid_max_age=8 / 30,
            instant_confirm_score=0.95,
            reid_false_alarms=1e6,  # as many as there are pairs: chance decides nothing
            **settings,
        )
        done, reported = [], 0
        for frame in film(rng, 12, 80, extent, silent=(0, 6, 7)):
            set_device(seed=int(rng.integers(9)))
            reported += len(camera.step(frame)[0])
            done.extend(kinds())
        assert camera.features.growths > 1
        assert {"reidentified", "new"} <= set(camera.stages)
        assert {"appearance", "motion"} <= {stage for stage, _ in camera.rounds}
        assert len(camera.rounds) > 20
        assert camera.most_lost > 5
        assert reported > 100
        assert camera.here.impostors.sum() > 100
        assert {kernel, "blend_kernel", "fill"} <= set(done)
        # Where births get identities at once, confirmations are never tracks with features.
        assert ("copy on device" in done) == (settings.get("min_hits") != 0)

    def test_cameras_in_one_comparison(self):
        rng = np.random.default_rng(0)
        films = [list(film(rng, 6, people, 6000)) for people in (90, 60)]
        cameras = [Camera(max_age=1 / 30), Camera(max_age=1 / 30)]
        compared = 0
        for frames in zip(*films, strict=True):
            for camera, frame in zip(cameras, frames, strict=True):
                here, _ = camera.prepare(frame, spare=50_000)
                _core.associate_steps([here])
            history()
            _core.associate_steps([c.steps[1] for c in cameras])
            done, first = kinds(), ["wait", "wait", "copy there", "cosine_kernel", "copy back"]
            if len(cameras[0].there) and len(cameras[1].there):
                compared += 1
                assert done[:6] == [*first, "wait"]
            for camera in cameras:
                camera.finish()
        assert compared >= 4

    def test_cameras_whose_buffers_are_too_small_for_both(self):
        rng = np.random.default_rng(1)
        films = [list(film(rng, 5, 12, extent)) for extent in (2000, 200, 2000)]
        cameras = [Camera(max_age=1 / 30) for _ in films]
        for frames in zip(*films, strict=True):
            for camera, frame in zip(cameras, frames, strict=True):
                here, _ = camera.prepare(frame)
                _core.associate_steps([here])
            _core.associate_steps([c.steps[1] for c in cameras])
            for camera in cameras:
                camera.finish()

    def test_frames_that_are_refused_change_nothing(self):
        rng = np.random.default_rng(2)
        camera = Camera(max_age=1 / 30)
        frames = list(film(rng, 4, 10, 500))
        camera.step(frames[0])
        f, device = frames[1], Features().bind(camera.there, 0)
        with pytest.raises(ValueError, match="device: expected room for all tracks"):
            camera.there.prepare(f.detections, device=device)
        nan = np.full_like(frames[1].embeddings, np.nan)
        norms = np.ones(len(nan), np.float32)
        device = camera.features.bind(camera.there, len(f))
        step = camera.there.prepare(f.detections, True, *on_device(nan, norms), device)
        with pytest.raises(ValueError, match="column"):
            _core.associate_steps([step])
        with pytest.raises(ValueError, match="embeddings: expected an array where"):
            camera.there.prepare(f.detections, embeddings=nan, device=device)
        device = camera.features.bind(camera.there, len(f), spare=16 - camera.features.size)
        d = f.detections
        high = Frame(d.boxes, np.ones(len(f)), d.classes)  # one round alone compares features
        step = camera.there.prepare(high.detections, True, *on_device(f.embeddings), device)
        with pytest.raises(ValueError, match="buffers of a comparison: too small"):
            _core.associate_steps([step])
        for frame in frames[1:]:
            camera.step(frame)
