"""Breaks the CUDA kernels in one place after the other: python tests/cuda_on_cpu/mutate.py.

All mutants are compiled at once, and a variable turns one of them on. cases.py must fail by each,
but for those of which nothing can be seen: by those it must pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

import building
from mutants import MUTANTS

# Cases that look at what a file does.
CASES = {
    "chunk.cuh": "TestCost or TestAssociate",
    "cost_cuda.cu": "TestCost or test_all_pairs",
    "associate_cuda.cu": "TestAssociate or TestBlend",
    "crop_cuda.cu": "TestCrop",
}
SIGNS = [  # of how a fault was seen, the first that is in the output
    (r"SUMMARY: AddressSanitizer: ([\w-]+)", "address: {}"),
    (r"runtime error: (.*)", "undefined: {}"),
    (r"E +RuntimeError: .*?(deadlock|shuffle: lane|lanes of a warp|mask|invalid \w+)", "device: {}"),
    (r"Mismatched elements: (\d+)", "wrong numbers"),
    (r"E +(\w+Error|Failed|assert)", "{}"),
    (r"(Fatal Python error: .*)", "{}"),
]


def seen(output):
    """How a run of the cases failed."""
    for pattern, text in SIGNS:
        if found := re.search(pattern, output):
            return text.format(found[1])[:60]
    return "ended without a word"


def main():
    """Runs all mutants.

    Returns:
        The exit status: 1 where a fault was missed, or where a harmless change was taken for one.
    """
    start = time.perf_counter()
    module = building.build("cuda_on_cpu_mutants")
    print(f"built in {time.perf_counter() - start:.0f} s", flush=True)
    run = building.run_cases(module, "-x")
    if run.returncode != 0:
        print(run.stdout)
        return 1
    wrong = faults = 0
    for number, mutant in enumerate(MUTANTS, 1):
        try:
            run = building.run_cases(module, "-x", "-k", CASES[mutant.file], mutant=number)
            caught, how = run.returncode != 0, seen(run.stdout) if run.returncode else ""
            if run.returncode not in (0, 1) and how == "ended without a word":
                how = f"ended by {run.returncode}"
        except subprocess.TimeoutExpired:
            caught, how = True, "never ends"
        as_expected = caught != bool(mutant.harmless)
        wrong += not as_expected
        faults += not mutant.harmless
        verdict = how if caught else f"passes: {mutant.harmless or 'MISSED'}"
        if caught and mutant.harmless:
            verdict = f"TAKEN FOR A FAULT: {how}"
        place = " ".join(mutant.place.split())
        print(f"{number:3} {mutant.file:17} {place} -> {mutant.becomes or 'gone'}: {verdict}", flush=True)
    print(
        f"{faults} faults and {len(MUTANTS) - faults} harmless changes, {wrong} not as expected;"
        f" {time.perf_counter() - start:.0f} s"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
