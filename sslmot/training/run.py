"""The loop over epochs that all trainings share.

A run is a folder. Each training adds its own files to these::

    config.yaml              the whole resolved config
    crops/                   the crops, decoded
    checkpoint.safetensors   all that a resumed run needs, after the last whole epoch
    tensorboard/             curves
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sslmot.data.crops import CropSet
from sslmot.files import naming
from sslmot.settings import Settings
from sslmot.training.checkpoints import Checkpoint
from sslmot.training.folder import CHECKPOINT
from sslmot.training.processes import barrier, pick_device, rank

_LOG_EVERY = 10  # steps


class Run(ABC):
    """A training between its epochs.

    An epoch may draw random numbers only from generators seeded by the config's seed and the
    number of the epoch. Then a resumed run gives what an uninterrupted one gives, bit for bit.

    Args:
        crops: The training data.
        config: Settings.
        epochs: How many to train.
        output: Folder of the run.
        device: Where to train; None for CUDA where there is one.
        progress: Show a bar, and a line for each epoch.

    Attributes:
        epoch: Epochs done.
        step: Steps done.
        seconds: Time they took.
        optimizers: Each by a name; set by the subclass.
        fingerprint: Identifies the pose views that the run learns from; "" for none.

    Raises:
        ValueError: There is no such device.
    """

    config: Settings
    optimizers: Mapping[str, torch.optim.Optimizer]
    fingerprint = ""

    def __init__(
        self,
        crops: CropSet,
        config: Settings,
        epochs: int,
        output: Path,
        device: str | torch.device | None,
        progress: bool,
    ) -> None:
        self.crops = crops
        self.config = config
        self.epochs = epochs
        self.output = output
        self.device = pick_device(device)
        self.progress = progress and rank() == 0
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self._writer: SummaryWriter | None = None

    def run(self) -> None:
        """Train the epochs that are left; write results and a checkpoint after each.

        Raises:
            FloatingPointError: A weight is not finite; the last checkpoint is from before.
            OSError: A file cannot be written.
        """
        with naming(self.output):
            if rank() == 0:
                folder = str(self.output / "tensorboard")
                # The purge hides what an interrupted epoch logged.
                self._writer = SummaryWriter(folder, purge_step=self.step + 1)
            try:
                while self.epoch < self.epochs:
                    self._train_epoch()
                    if rank() == 0:
                        self._save()
                    barrier()
            finally:
                if self._writer is not None:
                    self._writer.close()

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint; subclasses restore its tensors too.

        Raises:
            ValueError: It is damaged, or of another run.
        """
        self.epoch, self.step, self.seconds = saved.epoch, saved.step, saved.seconds

    @abstractmethod
    def _begin_epoch(self) -> tuple[Iterable[Any], int, int]:
        """Seed the next epoch; return its batches, their number, and the images in all of them."""

    @abstractmethod
    def _learning_rate(self, done: float) -> float:
        """Return the learning rate after so many epochs."""

    @abstractmethod
    def _train_step(self, batch: Any, done: float, logged: bool) -> dict[str, float]:
        """Train on a batch.

        Args:
            batch: Of `_begin_epoch`.
            done: Epochs done after this step.
            logged: Whether the values are logged; others may be left out.

        Returns:
            Values to log, by the names of their curves; NaN for what is unknown.
        """

    @abstractmethod
    def _tensors(self) -> dict[str, Tensor]:
        """Return all that a checkpoint keeps."""

    @abstractmethod
    def _save_results(self) -> None:
        """Write what is of use outside the run."""

    def _train_epoch(self) -> None:
        batches, steps, images = self._begin_epoch()
        bar = tqdm(
            batches,
            total=steps,
            desc=f"epoch {self.epoch + 1}/{self.epochs}",
            unit_scale=images / steps,
            unit=" images",
            disable=None if self.progress else True,
            leave=False,
        )
        curves: dict[str, list[float]] = {}
        waiting = 0.0
        start = now = time.perf_counter()
        for i, batch in enumerate(bar):
            waiting += time.perf_counter() - now
            done = self.epoch + i / steps
            rate = self._learning_rate(done)
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = rate
            done += 1 / steps
            logged = i % _LOG_EVERY == 0 or i == steps - 1
            values = self._train_step(batch, done, logged)
            values = {name: value for name, value in values.items() if math.isfinite(value)}
            self.step += 1
            for name, value in values.items():
                curves.setdefault(name, []).append(value)
            now = time.perf_counter()
            if logged:
                left = (self.seconds + now - start) / done * (self.epochs - done)
                shown = {name: f"{value:.3f}" for name, value in values.items()}
                bar.set_postfix(shown, lr=f"{rate:.2g}", left=tqdm.format_interval(left))
                self._log({**values, "learning_rate": rate})
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.epoch += 1
        speed, share = images / seconds, waiting / seconds
        self._log({"speed/images_per_second": speed, "speed/waiting_for_data": share})
        means = ", ".join(f"{name} {fmean(values):.3f}" for name, values in curves.items())
        self._say(
            f"epoch {self.epoch}/{self.epochs}: {means}, {speed:.1f} images/s, "
            f"{share:.1%} of the time waiting for data"
        )

    def _save(self) -> None:
        """Write results and checkpoint, each file whole or not at all."""
        tensors = self._tensors()
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise FloatingPointError(
                f"epoch {self.epoch}: expected finite weights, got NaN or inf; the last "
                "checkpoint is from before, and a lower learning rate may help"
            )
        self._save_results()
        done = self.epoch, self.step, self.seconds
        path = self.output / CHECKPOINT
        Checkpoint(path, self.config, *done, tensors, self.fingerprint).save()

    def _metadata(self, **more: Any) -> dict[str, str]:
        """Return how a network was trained so far, for the metadata of its file."""
        about = {
            **more,
            "crops": len(self.crops),
            "clips": list(self.crops.clip_names),
            "epochs": self.epoch,
            "seconds": round(self.seconds),
            "version": version("sslmot"),
        }
        return {"sslmot.training": json.dumps(about)}

    def _log(self, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, self.step)

    def _say(self, line: str) -> None:
        if self.progress:
            tqdm.write(line)
