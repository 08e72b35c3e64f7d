"""COCO's JSON: read detections, and write tracks as COCO-VID (as mmtracking and mmdetection read).

Boxes are left, top, width and height in pixels from 0. Frames of COCO-VID count from 0.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import files, reading
from sslmot.data.clip import Add, Clip
from sslmot.data.mot import MOST_FRAMES, FrameResult
from sslmot.data.tables import short
from sslmot.plausible import doubt

_MOST = 2**30  # limit of bytes
_EXPECTED = (
    "expected detections with the image_id of a frame from 1, the left, top, width and height of a "
    "bbox with an area, a whole category_id, numbers up to 1e9"
)


def read_coco_detections(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None
) -> dict[int, npt.NDArray[np.float32]]:
    """Read the detections of a clip: COCO's list of results, or a dataset.

    Args:
        path: A file with a list of ``{"image_id", "category_id", "bbox", "score"}``, where
            ``image_id`` is the number of the frame, from 1. Or with an object that has the list as
            "annotations", and "images" with their "id" and perhaps "frame_id" from 0, as COCO-VID
            has; otherwise the images are the frames in order. A missing score is 1.
        size: Width and height of a frame, pixels, if known.

    Returns:
        (N, 6) float32 ``x1, y1, x2, y2, score, class`` for each frame with detections; pixels.

    Warns:
        UserWarning: The numbers look as if they had another meaning.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is malformed.
    """
    content = reading.read_any_json(path, _MOST)
    numbers = None
    if not isinstance(content, (dict, list)):
        raise ValueError(f"{path}: expected a list or an object, got {content!r:.200}")
    if isinstance(content, dict):
        images = content.get("images")
        content = content.get("annotations")
        if not isinstance(images, list) or not isinstance(content, list):
            raise ValueError(f'{path}: expected "images" and "annotations", got neither or one')
        numbers = _numbers(path, images)
    frames: list[int] = []
    rows: list[tuple[float, ...]] = []
    for k, found in enumerate(content):
        try:
            left, top, width, height = map(float, found["bbox"])
            frame = found["image_id"] if numbers is None else numbers[found["image_id"]]
            score, kind = float(found.get("score", 1)), float(found["category_id"])
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ValueError(f"{path}: {_EXPECTED}, got {found!r:.200} at place {k}") from None
        row = (left, top, left + width, top + height, score, kind)
        right = type(frame) is int and 1 <= frame <= MOST_FRAMES and kind.is_integer()
        if not (right and width > 0 < height and all(abs(number) <= 1e9 for number in row)):
            raise ValueError(f"{path}: {_EXPECTED}, got {found!r:.200} at place {k}")
        frames.append(frame)
        rows.append(row)
    table = np.array(rows, np.float32).reshape(-1, 6)
    if (reason := doubt(table[:, :4], table[:, 4], size)) is not None:
        warnings.warn(f"{path}: {reason}", stacklevel=2)
    order = np.argsort(frames, kind="stable")
    numbered, starts = np.unique(np.array(frames, np.int64)[order], return_index=True)
    parts = np.split(table[order], starts[1:])
    return dict(zip(numbered.tolist(), parts, strict=True)) if frames else {}


def _numbers(path: str | os.PathLike[str], images: list[Any]) -> dict[Any, int]:
    """Return the frame number of each image, by the image's id."""
    numbers: dict[Any, int] = {}
    for k, image in enumerate(images):
        try:
            numbers[image["id"]] = 1 + image.get("frame_id", k)
        except (TypeError, KeyError, AttributeError):
            raise ValueError(
                f"{path}: expected images with an id and a whole frame_id, got {image!r:.200}"
            ) from None
    return numbers


@contextmanager
def coco_video(path: Path, clip: Clip) -> Iterator[Add]:
    """Open a file of COCO-VID, with the extra ``score`` where a detection confirms the box."""
    width, height = clip.size or (0, 0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def add(result: FrameResult) -> None:
        images.append(
            {
                "id": result.frame,
                "video_id": 1,
                "frame_id": result.frame - 1,
                "file_name": f"{clip.name}/{result.frame:06d}.jpg",
                "width": width,
                "height": height,
            }
        )
        kinds = [0] * len(result.ids) if result.classes is None else result.classes.tolist()
        for identity, (x1, y1, x2, y2), score, kind in zip(
            result.ids.tolist(), result.boxes.tolist(), result.scores.tolist(), kinds, strict=True
        ):
            box = [round(side, 2) for side in (x1, y1, x2 - x1, y2 - y1)]
            row = {
                "id": len(annotations) + 1,
                "image_id": result.frame,
                "video_id": 1,
                "instance_id": identity,
                "category_id": kind,
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
            }
            annotations.append(row if np.isnan(score) else {**row, "score": short(score)})

    with files.replacing(path) as file:
        yield add
        kinds = {row["category_id"] for row in annotations} | set(clip.classes)
        video = {"id": 1, "name": clip.name, "width": width, "height": height}
        json.dump(
            {
                "videos": [{**video, "fps": clip.frame_rate}],
                "images": images,
                "annotations": annotations,
                "categories": [{"id": k, "name": clip.class_name(k)} for k in sorted(kinds)],
            },
            file,
            ensure_ascii=False,
        )
