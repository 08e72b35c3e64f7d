"""The command ``sslmot calibrate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sslmot.cli.flags import add_clip, add_extractor, is_video, make_extractor

if TYPE_CHECKING:
    from sslmot.appearance.encoder import Encoder
    from sslmot.tuning.calibrate import Calibration
    from sslmot.tuning.footage import Footage
    from sslmot.types import FeatureExtractor

_OUTPUT = Path("config.yaml")


def add_commands(commands: Any) -> None:
    """Add the command to a parser."""
    calibrate = commands.add_parser(
        "calibrate",
        help="fit the tracker's thresholds to an encoder and footage, without labels",
        description="Fit the appearance thresholds to an encoder and footage, without labels: "
        "boxes in one frame are different people, a tracklet is one person. Write the tracker's "
        "settings, or a copy of the encoder that contains them.",
    )
    add_clip(calibrate)
    add_extractor(calibrate)
    calibrate.add_argument(
        "--output",
        type=Path,
        default=_OUTPUT,
        metavar="FILE",
        help="output: the tracker's settings (.yaml), or the encoder with its calibration "
        f"(.safetensors) (default: {_OUTPUT})",
    )
    calibrate.set_defaults(run=_calibrate)


def _calibrate(args: argparse.Namespace) -> None:
    from sslmot.tuning.calibrate import calibrate

    kinds = (".yaml",) if args.histogram else (".yaml", ".safetensors")
    if args.output.suffix not in kinds:
        raise ValueError(f"--output: expected a file {' or '.join(kinds)}, got {args.output}")
    video = is_video(args)
    extractor = make_extractor(args)
    # Fail now, not after the last frame.
    args.output.parent.mkdir(parents=True, exist_ok=True)
    found = calibrate(_footage(args, extractor, video))
    if args.output.suffix == ".yaml":
        found.config.save(args.output)
    else:
        encoder = cast("Encoder", extractor)
        encoder.calibration = found.fields
        encoder.save(args.output)
    print(_table(found))
    print(args.output)


def _footage(args: argparse.Namespace, extractor: FeatureExtractor, video: bool) -> Footage:
    from sslmot.data.mot import Sequence
    from sslmot.tuning.footage import embed_sequence, embed_video

    if video:
        return embed_video(args.path, args.detections, extractor, progress=True)
    return embed_sequence(Sequence.open(args.path), extractor, progress=True)


def _table(found: Calibration) -> str:
    kinds = {
        "different people in one frame": found.different,
        f"one person, {found.gap} frames later": found.same,
    }
    rows = [f"{'cosines':31}{'pairs':>8}{'5 %':>7}{'50 %':>7}{'95 %':>7}"]
    rows += [
        f"{name:31}{c.pairs:8}{c.low:7.2f}{c.median:7.2f}{c.high:7.2f}" for name, c in kinds.items()
    ]
    c = found.config
    rows += [
        f"tau {c.tau:g}",
        f"min_affinity {c.min_affinity:g}, a cosine of {found.min_cosine:.2f}",
        f"lost_affinity {c.lost_affinity:g}, a cosine of {found.lost_cosine:.2f}",
    ]
    return "\n".join(rows)
