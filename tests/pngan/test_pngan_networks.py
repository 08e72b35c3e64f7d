"""PN-GAN's networks: their size, what they compute, and the generator as a file."""

import dataclasses
import json

import numpy as np
import pytest
from stick_figures import people

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")  # of the canonical poses

from torch import nn  # noqa: E402

from sslmot import tensors as tensor_files  # noqa: E402
from sslmot.appearance.encoder import Encoder  # noqa: E402
from sslmot.pngan.config import PnganConfig  # noqa: E402
from sslmot.pngan.generator import PoseGenerator, image_tensor, map_tensor  # noqa: E402
from sslmot.pngan.networks import Discriminator, Generator  # noqa: E402
from sslmot.pose.maps import pose_maps  # noqa: E402

TINY = PnganConfig(crop_size=(32, 16), width=8, blocks=1)


@pytest.fixture(scope="module")
def crops():
    return people(2, 3)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_papers_sizes():
    assert parameters(Generator()) == 11_387_584  # 11.39 M
    assert parameters(Discriminator()) == 2_764_672  # 2.76 M


def test_shapes(device):
    images = torch.rand(2, 3, 32, 16, device=device) * 2 - 1
    made = Generator(8, 2).to(device)(images, images)
    assert (made.shape, made.dtype) == ((2, 3, 32, 16), torch.float32)
    assert 0 < made.abs().max() < 1
    verdict = Discriminator(8).to(device)(images)
    assert (verdict.shape, verdict.dtype) == ((2, 1, 6, 4), torch.float32)


def test_the_normalisation_is_by_the_instance():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = Generator(8, 2).double(), torch.rand(3, 6, 32, 16).double()
    got = network.layers(images)

    def by_instance(module):
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.InstanceNorm2d(child.num_channels))
            by_instance(child)

    by_instance(network)
    assert sum(isinstance(m, nn.InstanceNorm2d) for m in network.modules()) == 9
    torch.testing.assert_close(got, network.layers(images), atol=1e-9, rtol=0)


def test_random_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Discriminator(16)
    for name, parameter in network.state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any()
        elif parameter.numel() > 1000:
            assert parameter.mean().abs() < 0.002
            assert parameter.std() == pytest.approx(0.02, rel=0.1)


def test_images_and_maps_as_the_networks_take_them(crops):
    images, joints = crops[0].images, crops[1]
    got = image_tensor(images, torch.device("cpu"))
    assert got.shape == (6, 3, 32, 16)
    np.testing.assert_allclose(got.numpy().transpose(0, 2, 3, 1), images / 127.5 - 1, atol=1e-6)
    maps = map_tensor(joints, (32, 16), torch.device("cpu"))
    assert maps.shape == (6, 3, 32, 16)
    want = pose_maps(joints, (32, 16))
    assert want.max() > 200
    np.testing.assert_allclose(maps, want / 127.5 - 1, atol=1e-6)


def test_a_generator_makes_images(crops, device):
    images, joints = crops[0].images, crops[1]
    generator = PoseGenerator(TINY, device=device, batch_size=4)
    made = generator(images, joints)
    assert (made.shape, made.dtype) == (images.shape, np.uint8)
    generator.bfloat16 = False
    exact = generator(images, joints).astype(int)
    assert np.abs(made - exact).max() <= 4
    with torch.no_grad():
        y = generator.network(
            image_tensor(images, generator.device), map_tensor(joints, (32, 16), generator.device)
        )
    want = ((y.cpu().numpy().transpose(0, 2, 3, 1) + 1) * 127.5).round()
    assert np.abs(exact - want).max() <= 1
    assert generator(images[:0], joints[:0]).shape == (0, 32, 16, 3)


def test_the_pose_and_the_image_matter(crops):
    images, joints = crops[0].images, crops[1]
    generator = PoseGenerator(TINY, device="cpu")
    made = generator(images[:1], joints[:1])
    assert (generator(images[:1], joints[1:2]) != made).any()
    assert (generator(images[3:4], joints[:1]) != made).any()


def test_the_seed_decides_and_leaves_torchs_own_numbers_alone():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, again = (PoseGenerator(TINY, device="cpu") for _ in range(2))
    other = PoseGenerator(dataclasses.replace(TINY, seed=1), device="cpu")
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_file_gives_back_what_was_saved(crops, tmp_path, device):
    generator = PoseGenerator(dataclasses.replace(TINY, seed=3, pairs="flip"), device=device)
    generator.save(tmp_path / "g.safetensors", {"note": "mine"})
    loaded = PoseGenerator.load(tmp_path / "g.safetensors", device=device)
    assert loaded.config == generator.config
    assert loaded.metadata == {"note": "mine"}
    assert loaded.fingerprint == generator.fingerprint
    np.testing.assert_array_equal(
        loaded(crops[0].images, crops[1]), generator(crops[0].images, crops[1])
    )


def test_the_fingerprint_is_of_every_weight():
    generator = PoseGenerator(TINY, device="cpu")
    before = generator.fingerprint
    with torch.no_grad():
        list(generator.network.parameters())[-1].view(-1)[-1] += 1e-6
    assert generator.fingerprint != before


def test_wrong_images_and_joints(crops):
    images, joints = crops[0].images, crops[1]
    generator = PoseGenerator(TINY, device="cpu")
    expected = r"^images: expected \(n, 32, 16, 3\) uint8, got "
    for wrong in (images[0], images[:, :16], images.astype(np.float32), images[..., :1]):
        with pytest.raises(ValueError, match=expected):
            generator(wrong, joints)
    with pytest.raises(ValueError, match=r"^joints: expected 6 poses, got 5"):
        generator(images, joints[:5])
    with pytest.raises(ValueError, match=r"^joints: expected \(N, 18, 3\) float32"):
        generator(images, joints[:, :17])
    with pytest.raises(ValueError, match=r"^batch_size: expected at least 1, got 0"):
        PoseGenerator(TINY, device="cpu", batch_size=0)


def test_wrong_files(tmp_path):
    path = tmp_path / "g.safetensors"
    with pytest.raises(FileNotFoundError):
        PoseGenerator.load(path)
    Encoder(device="cpu").save(path)
    with pytest.raises(ValueError, match=r"g\.safetensors: expected 'sslmot.pngan' in the meta"):
        PoseGenerator.load(path)

    weights = PoseGenerator(TINY, device="cpu").network.state_dict()
    key = "sslmot.pngan"
    good = json.dumps(TINY.to_dict())
    wide = json.dumps(dataclasses.replace(TINY, width=9).to_dict())
    broken = weights | {"layers.1.bias": torch.full((8,), torch.nan)}
    for tensors, config, expected in (
        (weights, "{", "sslmot.pngan: expected JSON, got"),
        (weights, '{"width": 0}', "sslmot.pngan: width: expected an integer of 1 to 1024, got 0"),
        (weights, wide, r"layers.1.weight: expected \(9, 6, 7, 7\) .*got \(8, 6, 7, 7\)"),
        ({}, good, r"expected tensor layers.1.bias, got none"),
        (broken, good, r"layers\.1\.bias: expected finite numbers, got NaN or inf"),
    ):
        tensor_files.write(path, tensors, {key: config})
        with pytest.raises(ValueError, match=rf"(?s)g\.safetensors: {expected}"):
            PoseGenerator.load(path, device="cpu")
