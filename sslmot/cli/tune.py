"""The command ``sslmot tune``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sslmot.cli.flags import add_extractor, add_selection, make_extractor

_OUTPUT = Path("runs/tune")
_TRIALS = 100


def add_commands(commands: Any) -> None:
    """Add the command to a parser."""
    tune = commands.add_parser(
        "tune",
        help="search the tracker's settings on annotated sequences",
        description="Search the tracker's settings on annotated MOTChallenge sequences, with "
        "Optuna. Write config.yaml, the best settings so far, and study.db. The same command "
        "continues the search.",
    )
    tune.add_argument("path", type=Path, help="a sequence, or a folder of sequences")
    tune.add_argument("--output", type=Path, default=_OUTPUT, help=f"default: {_OUTPUT}")
    add_selection(tune)
    tune.add_argument(
        "--motion-only", action="store_true", help="track without appearance; needs no frames"
    )
    add_extractor(tune)
    tune.add_argument(
        "--metric", choices=["hota", "idf1", "mota"], default="hota", help="default: hota"
    )
    tune.add_argument(
        "--trials",
        type=int,
        default=_TRIALS,
        metavar="N",
        help=f"total number of trials, including those of earlier runs (default: {_TRIALS})",
    )
    tune.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    tune.set_defaults(run=_tune)


def _tune(args: argparse.Namespace) -> None:
    from sslmot.data.mot import sequences
    from sslmot.tuning.search import tune

    if args.motion_only and (args.weights is not None or args.histogram):
        raise ValueError("--weights, --histogram: expected none with --motion-only")
    tuned = tune(
        sequences(args.path, args.sequences, args.detector),
        args.output,
        extractor=None if args.motion_only else make_extractor(args),
        metric=args.metric,
        trials=args.trials,
        seed=args.seed,
        progress=True,
    )
    config = args.output / "config.yaml"
    print(config.read_text(), end="")
    print(
        f"# {config}: {args.metric} {tuned.score:.2f}, {tuned.default:.2f} by default; "
        f"{tuned.trials} trials, {tuned.pruned} of them stopped early"
    )
