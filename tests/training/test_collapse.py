"""Features that differ, and features that do not."""

import math

import pytest
import torch

from sslmot.training.collapse import CollapseError, Health, check, health


def health_loop(z):
    """Both measures by their definitions, in float64."""
    unit = [row / row.norm() for row in z.double()]
    n, width = len(unit), z.shape[1]
    spread = 0.0
    for d in range(width):
        values = [float(row[d]) for row in unit]
        mean = sum(values) / n
        spread += math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    # Singular values are the roots of the eigenvalues of the Gram matrix.
    gram = torch.stack([torch.stack([a @ b for b in unit]) for a in unit])
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().tolist()
    shares = [v / sum(values) for v in values]
    rank = math.exp(-sum(s * math.log(s) for s in shares if s > 1e-9))
    return spread / width * math.sqrt(width), rank


def gaussian(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "width"), [(5, 3), (3, 7), (12, 12)])
def test_against_the_loop(n, width):
    z = gaussian(n, width) + 0.5
    assert health(z) == pytest.approx(health_loop(z), rel=1e-4)


def test_random_features_are_spread_over_all_directions():
    few, many = health(gaussian(16, 256)), health(gaussian(256, 16))
    assert few.spread == pytest.approx(1, abs=0.05)
    assert many.spread == pytest.approx(1, abs=0.05)
    assert 15.5 < few.rank <= 16 + 1e-3  # at most n, and nearly that
    assert 15.5 < many.rank <= 16 + 1e-3  # or as many as there are dimensions
    check(few, 1)
    check(many, 1)


def test_length_does_not_matter():
    z = gaussian(8, 5)
    lengths = torch.linspace(0.1, 50, 8)[:, None]
    assert health(z * lengths) == pytest.approx(health(z), rel=1e-4)


def test_one_feature_for_all_is_a_collapse():
    constant = health(gaussian(1, 32).expand(20, -1) * torch.linspace(1, 9, 20)[:, None])
    assert constant.spread == pytest.approx(0, abs=1e-5)
    assert constant.rank == pytest.approx(1, abs=1e-2)
    with pytest.raises(CollapseError, match=r"collapsed in epoch 3: features spread by 0\.000"):
        check(constant, 3)


def test_one_direction_is_a_collapse_though_the_features_spread():
    signs = torch.tensor([1.0, -1.0]).repeat(10)
    line = health(gaussian(1, 32) * signs[:, None])
    assert line.spread > 0.5
    assert line.rank == pytest.approx(1, abs=1e-2)
    with pytest.raises(CollapseError, match=r"over 1\.0 directions"):
        check(line, 1)


def test_no_feature_at_all_is_a_collapse():
    zeros = health(torch.zeros(6, 4))
    assert zeros == Health(0.0, 1.0)
    with pytest.raises(CollapseError):
        check(zeros, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stops_a_run(bad):
    z = gaussian(6, 4)
    z[2, 1] = bad
    ill = health(z)
    assert math.isnan(ill.spread)
    assert math.isnan(ill.rank)
    with pytest.raises(CollapseError, match="epoch 12: features spread by nan"):
        check(ill, 12)


@pytest.mark.parametrize(
    ("h", "stops"),
    [
        (Health(0.021, 1.51), False),
        (Health(0.019, 50.0), True),
        (Health(1.0, 1.49), True),
        (Health(math.nan, 50.0), True),
        (Health(1.0, math.nan), True),
    ],
)
def test_either_limit_stops(h, stops):
    if not stops:
        check(h, 1)
        return
    with pytest.raises(CollapseError, match="a lower learning rate or a larger batch"):
        check(h, 1)


def test_features_of_a_network_may_be_given_as_they_are():
    z = gaussian(6, 4).bfloat16().requires_grad_()
    assert health(z) == pytest.approx(health_loop(z.detach()), rel=1e-3)
    assert z.grad is None
