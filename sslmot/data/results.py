"""Write tracks in a format, frame by frame.

Each format is a context manager. It opens a file that replaces the target at the end of the block,
and gives a function that takes the tracks of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sslmot.data.clip import Add, Clip
from sslmot.data.coco import coco_video
from sslmot.data.cvat import cvat
from sslmot.data.mot import checked, results_file
from sslmot.data.rerun import rerun_recording
from sslmot.data.tables import comma_separated, json_lines, parquet


class Format(NamedTuple):
    """A format of results.

    Attributes:
        suffix: What is added to the clip's name.
        open: Opens a file.
    """

    suffix: str
    open: Callable[[Path, Clip], AbstractContextManager[Add]]


FORMATS = {
    "mot": Format(".txt", lambda path, clip: results_file(path)),
    "jsonl": Format(".jsonl", json_lines),
    "csv": Format(".csv", comma_separated),
    "parquet": Format(".parquet", parquet),
    "coco": Format(".coco.json", coco_video),
    "cvat": Format(".cvat.xml", cvat),
    "rerun": Format(".rrd", rerun_recording),
}
"""The formats by name: MOTChallenge text, tables of `sslmot.data.tables.COLUMNS`, COCO-VID, CVAT
for video, and recordings of Rerun."""


@contextmanager
def open_results(path: Path, name: str, clip: Clip) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """Open a file of results that replaces the target at the end of the block.

    Args:
        path: The file. Missing folders are created.
        name: Key of `FORMATS`.
        clip: The clip.

    Yields:
        A function that takes what `sslmot.data.mot.FrameResult` has, each frame once.

    Raises:
        ImportError: The format needs a package that is not installed.
        ValueError: As :func:`sslmot.data.mot.checked`.
    """
    seen: set[int] = set()
    with FORMATS[name].open(path, clip) as add:
        yield lambda result: add(checked(result, seen))
