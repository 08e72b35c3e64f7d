"""Proxies against slow loops in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sslmot.training.proxies import Proxies  # noqa: E402

CPU = torch.device("cpu")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def drawn(seed, n=40, width=5):
    """Identities (some crops have none), clips, features, and the proxies in their order."""
    rng = np.random.default_rng(seed)
    identities, clips = rng.integers(-1, 6, n), rng.integers(0, 3, n)
    # Identities are numbered without gaps.
    _, identities[identities >= 0] = np.unique(identities[identities >= 0], return_inverse=True)
    features = (rng.standard_normal((n, width)) * rng.uniform(0.1, 9, (n, 1))).astype(np.float32)
    keys = sorted({(i, c) for i, c in zip(identities, clips, strict=True) if i >= 0})
    return rng, identities, clips, features, keys


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_against_loops(seed):
    rng, identities, clips, features, keys = drawn(seed)
    proxies = Proxies(identities, clips, features.shape[1], CPU)
    assert proxies.means.tolist() == [[0.0] * 5] * len(keys)
    proxies.gather(features)
    of = {key: (identities == key[0]) & (clips == key[1]) for key in keys}
    wide = unit(features.astype(np.float64))
    means = {key: unit(wide[rows].sum(axis=0)) for key, rows in of.items()}
    np.testing.assert_allclose(proxies.means, [means[key] for key in keys], atol=1e-5)

    crops = rng.choice(np.flatnonzero(identities >= 0), 12)
    same = [[1 if identities[crop] == i else -1 for i, _ in keys] for crop in crops]
    assert proxies.relation(crops).dtype == torch.int8
    np.testing.assert_array_equal(proxies.relation(crops), same)

    z = rng.standard_normal((12, 5))
    before = proxies.means
    proxies.update(crops, torch.from_numpy(z.astype(np.float32)))
    assert proxies.means is before
    for key in keys:
        rows = [unit(z[k]) for k, crop in enumerate(crops) if of[key][crop]]
        if rows:
            means[key] = unit(0.8 * means[key] + 0.2 * np.mean(rows, axis=0))
    np.testing.assert_allclose(proxies.means, [means[key] for key in keys], atol=1e-5)


def test_crops_of_one_proxy_move_it_once():
    proxies = Proxies(np.zeros(4, np.int64), np.zeros(4, np.int32), 2, CPU)
    proxies.gather(np.array([[1, 0]] * 4, np.float32))
    proxies.update(np.array([0, 1, 0, 2]), torch.tensor([[0.0, 3.0]] * 4))
    np.testing.assert_allclose(proxies.means, [unit(np.array([0.8, 0.2]))], atol=1e-6)


def test_no_identity_has_no_proxy():
    proxies = Proxies(np.full(3, -1), np.arange(3), 4, CPU)
    proxies.gather(np.ones((3, 4), np.float32))
    assert proxies.means.shape == (0, 4)
    empty = Proxies(np.empty(0, np.int64), np.empty(0, np.int32), 4, CPU)
    assert empty.means.shape == (0, 4)
