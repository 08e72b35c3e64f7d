"""Compare the scenes with their recording, or record them again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from .clips import CLIPS, clips
from .encoded import encoded
from .generated import SOURCES
from .recording import HERE, Recording


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("sources", nargs="*", help="sources to run (default: all)")
    parser.add_argument(
        "--record",
        nargs="?",
        const=HERE,
        type=Path,
        metavar="FOLDER",
        help="write a recording (default folder: that of the current recording)",
    )
    parser.add_argument(
        "--encoded",
        type=Path,
        metavar="FOLDER",
        help="also run the scenes of the default encoder; its features are cached in the folder",
    )
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    data = Path(os.environ.get("SSLMOT_DATA", root / ".." / "shared" / "data")).resolve()
    sources = {**SOURCES, **clips(data)}
    if arguments.encoded is not None:
        sources |= encoded(data, arguments.encoded)
    absent = [clip for clip in CLIPS if Path(clip).name not in sources]
    if absent and arguments.record == HERE:
        parser.error(f"--record: expected all clips in {data}, {', '.join(absent)} not found")
    if arguments.sources and arguments.record == HERE:
        parser.error("--record: expected no sources, since all are recorded together")
    for name in arguments.sources:
        if name not in sources:
            parser.error(f"sources: expected some of {', '.join(sources)}, got {name}")
    got = Recording.new()
    for name in arguments.sources or sources:
        start = time.perf_counter()
        got.run(name, sources[name]())
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
    frames = sum(len(scene.ids) for scene in got.scenes.values())
    print(f"{len(got.scenes)} scenes, {frames} frames")
    for clip in absent:
        print(f"{clip}: skipped, not in {data}")
    if arguments.record is not None:
        got.save(arguments.record)
        print(f"{arguments.record}: recording {got.name}")
        if arguments.record == HERE:
            print("Add its name to CHANGELOG.md, and say why it is new.")
        return 0
    expected = Recording.load()
    scenes = {s for s in {*expected.scenes, *got.scenes} if s.split("/")[0] in got.checksums}
    differences = expected.differences(got, sorted(scenes))
    print("\n".join(differences) or "no identity differs")
    return 1 if differences else 0


sys.exit(main())
