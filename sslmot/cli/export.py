"""The command ``sslmot export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sslmot import files

_SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}


def add_commands(commands: Any) -> None:
    """Add the command to a parser."""
    export = commands.add_parser(
        "export",
        help="write an encoder as ONNX or TorchScript",
        description="Write an encoder for use without this package. Input: normalised crops, "
        "(N, 3, height, width) float32. Output: features of unit length, (N, D) float32. Notes in "
        "the file say how to make crops: in the metadata of ONNX, or in the extra file sslmot.json "
        "of TorchScript.",
    )
    export.add_argument(
        "weights",
        type=Path,
        nargs="?",
        metavar="WEIGHTS",
        help="encoder to export (default: the encoder of the package)",
    )
    export.add_argument("--format", choices=[*_SUFFIXES], default="onnx", help="default: onnx")
    export.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="output file (default: encoder.onnx or encoder.pt)",
    )
    export.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> None:
    from sslmot.appearance.encoder import Encoder
    from sslmot.appearance.export import export

    suffix = _SUFFIXES[args.format]
    output = args.output or Path("encoder").with_suffix(suffix)
    if output.suffix in {*_SUFFIXES.values()} - {suffix}:
        raise ValueError(f"--output: expected a name with {suffix} for {args.format}, got {output}")
    files.keep_inputs([output], [] if args.weights is None else [args.weights])
    encoder = Encoder.load(args.weights, "cpu")
    output.parent.mkdir(parents=True, exist_ok=True)
    export(encoder, output, args.format)
    print(output)
