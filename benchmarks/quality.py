"""Score identity on the suite of clips and write the tables of docs/quality.md.

    python benchmarks/quality.py                            # all; prints
    python benchmarks/quality.py --output docs/quality.md   # replaces the tables in the file
    python benchmarks/quality.py --quick --no-peers --clips TUD PRW

Every tracker gets the same detections, and those that use appearance the same embeddings, of our
default encoder. No tracker gets frames: the cameras of the clips with frames stand still. Peers are
those of peers.py that are installed, each at its best patience on each row (see suite/peers.py).
The first run detects, embeds and runs the peers, for an hour; what it finds is cached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from peers import PEERS, Method
from suite import (
    GAPS,
    Recovery,
    Result,
    Row,
    clip_means,
    compare,
    default_cache,
    leave_one_out,
    load_rows,
    mean,
    perfect_tracks,
    score_tracks,
    track,
    tracker,
)
from suite.clips import DATA, Kind
from suite.peers import Best, best_of

from sslmot import TrackerConfig, files
from sslmot.data.mot import write_results, write_sequence
from sslmot.evaluation.tracks import Scores, evaluate

MARK = "<!-- What follows is written by benchmarks/quality.py --output -->"

CHANGES: dict[str, dict[str, object]] = {
    "no re-identification": {"reid_max_age": 0},
    "re-identification by a threshold": {"reid_false_alarms": float("inf")},
    "all tracks wait for min_hits": {"instant_confirm_score": float("inf")},
    "min_hits 0": {"min_hits": 0},
    "no low-score round": {"high_score": -float("inf")},
    "new tracks at any overlap": {"new_track_max_iou": 1.0},
    "max_occlusion .9": {"max_occlusion": 0.9},
    "max_age 1": {"max_age": 1.0},
    "eq. 6-7, no Kalman filter": {"motion": "none"},
}
"""What is changed in the default settings, one thing a row."""

NOISE = (0.0, 0.5, 1.0)
"""Lengths of the noise that is added to embeddings, as shares of theirs."""


@dataclass(frozen=True)
class Tracked:
    """A tracker on the rows of a kind.

    Attributes:
        name: Of the tracker.
        idf1: Of each row, percent; NaN where a peer fails.
        scores: Of each row by TrackEval; None where a peer fails.
    """

    name: str
    idf1: list[float]
    scores: list[Scores | None]

    def clips(self, field: str, rows: Sequence[Row]) -> dict[str, float]:
        """Return the mean of a score for each clip."""
        values = [float("nan") if s is None else getattr(s, field) for s in self.scores]
        return clip_means(rows, values)


def trackeval(row: Row, result: Result, cache: Path) -> Scores:
    """Score tracks by TrackEval, through files as a user would; cached, since it takes seconds."""
    digest = hashlib.sha256(row.key.encode())
    for array in (row.truth.frames, row.truth.ids, row.truth.boxes, *chain(*result)):
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    path = cache / "trackeval" / f"{digest.hexdigest()[:24]}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            root, results = Path(folder) / "sequences", Path(folder) / "results"
            detections = dict(enumerate(row.detections, 1))
            write_sequence(root, row.scene, row.frame_rate, row.size, detections, row.truth)
            frames = zip(row.detections, result, strict=True)
            tracks = ((t, i, d[j, :4], d[j, 4]) for t, (d, (i, j)) in enumerate(frames, 1))
            write_results(results / f"{row.scene}.txt", tracks)
            [scores] = evaluate(root, results).values()
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, json.dumps(asdict(scores)).encode())
    return Scores(**json.loads(path.read_text()))


def tables(
    kind: Kind, rows: list[Row], peers: list[Method], cache: Path, histograms: list[Row]
) -> Iterator[str]:
    """Yield the tables of a kind as lines of Markdown.

    Args:
        kind: Of the rows.
        rows: What is tracked.
        peers: Compared with.
        cache: For the tracks of peers and TrackEval's scores.
        histograms: The same rows with colour histograms in place of embeddings, or none.
    """
    yield f"\n## {'With appearance' if kind == 'appearance' else 'By motion alone'}"
    given = {"sslmot": (rows, TrackerConfig())}
    if histograms:
        given["sslmot, colour histograms"] = histograms, TrackerConfig()
    if kind == "appearance":
        given["sslmot, the paper's preset"] = rows, TrackerConfig.paper()
    results = {name: [track(r, tracker(c)) for r in some] for name, (some, c) in given.items()}
    results["perfect association"] = [perfect_tracks(row) for row in rows]
    ours = []
    for name, some in results.items():
        scores = [trackeval(row, result, cache) for row, result in zip(rows, some, strict=True)]
        ours.append(Tracked(name, [s.idf1 for s in scores], [*scores]))
    sslmot, bound = ours[0], ours[-1]

    best: dict[str, list[Best]] = {}
    for peer in peers:
        if kind == "appearance" or not peer.features:
            best[peer.title] = [best_of(peer, row, cache) for row in rows]
    theirs = [
        Tracked(
            title,
            [one.idf1 for one in some],
            [
                trackeval(r, one.result, cache) if one.result else None
                for r, one in zip(rows, some, strict=True)
            ],
        )
        for title, some in best.items()
    ]
    yield from summary([*ours[:-1], *theirs, bound], rows)
    for title, some in best.items():
        for row, one in zip(rows, some, strict=True):
            if one.error:
                yield f"\n{title} fails on {row.name}: {one.error}"
    yield from details(sslmot, bound, best, rows)
    yield from recoveries(rows, results["sslmot"])


def summary(all_tracked: list[Tracked], rows: list[Row]) -> Iterator[str]:
    """Means over clips: IDF1 of each group of clips, then the scores of all."""
    groups = list(dict.fromkeys(group(row.scene) for row in rows))
    yield "\nMeans in which each clip weighs alike; a clip is the mean of its rows.\n"
    yield from head(["", *(f"IDF1 {g}" for g in groups), "**IDF1**", "HOTA", "AssA", "MOTA", "IDs"])
    for one in all_tracked:
        idf1 = one.clips("idf1", rows)
        cells = [
            float(np.mean([value for clip, value in idf1.items() if group(clip) == g]))
            for g in groups
        ]
        others = [mean(one.clips(field, rows)) for field in ("hota", "assa", "mota", "idsw")]
        yield line(
            [one.name, *map(percent, cells), f"**{percent(mean(idf1))}**", *map(percent, others)]
        )


def details(
    sslmot: Tracked, bound: Tracked, best: Mapping[str, list[Best]], rows: list[Row]
) -> Iterator[str]:
    """One line a row: ours, the best peer, and the bound."""
    yield "\nEach row: sslmot by TrackEval, and the best peer at its best patience.\n"
    yield from head(
        ["", "HOTA", "AssA", "MOTA", "IDs", "IDF1", "best peer", "its IDF1", "ahead", "bound"]
    )
    worst = (float("inf"), "")
    for i, row in enumerate(rows):
        s = sslmot.scores[i]
        assert s is not None
        cells: list[str] = [row.name, *map(percent, (s.hota, s.assa, s.mota)), f"{s.idsw}"]
        cells.append(percent(s.idf1))
        known = {title: some[i] for title, some in best.items() if some[i].result}
        if known:
            title = max(known, key=lambda name: known[name].idf1)
            ahead = s.idf1 - known[title].idf1
            worst = min(worst, (ahead, row.name))
            cells += [f"{title.split(' (')[0]}, {known[title].patience}"]
            cells += [percent(known[title].idf1), f"{ahead:+.1f}"]
        else:
            cells += ["-", "-", "-"]
        yield line([*cells, percent(bound.idf1[i])])
    if worst[1]:
        yield f"\nWorst row against its best peer: {worst[1]}, {worst[0]:+.1f}."


def recoveries(rows: list[Row], results: list[Result]) -> Iterator[str]:
    """How returns after gaps end, and how often a resumed track is another person's."""
    spans = [f"{a:g}-{b:g} s" for a, b in pairwise(GAPS)] + [f"{GAPS[-1]:g} s or more"]
    yield "\nAfter gaps (see `Recovery` in benchmarks/suite/scores.py): returns that get their old"
    yield "identity, of all; resumed tracks that are another person's, of all. A clip without"
    yield "returns is left out: PRW's annotation gives a person a new identity after each gap,"
    yield "which makes each resumed track a wrong one.\n"
    yield from head(["", *(f"old, {s}" for s in spans), *(f"wrong, {s}" for s in spans)])
    clips: dict[str, Recovery] = {}
    for row, result in zip(rows, results, strict=True):
        found = score_tracks(row, result).recovery
        clips[row.scene] = clips.get(row.scene, Recovery()) + found
    clips = {clip: found for clip, found in clips.items() if sum(found.returns)}
    clips["all"] = sum(clips.values(), Recovery())
    for clip, r in clips.items():
        old = [f"{a} / {b}" for a, b in zip(r.recovered, r.returns, strict=True)]
        wrong = [f"{a} / {b}" for a, b in zip(r.wrong, r.resumed, strict=True)]
        yield line([clip, *old, *wrong])


def changes(rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """The default with one thing changed, and the choice among these with each clip left out."""
    default = TrackerConfig()
    candidates = {"default": default}
    candidates |= {name: replace(default, **change) for name, change in CHANGES.items()}  # type: ignore[arg-type]
    scores = {kind: compare(candidates, some) for kind, some in rows.items()}
    yield "\n## The default with one thing changed\n"
    yield "Mean IDF1 of the suite; the last row chooses one of these for each clip by the others."
    yield ""
    yield from head(["", *scores])
    for name in candidates:
        yield line([name, *(percent(mean(scores[kind][name])) for kind in scores)])
    chosen = [
        leave_one_out(candidates, one).mean if len(one["default"]) > 1 else float("nan")
        for one in scores.values()
    ]
    yield line(["each clip left out", *map(percent, chosen)])


def noise(rows: list[Row]) -> Iterator[str]:
    """Trackers with embeddings to which noise is added: how they use an encoder that says less."""
    configs = {"sslmot": TrackerConfig(), "eq. 6-7, no Kalman filter": TrackerConfig(motion="none")}
    yield "\n## Embeddings with noise\n"
    yield "Mean IDF1 of the suite. The length of the noise is a share of the embedding's."
    yield ""
    yield from head(["", *(f"{share:g}" for share in NOISE)])
    scores = [compare(configs, [noisy(row, share) for row in rows]) for share in NOISE]
    for name in configs:
        yield line([name, *(percent(mean(one[name])) for one in scores)])


def noisy(row: Row, share: float) -> Row:
    """Add noise of a length to the embeddings, which have unit length or are unknown."""
    rng = np.random.default_rng(0)

    def add(known: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        way = rng.standard_normal(known.shape)
        way *= share / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
        mixed = known + way * known.any(axis=1, keepdims=True)
        length = np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
        return (mixed / length).astype(np.float32)

    return replace(row, embeddings=[add(some) for some in row.embeddings or ()])


def group(scene: str) -> str:
    """Return where a clip comes from."""
    return "SportsMOT" if scene.startswith("v_") else scene.split("-")[0]


def percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"


def head(cells: Iterable[str]) -> list[str]:
    cells = list(cells)
    return [line(cells), line(["---"] * len(cells))]


def line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def installed(peers: Iterable[Method]) -> Iterator[Method | str]:
    """Yield the peers that work, and of the others why not."""
    for peer in peers:
        obstacle = peer.obstacle()
        yield f"{peer.name}: {peer.package} does not work here: {obstacle}" if obstacle else peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="parts of names; default: all")
    parser.add_argument("--quick", action="store_true", help="every frame alone, no changes")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", type=Path, help="file whose tables are replaced")
    args = parser.parse_args()
    lines: list[str] = []

    def say(some: Iterable[str]) -> None:
        for text in some:
            print(text, flush=True)
            lines.append(text)

    def load(**options: Any) -> list[Row]:
        return load_rows(args.cache, data=args.data, clips=args.clips, quick=args.quick, **options)

    every = load()
    rows = {kind: [row for row in every if row.kind == kind] for kind in ("appearance", "motion")}
    rows = {kind: some for kind, some in rows.items() if some}
    peers = list(installed(PEERS)) if args.peers else []
    say(peer for peer in peers if isinstance(peer, str))
    working = [peer for peer in peers if isinstance(peer, Method)]
    for kind, some in rows.items():
        others = load(kind=kind, features="histogram") if kind == "appearance" else []
        say(tables(kind, some, working, args.cache, others))
    if not args.quick:
        say(changes(rows))
    if "appearance" in rows and not args.quick:
        say(noise(rows["appearance"]))
    if args.output:
        text = args.output.read_text() if args.output.exists() else MARK
        if MARK not in text:
            parser.error(f"{args.output}: expected a line {MARK}")
        before = text.partition(MARK)[0]
        args.output.write_text(before + MARK + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
