"""Cells, claims and tables of the study, without any training."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslmot.evaluation.tracks import Scores
from sslmot.study.cells import ACD, SWEPT, TABLES
from sslmot.study.claims import CLAIMS, verdict
from sslmot.study.scales import SCALES
from sslmot.study.scores import CellScores, Reid
from sslmot.study.tables import COLUMNS, markdown
from sslmot.training.config import TrainConfig


@pytest.mark.parametrize("scale", SCALES)
def test_cells_of_one_folder_are_the_same_training(scale):
    found = {}
    for table in TABLES.values():
        for cell in table.rows.values():
            config = cell.config(SCALES[scale].settings, 3, 0.05, "poses")
            rate = cell.own_rate  # a learning rate of its own
            assert found.setdefault(cell.folder(config), (config, rate)) == (config, rate)
    assert len(found) == 12


def test_cells_differ_from_the_recipe_in_what_the_table_compares():
    common = SCALES["paper"].settings
    base = ACD.config(common, 0, 0.05)
    assert base == TrainConfig.paper(views="image")
    for name, fields in {
        "table1": {"views", "poses"},
        "table2": {"loss"},
        "table3": {"method", "loss", "feature"},
        "backbones": {"backbone"},
    }.items():
        for cell in TABLES[name].rows.values():
            config = cell.config(common, 0, 0.05, "poses")
            differs = {k for k, v in config.to_dict().items() if v != base.to_dict()[k]}
            assert differs <= fields


def test_claims_are_of_rows_of_their_tables():
    assert CLAIMS.keys() == TABLES.keys()
    for name, claims in CLAIMS.items():
        for claim in claims:
            assert {claim.better, claim.worse} <= TABLES[name].rows.keys()


def test_the_sweep_serves_every_loss_and_method_with_the_common_rate():
    common = {c.name for t in ("table2", "table3") for c in TABLES[t].rows.values()}
    assert common - {c.name for c in SWEPT} == {"barlow", "barlow-own"}


def test_verdicts():
    assert verdict([50, 51], [40, 41]) == "confirmed"
    assert verdict([40, 41], [50, 51]) == "refuted"
    assert verdict([50, 60], [48, 49]) == "tie"
    assert verdict([50], [40, 41]) == "open"
    assert verdict([], []) == "open"
    assert verdict([50, 51, None], [40, 41, 42]) == "open"  # a seed collapsed
    assert verdict([50, float("nan")], [40, 41]) == "open"
    assert verdict([50, 60], [48, 49], or_equal=True) == "confirmed"
    assert verdict([40, 41], [50, 51], or_equal=True) == "refuted"
    assert verdict([5, 5], [5, 5]) == "tie"


seeds = st.lists(st.floats(0, 100), min_size=2, max_size=5)


@given(seeds, seeds)
def test_a_verdict_turns_with_the_rows(better, worse):
    turned = {"confirmed": "refuted", "refuted": "confirmed", "tie": "tie"}
    assert verdict(worse, better) == turned[verdict(better, worse)]


def cell_scores(idf1, mean_ap):
    tracks = Scores(50.0, 50.0, 50.0, 60.0, idf1, 7, 8, 9, 1, 2, 3)
    return CellScores(
        reid=Reid(0.5, mean_ap, 0.6, 0.7), backbone=None, paper=tracks, default=tracks, hz=12.25
    )


def test_a_table_has_mean_and_spread():
    rows = {
        "two": [cell_scores(60.0, 0.1), cell_scores(62.0, 0.2)],
        "one": [cell_scores(61.0, None)],
        "lost": [CellScores(failed="a|b"), cell_scores(10.0, 0.3)],
    }
    lines = list(markdown(rows))
    header = [cell.strip() for cell in lines[0].strip("|").split("|")]
    cells = {
        line.split("|")[1].strip(): dict(
            zip(header[1:], (c.strip() for c in line.strip("|").split("|")[1:]), strict=True)
        )
        for line in lines[2:]
    }
    assert header[1:] == [name for name, _, _ in COLUMNS]
    assert cells["two"]["IDF1"] == f"61.0 ± {math.sqrt(2):.1f}"
    assert cells["two"]["mAP"] == "0.150 ± 0.071"
    assert cells["one"]["mAP"] == "-"
    assert cells["one"]["Hz"] == "12.2"
    assert cells["lost (1 of 2 failed: a/b)"]["IDF1"] == "10.0"
    assert cells["two"]["mAP of the backbone"] == "-"


def test_scores_are_read_as_written(tmp_path):
    scores = cell_scores(61.5, 0.25)
    assert CellScores.from_dict(scores.to_dict(), tmp_path) == scores
    assert CellScores.from_dict(CellScores(failed="x").to_dict(), tmp_path).failed == "x"
    with pytest.raises(ValueError, match=r"scores\.json: expected scores of a cell"):
        CellScores.from_dict({"other": 1}, tmp_path / "scores.json")


def test_the_page_has_the_scores_of_the_runs():
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "study.md").read_text()
    results = root / "benchmarks" / "results" / "study"
    folders = {"random weights": "untrained", "colour histogram": "histogram"}
    folders |= {loss: f"{loss.lower()}-resnet18-seed0" for loss in ("MSE", "cosine", "ACD")}
    paths = {label: results / folder / "scores.json" for label, folder in folders.items()}
    rows = {k: [CellScores.from_dict(json.loads(p.read_text()), p)] for k, p in paths.items()}
    _, _, *lines = markdown(rows)
    for line in lines:
        without_hz = line.rsplit("|", 2)[0]
        assert f"\n{without_hz}|\n" in page
    for seed in (0, 1):
        config = TrainConfig.load(results / f"acd-resnet18-seed{seed}" / "config.yaml", whole=True)
        assert config == ACD.config(SCALES["small"].settings, seed, 0.2)
