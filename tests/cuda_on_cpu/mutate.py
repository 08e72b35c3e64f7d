"""Breaks the CUDA kernels in one place after the other: python tests/cuda_on_cpu/mutate.py.

All mutants are compiled at once, and a variable turns one of them on. The cases must fail by each,
but for those of which nothing can be seen: by those it must pass.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time

import building
import pytest
from mutants import MUTANTS

SECONDS = 300  # after which a mutant is taken to run for ever

# Cases that look at what a file does.
CASES = {
    "chunk.cuh": "TestCost or TestAssociate",
    "cost_cuda.cu": "TestCost or test_all_pairs or TestTable",
    "associate_cuda.cu": "TestAssociate or TestBlend or TestTable",
    "crop_cuda.cu": "TestCrop",
    "device_features.cu": "TestTable",
}
SIGNS = [  # of how a fault was seen, the first that is in the output
    (r"SUMMARY: AddressSanitizer: ([\w-]+)", "address: {}"),
    (r"runtime error: (.*)", "undefined: {}"),
    (
        r"E +RuntimeError: .*?(deadlock|shuffle: lane|lanes of a warp|mask|invalid \w+)",
        "device: {}",
    ),
    (r"(nan location mismatch)", "NaN"),
    (r"(Not equal to tolerance|Arrays are not equal)", "wrong numbers"),
    (r"E +(\w+Error|Failed|assert)", "{}"),
    (r"(Fatal Python error: .*)", "{}"),
]


def seen(output):
    """How a run of the cases failed."""
    for pattern, text in SIGNS:
        if found := re.search(pattern, output):
            return text.format(found[1])[:60]
    return "ended without a word"


def run_cases(mutant, choice):
    """Runs the chosen cases with a mutant turned on, up to the first that fails.

    Returns:
        The exit status, a negative signal where it was killed by one, and what was printed.
    """
    with tempfile.TemporaryFile("w+") as log:
        child = os.fork()  # not a new process: to load everything takes longer than most mutants
        if child == 0:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            signal.alarm(SECONDS)
            device.library.device_mutant(mutant)
            os._exit(pytest.main(building.pytest_arguments("-x", "-k", choice)))
        _, status = os.waitpid(child, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read()


def main():
    """Runs all mutants, or those whose numbers are given.

    Returns:
        The exit status: 1 where a fault was missed, or where a harmless change was taken for one.
    """
    chosen = [int(number) for number in sys.argv[1:]] or range(1, len(MUTANTS) + 1)
    start = time.perf_counter()
    status, output = run_cases(0, "Test")
    if status != 0:
        print(output)
        return 1
    wrong = 0
    for number in chosen:
        mutant = MUTANTS[number - 1]
        status, output = run_cases(number, CASES[mutant.file])
        how = "never ends" if status == -signal.SIGALRM else seen(output)
        if status == 0:
            verdict = f"passes: {mutant.harmless}" if mutant.harmless else "MISSED"
        else:
            verdict = f"TAKEN FOR A FAULT: {how}" if mutant.harmless else how
        wrong += (status == 0) != bool(mutant.harmless)
        place = " ".join(mutant.place.split())
        change = f"{mutant.file:17} {place} -> {mutant.becomes or 'gone'}"
        print(f"{number:3} {change}: {verdict}", flush=True)
    harmless = sum(bool(MUTANTS[number - 1].harmless) for number in chosen)
    print(
        f"{len(chosen) - harmless} faults, {harmless} harmless changes, {wrong} not as expected;"
        f" {time.perf_counter() - start:.0f} s"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    if "CUDA_ON_CPU" not in os.environ:  # again, with the sanitizer's run time
        variables = building.environment(building.build("cuda_on_cpu_mutants"))
        os.execve(sys.executable, [sys.executable, *sys.argv], variables)
    import device

    sys.exit(main())
