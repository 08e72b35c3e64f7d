"""``sslmot pose-model``, ``train-pngan`` and ``make-poses``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sslmot.cli.flags import add_config, add_device, add_sources, changes
from sslmot.pngan.config import PnganConfig

if TYPE_CHECKING:
    from sslmot.data.crops import CropSet
    from sslmot.pngan.pairs import Pairs
    from sslmot.pose.joints import Joints

_MODEL = Path("pose_landmark_full.tflite")


def add_commands(commands: Any) -> None:
    """Add the commands to a parser."""
    model = commands.add_parser(
        "pose-model",
        help="get a pose model",
        description="Take BlazePose (Apache-2.0) out of the wheel of mediapipe 0.10.21, which pip "
        "downloads and does not install.",
    )
    model.add_argument("action", choices=["extract"])
    model.add_argument("--output", type=Path, default=_MODEL, help=f"default: {_MODEL}")
    model.set_defaults(run=_extract)

    pngan = commands.add_parser(
        "train-pngan",
        help="train a generator of pose views",
        description="Train PN-GAN, which shows the person of a crop in another pose. Writes a run: "
        "config.yaml, generator.safetensors, checkpoint.safetensors, samples/, tensorboard/, "
        "crops/.",
    )
    add_sources(pngan)
    _add_joints(pngan)
    pngan.add_argument("--output", type=Path, help="folder of the run (default: runs/pngan)")
    pngan.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run after its last whole epoch"
    )
    add_device(pngan)
    pngan.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    add_config(pngan, PnganConfig)
    pngan.set_defaults(run=_train_pngan)

    make = commands.add_parser(
        "make-poses",
        help="show crops in other poses, for `sslmot train --poses`",
        description="Show each crop in the four canonical poses nearest its own, once; started "
        "again, it goes on where it ended.",
    )
    add_sources(make)
    make.add_argument(
        "--pngan", type=Path, metavar="W", help="a run of train-pngan, or its generator.safetensors"
    )
    _add_joints(make)
    make.add_argument("--output", type=Path, default=Path("runs/poses"), help="default: runs/poses")
    add_device(make)
    make.set_defaults(run=_make_poses)


def _add_joints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pose-model",
        type=Path,
        default=_MODEL,
        metavar="FILE",
        help=f"BlazePose as .tflite, or another model as .onnx (default: {_MODEL})",
    )
    parser.add_argument(
        "--joints",
        type=Path,
        default=Path("runs/joints"),
        metavar="DIR",
        help="where joints are kept from run to run (default: runs/joints)",
    )


def _extract(args: argparse.Namespace) -> None:
    from sslmot.pose.model import extract

    extract(args.output)
    print(args.output)


def _train_pngan(args: argparse.Namespace) -> None:
    from sslmot.learn.trainer import check_output
    from sslmot.pngan.trainer import resume_pngan, train_pngan

    given = changes(args, PnganConfig)
    if args.resume is not None:
        others = ("paths", "output", "config", "sequences", "detector", "detections")
        if given or any(getattr(args, name) for name in others):
            raise ValueError("--resume: expected no sources and no settings, which the run has")
        resume_pngan(args.resume, device=args.device, progress=True)
        print(args.resume / "generator.safetensors")
        return
    config = PnganConfig.load(args.config) if args.config is not None else PnganConfig()
    config = dataclasses.replace(config, **given)
    output = args.output or Path("runs/pngan")
    check_output(output)
    crops, identities = _crops(args, config)
    joints = _joints(args, crops)
    pairs = _pairs(config, crops, joints, identities)
    train_pngan(crops, joints, pairs, config, output, device=args.device, progress=True)
    print(output / "generator.safetensors")


def _make_poses(args: argparse.Namespace) -> None:
    from sslmot.pngan.generator import PoseGenerator
    from sslmot.pngan.views import make_poses

    if args.pngan is None:
        raise ValueError("--pngan: expected a run of train-pngan or its weights, got none")
    path = args.pngan / "generator.safetensors" if args.pngan.is_dir() else args.pngan
    generator = PoseGenerator.load(path, device=args.device)
    crops, _ = _crops(args, dataclasses.replace(generator.config, pairs="flip"))
    make_poses(crops, _joints(args, crops), generator, args.output, progress=True)
    print(args.output)


def _crops(
    args: argparse.Namespace, config: PnganConfig
) -> tuple[CropSet, npt.NDArray[np.int64] | None]:
    """The crops of the sources; with labels where the pairs are to come from those."""
    if not args.paths:
        raise ValueError("paths: expected one source or more, got none")
    if config.pairs == "identity":
        from sslmot.data.labelled import read_labelled

        if len(args.paths) > 1 or args.detections:
            raise ValueError("paths: expected a single labelled source for pairs identity")
        return read_labelled(args.paths[0], config.crop_size, args.sequences, args.detector)
    from sslmot.data.sources import read_sources

    crops = read_sources(
        args.paths,
        config.crop_size,
        sequences=args.sequences,
        detector=args.detector,
        detections=args.detections,
    )
    return crops, None


def _joints(args: argparse.Namespace, crops: CropSet) -> Joints:
    from sslmot.pose.estimator import estimate, load_pose_model

    return estimate(crops, load_pose_model(args.pose_model), args.joints, progress=True)


def _pairs(
    config: PnganConfig,
    crops: CropSet,
    joints: Joints,
    identities: npt.NDArray[np.int64] | None,
) -> Pairs:
    from sslmot.pngan.pairs import flip_pairs, identity_pairs, pseudo_pairs, tracklet_pairs

    if identities is not None:
        return identity_pairs(crops, joints, identities)
    match config.pairs:
        case "tracklet":
            return tracklet_pairs(crops, joints)
        case "pseudo":
            from sslmot.encoder import Encoder

            return pseudo_pairs(crops, joints, Encoder.load())
        case _:
            return flip_pairs(joints)
