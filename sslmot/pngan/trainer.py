"""The training of PN-GAN, on one process.

The folder of the run, see :mod:`sslmot.training.run`, holds these too::

    pairs.safetensors        joints of the crops, and the pairs to learn from
    generator.safetensors    the generator after the last whole epoch
    samples/                 after each epoch source, pose, generated and true image of some pairs
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor

from sslmot import files
from sslmot import tensors as tensor_files
from sslmot.data.crops import CropSet
from sslmot.pngan.config import PnganConfig
from sslmot.pngan.generator import Images, PoseGenerator, image_tensor, map_tensor
from sslmot.pngan.networks import Discriminator
from sslmot.pngan.pairs import Pairs
from sslmot.pose.joints import Joints, check_joints, mirror
from sslmot.pose.maps import pose_maps
from sslmot.training.checkpoints import Checkpoint
from sslmot.training.folder import check_output, new_run, open_run
from sslmot.training.run import Run

_Inputs: TypeAlias = tuple[Tensor, Tensor, Tensor]

_SAMPLES = 8  # pairs
_CURVES = ("loss/l1", "loss/generator", "loss/discriminator")
_BETAS = (0.5, 0.999)
_ADAM = ("step", "exp_avg", "exp_avg_sq")


def train_pngan(
    crops: CropSet,
    joints: Joints,
    pairs: Pairs,
    config: PnganConfig,
    output: str | Path,
    *,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> PoseGenerator:
    """Train a generator in a new run.

    Args:
        crops: N crops of the config's size.
        joints: (N, 18, 3) float32, joints of the crops.
        pairs: The training data, see `sslmot.pngan.pairs`.
        config: Settings.
        output: Folder of the run; must be missing or empty.
        device: Where to train; None for CUDA where there is one.
        progress: Show a bar, and a line for each epoch.

    Returns:
        The generator, as in ``generator.safetensors``.

    Raises:
        FileExistsError: The folder holds something.
        ValueError: Crops, joints, pairs and config do not fit together, or there is no such
            device.
        FloatingPointError: A loss or a weight is not finite; the last checkpoint is from before.
    """
    output = Path(output)
    check_output(output, "sslmot train-pngan")
    # All is checked before anything is written.
    trainer = _Trainer(crops, joints, pairs, config, output, device, progress)
    arrays = {"joints": joints, **vars(pairs)}
    # Copies, since safetensors refuses one array under two names: source may be target.
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    with new_run(output, config, crops) as part:
        tensor_files.write(part / "pairs.safetensors", tensors, {})
    trainer.run()
    return trainer.finished()


def resume_pngan(
    output: str | Path, *, device: str | torch.device | None = None, progress: bool = False
) -> PoseGenerator:
    """Go on with a run after its last whole epoch.

    Args:
        output: Folder of the run.
        device: As for :func:`train_pngan`.
        progress: As for :func:`train_pngan`.

    Raises:
        FileNotFoundError: There is no run in the folder.
        ValueError: A file of it is damaged, or they do not fit together.
        FloatingPointError: As :func:`train_pngan`.
    """
    output = Path(output)
    # Compares config and checkpoint before a network is made, since a config can ask for any size.
    config, crops, saved = open_run(output, PnganConfig)
    path = output / "pairs.safetensors"
    arrays, _ = tensor_files.read_arrays(path)
    if arrays.keys() != {"joints", "source", "target", "mirrored"}:
        raise ValueError(f"{path}: expected joints and pairs, got {sorted(arrays)}")
    try:
        joints = arrays.pop("joints")
        pairs = Pairs(**arrays)
        trainer = _Trainer(crops, joints, pairs, config, output, device, progress)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if saved is not None:
        trainer.restore(saved)
    trainer.run()
    return trainer.finished()


class _Trainer(Run):
    """The training of a generator, see :class:`sslmot.training.run.Run`."""

    config: PnganConfig

    def __init__(
        self,
        crops: CropSet,
        joints: Joints,
        pairs: Pairs,
        config: PnganConfig,
        output: Path,
        device: str | torch.device | None,
        progress: bool,
    ) -> None:
        if crops.size != config.crop_size:
            raise ValueError(
                f"crop_size: expected {crops.size}, that of the crops, got {config.crop_size}"
            )
        if len(check_joints(joints)) != len(crops):
            raise ValueError(f"joints: expected those of {len(crops)} crops, got {len(joints)}")
        if (last := int(max(pairs.source.max(), pairs.target.max()))) >= len(crops):
            raise ValueError(f"pairs: expected rows of {len(crops)} crops, got {last}")
        super().__init__(crops, config, config.epochs, output, device, progress)
        self.joints = joints
        self.pairs = pairs
        self.samples = pairs.draw(np.random.default_rng(config.seed))[:_SAMPLES]
        self.generator = PoseGenerator(config, device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.discriminator = Discriminator(config.width).to(self.device)
        self.networks = {"generator": self.generator.network, "discriminator": self.discriminator}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, _BETAS)
            for name, network in self.networks.items()
        }

    def run(self) -> None:
        """Train the epochs that are left."""
        sources = len(np.unique(self.pairs.source))
        self._say(f"{len(self.pairs)} pairs, {sources} sources of {len(self.crops)} crops")
        super().run()

    def _begin_epoch(self) -> tuple[Iterator[_Inputs], int, int]:
        pairs = self.pairs.draw(np.random.default_rng([self.config.seed, self.epoch]))
        size = self.config.batch_size
        batches = [pairs[first : first + size] for first in range(0, len(pairs), size)]
        return map(self._inputs, batches), len(batches), len(pairs)

    def _inputs(self, pairs: Pairs) -> _Inputs:
        """Return source images, target images, and pose maps of the targets."""
        return (
            image_tensor(self.crops.images[pairs.source], self.device),
            image_tensor(self._targets(pairs), self.device),
            map_tensor(self._poses(pairs), self.config.crop_size, self.device),
        )

    def _learning_rate(self, done: float) -> float:
        """Return the rate: constant in the first half of the epochs, then linear to 0."""
        return self.config.learning_rate * min(1.0, 2 * (1 - done / self.epochs))

    def _train_step(self, batch: _Inputs, done: float, logged: bool) -> dict[str, float]:
        """Train both networks on a batch (LSGAN, Mao et al., 2017).

        The generator is trained first, against the discriminator of the step before.
        """
        source, target, maps = batch
        with self.generator.autocast():
            made = self.generator.network(source, maps)
        self.discriminator.requires_grad_(False)
        with self.generator.autocast():
            judged = self.discriminator(made)
        l1, adversarial = (made - target).abs().mean(), (judged - 1).square().mean()
        self._descend("generator", adversarial + self.config.l1 * l1)

        self.discriminator.requires_grad_(True)
        with self.generator.autocast():
            real, false = self.discriminator(torch.cat([target, made.detach()])).chunk(2)
        told_apart = (real - 1).square().mean() + false.square().mean()
        self._descend("discriminator", told_apart)
        values = torch.stack([l1, adversarial, told_apart]).tolist()
        losses = dict(zip(_CURVES, values, strict=True))
        if not all(map(math.isfinite, values)):
            got = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            raise FloatingPointError(
                f"step {self.step + 1} of epoch {self.epoch + 1}: expected finite losses, got "
                f"{got}; the last checkpoint is from before, and a lower learning rate may help"
            )
        return losses

    def _descend(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _targets(self, pairs: Pairs) -> Images:
        images = self.crops.images[pairs.target]
        images[pairs.mirrored] = images[pairs.mirrored, :, ::-1]
        return images

    def _poses(self, pairs: Pairs) -> Joints:
        joints = self.joints[pairs.target]
        joints[pairs.mirrored] = mirror(joints[pairs.mirrored])
        return joints

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {}
        for name, network in self.networks.items():
            for k, parameter in network.named_parameters():
                tensors[f"{name}.{k}"] = parameter.detach()
                adam = self.optimizers[name].state[parameter]
                tensors |= {f"{name}.{k}.{part}": adam[part] for part in _ADAM}
        return tensors

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint; see :meth:`Run.restore`."""
        for name, network in self.networks.items():
            for k, parameter in network.named_parameters():
                with torch.no_grad():
                    parameter.copy_(saved.state(f"{name}.{k}", parameter))
                adam = {}
                for part in _ADAM:
                    like = torch.zeros(()) if part == "step" else parameter  # counted on the CPU
                    adam[part] = saved.state(f"{name}.{k}.{part}", like)
                self.optimizers[name].state[parameter] = adam
        super().restore(saved)

    def _save_results(self) -> None:
        """Write the generator, and samples: a row for each of some pairs.

        A row shows source, pose, generated and true image.
        """
        joints, size = self._poses(self.samples), self.config.crop_size
        source = self.crops.images[self.samples.source]
        columns = (
            source,
            pose_maps(joints, size).transpose(0, 2, 3, 1),
            self.generator(source, joints),
            self._targets(self.samples),
        )
        grid = np.concatenate(np.concatenate(columns, axis=2))
        folder = self.output / "samples"
        folder.mkdir(exist_ok=True)
        _, picture = cv2.imencode(".jpg", grid[..., ::-1])
        files.write(folder / f"epoch-{self.epoch:02d}.jpg", picture.tobytes())
        self.finished().save(self.output / "generator.safetensors")

    def finished(self) -> PoseGenerator:
        """Return the generator as it is now; its metadata say how it was trained."""
        self.generator.metadata = self._metadata(pairs=len(self.pairs))
        return self.generator
