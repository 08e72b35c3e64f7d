"""Losses against float64 loops, their gradients and what they must not depend on."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402

from sslmot.training.losses import (  # noqa: E402
    acd,
    affinity,
    barlow,
    contrast,
    imitate,
    known,
    mse,
    negative_cosine,
    symmetric,
)

# The oracle: loops over float64 numbers.


def loop_affinity(p, z, normalize="vectors"):
    a = np.array([[sum(x * y for x, y in zip(u, v, strict=True)) for v in z] for u in p])
    for i, j in np.ndindex(a.shape):
        if normalize == "vectors":
            a[i, j] /= math.sqrt(sum(p[i] ** 2)) * math.sqrt(sum(z[j] ** 2))
    if normalize == "rows":
        a = np.array([row / math.sqrt(sum(row**2)) for row in a])
    return a


def loop_relation(relation, n, m, offset):
    if relation is not None:
        return relation
    return np.array([[1 if j == offset + i else -1 for j in range(m)] for i in range(n)])


def loop_acd(p, z, relation=None, normalize="vectors", balance="auto", offset=0):
    a = loop_affinity(p, z, normalize)
    n, m = a.shape
    relation = loop_relation(relation, n, m, offset)
    balance = 1 / (m - 1) if balance == "auto" else balance
    total = 0.0
    for i in range(n):
        same = [(1 - a[i, j]) ** 2 for j in range(m) if relation[i, j] == 1]
        different = [a[i, j] ** 2 for j in range(m) if relation[i, j] == -1]
        total += sum(same) / len(same) + balance * sum(different)
    return total / n


def loop_contrast(p, z, relation=None, temperature=0.07, offset=0):
    a = loop_affinity(p, z)
    n, m = a.shape
    relation = loop_relation(relation, n, m, offset)
    total = 0.0
    for i in range(n):
        whole = sum(math.exp(a[i, j] / temperature) for j in range(m) if relation[i, j] != 0)
        same = [
            -math.log(math.exp(a[i, j] / temperature) / whole)
            for j in range(m)
            if relation[i, j] == 1
        ]
        total += sum(same) / len(same)
    return total / n


def loop_barlow(x, y, balance):
    m, width = x.shape

    def standardised(column):
        mean = sum(column) / m
        variance = sum((v - mean) ** 2 for v in column) / m
        return [(v - mean) / math.sqrt(variance + 1e-5) for v in column]

    xs, ys = ([standardised(v[:, k]) for k in range(width)] for v in (x, y))
    total = 0.0
    for k in range(width):
        for j in range(width):
            c = sum(u * v for u, v in zip(xs[k], ys[j], strict=True)) / m
            total += (1 - c) ** 2 if k == j else balance * c**2
    return total


def draw(seed, n=4, m=6, width=5):
    """p, z and a relation with each kind of column."""
    rng = np.random.default_rng(seed)
    relation = rng.integers(-1, 2, (n, m)).astype(np.int8)
    relation[np.arange(n), rng.integers(0, m, n)] = 1
    return rng.normal(size=(n, width)), rng.normal(size=(m, width)), relation


def tensors(*arrays):
    return tuple(torch.from_numpy(a) for a in arrays)


seeds = pytest.mark.parametrize("seed", range(3))


# Values.


@seeds
@pytest.mark.parametrize("normalize", ["vectors", "rows"])
def test_affinity(seed, normalize):
    p, z, _ = draw(seed)
    got = affinity(*tensors(p, z), normalize)
    np.testing.assert_allclose(got, loop_affinity(p, z, normalize), rtol=1e-12)


def test_the_two_readings_of_n_differ():
    p, z = tensors(*draw(0)[:2])
    a, b = affinity(p, z), affinity(p, z, "rows")
    assert not torch.allclose(a, b, atol=0.01)
    torch.testing.assert_close(b.norm(dim=1), torch.ones(4, dtype=torch.float64))


@seeds
@pytest.mark.parametrize("normalize", ["vectors", "rows"])
@pytest.mark.parametrize("balance", ["auto", 0, 0.3, 1])
@pytest.mark.parametrize("related", [False, True])
def test_acd(seed, normalize, balance, related):
    p, z, relation = draw(seed)
    relation = relation if related else None
    got = acd(
        *tensors(p, z),
        None if relation is None else torch.from_numpy(relation),
        normalize=normalize,
        balance=balance,
        offset=2,
    )
    expected = loop_acd(p, z, relation, normalize, balance, offset=2)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_acd_is_eq_2_averaged():
    p = z = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    # Off the diagonal: cosines 0, 1/sqrt(2) and 1/sqrt(2), both ways.
    assert acd(p, z, balance=1).item() == pytest.approx((4 * 0.5) / 3)
    assert acd(p, z).item() == pytest.approx((4 * 0.5) / 3 / 2)
    assert acd(p, -z, balance=0).item() == pytest.approx(4)


@seeds
@pytest.mark.parametrize("temperature", [0.07, 1])
@pytest.mark.parametrize("related", [False, True])
def test_contrast(seed, temperature, related):
    p, z, relation = draw(seed)
    relation = relation if related else None
    got = contrast(
        *tensors(p, z),
        None if relation is None else torch.from_numpy(relation),
        temperature,
        offset=1,
    )
    expected = loop_contrast(p, z, relation, temperature, offset=1)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@seeds
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_imitate(seed, temperature):
    p, z, _ = draw(seed)
    alike = np.random.default_rng(seed).uniform(-1, 1, (len(p), len(z)))
    got = imitate(*tensors(p, z, alike), temperature)
    expected = 0.0
    for row, wanted in zip(loop_affinity(p, z), alike, strict=True):
        q, t = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (row, wanted))
        expected += (t * np.log(t / q)).sum() / len(p)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert imitate(*tensors(p, z, loop_affinity(p, z))) < 1e-12


def test_imitate_wants_a_number_for_each_pair():
    p, z, alike = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4, 2)
    with pytest.raises(ValueError, match=r"alike: expected \(2, 4\), got \(4, 2\)"):
        imitate(p, z, alike)


@seeds
def test_own_pairs(seed):
    p, z, _ = draw(seed, n=4, m=4)
    cosines = [loop_affinity(p, z)[i, i] for i in range(4)]
    squares = [(p[i, k] - z[i, k]) ** 2 for i in range(4) for k in range(5)]
    np.testing.assert_allclose(negative_cosine(*tensors(p, z)), -sum(cosines) / 4, rtol=1e-12)
    np.testing.assert_allclose(mse(*tensors(p, z)), sum(squares) / 20, rtol=1e-12)


@seeds
@pytest.mark.parametrize("balance", [0.0051, 1])
def test_barlow(seed, balance):
    x, y, _ = draw(seed, n=6, m=6)
    got = barlow(*tensors(x, y), balance)
    np.testing.assert_allclose(got, loop_barlow(x, y, balance), rtol=1e-10)


def test_barlow_of_one_feature_has_nothing_off_the_diagonal():
    x = torch.randn(9, 1, dtype=torch.float64)
    assert barlow(x, 3 * x + 1, balance=1e9).item() == pytest.approx(0, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 4), st.integers(2, 6))
def test_any_shape(seed, n, more, width):
    m = max(n + more, 2)
    p, z, relation = draw(seed, n, m, width)
    args = tensors(p, z, relation)
    np.testing.assert_allclose(acd(*args), loop_acd(p, z, relation), rtol=1e-9)
    np.testing.assert_allclose(contrast(*args), loop_contrast(p, z, relation), rtol=1e-9, atol=1e-9)


# Gradients.


@pytest.mark.parametrize("related", [False, True])
@pytest.mark.parametrize(
    "loss",
    [
        lambda p, z, r: acd(p, z, r),
        lambda p, z, r: acd(p, z, r, normalize="rows", balance=0.5),
        lambda p, z, r: contrast(p, z, r, 0.5),
        lambda p, z, r: negative_cosine(p, z[:3]),
        lambda p, z, r: mse(p, z[:3]),
        lambda p, z, r: barlow(p, z[:3], 0.1),
    ],
    ids=["acd", "rows", "contrast", "cosine", "mse", "barlow"],
)
@pytest.mark.processor
def test_gradients(loss, related):
    p, z, relation = tensors(*draw(0, n=3, m=5, width=4))
    p.requires_grad_()
    z.requires_grad_()
    assert gradcheck(lambda p, z: loss(p, z, relation if related else None), (p, z))


@pytest.mark.parametrize("loss", [acd, contrast, negative_cosine, mse])
def test_no_gradient_reaches_the_stopped_branch(loss):
    torch.manual_seed(0)
    z_first, z_second = (torch.randn(4, 5, requires_grad=True) for _ in range(2))
    p_first, p_second = (torch.randn(4, 5, requires_grad=True) for _ in range(2))
    total = symmetric(loss, p_first, z_first, p_second, z_second)
    torch.testing.assert_close(total, (loss(p_first, z_second) + loss(p_second, z_first)) / 2)
    total.backward()
    assert z_first.grad is None
    assert z_second.grad is None
    for p, z in ((p_first, z_second), (p_second, z_first)):
        alone = torch.autograd.grad(loss(p, z.detach()) / 2, p)[0]
        assert alone.abs().max() > 0
        torch.testing.assert_close(p.grad, alone)


def test_unknown_columns_get_no_gradient():
    p, z, relation = tensors(*draw(1))
    relation[:, 3] = 0
    relation[:, 4] = 1
    for loss in (acd, contrast):
        gradient = torch.autograd.grad(loss(p, z.requires_grad_(), relation), z)[0]
        assert (gradient[3] == 0).all()
        assert gradient[4].abs().max() > 0


# Invariances.


@seeds
@pytest.mark.parametrize("loss", [acd, contrast, negative_cosine])
def test_the_length_of_vectors_does_not_matter(seed, loss):
    p, z = tensors(*draw(seed, n=5, m=5)[:2])
    scale = torch.rand(2, 5, 1, dtype=torch.float64) * 100 + 0.01
    torch.testing.assert_close(loss(p * scale[0], z * scale[1]), loss(p, z))
    assert mse(2 * p, 2 * z).item() == pytest.approx(4 * mse(p, z).item())


def test_rows_depend_on_the_length_of_columns():
    p, z = tensors(*draw(0, n=5, m=5)[:2])
    scale = torch.rand(5, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(acd(p * scale, 2 * z, normalize="rows"), acd(p, z, normalize="rows"))
    assert not torch.allclose(acd(p, z * scale, normalize="rows"), acd(p, z, normalize="rows"))


@seeds
def test_the_order_of_the_batch_does_not_matter(seed):
    p, z, relation = tensors(*draw(seed, n=6, m=6))
    order = torch.from_numpy(np.random.default_rng(seed).permutation(6))
    for loss in (acd, contrast, negative_cosine, mse, barlow):
        torch.testing.assert_close(loss(p[order], z[order]), loss(p, z))
    for loss in (acd, contrast):
        torch.testing.assert_close(
            loss(p[order], z[order], relation[order][:, order]), loss(p, z, relation)
        )


@pytest.mark.parametrize("loss", [acd, contrast])
def test_none_says_own_columns(loss):
    p, z, _ = tensors(*draw(0))
    relation = torch.full((4, 6), -1, dtype=torch.int8)
    relation[torch.arange(4), torch.arange(4) + 2] = 1
    torch.testing.assert_close(loss(p, z, offset=2), loss(p, z, relation), rtol=0, atol=0)
    assert not torch.allclose(loss(p, z, offset=1), loss(p, z, offset=2))


@pytest.mark.parametrize("loss", [acd, contrast])
def test_rows_of_the_parts_of_a_batch_average_to_the_whole(loss):
    p, z, _ = tensors(*draw(0, n=6, m=6))
    parts = [loss(p[k : k + 2], z, offset=k) for k in (0, 2, 4)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss(p, z))


@pytest.mark.parametrize("loss", [acd, contrast, negative_cosine, mse, barlow])
def test_half_precision_is_left_behind(loss):
    torch.manual_seed(0)
    p, z = (torch.randn(8, 64).bfloat16() for _ in range(2))
    exact = loss(p.double(), z.double())
    with torch.autocast("cpu", torch.bfloat16):
        for some in ((p, z), (p.float(), z.float())):
            got = loss(*some)
            assert got.dtype == torch.float32
            torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-6)


def test_on_each_device(device):
    p, z, relation = tensors(*draw(0, n=6, m=6))
    for loss in (acd, contrast):
        for some in (None, relation):  # wherever the relation is
            got = loss(p.to(device), z.to(device), some)
            torch.testing.assert_close(got.cpu(), loss(p, z, some))
    torch.testing.assert_close(barlow(p.to(device), z.to(device)).cpu(), barlow(p, z))


# Errors.


def test_a_batch_of_one():
    p = torch.ones(1, 4)
    for loss in (acd, contrast, barlow):
        with pytest.raises(ValueError, match="batch: expected at least 2 pairs, got 1"):
            loss(p, p)
    # Others know no other pair; and the whole batch counts, not this process's part.
    assert negative_cosine(p, p).item() == pytest.approx(-1)
    assert mse(p, p) == 0
    assert acd(p, torch.eye(4), offset=3).isfinite()


def test_shapes_that_do_not_fit():
    p = torch.ones(4, 5)
    for loss in (acd, contrast, affinity):
        for z in (torch.ones(4, 6), torch.ones(4, 5, 1)):
            with pytest.raises(ValueError, match=r"p, z: expected \(n, M\) and \(m, M\), got"):
                loss(p, z)
    for loss in (negative_cosine, mse, barlow):
        with pytest.raises(ValueError, match=r"pairs: expected .* got \(4, 5\) and \(3, 5\)"):
            loss(p, p[:3])
    for offset in (-1, 3):
        with pytest.raises(
            ValueError, match=f"offset: expected 0 to 2 with 2 of 4 pairs, got {offset}"
        ):
            acd(p[:2], p, offset=offset)


def test_unknown_options():
    p = torch.randn(4, 5)
    with pytest.raises(ValueError, match="normalize: expected vectors or rows, got 'columns'"):
        acd(p, p, normalize="columns")
    for balance in (-1, math.nan, math.inf, "none"):
        with pytest.raises(ValueError, match="balance: expected a number from 0 or 'auto', got"):
            acd(p, p, balance=balance)
    for temperature in (0, -1, math.nan):
        with pytest.raises(ValueError, match="temperature: expected a number above 0, got"):
            contrast(p, p, temperature=temperature)


@pytest.mark.parametrize("loss", [acd, contrast])
def test_a_wrong_relation(loss):
    p, z, relation = tensors(*draw(0))
    with pytest.raises(
        ValueError, match=r"relation: expected \(4, 6\) torch.int8, got \(4, 4\) torch.int8"
    ):
        loss(p, z, relation[:, :4])
    with pytest.raises(ValueError, match=r"relation: expected .* torch.int8, got .* torch.int64"):
        loss(p, z, relation.long())
    relation[2] = -1
    with pytest.raises(ValueError, match="the same person in each row, got none in row 2"):
        loss(p, z, relation)


def test_known():
    relation = torch.tensor([[1, 0, -1], [0, 1, 1]], dtype=torch.int8)
    same, different = known(relation, 2, 3)
    assert same.tolist() == [[True, False, False], [False, True, True]]
    assert different.tolist() == [[False, False, True], [False, False, False]]
