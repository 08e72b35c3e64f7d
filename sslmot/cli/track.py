"""The commands ``sslmot track``, ``evaluate`` and ``demo``."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sslmot import files
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

if TYPE_CHECKING:
    from sslmot.offline.clips import FoundClip
    from sslmot.offline.run import Output, Speed
    from sslmot.tracking.tracker import Tracker

_VARIANTS = get_args(mot.Detector)
_STOPPED = "stopped; the files hold the frames before"


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
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="track the sources at the same time on a Ray cluster: each with one CPU, or one CPU "
        "and one GPU with --device cuda. ADDRESS is HOST:PORT. Without it, use the cluster of "
        "RAY_ADDRESS or of this machine, or start one here. Each machine needs sslmot, and the "
        "files and the working directory at the same paths",
    )
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
    evaluate.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write the scores as JSON: an object of fields for each sequence",
    )
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
    from sslmot.offline.draw import window
    from sslmot.offline.run import track
    from sslmot.tracking.gallery import Gallery

    if args.motion_only and (args.weights is not None or args.histogram):
        raise ValueError("--weights, --histogram: expected none with --motion-only")
    if args.paper and args.config is not None:
        raise ValueError("--paper: expected no --config with it")
    if args.gallery is not None and args.motion_only:
        raise ValueError("--gallery: expected none with --motion-only")
    if args.ray is not None:
        return _track_on_cluster(args)
    detector = _detector(args)
    clips = [found.open(detector) for found in _find(args, detector is not None)]
    tracker = _tracker(args)
    if args.gallery is not None:
        tracker.gallery = Gallery.load(args.gallery) if args.gallery.exists() else Gallery()
    output = _output(args)
    for clip in clips:
        try:
            with window(clip.clip.name) if args.show else nullcontext() as watch:
                speed = track(
                    clip,
                    tracker,
                    output,
                    appearance=not args.motion_only,
                    watch=watch,
                    progress=True,
                )
        except KeyboardInterrupt:
            print(_STOPPED, file=sys.stderr)
            raise
        finally:
            tracker.reset()
            if tracker.gallery is not None:
                tracker.gallery.save(args.gallery)
        print(_summary(output, clip.clip.name, speed))
    return None


def _track_on_cluster(args: argparse.Namespace) -> None:
    """Track each source in a task of a Ray cluster. Exit with status 1 if some fail."""
    from tqdm import tqdm

    from sslmot.data.frames import Stream
    from sslmot.offline.cluster import spread

    if args.ray and Path(args.ray).exists():
        raise ValueError(
            f"--ray: expected an address, got the file {args.ray}; put --ray after the sources"
        )
    if args.show:
        raise ValueError("--show: expected none with --ray")
    if args.gallery is not None:
        raise ValueError("--gallery: expected none with --ray, which tracks each source alone")
    if args.device not in (None, "cpu", "cuda"):
        raise ValueError(f"--device: expected cpu or cuda with --ray, got {args.device}")
    # This machine need not have the GPUs of the cluster.
    here = argparse.Namespace(**vars(args) | {"device": "cpu"})
    clips = _find(here, _detector(here) is not None)
    for clip in clips:
        if isinstance(clip.source, Stream):
            raise ValueError(f"sources: expected files with --ray, got {clip.source}")
    _tracker(here)

    there = {"device": args.device or "cpu", "sources": None, "detections": None}
    settings = argparse.Namespace(**vars(args) | there)
    output, errors = _output(args), {}
    with tqdm(total=len(clips), unit=" videos", disable=None) as bar:

        def show(ended: int, frames: int) -> None:
            bar.n = ended
            bar.set_postfix_str(f"{frames} frames")

        jobs = [(settings, clip) for clip in clips]
        gpus = int(args.device == "cuda")
        try:
            for (_, clip), result in spread(
                _track_alone, jobs, address=args.ray or None, gpus=gpus, progress=show
            ):
                if isinstance(result, Exception):
                    errors[clip.name] = f"{type(result).__name__}: {result}"
                    continue
                speed, notes = result
                for note in notes:
                    bar.write(f"note: {note}", sys.stderr)
                bar.write(_summary(output, clip.name, speed))
        except KeyboardInterrupt:
            bar.write(_STOPPED, sys.stderr)
            raise
    for clip in clips:
        if clip.name in errors:
            print(f"{clip.name}: {errors[clip.name]}", file=sys.stderr)
    if errors:
        print(f"sslmot track: {len(errors)} of {len(clips)} failed", file=sys.stderr)
        raise SystemExit(1)


def _track_alone(
    job: tuple[argparse.Namespace, FoundClip], report: Callable[[int], object]
) -> tuple[Speed, list[str]]:
    """Track one clip. Return the time taken, and the warnings."""
    from sslmot.offline.run import track

    args, found = job
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        clip = found.open(_detector(args))
        speed = track(
            clip,
            _tracker(args),
            _output(args),
            appearance=not args.motion_only,
            progress=report,
        )
    return speed, [str(note.message) for note in notes if issubclass(note.category, UserWarning)]


def _find(args: argparse.Namespace, detector: bool) -> list[FoundClip]:
    """Return the clips of the sources, once nothing is lost when their results are written."""
    from sslmot.offline.clips import find_clips

    found = find_clips(
        args.sources,
        args.detections,
        detector=detector,
        frames=not args.motion_only or args.save_video or args.show,
        frame_rate=args.frame_rate,
        sequences=args.sequences,
        variant=args.detector if args.detector in _VARIANTS else None,
    )
    output = _output(args)
    others = [args.config, args.weights, args.gallery, args.detector]
    inputs = [path for clip in found for path in clip.inputs]
    inputs += [Path(path) for path in others if path is not None]
    for clip in found:
        output.check(clip.clip(), inputs)
    return found


def _tracker(args: argparse.Namespace) -> Tracker:
    """Return a tracker with the settings and the extractor of the flags."""
    from sslmot.tracking.tracker import Tracker

    extractor = None if args.motion_only else make_extractor(args)
    given = changes(args, TrackerConfig)
    if args.paper:
        config = TrackerConfig.paper(**given)
    elif args.config is not None:
        config = dataclasses.replace(TrackerConfig.load(args.config), **given)
    else:
        config = TrackerConfig(**given)
    return Tracker(config, extractor=extractor)


def _output(args: argparse.Namespace) -> Output:
    """Return what the flags say to write."""
    from sslmot.offline.run import Output

    return Output(args.output, args.format, video=args.save_video, max_gap=args.interpolate)


def _summary(output: Output, name: str, speed: Speed) -> str:
    first = output.paths(name)[output.formats[0]]
    return (
        f"{first}: {speed.frames} frames, "
        f"{speed.frames / max(speed.tracking, 1e-9):.3g} frames/s tracking, "
        f"{speed.frames / max(speed.total, 1e-9):.3g} frames/s with reading"
    )


def _detector(args: argparse.Namespace) -> Callable[[Frame], ArrayLike] | None:
    """Return the detector of the flag: a function MODULE:FUNCTION, or an ONNX model.

    None without the flag, or if it selects a variant of MOT17's sequences.
    """
    if args.detector is None or args.detector in _VARIANTS:
        return None
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

    if args.output is not None:
        read = mot.sequences(args.path, args.sequences, args.detector)
        inputs = [args.results / f"{s.name}{suffix}" for s in read for suffix in (".txt", ".json")]
        inputs += [path for s in read for path in (s.ground_truth_path, s.path / "seqinfo.ini")]
        files.keep_inputs([args.output], inputs)
    scores = evaluate(args.path, args.results, args.sequences, args.detector)
    print(table(scores))
    if args.output is not None:
        fields = {name: dataclasses.asdict(s) for name, s in scores.items()}
        args.output.parent.mkdir(parents=True, exist_ok=True)
        files.write(args.output, (json.dumps(fields, indent=1) + "\n").encode())


def _demo(args: argparse.Namespace) -> None:
    from sslmot.demo.run import demo

    given = {"people": args.people, "frames": args.frames, "seed": args.seed}
    demo(args.output, **{name: value for name, value in given.items() if value is not None})
