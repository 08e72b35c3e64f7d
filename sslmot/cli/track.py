"""The commands ``sslmot track``, ``evaluate`` and ``demo``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from sslmot.cli.flags import (
    add_clip,
    add_config,
    add_extractor,
    add_selection,
    changes,
    is_video,
    make_extractor,
)
from sslmot.tracking.config import TrackerConfig


def add_commands(commands: Any) -> None:
    """Add the commands to a parser."""
    track = commands.add_parser(
        "track",
        help="track a video with detections, or MOTChallenge sequences",
        description="Track a video with detections, or MOTChallenge sequences with their public "
        "detections. Write NAME.txt (MOTChallenge results) and NAME.json (time, settings). NAME is "
        "the name of the sequence, or of the video without its suffix.",
    )
    add_clip(track, "a video, a MOTChallenge sequence, or a folder of sequences")
    track.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    add_selection(track)
    track.add_argument(
        "--motion-only", action="store_true", help="track without appearance; reads no frames"
    )
    add_extractor(track)
    track.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="offline: after the last frame, fill gaps of tracks whose ends are at most N frames "
        "apart, such as 30 (default: off)",
    )
    track.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML, from tune")
    track.add_argument(
        "--paper", action="store_true", help="start from TrackerConfig.paper(), not the defaults"
    )
    add_config(track, TrackerConfig, TrackerConfig.paper())
    track.set_defaults(run=_track)

    evaluate = commands.add_parser(
        "evaluate",
        help="score results: HOTA, MOTA, IDF1, ...",
        description="Score MOTChallenge results with the official preprocessing.",
    )
    evaluate.add_argument("path", type=Path, help="a sequence, or a folder of sequences")
    evaluate.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    add_selection(evaluate)
    evaluate.set_defaults(run=_evaluate)

    demo = commands.add_parser(
        "demo",
        help="track a generated crowd: scores, an annotated video and a picture",
        description="Track a generated crowd with and without appearance. Print scores, and write "
        "an annotated video and a picture.",
    )
    demo.add_argument("--output", type=Path, default=Path("demo"), help="default: demo")
    demo.add_argument("--people", type=int, help="number of people")
    demo.add_argument("--frames", type=int, help="number of frames")
    demo.add_argument("--seed", type=int, help="seed of the crowd")
    demo.set_defaults(run=_demo)


def _track(args: argparse.Namespace) -> None:
    from sslmot.data.mot import sequences
    from sslmot.offline.run import Output, Speed, track_sequence, track_video
    from sslmot.tracking.tracker import Tracker

    if args.motion_only and (args.weights is not None or args.histogram):
        raise ValueError("--weights, --histogram: expected none with --motion-only")
    if args.paper and args.config is not None:
        raise ValueError("--paper: expected no --config with it")
    video = is_video(args)
    if video and (args.sequences is not None or args.detector is not None):
        raise ValueError("--sequences, --detector: expected none with a video")
    extractor = None if args.motion_only else make_extractor(args)
    given = changes(args, TrackerConfig)
    if args.paper:
        config = TrackerConfig.paper(**given)
    elif args.config is not None:
        config = dataclasses.replace(TrackerConfig.load(args.config), **given)
    else:
        config = dataclasses.replace(Tracker(extractor=extractor).config, **given)
    tracker = Tracker(config, extractor=extractor)
    output = Output(args.output, max_gap=args.interpolate)
    how: dict[str, Any] = {"appearance": not args.motion_only, "progress": True}

    def report(name: str, speed: Speed) -> None:
        print(
            f"{args.output / name}.txt: {speed.frames} frames, "
            f"{speed.frames / speed.tracking:.0f} frames/s tracking, "
            f"{speed.frames / speed.total:.0f} frames/s with reading"
        )

    if video:
        speed = track_video(args.path, args.detections, tracker, output, **how)
        report(args.path.stem, speed)
        return
    for sequence in sequences(args.path, args.sequences, args.detector):
        tracker.reset()
        report(sequence.name, track_sequence(sequence, tracker, output, **how))


def _evaluate(args: argparse.Namespace) -> None:
    from sslmot.evaluation.tracks import evaluate, table

    print(table(evaluate(args.path, args.results, args.sequences, args.detector)))


def _demo(args: argparse.Namespace) -> None:
    from sslmot.demo.run import demo

    given = {"people": args.people, "frames": args.frames, "seed": args.seed}
    demo(args.output, **{name: value for name, value in given.items() if value is not None})
