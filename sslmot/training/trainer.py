"""The training of an encoder by any of the methods, on one process or several.

The folder of the run, see :mod:`sslmot.training.run`, also holds ``encoder.safetensors``: the
encoder after the last whole epoch, or of the best one where tracklets are held out.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslmot import tensors as tensor_files
from sslmot.appearance.efficientnet import is_imagenet, of_imagenet
from sslmot.appearance.encoder import Encoder, EncoderConfig, computes_in_bfloat16
from sslmot.data.crops import CropSet
from sslmot.training.augment import Augmentation, to_network
from sslmot.training.checkpoints import Checkpoint
from sslmot.training.collapse import check, health
from sslmot.training.config import TrainConfig
from sslmot.training.embed import by_encoder, by_histogram
from sslmot.training.folder import CONFIG, ENCODER, check_output, new_run, open_run
from sslmot.training.identities import pseudo_identities
from sslmot.training.methods import Method, Step, make_method
from sslmot.training.pose_views import PoseViews
from sslmot.training.processes import (
    barrier,
    broadcast,
    gather,
    pick_device,
    process_group,
    rank,
    world,
)
from sslmot.training.proxies import Proxies
from sslmot.training.run import Run
from sslmot.training.samplers import (
    Batch,
    IdentityPairs,
    OnePerTracklet,
    Plain,
    Sampler,
    TrackletPairs,
)
from sslmot.training.spread import spread
from sslmot.training.validation import hold_out, separation

Identities: TypeAlias = npt.NDArray[np.int64]

_SOME = 512  # crops to spread the features by
_CURVES = ("loss", "affinity/same", "affinity/different")
_BATCH = 256  # pairs that config.learning_rate refers to


class _Inputs(NamedTuple):
    """A batch for a method.

    Attributes:
        views: Both views of this process's share, and their relation to the whole batch.
        more: What else the method is told of them.
        crops: (2 m,) int64, crops of the first views of the whole batch, then of the second.
    """

    views: tuple[Tensor, Tensor, Tensor | None]
    more: dict[str, Any]
    crops: npt.NDArray[np.int64]


def train(
    crops: CropSet | None,
    config: TrainConfig,
    output: str | Path,
    *,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Encoder:
    """Train an encoder in a new run.

    Under ``torchrun`` every process calls this. The others read the run that the first one writes,
    so several machines must share a file system. Batch normalisation is over the whole batch on
    GPUs, over the share of each process on CPUs.

    Args:
        crops: The training data; None in all processes but the first.
        config: Settings; those of the first process count for all.
        output: Folder of the run; must be missing or empty.
        device: Where to train; None for CUDA where there is one.
        progress: Show a bar, and a line for each epoch.

    Returns:
        The encoder, as in ``encoder.safetensors``.

    Raises:
        FileExistsError: The folder holds something.
        FileNotFoundError: The config's initial weights, teacher or poses are missing.
        ValueError: The crops are too few for a batch or all the same, the initial weights or the
            poses do not fit, or there is no such device.
        CollapseError: The encoder collapsed; the last checkpoint is from before.
        FloatingPointError: A weight is not finite; the last checkpoint is from before.
    """
    output = Path(output)
    with process_group(pick_device(device)):
        if rank() == 0:
            if crops is None:
                raise ValueError("crops: expected a CropSet in the first process, got None")
            check_output(output)
            _check_different(crops)
            config = _resolved(config, crops)
            # All is checked before anything is written.
            trainer = _Trainer(crops, config, output, device, progress)
            trainer.start()
            with new_run(output, config, crops):
                pass
        barrier()
        if rank() > 0:
            return resume(output, device=device)
        trainer.run()
        return trainer.result()


def resume(
    output: str | Path,
    *,
    epochs: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Encoder:
    """Go on with a run after its last whole epoch.

    Args:
        output: Folder of the run.
        epochs: Another number of epochs in all, above those done. The learning rate follows the
            schedule of that number. None for the run's own.
        device: As for :func:`train`.
        progress: As for :func:`train`.

    Raises:
        FileNotFoundError: There is no run in the folder.
        ValueError: As many epochs are done, or its config, crops or checkpoint are
            damaged or do not fit together.
        CollapseError: As :func:`train`.
        FloatingPointError: As :func:`train`.
    """
    output = Path(output)
    with process_group(pick_device(device)):
        config, crops, saved = open_run(output, TrainConfig)
        if epochs is not None:
            config = _longer(config, epochs, 0 if saved is None else saved.epoch, output)
        trainer = _Trainer(crops, config, output, device, progress)
        if saved is None:
            trainer.start()
        else:
            trainer.restore(saved)
        trainer.run()
        return trainer.result()


def _longer(config: TrainConfig, epochs: int, done: int, output: Path) -> TrainConfig:
    """Give a run another number of epochs.

    Raises:
        ValueError: As many are done.
    """
    if epochs <= done:
        raise ValueError(f"epochs: expected more than the {done} done, got {epochs}")
    config = replace(config, epochs=epochs)
    if rank() == 0:
        config.save(output / CONFIG)
    return config


def _check_different(crops: CropSet) -> None:
    """Reject copies of one picture, from which nothing can be learned. Warn of many copies.

    Raises:
        ValueError: All crops are the same.
    """
    different = len({zlib.crc32(image.tobytes()) for image in crops.images})
    if different == 1 < len(crops):
        raise ValueError(f"crops: expected different pictures, got {len(crops)} copies of one")
    if different < len(crops) / 2:
        warnings.warn(
            f"of {len(crops)} crops only {different} differ; the others are copies", stacklevel=3
        )


def _resolved(config: TrainConfig, crops: CropSet) -> TrainConfig:
    """Replace "auto" by the choice for these crops, and paths by absolute ones."""
    # A resumed run, or another process, may have another working directory.
    if config.initial:
        config = replace(config, initial=str(Path(config.initial).resolve()))
    if config.teacher:
        config = replace(config, teacher=str(Path(config.teacher).resolve()))
    if config.poses:
        config = replace(config, poses=str(Path(config.poses).resolve()))
    if config.views == "auto":
        config = replace(config, views="poses+gate+image" if config.poses else "image")
    if config.sampler == "auto":
        # Nearly all crops of footage are linked into tracklets, which make better pairs.
        linked = (crops.tracklets >= 0).mean() > 0.5
        config = replace(config, sampler="pairs" if linked else "identities")
    return config


class _Trainer(Run):
    """The training of an encoder, see :class:`sslmot.training.run.Run`."""

    config: TrainConfig

    def __init__(
        self,
        crops: CropSet,
        config: TrainConfig,
        output: Path,
        device: str | torch.device | None,
        progress: bool,
    ) -> None:
        super().__init__(crops, config, config.epochs, output, device, progress)
        self.identities: Identities | None = None
        self.knows_people = False  # before any epoch
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
        self.optimizers = {"method": _optimizer(self.method, config)}
        self.augmentation = Augmentation(
            config.augmentation, config.crop_size, middle=config.middle
        )
        self.poses: PoseViews | None = None
        self.full_bodies_only = config.views == "poses+gate+image"
        if config.poses:
            self.poses = PoseViews(config.poses, crops)
            self.fingerprint = self.poses.fingerprint
            if self.full_bodies_only and not self.poses.full_body.any():
                raise ValueError(
                    f"views: expected a full body or more with {config.views}, got none in "
                    f"{len(crops)} crops"
                )
        if len(crops) < config.batch_size:
            raise ValueError(
                f"batch_size: expected at most {len(crops)}, the number of crops, "
                f"got {config.batch_size}"
            )
        self.initial: dict[str, Tensor] = {}  # of the backbone, if they stay in the encoder
        self.teacher = Encoder.load(config.teacher, device=self.device) if config.teacher else None
        self.lessons: Tensor | None = None  # (N, D) unit features of the teacher
        self.proxies: Proxies | None = None  # after the first epochs
        self.linked, self.held = crops, np.empty(0, np.int64)
        self.best = -math.inf
        if config.held_out:
            self.linked, self.held = hold_out(crops, config.held_out, config.seed)
        # A sampler of pseudo-identities is made each time they are computed.
        self.sampler = self._sampler() if config.sampler != "identities" else None

    def start(self) -> None:
        """Load the initial weights, if the config names some.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: They are not weights of the backbone.
        """
        if not self.config.initial:
            return
        initial, self.knows_people = _initial(Path(self.config.initial))
        try:
            self.method.load_backbone(initial)
        except RuntimeError as error:
            kind = f"{self.config.backbone} {'with' if self.config.ibn else 'without'} IBN"
            raise ValueError(
                f"initial: expected weights of {kind}, got {self.config.initial}: {error}"
            ) from error
        if self.config.initial_share:
            loaded = self.method.encoder.backbone.state_dict()
            self.initial = {name: tensor.clone() for name, tensor in loaded.items()}

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint; see :meth:`Run.restore`."""
        if saved.poses != self.fingerprint:
            raise ValueError(
                f"poses: expected in {self.config.poses} what the run began with, got others than "
                f"{saved.path}"
            )
        try:
            self.method.load_state_dict(_without("method.", saved.tensors))
        except RuntimeError as error:
            raise ValueError(f"{saved.path}: expected weights of this run, got {error}") from error
        for name, parameter in self.method.named_parameters():
            if f"momentum.{name}" in saved.tensors:
                buffer = saved.state(f"momentum.{name}", parameter)
                self.optimizers["method"].state[parameter] = {"momentum_buffer": buffer}
        if self.config.initial_share:
            loaded = self.method.encoder.backbone.state_dict()
            self.initial = {k: saved.state(f"initial.{k}", v) for k, v in loaded.items()}
        if "identities" in saved.tensors:
            like = torch.empty(len(self.crops), dtype=torch.int64)
            found = saved.state("identities", like)
            if bool(((found < -1) | (found >= len(like))).any()):
                most = len(like) - 1
                raise ValueError(f"{saved.path}: identities: expected -1 to {most}, got others")
            self.identities = found.numpy()
            if "proxies" in saved.tensors:
                self.proxies = self._proxies(self.identities)
                self.proxies.means = saved.state("proxies", self.proxies.means).clone()
        super().restore(saved)

    def run(self) -> None:
        """Train the epochs that are left, on all processes."""
        if self.teacher is not None:
            lessons = torch.from_numpy(by_encoder(self.crops.images, self.teacher))
            self.lessons = nn.functional.normalize(lessons, dim=1).to(self.device)
        line = f"{len(self.crops)} crops of {len(self.crops.clip_names)} clips"
        line += f", sampler {self.config.sampler}"
        if self.poses is not None:
            full = self.poses.full_body.mean()
            line += f", views {self.config.views}, a full body on {full:.1%}"
        self._say(line)
        self.module: nn.Module = self.method
        if world() > 1:
            if self.device.type == "cuda":
                self.module = nn.SyncBatchNorm.convert_sync_batchnorm(self.module)  # type: ignore[no-untyped-call]
            self.module = nn.parallel.DistributedDataParallel(self.module)
        if len(self.held) and rank() == 0:
            if self.epoch == 0:
                self._save_results()
            else:
                self.best = self._score(Encoder.load(self.output / ENCODER, device=self.device))
        super().run()

    def result(self) -> Encoder:
        """Return the encoder of the run: of the last epoch, or of the best one."""
        if not len(self.held):
            return self.finished()
        return Encoder.load(self.output / ENCODER, device=self.device)

    def finished(self) -> Encoder:
        """Return the encoder as it is now, ready for a tracker."""
        encoder = self._encoder()
        for name, tensor in encoder.network.backbone.state_dict().items():
            if name in self.initial and tensor.is_floating_point():
                tensor.lerp_(self.initial[name], self.config.initial_share)
        if self.config.method == "sslmot" and self.config.head == "norm":
            rng = np.random.default_rng(self.config.seed)
            some = rng.permutation(len(self.crops))[:_SOME]
            spread(encoder, self._network_input(self.crops.images[some]))
        return encoder

    def _sampler(self) -> Sampler:
        crops, size = self.linked, self.config.batch_size
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

    def _begin_epoch(self) -> tuple[Iterator[_Inputs], int, int]:
        config, epoch = self.config, self.epoch
        if config.sampler == "identities" and (
            self.identities is None or epoch % config.refresh == 0
        ):
            self._gather_identities()
        sampler = self.sampler or self._sampler()
        self.rng = np.random.default_rng([config.seed, epoch, rank(), 1])
        self.augmentation.generator.manual_seed(int(self.rng.integers(2**63)))
        self.method.train()
        batches = sampler.epoch(np.random.default_rng([config.seed, epoch]))
        images = 2 * config.batch_size * sampler.steps
        return map(self._inputs, batches), sampler.steps, images

    def _inputs(self, batch: Batch) -> _Inputs:
        """Return both views of this process's share, and what is known of them, on the device."""
        mine = batch.share(rank(), world())
        more: dict[str, Any] = {}
        if self.lessons is not None:
            more["alike"] = (
                self.lessons[mine.first] @ self.lessons[batch.second].T,
                self.lessons[mine.second] @ self.lessons[batch.first].T,
            )
        if self.proxies is not None:
            to_proxies = self.proxies.relation(np.concatenate([mine.first, mine.second]))
            more["proxies"] = (self.proxies.means, to_proxies)
        images, others = self.crops.images[mine.first], self.crops.images[mine.second]
        if self.poses is not None:
            posed = self.poses.full_body[mine.second] | (not self.full_bodies_only)
            others[posed] = self.poses.draw(mine.second[posed], self.rng)
        view = self._network_input if self.config.views == "poses" else self._augmented
        relation = None if mine.relation is None else torch.from_numpy(mine.relation)
        views = (view(images), view(others), relation)
        return _Inputs(views, more, np.concatenate([batch.first, batch.second]))

    def _augmented(self, images: npt.NDArray[np.uint8]) -> Tensor:
        views: Tensor = self.augmentation(torch.from_numpy(images).to(self.device))
        return views

    def _network_input(self, images: npt.NDArray[np.uint8]) -> Tensor:
        """Return crops as they are, normalised."""
        on_device = torch.from_numpy(images).to(self.device)
        return to_network(on_device, self.config.crop_size, middle=self.config.middle)

    def _learning_rate(self, done: float) -> float:
        """Return the rate: linear warm-up, then half a cosine to 0 (SSL-MOT, section 4)."""
        config = self.config
        peak = config.learning_rate * config.batch_size / _BATCH
        if done < config.warmup:
            return peak * (done / config.warmup)
        left = config.epochs - config.warmup
        return peak * (1 + math.cos(math.pi * (done - config.warmup) / left)) / 2

    def _train_step(self, batch: _Inputs, done: float, logged: bool) -> dict[str, float]:
        optimizer = self.optimizers["method"]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            step: Step = self.module(*batch.views, **batch.more)
        optimizer.zero_grad()
        step.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        self.method.after_step(done / self.epochs)
        if self.proxies is not None:
            self.proxies.update(batch.crops, torch.cat([gather(step.z), gather(step.second)]))
        values = torch.stack([step.loss.detach(), step.same, step.different]).tolist()
        curves = dict(zip(_CURVES, values, strict=True))
        if logged:
            watched = health(step.z)
            check(watched, self.epoch + 1)
            curves |= {"features/spread": watched.spread, "features/effective_rank": watched.rank}
        return curves

    def _gather_identities(self) -> None:
        """Compute pseudo-identities by the current features, or by histograms; and proxies."""
        identities, features = np.empty(len(self.crops), np.int64), None
        if rank() == 0:
            knows_people = self.epoch > 0 or self.knows_people
            features = (
                by_encoder(self.crops.images, self._encoder())
                if knows_people
                else by_histogram(self.crops)
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
            self._log({"identities/count": count, "identities/share_of_crops": share})
        self.identities = broadcast(torch.from_numpy(identities).to(self.device)).cpu().numpy()
        # Before the first epoch the normalisation of the features does not fit them.
        if self.epoch > 0 and _learns_proxies(self.config):
            proxies = self._proxies(self.identities)
            if features is not None:
                proxies.gather(features)
            broadcast(proxies.means)
            self.proxies = proxies if len(proxies.means) > 1 else None

    def _proxies(self, identities: Identities) -> Proxies:
        """Return proxies of identities, to be filled."""
        return Proxies(identities, self.crops.clips, self.method.encoder.dim, self.device)

    def _encoder(self) -> Encoder:
        """Return the encoder as it is now."""
        encoder = Encoder(self.method.config, device=self.device)
        encoder.network.load_state_dict(self.method.encoder.state_dict())
        encoder.metadata = self._metadata(config=self.config.to_dict())
        return encoder

    def _save_results(self) -> None:
        encoder = self.finished()
        if len(self.held):
            score = self._score(encoder)
            self._log({"held_out/separation": score})
            self._say(f"held-out tracklets: AUC {score:.4f} after {self.epoch} epochs")
            # An encoder that is worse is not kept. Without a score the last one is.
            if score < self.best:
                return
            self.best = score
        encoder.save(self.output / ENCODER)

    def _score(self, encoder: Encoder) -> float:
        """Return how well an encoder tells the held-out tracklets apart."""
        held = self.crops.images[self.held]
        return separation(by_encoder(held, encoder), self.crops, self.held)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"method.{k}": v for k, v in self.method.state_dict().items()}
        state = self.optimizers["method"].state
        for name, parameter in self.method.named_parameters():
            if "momentum_buffer" in (momentum := state.get(parameter, {})):
                tensors[f"momentum.{name}"] = momentum["momentum_buffer"]
        tensors |= {f"initial.{name}": tensor for name, tensor in self.initial.items()}
        if self.identities is not None:
            tensors["identities"] = torch.from_numpy(self.identities)
        if self.proxies is not None:
            tensors["proxies"] = self.proxies.means
        return tensors


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


def _learns_proxies(config: TrainConfig) -> bool:
    """Return whether a batch is contrasted with proxies of all identities."""
    contrasts = config.method == "sslmot" and config.loss == "contrast"
    return contrasts and config.sampler == "identities" and config.feature == "projection"


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


def _initial(path: Path) -> tuple[Mapping[str, Tensor], bool]:
    """Read the weights of a backbone, and whether they are of an encoder of people."""
    by_torch = path.suffix in (".pth", ".pt")
    tensors = tensor_files.read_state_dict(path) if by_torch else tensor_files.read(path)[0]
    if backbone := _without("backbone.", tensors):
        return backbone, True
    if is_imagenet(tensors):
        return of_imagenet(tensors), False
    return {k: v for k, v in tensors.items() if not k.startswith("fc.")}, False


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, named without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
