"""The command ``sslmot``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence as Arguments
from importlib.metadata import version

from sslmot.cli import calibrate, export, learn, poses, track, tune


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

    track.add_commands(commands)
    calibrate.add_commands(commands)
    tune.add_commands(commands)
    learn.add_commands(commands)
    poses.add_commands(commands)
    export.add_commands(commands)
    return parser
