"""Train and score the cells of a study, each in a folder of its own.

A study is a folder::

    acd-resnet18-seed0/ a run of `sslmot train` for each cell and seed, with scores.json and tracks
    sweep/               short runs and their scores, to choose learning rates
    untrained/ histogram/   scores of random weights, and of colour histograms
    study.json           scale and data, which stay the same

A second call runs what is missing. A training that was interrupted goes on after its last epoch.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from sslmot import files, reading
from sslmot.appearance.encoder import Encoder, EncoderConfig
from sslmot.appearance.histogram import ColorHistogram
from sslmot.data.market1501 import read_market1501
from sslmot.evaluation.reid import retrieval
from sslmot.study.cells import BARLOW, SWEPT, Cell
from sslmot.study.scales import Scale
from sslmot.study.scores import CellScores, reid, score
from sslmot.study.sources import Sources
from sslmot.training.collapse import CollapseError
from sslmot.training.config import TrainConfig
from sslmot.training.embed import by_encoder
from sslmot.training.folder import CONFIG
from sslmot.training.pose_views import PoseViews
from sslmot.training.trainer import resume, train

_SCORES = "scores.json"
_PEOPLE = 100  # people of the trained part that rate learning rates


@dataclass(frozen=True)
class Trial:
    """A short training with a learning rate.

    Attributes:
        cell: The training.
        rate: The learning rate.
    """

    cell: Cell
    rate: float


@dataclass(frozen=True)
class Study:
    """A study: its data, its size and its folder.

    Attributes:
        sources: The data.
        scale: The size of the trainings.
        folder: Where all is written.
        poses: Folder of `sslmot make-poses`, for cells with pose views.
        device: Where to train; None for CUDA where there is one.
        progress: Whether to show progress.
    """

    sources: Sources
    scale: Scale
    folder: Path
    poses: str = ""
    device: str | None = None
    progress: bool = False

    def encoder(self, cell: Cell, seed: int) -> Encoder:
        """Return the encoder of a cell, which is trained if it is missing.

        Raises:
            CollapseError: It collapsed.
            FloatingPointError: A weight is not finite.
            ValueError: The run in its folder has other settings.
        """
        config = cell.config(self.scale.settings, seed, self.learning_rate(cell), self.poses)
        folder = self.folder / cell.folder(config)
        with _alone(folder):
            return self._trained(folder, config)

    def scores(self, cell: Cell, seed: int) -> CellScores:
        """Return the scores of a cell, which is trained and scored if they are missing.

        Raises:
            ValueError: The run in its folder has other settings.
        """
        config = cell.config(self.scale.settings, seed, self.learning_rate(cell), self.poses)
        folder = self.folder / cell.folder(config)
        _check_same(folder, config)

        def make() -> CellScores:
            try:
                return score(self._trained(folder, config), self.sources, folder / "tracks")
            except (CollapseError, FloatingPointError) as error:
                return CellScores(failed=str(error))

        with _alone(folder):
            return _kept(folder / _SCORES, make)

    def check(self, cells: Iterable[Cell]) -> None:
        """Check a study before its first training, and write what its scores are of.

        Raises:
            ValueError: The folder holds a study of another scale or of other data, or the pose
                views do not fit the crops.
        """
        about = {
            "scale": {**self.scale.settings, "rates": self.scale.rates},
            "market": self.sources.market is not None,
            "trained": [s.name for s in self.sources.trained],
            "evaluated": [s.name for s in self.sources.evaluated],
        }
        about = json.loads(json.dumps(about))
        path = self.folder / "study.json"
        before = reading.read_json(path) if path.exists() else about
        for name, value in about.items():
            if before.get(name) != value:
                raise ValueError(
                    f"output: expected a study with {name} {value} in {self.folder}, got "
                    f"{before.get(name)}; another scale, or other data, needs another folder"
                )
        if any(cell.with_poses for cell in cells):
            size = TrainConfig.paper(**self.scale.settings).crop_size
            PoseViews(self.poses, self.sources.crops(size))
        _write(path, about)

    def untrained(self) -> Encoder:
        """Return an encoder with random weights, and the feature of its backbone."""
        common = TrainConfig.paper(**self.scale.settings)
        config = EncoderConfig(
            common.backbone, crop_size=common.crop_size, projection=None, feature="backbone"
        )
        return Encoder(config, device=self.device)

    def orientation(self) -> dict[str, CellScores]:
        """Return the scores of random weights and of colour histograms."""
        untrained = self.folder / "untrained"
        return {
            "random weights": _kept(
                untrained / _SCORES,
                lambda: score(self.untrained(), self.sources, untrained / "tracks"),
            ),
            "colour histogram": _kept(
                self.folder / "histogram" / _SCORES,
                lambda: CellScores(reid=reid(ColorHistogram(), self.sources)),
            ),
        }

    def learning_rate(self, cell: Cell) -> float:
        """Return the learning rate of a cell: the common one, or its own."""
        if cell.own_rate:
            return self._swept((BARLOW,), self.scale.barlow_rates)
        return self._swept(SWEPT, self.scale.rates)

    def trials(self, cells: Iterable[Cell]) -> list[Trial]:
        """Return the short trainings that decide about the learning rates of cells.

        Raises:
            ValueError: There are some, and no Market-1501 to score them.
        """
        own = [cell.own_rate for cell in cells]
        sweeps = [(SWEPT, self.scale.rates)] * (not all(own))
        sweeps += [((BARLOW,), self.scale.barlow_rates)] * any(own)
        trials = [
            Trial(cell, rate)
            for swept, rates in sweeps
            for cell in swept
            for rate in rates
            if len(rates) > 1
        ]
        if trials and self.sources.market is None:
            raise ValueError(
                "data: expected Market-1501, by which the learning rate is chosen, got none"
            )
        return trials

    def precision(self, trial: Trial) -> float:
        """Return the score of a short training: the mAP of people of the trained part.

        So the people of all other scores stay unseen. A training that ends early scores 0.
        """
        folder = self.folder / "sweep" / f"{trial.cell.name}-{trial.rate:g}"
        path = folder / "precision.json"
        short = replace(
            trial.cell.config(self.scale.settings, 0, trial.rate),
            epochs=self.scale.sweep_epochs,
            warmup=min(self.scale.settings.get("warmup", 0), 0.5),
        )
        with _alone(folder):
            if not path.exists():
                try:
                    precision = self._precision(self._trained(folder, short))
                except (CollapseError, FloatingPointError):
                    precision = 0.0
                _write(path, {"mean_ap": precision})
        return float(reading.read_json(path)["mean_ap"])

    def _swept(self, cells: Iterable[Cell], rates: tuple[float, ...]) -> float:
        """Choose the learning rate with the best mean of several cells."""
        if len(rates) == 1:
            return rates[0]
        return max(
            rates, key=lambda rate: fmean(self.precision(Trial(cell, rate)) for cell in cells)
        )

    def _precision(self, encoder: Encoder) -> float:
        """Score an encoder by re-identification of people of the trained part."""
        assert self.sources.market is not None
        data = read_market1501(self.sources.market, encoder.config.crop_size)
        people = np.unique(data.identities)
        some = np.isin(data.identities, people[:: max(1, len(people) // _PEOPLE)][:_PEOPLE])
        features = by_encoder(data.crops.images[some], encoder)
        return retrieval(features, data.identities[some], data.cameras[some]).mean_ap

    def _trained(self, folder: Path, config: TrainConfig) -> Encoder:
        """Train, or go on with, or read the encoder of a run."""
        _check_same(folder, config)
        if not (folder / CONFIG).exists():
            crops = self.sources.crops(config.crop_size)
            return train(crops, config, folder, device=self.device, progress=self.progress)
        return resume(folder, device=self.device, progress=self.progress)


def _check_same(folder: Path, config: TrainConfig) -> None:
    """Raise ValueError if a run in the folder has other settings."""
    if not (folder / CONFIG).exists():
        return
    before = TrainConfig.load(folder / CONFIG, whole=True)
    for field in fields(config):
        old, new = getattr(before, field.name), getattr(config, field.name)
        if old != new:
            raise ValueError(
                f"output: expected a run with {field.name} {new} in {folder}, got {old}; other "
                "settings need another folder"
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time work in a folder. The others wait, and find the work done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kept(path: Path, make: Callable[[], CellScores]) -> CellScores:
    """Return scores that are written, or make and write them."""
    if not path.exists():
        _write(path, make().to_dict())
    return CellScores.from_dict(reading.read_json(path), path)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, (json.dumps(content, indent=1) + "\n").encode())
