"""From features to costs on CUDA: sslmot, torch operations, and a matrix product alone.

    pytest benchmarks/test_cost.py --benchmark-columns=median,iqr,rounds

``a call`` is the time for the caller, including Python. ``on the device`` is the time on the GPU,
measured with many calls recorded as a CUDA graph. ``step`` is a whole frame of the tracker with
features on the CPU or on CUDA.
"""

from __future__ import annotations

import pytest
from crowd import embedding_crowd

from sslmot import Tracker, _core
from sslmot._core import _testing

torch = pytest.importorskip("torch", reason="torch is not installed: pip install sslmot[encoder]")

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
TAU, LEAST, GATE = 0.4, 0.05, 0.9
PARAMS = _core.PairParams(
    tau=TAU,
    min_affinity=LEAST,
    appearance_weight=0.5,
    motion_weight=0.5,
    max_cost=GATE,
)
CALLS = 20


def problem(t, n, d, dtype):
    """Make features and boxes of people, and of the same people at near positions."""
    generator = torch.Generator().manual_seed(d)
    people = torch.randn(max(t, n), d, generator=generator)
    corner = 20 * torch.rand(max(t, n), 2, generator=generator) * max(t, n) ** 0.5
    boxes = torch.cat([corner, corner + torch.tensor([40.0, 100.0])], 1)
    seen = people + 0.3 * torch.randn(people.shape, generator=generator)
    parts = (people[:t].to(dtype), seen[:n].to(dtype), boxes[:t], boxes[:n] + 3)
    return [part.cuda() for part in parts]


def by_torch(track, detection, track_boxes, boxes, out):
    """Compute SSL-MOT, eq. 6 and 7, with torch operations."""
    unit = torch.nn.functional.normalize
    cosine = (unit(track, dim=1) @ unit(detection, dim=1).T).float()
    affinity = torch.exp((cosine - 1) / TAU)
    size = track_boxes[:, 2:] - track_boxes[:, :2]
    centre = (track_boxes[:, None, :2] + track_boxes[:, None, 2:]) / 2
    other = (boxes[None, :, :2] + boxes[None, :, 2:]) / 2
    distance = ((other - centre).abs() / size[:, None]).sum(-1) / 2
    cost = 0.5 * (1 - affinity) + 0.5 * distance.clamp(max=1)
    cost = torch.where(affinity < LEAST, GATE, cost.clamp(max=GATE))
    out[0].copy_(cost)


def by_sslmot(track, detection, track_boxes, boxes, out):
    stream = torch.cuda.current_stream().cuda_stream
    parts = (x[None] for x in (track, detection, track_boxes, boxes))
    _testing.cost(*parts, PARAMS, out, stream=stream)


def product_alone(track, detection, track_boxes, boxes, out):
    track @ detection.T


ROWS = {"sslmot": by_sslmot, "torch": by_torch, "torch, the product alone": product_alone}


@CUDA
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(50, 50, 512), (100, 100, 2048), (1000, 1000, 2048)])
@pytest.mark.parametrize("how", ["a call", "on the device"])
@pytest.mark.parametrize("name", ROWS)
def test_cost(benchmark, name, how, shape, dtype):
    benchmark.group = f"cost, {' x '.join(map(str, shape))}, {dtype}, {how}"
    parts = problem(*shape, getattr(torch, dtype))
    out = torch.full((1, *shape[:2]), torch.nan, device="cuda")
    row = ROWS[name]

    def once():
        row(*parts, out)
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            once()
        if how == "a call":
            benchmark.pedantic(once, rounds=200)
        else:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(CALLS):
                    row(*parts, out)

            def replay():
                graph.replay()
                torch.cuda.synchronize()

            benchmark.extra_info["calls"] = CALLS
            benchmark.pedantic(replay, rounds=50, warmup_rounds=3)
    if name != "torch, the product alone":
        exact = torch.empty(1, *shape[:2], dtype=torch.float64, device="cuda")
        by_torch(*(part.double() for part in parts), exact)
        wrong = (out - exact).abs() > (2e-4 if name == "sslmot" or dtype == "float32" else 0.05)
        assert wrong.float().mean() < 1e-3  # near the affinity threshold, costs jump


@pytest.mark.parametrize("people", [50, 200, 1000])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_step_of_features_on(benchmark, device, people):
    benchmark.group = f"step, {people} people, features on a device"
    crowd = embedding_crowd(people, 60)
    frames = [(boxes, torch.from_numpy(z).to(device)) for boxes, z, _ in crowd]
    tracker = Tracker()
    for boxes, z in frames[:10]:
        tracker.step(None, boxes, embeddings=z)
    rest, ids = iter(frames[10:]), []

    def setup():
        return next(rest), {}

    def step(boxes, z):
        ids.append(tracker.step(None, boxes, embeddings=z).ids)

    benchmark.pedantic(step, setup=setup, rounds=50)
    assert min(len(found) for found in ids) > 0.8 * people
    assert max(found.max() for found in ids) < 1.1 * people  # few people get a new id
