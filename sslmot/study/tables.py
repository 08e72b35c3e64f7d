"""Tables of the study in Markdown: mean and spread over seeds, and the verdicts of the claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from sslmot.study import jobs
from sslmot.study.cells import TABLES
from sslmot.study.claims import CLAIMS, MEASURES, verdict
from sslmot.study.run import Study
from sslmot.study.scores import CellScores

COLUMNS = (
    ("MOTA", "paper.mota", 1),
    ("IDF1", "paper.idf1", 1),
    ("FP", "paper.fp", 0),
    ("HOTA", "paper.hota", 1),
    ("IDF1, default tracker", "default.idf1", 1),
    ("rank-1", "reid.rank1", 3),
    ("mAP", "reid.mean_ap", 3),
    ("mAP of the backbone", "backbone.mean_ap", 3),
    ("rank-1 after 60 frames", "reid.clip_rank1", 3),
    ("AUC after 60 frames", "reid.clip_auc", 3),
    ("Hz", "hz", 1),
)
"""Header, field of `CellScores` and decimals of each column."""


def study_table(study: Study, name: str, seeds: int, ray: str | None = None) -> str:
    """Run the cells of a table that are missing, and write the table.

    Args:
        study: The study.
        name: Key of `TABLES`.
        seeds: Number of seeds of each cell.
        ray: See `sslmot.study.jobs.run`.

    Returns:
        Markdown.
    """
    table = TABLES[name]
    jobs.run(study, table.rows.values(), seeds, ray)
    found = {
        label: [study.scores(cell, seed) for seed in range(seeds)]
        for label, cell in table.rows.items()
    }
    rows = {**{k: [v] for k, v in study.orientation().items()}, **found}
    lines = [f"## {table.title}", "", *markdown(rows), ""]
    lines += ["| claim of the paper | by " + " | by ".join(MEASURES) + " |"]
    lines += ["| --- " * (1 + len(MEASURES)) + "|"]
    for claim in CLAIMS[name]:
        verdicts = [
            verdict(
                [s.get(field) for s in found[claim.better]],
                [s.get(field) for s in found[claim.worse]],
                or_equal=claim.or_equal,
            )
            for field in MEASURES.values()
        ]
        lines.append(f"| {claim.text} | " + " | ".join(verdicts) + " |")
    lines += ["", f"Seeds: {seeds}. {study.scale.differs}"]
    rates = {label: study.learning_rate(cell) for label, cell in table.rows.items()}
    own = [f"{label} {rate:g}" for label, rate in rates.items() if table.rows[label].own_rate]
    common = next(rate for label, rate in rates.items() if not table.rows[label].own_rate)
    lines += [f"Learning rate, for 256 pairs: {', '.join([f'{common:g}', *own])}."]
    learned = [s.name for s in study.sources.trained]
    learned += [] if study.sources.market is None else ["Market-1501"]
    lines += [f"Learned from: {', '.join(learned)}."]
    lines += [f"Scored: {', '.join(s.name for s in study.sources.evaluated)}."]
    if study.sources.missing:
        lines.append(f"Not at hand: {', '.join(study.sources.missing)}.")
    return "\n".join(lines) + "\n"


def markdown(rows: Mapping[str, Sequence[CellScores]]) -> Iterable[str]:
    """Yield the lines of a table: mean and standard deviation over the seeds."""
    yield "| | " + " | ".join(header for header, _, _ in COLUMNS) + " |"
    yield "| --- " * (1 + len(COLUMNS)) + "|"
    for label, scores in rows.items():
        failed = [s.failed for s in scores if s.failed]
        cells = [_cell(scores, field, decimals) for _, field, decimals in COLUMNS]
        note = ""
        if failed:
            reason = failed[0].replace("|", "/")
            note = f" ({len(failed)} of {len(scores)} failed: {reason})"
        yield f"| {label}{note} | " + " | ".join(cells) + " |"


def _cell(scores: Sequence[CellScores], field: str, decimals: int) -> str:
    values = [value for s in scores if (value := s.get(field)) is not None]
    if not values:
        return "-"
    text = f"{fmean(values):.{decimals}f}"
    return text if len(values) < 2 else f"{text} ± {stdev(values):.{decimals}f}"
