"""Reports: what is in the file, and what is not."""

import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from sslmot.appearance.histogram import ColorHistogram
from sslmot.cli import main
from sslmot.data.mot import FrameResult, Sequence, write_results, write_sequence
from sslmot.offline.run import Output, track_sequence
from sslmot.report import page
from sslmot.report.axes import labels, ticks
from sslmot.report.explanations import figures, sentence
from sslmot.report.linechart import Series, line_chart
from sslmot.report.markup import VOID, element
from sslmot.report.trajectories import simplify
from sslmot.report.words import MINUS, duration, moment, number
from sslmot.report.write import write_report
from sslmot.tracking.explain import Explanation
from sslmot.tracking.tracker import Tracker

FIELDS = ("IDF1", "HOTA", "MOTA", "Found", "Identities", "Switches")


class Checked(HTMLParser):
    """Parses a page; each end tag must close the last open element."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), (tag, attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[k] for k in ("href", "src", "xlink:href") if k in attributes]
        if tag not in (*VOID, "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(path):
    """Check that a file is one whole page without links to elsewhere, and parse it."""
    data = path.read_bytes()
    assert len(data) < 5e6
    text = data.decode()
    parsed = Checked(text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    for link in parsed.links:
        assert link.startswith("data:") or link.removeprefix("#") in parsed.ids, link[:80]
    assert not re.search(r"url\(|@import|https?:", text)
    return parsed


def test_a_sequence_with_ground_truth(folder, tmp_path):
    pytest.importorskip("trackeval")
    written = write_report(
        folder / "results", tmp_path / "report.html", source=folder / "data/crowd"
    )
    parsed = checked(tmp_path / "report.html")
    assert written.size == (tmp_path / "report.html").stat().st_size
    assert written.clips == 1
    assert written.switches > 0
    for name in FIELDS:
        assert name in parsed.text
    assert "The tracker's explanation" in parsed.text
    assert "Without the tracker's explanations" not in parsed.text
    names = [(tag, a.get("class")) for tag, a in parsed.tags]
    assert names.count(("g", "row")) > 24
    assert ("svg", "trajectories") in names
    assert ("svg", "linechart") in names
    cards = names.count(("article", "card"))
    assert cards
    assert [tag for tag, _ in names].count("img") >= 2 * cards
    assert all(a.get("alt") for tag, a in parsed.tags if tag == "img")
    marks = [a["href"] for tag, a in parsed.tags if tag == "a" and "change" in a["href"]]
    assert marks


def test_the_same_results_give_the_same_file(folder, tmp_path):
    for name in ("one", "two"):
        write_report(folder / "results", tmp_path / name, source=folder / "data/crowd")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_results_alone(folder, tmp_path):
    write_report(folder / "results/crowd.txt", tmp_path / "report.html")
    parsed = checked(tmp_path / "report.html")
    assert "Possible switches" in parsed.text
    assert "the sequence or video is not given (--source)" in parsed.text
    assert "IDF1" not in parsed.text
    assert not [tag for tag, _ in parsed.tags if tag == "img"]


def test_a_video(folder, tmp_path):
    (tmp_path / "results").mkdir()
    # Cut an identity in two, so that there is a possible switch.
    lines = (folder / "of_video/video.txt").read_text().splitlines()
    changed = [
        re.sub(r"^(\d+),1,", r"\1,99,", line) if int(line.split(",")[0]) > 30 else line
        for line in lines
    ]
    assert changed != lines
    (tmp_path / "results/video.txt").write_text("\n".join(changed) + "\n")
    record = (folder / "of_video/video.json").read_text()
    (tmp_path / "results/video.json").write_text(record)
    given = {"source": folder / "video.mp4"}
    write_report(tmp_path / "results", tmp_path / "report.html", **given)
    parsed = checked(tmp_path / "report.html")
    assert "Possible switches" in parsed.text
    assert [tag for tag, _ in parsed.tags if tag == "img"]
    assert "Without the tracker's explanations: the detections are not given." in parsed.text

    given["detections"] = folder / "data/crowd/det/det.txt"
    write_report(tmp_path / "results", tmp_path / "report.html", **given)
    assert "the tracker gives other tracks in frame 31" in checked(tmp_path / "report.html").text


def test_a_run_that_cannot_be_repeated(folder, tmp_path):
    record = json.loads((folder / "results/crowd.json").read_text())
    text = (folder / "results/crowd.txt").read_text()
    for change, reason in (
        ({"config": record["config"] | {"high_score": 0.99}}, "gives other tracks in frame"),
        ({"config": {"unheard_of": 1}}, "the settings are of another version"),
        ({"appearance": "Mine"}, "the appearance is from Mine"),
        ({"config": None}, "crowd.json with the settings is missing"),
    ):
        (tmp_path / "crowd.txt").write_text(text)
        changed = {k: v for k, v in (record | change).items() if k != "config" or v is not None}
        (tmp_path / "crowd.json").write_text(json.dumps(changed))
        write_report(tmp_path / "crowd.txt", tmp_path / "r.html", source=folder / "data/crowd")
        assert reason in checked(tmp_path / "r.html").text


def test_interpolated_results_are_repeated(folder, tmp_path):
    tracker = Tracker(extractor=ColorHistogram())
    sequence = Sequence.open(folder / "data/crowd")
    track_sequence(sequence, tracker, Output(tmp_path, max_gap=10))
    write_report(tmp_path, tmp_path / "r.html", source=sequence.path)
    parsed = checked(tmp_path / "r.html")
    assert "The tracker's explanation" in parsed.text
    assert "Without the tracker's explanations" not in parsed.text


HOSTILE = "<script>alert(1)</script>\"'&$x--></style>"


def test_hostile_names_and_settings_are_escaped(folder, tmp_path):
    name = HOSTILE.replace("/", ":")  # a slash cannot be in a name
    record = json.loads((folder / "results/crowd.json").read_text())
    record["config"][HOSTILE] = HOSTILE
    record["appearance"] = HOSTILE
    (tmp_path / f"{name}.txt").write_text((folder / "results/crowd.txt").read_text())
    (tmp_path / f"{name}.json").write_text(json.dumps(record))
    write_report(tmp_path, tmp_path / "report.html")
    parsed = checked(tmp_path / "report.html")
    assert HOSTILE in parsed.text
    assert name in parsed.text
    assert [tag for tag, _ in parsed.tags].count("script") == 1


def test_a_huge_record_is_cut(folder, tmp_path):
    config = {f"{i}" + "k" * 500: "v" * 5000 for i in range(1000)}
    (tmp_path / "crowd.txt").write_text((folder / "results/crowd.txt").read_text())
    (tmp_path / "crowd.json").write_text(json.dumps({"config": config, "frames": 10**7}))
    assert write_report(tmp_path, tmp_path / "report.html").size < 1e6
    checked(tmp_path / "report.html")


def test_a_name_that_is_not_text(folder, tmp_path):
    path = tmp_path / "b\udcffd.txt"
    path.write_text((folder / "results/crowd.txt").read_text())
    write_report(tmp_path, tmp_path / "report.html")
    assert "b?d" in checked(tmp_path / "report.html").text


def test_a_long_clip_stays_small(tmp_path):
    """500 identities over 50,000 frames: rows are left out, and bars are joined."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 49_000, 500)
    results = []
    for t in range(1, 50_001, 5):
        ids = np.flatnonzero((starts < t) & (t < starts + 900) & (rng.random(500) < 0.7)) + 1
        x = rng.uniform(0, 600, len(ids))
        boxes = np.column_stack([x, x, x + 40, x + 80])
        results.append(FrameResult(t, ids, boxes, np.ones(len(ids))))
    write_results(tmp_path / "long.txt", results)
    written = write_report(tmp_path, tmp_path / "report.html")
    assert written.size < 1e6
    assert "rows more not drawn" in checked(tmp_path / "report.html").text


def test_many_clips_stay_small(folder, tmp_path):
    for i in range(15):
        for suffix in ("txt", "json"):
            data = (folder / f"results/crowd.{suffix}").read_bytes()
            (tmp_path / f"clip{i:02}.{suffix}").write_bytes(data)
    write_report(tmp_path, tmp_path / "report.html")
    parsed = checked(tmp_path / "report.html")
    assert "3 of 15 clips have no section here" in parsed.text
    assert len([a for _, a in parsed.tags if a.get("class") == "clip"]) == 12


def test_pictures_are_left_out_where_there_are_too_many(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sslmot.report.write._MOST_PICTURES", 60_000)
    write_report(folder / "results", tmp_path / "r.html", source=folder / "data/crowd")
    assert "pictures are left out, to keep this file small" in checked(tmp_path / "r.html").text


def test_no_tracks(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    write_report(tmp_path, tmp_path / "report.html")
    assert "Nothing was tracked." in checked(tmp_path / "report.html").text


def test_without_trackeval(folder, tmp_path, monkeypatch):
    def missing(*_):
        raise ImportError("scores need trackeval: pip install sslmot[evaluation]")

    monkeypatch.setattr("sslmot.report.write.evaluate", missing)
    write_report(folder / "results", tmp_path / "r.html", source=folder / "data/crowd")
    parsed = checked(tmp_path / "r.html")
    assert "Without scores: scores need trackeval" in parsed.text
    assert "Worst switches" in parsed.text


def test_trainings(folder, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    for run, rate in (("one", 0.1), ("two", 0.2)):
        (tmp_path / run).mkdir()
        settings = f"learning_rate: {rate}\nname: '{HOSTILE[:8]}'\n"
        (tmp_path / run / "config.yaml").write_text(settings)
        with SummaryWriter(str(tmp_path / run / "tensorboard")) as writer:
            for step in range(5):
                writer.add_scalar("loss", 3 - rate * step, step)
                writer.add_scalar("affinity/same", float("nan"), step)
    runs = [tmp_path / "one", tmp_path / "two"]
    write_report(folder / "results", tmp_path / "report.html", runs=runs)
    parsed = checked(tmp_path / "report.html")
    assert "affinity: same" in parsed.text
    assert "There is nothing to draw." in parsed.text
    lines = [a for _, a in parsed.tags if a.get("class") in ("line style0", "line style1")]
    assert len([a for a in lines if a["d"].count("L") == 4]) == 2
    assert "2.60" in parsed.text  # the last loss of the first
    assert "learning_rate" in parsed.text  # differs
    assert HOSTILE[:8] not in parsed.text  # does not

    with pytest.raises(FileNotFoundError, match="runs: expected a run with"):
        write_report(folder / "results", tmp_path / "report.html", runs=[folder])


def test_a_study(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "figure3.png"), np.full((40, 60, 3), 200, np.uint8))
    (tmp_path / "table2.md").write_text(
        "## Table 2: losses\n\n| | IDF1 | mAP |\n| --- | --- | --- |\n"
        f"| ACD | 61.0 ± 1.4 | - |\n| MSE | 40.0 | 0.1 |\n\nSeeds: 2. {HOSTILE}\n"
    )
    (tmp_path / "figure3.md").write_text("## Figure 3\n\n![ten people](figure3.png)\n")
    output = tmp_path / "report.html"
    main(["report", "--study", str(tmp_path), "--output", str(output)])
    assert "0 clips" in capsys.readouterr().out
    parsed = checked(output)
    for text in ("Table 2: losses", "61.0 ± 1.4", "Seeds: 2.", "ten people"):
        assert text in parsed.text
    assert HOSTILE in parsed.text
    assert sum(tag == "td" for tag, _ in parsed.tags) == 4
    images = [a for tag, a in parsed.tags if tag == "img"]
    assert images[0]["alt"] == "ten people"
    assert images[0]["src"].startswith("data:image/jpeg")

    (tmp_path / "figure3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"study: expected the picture .*figure3\.png"):
        write_report(None, output, study=tmp_path)
    with pytest.raises(FileNotFoundError, match="study: expected a folder of `sslmot study`"):
        write_report(None, output, study=tmp_path / "other")
    with pytest.raises(ValueError, match="results: expected results, runs or a study, got none"):
        write_report(None, output)


class TestCommand:
    def test_it_writes_a_file(self, folder, tmp_path, capsys):
        output = tmp_path / "new" / "report.html"
        source = ["--source", str(folder / "data")]
        main(["report", str(folder / "results"), *source, "--output", str(output)])
        assert re.fullmatch(rf"{output}: 1 clip, \d\.\d MB\n", capsys.readouterr()[0])
        checked(output)

    def test_errors(self, folder, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        other = write_sequence(tmp_path, "other", 30, (64, 48), {1: np.ones((0, 5))})
        bad = tmp_path / "bad" / "crowd.txt"
        bad.parent.mkdir()
        bad.write_text("1,1,2\n")
        record = tmp_path / "record" / "crowd.txt"
        record.parent.mkdir()
        record.write_text("")
        record.with_suffix(".json").write_text('{"frame_rate": "fast"}')
        results = folder / "results"
        for arguments, message in (
            ([tmp_path / "empty"], "results: expected files NAME.txt in"),
            ([tmp_path / "none.txt"], "results: expected a file"),
            (
                [results, "--source", tmp_path / "none"],
                "source: expected a video, a folder of images",
            ),
            ([results, "--source", other.path], "source: expected the source of crowd, got other"),
            ([results, "--detections", bad], "detections: expected none without a video"),
            ([bad], f"{bad}:1: expected"),
            ([record], "crowd.json: frame_rate: expected a positive number, got 'fast'"),
        ):
            with pytest.raises(SystemExit) as exit_:
                main(["report", *map(str, arguments), "--output", str(tmp_path / "r.html")])
            assert exit_.value.code == 2
            assert message in capsys.readouterr()[1]
        assert not (tmp_path / "r.html").exists()


def test_text_is_escaped_and_markup_is_not():
    inner = element("b", "<&>", title='"')
    assert inner == '<b title="&quot;">&lt;&amp;&gt;</b>'
    assert element("p", inner, None, 1.5) == f"<p>{inner}1.5</p>"
    assert element("input", hidden=True, name=None, aria_label="x", for_="y") == (
        '<input hidden aria-label="x" for="y">'
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 17), (1e-7, 2e-7), (5, 1e9), (0.98, 1.02)])
def test_ticks_are_round_and_inside(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 6
    slack = 1e-9 * (high - low)
    assert all(low - slack <= mark <= high + slack for mark in marks)
    np.testing.assert_allclose(np.diff(marks), marks[1] - marks[0], rtol=1e-6)
    assert len(set(labels(marks))) == len(marks)
    assert ticks(low, low) == [low]


def test_numbers_for_people():
    assert duration(0.033) == "0.03\N{NO-BREAK SPACE}s"
    assert duration(17.5) == "17.5\N{NO-BREAK SPACE}s"
    assert duration(59.97) == "1:00\N{NO-BREAK SPACE}min"
    assert duration(3725) == "1:02:05\N{NO-BREAK SPACE}h"
    assert number(-0.0371) == "\N{MINUS SIGN}0.037"
    assert number(1234.5) == "1,234"
    assert number(1e-5) == "1.00e\N{MINUS SIGN}05"
    assert moment(31, 30) == "frame 31 (1.0\N{NO-BREAK SPACE}s)"
    assert moment(31, None) == "frame 31"


def test_explanations_in_words():
    at = {"id": 7, "detection": 0, "affinity": 0.5, "distance": 0.1}
    for stage, cost, runner_up, expected in (
        ("new", None, None, "no lost identity: 7 is a new one."),
        ("reidentified", None, None, "re-identified as the lost identity 7."),
        ("gallery", None, None, "the gallery knew it as identity 7."),
        ("motion", -3.0, None, "by motion alone; no other track could match."),
        ("appearance", -3.0, (0, -1.0), "a tentative track at a cost of -1.00, 2.00 more."),
        ("appearance", -3.0, (9, -4.0), "The cost of identity 9 is lower (-4.00), but all"),
    ):
        explanation = Explanation(stage=stage, cost=cost, runner_up=runner_up, **at)
        assert expected.replace("-1", MINUS + "1").replace("-4", MINUS + "4") in sentence(
            explanation
        )
    names = [name for name, _ in figures(explanation)]
    assert [name.split()[0] for name in names] == ["Affinity", "Distance", "Cost"]


def test_simplified_lines_stay_near():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 2)).cumsum(axis=0)
    kept = simplify(points, 2.0)
    assert len(kept) < 150
    assert (kept[0] == points[0]).all()
    assert (kept[-1] == points[-1]).all()
    ends = kept[1:] - kept[:-1]
    for point in points:
        along = ((point - kept[:-1]) * ends).sum(1) / np.maximum((ends**2).sum(1), 1e-12)
        nearest = kept[:-1] + along.clip(0, 1)[:, None] * ends
        assert np.hypot(*(point - nearest).T).min() <= 2.0


def test_a_chart_of_one_point_and_of_none():
    one = Series("one", np.array([3.0]), np.array([2.0]), 0)
    Checked(line_chart([one], "chart"))
    none = Series("none", np.zeros(0), np.zeros(0), 1)
    assert "nothing to draw" in line_chart([none], "chart")
    assert "nothing to draw" in line_chart([], "chart")


def test_the_files_of_the_page_are_in_the_package():
    for name in ("template.html", "style.css", "script.js"):
        assert (page._HERE / name).is_file()
