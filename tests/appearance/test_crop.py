"""Crops, compared with a slow oracle and with torch, and boxes beyond the frame."""

import numpy as np
import pytest
from crop_reference import crop_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import _core
from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, crop

HEIGHT, WIDTH = 61, 83
FRAME = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
EPS = 2e-5  # float32 sums of a few dozen products, in units of std


def crop_on(device, frame, boxes, size, **normalisation):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if device == "cpu":
        return crop(frame, boxes, size, **normalisation)
    import torch

    crops = crop(torch.from_numpy(frame).to(device), boxes, size, **normalisation)
    assert crops.device.type == device
    return crops.cpu().numpy()


def reference(frame, boxes, size, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    return crop_reference(frame, np.asarray(boxes, np.float32).reshape(-1, 4), size, mean, std)


@pytest.mark.parametrize("size", [(128, 64), (48, 24), (7, 5), (1, 1), (3, 90)])
@pytest.mark.parametrize("whole", [True, False])
def test_matches_the_oracle(device, size, whole):
    rng = np.random.default_rng(1)
    corner = rng.uniform(-40, 90, (40, 2))
    boxes = np.hstack([corner, corner + np.exp(rng.uniform(-3, 5, (40, 2)))]).astype(np.float32)
    boxes = boxes.round() if whole else boxes
    got = crop_on(device, FRAME, boxes, size)
    assert got.shape == (40, 3, *size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference(FRAME, boxes, size), atol=EPS)


edges = st.one_of(
    st.floats(-200, 300, width=32), st.integers(-100, 200).map(float), st.just(float(WIDTH))
)


@settings(deadline=None, max_examples=200)
@given(
    box=st.tuples(edges, edges, edges, edges),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_matches_the_oracle_for_any_box(box, size):
    np.testing.assert_allclose(crop(FRAME, [box], size), reference(FRAME, box, size), atol=EPS)


any_float = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=300)
@given(box=st.tuples(any_float, any_float, any_float, any_float))
def test_any_finite_box_has_a_finite_crop_within_the_colours(box):
    values = crop(FRAME, np.array([box], np.float32), (5, 3), **PLAIN)
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1 + EPS


def test_boxes_of_whole_pixels_match_torch(device):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    for _ in range(30):
        x1, x2 = sorted(rng.choice(WIDTH + 1, 2, replace=False))
        y1, y2 = sorted(rng.choice(HEIGHT + 1, 2, replace=False))
        # At least 2 columns: torch 2.13 is wrong for 1 column if the height changes too.
        size = tuple(int(s) for s in rng.integers(2, 70, 2))
        pixels = torch.from_numpy(FRAME[y1:y2, x1:x2, ::-1].copy()).permute(2, 0, 1)[None] / 255
        expected = torch.nn.functional.interpolate(
            pixels, size, mode="bilinear", antialias=True, align_corners=False
        )[0]
        got = crop_on(device, FRAME, [x1, y1, x2, y2], size)[0]
        np.testing.assert_allclose(got, ((expected - mean) / std).numpy(), atol=5e-5)


def test_no_resizing_is_exact(device):
    got = crop_on(device, FRAME, [10, 20, 30, 50], (30, 20), **PLAIN)[0]
    expected = FRAME[20:50, 10:30, ::-1].transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_allclose(got * 255, expected, atol=1e-4)


def test_reads_no_pixel_outside_the_box(device):
    box = [10, 20, 31, 47]
    alone = np.full_like(FRAME, 255)
    alone[20:47, 10:31] = FRAME[20:47, 10:31]
    assert (crop_on(device, alone, box, (9, 8)) == crop_on(device, FRAME, box, (9, 8))).all()


def test_a_small_move_of_a_box_is_a_small_change(device):
    boxes = np.array([9.999, 20, 30.001, 50]) + np.linspace(-0.002, 0.002, 9)[:, None]
    crops = crop_on(device, FRAME, boxes, (16, 8), **PLAIN)
    assert np.abs(np.diff(crops, axis=0)).max() < 1e-3


@pytest.mark.parametrize(
    "box",
    [
        [5, 5, 5, 9],  # no width
        [5, 9, 9, 9],  # no height
        [9, 9, 2, 2],  # inverted
        [-30, 0, -1, 9],
        [0, HEIGHT, 9, HEIGHT + 9],
        [1e6, 1e6, 1e7, 1e7],
        [-1e38, -1e38, -1e37, 3e38],
        [0, 0, 1e-45, 9],
    ],
)
def test_a_box_without_pixels_of_the_frame_is_zero(device, box):
    assert (crop_on(device, FRAME, box, (8, 4)) == 0).all()


def test_padding_has_the_mean_colour(device):
    # The left half is outside the frame, the right half inside.
    values = crop_on(device, FRAME, [-20, 10, 20, 50], (40, 40))[0]
    assert (values[:, :, :20] == 0).all()
    inside = crop_on(device, FRAME, [0, 10, 20, 50], (40, 20))[0]
    np.testing.assert_allclose(values[:, :, 20:], inside, atol=EPS)


def test_a_huge_box_is_nearly_all_padding(device):
    boxes = [[-3e38, -3e38, 3e38, 3e38], [-1e6, -1e6, 1e6, 1e6], [-500, -500, 500, 500]]
    values = np.abs(crop_on(device, FRAME, boxes, (7, 5))).max(axis=(1, 2, 3))
    assert values[0] == 0
    assert values[1] < 1e-6
    assert 1e-3 < values[2] < 1


def test_the_middle_of_a_box(device):
    boxes = np.array([[10, 5, 60, 55], [-30, 0, 20, 40], [3e38, 0, -3e38, 9]], np.float32)
    before = boxes.copy()
    got = crop_on(device, FRAME, boxes, (12, 6), middle=0.6)
    narrow = [[20, 5, 50, 55], [-20, 0, 10, 40], [0, 0, 0, 0]]
    np.testing.assert_allclose(got, reference(FRAME, narrow, (12, 6)), atol=EPS)
    np.testing.assert_array_equal(boxes, before)
    for wrong in (0, -1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="middle: expected a share above 0, up to 1, got"):
            crop(FRAME, boxes, (12, 6), middle=wrong)


def test_no_boxes(device):
    assert crop_on(device, FRAME, np.zeros((0, 4)), (128, 64)).shape == (0, 3, 128, 64)


@pytest.mark.parametrize(
    "view",
    [
        np.s_[5:50, 7:60],  # a part of a larger image
        np.s_[::2],
        np.s_[::-1],
        np.s_[:, ::-1],
        np.s_[:, ::2],
        np.s_[..., ::-1],
        np.s_[3:4, 3:4],
    ],
)
def test_views_of_an_image(view):
    frame = FRAME[view]
    boxes = [[-3, 4, 30, 40], [1.5, 0, 9, 20.25]]
    expected = crop(frame.copy(), boxes, (16, 8))
    assert (crop(frame, boxes, (16, 8)) == expected).all()


def test_the_frame_may_be_read_only():
    frame = FRAME.copy()
    frame.flags.writeable = False
    boxes = np.array([[0, 0, 9, 9]], np.float32)
    boxes.flags.writeable = False
    assert (crop(frame, boxes) == crop(FRAME, boxes)).all()


def test_torch_in_torch_out(device):
    torch = pytest.importorskip("torch")
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0], [-5.0, 3.0, 11.5, 70.0]])
    frame = torch.from_numpy(FRAME)
    expected = crop(FRAME, boxes.numpy())
    for some in (boxes, boxes.double(), boxes.to(device)):
        got = crop(frame.to(device), some)
        assert isinstance(got, torch.Tensor)
        assert got.device.type == device
        np.testing.assert_allclose(got.cpu().numpy(), expected, atol=EPS)
    part = crop(frame.to(device)[5:50, 7:60], boxes).cpu().numpy()
    np.testing.assert_allclose(part, crop(FRAME[5:50, 7:60], boxes.numpy()), atol=EPS)
    planar = frame.to(device).permute(2, 0, 1).contiguous().permute(1, 2, 0)
    np.testing.assert_allclose(crop(planar, boxes).cpu().numpy(), expected, atol=EPS)


def test_launches_on_the_current_stream(device):
    if device == "cpu":
        pytest.skip("streams are CUDA's")
    import torch

    frame = torch.zeros((1080, 1920, 3), dtype=torch.uint8, device=device)
    boxes = np.array([[0, 0, 1920, 1080]] * 64, np.float32)
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(50_000_000)
        frame.fill_(255)
        values = crop(frame, boxes, (64, 64), **PLAIN)
    torch.cuda.synchronize()
    assert (values > 0.999).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": FRAME[..., 0]}, "frame: expected"),
        ({"frame": FRAME.astype(np.float32)}, "frame: expected"),
        ({"frame": FRAME[:0]}, "frame: expected"),
        ({"boxes": np.zeros((3, 5), np.float32)}, r"boxes: expected \(N, 4\), got \(3, 5\)"),
        ({"boxes": np.zeros(4, np.float32)}, r"boxes: expected \(N, 4\)"),
        ({"boxes": np.array([[0, 0, 1, 1], [0, np.nan, 1, 1]])}, "row 1"),
        ({"boxes": np.array([[0, 0, np.inf, 1]])}, "row 0"),
        ({"size": (0, 64)}, "size: expected"),
        ({"size": (64, 4097)}, "size: expected .* of 1 to 4096 pixels, got"),
        ({"size": (64,)}, "size: expected"),
        ({"std": (1, 0, 1)}, "std > 0"),
        ({"mean": (0, 0)}, "mean, std: expected 3"),
        ({"mean": (0, 0, np.nan)}, "finite"),
    ],
)
def test_errors_name_the_argument(change, message):
    arguments = {"frame": FRAME, "boxes": np.zeros((1, 4), np.float32)} | change
    with pytest.raises(ValueError, match=message):
        crop(**arguments)


class TestSizes:
    """Limits of sizes. They are checked by the native core, which is called directly."""

    def cut(self, frame_size, crop_size, box):
        out = np.full((1, 3, *crop_size), 7, np.float32)
        frame = np.full((*frame_size, 3), 255, np.uint8)
        _core.crop(frame, np.float32([box]), out, (0, 0, 0), (1, 1, 1), False)
        return out

    @pytest.mark.parametrize("crop_size", [(4097, 1), (1, 2**20)])
    def test_crops_that_are_too_large_are_rejected(self, crop_size):
        with pytest.raises(ValueError, match="out: expected crops with sides of 1 to 4096 pixels"):
            self.cut((1, 1), crop_size, (0, 0, 1, 1))

    @pytest.mark.parametrize("frame_size", [(65536, 1), (1, 2**20), (0, 4), (4, 0)])
    def test_frames_that_are_too_large_or_empty_are_rejected(self, frame_size):
        with pytest.raises(ValueError, match="frame: expected a frame with sides of 1 to 65535"):
            self.cut(frame_size, (1, 1), (0, 0, 1, 1))

    def test_a_box_far_larger_than_the_frame(self):
        """A few columns of the crop contain the whole frame, the others are padding."""
        out = self.cut((4, 65535), (2, 4096), (-1e9, 0, 1e9, 4))
        assert (out[..., :2046] == 0).all()
        assert (out[..., 2050:] == 0).all()
        assert out[..., 2046:2050].sum() > 0
