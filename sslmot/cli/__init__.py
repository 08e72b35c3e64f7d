"""The command line tool ``sslmot``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence as Arguments
from importlib.metadata import version

from sslmot.cli import export, learn, poses, report, study, track, tune


def main(arguments: Arguments[str] | None = None) -> None:
    """Run a command. If its input is wrong, print one line to stderr and exit with status 2."""
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
        description="Multi-object tracking with an appearance model trained on your own footage.",
    )
    parser.add_argument("--version", action="version", version=f"sslmot {version('sslmot')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    track.add_commands(commands)
    report.add_commands(commands)
    tune.add_commands(commands)
    learn.add_commands(commands)
    poses.add_commands(commands)
    study.add_commands(commands)
    export.add_commands(commands)
    return parser
