"""Read and write the MOTChallenge format (MOT15, MOT16, MOT17, MOT20).

A sequence is a folder with ``seqinfo.ini``, detections in ``det/det.txt``, ground truth in
``gt/gt.txt`` and frames in ``img1/``. In the files, frames and pixels count from 1, and a box is
left, top, width, height. In this module, frames count from 1 and boxes are 0-based xyxy:
``x1 = left - 1`` and ``x2 = x1 + width``. Two decimals are exact after conversion to float32 and
back, up to 65,536 pixels.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sslmot import files, reading
from sslmot.data.image_files import read_image
from sslmot.types import ArrayLike, Boxes, Frame

Detector: TypeAlias = Literal["DPM", "FRCNN", "SDP"]
"""The public detectors of MOT17. Each sequence exists in a variant for each detector."""

PEDESTRIAN = 1
"""The class that MOTChallenge scores."""

MOST_FRAMES = 10**7
"""Limit of frames per clip: four days at 30 frames a second. Tracking and scoring visit each."""

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


@dataclass(frozen=True)
class Sequence:
    """A MOTChallenge sequence: the fields of ``seqinfo.ini``, and readers of the other files.

    Attributes:
        path: Folder of the sequence.
        name: Name of the folder, also used for result files.
        frame_rate: Frames per second.
        length: Number of frames, which are numbered 1 to ``length``.
        width: Width of a frame, pixels.
        height: Height of a frame, pixels.
        image_dir: Folder of the frames.
        image_ext: Suffix of a frame's file, with the dot.
    """

    path: Path
    name: str
    frame_rate: float
    length: int
    width: int
    height: int
    image_dir: Path
    image_ext: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Sequence:
        """Read ``seqinfo.ini``. The methods read the other files.

        Raises:
            FileNotFoundError: ``path`` has no ``seqinfo.ini``.
            ValueError: A field is missing or is not a positive number.
        """
        path = Path(path).absolute()
        ini = _existing(path / "seqinfo.ini", "a sequence")
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(reading.read_text(ini, _MOST_INI))
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

        return cls(
            path=path,
            name=path.name,
            frame_rate=positive("frameRate"),
            length=int(positive("seqLength", MOST_FRAMES)),
            width=int(positive("imWidth")),
            height=int(positive("imHeight")),
            image_dir=path / fields.get("imDir", "img1"),
            image_ext=fields.get("imExt", ".jpg"),
        )

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
        """Whether the first frame exists."""
        return reading.is_file(self._frame_path(1))

    def detections(self) -> EveryFrame:
        """Read the public detections of frames 1 to ``length``, see `read_detections`."""
        return EveryFrame(_read_found(self.detections_path, self.length), self.length)

    def ground_truth(self) -> GroundTruth:
        """Read the annotations.

        Raises:
            FileNotFoundError: ``gt/gt.txt`` does not exist.
            ValueError: A line is malformed (``path:line: expected ..., got ...``).
        """
        path = _existing(self.ground_truth_path, f"the ground truth of {self.name}")
        rows = _read(path, (9, 10), self.length, ids=True)
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

    def frame(self, t: int) -> Frame:
        """Read frame ``t``.

        Args:
            t: 1 to ``length``.

        Returns:
            (height, width, 3) uint8, BGR.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: ``t`` is out of range, the file is not a readable image, or its size differs
                from ``seqinfo.ini``.
        """
        if not 1 <= t <= self.length:
            raise ValueError(f"t: expected a frame of {self.name}, 1 to {self.length}, got {t}")
        path = _existing(self._frame_path(t), f"frame {t} of {self.name}")
        image = read_image(path)
        expected = (self.height, self.width, 3)
        if image.shape != expected:
            raise ValueError(
                f"{path}: expected an image {expected} as seqinfo.ini says, got {image.shape}"
            )
        return image

    def _frame_path(self, t: int) -> Path:
        return self.image_dir / f"{t:06d}{self.image_ext}"


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
    path: str | os.PathLike[str], length: int | None = None
) -> Mapping[int, npt.NDArray[np.float32]]:
    """Read detections in the MOTChallenge format: ``frame,-1,left,top,width,height,score``.

    With eight or nine columns, the eighth is the class. If it is -1 in all lines, there is no
    class. Files of MOT15, MOT16 and MOT20 have ten columns. The last three are a world position or
    -1, and are ignored. If all scores are -1 (unknown), they are read as 1.

    Args:
        path: The file. An empty file means no detections.
        length: Number of frames of the sequence, if known.

    Returns:
        (N, 5) float32 ``x1, y1, x2, y2, score`` for each frame, or (N, 6) with the class, in the
        order of the file; pixels, 0-based. The frames are 1 to ``length``, or those with
        detections if ``length`` is None.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line is malformed (``path:line: expected ..., got ...``).
    """
    found = _read_found(Path(path), length)
    return found if length is None else EveryFrame(found, length)


def _read_found(path: Path, length: int | None) -> dict[int, npt.NDArray[np.float32]]:
    """Read the detections of the frames that have some."""
    rows = _read(_existing(path, "detections"), (7, 8, 9, 10), length, ids=False)
    scores = rows[:, 6:7]
    if (scores == -1).all():
        scores = np.ones_like(scores)
    columns: list[npt.NDArray[Any]] = [_to_xyxy(rows), scores]
    if rows.shape[1] in (8, 9) and (rows[:, 7] != -1).any():
        columns.append(rows[:, 7:8])
    frames = np.unique(rows[:, 0]).astype(int).tolist()
    return _by_frame(rows[:, 0], np.hstack(columns).astype(np.float32), frames)


def read_results(path: str | os.PathLike[str], length: int | None = None) -> list[FrameResult]:
    """Read tracking results in the MOTChallenge format.

    Args:
        path: A file with lines ``frame,id,left,top,width,height,score``. Up to three more columns
            are ignored.
        length: Number of frames of the sequence, if known.

    Returns:
        The frames with tracks, in order.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line is malformed, or an id occurs twice in a frame
            (``path:line: expected ..., got ...``).
    """
    path = _existing(Path(path), "results")
    rows = _read(path, (7, 8, 9, 10), length, ids=True)
    frames = np.unique(rows[:, 0]).astype(int).tolist()
    ids = _by_frame(rows[:, 0], rows[:, 1].astype(np.int64), frames)
    boxes = _by_frame(rows[:, 0], _to_xyxy(rows), frames)
    scores = _by_frame(rows[:, 0], rows[:, 6].astype(np.float32), frames)
    return [FrameResult(frame, ids[frame], boxes[frame], scores[frame]) for frame in frames]


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
def results_file(path: str | os.PathLike[str]) -> Iterator[Callable[[FrameResult], None]]:
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
        yield lambda result: file.writelines(lines(result))


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
        ValueError: A shape is wrong.
    """
    with files.replacing(path) as file:
        for frame in sorted(detections):
            rows = np.asarray(detections[frame], np.float64)
            if rows.ndim != 2 or rows.shape[1] not in (5, 6):
                raise ValueError(
                    f"detections, frame {frame}: expected (N, 5) or (N, 6), got {rows.shape}"
                )
            file.writelines(
                f"{frame},-1,{box},{','.join(f'{value:.6g}' for value in rest)}\n"
                for box, rest in zip(_formatted(rows), rows[:, 4:], strict=True)
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
        ids: Whether the second column is an id, unique in its frame. Boxes with ids may have no
            area, since scoring ignores such boxes. Detections must have an area.

    Returns:
        (R, C) float64, as in the file.
    """
    # Invalid UTF-8 is replaced, so it fails as a number, in an error with its line.
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = list(file)
    if not lines:
        return np.empty((0, columns[0]))
    rows = _parse(path, lines, columns)

    def require(right: npt.ArrayLike, expected: str) -> None:
        if not np.all(right):
            line = int(np.argmin(right))
            raise ValueError(f"{path}:{line + 1}: expected {expected}, got {lines[line].strip()!r}")

    require((np.abs(rows) < 1e30).all(axis=1), "finite numbers")
    # Columns after the box may be converted to integers, also by TrackEval.
    require((np.abs(rows[:, 6:]) < 2**31).all(axis=1), "numbers below 2**31 after the box")
    frames, last = rows[:, 0], MOST_FRAMES if length is None else length
    require((frames % 1 == 0) & (frames >= 1) & (frames <= last), f"a frame from 1 to {last}")
    if not ids:
        boxes = _to_xyxy(rows)
        require((boxes[:, :2] < boxes[:, 2:]).all(axis=1), "a positive width and height")
        # The limit of Tracker.step.
        numbers = np.hstack([boxes, rows[:, 6:]])
        require((np.abs(numbers) <= 1e9).all(axis=1), "numbers up to 1e9")
        return rows
    require((rows[:, 4:6] >= 0).all(axis=1), "no negative width or height")
    # TrackEval allocates tables with a row for each id up to the largest.
    require((rows[:, 1] % 1 == 0) & (rows[:, 1] >= 0) & (rows[:, 1] < 1e7), "a whole id below 1e7")
    order = np.lexsort((rows[:, 1], frames))
    first = np.ones(len(rows), np.bool_)
    first[order[1:]] = (rows[order[1:], :2] != rows[order[:-1], :2]).any(axis=1)
    require(first, "an id once a frame")
    return rows


def _parse(path: Path, lines: list[str], columns: tuple[int, ...]) -> npt.NDArray[np.float64]:
    # loadtxt is fast, but it skips blank lines, so that rows would not match line numbers.
    if all(map(str.strip, lines)):
        with suppress(ValueError):
            rows = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
            if rows.shape[1] in columns:
                return rows
    # Something is wrong. Parse line by line to find the line.
    parsed = []
    for number, line in enumerate(lines, 1):
        where, got = f"{path}:{number}: expected", line.strip()
        fields = line.split(",")
        if len(fields) not in columns:
            raise ValueError(f"{where} {' or '.join(map(str, columns))} columns, got {got!r}")
        columns = (len(fields),)  # the next lines must have the same number
        try:
            parsed.append([float(field) for field in fields])
        except ValueError as error:
            raise ValueError(f"{where} numbers, got {got!r}") from error
    return np.array(parsed)


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
