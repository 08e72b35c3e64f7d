"""Two processes with half a batch each compute what one does with the whole batch."""

import functools
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402

from sslmot.appearance.encoder import EncoderConfig  # noqa: E402
from sslmot.training.losses import acd, barlow, contrast  # noqa: E402
from sslmot.training.methods import make_method  # noqa: E402
from sslmot.training.processes import gather, rank, world  # noqa: E402

if not dist.is_available() or not dist.is_gloo_available():
    pytest.skip("torch without gloo", allow_module_level=True)

WORLD, N, WIDTH = 2, 3, 4
CONFIG = EncoderConfig("resnet18", crop_size=(32, 16))
RELATION = torch.tensor(
    [
        [1, -1, 0, 1, -1, -1],
        [-1, 1, -1, 0, 0, -1],
        [0, -1, 1, -1, -1, 0],
        [1, 0, -1, 1, -1, -1],
        [-1, 0, -1, -1, 1, 1],
        [-1, -1, 0, -1, 1, 1],
    ],
    dtype=torch.int8,
)


def predicted(loss, relation, p, z):
    """The loss of local p and all z, as in SSL-MOT, but with a gradient through z."""
    return loss(p, gather(z), relation, offset=rank() * len(p))


def twins(relation, p, z):
    return barlow(gather(p), gather(z), 0.1)


LOSSES = {
    "acd": functools.partial(predicted, acd),
    "contrast": functools.partial(predicted, contrast),
    "barlow": twins,
}
METHODS = {
    "cosine": ("simsiam", {"projection": (16, 16, 8), "hidden": 8}),
    "acd": ("sslmot", {"projection": (16, 16, 8), "hidden": 8}),
    "contrast": ("sslmot", {"projection": (16, 16, 8), "hidden": 8, "loss": "contrast"}),
    "proxies": ("sslmot", {"projection": (16, 16, 8), "hidden": 8, "loss": "contrast"}),
    "byol": ("byol", {"hidden": 16, "width": 8}),
    "barlow": ("barlow", {"projection": (16, 16, 8)}),
}
CASES = [
    *(("loss", name, related) for name in LOSSES for related in (False, True)),
    *(("method", name, related) for name in METHODS for related in (False, True)),
]


class Backbone(nn.Sequential):
    """Replaces a ResNet, for speed."""

    dim = 12

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 32 * 16, self.dim), nn.Tanh())


def mine(x):
    """This process's part of a batch."""
    return x[rank() * len(x) // world() : (rank() + 1) * len(x) // world()]


def run(kind, name, related):
    """The mean loss over processes, and gradients averaged as by DistributedDataParallel."""
    generator = torch.Generator().manual_seed(0)
    relation = mine(RELATION) if related else None
    if kind == "loss":
        batch = torch.randn(2, WORLD * N, WIDTH, generator=generator, dtype=torch.float64)
        # Shared by both branches, as an encoder's weights are.
        weights = torch.eye(WIDTH, dtype=torch.float64).requires_grad_()
        parameters = [weights]
        loss = LOSSES[name](relation, mine(batch[0]) @ weights, mine(batch[1]) @ weights)
    else:
        torch.manual_seed(1)
        with mock.patch("sslmot.appearance.encoder.resnet", return_value=Backbone()):
            method = make_method(METHODS[name][0], CONFIG, **METHODS[name][1])
        # In eval mode a batch normalisation does not depend on the batch.
        method.double().eval()
        batch = torch.randn(2, WORLD * N, 3, 32, 16, generator=generator, dtype=torch.float64)
        parameters = [p for p in method.parameters() if p.requires_grad]
        more = {}
        if name == "proxies":
            of = torch.randint(0, 4, (2, WORLD * N), generator=generator)
            near = torch.where(of[..., None] == torch.arange(4), 1, -1).to(torch.int8)
            means = torch.randn(4, 8, generator=generator, dtype=torch.float64)
            more = {"proxies": (means, torch.cat([mine(near[0]), mine(near[1])]))}
        loss = method(mine(batch[0]), mine(batch[1]), relation, **more).loss
    gradients = torch.autograd.grad(loss, parameters)
    return [gather(x.detach()[None]).mean(0) for x in (loss, *gradients)]


def unequal():
    with pytest.raises(ValueError, match=r"x: expected as many .* got \[\[1, 4\], \[2, 8\]\]"):
        gather(torch.zeros(1 + rank(), 4))
    with pytest.raises(ValueError, match=r"x: expected as many .* got \[\[2, 2\], \[2, 4\]\]"):
        gather(torch.zeros(2, 1 + rank()))


def work(this, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/init", rank=this, world_size=WORLD)
    try:
        results = {case: run(*case) for case in CASES}
        results["ranks"] = gather(torch.tensor([[rank()], [10 * world()]]))
        # A gradient that is not contiguous: one number, expanded.
        x = torch.ones(2, 3, requires_grad=True)
        (gather(x).sum() * (1 + rank())).backward()
        results["gradient"] = x.grad
        unequal()
        torch.save(results, f"{folder}/{this}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The results of each process."""
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(work, (folder,), nprocs=WORLD)
    return [torch.load(folder / f"{this}.pt") for this in range(WORLD)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_loss_and_gradients_as_one_process(two, case):
    expected = run(*case)
    assert all(tensor.abs().max() > 0 for tensor in expected)
    for got in two:
        torch.testing.assert_close(got[case], expected, rtol=1e-9, atol=1e-12)


def test_the_order_is_that_of_ranks_and_integers_pass(two):
    for got in two:
        assert got["ranks"].tolist() == [[0], [20], [1], [20]]
        assert got["ranks"].dtype == torch.int64


def test_the_gradient_is_that_of_all_losses(two):
    for got in two:
        assert (got["gradient"] == 1 + 2).all()


def test_one_process_gathers_itself():
    assert (rank(), world()) == (0, 1)
    x = torch.zeros(3, 2, requires_grad=True)
    assert gather(x) is x


def test_the_parts_alone_are_not_the_whole():
    """The losses of parts differ from that of the batch, so the comparison above can fail."""
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for loss in (acd, contrast, barlow):
        parts = [loss(x[0][part], x[1][part]) for part in (slice(0, 3), slice(3, 6))]
        assert not torch.isclose(sum(parts) / 2, loss(*x), rtol=1e-3)
