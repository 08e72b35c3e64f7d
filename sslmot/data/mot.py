"""Read and write the MOTChallenge format (MOT15, MOT16, MOT17, MOT20).

A sequence is a folder with ``seqinfo.ini``, detections in ``det/det.txt``, ground truth in
``gt/gt.txt`` and frames in ``img1/``. In the files, frames and pixels count from 1, and a box is
left, top, width, height. In this module, frames count from 1 and boxes are 0-based xyxy:
``x1 = left - 1`` and ``x2 = x1 + width``. Two decimals are exact after conversion to float32 and
back, up to 65,536 pixels.

The columns of the text files:

- Detections: ``frame,-1,left,top,width,height,score``, then nothing, ``class``,
  ``class,visibility``, ``class,-1,-1`` or ``x,y,z``. A class of -1 in all lines means no class.
- Results: the same, with an id as the second column.
- Ground truth: ``frame,id,left,top,width,height,considered,class,visibility``, or
  ``frame,id,left,top,width,height,considered,x,y,z`` in MOT15.

``x,y,z`` is a position in the world, which is ignored. The ninth and tenth columns tell it from a
class: they are -1 in all lines beside a class. All lines of a file have the same number of columns.
A byte order mark, blank lines and a comma at the end of a line are accepted. A box may have no
width or no height, as a box that a detector clips to the picture, but no negative one.
"""

from __future__ import annotations

import configparser
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from sslmot import files, reading
from sslmot.data.image_files import SUFFIXES, read_image
from sslmot.plausible import doubt
from sslmot.types import ArrayLike, Boxes, Frame

Detector: TypeAlias = Literal["DPM", "FRCNN", "SDP"]
"""The public detectors of MOT17. Each sequence exists in a variant for each detector."""

PEDESTRIAN = 1
"""The class that MOTChallenge scores."""

MOST_FRAMES = 10**7
"""Limit of frames per clip: four days at 30 frames a second. Tracking and scoring visit each."""

LARGEST_NUMBER = 1e9
"""Limit of the numbers of a detection, which is that of `Tracker.step`."""

T = TypeVar("T")

_MOST_INI = 2**16  # limit of bytes of seqinfo.ini


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated boxes of a sequence, one row per box, in the order of the file.

    Attributes:
        frames: (G,) int64, from 1.
        ids: (G,) int64, the person. An id occurs once per frame.
        boxes: (G, 4) float32, xyxy pixels, 0-based.
        considered: (G,) bool, False if scoring ignores the row.
        classes: (G,) int64. Only `PEDESTRIAN` is scored. MOT15 has no other class.
        visibility: (G,) float32, 0 (hidden) to 1. MOT15 does not store it, so it is 1 there.
    """

    frames: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    boxes: Boxes
    considered: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.int64]
    visibility: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


class FrameResult(NamedTuple):
    """The tracks of one frame.

    Attributes:
        frame: Frame number, from 1.
        ids: (N,) int64.
        boxes: (N, 4) float32, xyxy pixels, 0-based.
        scores: (N,) float32, NaN for boxes that no detection confirms.
        classes: (N,) int32; None where detections have none.
    """

    frame: int
    ids: npt.NDArray[np.int64]
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32] | None = None


class Stated(NamedTuple):
    """The lines of ``seqinfo.ini`` that scoring does not need. None for a missing line.

    Attributes:
        frame_rate: Frames per second.
        width: Width of a frame, pixels.
        height: Height of a frame, pixels.
    """

    frame_rate: float | None
    width: int | None
    height: int | None


@dataclass(frozen=True)
class Sequence:
    """A MOTChallenge sequence: the fields of ``seqinfo.ini``, and readers of the other files.

    Attributes:
        path: Folder of the sequence.
        name: Name of the folder, also used for result files.
        length: Number of frames, which are numbered 1 to ``length``.
        stated: Frame rate and size, where the file says them.
        image_dir: Folder of the frames.
        image_ext: Suffix of a frame's file, with the dot.
    """

    path: Path
    name: str
    length: int
    stated: Stated
    image_dir: Path
    image_ext: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Sequence:
        """Read ``seqinfo.ini``. The methods read the other files.

        Only ``seqLength`` is required.

        Raises:
            FileNotFoundError: ``path`` has no ``seqinfo.ini``.
            ValueError: The length is missing, or a field is not a positive number.
        """
        path = Path(path).absolute()
        ini = _existing(path / "seqinfo.ini", "a sequence")
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(reading.read_text(ini, _MOST_INI).removeprefix("\ufeff"))
            fields = parser["Sequence"]
        except (configparser.Error, KeyError) as error:
            raise ValueError(f"{ini}: expected a section [Sequence], got {error}") from error

        def positive(key: str, most: float = 2**31 - 1) -> float:
            text = fields.get(key, "nothing")
            try:
                value = float(text)
            except ValueError:
                value = 0
            # MOT15 has a sequence with 2.5 frames a second. The other fields are integers.
            if not (0 < value <= most and (key == "frameRate" or value % 1 == 0)):
                limit = f" of at most {most:g}" if value > most else ""
                raise ValueError(f"{ini}: {key}: expected a positive number{limit}, got {text}")
            return value

        extension = fields.get("imExt", ".jpg")
        return cls(
            path=path,
            name=path.name,
            length=int(positive("seqLength", MOST_FRAMES)),
            stated=Stated(
                frame_rate=positive("frameRate") if "frameRate" in fields else None,
                width=int(positive("imWidth")) if "imWidth" in fields else None,
                height=int(positive("imHeight")) if "imHeight" in fields else None,
            ),
            image_dir=path / fields.get("imDir", "img1"),
            image_ext=extension if extension.startswith(".") else f".{extension}",
        )

    @property
    def frame_rate(self) -> float:
        """Frames per second.

        Raises:
            ValueError: ``seqinfo.ini`` does not say it.
        """
        return self._required("frameRate", self.stated.frame_rate)

    @property
    def width(self) -> int:
        """Width of a frame, pixels.

        Raises:
            ValueError: ``seqinfo.ini`` does not say it.
        """
        return self._required("imWidth", self.stated.width)

    @property
    def height(self) -> int:
        """Height of a frame, pixels.

        Raises:
            ValueError: ``seqinfo.ini`` does not say it.
        """
        return self._required("imHeight", self.stated.height)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of a frame, pixels, or None if ``seqinfo.ini`` does not say them."""
        _, width, height = self.stated
        return None if width is None or height is None else (width, height)

    @property
    def detections_path(self) -> Path:
        """File of the public detections."""
        return self.path / "det" / "det.txt"

    @property
    def ground_truth_path(self) -> Path:
        """File of the annotations. Test sequences have none."""
        return self.path / "gt" / "gt.txt"

    @property
    def has_frames(self) -> bool:
        """Whether the file of a frame exists."""
        return bool(self._frame_files)

    @property
    def expected_frames(self) -> str:
        """Text for an error about missing frames: an expected file, and a file that was found."""
        names = sorted(_files_in(self.image_dir))
        names = [name for name in names if name.lower().endswith(SUFFIXES)] or names
        found = f"only files such as {names[0]}" if names else "none"
        return f"expected frames such as {self._usual_path(1)}, found {found}"

    def detections(self) -> EveryFrame:
        """Read the public detections of frames 1 to ``length``, see `read_detections`."""
        found = _read_found(self.detections_path, self.length, self.size)
        return EveryFrame(found, self.length)

    def ground_truth(self) -> GroundTruth:
        """Read the annotations.

        Raises:
            FileNotFoundError: ``gt/gt.txt`` does not exist.
            ValueError: A line is malformed (``path:line: expected ..., got ...``).
        """
        rows = self.ground_truth_rows()
        # Ten columns mean MOT15, which has a world position but no class and no visibility.
        classes, visibility = (
            (rows[:, 7], rows[:, 8]) if rows.shape[1] == 9 else np.ones((2, len(rows)))
        )
        return GroundTruth(
            frames=rows[:, 0].astype(np.int64),
            ids=rows[:, 1].astype(np.int64),
            boxes=_to_xyxy(rows),
            # Truncate to an integer first, as TrackEval does.
            considered=rows[:, 6].astype(np.int64) != 0,
            classes=classes.astype(np.int64),
            visibility=visibility.astype(np.float32),
        )

    def ground_truth_rows(self) -> npt.NDArray[np.float64]:
        """Read the annotations as they are in the file: (G, 9) float64, or (G, 10) in MOT15.

        Raises:
            FileNotFoundError: ``gt/gt.txt`` does not exist.
            ValueError: A line is malformed (``path:line: expected ..., got ...``).
        """
        path = _existing(self.ground_truth_path, f"the ground truth of {self.name}")
        return _read(path, (9, 10), self.length, ids=True)

    def frame(self, t: int) -> Frame:
        """Read frame ``t``.

        Its file is named by its number. The number of digits, and upper case in the suffix, do not
        matter: MOTChallenge has six digits, SportsMOT too, DanceTrack eight.

        Args:
            t: 1 to ``length``.

        Returns:
            (height, width, 3) uint8, BGR.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: ``t`` is out of range, the file is not a whole readable image, or its size
                differs from ``seqinfo.ini``.
        """
        if not 1 <= t <= self.length:
            raise ValueError(f"t: expected a frame of {self.name}, 1 to {self.length}, got {t}")
        path = self._frame_files.get(t) or self._usual_path(t)
        image = read_image(_existing(path, f"frame {t} of {self.name}"))
        height, width = image.shape[:2]
        if self.size not in (None, (width, height)):
            raise ValueError(
                f"{path}: expected an image {(self.height, self.width, 3)} as seqinfo.ini says, "
                f"got {image.shape}"
            )
        return image

    @cached_property
    def _frame_files(self) -> dict[int, Path]:
        """The files of the frames that exist."""
        files: dict[int, Path] = {}
        for name in _files_in(self.image_dir):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122
            if not (stem.isascii() and stem.isdecimal() and suffix.lower() in SUFFIXES):
                continue
            path, t = self.image_dir / name, int(stem[-18:])
            if 1 <= t <= self.length and (t not in files or path == self._usual_path(t)):
                files[t] = path
        return files

    def _usual_path(self, t: int) -> Path:
        return self.image_dir / f"{t:06d}{self.image_ext}"

    def _required(self, key: str, value: T | None) -> T:
        if value is None:
            raise ValueError(
                f"{self.path / 'seqinfo.ini'}: {key}: expected a positive number, got nothing"
            )
        return value


class EveryFrame(Mapping[int, npt.NDArray[np.float32]]):
    """Maps frames 1 to ``length`` to their detections. Frames without any take no memory.

    Args:
        found: (N, 5 or 6) float32 for each frame with detections.
        length: Number of frames.

    Attributes:
        found: As given.
    """

    def __init__(self, found: Mapping[int, npt.NDArray[np.float32]], length: int) -> None:
        self.found = found
        self._length = length
        self._nothing = next(iter(found.values()), np.empty((0, 5), np.float32))[:0].copy()
        self._nothing.flags.writeable = False  # all frames share it

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, self._length + 1))

    def __contains__(self, t: object) -> bool:
        return isinstance(t, (int, np.integer)) and bool(1 <= t <= self._length)

    def __getitem__(self, t: int) -> npt.NDArray[np.float32]:
        if t not in self:
            raise KeyError(t)
        return self.found.get(t, self._nothing)


def sequences(
    root: str | os.PathLike[str],
    names: str | Iterable[str] | None = None,
    detector: Detector | None = None,
) -> list[Sequence]:
    """Open the sequences of a folder, sorted by name.

    Args:
        root: A folder of sequences such as ``MOT17/train``, or one sequence.
        names: Full names, or parts of names between dashes: ``"09"`` and ``"MOT17-09"`` both select
            ``MOT17-09-FRCNN``. All by default.
        detector: Variant of MOT17. All by default.

    Raises:
        FileNotFoundError: ``root`` contains no sequence.
        ValueError: A name or the detector selects nothing. The error lists the sequences.
    """
    root = Path(root)
    here = root / "seqinfo.ini"
    found = [here] if reading.is_file(here) else sorted(root.glob("*/seqinfo.ini"))
    if not found:
        raise FileNotFoundError(
            f"{root}: expected a sequence (with seqinfo.ini) or a folder of sequences, found "
            + ("none" if root.is_dir() else "no such folder")
        )
    selected = [Sequence.open(ini.parent) for ini in found]
    if detector is not None:
        if detector not in get_args(Detector):
            raise ValueError(f"detector: expected DPM, FRCNN or SDP, got {detector!r}")
        selected = _matching(detector, selected, f"detector: expected one that {root} has")
    if names is not None:
        names = [names] if isinstance(names, str) else names
        wanted = {
            sequence.name
            for name in names
            for sequence in _matching(name, selected, f"sequences: expected some of {root}")
        }
        selected = [sequence for sequence in selected if sequence.name in wanted]
    return selected


def read_detections(
    path: str | os.PathLike[str],
    length: int | None = None,
    size: tuple[int, int] | None = None,
) -> Mapping[int, npt.NDArray[np.float32]]:
    """Read detections in the MOTChallenge format: ``frame,-1,left,top,width,height,score``.

    The module describes the columns after the score: nothing, a class, or a position in the world.
    If all scores are -1 (unknown), they are read as 1.

    Args:
        path: The file. An empty file means no detections.
        length: Number of frames of the sequence, if known.
        size: Width and height of a frame, pixels, if known.

    Returns:
        (N, 5) float32 ``x1, y1, x2, y2, score`` for each frame, or (N, 6) with the class, in the
        order of the file; pixels, 0-based. The frames are 1 to ``length``, or those with
        detections if ``length`` is None.

    Warns:
        UserWarning: The numbers look as if they had another meaning, see
            :func:`sslmot.plausible.doubt`.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line is malformed (``path:line: expected ..., got ...``).
    """
    found = _read_found(Path(path), length, size)
    return found if length is None else EveryFrame(found, length)


def _read_found(
    path: Path, length: int | None, size: tuple[int, int] | None
) -> dict[int, npt.NDArray[np.float32]]:
    """Read the detections of the frames that have some."""
    rows = _read(_existing(path, "detections"), (7, 8, 9, 10), length, ids=False)
    scores = rows[:, 6:7]
    if (scores == -1).all():
        scores = np.ones_like(scores)
    boxes, classes = _to_xyxy(rows), _classes(rows)
    # One pixel back: normalised boxes are not 1-based.
    if (reason := doubt(boxes + 1, scores[:, 0], size)) is not None:
        warnings.warn(f"{path}: {reason}", stacklevel=3)
    columns: list[npt.NDArray[Any]] = [boxes, scores]
    if classes is not None:
        columns.append(classes[:, None])
    frames = np.unique(rows[:, 0]).astype(int).tolist()
    return _by_frame(rows[:, 0], np.hstack(columns).astype(np.float32), frames)


def read_results(path: str | os.PathLike[str], length: int | None = None) -> list[FrameResult]:
    """Read tracking results in the MOTChallenge format.

    Args:
        path: A file with lines ``frame,id,left,top,width,height,score``. The module describes the
            columns after the score: nothing, a class, or a position in the world. A score of -1 is
            read as NaN.
        length: Number of frames of the sequence, if known.

    Returns:
        The frames with tracks, in order.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line is malformed, or an id occurs twice in a frame
            (``path:line: expected ..., got ...``).
    """
    rows = results_rows(path, length)
    frames = np.unique(rows[:, 0]).astype(int).tolist()
    ids = _by_frame(rows[:, 0], rows[:, 1].astype(np.int64), frames)
    boxes = _by_frame(rows[:, 0], _to_xyxy(rows), frames)
    known = np.where(rows[:, 6] == -1, np.nan, rows[:, 6]).astype(np.float32)
    scores = _by_frame(rows[:, 0], known, frames)
    column = _classes(rows)
    # Programs for scoring ignore the column, so that it may hold anything.
    if column is None or (column % 1 != 0).any():
        return [FrameResult(t, ids[t], boxes[t], scores[t]) for t in frames]
    classes = _by_frame(rows[:, 0], column.astype(np.int32), frames)
    return [FrameResult(t, ids[t], boxes[t], scores[t], classes[t]) for t in frames]


def results_rows(
    path: str | os.PathLike[str], length: int | None = None
) -> npt.NDArray[np.float64]:
    """Read results as they are in the file: (R, 7 to 10) float64.

    Args:
        path: As for `read_results`.
        length: As for `read_results`.

    Raises:
        FileNotFoundError: As for `read_results`.
        ValueError: As for `read_results`.
    """
    return _read(_existing(Path(path), "results"), (7, 8, 9, 10), length, ids=True)


def write_results(
    path: str | os.PathLike[str],
    results: Iterable[tuple[Any, ...]],
) -> None:
    """Write tracking results in the MOTChallenge format, see `results_file`.

    The write is atomic: after an error, also in the iterator, an old file is unchanged.

    Args:
        path: The file.
        results: For each frame what `FrameResult` has. May be a generator.

    Raises:
        ValueError: As :func:`checked`.
    """
    seen: set[int] = set()
    with results_file(path) as add:
        for result in results:
            add(checked(result, seen))


@contextmanager
def results_file(path: str | os.PathLike[str]) -> Iterator[Callable[[FrameResult], Any]]:
    """Open a file of results in the MOTChallenge format, which replaces the target at the end.

    Lines are ``frame,id,left,top,width,height,score,class,-1,-1``; frames and pixels count from 1.
    The class is -1 where detections have none, and the score is where it is NaN.

    Args:
        path: The file.

    Yields:
        A function that writes the tracks of a frame, which are :func:`checked`.
    """

    def lines(result: FrameResult) -> Iterator[str]:
        scores = np.where(np.isnan(result.scores), -1, result.scores).tolist()
        classes = [-1] * len(result.ids) if result.classes is None else result.classes.tolist()
        for identity, box, score, kind in zip(
            result.ids.tolist(), _formatted(result.boxes), scores, classes, strict=True
        ):
            yield f"{result.frame},{identity},{box},{score:.6g},{kind},-1,-1\n"

    with files.replacing(path) as file:
        # In one piece, so that Ctrl-C leaves no part of a frame.
        yield lambda result: file.write("".join(lines(result)))


def checked(result: tuple[Any, ...], seen: set[int]) -> FrameResult:
    """Check the tracks of a frame before they are written.

    Args:
        result: What `FrameResult` has; the columns may be lists.
        seen: The frames before. The frame is added to it.

    Raises:
        ValueError: Shapes disagree, a number is not finite (scores may be NaN) or out of range, or
            a frame or an id occurs twice.
    """
    frame, *given = FrameResult(*result)
    if frame < 1 or frame in seen:
        raise ValueError(f"results: expected frames from 1, each once, got {frame}")
    where = f"results, frame {frame}: expected"
    columns: list[npt.NDArray[Any]] = [np.asarray(column, np.float64) for column in given[:3]]
    ids, boxes, scores = columns
    classes = np.zeros(len(ids)) if given[3] is None else np.asarray(given[3], np.float64)
    shapes = {ids.shape, scores.shape, classes.shape}
    if boxes.shape != (len(boxes), 4) or shapes != {(len(boxes),)}:
        got = f"{ids.shape}, {boxes.shape}, {scores.shape}, {classes.shape}"
        raise ValueError(f"{where} ids (N,), boxes (N, 4), scores (N,), classes (N,), got {got}")
    whole = np.column_stack([ids, classes])
    right = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
    right &= ~np.isinf(scores) & (whole == whole.round()).all(axis=1)
    right &= (whole >= 0).all(axis=1) & (whole < 2**31).all(axis=1)
    if not right.all():
        got = np.column_stack([ids, boxes, scores, classes])[~right][0].tolist()
        raise ValueError(
            f"{where} whole ids and classes in [0, 2**31), finite xyxy and scores, got {got}"
        )
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"{where} an id once, got {ids.astype(int).tolist()}")
    seen.add(frame)
    return FrameResult(
        frame,
        ids.astype(np.int64),
        boxes,
        scores.astype(np.float32),
        None if given[3] is None else classes.astype(np.int32),
    )


def write_detections(path: str | os.PathLike[str], detections: Mapping[int, ArrayLike]) -> None:
    """Write detections as ``frame,-1,left,top,width,height,score[,class]``.

    Args:
        path: The file. The write is atomic.
        detections: (N, 5) ``x1, y1, x2, y2, score`` or (N, 6) with a class for each frame number
            (from 1); pixels, 0-based.

    Raises:
        ValueError: `read_detections` would refuse the file: a shape differs, or a number is not
            finite or out of range.
    """
    width = None
    with files.replacing(path) as file:
        for frame in sorted(detections):
            if not 1 <= frame <= MOST_FRAMES:
                raise ValueError(
                    f"detections: expected frames from 1 to {MOST_FRAMES}, got {frame}"
                )
            rows = np.asarray(detections[frame], np.float64)
            where = f"detections, frame {frame}: expected"
            if rows.ndim != 2 or rows.shape[1] not in (5, 6):
                raise ValueError(f"{where} (N, 5) or (N, 6), got {rows.shape}")
            if len(rows) and rows.shape[1] != (width := width or rows.shape[1]):
                raise ValueError(f"{where} (N, {width}) as before, got {rows.shape}")
            right = (np.abs(rows) <= LARGEST_NUMBER).all(axis=1)
            right &= (rows[:, :2] <= rows[:, 2:4]).all(axis=1)
            right &= (rows[:, 5:] % 1 == 0).all(axis=1)
            if not right.all():
                got = rows[~right][0].tolist()
                raise ValueError(
                    f"{where} numbers up to {LARGEST_NUMBER:g}, xyxy and whole classes, got {got}"
                )
            file.writelines(
                f"{frame},-1,{box},{row[4]:.6g}{''.join(f',{c:.0f}' for c in row[5:])}\n"
                for box, row in zip(_formatted(rows), rows, strict=True)
            )


def write_sequence(
    root: str | os.PathLike[str],
    name: str,
    frame_rate: float,
    size: tuple[int, int],
    detections: Mapping[int, ArrayLike],
    ground_truth: GroundTruth | None = None,
) -> Sequence:
    """Write a sequence without frames. `Sequence` can read it.

    Args:
        root: Folder in which to create the folder of the sequence.
        name: Name of the sequence.
        frame_rate: Frames per second.
        size: Width and height of a frame, pixels.
        detections: Detections of all frames, from 1, as for `write_detections`.
        ground_truth: Annotations, if known.

    Returns:
        The written sequence.

    Raises:
        ValueError: Shapes disagree, or a number is not finite or out of range.
    """
    path, length = Path(root) / name, len(detections)
    if not length or set(detections) != set(range(1, length + 1)):
        raise ValueError(f"detections: expected consecutive frames from 1, got {list(detections)}")
    (path / "det").mkdir(parents=True, exist_ok=True)
    info = (
        f"[Sequence]\nname={name}\nimDir=img1\nframeRate={frame_rate:g}\nseqLength={length}\n"
        f"imWidth={size[0]}\nimHeight={size[1]}\nimExt=.jpg\n"
    )
    files.write(path / "seqinfo.ini", info.encode())
    write_detections(path / "det" / "det.txt", detections)
    sequence = Sequence.open(path)
    if ground_truth is not None:
        gt = ground_truth
        columns = gt.frames, gt.ids, _formatted(gt.boxes), gt.considered, gt.classes, gt.visibility
        with files.replacing(sequence.ground_truth_path) as file:
            file.writelines(
                f"{frame},{i},{box},{considered:d},{category},{visibility:.6g}\n"
                for frame, i, box, considered, category, visibility in zip(*columns, strict=True)
            )
        sequence.ground_truth()
    # The readers check the rules of the format, so read the files back.
    sequence.detections()
    return sequence


def _files_in(folder: Path) -> Iterator[str]:
    """Yield the names of the regular files of a folder. There are none if it cannot be read."""
    # An invalid name is a ValueError.
    with suppress(OSError, ValueError), os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if entry.is_file())


def _existing(path: Path, what: str) -> Path:
    if not reading.is_file(path):
        raise FileNotFoundError(f"{what}: expected a file {path}")
    return path


def _matching(name: str, among: list[Sequence], expected: str) -> list[Sequence]:
    """Return the sequence called ``name``, or else those with ``name`` between dashes."""
    found = [sequence for sequence in among if sequence.name == name]
    found = found or [sequence for sequence in among if f"-{name}-" in f"-{sequence.name}-"]
    if not found:
        names = ", ".join(sequence.name for sequence in among)
        raise ValueError(f"{expected} ({names}), got {name!r}")
    return found


def _read(
    path: Path, columns: tuple[int, ...], length: int | None, *, ids: bool
) -> npt.NDArray[np.float64]:
    """Read and check ``frame,id,left,top,width,height,...``.

    Args:
        path: The file.
        columns: Allowed numbers of columns. All lines must have the same number.
        length: Number of the last allowed frame, None for `MOST_FRAMES`.
        ids: Whether the second column is an id, unique in its frame.

    Returns:
        (R, C) float64, as in the file.
    """
    # Invalid UTF-8 is replaced, so it fails as a number, in an error with its line.
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = {number: line for number, line in enumerate(file, 1) if line.strip()}
    if not lines:
        return np.empty((0, columns[0]))
    rows = _parse(path, lines, columns)

    def require(right: npt.ArrayLike, expected: str) -> None:
        if not np.all(right):
            number, line = list(lines.items())[int(np.argmin(right))]
            raise ValueError(f"{path}:{number}: expected {expected}, got {line.strip()!r}")

    require((np.abs(rows) < 1e30).all(axis=1), "finite numbers")
    # Columns after the box may be converted to integers, also by TrackEval.
    require((np.abs(rows[:, 6:]) < 2**31).all(axis=1), "numbers below 2**31 after the box")
    frames, last = rows[:, 0], MOST_FRAMES if length is None else length
    require((frames % 1 == 0) & (frames >= 1) & (frames <= last), f"a frame from 1 to {last}")
    require((rows[:, 4:6] >= 0).all(axis=1), "no negative width or height")
    if not ids:
        numbers = np.hstack([_to_xyxy(rows), rows[:, 6:]])
        limit = f"numbers up to {LARGEST_NUMBER:g}"
        require((np.abs(numbers) <= LARGEST_NUMBER).all(axis=1), limit)
        classes = _classes(rows)
        require(classes is None or classes % 1 == 0, "a whole class")
        return rows
    # TrackEval allocates tables with a row for each id up to the largest.
    require((rows[:, 1] % 1 == 0) & (rows[:, 1] >= 0) & (rows[:, 1] < 1e7), "a whole id below 1e7")
    order = np.lexsort((rows[:, 1], frames))
    first = np.ones(len(rows), np.bool_)
    first[order[1:]] = (rows[order[1:], :2] != rows[order[:-1], :2]).any(axis=1)
    require(first, "an id once a frame")
    return rows


def _parse(
    path: Path, lines: Mapping[int, str], columns: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Parse lines, given by their numbers."""
    with suppress(ValueError):  # fast
        rows = np.loadtxt(list(lines.values()), delimiter=",", comments=None, ndmin=2)
        if rows.shape[1] in columns:
            return rows
    # A comma at the end, or something is wrong. Parse line by line to find the line.
    parsed = []
    for number, line in lines.items():
        where, got = f"{path}:{number}: expected", line.strip()
        fields = got.removesuffix(",").split(",")
        if len(fields) not in columns:
            raise ValueError(f"{where} {' or '.join(map(str, columns))} columns, got {got!r}")
        columns = (len(fields),)  # the next lines must have the same number
        try:
            parsed.append([float(field) for field in fields])
        except ValueError as error:
            raise ValueError(f"{where} numbers, got {got!r}") from error
    return np.array(parsed)


def _classes(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the class column of detections or results, None if the file has no classes."""
    position = rows[:, 8:].shape[1] == 2 and (rows[:, 8:] != -1).any()
    if rows.shape[1] < 8 or position or (rows[:, 7] == -1).all():
        return None
    return rows[:, 7]


def _to_xyxy(rows: npt.NDArray[np.float64]) -> Boxes:
    """Convert columns 2 to 5, 1-based left, top, width, height, to 0-based xyxy."""
    corner = rows[:, 2:4] - 1
    return np.hstack([corner, corner + rows[:, 4:6]]).astype(np.float32)


def _formatted(boxes: npt.NDArray[Any]) -> list[str]:
    """Format boxes for the files: 1-based ``left,top,width,height``, two decimals."""
    corner, end = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64)
    # Adding zero turns -0 into 0.
    ltwh = np.hstack([corner + 1, end - corner]).round(2) + 0.0
    return ["{:.2f},{:.2f},{:.2f},{:.2f}".format(*box) for box in ltwh.tolist()]


def _by_frame(
    frames: npt.NDArray[np.float64], rows: npt.NDArray[Any], wanted: list[int]
) -> dict[int, npt.NDArray[Any]]:
    """Group rows by frame, for the wanted frames, in the order of the file."""
    order = np.argsort(frames, kind="stable")
    starts = np.searchsorted(frames[order], wanted, "left")
    ends = np.searchsorted(frames[order], wanted, "right")
    rows = rows[order]
    return {t: rows[start:end] for t, start, end in zip(wanted, starts, ends, strict=True)}
