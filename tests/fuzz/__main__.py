"""Run the fuzzer: ``python -m tests.fuzz [--seconds S] [--seed N] [--only NAME] [--case CASE]``."""

from __future__ import annotations

import argparse
import secrets
import sys

from . import native, readers, steps
from .harness import fuzz, repeat

MODULES = [native, readers, steps]
TARGETS = {name: target for module in MODULES for name, target in module.TARGETS.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="time for all targets together")
    parser.add_argument("--seed", type=int, help="seed (default: random)")
    parser.add_argument("--only", metavar="NAME", help="run only targets that begin with NAME")
    parser.add_argument("--case", metavar="NAME:NUMBER", help="repeat one case; needs --seed")
    arguments = parser.parse_args()
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    print("seed", seed, flush=True)
    if arguments.case is not None:
        name, number = arguments.case.rsplit(":", 1)
        well = repeat(TARGETS[name], seed, name, int(number), readers.PREPARE)
    else:
        only = arguments.only or ""
        chosen = {name: target for name, target in TARGETS.items() if name.startswith(only)}
        if not chosen:
            parser.error(f"--only: expected the beginning of one of {', '.join(TARGETS)}")
        well = fuzz(chosen, arguments.seconds, seed, readers.PREPARE)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
