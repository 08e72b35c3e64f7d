"""The generator as a function of crops and poses, and its file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslmot import tensors as tensor_files
from sslmot.appearance.encoder import computes_in_bfloat16
from sslmot.inputs import describe
from sslmot.pngan.config import PnganConfig
from sslmot.pngan.networks import Generator
from sslmot.pose.joints import Joints, check_joints
from sslmot.pose.maps import pose_maps

_KEY = "sslmot.pngan"  # in the metadata of a file: the config, as JSON

Images = npt.NDArray[np.uint8]


class PoseGenerator:
    """Generates the person of a crop in another pose (PN-GAN).

    Args:
        config: Size of the network and seed of its weights; other fields record its training.
        device: Where to run, such as "cpu" or "cuda:1"; None for CUDA where there is one.
        batch_size: Most crops in a pass, which bounds the memory.

    Attributes:
        config: As given.
        network: The network, on its device; its weights are random until some are loaded.
        bfloat16: Whether it runs in bfloat16, which it does if the hardware supports it.
        metadata: The metadata of the file except the config: str -> str.

    Raises:
        ValueError: The batch size is below 1.
    """

    def __init__(
        self,
        config: PnganConfig,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # of the CPU alone
            network = Generator(config.width, config.blocks)
        self.network = network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size = batch_size
        self.bfloat16 = computes_in_bfloat16(self.device)
        self.metadata: dict[str, str] = {}

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str | torch.device | None = None,
        *,
        batch_size: int = 64,
    ) -> PoseGenerator:
        """Read what :meth:`save` wrote.

        Args:
            path: A safetensors file.
            device: As for the class.
            batch_size: As for the class.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not a safetensors file, it has no config or a wrong one, or its
                tensors do not fit the config or are not finite.
        """
        tensors, metadata = tensor_files.read(path)
        if _KEY not in metadata:
            raise ValueError(f"{path}: expected {_KEY!r} in the metadata, got {sorted(metadata)}")
        config = PnganConfig.from_json(metadata.pop(_KEY), f"{path}: {_KEY}")
        # Compared before the network is made, since a damaged config can ask for any size.
        tensor_files.expect(path, tensors, lambda: Generator(config.width, config.blocks))
        generator = cls(config, device=device, batch_size=batch_size)
        generator.metadata = metadata
        generator.network.load_state_dict(tensors)
        return generator

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write config and weights as a safetensors file, whole or not at all.

        Args:
            path: File to write or replace.
            metadata: More metadata, added to :attr:`metadata`.
        """
        notes = {**self.metadata, **(metadata or {}), _KEY: self.config.to_json()}
        tensor_files.write(path, self.network.state_dict(), notes)

    @property
    def device(self) -> torch.device:
        """Return the device of the network."""
        return next(self.network.parameters()).device

    @property
    def fingerprint(self) -> str:
        """Return the hexadecimal digest of the weights, by which images are cached."""
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, images: Images, joints: Joints) -> Images:
        """Generate the person of each crop in a pose.

        Args:
            images: (n, h, w, 3) uint8, RGB, of the config's crop size.
            joints: (n, 18, 3) float32, the poses; see `Joints`.

        Returns:
            (n, h, w, 3) uint8, RGB.

        Raises:
            ValueError: A shape or dtype is wrong.
        """
        size = self.config.crop_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*size, 3):
            raise ValueError(
                f"images: expected (n, {size[0]}, {size[1]}, 3) uint8, got {describe(images)}"
            )
        if len(check_joints(joints)) != len(images):
            raise ValueError(f"joints: expected {len(images)} poses, got {len(joints)}")
        parts = [images[:0]]
        for first in range(0, len(images), self.batch_size):
            some = slice(first, first + self.batch_size)
            with torch.inference_mode(), self.autocast():
                made = self.network(
                    image_tensor(images[some], self.device),
                    map_tensor(joints[some], size, self.device),
                )
                pixels = made.add(1).mul(127.5).round().to(torch.uint8)
            parts.append(pixels.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(parts)

    def autocast(self) -> torch.autocast:
        """Return the context to run the network in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


def image_tensor(images: Images, device: torch.device) -> Tensor:
    """Convert crops to inputs of the networks.

    Args:
        images: (n, h, w, 3) uint8, RGB.
        device: Device of the result.

    Returns:
        (n, 3, h, w) float32, -1 to 1.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    # Contiguous planes: the normalisations, one for each channel, are much faster on them.
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)


def map_tensor(joints: Joints, size: tuple[int, int], device: torch.device) -> Tensor:
    """Convert poses to inputs of the generator.

    Args:
        joints: (n, 18, 3) float32.
        size: Height and width of a map, pixels.
        device: Device of the result.

    Returns:
        (n, 3, h, w) float32, -1 to 1: limbs on black, which is -1.
    """
    maps = torch.from_numpy(pose_maps(joints, size)).to(device)
    return maps.float().div_(127.5).sub_(1)
