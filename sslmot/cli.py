"""The command ``sslmot``: track, evaluate, demo."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
import warnings
from collections.abc import Sequence as Arguments
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from sslmot.config import Motion, TrackerConfig


def main(arguments: Arguments[str] | None = None) -> None:
    """Run the command; exits with 2 and one line on stderr where the input is at fault."""
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            args.run(args)
    except (ValueError, OSError, ImportError) as error:
        print(f"sslmot {args.command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sslmot",
        description="Multi-object tracking whose appearance model learns from your own footage.",
    )
    parser.add_argument("--version", action="version", version=f"sslmot {version('sslmot')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    track = commands.add_parser(
        "track",
        help="track MOTChallenge sequences with their own detections",
        description="Track MOTChallenge sequences with their own detections; writes "
        "SEQUENCE.txt (MOTChallenge results) and SEQUENCE.json (time, settings).",
    )
    track.add_argument("path", type=Path, help="a sequence, or a folder of sequences")
    track.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    _add_selection(track)
    track.add_argument(
        "--motion-only", action="store_true", help="leave appearance out; needs no frames"
    )
    track.add_argument(
        "--weights", type=Path, metavar="FILE", help="encoder to use (default: colour histogram)"
    )
    _add_config(track)
    track.set_defaults(run=_track)

    evaluate = commands.add_parser(
        "evaluate",
        help="score results: HOTA, MOTA, IDF1, ...",
        description="Score MOTChallenge results with the official preprocessing.",
    )
    evaluate.add_argument("path", type=Path, help="a sequence, or a folder of sequences")
    evaluate.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    _add_selection(evaluate)
    evaluate.set_defaults(run=_evaluate)

    demo = commands.add_parser(
        "demo",
        help="track a generated crowd: scores, an annotated video and a picture",
        description="Track a generated crowd with and without appearance; writes scores, an "
        "annotated video and a picture.",
    )
    demo.add_argument("--output", type=Path, default=Path("demo"), help="default: demo")
    demo.add_argument("--people", type=int, help="how many")
    demo.add_argument("--frames", type=int, help="how long")
    demo.add_argument("--seed", type=int, help="which crowd")
    demo.set_defaults(run=_demo)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequences",
        type=lambda names: names.split(","),
        metavar="NAMES",
        help="some of the folder, such as 09 or MOT17-09,MOT17-11",
    )
    parser.add_argument(
        "--detector", choices=["DPM", "FRCNN", "SDP"], help="a variant of MOT17's sequences"
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    """One flag for each field of TrackerConfig, explained by its docstring."""
    group = parser.add_argument_group("settings", "fields of sslmot.TrackerConfig")
    group.add_argument(
        "--paper", action="store_true", help="start from TrackerConfig.paper(), not the defaults"
    )
    doc = inspect.getdoc(TrackerConfig) or ""  # none under python -OO
    meanings = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", doc, re.M))
    default, paper = TrackerConfig(), TrackerConfig.paper()
    for field in dataclasses.fields(TrackerConfig):
        value, of_paper = getattr(default, field.name), getattr(paper, field.name)
        meaning = " ".join(meanings.get(field.name, "").split()).replace("%", "%%")
        differs = "" if of_paper == value else f"; of the paper: {of_paper}"
        flag: dict[str, Any] = {"help": f"{meaning} (default: {value}{differs})"}
        if isinstance(value, bool):
            flag.update(action=argparse.BooleanOptionalAction, default=None)
        elif isinstance(value, str):
            flag.update(choices=get_args(Motion))
        else:
            flag.update(type=type(value), metavar="N" if isinstance(value, int) else "X")
        group.add_argument("--" + field.name.replace("_", "-"), **flag)


def _config(args: argparse.Namespace) -> TrackerConfig:
    changes = {
        field.name: getattr(args, field.name)
        for field in dataclasses.fields(TrackerConfig)
        if getattr(args, field.name) is not None
    }
    return TrackerConfig.paper(**changes) if args.paper else TrackerConfig(**changes)


def _track(args: argparse.Namespace) -> None:
    from sslmot.data.mot import sequences
    from sslmot.run import track_sequence
    from sslmot.tracker import Tracker

    if args.motion_only and args.weights is not None:
        raise ValueError("--weights: expected none with --motion-only")
    tracker = Tracker(_config(args), weights=args.weights)
    for sequence in sequences(args.path, args.sequences, args.detector):
        tracker.reset()
        speed = track_sequence(
            sequence, tracker, args.output, appearance=not args.motion_only, progress=True
        )
        print(
            f"{args.output / sequence.name}.txt: {speed.frames} frames, "
            f"{speed.frames / speed.tracking:.0f} frames/s tracking, "
            f"{speed.frames / speed.total:.0f} frames/s with reading"
        )


def _evaluate(args: argparse.Namespace) -> None:
    from sslmot.evaluate import evaluate, table

    print(table(evaluate(args.path, args.results, args.sequences, args.detector)))


def _demo(args: argparse.Namespace) -> None:
    from sslmot.demo import demo

    given = {"people": args.people, "frames": args.frames, "seed": args.seed}
    demo(args.output, **{name: value for name, value in given.items() if value is not None})
