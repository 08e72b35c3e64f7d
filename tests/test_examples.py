"""Run the examples unchanged on generated videos."""

import runpy
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot import Tracker, TrackerGroup
from sslmot.assignment import iou
from sslmot.data.frames import open_frames
from sslmot.data.mot import write_detections
from sslmot.demo.crowd import Crowd, CrowdConfig

EXAMPLES = Path(__file__).parents[1] / "examples"
FRAMES, WIDTH = 40, 640


class Film:
    """A generated video of a crowd, its detections, and who is where."""

    def __init__(self, folder, name, mirrored=False):
        config = CrowdConfig(
            people=5, frames=FRAMES, width=WIDTH, height=360, seed=3, lookalikes=0.0
        )
        crowd = Crowd(config)
        self.video, self.detections = folder / f"{name}.mp4", folder / f"{name}.txt"
        writer = cv2.VideoWriter(str(self.video), cv2.VideoWriter_fourcc(*"mp4v"), 30, (WIDTH, 360))
        assert writer.isOpened()
        found, self.truth = {}, {}
        for t in range(1, FRAMES + 1):
            frame, rows, truth = crowd.frame(t - 1), crowd.detections(t - 1), crowd.truth(t - 1)
            boxes = truth.boxes.copy()
            if mirrored:  # and darker: another camera
                frame = (frame[:, ::-1] * 0.85).astype(np.uint8)
                for some in (rows, boxes):
                    some[:, [0, 2]] = WIDTH - some[:, [2, 0]]
            writer.write(frame)
            found[t], self.truth[t] = rows, (truth.ids, boxes)
        writer.release()
        write_detections(self.detections, found)

    def people(self, t, boxes):
        """The person in each box of a frame, and how much of it that is (IoU)."""
        ids, truth = self.truth[t]
        overlap = iou(np.float32(boxes).reshape(-1, 4), truth)
        return ids[overlap.argmax(axis=1)].tolist(), overlap.max(axis=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return Film(tmp_path_factory.mktemp("film"), "north")


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run an example in an empty folder: returns its variables and the lines that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        variables = runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return variables, capsys.readouterr().out.splitlines()

    return run


def purity(votes):
    """Share of the boxes that show the person who is most frequent in their identity."""
    return sum(max(c.values()) for c in votes.values()) / sum(c.total() for c in votes.values())


def test_examples_are_short():
    lines = {path.name: path.read_text().count("\n") for path in EXAMPLES.glob("*.py")}
    assert len(lines) >= 6
    assert max(lines.values()) <= 30


def test_own_detector(film, run):
    pytest.importorskip("torch")
    _, lines = run("own_detector.py", film.video)
    rows = np.array([[float(value) for value in line.split(",")] for line in lines])
    assert rows.shape[1] == 7
    assert (np.diff(rows[:, 0]) >= 0).all()
    assert rows[-1, 0] == FRAMES
    assert max(Counter(rows[:, 1].tolist()).values()) > FRAMES / 2
    good = [
        film.people(t, box)[1][0] > 0.3 for t, box in zip(rows[:, 0], rows[:, 2:6], strict=True)
    ]
    assert np.mean(good) > 0.7


def test_own_embeddings(film, run):
    pytest.importorskip("pandas")
    variables, lines = run("own_embeddings.py", film.video, film.detections)
    votes = {}
    for t, table in variables["tables"].items():
        for track in table.itertuples():
            [person], _ = film.people(t, [track.x1, track.y1, track.x2, track.y2])
            votes.setdefault(track.id, Counter())[person] += 1
    assert purity(votes) > 0.9
    counts = {int(line.split()[0]): int(line.split()[-1]) for line in lines[2:]}
    assert counts == {i: c.total() for i, c in votes.items()}
    assert sorted(counts.values())[-2] > 0.8 * FRAMES


def test_two_cameras(film, tmp_path, run, monkeypatch):
    pytest.importorskip("torch")
    films, seen, frames = [film, Film(tmp_path, "south", mirrored=True)], [{}, {}], iter(range(99))
    step = TrackerGroup.step

    def recorded(self, *arguments, **named):
        found, t = step(self, *arguments, **named), next(frames) + 1
        for film_, votes, tracks in zip(films, seen, found, strict=True):
            for identity, person in zip(tracks.ids, film_.people(t, tracks.boxes)[0], strict=True):
                votes.setdefault(int(identity), Counter())[person] += 1
        return found

    monkeypatch.setattr(TrackerGroup, "step", recorded)
    paths = [path for film_ in films for path in (film_.video, film_.detections)]
    _, lines = run("two_cameras.py", *paths)
    who = [{i: votes.most_common(1)[0][0] for i, votes in some.items()} for some in seen]
    both = set(who[0]) & set(who[1])
    assert len(both) >= 3
    assert all(who[0][identity] == who[1][identity] for identity in both)
    assert lines[-1] == f"in all: ids {sorted(both)}"
    assert (tmp_path / "people.npz").exists()


def test_resume(film, run, monkeypatch):
    pytest.importorskip("torch")
    _, whole = run("resume.py", film.video, film.detections, "whole.safetensors")
    assert len(whole) == FRAMES
    step, steps = Tracker.step, iter(range(FRAMES))

    def interrupted(self, *arguments, **named):
        if next(steps) == 35:
            raise KeyboardInterrupt
        return step(self, *arguments, **named)

    monkeypatch.setattr(Tracker, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("resume.py", film.video, film.detections, "parts.safetensors")
    monkeypatch.setattr(Tracker, "step", step)
    _, rest = run("resume.py", film.video, film.detections, "parts.safetensors")
    assert rest[-10:] == whole[30:]
    one, other = (Tracker.load(f"{name}.safetensors").state_dict() for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert run("resume.py", film.video, film.detections, "parts.safetensors")[1] == []


@pytest.mark.slow
def test_train_then_track(film, run, tmp_path):
    for package in ("torch", "kornia", "tensorboard"):
        pytest.importorskip(package)
    variables, lines = run("train_then_track.py", film.video, film.detections, "runs/mine", 1)
    assert (tmp_path / "runs" / "mine" / "encoder.safetensors").is_file()
    assert Path(variables["weights"]).resolve().parent == tmp_path / "runs" / "mine"
    votes = {}
    for line in lines[-2 * FRAMES :]:
        t, identity, *box = map(int, line.split())
        votes.setdefault(identity, Counter())[film.people(t, box)[0][0]] += 1
    assert purity(votes) > 0.9


def test_supervision_loop(film, run, tmp_path):
    pytest.importorskip("supervision", reason="pip install sslmot[interop]")
    pytest.importorskip("torch")
    variables, _ = run("supervision_loop.py", film.video, film.detections, "drawn.mp4")
    tracker = variables["tracker"].tracker
    assert len(variables["tracked"]) > 2
    assert tracker.frame_rate == 30
    assert tracker.history.time == pytest.approx((FRAMES - 1) / 30)
    plain, drawn = (
        [frame for _, frame, _ in open_frames(video)]
        for video in (film.video, tmp_path / "drawn.mp4")
    )
    assert len(drawn) == len(plain) == FRAMES
    assert plain[-1].shape == drawn[-1].shape
    assert np.abs(plain[-1].astype(int) - drawn[-1]).max() > 100
