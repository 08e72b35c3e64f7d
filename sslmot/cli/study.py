"""The command ``sslmot study``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslmot.cli.flags import add_device

if TYPE_CHECKING:
    from sslmot.study.run import Study

_OUTPUT = Path("runs/study")
_SMOKE = Path("runs/study-smoke")
_TABLES = ("table1", "table2", "table3", "backbones")
_OTHERS = ("figure3", "benchmark", "sensitivity")


def add_commands(commands: Any) -> None:
    """Add the command to a parser."""
    study = commands.add_parser(
        "study",
        help="repeat the study of SSL-MOT: its tables, figure 3, and the test server's folders",
        description="Repeat the study of SSL-MOT. Train each cell of a table without labels on "
        "Market-1501 and on the training sequences of MOT17 that are not scored, and score it on "
        "MOT17-04, 09 and 13 with public detections, as far as these are at hand. Write a run for "
        "each cell and seed, and PART.md. The same command continues a study: what is done stays.",
    )
    study.add_argument(
        "part",
        choices=[*_TABLES, *_OTHERS],
        help="table1: pose views; table2: losses; table3: methods; backbones; figure3: features "
        "of ten people; benchmark: MOT16, MOT17, MOT20 for the test server (tables 4-6); "
        "sensitivity: constants that the paper leaves open",
    )
    study.add_argument(
        "--data",
        type=Path,
        metavar="ROOT",
        help="folder of Market-1501, MOT17, for the benchmark MOT16 and MOT20, and for sensitivity "
        "clips/TUD-Stadtmitte, a sequence",
    )
    study.add_argument(
        "--output",
        type=Path,
        help=f"folder of the study (default: {_OUTPUT}, with --smoke {_SMOKE})",
    )
    study.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds of each cell (default: 3)"
    )
    study.add_argument(
        "--scale", choices=["small", "paper"], default="small", help="default: small, for a desktop"
    )
    study.add_argument(
        "--smoke", action="store_true", help="one epoch on a generated crowd, to try the command"
    )
    study.add_argument(
        "--poses",
        type=Path,
        metavar="FOLDER",
        help="for table1: what `sslmot make-poses` made of the crops to learn from",
    )
    study.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="train the cells of a table on a Ray cluster, each with one CPU, or one CPU and one "
        "GPU with --device cuda: that of the address, or the one that Ray finds or starts; all "
        "machines need the data and the output at the same paths",
    )
    add_device(study)
    study.set_defaults(run=_study)


def _study(args: argparse.Namespace) -> None:
    try:
        from sslmot.study import parts
        from sslmot.study.generated import write_generated
        from sslmot.study.run import Study
        from sslmot.study.scales import SCALES
        from sslmot.study.sources import find_sources
    except ImportError as error:
        raise ImportError(
            f"a study needs: pip install sslmot[train,evaluation] ({error})"
        ) from error

    if args.seeds < 1:
        raise ValueError(f"--seeds: expected 1 or more, got {args.seeds}")
    if args.smoke == (args.data is not None):
        got = "both" if args.smoke else "neither"
        raise ValueError(f"--data, --smoke: expected one of them, got {got}")
    if args.part == "table1" and args.poses is None:
        raise ValueError(
            "--poses: expected a folder of `sslmot make-poses` for table1, of the same crops; got "
            "none"
        )
    if args.ray is not None and args.part not in _TABLES:
        raise ValueError(f"--ray: expected one of {', '.join(_TABLES)} with it, got {args.part}")
    output = (args.output or (_SMOKE if args.smoke else _OUTPUT)).resolve()
    root = write_generated(output / "data") if args.smoke else args.data
    study = Study(
        sources=find_sources(root.resolve()),
        scale=SCALES["smoke" if args.smoke else args.scale],
        folder=output,
        poses="" if args.poses is None else str(args.poses.resolve()),
        device=args.device,
        progress=True,
    )
    print(_run(parts, study, args, root))


def _run(parts: Any, study: Study, args: argparse.Namespace, root: Path) -> str:
    """Run one part of the study, and return what it wrote."""
    if args.part in _TABLES:
        return str(parts.table(study, args.part, args.seeds, args.ray))
    if args.part == "benchmark":
        return str(parts.benchmark(study, root))
    if args.part == "sensitivity":
        return str(parts.sensitivity(study, root))
    return str(parts.figure3(study))
