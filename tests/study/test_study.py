"""The study on a small crowd: cells are trained once, scored once, and what ends early is said."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("trackeval")

import torch

from sslmot.cli import main
from sslmot.data.mot import GroundTruth, write_sequence
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd
from sslmot.study import parts
from sslmot.study.cells import ACD, BARLOW_OWN, MSE, SWEPT
from sslmot.study.figure3 import draw, embedding, people_of, separation
from sslmot.study.run import Study
from sslmot.study.scales import Scale
from sslmot.study.scores import paper_tracker
from sslmot.study.sources import find_sources
from sslmot.training.collapse import CollapseError
from sslmot.tuning.footage import Footage

TINY = Scale(
    settings={"backbone": "resnet18", "crop_size": (64, 32), "batch_size": 16, "epochs": 1},
    differs="Tiny.",
    rates=(0.05,),
    barlow_rates=(0.0125,),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two small sequences: one to learn from, one to be scored on."""
    folder = tmp_path_factory.mktemp("data")
    for name, frames, seed in (("MOT17-02-FRCNN", 8, 1), ("MOT17-09-FRCNN", 64, 2)):
        config = CrowdConfig(people=4, frames=frames, width=320, height=180, seed=seed)
        write_crowd(Crowd(config), folder / "MOT17" / "train" / name)
    return folder


@pytest.fixture(scope="module")
def study(root, tmp_path_factory):
    return Study(find_sources(root), TINY, tmp_path_factory.mktemp("study"))


@pytest.mark.filterwarnings("ignore:MOT17-09")
def test_a_table_is_made_once(study):
    text = parts.table(study, "table2", 1)
    assert (study.folder / "table2.md").read_text() == text
    assert "| ACD > cosine | open | open | open |" in text
    assert "Not at hand: Market-1501, MOT17-05 (training)" in text

    def written():
        same = (".md", ".lock")
        files = [p for p in study.folder.rglob("*") if p.is_file() and p.suffix not in same]
        return {p: p.stat().st_mtime_ns for p in files if p.name != "study.json"}

    files = written()
    assert {p.parent.name for p in files if p.name == "scores.json"} == {
        "mse-resnet18-seed0", "cosine-resnet18-seed0", "acd-resnet18-seed0",
        "untrained", "histogram",
    }  # fmt: skip
    assert parts.table(study, "table2", 1) == text
    assert files == written()


@pytest.mark.filterwarnings("ignore:MOT17-09")
def test_the_scores_are_those_of_the_tracks_that_are_written(study):
    from sslmot.evaluation.tracks import evaluate

    scores = study.scores(ACD, 0)
    folder = study.folder / "acd-resnet18-seed0" / "tracks"
    for name, expected in (("paper", scores.paper), ("default", scores.default)):
        again = evaluate(study.sources.evaluated[0].path, folder / name)["MOT17-09-FRCNN"]
        assert again == expected
    assert scores.reid.mean_ap is None
    assert scores.hz > 0


def test_another_scale_in_the_same_folder_is_refused(study):
    study.encoder(MSE, 0)
    other = replace(study, scale=replace(TINY, settings={**TINY.settings, "batch_size": 8}))
    wrong = r"output: expected a run with batch_size 8 in .*, got 16"
    for what in (other.encoder, other.scores):
        with pytest.raises(ValueError, match=wrong):
            what(MSE, 0)
    with pytest.raises(ValueError, match=r"output: expected a study with scale .*'batch_size': 8"):
        parts.table(other, "table2", 1)
    fewer = replace(study.sources, trained=())
    with pytest.raises(ValueError, match=r"output: expected a study with trained \[\] in"):
        parts.figure3(replace(study, sources=fewer))


def test_a_training_that_ends_early_is_a_result(study, monkeypatch, tmp_path):
    def collapses(*_, **__):
        raise CollapseError("epoch 1: collapsed")

    monkeypatch.setattr("sslmot.study.run.train", collapses)
    failing = replace(study, folder=tmp_path)
    assert failing.scores(MSE, 0).failed == "epoch 1: collapsed"
    monkeypatch.setattr("sslmot.study.run.train", None)  # not called again
    assert failing.scores(MSE, 0).failed == "epoch 1: collapsed"


def test_an_interrupted_training_goes_on(study, monkeypatch, tmp_path):
    from sslmot.training import trainer

    twice = replace(
        study, folder=tmp_path, scale=replace(TINY, settings={**TINY.settings, "epochs": 2})
    )
    whole = replace(twice, folder=tmp_path / "whole").encoder(ACD, 0)
    epochs = []
    train_epoch = trainer._Trainer._train_epoch

    def stops(run):
        if epochs == [0]:
            raise KeyboardInterrupt
        epochs.append(run.epoch)
        train_epoch(run)

    monkeypatch.setattr(trainer._Trainer, "_train_epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        twice.encoder(ACD, 0)
    epochs.append("again")
    continued = twice.encoder(ACD, 0)
    assert epochs == [0, "again", 1]
    for name, tensor in whole.network.state_dict().items():
        assert (continued.network.state_dict()[name] == tensor).all()


def test_a_rate_is_chosen_once_by_the_mean_of_all_cells(study, monkeypatch, tmp_path):
    asked = []

    def precision(self, folder):
        cell, rate = folder.name.rsplit("-", 1)
        asked.append((cell, float(rate)))
        if (cell, rate) == ("mse", "0.2"):
            raise CollapseError("collapsed")
        return {"0.05": 0.2, "0.2": 0.25, "0.8": 0.1}[rate]

    monkeypatch.setattr(Study, "_trained", lambda self, folder, config: folder)
    monkeypatch.setattr(Study, "_precision", lambda self, folder: precision(self, folder))
    swept = replace(study, folder=tmp_path, scale=replace(TINY, rates=(0.05, 0.2, 0.8)))
    with pytest.raises(ValueError, match="data: expected Market-1501, by which the learning rate"):
        swept.trials([ACD])
    assert (
        swept.learning_rate(ACD) == 0.05
    )  # .25 of three and nothing of one are less than .2 of all
    assert sorted(asked) == sorted((c.name, r) for c in SWEPT for r in (0.05, 0.2, 0.8))
    with_market = replace(swept, sources=replace(swept.sources, market=tmp_path))
    assert {(t.cell.name, t.rate) for t in with_market.trials([MSE, ACD])} == set(asked)
    found = json.loads((tmp_path / "sweep" / "mse-0.2" / "precision.json").read_text())
    assert found == {"mean_ap": 0.0}
    asked.clear()
    assert swept.learning_rate(MSE) == 0.05
    assert swept.learning_rate(BARLOW_OWN) == 0.0125
    assert not asked


def test_the_rule_of_the_papers_constants():
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(n, 8)).astype(np.float32) for n in (3, 0, 1, 5)]
    frames[3][2] = 0  # a box outside of the picture has no feature
    clip = Footage("clip", [np.zeros((len(f), 5), np.float32) for f in frames], frames)
    cosines = []
    for features in frames:
        rows = [f.astype(np.float64) for f in features if f.any()]
        for i, a in enumerate(rows):
            cosines += [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in rows[:i]]
    config = paper_tracker(clip)
    assert config.tau == pytest.approx(1 - np.median(cosines), abs=1e-6)
    # The affinity of the median pair is the threshold.
    affinity = math.exp((np.median(cosines) - 1) / config.tau)
    assert config.min_affinity == pytest.approx(affinity, abs=1e-6)
    with pytest.raises(ValueError, match="clip: expected a frame with two detections"):
        paper_tracker(Footage("alone", [np.zeros((1, 5), np.float32)], [frames[0][:1]]))


def test_separation_of_people():
    ids = np.repeat([4, 7, 9], 20)
    rng = np.random.default_rng(0)
    axes = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], 20)]
    noise = rng.normal(size=(60, 3)).astype(np.float32)

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    apart, mixed = separation(unit(axes + 0.01 * noise), ids), separation(unit(noise), ids)
    assert apart.silhouette > 0.95
    assert apart.purity == 1
    assert apart.ratio > 100
    assert mixed.silhouette < 0.1
    assert mixed.purity == pytest.approx(19 / 59, abs=0.15)
    # Three unit vectors along the axes: each is 2/3 (squared) from their mean.
    exact = separation(axes + np.float32(1e-4) * noise, ids)
    assert exact.ratio * (3 * 1e-8) == pytest.approx(2 / 3, rel=0.5)


def test_the_picture_of_figure_3():
    ids = np.repeat([4, 7], 40)
    features = np.eye(8, dtype=np.float32)[(ids == 7).astype(int)]
    features += 0.05 * np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    points = embedding(features, seed=0)
    np.testing.assert_array_equal(points, embedding(features, seed=0))
    centres = [points[ids == person].mean(axis=0) for person in (4, 7)]
    spread = max(points[ids == person].std() for person in (4, 7))
    assert np.linalg.norm(centres[0] - centres[1]) > spread  # the people are apart
    picture = draw({name: (points, ids, separation(features, ids)) for name in ("a", "b")})
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 2 * picture.shape[0] * 520 // 584
    assert len({tuple(p) for p in picture.reshape(-1, 3)[::7].tolist()}) > 3


def test_figure_3_shows_the_ten_people_that_are_seen_longest(tmp_path):
    # Person p is in p frames, and in one more where it is hidden.
    rows = np.array([(t, p, t <= p) for p in range(1, 16) for t in range(1, p + 2)])
    truth = GroundTruth(
        frames=rows[:, 0],
        ids=rows[:, 1],
        boxes=np.add.outer(rows[:, 1] * 10.0, [0, 0, 9, 9]),
        considered=np.ones(len(rows), bool),
        classes=np.ones(len(rows), np.int64),
        visibility=np.where(rows[:, 2], 0.5, 0.2),
    )
    nothing = {t: np.empty((0, 5)) for t in range(1, 17)}
    sequence = write_sequence(tmp_path, "clip", 30, (200, 200), nothing, truth)
    frames, ids, boxes = people_of(sequence)
    assert set(ids.tolist()) == set(range(6, 16))
    assert (np.bincount(ids)[6:] == np.arange(6, 16)).all()
    assert (np.diff(frames) >= 0).all()
    np.testing.assert_array_equal(boxes[:, 0], ids * 10)


@pytest.mark.filterwarnings("ignore:MOT17-09")
def test_figure_3_and_sensitivity(study, root):
    text = parts.figure3(study)
    assert (study.folder / "figure3.png").stat().st_size > 1000
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][
        2:
    ] == ["random weights", "MSE", "cosine", "ACD"]
    text = parts.sensitivity(study, root)
    # By the rule, each line has the same score, which is that of the table.
    rows = [line.split("|")[5] for line in text.splitlines() if line.startswith("| MOT17-09")]
    assert {row.split()[0] for row in rows} == {f"{study.scores(ACD, 0).paper.idf1:.1f}"}
    assert (study.folder / "sensitivity.png").stat().st_size > 1000
    assert all(symbol in text for symbol in ("| tau |", "| rho_1 |", "| rho_2 |"))


@pytest.mark.filterwarnings("ignore:MOT17-09")
def test_benchmark_is_ready_for_the_server(study, root):
    import zipfile

    text = parts.benchmark(study, root)
    for name in ("paper", "default"):
        with zipfile.ZipFile(study.folder / "benchmark" / "MOT17" / f"{name}.zip") as archive:
            assert archive.namelist() == ["MOT17-02-FRCNN.txt", "MOT17-09-FRCNN.txt"]
        assert f"| MOT17 | 2 | 1 | {name} |" in text  # 02 was learned from


def test_wrong_arguments(capsys, tmp_path):
    for arguments, message in (
        (["table2"], "--data, --smoke: expected one of them, got neither"),
        (["table2", "--smoke", "--data", str(tmp_path)], "expected one of them, got both"),
        (["table2", "--smoke", "--seeds", "0"], "--seeds: expected 1 or more, got 0"),
        (["table1", "--smoke"], "--poses: expected a folder of `sslmot make-poses`"),
        (["table2", "--data", str(tmp_path)], "data: expected Market-1501"),
        (["figure3", "--smoke", "--ray"], "--ray: expected one of table1, table2"),
    ):
        with pytest.raises(SystemExit):
            main(["study", *arguments, "--output", str(tmp_path / "out")])
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_smoke(tmp_path, capsys):
    main(["study", "table2", "--smoke", "--seeds", "1", "--output", str(tmp_path)])
    assert "## Table 2: losses" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:MOT17-09")
def test_cells_on_a_cluster_are_those_of_one_process(study, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install sslmot[ray]")
    from sslmot.study.jobs import run

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = replace(study, folder=tmp_path / "here").encoder(MSE, 0)
    finally:
        torch.set_num_threads(threads)
    spread = replace(study, folder=tmp_path / "there")
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        run(spread, [MSE], 1, "")
    finally:
        ray.shutdown()
    there = spread.encoder(MSE, 0)
    for name, tensor in here.network.state_dict().items():
        assert (there.network.state_dict()[name] == tensor).all()
    assert (tmp_path / "there" / "mse-resnet18-seed0" / "scores.json").exists()


def test_two_processes_do_not_share_a_cell(tmp_path):
    import threading

    from sslmot.study.run import _alone

    order = []

    def second():
        with _alone(tmp_path / "cell"):
            order.append("second")

    with _alone(tmp_path / "cell"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_loss_that_collapsed_has_no_panel(study, monkeypatch, tmp_path):
    def encoder(self, cell, seed):
        if cell is MSE:
            raise CollapseError("epoch 1: collapsed")
        return self.untrained()

    monkeypatch.setattr(Study, "encoder", encoder)
    text = parts.figure3(replace(study, folder=tmp_path))
    assert "Without MSE: epoch 1: collapsed." in text
    assert "| cosine |" in text
    assert "| MSE |" not in text


def test_an_interrupted_crowd_is_made_again(tmp_path, monkeypatch):
    from sslmot.study import generated

    def stops(crowd, path):
        path.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generated, "write_crowd", stops)
        with pytest.raises(KeyboardInterrupt):
            generated.write_generated(tmp_path / "data")
    assert not (tmp_path / "data").exists()
