"""Detectors in ONNX files give boxes in pixels of the frame, whatever family they are of."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("onnxruntime")

from sslmot.data.mot import Sequence
from sslmot.detection.coco_classes import CLASSES
from sslmot.detection.onnx import Detector
from sslmot.detection.outputs import STRIDES, Ultralytics, Yolox


def model(path, output, names=None, size=(64, 64), kind=TensorProto.FLOAT):
    """Write a model that gives the same output for every picture."""
    output = np.asarray(output, np.float32)[None]
    constant = helper.make_node(
        "Constant", [], ["found"], value=helper.make_tensor("", 1, output.shape, output.ravel())
    )
    graph = helper.make_graph(
        [constant],
        "detector",
        [helper.make_tensor_value_info("images", kind, [1, 3, *size])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, output.shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if names is not None:
        helper.set_model_props(made, {"names": str(names), "task": "detect"})
    onnx.save(made, str(path))
    return path


PEOPLE = {0: "person", 1: "car", 2: "bag"}
# On the input of 64 x 64: centre, size, scores of the classes.
ROWS = [
    [20, 30, 10, 20, 0.9, 0.0, 0.05],
    [21, 30, 10, 20, 0.8, 0.0, 0.05],  # the same object
    [50, 40, 8, 8, 0.1, 0.7, 0.2],
    [40, 20, 8, 8, 0.05, 0.02, 0.01],  # below the lowest score
]
FRAME = np.zeros((120, 240, 3), np.uint8)  # in the middle: 17 rows above, 32 of the frame below


def test_columns_of_v8(tmp_path):
    output = np.zeros((7, 84), np.float32)
    output[:, :4] = np.transpose(ROWS)
    detect = Detector(model(tmp_path / "m.onnx", output, PEOPLE), ["person", "car"])
    assert detect.classes == {0: "person", 1: "car"}
    found = detect(FRAME)
    assert found.dtype == np.float32
    scale = 64 / 240
    person = [15 / scale, (20 - 16) / scale, 25 / scale, (40 - 16) / scale, 0.9, 0]
    car = [46 / scale, (36 - 16) / scale, 54 / scale, (44 - 16) / scale, 0.7, 1]
    np.testing.assert_allclose(found, [person, car], rtol=1e-5)


def test_threads(tmp_path, monkeypatch):
    path = model(tmp_path / "m.onnx", np.zeros((7, 84)), PEOPLE)
    for said, threads in (("3", 3), ("", 0), ("4,2", 0)):  # 0: as many as ONNX Runtime likes
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        options = Detector(path)._session.get_session_options()
        assert options.intra_op_num_threads == threads


def test_rows_of_v5(tmp_path):
    rows = np.zeros((400, 8), np.float32)
    for k, (*box, person, car, bag) in enumerate(ROWS):
        rows[k] = [*box, 0.5, 2 * person, 2 * car, 2 * bag]
    columns = np.zeros((7, 84), np.float32)
    columns[:, :4] = np.transpose(ROWS)
    v5 = Detector(model(tmp_path / "v5.onnx", rows, PEOPLE), [0, 1, 2])
    v8 = Detector(model(tmp_path / "v8.onnx", columns, PEOPLE), [0, 1, 2])
    np.testing.assert_allclose(v5(FRAME), v8(FRAME), rtol=1e-5)


def test_rows_that_are_ready(tmp_path):
    rows = np.zeros((300, 6), np.float32)
    rows[0] = 15, 20, 25, 40, 0.9, 0
    rows[1] = 46, 36, 54, 44, 0.7, 1
    detect = Detector(model(tmp_path / "m.onnx", rows, PEOPLE))
    scale = 64 / 240
    expected = [[15 / scale, 4 / scale, 25 / scale, 24 / scale, 0.9, 0]]
    np.testing.assert_allclose(detect(FRAME), expected, rtol=1e-5)


@pytest.mark.parametrize("decoded", [False, True])
def test_cells_of_yolox(tmp_path, decoded):
    size = 64, 96
    rows = np.zeros((sum(size[0] // s * (size[1] // s) for s in STRIDES), 8), np.float32)
    rows[:, 2:4] = 1 if decoded else -1
    # The cell in row 1 and column 2 of stride 16, after 8 x 12 cells of stride 8.
    cell = 8 * 12 + 1 * 6 + 2
    rows[cell, 4:] = 0.8, 1.0, 0.5, 0.1
    centre, side = (2.25 * 16, 1.5 * 16), (16 * np.e, 16.0)
    rows[cell, :4] = (*centre, *side) if decoded else (0.25, 0.5, 1, 0)
    detect = Detector(model(tmp_path / "m.onnx", rows, size=size), ["class 0"])
    found = detect(np.zeros((128, 96, 3), np.uint8))  # half as large, at the top left
    x, y, w, h = 2 * np.array([*centre, *side])
    expected = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0.8, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_pictures_are_prepared_as_the_families_want_them():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = 255, 51, 0
    assert Yolox((32, 32), CLASSES, decoded=True).prepare(picture)[0, 0].tolist() == [255, 51, 0]
    np.testing.assert_allclose(Ultralytics(PEOPLE).prepare(picture)[0, 0], [0, 0.2, 1])


def test_boxes_without_area_and_numbers_that_are_not_finite_are_dropped(tmp_path):
    rows = np.zeros((300, 6), np.float32)
    rows[:3] = [15, 20, 15, 40, 0.9, 0], [np.nan, 20, 25, 40, 0.9, 0], [15, 20, 25, 40, np.nan, 0]
    assert Detector(model(tmp_path / "m.onnx", rows, PEOPLE))(FRAME).shape == (0, 6)


class TestErrors:
    def test_classes_that_the_model_has_not(self, tmp_path):
        path = model(tmp_path / "m.onnx", np.zeros((7, 84)), PEOPLE)
        for wrong in ("dog", 3, "-1", "1.0"):
            with pytest.raises(ValueError, match="classes: expected names or numbers of person, "):
                Detector(path, [wrong])

    @pytest.mark.parametrize("shape", [(84,), (85, 9), (9, 84), (3, 4, 7)])
    def test_an_output_of_no_family(self, tmp_path, shape):
        path = model(tmp_path / "m.onnx", np.zeros(shape), PEOPLE)
        with pytest.raises(ValueError, match=r"model: expected .* by ultralytics, got .*m\.onnx"):
            Detector(path)
        path = model(tmp_path / "m.onnx", np.zeros(shape))
        with pytest.raises(ValueError, match=r"model: expected .* of YOLOX, got .*m\.onnx"):
            Detector(path)

    def test_files_that_are_no_models(self, tmp_path):
        (tmp_path / "text.onnx").write_text("text")
        with pytest.raises(ValueError, match=r"model: expected an ONNX model, got .*text.onnx"):
            Detector(tmp_path / "text.onnx")
        with pytest.raises(FileNotFoundError, match="model: expected an ONNX file, got "):
            Detector(tmp_path)

    def test_inputs_that_are_no_pictures(self, tmp_path):
        path = model(tmp_path / "m.onnx", np.zeros((7, 84)), PEOPLE, size=(64,))
        with pytest.raises(ValueError, match="model: expected one input of colour pictures"):
            Detector(path)

    def test_devices_that_are_not_there(self, tmp_path):
        path = model(tmp_path / "m.onnx", np.zeros((7, 84)), PEOPLE)
        with pytest.raises(ValueError, match="device: expected one that ONNX Runtime has here"):
            Detector(path, device="tpu")


def test_yolox_finds_people_in_a_real_frame(data_root):
    detect = Detector(data_root / "weights" / "yolox_nano_416.onnx")
    sequence = Sequence.open(data_root / "MOT17" / "train" / "MOT17-09-FRCNN")
    truth = sequence.ground_truth()
    hits, people = 0, 0
    for t in (1, 150, 300, 450):
        found = detect(sequence.frame(t))
        here = (truth.frames == t) & truth.considered & (truth.visibility > 0.5)
        for box in truth.boxes[here]:
            low, high = np.maximum(box[:2], found[:, :2]), np.minimum(box[2:], found[:, 2:4])
            both = np.prod(np.clip(high - low, 0, None), axis=1)
            areas = np.prod(found[:, 2:4] - found[:, :2], axis=1) + np.prod(box[2:] - box[:2])
            hits += bool((both / (areas - both) > 0.5).any())
            people += 1
    assert hits > 0.6 * people > 0
