"""Costs of all pairs (SSL-MOT, eq. 6-7): `_testing.cost`, NumPy, torch and torch.compile.

    pytest benchmarks/test_association.py --benchmark-columns=median,iqr,rounds

The steps are: normalise both sides, dot products, exponential, thresholds, distance, combination,
max_cost. They run on one thread, and on CUDA if available. Each result is compared with NumPy in
float64. Two lower bounds of the time are printed for each group: the bytes to read and write
divided by the bandwidth of a large copy, and the operations divided by the rate of a large matmul.
Both rates are measured here.
"""

from __future__ import annotations

import time
import warnings
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from sslmot import _core
from sslmot._core import _testing

torch = pytest.importorskip("torch", reason="torch is not installed: pip install sslmot[encoder]")

# Number of problems, tracks, detections, and width of a feature.
SHAPES = [(1, 50, 50, 512), (1, 200, 200, 2048), (1, 1000, 1000, 2048), (64, 100, 100, 512)]
TAU, RHO, MAX_DISTANCE, MAX_COST = 0.4, 0.2, 2.5, 0.9
PARAMS = _core.PairParams(
    tau=TAU,
    min_affinity=RHO,
    appearance_weight=0.5,
    motion_weight=0.5,
    max_cost=MAX_COST,
)


@cache
def problem(shape):
    """Make people as dense as in a crowd, each as a track and a detection: NumPy, float32."""
    b, t, n, d = shape
    rng = np.random.default_rng(0)
    people = max(t, n)
    features = rng.standard_normal((b, people, d), dtype=np.float32)
    noise = rng.standard_normal((b, people, d), dtype=np.float32)
    centre = rng.random((b, people, 2)) * (40, 100) * 2.8 * np.sqrt(people)
    half = np.array((20, 50)) * rng.uniform(0.85, 1.15, (b, people, 1))
    moved = centre + half * rng.normal(0, 0.1, centre.shape)

    def boxes(at, count):
        return np.concatenate((at - half, at + half), -1)[:, :count].astype(np.float32)

    # Tracks and detections are in the same order. No implementation depends on the order.
    return SimpleNamespace(
        tracks=np.ascontiguousarray(features[:, :t]),
        detections=np.ascontiguousarray((features + 0.4 * noise)[:, :n]),
        track_boxes=boxes(centre, t),
        boxes=boxes(moved, n),
    )


def numpy_cost(tracks, detections, track_boxes, boxes, rho=RHO, max_distance=MAX_DISTANCE):
    tracks = tracks / np.linalg.norm(tracks, axis=-1, keepdims=True)
    detections = detections / np.linalg.norm(detections, axis=-1, keepdims=True)
    affinity = np.exp((tracks @ detections.swapaxes(-1, -2) - 1) / TAU)
    size = track_boxes[..., 2:] - track_boxes[..., :2]
    at = (track_boxes[..., 2:] + track_boxes[..., :2]) / 2
    to = (boxes[..., 2:] + boxes[..., :2]) / 2
    distance = np.abs(at[..., :, None, 0] - to[..., None, :, 0]) / size[..., :, None, 0]
    distance += np.abs(at[..., :, None, 1] - to[..., None, :, 1]) / size[..., :, None, 1]
    distance /= 2
    cost = 0.5 * (1 - affinity) + 0.5 * np.minimum(distance, 1)
    never = (affinity < rho) | (distance > max_distance)
    return np.where(never, np.float32(MAX_COST), np.minimum(cost, np.float32(MAX_COST)))


def torch_cost(tracks, detections, track_boxes, boxes):
    tracks = torch.nn.functional.normalize(tracks, dim=-1)
    detections = torch.nn.functional.normalize(detections, dim=-1)
    affinity = torch.exp((tracks @ detections.mT - 1) / TAU)
    size = track_boxes[..., 2:] - track_boxes[..., :2]
    at = (track_boxes[..., 2:] + track_boxes[..., :2]) / 2
    to = (boxes[..., 2:] + boxes[..., :2]) / 2
    distance = (at[..., :, None, 0] - to[..., None, :, 0]).abs() / size[..., :, None, 0]
    distance = distance + (at[..., :, None, 1] - to[..., None, :, 1]).abs() / size[..., :, None, 1]
    distance = distance / 2
    cost = 0.5 * (1 - affinity) + 0.5 * distance.clamp(max=1)
    never = (affinity < RHO) | (distance > MAX_DISTANCE)
    return torch.where(never, MAX_COST, cost.clamp(max=MAX_COST))


@cache
def expected(shape):
    """Compute the costs in float64, and the pairs that are not near a threshold."""
    q = {name: x.astype(np.float64) for name, x in vars(problem(shape)).items()}
    low, cost, high = (
        numpy_cost(**q, rho=RHO + s, max_distance=MAX_DISTANCE + s) for s in (-1e-5, 0, 1e-5)
    )
    return cost, (low == cost) & (cost == high)


def check(shape, got):
    cost, steady = expected(shape)
    assert steady.mean() > 0.99
    np.testing.assert_allclose(got[steady], cost[steady], atol=2e-5)


@cache
def floors(device):
    """Measure the maximum bytes and floating-point operations per second of the device."""
    size = 2**26 if device == "cpu" else 2**28
    side = 2048 if device == "cpu" else 8192
    source, target = torch.empty(2, size, device=device).fill_(1)
    a, b, c = torch.ones(3, side, side, device=device)
    copy = least_time(device, lambda: target.copy_(source))
    matmul = least_time(device, lambda: torch.matmul(a, b, out=c))
    return 2 * 4 * size / copy, 2 * side**3 / matmul


def least_time(device, call):
    times = []
    for _ in range(5):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - start)
    return min(times)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda s: "x".join(map(str, s)))
def shape(request):
    return request.param


@pytest.fixture
def group(benchmark, device, shape, capsys):
    """Set the name of the group, and record its lower bounds."""
    b, t, n, d = shape
    benchmark.group = f"association, {b} x {t} x {n} x {d}, {device}"
    bandwidth, rate = floors(device)
    of_bytes = 4 * b * ((t + n) * (d + 4) + t * n) / bandwidth
    of_operations = 2 * b * t * n * d / rate
    benchmark.extra_info.update(bytes_floor=of_bytes, operations_floor=of_operations)
    if benchmark.name.startswith("test_sslmot["):
        with capsys.disabled():
            print(
                f"\n{benchmark.group}: bytes {1e6 * of_bytes:.1f} us at {bandwidth / 1e9:.0f} GB/s,"
                f" operations {1e6 * of_operations:.1f} us at {rate / 1e9:.0f} GFLOP/s"
            )


def test_sslmot(benchmark, group, device, shape):
    b, t, n, _ = shape
    q = vars(problem(shape))
    if device == "cuda":
        if _core.cuda_device_count() == 0:
            pytest.skip("sslmot was built without CUDA")
        q = {name: torch.from_numpy(x).cuda() for name, x in q.items()}
    max_distance = np.full((b, t), MAX_DISTANCE, np.float32)
    out = np.empty((b, t, n), np.float32)
    stream = 0
    if device == "cuda":
        max_distance, out = torch.from_numpy(max_distance).cuda(), torch.from_numpy(out).cuda()
        stream = torch.cuda.current_stream().cuda_stream

    def call():
        _testing.cost(
            q["tracks"], q["detections"], q["track_boxes"], q["boxes"], PARAMS, out, max_distance,
            stream=stream,
        )  # fmt: skip
        wait(device)

    benchmark(call)
    check(shape, out if device == "cpu" else out.cpu().numpy())


def test_numpy(benchmark, group, device, shape):
    if device == "cuda":
        pytest.skip("NumPy is on the CPU")
    check(shape, benchmark(numpy_cost, **vars(problem(shape))))


def run_torch(benchmark, device, shape, function):
    q = {name: torch.from_numpy(x).to(device) for name, x in vars(problem(shape)).items()}

    def call():
        cost = function(**q)
        wait(device)
        return cost

    check(shape, benchmark(call).cpu().numpy())


def test_torch(benchmark, group, device, shape):
    with torch.inference_mode():
        run_torch(benchmark, device, shape, torch_cost)


def test_torch_compile(benchmark, group, device, shape):
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, at the first compilation
        compiled = torch.compile(torch_cost, dynamic=False)
        q = [torch.from_numpy(x).to(device) for x in vars(problem(shape)).values()]
        try:
            compiled(*q)
        except Exception as e:  # whatever it lacks: a compiler, Triton, a Python that it knows
            pytest.skip(f"torch.compile: {type(e).__name__}: {str(e).splitlines()[0]}")
        run_torch(benchmark, device, shape, compiled)


@pytest.mark.parametrize("people", [50, 200, 1000])
def test_candidates_first(benchmark, people):
    """A frame of a crowd in one call, including matching. Only near pairs are compared."""
    shape = next(s for s in SHAPES if s[0] == 1 and s[1] == people)
    benchmark.group = f"association, {' x '.join(map(str, shape))}, cpu"
    q = SimpleNamespace(**{name: x[0] for name, x in vars(problem(shape)).items()})
    norms = _core.row_norms(q.tracks), _core.row_norms(q.detections)
    max_distance = np.full(people, MAX_DISTANCE, np.float32)
    match, _ = benchmark(
        _testing.associate, q.track_boxes, max_distance, q.boxes, PARAMS, q.tracks, norms[0],
        np.arange(people), q.detections, norms[1],
    )  # fmt: skip
    cost = expected(shape)[0][0]
    best = _core.assign(cost, MAX_COST)

    def objective(match):
        made = match >= 0
        return cost[made, match[made]].sum() + MAX_COST * (~made).sum()

    assert objective(match) == pytest.approx(objective(best), abs=2e-5 * people)
