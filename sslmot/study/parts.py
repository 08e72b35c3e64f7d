"""The parts of a study: each runs what is missing, writes ``PART.md``, and returns its text."""

from __future__ import annotations

from pathlib import Path

import cv2

from sslmot import files
from sslmot.data import mot
from sslmot.study import benchmark as benchmarks
from sslmot.study import figure3 as figures
from sslmot.study import sensitivity as constants
from sslmot.study.cells import ACD, COSINE, MSE
from sslmot.study.run import Study
from sslmot.study.sources import scene
from sslmot.study.tables import study_table
from sslmot.training.collapse import CollapseError
from sslmot.tuning.footage import embed_sequence
from sslmot.types import Frame


def table(study: Study, name: str, seeds: int, ray: str | None = None) -> str:
    """Train and score the cells of a table, see `study_table`."""
    return _keep(study, name, study_table(study, name, seeds, ray))


def figure3(study: Study) -> str:
    """Draw the features of ten people by each loss, and by random weights: ``figure3.png``."""
    sequence = study.sources.evaluated[0]
    study.check([])
    encoders = {"random weights": study.untrained()}
    notes = []
    for name, cell in (("MSE", MSE), ("cosine", COSINE), ("ACD", ACD)):
        try:
            encoders[name] = study.encoder(cell, 0)
        except (CollapseError, FloatingPointError) as error:
            notes.append(f"Without {name}: {error}.")
    panels = {}
    for name, encoder in encoders.items():
        features, ids = figures.features_of(sequence, encoder)
        numbers = figures.separation(features, ids)
        panels[name] = figures.embedding(features, seed=0), ids, numbers
    _write_picture(study.folder / "figure3.png", figures.draw(panels))
    lines = [
        f"## Figure 3: features of the people of {sequence.name} that are seen longest",
        "",
        "![t-SNE of the features, a panel for each loss](figure3.png)",
        "",
        "| | silhouette | purity of 10 neighbours | between / within people |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {n.silhouette:.3f} | {n.purity:.3f} | {n.ratio:.3f} |"
        for name, (_, _, n) in panels.items()
    ]
    return _keep(study, "figure3", "\n".join([*lines, *notes]) + "\n")


def sensitivity(study: Study, root: Path) -> str:
    """Vary the constants that the paper leaves open, on two clips: ``sensitivity.png``."""
    study.check([])
    encoder = study.encoder(ACD, 0)
    scenes = {scene(sequence): sequence for sequence in reversed(study.sources.evaluated)}
    sequences = [study.sources.evaluated[0]]
    if (root / "clips" / "TUD-Stadtmitte").is_dir():
        sequences.append(mot.Sequence.open(root / "clips" / "TUD-Stadtmitte"))
    sequences += [s for s in scenes.values() if s is not sequences[0]]
    found = {
        sequence.name: constants.sensitivity(embed_sequence(sequence, encoder), sequence)
        for sequence in sequences[:2]
    }
    _write_picture(study.folder / "sensitivity.png", constants.draw(found))
    text = "## Constants that the paper leaves open: IDF1 (value)\n\n"
    text += "![IDF1 over each constant](sensitivity.png)\n\n" + constants.table(found)
    return _keep(study, "sensitivity", text)


def benchmark(study: Study, root: Path) -> str:
    """Track MOT16, MOT17 and MOT20 with the encoder of ACD, for the test server."""
    study.check([])
    encoder = study.encoder(ACD, 0)
    lines = [
        "## Tables 4-6: for the test server",
        "",
        "| | sequences | of them scored | tracker | MOTA | IDF1 | FP | HOTA |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    left_out: list[str] = []
    for name, result in benchmarks.submit(root, study.folder / "benchmark", encoder):
        left_out += result.left_out
        for tracker, s in result.scores.items():
            scores = f"{s.mota:.1f} | {s.idf1:.1f} | {s.fp} | {s.hota:.1f}"
            lines.append(
                f"| {name} | {result.sequences} | {result.scored} | {tracker} | {scores} |"
            )
        if not result.scores:
            lines.append(f"| {name} | {result.sequences} | 0 | - | - | - | - | - |")
    if left_out:
        lines += ["", f"Without frames, left out: {', '.join(left_out)}."]
    return _keep(study, "benchmark", "\n".join(lines) + "\n")


def _keep(study: Study, name: str, text: str) -> str:
    study.folder.mkdir(parents=True, exist_ok=True)
    files.write(study.folder / f"{name}.md", text.encode())
    return text


def _write_picture(path: Path, picture: Frame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, cv2.imencode(".png", picture)[1].tobytes())
