"""The commands ``sslmot train``, ``adapt`` and ``evaluate-reid``."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from sslmot.cli.flags import (
    add_clip,
    add_config,
    add_device,
    add_extractor,
    add_selection,
    add_sources,
    changes,
    frame_numbers,
    hint_to_resume,
    is_video,
    make_extractor,
)
from sslmot.training.config import TrainConfig

_ADAPTED = Path("runs/adapt")
_EPOCHS = 4


def add_commands(commands: Any) -> None:
    """Add the commands to a parser."""
    train = commands.add_parser(
        "train",
        help="train an encoder without labels",
        description="Train an encoder on unlabelled person crops from folders of images, videos "
        "with detections, or MOTChallenge sequences with their public detections. Write a run: "
        "config.yaml, encoder.safetensors, checkpoint.safetensors, tensorboard/, crops/.",
    )
    add_sources(train)
    train.add_argument(
        "--output", type=Path, help="folder of the run (default: runs/ and the first path's name)"
    )
    train.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="continue a run after its last complete epoch; with --epochs, up to that number",
    )
    add_device(train)
    train.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    train.add_argument(
        "--paper", action="store_true", help="start from TrainConfig.paper(), not the defaults"
    )
    train.set_defaults(run=_train)
    add_config(train, TrainConfig, TrainConfig.paper())

    adapt = commands.add_parser(
        "adapt",
        help="fine-tune the encoder on the footage to be tracked, without labels",
        description="Fine-tune the encoder on the footage to be tracked, without labels. It takes "
        "about four minutes for 500 frames of a crowd on two cores. Write a run with "
        "encoder.safetensors, as `sslmot train` does. `sslmot train --resume RUN` continues an "
        "interrupted run.",
    )
    add_clip(adapt)
    adapt.add_argument(
        "--frames",
        type=frame_numbers,
        metavar="A-B",
        help="frames to train on, such as 1-262 (default: all)",
    )
    adapt.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="encoder to adapt (default: the encoder of the package)",
    )
    adapt.add_argument(
        "--output", type=Path, default=_ADAPTED, help=f"folder of the run (default: {_ADAPTED})"
    )
    adapt.add_argument(
        "--epochs",
        type=int,
        default=_EPOCHS,
        metavar="N",
        help=f"number of passes over all crops (default: {_EPOCHS})",
    )
    add_device(adapt)
    adapt.set_defaults(run=_adapt)

    reid = commands.add_parser(
        "evaluate-reid",
        help="score features by re-identification",
        description="Score features by re-identification: of the held-out identities of "
        "Market-1501 across cameras, or of the annotated people in MOTChallenge sequences after a "
        "gap.",
    )
    reid.add_argument("path", type=Path, help="Market-1501, a sequence, or a folder of sequences")
    add_selection(reid)
    add_extractor(reid)
    reid.add_argument(
        "--feature",
        choices=["projection", "backbone"],
        help="feature of a person (default: the feature in the encoder's file)",
    )
    reid.add_argument(
        "--degraded",
        action="store_true",
        help="score pictures of a worse camera: 20 to 60 pixels high, JPEG, blur, noise",
    )
    reid.set_defaults(run=_evaluate_reid)


def _train(args: argparse.Namespace) -> None:
    from sslmot.data.sources import read_sources

    try:
        from sslmot.training.folder import check_output
        from sslmot.training.trainer import resume, train
    except ImportError as error:
        raise ImportError(f"training needs: pip install sslmot[train] ({error})") from error

    given = changes(args, TrainConfig)
    if args.resume is not None:
        others = ("paths", "output", "config", "paper", "sequences", "detector", "detections")
        if {*given} - {"epochs"} or any(getattr(args, name) for name in others):
            raise ValueError(
                "--resume: expected no sources and no settings but --epochs; the run has them"
            )
        with hint_to_resume(args.resume, "train"):
            resume(args.resume, epochs=given.get("epochs"), device=args.device, progress=True)
        print(f"{args.resume / 'encoder.safetensors'}")
        return
    if args.paper and args.config is not None:
        raise ValueError("--paper: expected no --config with it")
    start = TrainConfig.paper() if args.paper else TrainConfig()
    config = TrainConfig.load(args.config) if args.config is not None else start
    config = dataclasses.replace(config, **given)
    if not args.paths:
        raise ValueError("paths: expected one source or more, got none")
    output = args.output or Path("runs") / args.paths[0].resolve().stem
    crops = None
    if int(os.environ.get("RANK", 0)) == 0:  # only one of torchrun's processes reads the crops
        check_output(output)
        crops = read_sources(
            args.paths,
            config.crop_size,
            sequences=args.sequences,
            detector=args.detector,
            detections=args.detections,
        )
    with hint_to_resume(output, "train"):
        train(crops, config, output, device=args.device, progress=True)
    print(f"{output / 'encoder.safetensors'}")


def _adapt(args: argparse.Namespace) -> None:
    from sslmot.data.sources import read_sources

    try:
        from sslmot.training.adapt import adapt, adaptation
        from sslmot.training.folder import check_output
    except ImportError as error:
        raise ImportError(f"training needs: pip install sslmot[train] ({error})") from error

    detections = [args.detections] if is_video(args) else None
    check_output(args.output)
    crops = read_sources(
        [args.path],
        adaptation(args.weights, args.epochs).crop_size,
        detections=detections,
        frames=args.frames,
    )
    with hint_to_resume(args.output, "train"):
        adapted = adapt(
            crops, args.output, args.weights, epochs=args.epochs, device=args.device, progress=True
        )
    print(adapted)
    print(
        f'to use it: sslmot track ... --weights {adapted}, or sslmot.Tracker(weights="{adapted}")'
    )


def _evaluate_reid(args: argparse.Namespace) -> None:
    from sslmot.evaluation.degrade import Degraded
    from sslmot.evaluation.reid import evaluate_reid, table

    extractor = make_extractor(args)
    if args.degraded:
        extractor = Degraded(extractor)
    rows = evaluate_reid(args.path, extractor, sequences=args.sequences, detector=args.detector)
    print(table(rows))
