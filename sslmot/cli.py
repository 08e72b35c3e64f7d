"""The command ``sslmot``: track, evaluate, train, evaluate-reid, demo."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
import sys
import warnings
from collections.abc import Sequence as Arguments
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from sslmot.config import TrackerConfig

if TYPE_CHECKING:
    from sslmot.types import FeatureExtractor


def main(arguments: Arguments[str] | None = None) -> None:
    """Run the command; exits with 2 and one line on stderr where the input is at fault."""
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            args.run(args)
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
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
    _add_extractor(track)
    track.add_argument(
        "--paper", action="store_true", help="start from TrackerConfig.paper(), not the defaults"
    )
    _add_config(track, TrackerConfig, TrackerConfig.paper())
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

    _add_train(commands)

    reid = commands.add_parser(
        "evaluate-reid",
        help="score how well features tell who is who",
        description="Score features by re-identification: the held-out identities of Market-1501 "
        "across cameras, or the annotated people of MOTChallenge sequences after a gap.",
    )
    reid.add_argument("path", type=Path, help="Market-1501, a sequence, or a folder of sequences")
    _add_selection(reid)
    _add_extractor(reid)
    reid.add_argument(
        "--feature",
        choices=["projection", "backbone"],
        help="what describes a person, in place of what the encoder's file says",
    )
    reid.set_defaults(run=_evaluate_reid)

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


def _add_extractor(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--weights", type=Path, metavar="FILE", help="encoder to use (default: the one shipped)"
    )
    which.add_argument(
        "--histogram", action="store_true", help="use colour histograms, which need no torch"
    )


def _extractor(args: argparse.Namespace) -> FeatureExtractor:
    if args.histogram:
        if getattr(args, "feature", None) is not None:
            raise ValueError("--feature: expected none with --histogram")
        from sslmot.histogram import ColorHistogram

        return ColorHistogram()
    from sslmot.encoder import Encoder

    return Encoder.load(args.weights, feature=getattr(args, "feature", None))


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train an encoder without labels",
        description="Train an encoder on unlabelled person crops: of a folder of images, of videos "
        "with detections, of MOTChallenge sequences with their public detections. Writes a run: "
        "config.yaml, encoder.safetensors, checkpoint.safetensors, tensorboard/, crops/.",
    )
    train.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="Market-1501, a MOTChallenge sequence or folder of them, a video, a folder of images",
    )
    train.add_argument(
        "--output", type=Path, help="folder of the run (default: runs/ and the first path's name)"
    )
    train.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run after its last whole epoch"
    )
    train.add_argument(
        "--detections",
        type=Path,
        action="append",
        metavar="FILE",
        help="MOTChallenge detections of a video, one for each, in their order",
    )
    _add_selection(train)
    train.add_argument("--device", help="such as cpu or cuda:1 (default: CUDA where there is one)")
    train.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    train.add_argument(
        "--paper", action="store_true", help="start from TrainConfig.paper(), not the defaults"
    )
    train.set_defaults(run=_train)
    from sslmot.learn.config import TrainConfig

    _add_config(train, TrainConfig, TrainConfig.paper())


def _add_config(parser: argparse.ArgumentParser, config: type[Any], paper: Any) -> None:
    """One flag for each field of a config, explained by its docstring."""
    group = parser.add_argument_group("settings", f"fields of sslmot.{config.__name__}")
    doc = inspect.getdoc(config) or ""  # none under python -OO
    meanings = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", doc, re.M))
    default, hints = config(), get_type_hints(config)
    for field in dataclasses.fields(config):
        value, of_paper = getattr(default, field.name), getattr(paper, field.name)
        meaning = " ".join(meanings.get(field.name, "").split()).replace("%", "%%")
        differs = "" if of_paper == value else f"; of the paper: {of_paper}"
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


def _changes(args: argparse.Namespace, config: type[Any]) -> dict[str, Any]:
    """The fields that have been given."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(config)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }


def _track(args: argparse.Namespace) -> None:
    from sslmot.data.mot import sequences
    from sslmot.run import track_sequence
    from sslmot.tracker import Tracker

    if args.motion_only and (args.weights is not None or args.histogram):
        raise ValueError("--weights, --histogram: expected none with --motion-only")
    start = TrackerConfig.paper() if args.paper else TrackerConfig()
    config = dataclasses.replace(start, **_changes(args, TrackerConfig))
    tracker = Tracker(config, extractor=None if args.motion_only else _extractor(args))
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


def _evaluate_reid(args: argparse.Namespace) -> None:
    from sslmot.reid import evaluate_reid, table

    print(
        table(
            evaluate_reid(
                args.path, _extractor(args), sequences=args.sequences, detector=args.detector
            )
        )
    )


def _train(args: argparse.Namespace) -> None:
    from sslmot.data.sources import read_sources
    from sslmot.learn.config import TrainConfig

    try:
        from sslmot.learn.trainer import check_output, resume, train
    except ImportError as error:
        raise ImportError(f"training needs more: pip install sslmot[train] ({error})") from error

    changes = _changes(args, TrainConfig)
    if args.resume is not None:
        others = ("paths", "output", "config", "paper", "sequences", "detector", "detections")
        if changes or any(getattr(args, name) for name in others):
            raise ValueError("--resume: expected no sources and no settings, which the run has")
        resume(args.resume, device=args.device, progress=True)
        print(f"{args.resume / 'encoder.safetensors'}")
        return
    if args.paper and args.config is not None:
        raise ValueError("--paper: expected no --config beside it")
    start = TrainConfig.paper() if args.paper else TrainConfig()
    config = TrainConfig.load(args.config) if args.config is not None else start
    config = dataclasses.replace(config, **changes)
    if not args.paths:
        raise ValueError("paths: expected one source or more, got none")
    output = args.output or Path("runs") / args.paths[0].resolve().stem
    crops = None
    if int(os.environ.get("RANK", 0)) == 0:  # of the processes that torchrun starts, one reads
        check_output(output)
        crops = read_sources(
            args.paths,
            config.crop_size,
            sequences=args.sequences,
            detector=args.detector,
            detections=args.detections,
        )
    train(crops, config, output, device=args.device, progress=True)
    print(f"{output / 'encoder.safetensors'}")


def _demo(args: argparse.Namespace) -> None:
    from sslmot.demo import demo

    given = {"people": args.people, "frames": args.frames, "seed": args.seed}
    demo(args.output, **{name: value for name, value in given.items() if value is not None})
