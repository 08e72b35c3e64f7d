"""Tracking scores: agreement of two packages, known answers, errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslmot.data.mot import FrameResult, GroundTruth, Sequence, write_results, write_sequence
from sslmot.evaluation import tracks as module
from sslmot.evaluation.tracks import COMBINED, Scores, evaluate, motmetrics_scores, table

motmetrics = pytest.importorskip("motmetrics")
pytest.importorskip("trackeval")

NINE = "MOT17-09-FRCNN"


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the IoU of (N, 4) and (M, 4) xyxy boxes."""
    overlap = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    intersection = overlap.clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return np.asarray(intersection / (areas[0][:, None] + areas[1] - intersection))


def greedy_iou_tracks(sequence: Sequence, score: float, patience: int = 30) -> list[FrameResult]:
    """Give each detection the id of the track with the largest IoU: a simple tracker to score."""
    results: list[FrameResult] = []
    ids, boxes, seen = np.empty(0, np.int64), np.empty((0, 4), np.float32), np.empty(0, np.int64)
    for t, detections in sequence.detections().items():
        detections = detections[detections[:, 4] >= score]
        found = np.full(len(detections), -1)
        iou = pairwise_iou(boxes, detections[:, :4])
        while iou.size and iou.max() > 0.3:
            track, detection = np.unravel_index(iou.argmax(), iou.shape)
            found[detection] = ids[track]
            boxes[track], seen[track] = detections[detection, :4], t
            iou[track], iou[:, detection] = 0, 0
        new = found < 0
        found[new] = (
            np.arange(new.sum()) + 1 + max((r.ids.max(initial=0) for r in results), default=0)
        )
        ids = np.concatenate([ids, found[new]])
        boxes = np.concatenate([boxes, detections[new, :4]])
        seen = np.concatenate([seen, np.full(new.sum(), t)])
        alive = t - seen < patience
        ids, boxes, seen = ids[alive], boxes[alive], seen[alive]
        results.append(FrameResult(t, found, detections[:, :4], detections[:, 4]))
    return results


def considered(gt: GroundTruth) -> list[FrameResult]:
    """Return the scored people as tracking results."""
    keep = gt.considered & (gt.classes == 1)
    return [
        FrameResult(
            t,
            gt.ids[keep & (gt.frames == t)],
            gt.boxes[keep & (gt.frames == t)],
            np.ones((keep & (gt.frames == t)).sum(), np.float32),
        )
        for t in range(1, int(gt.frames.max(initial=0)) + 1)
    ]


def assert_agreement(root: Path, results: Path, names: str | None = None) -> dict[str, Scores]:
    scores, second = evaluate(root, results, names), motmetrics_scores(root, results, names)
    assert list(scores) == list(second)
    for name, fields in second.items():
        assert {key: getattr(scores[name], key) for key in fields} == pytest.approx(
            fields, rel=0, abs=1e-9
        )
    return scores


@pytest.fixture
def mot17(data_root: Path) -> Path:
    return data_root / "MOT17" / "train"


# The two agree


@pytest.mark.parametrize("score", [0.1, 0.5, 0.9])
@pytest.mark.slow
def test_agreement_on_mot17(mot17: Path, tmp_path: Path, score: float) -> None:
    sequence = Sequence.open(mot17 / NINE)
    write_results(tmp_path / f"{NINE}.txt", greedy_iou_tracks(sequence, score))
    scores = assert_agreement(mot17, tmp_path, "09")[NINE]
    assert 53 < scores.mota < 56
    assert 25 < scores.idsw < 40


@pytest.mark.processor
def test_agreement_on_the_sequences_of_motmetrics(tmp_path: Path) -> None:
    data = Path(motmetrics.__file__).parent / "data"
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        gt = (data / name / "gt.txt").read_text()
        length = int(gt.rstrip().splitlines()[-1].split(",")[0])
        empty = dict.fromkeys(range(1, length + 1), np.empty((0, 5)))
        sequence = write_sequence(tmp_path, name, 25, (640, 480), empty)
        sequence.ground_truth_path.parent.mkdir()
        sequence.ground_truth_path.write_text(gt)
        (tmp_path / "results").mkdir(exist_ok=True)
        shutil.copy(data / name / "test.txt", tmp_path / "results" / f"{name}.txt")
    scores = assert_agreement(tmp_path, tmp_path / "results")
    assert list(scores) == ["TUD-Campus", "TUD-Stadtmitte", COMBINED]
    # The README of motmetrics has IDF1 55.8 and 64.5, MOTA 52.6 and 56.4 for these.
    assert scores["TUD-Campus"].mota == pytest.approx(52.6, abs=0.05)
    assert scores["TUD-Campus"].idf1 == pytest.approx(55.8, abs=0.05)
    assert scores["TUD-Stadtmitte"].mota == pytest.approx(56.4, abs=0.05)
    assert scores["TUD-Stadtmitte"].idf1 == pytest.approx(64.5, abs=0.05)


def test_perfect_results(mot17: Path, tmp_path: Path) -> None:
    gt = Sequence.open(mot17 / NINE).ground_truth()
    write_results(tmp_path / f"{NINE}.txt", considered(gt))
    scores = assert_agreement(mot17, tmp_path, "09")[NINE]
    assert scores == Scores(100, 100, 100, 100, 100, 0, 0, 0, 26, 0, 0, None)


# A small crowd, with known answers


def crowd(root: Path, name: str = "crowd", length: int = 10, people: int = 2) -> Sequence:
    """Write a sequence of people who stand side by side."""
    frames, ids = (x.ravel() + 1 for x in np.mgrid[:length, :people])
    corner = np.stack([ids * 30, np.full(len(ids), 10)], axis=1).astype(np.float32)
    ones = np.ones(len(ids))
    gt = GroundTruth(
        frames=frames,
        ids=ids,
        boxes=np.hstack([corner, corner + np.array([20, 40], np.float32)]),
        considered=ones.astype(np.bool_),
        classes=ones.astype(np.int64),
        visibility=ones.astype(np.float32),
    )
    empty = dict.fromkeys(range(1, length + 1), np.empty((0, 5), np.float32))
    return write_sequence(root, name, 30, (640, 480), empty, gt)


def test_known_answers(tmp_path: Path) -> None:
    sequence = crowd(tmp_path)
    results = considered(sequence.ground_truth())
    results[6:] = [r._replace(ids=np.array([6, 2])) for r in results[6:]]  # one switch
    results[2] = results[2]._replace(boxes=results[2].boxes + np.array([300, 0, 300, 0], "f4"))
    write_results(tmp_path / "crowd.txt", results)
    scores = assert_agreement(tmp_path, tmp_path)["crowd"]
    assert (scores.fp, scores.fn, scores.idsw) == (2, 2, 1)
    assert scores.mota == pytest.approx(75)  # 20 boxes, 5 errors
    assert scores.idf1 == pytest.approx(100 * (5 + 9) / 20)
    assert (scores.mt, scores.ml, scores.frag) == (2, 0, 2)


def test_combined_adds_up_and_time_is_read(tmp_path: Path) -> None:
    for name, length in (("a", 10), ("b", 30)):
        sequence = crowd(tmp_path, name, length)
        write_results(tmp_path / f"{name}.txt", considered(sequence.ground_truth())[: length // 2])
        (tmp_path / f"{name}.json").write_text(json.dumps({"frames": length, "seconds": 0.1}))
    scores = assert_agreement(tmp_path, tmp_path)
    assert [s.fn for s in scores.values()] == [10, 30, 40]
    assert [s.mota for s in scores.values()] == pytest.approx([50, 50, 50])
    assert [s.hz for s in scores.values()] == pytest.approx([100, 300, 200])
    (tmp_path / "b.json").unlink()
    assert [s.hz for s in evaluate(tmp_path, tmp_path).values()] == [pytest.approx(100), None, None]


@pytest.mark.parametrize("text", ["{", "[]", '{"frames": 3}', '{"frames": 3, "seconds": 0}'])
def test_malformed_time(tmp_path: Path, text: str) -> None:
    write_results(tmp_path / "crowd.txt", considered(crowd(tmp_path).ground_truth()))
    (tmp_path / "crowd.json").write_text(text)
    with pytest.raises(ValueError, match=r"crowd\.json: expected "):
        evaluate(tmp_path, tmp_path)


def test_preprocessing_of_distractors(tmp_path: Path) -> None:
    """A result on a distractor is not an error. Vehicles are distractors in MOT20, not in MOT17."""
    for name, errors in (("MOT17-01", 10), ("MOT20-01", 0)):
        sequence = crowd(tmp_path, name)
        results = considered(sequence.ground_truth())
        gt = sequence.ground_truth()
        gt.classes[gt.ids == 2] = 6  # a vehicle without motor
        gt.considered[gt.ids == 2] = False
        write_sequence(tmp_path, name, 30, (640, 480), sequence.detections(), gt)
        write_results(tmp_path / f"{name}.txt", results)
        scores = assert_agreement(tmp_path, tmp_path, name)[name]
        assert (scores.fp, scores.fn) == (errors, 0)


def test_mot15_is_not_preprocessed(tmp_path: Path) -> None:
    sequence = crowd(tmp_path, "Venice-2")
    write_results(tmp_path / "Venice-2.txt", considered(sequence.ground_truth()))
    lines = sequence.ground_truth_path.read_text().splitlines()
    fields = [line.split(",")[:7] for line in lines]
    sequence.ground_truth_path.write_text("".join(f"{','.join(f)},-1,-1,-1\n" for f in fields))
    assert assert_agreement(tmp_path, tmp_path)["Venice-2"].mota == 100


@pytest.mark.parametrize("people", [0, 2])
@pytest.mark.parametrize("tracks", [0, 2])
def test_no_people_or_no_tracks(tmp_path: Path, people: int, tracks: int) -> None:
    sequence = crowd(tmp_path, people=tracks)
    write_results(tmp_path / "crowd.txt", considered(sequence.ground_truth()))
    crowd(tmp_path, people=people)
    scores = evaluate(tmp_path, tmp_path)["crowd"]
    assert (scores.fp, scores.fn) == (10 * max(tracks - people, 0), 10 * max(people - tracks, 0))
    second = motmetrics_scores(tmp_path, tmp_path)["crowd"]
    assert (second["fp"], second["fn"]) == (scores.fp, scores.fn)


def test_difference_of_motmetrics_and_trackeval(tmp_path: Path) -> None:
    """The only known difference: motmetrics prefers the last identity before a gap.

    https://github.com/cheind/py-motmetrics/issues/132
    """
    sequence = crowd(tmp_path, length=3, people=1)
    box = sequence.ground_truth().boxes[:1]
    shifted = box + np.array([4, 0, 4, 0], np.float32)  # IoU 2/3
    results = [
        (1, [1], box, [1]),
        (2, [3], box + 100, [1]),
        (3, [1, 2], np.concatenate([shifted, box]), [1, 1]),
    ]
    write_results(tmp_path / "crowd.txt", results)
    scores, second = evaluate(tmp_path, tmp_path), motmetrics_scores(tmp_path, tmp_path)
    assert (scores["crowd"].idsw, second["crowd"]["idsw"]) == (1, 0)


# What goes wrong


def test_sequences_without_results_are_left_out(tmp_path: Path) -> None:
    write_results(tmp_path / "a.txt", considered(crowd(tmp_path, "a").ground_truth()))
    crowd(tmp_path, "b")
    crowd(tmp_path, "c")
    with pytest.warns(UserWarning, match="no results in .* for b, c: left out"):
        assert list(evaluate(tmp_path, tmp_path)) == ["a"]
    with pytest.raises(FileNotFoundError, match=r"results: expected <sequence>.txt in .* for b"):
        evaluate(tmp_path, tmp_path, "b")


def test_errors_name_the_line(tmp_path: Path) -> None:
    sequence = crowd(tmp_path)
    path = tmp_path / "crowd.txt"
    path.write_text("1,1,1,1,5,5,1,-1,-1,-1\n11,1,1,1,5,5,1,-1,-1,-1\n")
    with pytest.raises(ValueError, match=r"crowd\.txt:2: expected a frame from 1 to 10"):
        evaluate(tmp_path, tmp_path)
    sequence.ground_truth_path.unlink()
    with pytest.raises(FileNotFoundError, match=r"the ground truth of crowd: .*gt\.txt"):
        evaluate(tmp_path, tmp_path)


def test_tracks_of_other_classes_are_scored(tmp_path: Path) -> None:
    """All of them, as pedestrians. A warning says so if there are several classes."""
    sequence = crowd(tmp_path)
    results = considered(sequence.ground_truth())
    path = tmp_path / "crowd.txt"
    write_results(path, results)
    expected = evaluate(tmp_path, tmp_path)
    write_results(path, [r._replace(classes=np.full(len(r.ids), 2)) for r in results])
    assert evaluate(tmp_path, tmp_path) == expected
    write_results(path, [r._replace(classes=r.ids) for r in results])
    with pytest.warns(UserWarning, match=r"crowd\.txt: tracks of classes 1, 2 are all scored"):
        assert evaluate(tmp_path, tmp_path) == expected
    with pytest.warns(UserWarning, match=r"crowd\.txt: tracks of classes 1, 2 are all scored"):
        second = motmetrics_scores(tmp_path, tmp_path)
    assert second["crowd"]["mota"] == expected["crowd"].mota


@pytest.mark.parametrize("name", ["a, b", "street; 2", "Stra\u00dfe 'x'", "50 % [new] {seq}", "#1"])
def test_any_name_of_a_sequence(tmp_path: Path, name: str) -> None:
    sequence = crowd(tmp_path, name)
    write_results(tmp_path / f"{name}.txt", considered(sequence.ground_truth()))
    scores = assert_agreement(tmp_path, tmp_path)
    assert {n: s.mota for n, s in scores.items()} == {name: 100}


def test_marks_blank_lines_and_a_last_comma(tmp_path: Path) -> None:
    sequence = crowd(tmp_path)
    path = tmp_path / "crowd.txt"
    write_results(path, considered(sequence.ground_truth())[:7])
    expected = evaluate(tmp_path, tmp_path)
    for file in (path, sequence.ground_truth_path):
        lines = file.read_text().splitlines()
        file.write_text("\ufeff\n" + "".join(f"{line},\n\n" for line in lines), "utf-8")
    (sequence.path / "seqinfo.ini").write_text("[Sequence]\nname=crowd\nseqLength=10\n")
    assert evaluate(tmp_path, tmp_path) == expected


def test_scoring_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "crowd.txt", considered(crowd(tmp_path).ground_truth()))
    before = sorted(tmp_path.rglob("*"))
    evaluate(tmp_path, tmp_path)
    motmetrics_scores(tmp_path, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_table() -> None:
    scores = {
        "crowd": Scores(51.23, 2, 3, -4.56, 5, 6, 7, 8, 9, 10, 11, 123.44),
        COMBINED: Scores(100, 100, 100, 100, 100, 0, 0, 0, 26, 0, 0),
    }
    header, _, first, second = table(scores).splitlines()
    assert " ".join(header.split()) == "HOTA AssA DetA MOTA IDF1 FP FN IDsw MT ML Frag Hz"
    assert " ".join(first.split()) == "crowd 51.2 2.0 3.0 -4.6 5.0 6 7 8 9 10 11 123.4"
    assert second.endswith("  -")


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, call in (
        ("trackeval", lambda: evaluate(tmp_path, tmp_path)),
        ("motmetrics", lambda: motmetrics_scores(tmp_path, tmp_path)),
        ("tabulate", lambda: table({})),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ImportError, match=rf"{name}: pip install sslmot\[evaluation\]"):
                call()


def test_import_does_not_import_the_packages() -> None:
    code = (
        "import sys, importlib.util as u;"
        f"spec = u.spec_from_file_location('evaluate', {module.__file__!r});"
        "m = sys.modules['evaluate'] = u.module_from_spec(spec); spec.loader.exec_module(m);"
        "print({'motmetrics', 'trackeval', 'tabulate', 'pandas'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
