"""CUDA source -> C++: what no C++ compiler knows, kernel<<<...>>>(...), becomes a call.

And shared memory tells the device where it is, so that it can be filled before each block. With
--mutants the faults of mutants.py are in it, to be turned on one by one.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mutants import with_mutants

LAUNCH = re.compile(r"(\w+(?:<[\w:, ]+>)?)<<<(.*?)>>>\(", re.DOTALL)
SHARED = re.compile(r"__shared__ [\w: ]+? (\w+)(?:\[[^;]+\])*;")


def translate(source: str, name: str) -> str:
    """Rewrites launches and shared memory, and leaves every line where it was.

    Raises:
        ValueError: Where one of them is written in a way that is not understood.
    """
    text, launches = LAUNCH.subn(r"::cuda_on_cpu::Launch(\2).of<\1>(", source)
    text, shared = SHARED.subn(r"\g<0> ::cuda_on_cpu::share(&\1, sizeof \1);", text)
    for what, found in (("<<<", launches), ("__shared__", shared)):
        if found != source.count(what):
            raise ValueError(f"{name}: expected {source.count(what)} of {what}, understood {found}")
    return f'#line 1 "{name}"\n{text}'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--mutants", action="store_true")
    args = parser.parse_args()
    code = args.source.read_text()
    if args.mutants:
        code = with_mutants(args.source.name, code)
    args.target.write_text(translate(code, str(args.source)))
