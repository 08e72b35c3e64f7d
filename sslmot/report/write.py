"""Write the report of a folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslmot import files
from sslmot.evaluation.tracks import Scores, evaluate
from sslmot.report.cards import views
from sslmot.report.clip import Clip, read_clips
from sslmot.report.colours import colour
from sslmot.report.explanations import NotRepeatable, explain
from sslmot.report.matching import match
from sslmot.report.page import Shown, page
from sslmot.report.pictures import Album, crop, shrink
from sslmot.report.study import study_sections
from sslmot.report.switches import possible_switches, switches, transfers, worst
from sslmot.report.trainings import read_trainings
from sslmot.tracking.explain import Explanation

MOST_CLIPS = 12
"""Limit of the clips with a section of their own."""

MOST_CARDS = 8
"""Limit of the switches that are shown for a clip."""

_MOST_PICTURES = 3_500_000
"""Limit of the characters of all pictures, so that the file stays below 5 MB."""


@dataclass(frozen=True)
class Summary:
    """What a report shows.

    Attributes:
        size: Bytes of the file.
        clips: Number of clips.
        switches: Number of switches, or of possible ones where there is no ground truth.
    """

    size: int
    clips: int
    switches: int


def write_report(
    results: str | Path | None,
    output: str | Path,
    *,
    source: str | Path | None = None,
    detections: str | Path | None = None,
    weights: str | Path | None = None,
    runs: Iterable[str | Path] = (),
    study: str | Path | None = None,
) -> Summary:
    """Write one HTML file that shows the results of clips. It needs no network.

    Args:
        results: A folder of ``NAME.txt`` (MOTChallenge) with ``NAME.json`` beside them, or one such
            text file. None for a report of trainings or of a study alone.
        output: The file to write.
        source: Where the clips came from: a sequence, a folder of sequences, or a video of the same
            name. Gives frames, ground truth and scores.
        detections: Detections of the video, for explanations.
        weights: Encoder of the run, for explanations. None for that of the package.
        runs: Folders of trainings, whose curves are drawn.
        study: Folder of a study, whose tables and pictures are shown.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is malformed, or there is nothing to show.
        ImportError: TensorBoard is not installed, and there are runs.
        OSError: The output cannot be written.
    """
    if results is None and not runs and study is None:
        raise ValueError("results: expected results, runs or a study, got none")
    clips = [] if results is None else read_clips(results, source, detections)
    trainings = read_trainings(runs)
    scores, notes = _scores(clips, source)
    if len(clips) > MOST_CLIPS:
        notes.append(
            f"{len(clips) - MOST_CLIPS} of {len(clips)} clips have no section here: make a report "
            "of each by giving its file."
        )
    album = Album(_MOST_PICTURES)
    path = None if weights is None else Path(weights)
    # First, since pictures of clips may fill the album.
    section = None if study is None else study_sections(study, album)
    shown = [_show(clip, scores.get(clip.name), album, path) for clip in clips[:MOST_CLIPS]]
    html = page(shown, scores, trainings, notes, section)
    # File names may hold bytes that are not text.
    data = html.encode("utf-8", "replace")
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write(output, data)
    return Summary(len(data), len(clips), sum(len(s.switches) for s in shown))


def _scores(clips: list[Clip], source: str | Path | None) -> tuple[Mapping[str, Scores], list[str]]:
    """Score the clips with ground truth."""
    names = [clip.name for clip in clips if clip.truth is not None]
    if not names or source is None:
        return {}, []
    try:
        return evaluate(source, clips[0].path.parent, names), []
    except ImportError as error:
        return {}, [f"Without scores: {error}."]


def _show(clip: Clip, scores: Scores | None, album: Album, weights: Path | None) -> Shown:
    """Gather what the section of a clip shows."""
    matching = None if clip.truth is None else match(clip)
    notes = []
    if clip.source is None:
        notes.append(
            "Without frames and ground truth: the sequence or video is not given (--source)."
        )
    elif not clip.has_frames:
        notes.append("Without pictures: the sequence has no frames.")
    if matching is None:
        found, passed = possible_switches(clip), []
    else:
        found, passed = switches(clip, matching), transfers(clip, matching)
    chosen = worst([*found, *passed], MOST_CARDS)
    explanations: dict[int, Explanation] | str
    try:
        explanations = explain(clip, [s.after for s in chosen], weights)
    except NotRepeatable as error:
        explanations = str(error)

    crops: dict[int, str] = {}
    picture, picture_frame = None, _fullest(clip)
    if clip.has_frames and len(clip.frames):
        rows = {view.row for s in chosen for view in views(clip, matching, s)}
        by_frame: dict[int, list[int]] = {picture_frame: []}
        for row in sorted(rows):
            by_frame.setdefault(int(clip.frames[row]), []).append(row)
        left = 0
        for t, frame in clip.pictures(by_frame):
            if t == picture_frame:
                picture = album.add(shrink(frame), 72)
                left += picture is None
            for row in by_frame[t]:
                tint = colour(int(clip.ids[row]))
                uri = album.add(crop(frame, clip.boxes[row], tint))
                if uri is None:
                    left += 1
                else:
                    crops[row] = uri
        if left:
            notes.append(f"{left} pictures are left out, to keep this file small.")
    return Shown(
        clip=clip,
        matching=matching,
        switches=found,
        transfers=passed,
        worst=chosen,
        crops=crops,
        picture=picture,
        picture_frame=picture_frame,
        explanations=explanations,
        scores=scores,
        notes=notes,
    )


def _fullest(clip: Clip) -> int:
    """Return the first frame with the most boxes."""
    return int(np.bincount(clip.frames, minlength=2).argmax())
