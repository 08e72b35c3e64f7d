"""MOTChallenge sequences (MOT15, MOT16, MOT17, MOT20): what is read and what is written.

A sequence is a folder: ``seqinfo.ini``, detections in ``det/det.txt``, ground truth in
``gt/gt.txt``, frames in ``img1/``. The files count frames and pixels from 1 and hold left, top,
width, height; here frames count from 1 and boxes are 0-based xyxy: ``x1 = left - 1`` and
``x2 = x1 + width``. Two decimals survive the way through float32 and back, up to 65,536 pixels.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sslmot import files, reading
from sslmot.data.image_files import read_image
from sslmot.types import ArrayLike, Boxes, Frame

Detector: TypeAlias = Literal["DPM", "FRCNN", "SDP"]
"""The public detectors of MOT17, each a variant of every sequence."""

PEDESTRIAN = 1
"""The class that MOTChallenge scores."""

MOST_FRAMES = 10**7
"""Of a clip: four days at 30 frames a second. Those who track or score look at each of them."""

_MOST_INI = 2**16  # bytes of seqinfo.ini


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated boxes of a sequence, one row a box, in the order of the file.

    Attributes:
        frames: (G,) int64, from 1.
        ids: (G,) int64, the person; once a frame.
        boxes: (G, 4) float32, xyxy pixels, 0-based.
        considered: (G,) bool, False where scoring ignores the row.
        classes: (G,) int64, `PEDESTRIAN` is scored. MOT15 annotates nothing else.
        visibility: (G,) float32, 0 (hidden) to 1. MOT15 does not say: 1 there.
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
        frame: from 1.
        ids: (N,) int64.
        boxes: (N, 4) float32, xyxy pixels, 0-based.
        scores: (N,) float32.
    """

    frame: int
    ids: npt.NDArray[np.int64]
    boxes: Boxes
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sequence:
    """One MOTChallenge sequence: what ``seqinfo.ini`` says, and readers of the rest.

    Attributes:
        path: its folder.
        name: the folder's name, which results files carry.
        frame_rate: frames a second.
        length: frames, numbered 1 to ``length``.
        width: of a frame, pixels.
        height: of a frame, pixels.
        image_dir: where the frames lie.
        image_ext: of a frame's file, with its dot.
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
        """Read ``seqinfo.ini``; the other files are read when asked for.

        Raises:
            FileNotFoundError: there is no ``seqinfo.ini`` in ``path``.
            ValueError: it lacks a field, or a field is no positive number.
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
            # MOT15 holds a sequence of 2.5 frames a second; the other numbers are whole.
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
        """Where the public detections lie."""
        return self.path / "det" / "det.txt"

    @property
    def ground_truth_path(self) -> Path:
        """Where the annotations lie; test sequences have none."""
        return self.path / "gt" / "gt.txt"

    @property
    def has_frames(self) -> bool:
        """Whether the first frame is there."""
        return reading.is_file(self._frame_path(1))

    def detections(self) -> EveryFrame:
        """Read the public detections of frames 1 to ``length``; see `read_detections`."""
        return EveryFrame(_read_found(self.detections_path, self.length), self.length)

    def ground_truth(self) -> GroundTruth:
        """Read the annotations.

        Raises:
            FileNotFoundError: there is no ``gt/gt.txt``.
            ValueError: a line is malformed (``path:line: expected ..., got ...``).
        """
        path = _existing(self.ground_truth_path, f"the ground truth of {self.name}")
        rows = _read(path, (9, 10), self.length, ids=True)
        # Ten columns are MOT15's: a position in the world, no class and no visibility.
        classes, visibility = (
            (rows[:, 7], rows[:, 8]) if rows.shape[1] == 9 else np.ones((2, len(rows)))
        )
        return GroundTruth(
            frames=rows[:, 0].astype(np.int64),
            ids=rows[:, 1].astype(np.int64),
            boxes=_to_xyxy(rows),
            # Cut to a whole number first, as TrackEval does.
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
            FileNotFoundError: the file is missing.
            ValueError: there is no such frame, the file is no image that
                `sslmot.data.image_files` reads, or its size is not the one of ``seqinfo.ini``.
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
    """The detections of frames 1 to the last; those without any take no memory.

    Args:
        found: of each frame that has detections, (N, 5 or 6) float32.
        length: number of frames.

    Attributes:
        found: as given.
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
        root: a folder of sequences such as ``MOT17/train``, or one sequence.
        names: which: full names, or parts between dashes: ``"09"`` and ``"MOT17-09"`` both select
            ``MOT17-09-FRCNN``. All of them by default.
        detector: the variant of MOT17. All of them by default.

    Raises:
        FileNotFoundError: ``root`` holds no sequence.
        ValueError: a name, or the detector, selects nothing; the message lists what exists.
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
    """Read detections as MOTChallenge writes them: ``frame,-1,left,top,width,height,score``.

    A file of eight or nine columns holds a class in the eighth (-1 throughout: none). Ten are
    those of MOT15, MOT16 and MOT20, whose last three are a position in the world, or -1. Where
    every score is -1, which says that none is known, they are read as 1, as of boxes without.

    Args:
        path: the file; an empty one says that nothing was detected.
        length: frames of the sequence, if known.

    Returns:
        Of each frame, 1 to ``length`` or those that have detections, the (N, 5) float32 ``x1, y1,
        x2, y2, score`` in the order of the file, or (N, 6) with a class; pixels, 0-based.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed (``path:line: expected ..., got ...``).
    """
    found = _read_found(Path(path), length)
    return found if length is None else EveryFrame(found, length)


def _read_found(path: Path, length: int | None) -> dict[int, npt.NDArray[np.float32]]:
    """The detections of those frames that have some."""
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
    """Read what `write_results` or another tracker wrote.

    Args:
        path: ``frame,id,left,top,width,height,score``, further columns are ignored.
        length: frames of the sequence, if known.

    Returns:
        The frames that have tracks, in order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed, or an id is twice in a frame
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
    results: Iterable[tuple[int, ArrayLike, ArrayLike, ArrayLike]],
) -> None:
    """Write tracks as ``frame,id,left,top,width,height,score,-1,-1,-1``.

    The file appears when it is complete: an error, here or in the iterator, leaves what was there.

    Args:
        path: the file.
        results: of each frame its number (from 1), (N,) ids, (N, 4) boxes (xyxy pixels, 0-based)
            and (N,) scores, such as `FrameResult`; may be a generator.

    Raises:
        ValueError: shapes disagree, a number is not finite or not in range, a frame or an id
            comes twice.
    """
    seen: set[int] = set()
    with files.replacing(path) as file:
        for frame, *columns in results:
            if frame < 1 or frame in seen:
                raise ValueError(f"results: expected frames from 1, each once, got {frame}")
            seen.add(frame)
            where = f"results, frame {frame}: expected"
            ids, boxes, scores = (np.asarray(column, np.float64) for column in columns)
            if boxes.shape != (len(boxes), 4) or not ids.shape == scores.shape == (len(boxes),):
                got = f"{ids.shape}, {boxes.shape}, {scores.shape}"
                raise ValueError(f"{where} ids (N,), boxes (N, 4), scores (N,), got {got}")
            rows = np.column_stack([ids, boxes, scores])
            right = np.isfinite(rows).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
            right &= (ids >= 0) & (ids < 2**31) & (ids == ids.round())
            if not right.all():
                got = rows[~right][0].tolist()
                raise ValueError(
                    f"{where} whole ids in [0, 2**31), finite xyxy and scores, got {got}"
                )
            if len(np.unique(ids)) < len(ids):
                raise ValueError(f"{where} an id once, got {ids.tolist()}")
            file.writelines(
                f"{frame:d},{i:.0f},{box},{score:.6g},-1,-1,-1\n"
                for i, box, score in zip(ids, _formatted(boxes), scores, strict=True)
            )


def write_detections(path: str | os.PathLike[str], detections: Mapping[int, ArrayLike]) -> None:
    """Write detections as ``frame,-1,left,top,width,height,score[,class]``.

    Args:
        path: the file; it appears when it is complete.
        detections: of each frame, by its number from 1, (N, 5) ``x1, y1, x2, y2, score`` or (N, 6)
            with a class, pixels, 0-based.

    Raises:
        ValueError: a shape is wrong.
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
    """Write a sequence that `Sequence` reads back, without frames.

    Args:
        root: the folder to make the sequence's folder in.
        name: of the sequence.
        frame_rate: frames a second.
        size: width and height of a frame, pixels.
        detections: of each frame, 1 to the last, as for `write_detections`.
        ground_truth: if known.

    Raises:
        ValueError: shapes disagree, a number is not finite or not in range.
    """
    path, length = Path(root) / name, len(detections)
    if not length or set(detections) != set(range(1, length + 1)):
        raise ValueError(f"detections: expected frames 1 to their number, got {list(detections)}")
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
    # What was written must read back: the readers hold the rules of the format.
    sequence.detections()
    return sequence


def _existing(path: Path, what: str) -> Path:
    if not reading.is_file(path):
        raise FileNotFoundError(f"{what}: expected a file {path}")
    return path


def _matching(name: str, among: list[Sequence], expected: str) -> list[Sequence]:
    """The sequence called ``name``, else those that have it between dashes."""
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
        path: the file.
        columns: how many a line may have, all lines the same.
        length: the last frame there may be; None for `MOST_FRAMES`.
        ids: whether the second column identifies: once a frame. Such boxes may be flat, since
            scores ignore those; a detection may not.

    Returns:
        (R, C) float64, as in the file.
    """
    # Bytes that are no text become text that is no number, and so get a line number.
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
    # What follows the box is read as whole numbers, by TrackEval too.
    require((np.abs(rows[:, 6:]) < 2**31).all(axis=1), "numbers below 2**31 after the box")
    frames, last = rows[:, 0], MOST_FRAMES if length is None else length
    require((frames % 1 == 0) & (frames >= 1) & (frames <= last), f"a frame from 1 to {last}")
    if not ids:
        boxes = _to_xyxy(rows)
        require((boxes[:, :2] < boxes[:, 2:]).all(axis=1), "a positive width and height")
        # As a tracker takes them.
        numbers = np.hstack([boxes, rows[:, 6:]])
        require((np.abs(numbers) <= 1e9).all(axis=1), "numbers up to 1e9")
        return rows
    require((rows[:, 4:6] >= 0).all(axis=1), "no negative width or height")
    # TrackEval makes tables as long as the largest id.
    require((rows[:, 1] % 1 == 0) & (rows[:, 1] >= 0) & (rows[:, 1] < 1e7), "a whole id below 1e7")
    order = np.lexsort((rows[:, 1], frames))
    first = np.ones(len(rows), np.bool_)
    first[order[1:]] = (rows[order[1:], :2] != rows[order[:-1], :2]).any(axis=1)
    require(first, "an id once a frame")
    return rows


def _parse(path: Path, lines: list[str], columns: tuple[int, ...]) -> npt.NDArray[np.float64]:
    # loadtxt is fast but skips blank lines, which would put rows and lines out of step.
    if all(map(str.strip, lines)):
        with suppress(ValueError):
            rows = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
            if rows.shape[1] in columns:
                return rows
    # Something is wrong: line by line, to say where.
    parsed = []
    for number, line in enumerate(lines, 1):
        where, got = f"{path}:{number}: expected", line.strip()
        fields = line.split(",")
        if len(fields) not in columns:
            raise ValueError(f"{where} {' or '.join(map(str, columns))} columns, got {got!r}")
        columns = (len(fields),)  # as in every line to come
        try:
            parsed.append([float(field) for field in fields])
        except ValueError as error:
            raise ValueError(f"{where} numbers, got {got!r}") from error
    return np.array(parsed)


def _to_xyxy(rows: npt.NDArray[np.float64]) -> Boxes:
    """Columns 2 to 5, 1-based left, top, width, height, as 0-based corners."""
    corner = rows[:, 2:4] - 1
    return np.hstack([corner, corner + rows[:, 4:6]]).astype(np.float32)


def _formatted(boxes: npt.NDArray[Any]) -> list[str]:
    """The boxes as the files have them: 1-based ``left,top,width,height``, two decimals."""
    corner, end = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64)
    # Zero is added to turn -0 into 0.
    ltwh = np.hstack([corner + 1, end - corner]).round(2) + 0.0
    return ["{:.2f},{:.2f},{:.2f},{:.2f}".format(*box) for box in ltwh.tolist()]


def _by_frame(
    frames: npt.NDArray[np.float64], rows: npt.NDArray[Any], wanted: list[int]
) -> dict[int, npt.NDArray[Any]]:
    """The rows of each wanted frame, in the order of the file."""
    order = np.argsort(frames, kind="stable")
    starts = np.searchsorted(frames[order], wanted, "left")
    ends = np.searchsorted(frames[order], wanted, "right")
    rows = rows[order]
    return {t: rows[start:end] for t, start, end in zip(wanted, starts, ends, strict=True)}
