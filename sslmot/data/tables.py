"""Write tracks as tables: JSON lines, CSV and Parquet, a row for each track and frame."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslmot import files
from sslmot.data.clip import Add, Clip
from sslmot.data.mot import FrameResult

COLUMNS = ("frame", "time", "id", "x1", "y1", "x2", "y2", "score", "class")
"""The columns: the frame's number from 1, its time in seconds, and xyxy pixels. The score is empty
where no detection confirms the box, and the class where detections have none."""

_ROWS_OF_GROUP = 2**16  # rows of a Parquet file that are kept in memory


def rows(result: FrameResult, clip: Clip) -> Iterator[dict[str, Any]]:
    """Yield the row of each track of a frame."""
    classes = [None] * len(result.ids) if result.classes is None else result.classes.tolist()
    for identity, box, score, number in zip(
        result.ids.tolist(), result.boxes.tolist(), result.scores.tolist(), classes, strict=True
    ):
        yield {
            "frame": result.frame,
            "time": round((result.frame - 1) / clip.frame_rate, 6),
            "id": identity,
            **dict(zip(COLUMNS[3:7], (round(side, 2) for side in box), strict=True)),
            "score": None if math.isnan(score) else short(score),
            "class": None if number is None else clip.class_name(number),
        }


def short(score: float) -> float:
    """Return a number that is short as text: .9 for float32's 0.89999998."""
    return float(f"{score:.6g}")


@contextmanager
def json_lines(path: Path, clip: Clip) -> Iterator[Add]:
    """Open a file with a JSON object a row."""
    with files.replacing(path) as file:
        # In one piece, so that Ctrl-C leaves no part of a frame.
        yield lambda result: file.write(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(result, clip))
        )


@contextmanager
def comma_separated(path: Path, clip: Clip) -> Iterator[Add]:
    """Open a CSV file with a header."""
    with files.replacing(path) as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        yield lambda result: table.writerows([*rows(result, clip)])


@contextmanager
def parquet(path: Path, clip: Clip) -> Iterator[Add]:
    """Open a Parquet file.

    Raises:
        ImportError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow") from None
    kinds = {"frame": pa.int32(), "time": pa.float64(), "id": pa.int64(), "class": pa.string()}
    schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in COLUMNS])
    waiting: list[dict[str, Any]] = []
    with files.replacing(path) as file, pq.ParquetWriter(file.buffer, schema) as table:

        def flush() -> None:
            table.write_table(pa.Table.from_pylist(waiting, schema))
            waiting.clear()

        def add(result: FrameResult) -> None:
            waiting.extend(rows(result, clip))
            if len(waiting) >= _ROWS_OF_GROUP:
                flush()

        yield add
        flush()
