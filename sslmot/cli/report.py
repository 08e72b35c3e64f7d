"""The command ``sslmot report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the command to a parser."""
    report = commands.add_parser(
        "report",
        help="show results in one HTML file: timelines, switches, trajectories, scores",
        description="Write one HTML file that shows results and needs no network: the timeline of "
        "identities, the worst switches as crops with the tracker's own explanation, trajectories "
        "on a frame, scores, and curves of trainings. The source gives frames and ground truth. "
        "Without ground truth, possible switches are listed: an identity ends where another "
        "begins. For the explanations the run is repeated with its recorded settings; where it "
        "does not give the same tracks, the report says so.",
    )
    report.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="a folder of NAME.txt and NAME.json, from track, or one NAME.txt",
    )
    report.add_argument(
        "--output", type=Path, default=Path("report.html"), help="default: report.html"
    )
    report.add_argument(
        "--source",
        metavar="PATH",
        help="what was tracked: a video, images, a MOTChallenge sequence, or a folder of sequences",
    )
    report.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="detections of a video or of images, for explanations",
    )
    report.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="encoder of the run, for explanations (default: the encoder of the package)",
    )
    report.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="trainings whose curves are drawn",
    )
    report.add_argument(
        "--study",
        type=Path,
        metavar="FOLDER",
        help="a study of `sslmot study`, whose tables and pictures are shown",
    )
    report.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> None:
    from sslmot.report.words import count
    from sslmot.report.write import write_report

    written = write_report(
        args.results,
        args.output,
        source=args.source,
        detections=args.detections,
        weights=args.weights,
        runs=args.runs,
        study=args.study,
    )
    print(f"{args.output}: {count(written.clips, 'clip')}, {written.size / 1e6:.1f} MB")
