"""The suite of benchmarks/: exact scores, recovery after gaps, choice with each clip left out."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import quality  # noqa: E402
import suite  # noqa: E402
from peers import Method  # noqa: E402
from suite.clips import _cached, _thin  # noqa: E402
from suite.peers import best_of  # noqa: E402
from suite.simulate import hidden_share, simulate_detections  # noqa: E402

from sslmot import Tracker, TrackerConfig  # noqa: E402
from sslmot.data.mot import GroundTruth  # noqa: E402


def annotation(rows):
    """Rows ``frame, id, x, y, w, h, class``."""
    rows = np.array(rows, np.float64).reshape(-1, 7)
    corner = rows[:, 2:4]
    return GroundTruth(
        frames=rows[:, 0].astype(np.int64),
        ids=rows[:, 1].astype(np.int64),
        boxes=np.hstack([corner, corner + rows[:, 4:6]]).astype(np.float32),
        considered=rows[:, 6] == 1,
        classes=rows[:, 6].astype(np.int64),
        visibility=np.ones(len(rows), np.float32),
    )


def row_of(truth, detections, frame_rate=1.0, scene="clip"):
    detections = [np.asarray(d, np.float32).reshape(-1, 5) for d in detections]
    return suite.Row("motion", scene, "made", 1, frame_rate, (999, 999), detections, None, truth)


def crowd(seed, frames=12, people=6):
    """A row whose people and distractors overlap, and tracks that often change."""
    random = np.random.default_rng(seed)
    place = random.uniform(1, 60, (people, 2))
    size = random.uniform(20, 40, (people, 2))
    classes = random.choice([1, 1, 1, 7, 8, 12], people)
    annotated, detections, result = [], [], []
    for t in range(1, frames + 1):
        place = np.abs(place + random.normal(0, 4, place.shape)) + 1
        here = np.flatnonzero(random.random(people) < 0.8)
        annotated += [(t, who + 1, *place[who].round(2), *size[who], classes[who]) for who in here]
        n = random.integers(0, people + 1)
        corner = place[:n] + random.normal(0, 5, (n, 2))
        detections.append(np.column_stack([corner, corner + size[:n], random.random(n)]))
        index = np.flatnonzero(random.random(n) < 0.9)
        result.append((random.permutation(people + 2)[: len(index)] + 1, index))
    return row_of(annotation(annotated), detections), result


def same_scores(row, result):
    fast = suite.score_tracks(row, result)
    with tempfile.TemporaryDirectory() as cache:
        exact = quality.trackeval(row, result, Path(cache))
        assert quality.trackeval(row, result, Path(cache)) == exact
    assert fast.idf1 == pytest.approx(exact.idf1, abs=1e-9)
    assert fast.mota == pytest.approx(exact.mota, abs=1e-9)
    assert (fast.idsw, fast.fp, fast.fn) == (exact.idsw, exact.fp, exact.fn)
    assert suite.idf1_of_tracks(row, result) == fast.idf1
    return fast


class TestScores:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 2**32))
    @example(121)  # no people, distractors alone
    def test_equal_those_of_trackeval(self, seed):
        same_scores(*crowd(seed))

    def test_distractors_count(self):
        """The examples above would not tell whether distractors are removed, if there were none."""
        row, result = crowd(3)
        plain = replace(row, truth=replace(row.truth, classes=np.ones_like(row.truth.classes)))
        assert same_scores(row, result).fp < same_scores(plain, result).fp

    @pytest.mark.parametrize("name", ["MOT17-02", "TUD", "v_1L"])
    def test_equal_those_of_trackeval_on_clips(self, data_root, name):
        rows = suite.load_rows(data=data_root, clips=[name], kind="motion")
        row = rows[1]  # fewer frames
        scores = same_scores(row, suite.track(row, suite.tracker()))
        assert suite.score(row, suite.tracker()) == scores
        assert suite.idf1(row, suite.tracker()) == scores.idf1

    def test_nothing_reported(self):
        row, _ = crowd(0)
        nothing = np.empty(0, np.int64)
        scores = same_scores(row, [(nothing, nothing)] * len(row))
        assert (scores.idf1, scores.mota, scores.fp) == (0, 0, 0)

    def test_a_frame_without_tracks(self):
        """TrackEval prefers the track of the last frame that had some, even to a better box."""
        truth = annotation([(t, 1, 10, 10, 20, 40, 1) for t in (1, 2, 3)])
        box, near = [10, 10, 30, 50, 1], [12, 10, 32, 50, 1]
        row = row_of(truth, [[box], [], [box, near]])
        some = [([7], [0]), ([], []), ([8, 7], [0, 1])]
        result = [(np.array(i, np.int64), np.array(d, np.int64)) for i, d in some]
        assert same_scores(row, result).idsw == 0

    def test_a_detection_in_two_tracks(self):
        truth = annotation([(1, 1, 10, 10, 20, 40, 1)])
        row = row_of(truth, [[[10, 10, 30, 50, 1]]])
        with pytest.raises(ValueError, match="expected a detection in one track"):
            suite.score_tracks(row, [(np.array([1, 2]), np.array([0, 0]))])

    def test_frames_are_lacking(self):
        row, result = crowd(0)
        with pytest.raises(ValueError, match="expected 12 frames of clip made /1, got 11"):
            suite.score_tracks(row, result[1:])

    def test_bound(self):
        """Perfect association of detections at the annotated boxes leaves no error."""
        rows = [(t, who, 100 * who, 9 + t, 20, 40, 1) for t in range(1, 5) for who in (1, 2)]
        truth = annotation(rows)
        boxes = [truth.boxes[truth.frames == t] for t in range(1, 5)]
        row = row_of(truth, [np.column_stack([b, np.ones(2)])[::-1] for b in boxes])
        scores = suite.score_tracks(row, suite.perfect_tracks(row))
        assert (scores.idf1, scores.mota, scores.idsw) == (100, 100, 0)


class TestRecovery:
    """Two people, a and b, far apart, one frame a second unless said otherwise."""

    def recovery(self, seen, tracks, frame_rate=1.0):
        """`seen` tells who has a detection in each frame ("ab,b"), `tracks` the ids of these."""
        rows, detections, result = [], [], []
        frames = seen.split(",")
        for t, (people, ids) in enumerate(zip(frames, tracks, strict=True), 1):
            rows += [(t, number + 1, 300 * number + 10, 10, 20, 40, 1) for number in range(2)]
            corner = [300 * "ab".index(who) + 10 for who in people]
            detections.append([(x, 10, x + 20, 50, 1) for x in corner])
            result.append((np.array(ids, np.int64), np.arange(len(ids))))
        row = row_of(annotation(rows), detections, frame_rate)
        return suite.score_tracks(row, result).recovery

    def test_old_identity(self):
        r = self.recovery("ab,b,ab", [[1, 2], [2], [1, 2]])
        assert (r.returns, r.recovered) == ((1, 0, 0), (1, 0, 0))
        assert (r.resumed, r.wrong) == ((1, 0, 0), (0, 0, 0))

    def test_new_identity(self):
        r = self.recovery("ab,b,ab", [[1, 2], [2], [3, 2]])
        assert (r.returns, r.recovered) == ((1, 0, 0), (0, 0, 0))
        assert sum(r.resumed) == 0

    def test_identity_of_another_one(self):
        """The identity of a, who left, is given to b, who comes: wrong, though b is no return."""
        r = self.recovery("a,,,,b", [[1], [], [], [], [1]])
        assert sum(r.returns) == 0
        assert (r.resumed, r.wrong) == ((0, 1, 0), (0, 1, 0))

    @pytest.mark.parametrize(("missing", "kind"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (9, 2)])
    def test_lengths(self, missing, kind):
        seen = "a," + missing * "," + "a"
        r = self.recovery(seen, [[1], *[[]] * missing, [1]])
        expected = tuple(int(kind == k) for k in range(3))
        assert r.returns == r.recovered == r.resumed == expected

    def test_seconds(self):
        """At 2 frames a second one missing frame is no gap, and two are one of a second."""
        assert sum(self.recovery("a,,a", [[1], [], [1]], 2.0).returns) == 0
        assert self.recovery("a,,,a", [[1], [], [], [1]], 2.0).returns == (1, 0, 0)

    def test_reported_late(self):
        """Identity by the first track after the return, within the same stay."""
        r = self.recovery("a,,a,a", [[1], [], [], [1]])
        assert (r.returns, r.recovered) == ((1, 0, 0), (1, 0, 0))
        r = self.recovery("a,,a,,a", [[1], [], [], [], [1]])
        assert (r.returns, r.recovered) == ((2, 0, 0), (1, 0, 0))

    def test_never_tracked(self):
        assert sum(self.recovery("a,,a", [[], [], [1]]).returns) == 0

    def test_sum(self):
        one = suite.Recovery((1, 2, 3), (0, 1, 2), (4, 0, 0), (1, 0, 0))
        assert one + suite.Recovery() == one
        assert (one + one).returns == (2, 4, 6)


class TestRows:
    def test_every_third_frame(self):
        row, _ = crowd(1, frames=10)
        thin = _thin(row, 3)
        assert len(thin) == 4
        assert thin.frame_rate == pytest.approx(1 / 3)
        for new, old in enumerate((1, 4, 7, 10), 1):
            here, there = thin.truth.frames == new, row.truth.frames == old
            np.testing.assert_array_equal(thin.truth.ids[here], row.truth.ids[there])
            np.testing.assert_array_equal(thin.detections[new - 1], row.detections[old - 1])
        assert len(thin.truth) == np.isin(row.truth.frames, (1, 4, 7, 10)).sum()

    def test_key_tells_rows_apart(self):
        (row, _), (other, _) = crowd(1), crowd(2)
        embedded = replace(
            row, embeddings=[np.ones((len(d), 4), np.float32) for d in row.detections]
        )
        keys = {one.key for one in (row, other, embedded, _thin(row, 2))}
        assert len(keys) == 4
        assert crowd(1)[0].key == row.key == embedded.without_embeddings().key

    def test_cached_once(self, tmp_path):
        arrays = [np.ones((2, 3), np.float32), np.empty((0, 3), np.float32)]
        calls = []
        for _ in range(2):
            found = _cached(tmp_path / "new" / "x.npz", lambda: calls.append(1) or arrays)
            assert [a.shape for a in found] == [(2, 3), (0, 3)]
        assert calls == [1]

    def test_unknown_clip(self, data_root):
        with pytest.raises(ValueError, match="clips: expected part of a name of MOT17-09, TUD"):
            suite.load_rows(data=data_root, clips=["MOT20"])

    def test_motion_rows(self, data_root):
        rows = suite.load_rows(data=data_root, clips=["TUD", "PRW", "MOT17-11"], kind="motion")
        assert [row.name for row in rows] == [
            *(f"TUD-Stadtmitte public /{n}" for n in (1, 2, 3, 5)),
            "PRW-c6s1-a annotation /1",
            *(f"MOT17-11 FRCNN /{n}" for n in (1, 3)),
        ]
        assert all(row.kind == "motion" and row.embeddings is None for row in rows)
        quick = suite.load_rows(data=data_root, clips=["TUD"], kind="motion", quick=True)
        assert [row.every for row in quick] == [1]


class TestSimulation:
    def people(self):
        """Two people in plain view and one behind a fourth, for 200 frames."""
        places = [(10, 100), (300, 100), (600, 90), (602, 100)]
        return annotation(
            [(t, i, x, y, 40, 100, 1) for t in range(1, 201) for i, (x, y) in enumerate(places)]
        )

    def test_hidden_share(self):
        boxes = np.array([[0, 0, 10, 20], [5, 0, 15, 21], [0, 0, 2, 30], [50, 0, 60, 20]], float)
        np.testing.assert_allclose(hidden_share(boxes), [0.5, 0, 0, 0])
        assert hidden_share(np.empty((0, 4))).shape == (0,)

    def test_seeded(self):
        truth = self.people()
        one, same = (simulate_detections(truth, 200, (700, 300)) for _ in range(2))
        other = simulate_detections(truth, 200, (700, 300), seed=1)
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    def test_faults(self):
        """The hidden person is missed more than the others; false detections come; boxes fit."""
        truth = self.people()
        found = simulate_detections(truth, 200, (700, 300))
        row = row_of(truth, found)
        seen = suite.score_tracks(row, suite.perfect_tracks(row))
        shown = np.zeros(4)
        for ids, _ in suite.perfect_tracks(row):
            shown[ids] += 1
        assert shown[2] < 0.5 * shown[[0, 1, 3]].min()
        assert shown[[0, 1, 3]].min() > 150
        assert seen.fp == 0  # of the perfect association
        assert sum(map(len, found)) > shown.sum()
        boxes = np.concatenate(found)
        assert (boxes[:, 2:4] > boxes[:, :2]).all()
        assert (boxes[:, 4] >= np.float32(0.1)).all()
        assert (boxes[:, 4] <= 1).all()

    def test_no_people(self):
        assert [d.shape for d in simulate_detections(annotation([]), 3, (9, 9))] == [(0, 5)] * 3


class TestChoice:
    def test_clips_weigh_alike(self):
        rows = [row_of(annotation([]), [[]], scene=scene) for scene in "aab"]
        means = suite.clip_means(rows, [10, 20, 45])
        assert means == {"a": 15, "b": 45}
        assert suite.mean(means) == 30

    def test_each_clip_left_out(self):
        """ "sharp" is best on average through c alone, so it is not what is chosen for c."""
        scores = {"even": {"a": 60, "b": 60, "c": 60}, "sharp": {"a": 55, "b": 55, "c": 90}}
        chosen = suite.leave_one_out(scores, scores)
        assert chosen.chosen == {"a": "sharp", "b": "sharp", "c": "even"}
        assert chosen.scores == {"a": 55, "b": 55, "c": 60}
        assert chosen.mean == pytest.approx(170 / 3)

    def test_one_clip(self):
        with pytest.raises(ValueError, match="expected two clips or more, got \\['a'\\]"):
            suite.leave_one_out(["x"], {"x": {"a": 1.0}})

    def test_other_clips(self):
        scores = {"x": {"a": 1.0, "b": 2.0}, "y": {"a": 1.0}}
        with pytest.raises(ValueError, match="expected \\['a', 'b'\\] of y, got \\['a'\\]"):
            suite.leave_one_out(scores, scores)

    def test_compare(self):
        rows = [crowd(seed)[0] for seed in range(3)]
        config = TrackerConfig(min_hits=3)
        table = suite.compare(
            {"config": config, "same": lambda row: Tracker(config, frame_rate=row.frame_rate)}, rows
        )
        assert table["config"] == table["same"]
        expected = np.mean([suite.idf1(row, suite.tracker(config)) for row in rows])
        assert table["config"] == {"clip": pytest.approx(expected)}

    def test_trackers_have_the_frame_rate_of_the_row(self):
        row = replace(crowd(0)[0], frame_rate=2.5)
        assert suite.tracker()(row).frame_rate == 2.5


def by_place(patience):
    """A peer whose ids are the places in the list; with little patience all are new each frame."""
    frame = [0]

    def step(dets, embeddings, picture):
        frame[0] += 1
        index = np.arange(len(dets))
        return index + (0 if patience >= 90 else 100 * frame[0]), index

    return step


class TestPeers:
    def row(self):
        rows = [(t, who, 100 * who, 10, 20, 40, 1) for t in range(1, 5) for who in (1, 2)]
        truth = annotation(rows)
        boxes = [truth.boxes[truth.frames == t] for t in range(1, 5)]
        return row_of(truth, [np.column_stack([b, np.ones(2)]) for b in boxes])

    def test_best_patience_from_the_cache(self, tmp_path):
        made = []
        peer = Method("by place", lambda p: made.append(p) or by_place(p), 30)
        best = best_of(peer, self.row(), tmp_path)
        assert (best.idf1, best.patience, best.error) == (100, 90, None)
        assert made == [30, 90, 150]
        again = best_of(peer, self.row(), tmp_path)
        assert made == [30, 90, 150]
        assert again.idf1 == 100
        assert all(
            np.array_equal(a[0], b[0]) for a, b in zip(best.result, again.result, strict=True)
        )

    def test_patience_follows_the_frame_step(self, tmp_path):
        made = []
        peer = Method("by place", lambda p: made.append(p) or by_place(90), 30)
        best_of(peer, replace(self.row(), every=10), tmp_path)
        assert made == [3, 9, 15]

    def test_one_that_fails(self, tmp_path):
        def make(patience):
            raise RuntimeError("broken")

        best = best_of(Method("broken", make, 30), self.row(), tmp_path)
        assert np.isnan(best.idf1)
        assert best.result is None
        assert best.error == "RuntimeError('broken')"


class TestTables:
    @pytest.fixture
    def run(self, monkeypatch, capsys):
        rows = [replace(crowd(seed)[0], scene=f"clip-{seed}") for seed in (1, 2)]
        monkeypatch.setattr(quality, "load_rows", lambda *args, **options: rows)
        monkeypatch.setattr(quality, "PEERS", (Method("by place", by_place, 30),))

        def run(*arguments):
            monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, arguments)])
            quality.main()
            return capsys.readouterr().out

        return run

    def test_printed(self, run, tmp_path):
        out = run("--cache", tmp_path)
        assert "## By motion alone" in out
        assert "## With appearance" not in out
        assert "| by place |" in out
        assert "Worst row against its best peer: clip-" in out
        assert "| each clip left out |" in out
        row = crowd(1)[0]
        own = suite.score(row, suite.tracker())
        assert f"| {own.idsw} | {own.idf1:.1f} | by place, " in out

    def test_replaces_the_tables(self, run, tmp_path):
        page = tmp_path / "page.md"
        page.write_text(f"# Title\n\n{quality.MARK}\n| stale |\n")
        run("--quick", "--no-peers", "--cache", tmp_path, "--output", page)
        text = page.read_text()
        assert text.startswith(f"# Title\n\n{quality.MARK}\n")
        assert "stale" not in text
        assert "## By motion alone" in text
        assert "changed" not in text

    def test_refuses_a_page_without_the_mark(self, run, tmp_path, capsys):
        page = tmp_path / "page.md"
        page.write_text("# Title\n")
        with pytest.raises(SystemExit):
            run("--quick", "--no-peers", "--cache", tmp_path, "--output", page)
        assert "expected a line <!--" in capsys.readouterr().err
        assert page.read_text() == "# Title\n"
