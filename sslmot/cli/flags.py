"""Flags shared by several commands."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from sslmot.types import FeatureExtractor


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add flags to select sequences of a folder."""
    parser.add_argument(
        "--sequences",
        type=lambda names: names.split(","),
        metavar="NAMES",
        help="sequences of the folder to use, such as 09 or MOT17-09,MOT17-11 (default: all)",
    )
    parser.add_argument(
        "--detector", choices=["DPM", "FRCNN", "SDP"], help="variant of MOT17's sequences to use"
    )


def add_extractor(parser: argparse.ArgumentParser) -> None:
    """Add flags to select the feature extractor, see `make_extractor`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="encoder to use (default: the encoder of the package)",
    )
    which.add_argument(
        "--histogram", action="store_true", help="use colour histograms, which need no torch"
    )


def make_extractor(args: argparse.Namespace) -> FeatureExtractor:
    """Create the extractor that the flags of `add_extractor` select."""
    if args.histogram:
        if getattr(args, "feature", None) is not None:
            raise ValueError("--feature: expected none with --histogram")
        from sslmot.appearance.histogram import ColorHistogram

        return ColorHistogram()
    from sslmot.appearance.encoder import Encoder

    device, feature = (getattr(args, name, None) for name in ("device", "feature"))
    return Encoder.load(args.weights, device, feature=feature)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add arguments for sources of crops, see `sslmot.data.sources.read_sources`."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="Market-1501, a MOTChallenge sequence or a folder of sequences, a video, or a folder "
        "of images",
    )
    parser.add_argument(
        "--detections",
        type=Path,
        action="append",
        metavar="FILE",
        help="MOTChallenge detections of a video; repeat it for each video, in the same order",
    )
    add_selection(parser)


def add_clip(
    parser: argparse.ArgumentParser, path: str = "a video, or a MOTChallenge sequence"
) -> None:
    """Add arguments for a video with detections, or a sequence, see `is_video`."""
    parser.add_argument("path", type=Path, help=path)
    parser.add_argument(
        "--detections", type=Path, metavar="FILE", help="MOTChallenge detections of a video"
    )


def is_video(args: argparse.Namespace) -> bool:
    """Return whether the arguments of `add_clip` mean a video.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: A video has no detections, or a sequence has additional detections.
    """
    if not args.path.exists():
        raise FileNotFoundError(
            f"path: expected a video or a folder, got {args.path}, which does not exist"
        )
    video = not args.path.is_dir()
    if video and args.detections is None:
        raise ValueError("--detections: expected a file with a video, got none")
    if not video and args.detections is not None:
        raise ValueError("--detections: expected none with a sequence, which has its own")
    return video


def frame_numbers(text: str) -> range:
    """Parse a flag ``A-B``: frames A to B, inclusive.

    Raises:
        ArgumentTypeError: The text is not such a range.
    """
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"expected frames A-B, such as 1-262, got {text}")
    return range(int(first), int(last) + 1)


@contextmanager
def hint_to_resume(output: Path, command: str) -> Iterator[None]:
    """After Ctrl-C, print the command that goes on with the run in the folder ``output``."""
    try:
        yield
    except KeyboardInterrupt:
        if (output / "config.yaml").exists():
            print(f"\nstopped; to go on: sslmot {command} --resume {output}", file=sys.stderr)
        raise


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add a flag for the device of networks."""
    parser.add_argument(
        "--device", help="device, such as cpu or cuda:1 (default: CUDA if available)"
    )


def add_config(parser: argparse.ArgumentParser, config: type[Any], paper: Any = None) -> None:
    """Add a flag for each field of a config, with help from the config's docstring."""
    group = parser.add_argument_group(
        "settings", f"fields of {config.__module__}.{config.__name__}"
    )
    doc = inspect.getdoc(config) or ""  # python -OO removes docstrings
    meanings = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", doc, re.M))
    default, hints = config(), get_type_hints(config)
    for field in dataclasses.fields(config):
        value = getattr(default, field.name)
        of_paper = value if paper is None else getattr(paper, field.name)
        meaning = " ".join(meanings.get(field.name, "").split()).replace("%", "%%")
        differs = "" if of_paper == value else f"; in the paper: {of_paper}"
        flag: dict[str, Any] = {"help": f"{meaning} (default: {value}{differs})"}
        choices = get_args(hints[field.name])
        if isinstance(value, bool):
            flag.update(action=argparse.BooleanOptionalAction, default=None)
        elif choices and all(isinstance(choice, str) for choice in choices):
            flag.update(choices=choices)
        elif isinstance(value, tuple):
            flag.update(type=type(value[0]), nargs=len(value), metavar="N")
        elif isinstance(value, str):
            flag.update(type=_number_or_word if float in choices else str, metavar="X")
        else:
            flag.update(type=type(value), metavar="N" if isinstance(value, int) else "X")
        group.add_argument("--" + field.name.replace("_", "-"), **flag)


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def changes(args: argparse.Namespace, config: type[Any]) -> dict[str, Any]:
    """Return the fields of a config that are set by flags."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(config)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
