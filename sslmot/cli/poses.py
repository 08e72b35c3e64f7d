"""The commands ``sslmot pose-model``, ``train-pngan`` and ``make-poses``."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sslmot.cli.flags import add_config, add_device, add_sources, changes, hint_to_resume
from sslmot.pngan.config import PairsName, PnganConfig

if TYPE_CHECKING:
    import torch

    from sslmot.data.crops import CropSet
    from sslmot.pngan.pairs import Pairs
    from sslmot.pose.joints import Joints

_MODEL = Path("pose_landmark_full.tflite")
_JOINTS = Path("runs/joints")


def add_commands(commands: Any) -> None:
    """Add the commands to a parser."""
    model = commands.add_parser(
        "pose-model",
        help="get a pose model",
        description="Extract BlazePose (Apache-2.0) from the wheel of mediapipe 0.10.21. pip "
        "downloads the wheel and does not install it.",
    )
    model.add_argument("action", choices=["extract"])
    model.add_argument("--output", type=Path, default=_MODEL, help=f"default: {_MODEL}")
    model.set_defaults(run=_extract)

    pngan = commands.add_parser(
        "train-pngan",
        help="train a generator of pose views",
        description="Train PN-GAN, which shows the person of a crop in another pose. Write a run: "
        "config.yaml, generator.safetensors, checkpoint.safetensors, samples/, tensorboard/, "
        "pairs.safetensors, crops/.",
    )
    add_sources(pngan)
    _add_joints(pngan)
    pngan.add_argument("--output", type=Path, help="folder of the run (default: runs/pngan)")
    pngan.add_argument(
        "--resume", type=Path, metavar="RUN", help="continue a run after its last complete epoch"
    )
    add_device(pngan)
    pngan.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    add_config(pngan, PnganConfig)
    pngan.set_defaults(run=_train_pngan)

    make = commands.add_parser(
        "make-poses",
        help="generate crops in other poses, for `sslmot train --poses`",
        description="Generate each crop in the four canonical poses nearest to its own pose. The "
        "same command continues an interrupted run.",
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
        metavar="FILE",
        help=f"BlazePose as .tflite, or another model as .onnx (default: {_MODEL})",
    )
    parser.add_argument(
        "--joints",
        type=Path,
        metavar="DIR",
        help=f"folder to cache joints in (default: {_JOINTS})",
    )


def _extract(args: argparse.Namespace) -> None:
    from sslmot.pose.download import extract

    extract(args.output)
    print(args.output)


def _train_pngan(args: argparse.Namespace) -> None:
    with _needing_more():
        from sslmot.pngan.trainer import resume_pngan, train_pngan
        from sslmot.pose.estimator import estimate
        from sslmot.pose.model import load_pose_model
        from sslmot.training.folder import check_output
        from sslmot.training.processes import pick_device

    given = changes(args, PnganConfig)
    device = pick_device(args.device)
    if args.resume is not None:
        others = ("paths", "output", "config", "sequences", "detector", "detections", "pose_model",
                  "joints")  # fmt: skip
        if given or any(getattr(args, name) for name in others):
            raise ValueError("--resume: expected no sources and no settings; the run has them")
        with hint_to_resume(args.resume, "train-pngan"):
            resume_pngan(args.resume, device=device, progress=True)
        print(args.resume / "generator.safetensors")
        return
    config = PnganConfig.load(args.config) if args.config is not None else PnganConfig()
    config = dataclasses.replace(config, **given)
    output = args.output or Path("runs/pngan")
    _expect_sources(args)
    check_output(output, "sslmot train-pngan")
    model = load_pose_model(args.pose_model or _MODEL)
    crops, identities = _crops(args, config.crop_size, labelled=config.pairs == "identity")
    joints = estimate(crops, model, args.joints or _JOINTS, progress=True)
    pairs = _pairs(config.pairs, crops, joints, identities, device)
    with hint_to_resume(output, "train-pngan"):
        train_pngan(crops, joints, pairs, config, output, device=device, progress=True)
    print(output / "generator.safetensors")


def _make_poses(args: argparse.Namespace) -> None:
    with _needing_more():
        from sslmot.pngan.generator import PoseGenerator
        from sslmot.pngan.views import check_output, make_poses
        from sslmot.pose.estimator import estimate
        from sslmot.pose.model import load_pose_model
        from sslmot.training.processes import pick_device

    if args.pngan is None:
        raise ValueError("--pngan: expected a run of train-pngan or its weights, got none")
    _expect_sources(args)
    check_output(args.output)
    model = load_pose_model(args.pose_model or _MODEL)
    path = args.pngan / "generator.safetensors" if args.pngan.is_dir() else args.pngan
    generator = PoseGenerator.load(path, device=pick_device(args.device))
    crops, _ = _crops(args, generator.config.crop_size, labelled=False)
    joints = estimate(crops, model, args.joints or _JOINTS, progress=True)
    make_poses(crops, joints, generator, args.output, progress=True)
    print(args.output)


def _expect_sources(args: argparse.Namespace) -> None:
    if not args.paths:
        raise ValueError("paths: expected one source or more, got none")


@contextmanager
def _needing_more() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(f"pose views need: pip install sslmot[pose] ({error})") from error


def _crops(
    args: argparse.Namespace, size: tuple[int, int], *, labelled: bool
) -> tuple[CropSet, npt.NDArray[np.int64] | None]:
    """Read the crops of the sources, and the identities if ``labelled``."""
    from sslmot.data.labelled import read_labelled
    from sslmot.data.sources import read_sources

    if labelled:
        if len(args.paths) > 1 or args.detections:
            raise ValueError("paths: expected a single labelled source for pairs identity")
        return read_labelled(args.paths[0], size, args.sequences, args.detector)
    crops = read_sources(
        args.paths,
        size,
        sequences=args.sequences,
        detector=args.detector,
        detections=args.detections,
    )
    return crops, None


def _pairs(
    name: PairsName,
    crops: CropSet,
    joints: Joints,
    identities: npt.NDArray[np.int64] | None,
    device: torch.device,
) -> Pairs:
    from sslmot.appearance.encoder import Encoder
    from sslmot.pngan.pairs import flip_pairs, identity_pairs, pseudo_pairs, tracklet_pairs

    if identities is not None:
        return identity_pairs(crops, joints, identities)
    match name:
        case "tracklet":
            return tracklet_pairs(crops, joints)
        case "pseudo":
            return pseudo_pairs(crops, joints, Encoder.load(device=device))
        case _:
            return flip_pairs(joints)
