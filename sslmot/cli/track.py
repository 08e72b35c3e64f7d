"""The commands ``sslmot track``, ``evaluate`` and ``demo``."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

from sslmot.cli.flags import (
    add_config,
    add_device,
    add_extractor,
    add_selection,
    changes,
    make_extractor,
)
from sslmot.data import mot
from sslmot.data.results import FORMATS
from sslmot.tracking.config import TrackerConfig
from sslmot.types import ArrayLike, Frame


def add_commands(commands: Any) -> None:
    """Add the commands to a parser."""
    track = commands.add_parser(
        "track",
        help="track videos, cameras, images or MOTChallenge sequences",
        description="Track videos, cameras, images or MOTChallenge sequences. Write NAME.txt "
        "(MOTChallenge results) and NAME.json (time, settings) for each. NAME is the name of the "
        "sequence, of the folder of images, or of the video without its suffix. Ctrl-C ends "
        "tracking; the files hold the frames before.",
    )
    track.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a video, a folder of images, a quoted pattern such as 'shots/*.jpg', the number of a "
        "camera, an address such as rtsp://host/path, a MOTChallenge sequence, or a folder of "
        "sequences",
    )
    track.add_argument(
        "--detections",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="detections of a source: lines frame,-1,left,top,width,height,score[,class] "
        "(MOTChallenge; frames and pixels from 1), or COCO's JSON; repeat it for each source, in "
        "the same order",
    )
    track.add_argument(
        "--detector",
        metavar="MODEL",
        help="detect with an ONNX file of YOLOX or of ultralytics (YOLOv5, v8, 11), or with the "
        "function of a Python module, as MODULE:FUNCTION. DPM, FRCNN or SDP select the variant of "
        "MOT17's sequences",
    )
    track.add_argument(
        "--classes",
        default="person",
        metavar="NAMES",
        help="names or numbers of the ONNX model's classes to detect, such as person,car "
        "(default: person)",
    )
    track.add_argument(
        "--sequences",
        type=lambda names: names.split(","),
        metavar="NAMES",
        help="sequences of a folder to use, such as 09 or MOT17-09,MOT17-11 (default: all)",
    )
    track.add_argument("--output", type=Path, default=Path("results"), help="default: results")
    track.add_argument(
        "--format",
        type=_formats,
        default=["mot"],
        metavar="NAMES",
        help=f"formats of the results, some of {','.join(FORMATS)} (default: mot)",
    )
    track.add_argument(
        "--save-video", action="store_true", help="write NAME.mp4 with the tracks drawn"
    )
    track.add_argument("--show", action="store_true", help="show the tracks in a window; Q ends")
    track.add_argument(
        "--frame-rate",
        type=float,
        metavar="X",
        help="frames a second (default: of the source; 30 if it does not say)",
    )
    track.add_argument(
        "--gallery",
        type=Path,
        metavar="FILE",
        help="identities that are recognised and added, across sources and runs; a new file is "
        "made if it is missing",
    )
    track.add_argument(
        "--motion-only",
        action="store_true",
        help="track without appearance; reads no frames unless a detector needs them",
    )
    add_extractor(track)
    add_device(track)
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


def _formats(text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(FORMATS)}, got {wrong[0]!r}")
    return names


def _track(args: argparse.Namespace) -> None:
    from sslmot.offline.clips import open_clips
    from sslmot.offline.draw import window
    from sslmot.offline.run import Output, track
    from sslmot.tracking.gallery import Gallery
    from sslmot.tracking.tracker import Tracker

    if args.motion_only and (args.weights is not None or args.histogram):
        raise ValueError("--weights, --histogram: expected none with --motion-only")
    if args.paper and args.config is not None:
        raise ValueError("--paper: expected no --config with it")
    if args.gallery is not None and args.motion_only:
        raise ValueError("--gallery: expected none with --motion-only")
    appearance = not args.motion_only
    variant = args.detector if args.detector in get_args(mot.Detector) else None
    detector = None if args.detector is None or variant else _detector(args)
    clips = open_clips(
        args.sources,
        args.detections,
        detector,
        frames=appearance or args.save_video or args.show,
        frame_rate=args.frame_rate,
        sequences=args.sequences,
        variant=variant,
    )
    output = Output(args.output, args.format, video=args.save_video, max_gap=args.interpolate)
    others = [args.config, args.weights, args.gallery, args.detector]
    inputs = [path for clip in clips for path in clip.inputs]
    inputs += [Path(path) for path in others if path is not None]
    for clip in clips:
        output.check(clip.clip, inputs)

    extractor = None if args.motion_only else make_extractor(args)
    given = changes(args, TrackerConfig)
    if args.paper:
        config = TrackerConfig.paper(**given)
    elif args.config is not None:
        config = dataclasses.replace(TrackerConfig.load(args.config), **given)
    else:
        config = TrackerConfig(**given)
    gallery = None
    if args.gallery is not None:
        gallery = Gallery.load(args.gallery) if args.gallery.exists() else Gallery()
    tracker = Tracker(config, extractor=extractor, gallery=gallery)
    for clip in clips:
        try:
            with window(clip.clip.name) if args.show else nullcontext() as watch:
                speed = track(
                    clip, tracker, output, appearance=appearance, watch=watch, progress=True
                )
        except KeyboardInterrupt:
            print("stopped; the files hold the frames before", file=sys.stderr)
            raise
        finally:
            tracker.reset()
            if gallery is not None:
                gallery.save(args.gallery)
        first = output.paths(clip.clip.name)[output.formats[0]]
        print(
            f"{first}: {speed.frames} frames, "
            f"{speed.frames / max(speed.tracking, 1e-9):.3g} frames/s tracking, "
            f"{speed.frames / max(speed.total, 1e-9):.3g} frames/s with reading"
        )


def _detector(args: argparse.Namespace) -> Callable[[Frame], ArrayLike]:
    """Return the detector of the flag: a function MODULE:FUNCTION, or an ONNX model."""
    module, colon, name = args.detector.partition(":")
    if colon and all(part.isidentifier() for part in [*module.split("."), name]):
        sys.path.insert(0, "")  # a module in the working directory
        try:
            found: Callable[[Frame], ArrayLike] = getattr(importlib.import_module(module), name)
            return found
        except AttributeError:
            raise ValueError(f"--detector: expected a function of {module}, got {name!r}") from None
        finally:
            sys.path.remove("")
    from sslmot.detection.onnx import Detector

    return Detector(args.detector, args.classes.split(","), device=args.device)


def _evaluate(args: argparse.Namespace) -> None:
    from sslmot.evaluation.tracks import evaluate, table

    print(table(evaluate(args.path, args.results, args.sequences, args.detector)))


def _demo(args: argparse.Namespace) -> None:
    from sslmot.demo.run import demo

    given = {"people": args.people, "frames": args.frames, "seed": args.seed}
    demo(args.output, **{name: value for name, value in given.items() if value is not None})
