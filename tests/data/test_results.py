"""Every format holds the tracks that were given, and its own readers read them."""

import csv
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.data.clip import Clip
from sslmot.data.coco import read_coco_detections
from sslmot.data.mot import FrameResult, read_results
from sslmot.data.results import FORMATS, open_results

CLIP = Clip("a & b", 20.0, (640, 480), {0: "person", 2: 'car "x"'}, "a & b.mp4")
RESULTS = [
    FrameResult(
        1,
        np.array([7, 3]),
        np.array([[10.25, 20, 30.5, 60], [100, 100, 150, 220]], np.float32),
        np.array([0.9, 0.3], np.float32),
        np.array([0, 2], np.int32),
    ),
    FrameResult(2, *(np.empty(shape) for shape in (0, (0, 4), 0)), np.empty(0, np.int32)),
    FrameResult(
        4,
        np.array([7]),
        np.array([[12, 20, 32.5, 60]], np.float32),
        np.array([np.nan], np.float32),
        np.array([0], np.int32),
    ),
]
ROWS = [
    {"frame": 1, "time": 0, "id": 7, "x1": 10.25, "y1": 20, "x2": 30.5, "y2": 60,
     "score": 0.9, "class": "person"},
    {"frame": 1, "time": 0, "id": 3, "x1": 100, "y1": 100, "x2": 150, "y2": 220,
     "score": 0.3, "class": 'car "x"'},
    {"frame": 4, "time": 0.15, "id": 7, "x1": 12, "y1": 20, "x2": 32.5, "y2": 60,
     "score": None, "class": "person"},
]  # fmt: skip


def write(path, name, results=RESULTS, clip=CLIP):
    with open_results(path, name, clip) as add:
        for result in results:
            add(result)
    return path


def without_classes(results):
    return [result._replace(classes=None) for result in results]


def test_mot(tmp_path):
    path = write(tmp_path / "r.txt", "mot")
    assert path.read_text().splitlines() == [
        "1,7,11.25,21.00,20.25,40.00,0.9,0,-1,-1",
        "1,3,101.00,101.00,50.00,120.00,0.3,2,-1,-1",
        "4,7,13.00,21.00,20.50,40.00,-1,0,-1,-1",
    ]
    assert [result.frame for result in read_results(path)] == [1, 4]
    plain = write(tmp_path / "plain.txt", "mot", without_classes(RESULTS)).read_text()
    assert plain.splitlines()[0] == "1,7,11.25,21.00,20.25,40.00,0.9,-1,-1,-1"


def test_json_lines(tmp_path):
    lines = write(tmp_path / "r.jsonl", "jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    lines = write(tmp_path / "r.jsonl", "jsonl", without_classes(RESULTS)).read_text().splitlines()
    assert {json.loads(line)["class"] for line in lines} == {None}


def test_csv(tmp_path):
    with write(tmp_path / "r.csv", "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, ROWS, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            if value is None:
                assert row[name] == ""
            else:
                assert value == (row[name] if name == "class" else float(row[name]))


def test_parquet(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("sslmot.data.tables._ROWS_OF_GROUP", 2)
    file = parquet.ParquetFile(write(tmp_path / "r.parquet", "parquet"))
    assert file.metadata.num_row_groups == 2
    for row, expected in zip(file.read().to_pylist(), ROWS, strict=True):
        assert row == {k: pytest.approx(v) if isinstance(v, float) else v
                       for k, v in expected.items()}  # fmt: skip
    nothing = write(tmp_path / "nothing.parquet", "parquet", [])
    assert parquet.read_table(nothing).num_rows == 0


def test_rerun(tmp_path):
    chunk = pytest.importorskip("rerun.chunk", reason="Rerun is not installed, or reads no files")

    def read(path):
        parts = chunk.RrdReader(path).stream().to_chunks()
        tracks = [part for part in parts if part.entity_path == "/tracks"]
        rows = [row for part in tracks for row in part.to_record_batch().to_pylist()]
        return {row["frame"]: row for row in rows}

    found = read(write(tmp_path / "r.rrd", "rerun"))
    assert sorted(found) == [1, 2, 4]
    for result in RESULTS:
        row = found[result.frame]
        middles, halves = (
            np.reshape(row[f"Boxes2D:{k}"], (-1, 2)) for k in ("centers", "half_sizes")
        )
        np.testing.assert_allclose(np.hstack([middles - halves, middles + halves]), result.boxes)
        assert row["time"].total_seconds() == pytest.approx((result.frame - 1) / 20)
        assert row["Boxes2D:class_ids"] == result.ids.tolist()
    assert found[1]["Boxes2D:labels"] == ["7 person", '3 car "x"']
    plain = read(write(tmp_path / "plain.rrd", "rerun", without_classes(RESULTS)))
    assert plain[1]["Boxes2D:labels"] == ["7", "3"]


def test_coco_video(tmp_path):
    path = write(tmp_path / "r.coco.json", "coco")
    made = json.loads(path.read_text())
    assert made["videos"] == [{"id": 1, "name": "a & b", "width": 640, "height": 480, "fps": 20.0}]
    assert [(i["id"], i["frame_id"]) for i in made["images"]] == [(1, 0), (2, 1), (4, 3)]
    assert {i["file_name"] for i in made["images"]} >= {"a & b/000001.jpg"}
    first = made["annotations"][0]
    assert first == {
        "id": 1, "image_id": 1, "video_id": 1, "instance_id": 7, "category_id": 0,
        "bbox": [10.25, 20, 20.25, 40], "area": 810, "iscrowd": 0, "score": 0.9,
    }  # fmt: skip
    assert "score" not in made["annotations"][2]
    assert made["categories"] == [{"id": 0, "name": "person"}, {"id": 2, "name": 'car "x"'}]
    # It can be read as detections.
    found = read_coco_detections(path)
    assert sorted(found) == [1, 4]
    np.testing.assert_allclose(found[1][:, :4], RESULTS[0].boxes)
    assert found[1][:, 5].tolist() == [0, 2]


def test_coco_is_read_by_pycocotools(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    made = coco.COCO(str(write(tmp_path / "r.coco.json", "coco")))
    assert sorted(made.getImgIds()) == [1, 2, 4]
    assert len(made.getAnnIds(imgIds=[1])) == 2


def shown(track, frame):
    """Return the box that CVAT draws: that of the last shape, unless it is outside."""
    shapes = [b for b in track if int(b.get("frame")) <= frame]
    last = max(shapes, key=lambda b: int(b.get("frame")), default=None)
    if last is None or last.get("outside") == "1":
        return None
    return [float(last.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")]


def test_cvat(tmp_path):
    root = ElementTree.parse(write(tmp_path / "r.cvat.xml", "cvat")).getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/name") == "a & b"
    assert root.findtext("meta/task/size") == "4"
    names = [label.findtext("name") for label in root.iterfind("meta/task/labels/label")]
    assert names == ['car "x"', "person"]
    assert root.findtext("meta/task/original_size/width") == "640"
    tracks = {int(track.get("id")): track for track in root.iterfind("track")}
    assert {i: track.get("label") for i, track in tracks.items()} == {3: 'car "x"', 7: "person"}
    seen = {i: [shown(track, t) for t in range(4)] for i, track in tracks.items()}
    assert seen[3] == [[100, 100, 150, 220], None, None, None]
    assert seen[7] == [[10.25, 20, 30.5, 60], None, None, [12, 20, 32.5, 60]]
    keyframes = [(b.get("frame"), b.get("keyframe")) for b in tracks[7]]
    assert keyframes == [("0", "1"), ("1", "1"), ("3", "0")]


def test_tracks_without_a_class(tmp_path):
    result = RESULTS[0]._replace(classes=np.array([-1, 2], np.int32))
    lines = write(tmp_path / "r.jsonl", "jsonl", [result]).read_text().splitlines()
    assert [json.loads(line)["class"] for line in lines] == [None, 'car "x"']
    for results in ([result], without_classes([result])):
        root = ElementTree.parse(write(tmp_path / "r.xml", "cvat", results)).getroot()
        assert "object" in {track.get("label") for track in root.iterfind("track")}


@st.composite
def random_results(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    results = []
    for t in range(1, draw(st.integers(1, 12)) + 1):
        ids = rng.permutation(5)[: rng.integers(0, 5)] + 1
        corner = rng.integers(0, 50_000, (len(ids), 2)) / 100
        boxes = np.hstack([corner, corner + rng.integers(0, 20_000, (len(ids), 2)) / 100])
        scores = np.where(rng.random(len(ids)) < 0.2, np.nan, rng.integers(0, 1000, len(ids)) / 1e3)
        results.append(FrameResult(t, ids, boxes, scores, rng.integers(0, 3, len(ids))))
    return results


@settings(max_examples=30, deadline=None)
@given(random_results())
def test_cvat_shows_the_boxes_of_each_frame(tmp_path_factory, results):
    path = write(tmp_path_factory.mktemp("cvat") / "r.xml", "cvat", results)
    tracks = {int(t.get("id")): t for t in ElementTree.parse(path).getroot().iterfind("track")}
    for result in results:
        expected = dict(zip(result.ids.tolist(), result.boxes, strict=True))
        for identity, track in tracks.items():
            box = shown(track, result.frame - 1)
            if identity not in expected:
                assert box is None
            else:
                np.testing.assert_allclose(box, expected[identity], atol=0.005)


@settings(max_examples=30, deadline=None)
@given(random_results())
def test_tables_agree(tmp_path_factory, results):
    folder = tmp_path_factory.mktemp("tables")
    lines = write(folder / "r.jsonl", "jsonl", results).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    with write(folder / "r.csv", "csv", results).open(newline="") as file:
        for row, other in zip(rows, csv.DictReader(file), strict=True):
            assert {k: "" if v is None else str(v) for k, v in row.items()} == other
    assert len(rows) == sum(len(result.ids) for result in results)


@pytest.mark.parametrize("name", FORMATS)
class TestEveryFormat:
    def test_nothing_to_write(self, tmp_path, name):
        assert write(tmp_path / "r", name, []).exists()

    def test_an_error_leaves_the_old_file(self, tmp_path, name):
        path = tmp_path / "r"
        path.write_text("old")
        with pytest.raises(ValueError, match="frames from 1, each once, got 1"):
            write(path, name, [RESULTS[0], RESULTS[0]])
        assert path.read_text() == "old"
        assert [*tmp_path.iterdir()] == [path]

    def test_results_are_checked(self, tmp_path, name):
        wrong = RESULTS[0]._replace(ids=np.array([7, 7]))
        with pytest.raises(ValueError, match=re.escape("an id once, got [7, 7]")):
            write(tmp_path / "r", name, [wrong])
        wrong = RESULTS[0]._replace(classes=np.array([0.5, 1]))
        with pytest.raises(ValueError, match="whole ids and classes"):
            write(tmp_path / "r", name, [wrong])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", {}),
        ('[{"image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]',
         {2: [[1, 2, 4, 6, 0.5, 3]]}),
        ('[{"image_id": 2, "category_id": 0, "bbox": [1, 2, 3, 4]}]', {2: [[1, 2, 4, 6, 1, 0]]}),
        ('{"images": [{"id": "b"}, {"id": "a"}], "annotations": '
         '[{"image_id": "a", "category_id": 0, "bbox": [1, 2, 3, 4]}]}', {2: [[1, 2, 4, 6, 1, 0]]}),
        ('{"images": [{"id": 9, "frame_id": 4}], "annotations": '
         '[{"image_id": 9, "category_id": 0, "bbox": [1, 2, 3, 4]}]}', {5: [[1, 2, 4, 6, 1, 0]]}),
    ],
)  # fmt: skip
def test_coco_detections(tmp_path, text, expected):
    (tmp_path / "d.json").write_text(text)
    found = read_coco_detections(tmp_path / "d.json")
    assert {frame: rows.tolist() for frame, rows in found.items()} == expected
    assert all(rows.dtype == np.float32 for rows in found.values())


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "{}",
        '{"images": 3, "annotations": []}',
        '{"images": [{}], "annotations": []}',
        '{"images": [{"id": [1]}], "annotations": []}',
        '{"images": [{"id": 1, "frame_id": "x"}], "annotations": []}',
        '[{"image_id": 0, "category_id": 3, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 1.5, "category_id": 3, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": true, "category_id": 3, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3]}]',
        '[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 0, 4]}]',
        '[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, NaN]}]',
        '[{"image_id": 1, "category_id": 3.5, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 1, "category_id": "x", "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]',
        "[7]",
    ],
)
def test_coco_detections_that_are_malformed(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(ValueError, match=r"d.json: expected .*, got "):
        read_coco_detections(tmp_path / "d.json")


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("old")
    code = f"""
from sslmot.data.clip import Clip
from sslmot.data.results import open_results
with open_results({str(path)!r}, "mot", Clip("c", 30.0)) as add:
    add((1, [1], [[0, 0, 9, 9]], [1.0]))
    print("began", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"began\n"
        process.kill()
    assert path.read_text() == "old"
    write(path, "mot")  # removes what the kill left
    assert [*tmp_path.iterdir()] == [path]
