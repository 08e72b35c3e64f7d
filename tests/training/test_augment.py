"""Augmentation: what each preset does to crops, on the CPU and on CUDA."""

import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia")

from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, crop  # noqa: E402
from sslmot.training import augment  # noqa: E402
from sslmot.training.augment import Augmentation, to_network  # noqa: E402

PRESETS = ("paper", "ablation", "both", "crowd", "camera", "colour")
MEAN, STD = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))


def images(n, size=(16, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8, generator=generator)


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def plain(colour, n, size=(32, 16)):
    return torch.tensor(colour, dtype=torch.uint8).expand(n, *size, 3).contiguous()


def batch(crops, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return augment._Batch(crops, IMAGENET_MEAN, IMAGENET_STD, generator)


def places(n, height, width):
    """Crops whose first two channels say where a pixel is, in -1..1, and whose third is 1."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return torch.stack([x, y, torch.ones_like(x)]).repeat(n, 1, 1, 1)


# Results.


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n", [0, 1, 7, 130])
def test_shape_dtype_and_layout(device, preset, n):
    views = Augmentation(preset, (12, 6))(images(n).to(device))
    assert views.shape == (n, 3, 12, 6)
    assert views.dtype == torch.float32
    assert views.device.type == device
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert bool(torch.isfinite(views).all())
    least, largest = -MEAN / STD, (1 - MEAN) / STD
    inside = (views.cpu() >= least - 1e-4) & (views.cpu() <= largest + 1e-4)
    assert bool(inside.all())


def test_the_default_is_both():
    crops = images(6)
    assert torch.equal(Augmentation(crop_size=(16, 8))(crops), Augmentation("both", (16, 8))(crops))


def test_every_value_is_normalised_exactly(device):
    values = torch.arange(256, dtype=torch.uint8)
    crops = torch.stack([values, values.flip(0), values.roll(77)], -1).view(1, 32, 8, 3)
    mean, std = (0.1, 0.45, 0.9), (0.2, 1.5, 0.05)
    expected = (crops.numpy().astype(np.float64) / 255 - mean) / std
    got = to_network(crops.to(device), (32, 8), mean, std)
    np.testing.assert_allclose(got.permute(0, 2, 3, 1).cpu(), expected, rtol=2e-6, atol=2e-6)
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(16, 8), (23, 11), (64, 40)])
def test_evaluation_sees_what_tracking_sees(size):
    frame = images(1, (48, 30))[0]
    expected = crop(frame.flip(-1), np.array([[0, 0, 30, 48]], np.float32), size)
    torch.testing.assert_close(to_network(frame[None], size), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_larger_crops_are_resized_first(preset):
    crops = plain([200, 40, 90], 20, (50, 30))
    resized = Augmentation(preset, (20, 12), seed=4)(crops)
    expected = Augmentation(preset, (20, 12), seed=4)(crops[:, :20, :12])
    torch.testing.assert_close(resized, expected)


def test_the_crops_are_left_as_they_were():
    crops = images(9)
    before = crops.clone()
    for preset in PRESETS:
        Augmentation(preset, (16, 8))(crops)
    assert torch.equal(crops, before)


# Random numbers.


@pytest.mark.parametrize("preset", PRESETS)
def test_a_seed_decides(preset):
    crops = images(20)
    one, same = (Augmentation(preset, (16, 8), seed=3) for _ in range(2))
    first, second = one(crops), one(crops)
    assert torch.equal(first, same(crops))
    assert torch.equal(second, same(crops))
    assert not torch.equal(first, second)
    assert not torch.equal(first, Augmentation(preset, (16, 8), seed=4)(crops))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_saved_state_goes_on(preset):
    crops = images(20)
    augmentation = Augmentation(preset, (16, 8))
    augmentation(crops)
    state = augmentation.generator.get_state()
    expected = augmentation(crops)
    resumed = Augmentation(preset, (16, 8), seed=99)
    resumed.generator.set_state(state)
    assert torch.equal(resumed(crops), expected)


def test_devices_agree(device):
    crops = images(20, (32, 16))
    for preset in PRESETS:
        expected = Augmentation(preset, (32, 16))(crops)
        got = Augmentation(preset, (32, 16))(crops.to(device))
        torch.testing.assert_close(got.cpu(), expected, rtol=1e-3, atol=1e-3)


def test_the_generators_of_torch_are_left_alone():
    state = torch.get_rng_state()
    for preset in PRESETS:
        Augmentation(preset, (16, 8))(images(5))
    to_network(images(5))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("preset", PRESETS)
def test_equal_crops_come_out_differently(preset):
    views = Augmentation(preset, (16, 8))(images(1).repeat(300, 1, 1, 1)).flatten(1)
    pairs = torch.cdist(views, views) < 1e-4
    # A rectangle in two views can be the same; views in general are not.
    assert pairs.sum() - 300 < 0.02 * 300**2


@pytest.mark.parametrize("preset", PRESETS)
def test_a_region_of_half_precision_changes_nothing(preset):
    crops = images(10)
    expected = Augmentation(preset, (16, 8))(crops)
    with torch.autocast("cpu", torch.bfloat16):
        got = Augmentation(preset, (16, 8))(crops)
    assert torch.equal(got, expected)


# Presets.


@pytest.mark.parametrize("preset", PRESETS)
def test_half_of_the_views_are_mirrored(preset):
    crops = plain([20, 20, 20], 600)
    crops[:, :, 8:] = 230
    views = Augmentation(preset, (32, 16))(crops)
    mirrored = (views[..., :8].mean((1, 2, 3)) > views[..., 8:].mean((1, 2, 3))).float().mean()
    assert 0.42 < mirrored < 0.58


def test_ablation_keeps_light_and_leaves_nothing_out():
    views = Augmentation("ablation", (32, 16))(plain([200, 40, 90], 50))
    expected = to_network(plain([200, 40, 90], 50), (32, 16))
    torch.testing.assert_close(views, expected)


@pytest.mark.parametrize("preset", ["paper", "both", "colour"])
def test_a_colour_keeps_its_hue(preset):
    colour = torch.tensor([190.0, 60.0, 20.0])
    views = Augmentation(preset, (32, 16))(plain([190, 60, 20], 300))
    gains = []
    for view in views.permute(0, 2, 3, 1).reshape(300, -1, 3):
        # The pixels are the colour, brighter or darker, mixed with the mean colour, which is 0.
        purest = view[view.norm(dim=1).argmax()]
        share = (view @ purest) / (purest @ purest)
        torch.testing.assert_close(view, share[:, None] * purest, rtol=0, atol=2e-5)
        assert share.min() > -1e-5
        gain = (purest * STD.flatten() + MEAN.flatten()) * 255 / colour
        torch.testing.assert_close(gain, gain[:1].expand(3), rtol=0, atol=2e-4)
        gains.append(float(gain[0]))
    assert 0.8 <= min(gains) < 0.82
    assert 1.18 < max(gains) <= 1.2 + 1e-5


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [("paper", 0.1, 0.3), ("both", 0.1, 0.3), ("ablation", 0, 0), ("colour", 0, 0)],
)
def test_only_the_lists_of_the_paper_blur(preset, least, most):
    crops = plain([124, 116, 104], 400, (48, 16))  # a band on the mean colour
    crops[:, 16:32] = 255
    views = Augmentation(preset, (48, 16))(crops)[:, 0]
    steps = views.diff(dim=1).abs().amax((1, 2)) / views.amax((1, 2))
    # Sampling alone leaves half of an edge in one step, a sigma of 1 does not.
    assert least <= (steps < 0.45).float().mean() <= most


def test_both_zooms_in_more_than_paper():
    ramp = torch.arange(10, 138, 4, dtype=torch.uint8).view(1, 32, 1, 1).repeat(200, 1, 16, 3)

    def slope(preset):
        views = Augmentation(preset, (32, 16))(ramp)[:, 0, 8:24, 8] * STD[0]
        slopes = views.diff(dim=1).median(1).values * 255 / 4
        return slopes[slopes > 0.1].median()

    assert 0.97 < slope("paper") < 1.03
    assert 0.87 < slope("both") < 0.95  # sides of 0.91 are the mean of areas of 0.64 to 1


@pytest.mark.parametrize(
    ("preset", "centre", "corners", "rows"),
    [
        ("ablation", (0, 0), (0, 0), (0, 0)),
        ("paper", (0.09, 0.18), (0.35, 0.55), (0.08, 0.2)),
        ("both", (0.09, 0.18), (0.22, 0.4), (0.02, 0.12)),
        ("crowd", (0.09, 0.18), (0.22, 0.4), (0.02, 0.12)),
        ("colour", (0.15, 0.26), (0.96, 1), (0.87, 0.95)),
    ],
)
def test_where_the_mean_colour_comes_in(preset, centre, corners, rows):
    """Cut-out changes the centre, perspective the corners too, translation whole rows."""
    views = Augmentation(preset, (64, 32))(plain([250, 10, 90], 1000, (64, 32)))
    gone = (views.abs() < 1e-4).all(1)

    def share(chosen):
        return float(chosen.float().mean())

    assert centre[0] <= share(gone[:, 32, 16]) <= centre[1]
    assert corners[0] <= share(gone[:, [0, 0, -1, -1], [0, -1, 0, -1]].any(1)) <= corners[1]
    assert rows[0] <= share(gone[:, [0, -1]].all(2).any(1)) <= rows[1]


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [("paper", 3, 3), ("ablation", 3, 3), ("both", 3, 3), ("colour", 2.36, 4)],
)
def test_contrast_is_in_colour_alone(preset, least, most):
    crops = plain([60, 60, 60], 300)
    crops[:, 16:] = 180
    views = Augmentation(preset, (32, 16))(crops)[:, 0].flatten(1) * STD[0, 0] + MEAN[0, 0]
    ratios = views.amax(1) / views.amin(1)
    assert ratios.min() == pytest.approx(least, abs=0.03)
    assert ratios.max() == pytest.approx(most, abs=0.1)


# The steps.


def test_brightness():
    crops = 0.001 + 0.999 * random(200, 3, 8, 4)
    got = augment.brightness(crops.clone(), batch(crops))
    gains = (got / crops).amax((1, 2, 3))  # what is clipped has less
    assert 0.8 <= gains.min() < 0.81
    torch.testing.assert_close(got, (crops * gains.view(-1, 1, 1, 1)).clamp(0, 1))
    assert (crops * 1.2).max() > 1
    darker = gains < 0.99
    assert 0.4 < darker.float().mean() < 0.55
    light = augment.brightness(torch.full((200, 3, 1, 1), 0.5), batch(crops)) / 0.5
    assert 1.19 < light.max() <= 1.2 + 1e-6


def test_light_is_a_gamma_and_a_gain_of_each_colour():
    ramp = torch.linspace(0.1, 0.9, 9).view(1, 1, 1, 9)
    crops = ramp.expand(400, 3, 2, 9).clone()
    got = augment.light(crops.clone(), batch(crops))
    changed = ((got - crops).abs() > 1e-6).flatten(1).any(1)
    assert 0.74 < changed.float().mean() < 0.86
    gammas, gains = [], []
    for view in got[changed][:, :, 0]:
        inside = view < 0.999
        x, y = torch.log(ramp[0, 0, 0].double()), torch.log(view.double())
        for channel, used in zip(y, inside, strict=True):
            a, b = x[used], channel[used]
            slope = (a - a.mean()) @ (b - b.mean()) / ((a - a.mean()) @ (a - a.mean()))
            torch.testing.assert_close(b, b.mean() + slope * (a - a.mean()), atol=1e-5, rtol=0)
            gammas.append(float(slope))
            gains.append(float(torch.exp(b.mean() - slope * a.mean())))
    assert 0.6 - 1e-3 <= min(gammas) < 0.65
    assert 1.6 < max(gammas) <= 1.7 + 1e-3
    assert 0.8 - 1e-3 <= min(gains) < 0.82
    assert 1.22 < max(gains) <= 1.25 + 1e-3


def test_resolution_takes_detail_of_half_of_the_crops():
    crops = random(300, 3, 48, 24)
    got = augment.resolution(crops.clone(), batch(crops))
    changed = (got != crops).flatten(1).any(1)
    assert 0.42 < changed.float().mean() < 0.58
    assert torch.equal(got[~changed], crops[~changed])
    detail = got[changed].std((2, 3)) / crops[changed].std((2, 3))
    assert detail.min() < 0.2
    assert detail.max() > 0.4
    torch.testing.assert_close(got.mean((2, 3)), crops.mean((2, 3)), atol=0.02, rtol=0)


def test_noise():
    crops = torch.full((400, 3, 16, 8), 0.5)
    got = augment.noise(crops.clone(), batch(crops))
    deviation = (got - 0.5).std((1, 2, 3))
    noisy = deviation > 0
    assert 0.23 < noisy.float().mean() < 0.37
    assert 0.035 < deviation.max() < 0.043
    assert deviation[noisy].min() < 0.003
    assert abs(float((got[noisy] - 0.5).mean())) < 1e-3


def test_jpeg_is_that_of_a_codec():
    y, x = np.mgrid[:64, :32] / 64
    picture = np.stack([x, y, (x + y) % 0.5], -1).astype(np.float32)
    crops = torch.from_numpy(picture).permute(2, 0, 1).repeat(200, 1, 1, 1)
    got = augment.jpeg(crops.clone(), batch(crops))
    loss = (got - crops).abs().amax((1, 2, 3))
    packed = loss > 0
    assert 0.2 < packed.float().mean() < 0.4
    coded = []
    for quality in (20, 80):
        bgr = np.rint(255 * picture[..., ::-1]).astype(np.uint8)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        back = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
        coded.append(float(np.abs(back - picture).mean()))
    lost = (got - crops).abs().mean((1, 2, 3))[packed]
    assert 0.7 * coded[1] < lost.min() < 1.5 * coded[1]
    assert 0.5 * coded[0] < lost.max() < 1.3 * coded[0]


def test_contrast_is_about_the_mean_colour():
    crops = 0.3 + 0.4 * random(200, 3, 8, 4)
    got = augment.contrast(crops.clone(), batch(crops)).double()
    for before, after in zip(crops.double(), got, strict=True):
        mean = before.mean((1, 2), keepdim=True)
        gain = (after - mean).norm() / (before - mean).norm()
        assert 0.8 - 1e-6 <= gain <= 1.2 + 1e-6
        torch.testing.assert_close(after, mean + gain * (before - mean), rtol=0, atol=1e-6)
    spread = got.std((2, 3)) / crops.double().std((2, 3))
    assert spread.min() < 0.82
    assert spread.max() > 1.18
    harsh = augment.contrast(random(50, 3, 8, 4).round(), batch(crops[:50]))
    assert (harsh.min(), harsh.max()) == (0, 1)


def test_the_crop_in_front_covers_a_side():
    """Each pixel is of another crop, moved by whole pixels, or unchanged."""
    crops = 0.9 * random(300, 3, 16, 10) + torch.arange(300).view(-1, 1, 1, 1)
    got = augment.occlude(crops.clone(), batch(crops))
    moves, shares, others = [], [], []
    for i, (view, own) in enumerate(zip(got, crops, strict=True)):
        covered = (view != own).any(0)
        if not covered.any():
            continue
        y, x = covered.nonzero().amin(0).tolist()
        bottom, right = (covered.nonzero().amax(0) + 1).tolist()
        # A rectangle, down to the ground, from one side.
        assert covered.sum() == (bottom - y) * (right - x)
        assert bottom == 16
        assert (x == 0) != (right == 10)
        other = int(view[0, y, x])  # the integer part of a value is the number of its crop
        front = crops[other]
        others.append((other - i) % 300)
        dx = x if right == 10 else right - 10
        assert torch.equal(view[:, y:, x:right], front[:, : 16 - y, x - dx : right - dx])
        moves.append((dx, y))
        shares.append(float(covered.float().mean()))
    assert 70 < len(moves) < 130  # a third
    assert {abs(dx) for dx, _ in moves} == {4, 5, 6, 7, 8}
    assert {dx > 0 for dx, _ in moves} == {True, False}
    assert {y for _, y in moves} == set(range(7))
    assert max(shares) <= 0.6 + 1e-6
    assert len(set(others)) > 70  # any crop
    again = augment.occlude(crops.clone(), batch(crops, 1))
    assert not torch.equal(got, again)


def test_others_are_anyone_but_oneself():
    crops = random(5, 3, 2, 2)
    drawn = torch.stack([batch(crops, seed).others() for seed in range(200)])
    assert bool((drawn != torch.arange(5)).all())
    for i in range(5):
        assert set(drawn[:, i].tolist()) == set(range(5)) - {i}
    assert batch(crops[:1]).others().tolist() == [0]


@pytest.mark.parametrize("middle", [1.0, 0.8, 0.5])
def test_the_middle_is_what_tracking_sees(middle):
    frame = images(1, (48, 40))[0]
    box = np.array([[0, 0, 40, 48]], np.float32)
    expected = crop(frame.flip(-1), box, (32, 16), middle=middle)
    got = to_network(frame[None], (32, 16), middle=middle)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_views_are_of_the_middle(preset):
    crops = images(20, (32, 20))
    got = Augmentation(preset, (32, 16), middle=0.8, seed=2)(crops)
    expected = Augmentation(preset, (32, 16), seed=2)(crops[:, :, 2:18])
    assert torch.equal(got, expected)


def test_flip_is_exact():
    crops = random(100, 3, 16, 9)
    got = augment.warp(augment.flip)(crops, batch(crops))
    kept = (got - crops).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (got - crops.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert bool((kept ^ mirrored).all())
    assert 30 < kept.sum() < 70


def test_shift_is_by_whole_pixels():
    crops = places(300, 128, 64)
    got = augment.warp(augment.shift)(crops, batch(crops))
    steps = torch.tensor([63, 127]) / 2  # of a pixel, in 1
    offsets = ((got - crops)[:, :2, 64, 32] * steps).round().int()
    padded = torch.nn.functional.pad(crops, (5, 5, 10, 10))
    for view, source, (x, y) in zip(got, padded, offsets.tolist(), strict=True):
        expected = source[:, 10 + y : 138 + y, 5 + x : 69 + x]
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-4)
    assert set(offsets[:, 0].tolist()) == set(range(-5, 6))
    assert set(offsets[:, 1].tolist()) == set(range(-10, 11))


def test_resized_crop():
    crops = places(500, 32, 16)
    got = augment.warp(augment.resized_crop)(crops, batch(crops))
    torch.testing.assert_close(got[:, 2], torch.ones(500, 32, 16))  # never beyond the crop
    (left, right), (top, bottom) = got[:, 0, 0, [0, -1]].T, got[:, 1, [0, -1], 0].T
    width, height = (right - left) / 2, (bottom - top) / 2
    area, ratio = width * height, height / width
    assert 0.64 - 1e-4 < area.min() < 0.66
    assert 0.98 < area.max() < 1 + 1e-4
    assert 3 / 4 - 1e-4 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 4 / 3 + 1e-4
    assert min(left.min(), top.min()) < -0.99
    assert max(right.max(), bottom.max()) > 0.99
    assert left.max() > -0.7  # not always in the corner


def test_moves_compose():
    """Against homographies by OpenCV in float64, one at a time."""
    moves = (augment.resized_crop, augment.flip, augment.perspective)
    crops = places(40, 32, 16)
    got = augment.warp(*moves)(crops, batch(crops, 5)).double()
    drawing = batch(crops, 5)
    quads = [move(drawing).numpy() for move in moves]
    whole = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    start = crops[0, :2].permute(1, 2, 0).reshape(1, -1, 2).double().numpy()
    outside = 0
    for i, view in enumerate(got):
        points = start
        for quad in reversed(quads):
            matrix = cv2.getPerspectiveTransform(whole, quad[i])
            points = cv2.perspectiveTransform(points, matrix)
        expected = torch.from_numpy(points).view(32, 16, 2).permute(2, 0, 1)
        inside = (expected.abs() <= 1).all(0)
        beyond = (expected.abs() > 1.2).any(0)
        torch.testing.assert_close(view[:2, inside], expected[:, inside], rtol=0, atol=1e-4)
        assert not view[:, beyond].any()
        outside += int(beyond.sum())
    assert outside > 0


def test_perspective():
    crops = places(400, 16, 8)
    quads = augment.perspective(batch(crops))
    moved = (quads - batch(crops).corners()).abs()
    chosen = moved.amax((1, 2)) > 0
    assert 150 < chosen.sum() < 250
    assert 0.29 < moved.max() <= 0.3 + 1e-6  # 0.15 of sides of 2
    assert moved[chosen].min() < 0.01


def test_blur_of_a_point():
    crops = torch.zeros(400, 3, 11, 9)
    crops[:, :, 5, 4] = 1
    got = augment.blur(crops.clone(), batch(crops)).double()
    sigmas = []
    for view in got:
        if torch.equal(view, crops[0].double()):
            continue
        cross = float(view[0, 5, 5] / view[0, 5, 4])  # exp(-1 / 2 sigma^2)
        sigma = math.sqrt(-0.5 / math.log(cross)) if cross > 1e-9 else 0.1
        kernel = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
        kernel /= kernel.sum()
        expected = np.zeros((11, 9))
        expected[2:9, 1:8] = np.outer(kernel, kernel)
        np.testing.assert_allclose(view, np.broadcast_to(expected, (3, 11, 9)), atol=1e-6)
        sigmas.append(sigma)
    # A sigma below about 0.15 does not blur.
    assert 150 < len(sigmas) < 240
    assert 1.9 < max(sigmas) <= 2 + 1e-4
    assert min(sigmas) < 0.4


def test_blur_keeps_a_plain_crop_up_to_its_border():
    crops = torch.full((50, 3, 3, 2), 0.7)  # smaller than the kernel
    torch.testing.assert_close(augment.blur(crops.clone(), batch(crops)), crops)


@pytest.mark.parametrize("largest", [0.2, 0.3])
def test_cut_out_is_one_box_of_the_right_area(largest):
    crops = random(600, 3, 64, 32) + 1
    got = augment.cut_out(largest)(crops.clone(), batch(crops))
    assert torch.equal(got[got != 0], crops[got != 0])
    areas, ratios, lows = [], [], []
    for gone in got == 0:
        assert torch.equal(gone[0], gone[1])
        assert torch.equal(gone[0], gone[2])
        rows, columns = (gone[0].any(1).nonzero()[:, 0], gone[0].any(0).nonzero()[:, 0])
        if not len(rows):
            continue
        height, width = len(rows), len(columns)
        assert int(gone[0].sum()) == height * width
        assert rows[-1] - rows[0] == height - 1
        assert columns[-1] - columns[0] == width - 1
        # A side is a pixel longer or shorter than drawn at most.
        assert (height + 1) * (width + 1) >= 0.02 * 64 * 32
        assert (height - 1) * (width - 1) <= largest * 64 * 32
        areas.append(height * width / (64 * 32))
        ratios.append((height / 64) / (width / 32))
        lows.append((rows[0] / 64, columns[0] / 32))
    assert 250 < len(areas) < 350
    assert np.mean(areas) == pytest.approx((0.02 + largest) / 2, rel=0.1)
    assert np.median(ratios) == pytest.approx(1, abs=0.2)
    assert np.min(ratios) < 0.5 < 2 < np.max(ratios)
    assert np.std(lows, axis=0).min() > 0.15


# Errors.


@pytest.mark.parametrize("preset", ["color", "", None])
def test_no_such_preset(preset):
    with pytest.raises(
        ValueError,
        match=r"preset: expected one of paper, ablation, both, crowd, camera, colour, got",
    ):
        Augmentation(preset)


@pytest.mark.parametrize("size", [(1, 8), (16, 0), (16,), (16, 8, 3)])
def test_a_wrong_size(size):
    with pytest.raises(ValueError, match=r"crop_size: expected \(height, width\), 2 pixels"):
        Augmentation("both", size)


@pytest.mark.parametrize("call", [Augmentation(), to_network])
def test_wrong_images(call):
    with pytest.raises(
        ValueError, match=r"images: expected \(n, h, w, 3\) .*uint8, got \(2, 8, 4, 3\) .*float32"
    ):
        call(torch.zeros(2, 8, 4, 3))
    with pytest.raises(ValueError, match=r"images: expected .*got \(2, 3, 8, 4\) torch.uint8"):
        call(torch.zeros(2, 3, 8, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"images: expected .*got \(8, 4, 3\) torch.uint8"):
        call(torch.zeros(8, 4, 3, dtype=torch.uint8))
