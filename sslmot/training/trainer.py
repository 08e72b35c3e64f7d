"""The training loop: one for all methods, on one process or several.

A run is a folder::

    config.yaml              the whole resolved config
    crops/                   the crops, decoded
    checkpoint.safetensors   all that a resumed run needs, after the last whole epoch
    encoder.safetensors      the encoder after that epoch
    tensorboard/             curves

What is random in an epoch depends on the seed and its number alone, so a resumed run goes as one
that was never interrupted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sslmot import tensors as tensor_files
from sslmot.appearance.encoder import Encoder, EncoderConfig, computes_in_bfloat16
from sslmot.data.crops import CropSet
from sslmot.files import naming, new_folder
from sslmot.training.augment import Augmentation, to_network
from sslmot.training.checkpoints import Checkpoint, parameters
from sslmot.training.collapse import Health, check, health
from sslmot.training.config import TrainConfig
from sslmot.training.embed import by_encoder, by_histogram
from sslmot.training.folder import check_output
from sslmot.training.identities import pseudo_identities
from sslmot.training.methods import Method, Step, make_method
from sslmot.training.pose_views import PoseViews
from sslmot.training.processes import (
    barrier,
    broadcast,
    pick_device,
    process_group,
    rank,
    world,
)
from sslmot.training.samplers import (
    Batch,
    IdentityPairs,
    OnePerTracklet,
    Plain,
    Sampler,
    TrackletPairs,
)
from sslmot.training.spread import spread

Identities: TypeAlias = npt.NDArray[np.int64]

_LOG_EVERY = 10  # steps
_SOME = 512  # crops that say how features are spread
_CURVES = ("loss", "affinity/same", "affinity/different")
_BATCH = 256  # pairs that config.learning_rate is for


def train(
    crops: CropSet | None,
    config: TrainConfig,
    output: str | Path,
    *,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Encoder:
    """Train an encoder in a new run.

    Under ``torchrun`` every process calls this; the first one writes what the others read, so
    several machines need a file system in common. Batch normalisation is over the whole batch on
    GPUs, and over each process's share on CPUs.

    Args:
        crops: To learn from; None in processes but the first.
        config: Settings, those of the first process for all.
        output: Folder of the run; must be missing or empty.
        device: Where to train; None for CUDA where there is one.
        progress: Show a bar, and a line for each epoch.

    Returns:
        The encoder, as in ``encoder.safetensors``.

    Raises:
        FileExistsError: The folder holds something.
        FileNotFoundError: The config's initial weights or poses are missing.
        ValueError: The crops are too few for a batch, the initial weights or the poses do not fit,
            or there is no such device.
        CollapseError: The encoder collapsed; the last checkpoint is from before.
    """
    output = Path(output)
    with process_group(pick_device(device)):
        if rank() == 0:
            if crops is None:
                raise ValueError("crops: expected a CropSet in the first process, got None")
            check_output(output)
            config = _resolved(config, crops)
            # Before anything is written: does all of it fit together?
            trainer = _Trainer(crops, config, output, device, progress)
            trainer.start()
            with new_folder(output) as part:
                crops.save(part / "crops")
                config.save(part / "config.yaml")
        barrier()
        if rank() > 0:
            crops = CropSet.load(output / "crops")
            config = TrainConfig.load(output / "config.yaml", whole=True)
            trainer = _Trainer(crops, config, output, device, progress)
            trainer.start()
        with naming(output):
            return trainer.run()


def resume(
    output: str | Path, *, device: str | torch.device | None = None, progress: bool = False
) -> Encoder:
    """Go on with a run after its last whole epoch.

    Args:
        output: Folder of the run.
        device: As for :func:`train`.
        progress: As for :func:`train`.

    Raises:
        FileNotFoundError: There is no run in the folder.
        ValueError: Its config, crops or checkpoint are damaged or do not fit together.
        CollapseError: As :func:`train`.
    """
    output = Path(output)
    if not (output / "config.yaml").is_file():
        raise FileNotFoundError(f"resume: expected a run with {output / 'config.yaml'}")
    config = TrainConfig.load(output / "config.yaml", whole=True)
    with process_group(pick_device(device)):
        crops = CropSet.load(output / "crops")
        trainer = _Trainer(crops, config, output, device, progress)
        if (output / "checkpoint.safetensors").exists():
            trainer.restore(output / "checkpoint.safetensors")
        else:
            trainer.start()
        with naming(output):
            return trainer.run()


def _resolved(config: TrainConfig, crops: CropSet) -> TrainConfig:
    """What "auto" stands for with these crops."""
    # A resumed run, or another process, may be in another folder.
    if config.initial:
        config = replace(config, initial=str(Path(config.initial).resolve()))
    if config.poses:
        config = replace(config, poses=str(Path(config.poses).resolve()))
    if config.views == "auto":
        config = replace(config, views="poses+gate+image" if config.poses else "image")
    if config.sampler == "auto":
        # Footage says by itself who is who: nearly all of it is linked into tracklets.
        linked = (crops.tracklets >= 0).mean() > 0.5
        config = replace(config, sampler="pairs" if linked else "identities")
    return config


class _Trainer:
    """A run between its epochs."""

    def __init__(
        self,
        crops: CropSet,
        config: TrainConfig,
        output: Path,
        device: str | torch.device | None,
        progress: bool,
    ) -> None:
        self.crops = crops
        self.config = config
        self.output = output
        self.device = pick_device(device)
        self.progress = progress and rank() == 0
        # Done so far.
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.identities: Identities | None = None
        self.bfloat16 = computes_in_bfloat16(self.device)
        if config.batch_size % world() or config.batch_size < 4 * world():
            raise ValueError(
                f"batch_size: expected 4 pairs or more for each of {world()} processes, as many "
                f"for each, got {config.batch_size}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.method = _method(config)
        place: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.method.to(**place)
        self.optimizer = _optimizer(self.method, config)
        self.augmentation = Augmentation(
            config.augmentation, config.crop_size, middle=config.middle
        )
        self.poses = PoseViews(config.poses, crops) if config.poses else None
        gated = config.views == "poses+gate+image"
        if self.poses is not None and gated and not self.poses.full_body.any():
            raise ValueError(
                f"views: expected a full body or more with {config.views}, got none in "
                f"{len(crops)} crops"
            )
        if len(crops) < config.batch_size:
            raise ValueError(
                f"batch_size: expected at most {len(crops)}, the number of crops, "
                f"got {config.batch_size}"
            )
        # That of pseudo-identities is made anew when they are.
        self.sampler = self._sampler() if config.sampler != "identities" else None

    def start(self) -> None:
        """Take the initial weights, where the config has some.

        Raises:
            ValueError: They are not those of the backbone.
        """
        if not self.config.initial:
            return
        initial = _initial(Path(self.config.initial))
        try:
            self.method.load_backbone(initial)
        except RuntimeError as error:
            kind = f"{self.config.backbone} {'with' if self.config.ibn else 'without'} IBN"
            raise ValueError(
                f"initial: expected weights of {kind}, got {self.config.initial}: {error}"
            ) from error

    def run(self) -> Encoder:
        """Train the epochs that are left."""
        module: nn.Module = self.method
        if world() > 1:
            if self.device.type == "cuda":
                module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
            module = nn.parallel.DistributedDataParallel(module)
        log = None
        if rank() == 0:
            # What an interrupted epoch logged is not shown beside its second try.
            log = SummaryWriter(str(self.output / "tensorboard"), purge_step=self.step + 1)
        count, clips = len(self.crops), len(self.crops.clip_names)
        line = f"{count} crops of {clips} clips, sampler {self.config.sampler}"
        if self.poses is not None:
            full = self.poses.full_body.mean()
            line += f", views {self.config.views}, a full body on {full:.1%}"
        self._say(line)
        try:
            while self.epoch < self.config.epochs:
                if self.config.sampler == "identities" and (
                    self.identities is None or self.epoch % self.config.refresh == 0
                ):
                    self.identities = self._gather_identities(log)
                self._train_epoch(module, self.sampler or self._sampler(), log)
                if rank() == 0:
                    self._save()
                barrier()
        finally:
            if log is not None:
                log.close()
        return self._finished()

    def _sampler(self) -> Sampler:
        crops, size = self.crops, self.config.batch_size
        match self.config.sampler:
            case "plain":
                sampler: Sampler = Plain(crops, size)
            case "tracklet":
                sampler = OnePerTracklet(crops, size)
            case "pairs":
                sampler = TrackletPairs(crops, size)
            case "identities" if self.identities is not None:
                sampler = IdentityPairs(crops, self.identities, size)
            case name:
                raise ValueError(f"sampler: expected one that is resolved, got {name!r}")
        if sampler.steps == 0:
            raise ValueError(
                f"batch_size: expected at most {sampler.length}, the pairs that sampler "
                f"{self.config.sampler!r} finds in {len(crops)} crops, got {size}"
            )
        return sampler

    def _train_epoch(self, module: nn.Module, sampler: Sampler, log: SummaryWriter | None) -> None:
        config, epoch = self.config, self.epoch
        batches = sampler.epoch(np.random.default_rng([config.seed, epoch]))
        rng = np.random.default_rng([config.seed, epoch, rank(), 1])
        self.augmentation.generator.manual_seed(int(rng.integers(2**63)))
        self.method.train()
        bar = tqdm(
            batches,
            total=sampler.steps,
            desc=f"epoch {epoch + 1}/{config.epochs}",
            unit_scale=2 * config.batch_size,
            unit=" images",
            disable=None if self.progress else True,
            leave=False,
        )
        curves, watched, waiting = [], Health(math.nan, math.nan), 0.0
        start = now = time.perf_counter()
        for i, batch in enumerate(bar):
            views, relation = self._views(batch.share(rank(), world()), rng)
            waiting += time.perf_counter() - now
            done = epoch + i / sampler.steps
            rate = _learning_rate(config, done)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                step: Step = module(*views, relation)
            self.optimizer.zero_grad()
            step.loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            done += 1 / sampler.steps
            self.method.after_step(done / config.epochs)
            self.step += 1

            values = torch.stack([step.loss.detach(), step.same, step.different]).tolist()
            curves.append(values)
            now = time.perf_counter()
            if i % _LOG_EVERY == 0 or i == sampler.steps - 1:
                watched = health(step.z)
                check(watched, epoch + 1)
                left = (self.seconds + now - start) / done * (config.epochs - done)
                bar.set_postfix(
                    loss=f"{values[0]:.3f}", lr=f"{rate:.4f}", left=tqdm.format_interval(left)
                )
                if log is not None:
                    for name, value in (
                        *zip(_CURVES, values, strict=True),
                        ("features/spread", watched.spread),
                        ("features/effective_rank", watched.rank),
                        ("learning_rate", rate),
                    ):
                        if math.isfinite(value):  # of others nothing may be known
                            log.add_scalar(name, value, self.step)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.epoch += 1
        speed = 2 * config.batch_size * sampler.steps / seconds
        if log is not None:
            log.add_scalar("speed/images_per_second", speed, self.step)
            log.add_scalar("speed/waiting_for_data", waiting / seconds, self.step)
        loss, same, different = np.ma.masked_invalid(curves).mean(axis=0).filled(np.nan)
        self._say(
            f"epoch {self.epoch}/{config.epochs}: loss {loss:.4f}, affinity {same:.3f} of the same "
            f"and {different:.3f} of others, spread {watched.spread:.2f}, rank {watched.rank:.1f}, "
            f"{speed:.0f} images/s, {waiting / seconds:.1%} of the time waiting for data"
        )

    def _views(
        self, batch: Batch, rng: np.random.Generator
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """Both views of a batch, and what is known of it, on the device."""
        first, second = self.crops.images[batch.first], self.crops.images[batch.second]
        if self.poses is not None:
            gated = self.config.views == "poses+gate+image"
            shown = self.poses.full_body[batch.second] | (not gated)
            second[shown] = self.poses.draw(batch.second[shown], rng)
        changed = self._network_input if self.config.views == "poses" else self._augmented
        relation = None if batch.relation is None else torch.from_numpy(batch.relation)
        return (changed(first), changed(second)), relation

    def _augmented(self, images: npt.NDArray[np.uint8]) -> Tensor:
        views: Tensor = self.augmentation(torch.from_numpy(images).to(self.device))
        return views

    def _network_input(self, images: npt.NDArray[np.uint8]) -> Tensor:
        """Crops as they are."""
        on_device = torch.from_numpy(images).to(self.device)
        return to_network(on_device, self.config.crop_size, middle=self.config.middle)

    def _gather_identities(self, log: SummaryWriter | None) -> Identities:
        """Pseudo-identities by the features of now; those of a histogram before any training."""
        identities = np.empty(len(self.crops), np.int64)
        if rank() == 0:
            untrained = self.epoch == 0 and not self.config.initial
            features = (
                by_histogram(self.crops) if untrained else by_encoder(self.crops, self._encoder())
            )
            c = self.config
            identities = pseudo_identities(
                features,
                self.crops,
                stay=c.stay,
                transit=c.transit,
                neighbours=c.neighbours,
                distance=c.distance,
            )
            count, share = identities.max(initial=-1) + 1, (identities >= 0).mean()
            self._say(f"{count} pseudo-identities of {share:.1%} of the crops")
            if log is not None:
                log.add_scalar("identities/count", count, self.step)
                log.add_scalar("identities/share_of_crops", share, self.step)
        shared: Identities = broadcast(torch.from_numpy(identities).to(self.device)).cpu().numpy()
        return shared

    def _encoder(self) -> Encoder:
        """The encoder as it is now."""
        encoder = Encoder(self.method.config, device=self.device)
        encoder.network.load_state_dict(self.method.encoder.state_dict())
        about = {
            "config": self.config.to_dict(),
            "crops": len(self.crops),
            "clips": list(self.crops.clip_names),
            "epochs": self.epoch,
            "seconds": round(self.seconds),
            "version": version("sslmot"),
        }
        encoder.metadata = {"sslmot.training": json.dumps(about)}
        return encoder

    def _finished(self) -> Encoder:
        """The encoder, to be used by a tracker."""
        encoder = self._encoder()
        if self.config.method == "sslmot" and self.config.head == "norm":
            rng = np.random.default_rng(self.config.seed)
            some = rng.permutation(len(self.crops))[:_SOME]
            spread(encoder, self._network_input(self.crops.images[some]))
        return encoder

    def _say(self, line: str) -> None:
        if self.progress:
            tqdm.write(line)

    def _save(self) -> None:
        """Write encoder and checkpoint, each whole or not at all."""
        self._finished().save(self.output / "encoder.safetensors")
        tensors = {f"method.{k}": v for k, v in self.method.state_dict().items()}
        for name, parameter in self.method.named_parameters():
            if "momentum_buffer" in (state := self.optimizer.state.get(parameter, {})):
                tensors[f"momentum.{name}"] = state["momentum_buffer"]
        if self.identities is not None:
            tensors["identities"] = torch.from_numpy(self.identities)
        now = (self.epoch, self.step, self.seconds)
        checkpoint = Checkpoint(self.config, *now, tensors, self._poses_fingerprint())
        checkpoint.save(self.output / "checkpoint.safetensors")

    def _poses_fingerprint(self) -> str:
        return "" if self.poses is None else self.poses.fingerprint

    def restore(self, path: Path) -> None:
        """Go back to where a checkpoint was written.

        Raises:
            ValueError: It is damaged, or of another run.
        """
        saved = Checkpoint.load(path, self.config)
        if saved.poses != self._poses_fingerprint():
            raise ValueError(
                f"poses: expected in {self.config.poses} what the run began with, got others than "
                f"{path}"
            )
        try:
            self.method.load_state_dict(parameters(saved.tensors, "method."))
        except RuntimeError as error:
            raise ValueError(f"{path}: expected weights of this run, got {error}") from error
        for name, parameter in self.method.named_parameters():
            if f"momentum.{name}" in saved.tensors:
                buffer = saved.state(path, f"momentum.{name}", parameter)
                self.optimizer.state[parameter] = {"momentum_buffer": buffer}
        if "identities" in saved.tensors:
            like = torch.empty(len(self.crops), dtype=torch.int64)
            found = saved.state(path, "identities", like)
            if bool(((found < -1) | (found >= len(like))).any()):
                raise ValueError(f"{path}: identities: expected -1 to {len(like) - 1}, got others")
            self.identities = found.numpy()
        self.epoch, self.step, self.seconds = saved.epoch, saved.step, saved.seconds


def _method(config: TrainConfig) -> Method:
    encoder = EncoderConfig(
        architecture=config.backbone,
        crop_size=config.crop_size,
        parts=config.parts,
        middle=config.middle,
        ibn=config.ibn,
        feature=config.feature,
    )
    options: dict[str, Any] = {}
    if config.method == "sslmot":
        options = {
            "loss": config.loss,
            "normalize": config.normalize,
            "balance": config.balance,
            "temperature": config.temperature,
        }
        if config.head == "norm":
            options |= {"projection": (), "hidden": None}
    return make_method(config.method, encoder, **options)


def _optimizer(method: Method, config: TrainConfig) -> torch.optim.SGD:
    trained = [p for p in method.parameters() if p.requires_grad]
    return torch.optim.SGD(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        momentum=config.momentum,
    )


def _learning_rate(config: TrainConfig, done: float) -> float:
    """After ``done`` epochs: linear warm-up, then half a cosine to 0 (SSL-MOT, section 4)."""
    peak = config.learning_rate * config.batch_size / _BATCH
    if done < config.warmup:
        return peak * (done / config.warmup)
    left = config.epochs - config.warmup
    return peak * (1 + math.cos(math.pi * (done - config.warmup) / left)) / 2


def _initial(path: Path) -> Mapping[str, Tensor]:
    """Weights of a backbone: of an encoder's file, or of a torchvision checkpoint."""
    tensors, _ = tensor_files.read(path)
    prefix = "backbone."
    if any(name.startswith(prefix) for name in tensors):
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return {k: v for k, v in tensors.items() if not k.startswith("fc.")}
