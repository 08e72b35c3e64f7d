"""What an installed package must do, without torch and away from the source tree.

It is a script that needs only the package: CI and cibuildwheel run it in an environment that has
nothing else.

    python tests/installed.py
"""

import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import sslmot
from sslmot.cli import main
from sslmot.data.mot import read_results
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd


def check(folder: Path) -> None:
    """Track a generated clip by the command, and compare the tracks with who was drawn."""
    assert "site-packages" in sslmot.__file__, sslmot.__file__
    crowd = Crowd(CrowdConfig(people=5, frames=40, width=640, height=360))
    sequence = write_crowd(crowd, folder / "crowd")
    main(["track", str(sequence.path), "--histogram", "--output", str(folder / "results")])

    people: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for result in read_results(folder / "results" / f"{sequence.name}.txt"):
        truth = crowd.truth(result.frame - 1)
        for identity, box in zip(result.ids.tolist(), result.boxes, strict=True):
            people[identity][int(truth.ids[np.abs(truth.boxes - box).sum(1).argmin()])] += 1
    seen = sum(map(len, map(crowd.detections, range(len(crowd)))))
    tracked = sum(count.total() for count in people.values())
    one_person = sum(max(count.values()) for count in people.values())
    print(f"{seen} detections, {tracked} tracked, {one_person} of these as one person throughout")
    assert tracked >= 0.9 * seen
    assert one_person >= 0.95 * tracked
    assert "torch" not in sys.modules


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder))
