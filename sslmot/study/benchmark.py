"""Tables 4 to 6 of SSL-MOT: MOT16, MOT17 and MOT20, ready for the test server."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslmot import files
from sslmot.appearance.encoder import Encoder
from sslmot.data import mot
from sslmot.evaluation.tracks import Scores, combine, count
from sslmot.study.scores import paper_tracker
from sslmot.study.sources import TRAINED, scene
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.tracker import Tracker
from sslmot.tuning.footage import embed_sequence, track

BENCHMARKS = ("MOT16", "MOT17", "MOT20")
PARTS = ("train", "test")


@dataclass(frozen=True)
class Submission:
    """Results of one benchmark.

    Attributes:
        sequences: Number of sequences that are tracked.
        left_out: Names of those without frames.
        scored: Number of sequences that are scored: those with ground truth of which no frame was
            learned from.
        scores: Of the paper's and of the default tracker on these.
    """

    sequences: int
    left_out: tuple[str, ...]
    scored: int
    scores: Mapping[str, Scores]


def submit(root: Path, output: Path, encoder: Encoder) -> Iterator[tuple[str, Submission]]:
    """Track each benchmark that is at hand with its public detections.

    Write ``OUTPUT/BENCHMARK/paper.zip`` and ``default.zip``, as the test server takes them: one
    ``SEQUENCE.txt`` for each sequence of both parts. A sequence that is tracked already is not
    tracked again. The paper's tracker is online but for its temperature, which is computed from
    the whole clip, see `paper_tracker`.

    Args:
        root: Folder with ``MOT16``, ``MOT17`` or ``MOT20``, each with ``train`` or ``test``.
        output: Where to write.
        encoder: The encoder.

    Yields:
        Name of the benchmark, and its results.
    """
    for benchmark in BENCHMARKS:
        found = [
            sequence
            for part in PARTS
            if any((root / benchmark / part).glob("*/seqinfo.ini"))
            for sequence in mot.sequences(root / benchmark / part)
        ]
        if not found:
            continue
        left_out, counts = [], {"paper": {}, "default": {}}  # type: ignore[var-annotated]
        for sequence in found:
            if not sequence.has_frames:
                left_out.append(sequence.name)
                continue
            _track(sequence, encoder, output / benchmark)
            learned = benchmark != "MOT20" and scene(sequence) in TRAINED
            if sequence.ground_truth_path.is_file() and not learned:
                for name, counted in counts.items():
                    counted[sequence.name] = count(sequence, output / benchmark / name)
        for name in counts:
            _pack(output / benchmark / name)
        scores = {name: combine(counted) for name, counted in counts.items() if counted}
        yield (
            benchmark,
            Submission(
                sequences=len(found) - len(left_out),
                left_out=tuple(left_out),
                scored=len(counts["paper"]),
                scores=scores,
            ),
        )


def _track(sequence: mot.Sequence, encoder: Encoder, folder: Path) -> None:
    """Write the tracks of a sequence by both trackers, unless they are written."""
    paths = {name: folder / name / f"{sequence.name}.txt" for name in ("paper", "default")}
    if all(path.exists() for path in paths.values()):
        return
    clip = embed_sequence(sequence, encoder)
    for name, path in paths.items():
        config = paper_tracker(clip) if name == "paper" else TrackerConfig()
        path.parent.mkdir(parents=True, exist_ok=True)
        mot.write_results(path, track(clip, Tracker(config, frame_rate=clip.frame_rate)))


def _pack(folder: Path) -> None:
    """Write all results of a folder into one archive beside it."""
    results = sorted(folder.glob("*.txt"))
    if not results:
        return
    with files.workplace(folder.with_suffix(".zip")) as place:
        part = place / "part.zip"
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in results:
                # One date for all: equal results give equal archives.
                about = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
                about.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(about, path.read_bytes())
        part.replace(folder.with_suffix(".zip"))
