"""The training of PN-GAN, on one process.

A run is a folder::

    config.yaml              the whole config
    crops/                   the crops, decoded
    pairs.safetensors        their joints, and the pairs to learn from
    checkpoint.safetensors   all that a resumed run needs, after the last whole epoch
    generator.safetensors    the generator after that epoch
    samples/                 after each epoch source, pose, generated and true image of some pairs
    tensorboard/             curves

What is random in an epoch depends on the seed and its number alone, so a resumed run goes as one
that was never interrupted.
"""

from __future__ import annotations

import json
import math
import time
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sslmot import tensors as tensor_files
from sslmot.data.crops import CropSet
from sslmot.files import naming, new_folder
from sslmot.files import write as write_file
from sslmot.pngan.config import PnganConfig
from sslmot.pngan.generator import Images, PoseGenerator, image_tensor, map_tensor
from sslmot.pngan.networks import Discriminator
from sslmot.pngan.pairs import Pairs
from sslmot.pose.joints import Joints, check_joints, mirror
from sslmot.pose.maps import pose_maps
from sslmot.training.checkpoints import Checkpoint
from sslmot.training.folder import check_output
from sslmot.training.processes import pick_device

_LOG_EVERY = 10  # steps
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
        joints: (N, 18, 3) float32, of the crops.
        pairs: To learn from, as one of `sslmot.pngan.pairs` finds them.
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
        FloatingPointError: A loss is not finite any more; the last checkpoint is from before.
    """
    output = Path(output)
    check_output(output, "sslmot train-pngan")
    # Before anything is written: does all of it fit together?
    trainer = _Trainer(crops, joints, pairs, config, output, device, progress)
    arrays = {
        "joints": joints,
        "source": pairs.source,
        "target": pairs.target,
        "mirrored": pairs.mirrored,
    }
    # Copies: source and target may be one array, which safetensors refuses.
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    with new_folder(output) as part:
        crops.save(part / "crops")
        tensor_files.write(part / "pairs.safetensors", tensors, {})
        config.save(part / "config.yaml")
    with naming(output):
        return trainer.run()


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
    if not (output / "config.yaml").is_file():
        raise FileNotFoundError(f"resume: expected a run with {output / 'config.yaml'}")
    config = PnganConfig.load(output / "config.yaml", whole=True)
    crops = CropSet.load(output / "crops")
    checkpoint = output / "checkpoint.safetensors"
    # Before there are networks: a config can ask for any size.
    saved = Checkpoint.load(checkpoint, config) if checkpoint.exists() else None
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
        trainer.restore(checkpoint, saved)
    with naming(output):
        return trainer.run()


class _Trainer:
    """A run between its epochs."""

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
        self.crops = crops
        self.joints = joints
        self.pairs = pairs
        self.config = config
        self.output = output
        self.device = pick_device(device)
        self.progress = progress
        self.samples = pairs.draw(np.random.default_rng(config.seed))[:_SAMPLES]
        # Done so far.
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.generator = PoseGenerator(config, device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.discriminator = Discriminator(config.width).to(self.device)
        self.networks = {"generator": self.generator.network, "discriminator": self.discriminator}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, _BETAS)
            for name, network in self.networks.items()
        }

    def run(self) -> PoseGenerator:
        """Train the epochs that are left."""
        # What an interrupted epoch logged is not shown beside its second try.
        log = SummaryWriter(str(self.output / "tensorboard"), purge_step=self.step + 1)
        sources = len(np.unique(self.pairs.source))
        self._say(f"{len(self.pairs)} pairs, {sources} sources of {len(self.crops)} crops")
        try:
            while self.epoch < self.config.epochs:
                self._train_epoch(log)
                self._save()
        finally:
            log.close()
        return self.generator

    def _train_epoch(self, log: SummaryWriter) -> None:
        config, epoch = self.config, self.epoch
        pairs = self.pairs.draw(np.random.default_rng([config.seed, epoch]))
        starts = range(0, len(pairs), config.batch_size)
        bar = tqdm(
            starts,
            desc=f"epoch {epoch + 1}/{config.epochs}",
            unit_scale=config.batch_size,
            unit=" images",
            disable=None if self.progress else True,
            leave=False,
        )
        curves = []
        start = time.perf_counter()
        for i, first in enumerate(bar):
            rate = _learning_rate(config, epoch + i / len(starts))
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = rate
            losses = self._train_step(pairs[first : first + config.batch_size]).tolist()
            self.step += 1
            if not all(map(math.isfinite, losses)):
                got = ", ".join(f"{k} {v:g}" for k, v in zip(_CURVES, losses, strict=True))
                raise FloatingPointError(
                    f"step {self.step} of epoch {epoch + 1}: expected finite losses, got {got}; "
                    "the last checkpoint is from before, and a lower learning rate may help"
                )
            curves.append(losses)
            if i % _LOG_EVERY == 0 or i == len(starts) - 1:
                done = epoch + (i + 1) / len(starts)
                seconds = self.seconds + time.perf_counter() - start
                left = seconds / done * (config.epochs - done)
                bar.set_postfix(
                    l1=f"{losses[0]:.3f}",
                    g=f"{losses[1]:.3f}",
                    d=f"{losses[2]:.3f}",
                    lr=f"{rate:.1e}",
                    left=tqdm.format_interval(left),
                )
                for name, value in (*zip(_CURVES, losses, strict=True), ("learning_rate", rate)):
                    log.add_scalar(name, value, self.step)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.epoch += 1
        speed = len(pairs) / seconds
        log.add_scalar("speed/images_per_second", speed, self.step)
        l1, adversarial, discriminator = np.mean(curves, axis=0)
        self._say(
            f"epoch {self.epoch}/{config.epochs}: l1 {l1:.4f}, generator {adversarial:.3f}, "
            f"discriminator {discriminator:.3f}, {speed:.1f} images/s"
        )

    def _train_step(self, pairs: Pairs) -> Tensor:
        """Train both networks on a batch; (3,) float32, the losses named in _CURVES.

        The generator is trained against the discriminator of before (LSGAN, Mao et al., 2017).
        """
        source = image_tensor(self.crops.images[pairs.source], self.device)
        target = image_tensor(self._targets(pairs), self.device)
        maps = map_tensor(self._poses(pairs), self.config.crop_size, self.device)

        with self.generator.autocast():
            made = self.generator.network(source, maps)
        self.discriminator.requires_grad_(False)
        with self.generator.autocast():
            taken = self.discriminator(made)
        l1, adversarial = (made - target).abs().mean(), (taken - 1).square().mean()
        self._descend("generator", adversarial + self.config.l1 * l1)

        self.discriminator.requires_grad_(True)
        with self.generator.autocast():
            real, false = self.discriminator(torch.cat([target, made.detach()])).chunk(2)
        told_apart = (real - 1).square().mean() + false.square().mean()
        self._descend("discriminator", told_apart)
        return torch.stack([l1, adversarial, told_apart]).detach()

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

    def _say(self, line: str) -> None:
        if self.progress:
            tqdm.write(line)

    def _save(self) -> None:
        """Write samples, generator and checkpoint; the latter two whole or not at all."""
        state = {
            f"{name}.{k}": v for name, net in self.networks.items() for k, v in _state(net).items()
        }
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise FloatingPointError(
                f"epoch {self.epoch}: expected finite weights, got NaN or inf; the last "
                "checkpoint is from before, and a lower learning rate may help"
            )
        self._save_samples()
        self._embed()
        self.generator.save(self.output / "generator.safetensors")
        for name, network in self.networks.items():
            for k, parameter in network.named_parameters():
                adam = self.optimizers[name].state[parameter]
                state |= {f"{name}.{k}.{part}": adam[part] for part in _ADAM}
        checkpoint = Checkpoint(self.config, self.epoch, self.step, self.seconds, state)
        checkpoint.save(self.output / "checkpoint.safetensors")

    def _embed(self) -> None:
        """Say in the generator's metadata how it has been trained so far."""
        about = {
            "crops": len(self.crops),
            "clips": list(self.crops.clip_names),
            "pairs": len(self.pairs),
            "epochs": self.epoch,
            "seconds": round(self.seconds),
            "version": version("sslmot"),
        }
        self.generator.metadata = {"sslmot.training": json.dumps(about)}

    def _save_samples(self) -> None:
        """A row for each of some pairs: source, pose, generated, true."""
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
        write_file(folder / f"epoch-{self.epoch:02d}.jpg", picture.tobytes())

    def restore(self, path: Path, saved: Checkpoint) -> None:
        """Go back to where a checkpoint was written.

        Raises:
            ValueError: It is damaged, or of another run.
        """
        for name, network in self.networks.items():
            for k, parameter in network.named_parameters():
                with torch.no_grad():
                    parameter.copy_(saved.state(path, f"{name}.{k}", parameter))
                adam = {}
                for part in _ADAM:
                    like = torch.zeros(()) if part == "step" else parameter  # counted on the CPU
                    adam[part] = saved.state(path, f"{name}.{k}.{part}", like)
                self.optimizers[name].state[parameter] = adam
        self.epoch, self.step, self.seconds = saved.epoch, saved.step, saved.seconds
        self._embed()


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def _learning_rate(config: PnganConfig, done: float) -> float:
    """After ``done`` epochs: flat in their first half, then linear to 0."""
    return config.learning_rate * min(1.0, 2 * (1 - done / config.epochs))
