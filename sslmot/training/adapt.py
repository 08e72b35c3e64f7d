"""Camera adaptation: train an encoder further on the footage that it will be used on.

No labels are needed. Two crops of a tracklet show the same person, since tracklets are linked
strictly. Two tracklets in view together show different people. Nothing is assumed of other pairs.
:class:`sslmot.training.samplers.TrackletPairs` samples such pairs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD
from sslmot.appearance.encoder import SHIPPED, Encoder
from sslmot.data.crops import CropSet
from sslmot.data.tracklets import in_view_together
from sslmot.training.config import TrainConfig
from sslmot.training.folder import ENCODER
from sslmot.training.trainer import train

_HELD_OUT = 0.2  # share of the tracklets
_INITIAL_SHARE = 0.5


def adapt(
    crops: CropSet,
    output: str | Path,
    weights: str | Path | None = None,
    *,
    epochs: int = 4,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Path:
    """Train an encoder further on the crops of some footage, in a new run.

    The encoder's weights are the mean of the given ones and of those that the training ends with,
    so that it keeps what it knew of other footage. A fifth of the tracklets is held out. Of the
    encoders after each epoch the last that tells these apart best is kept, which is the given one
    if training made it worse.

    An interruption costs an epoch at most: :func:`sslmot.training.trainer.resume` goes on.

    Args:
        crops: Crops of the footage, linked into tracklets, as
            :func:`sslmot.data.sources.read_sources` reads them.
        output: Folder of the run; must be missing or empty.
        weights: The encoder to start from; None for the one that comes with the package.
        epochs: Passes over all linked crops.
        device: Where to train; None for CUDA where there is one.
        progress: Show a bar, and a line for each epoch.

    Returns:
        Path of the adapted encoder's file.

    Raises:
        FileExistsError: The folder holds something.
        FileNotFoundError: There are no such weights.
        ValueError: Too few crops are linked, no two tracklets are in view together, or the weights
            do not fit, see :func:`adaptation`.
        CollapseError: The encoder collapsed; the last checkpoint is from before.
    """
    config = adaptation(weights, epochs)
    _, lengths = np.unique(crops.tracklets[crops.tracklets >= 0], return_counts=True)
    linked = int(lengths[lengths > 1].sum())
    if linked < config.batch_size:
        raise ValueError(
            f"crops: expected {config.batch_size} or more that are linked from frame to frame, "
            f"got {linked} of {len(crops)} crops"
        )
    if not len(in_view_together(crops)):
        raise ValueError(
            f"crops: expected people who are in view together, got {len(lengths)} tracklets one "
            "after the other"
        )
    train(crops, config, output, device=device, progress=progress)
    return Path(output) / ENCODER


def adaptation(weights: str | Path | None = None, epochs: int = 4) -> TrainConfig:
    """Return the settings to adapt an encoder: its own architecture, otherwise the default recipe.

    Args:
        weights: As for :func:`adapt`.
        epochs: As for :func:`adapt`.

    Raises:
        FileNotFoundError: There are no such weights.
        ValueError: The file is not an encoder, or it has a projection or normalises crops in a way
            that the recipe would not keep.
    """
    path = SHIPPED if weights is None else Path(weights)
    encoder = Encoder.load(path, device="cpu").config
    kept = {"projection": (), "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    for name, expected in kept.items():
        if (got := getattr(encoder, name)) != expected:
            raise ValueError(
                f"weights: expected an encoder with {name} {expected}, as `sslmot train` makes "
                f"by default, got {path} with {got}"
            )
    architecture: dict[str, Any] = {
        "backbone": encoder.architecture,
        "crop_size": encoder.crop_size,
        "parts": encoder.parts,
        "middle": encoder.middle,
        "ibn": encoder.ibn,
        "feature": encoder.feature,
    }
    return TrainConfig(
        **architecture,
        initial=str(path),
        initial_share=_INITIAL_SHARE,
        sampler="pairs",
        held_out=_HELD_OUT,
        epochs=epochs,
    )
