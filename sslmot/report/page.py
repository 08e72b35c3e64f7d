"""Put a report together: a page with a section for each clip, and one for trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import numpy.typing as npt

from sslmot.data.mot import Sequence
from sslmot.evaluation.tracks import COMBINED, Scores
from sslmot.report.cards import card
from sslmot.report.clip import Clip
from sslmot.report.linechart import Series, legend, line_chart
from sslmot.report.markup import Markup, element, join
from sslmot.report.matching import Matching
from sslmot.report.rows import of_identities, of_people
from sslmot.report.switches import Switch
from sslmot.report.tables import table
from sslmot.report.timeline import Row, timeline
from sslmot.report.trainings import Training
from sslmot.report.trajectories import trajectories
from sslmot.report.words import DASH, count, duration, number
from sslmot.tracking.explain import Explanation
from sslmot.types import Rows

_HERE = Path(__file__).parent

_MOST_LISTED = 200
"""Limit of the rows of a table, and of the identities to choose from."""

_LONGEST = 200
"""Limit of the characters of a setting."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What the section of a clip shows.

    Attributes:
        clip: The clip.
        matching: Its matches with the ground truth, None if there is none.
        switches: Switches, or possible ones without ground truth.
        transfers: Identities that pass to a person without one.
        worst: Those that are shown as cards.
        crops: Data URIs by result row.
        picture: Data URI of a frame, None if there is none.
        picture_frame: Number of that frame.
        explanations: By result row, or why there are none.
        scores: None if there are none.
        notes: What is left out, and why.
    """

    clip: Clip
    matching: Matching | None
    switches: list[Switch]
    transfers: list[Switch]
    worst: list[Switch]
    crops: dict[int, str]
    picture: str | None
    picture_frame: int
    explanations: dict[int, Explanation] | str
    scores: Scores | None
    notes: list[str]


def page(
    shown: list[Shown],
    scores: Mapping[str, Scores],
    trainings: list[Training],
    notes: list[str],
    study: Markup | None = None,
) -> str:
    """Return the HTML of a report.

    Args:
        shown: The clips.
        scores: Scores by clip, and of all combined.
        trainings: Trainings.
        notes: What holds for the whole report.
        study: The section of a study.
    """
    names = [s.clip.name for s in shown]
    title = f"Tracking report: {names[0]}" if len(names) == 1 else "Tracking report"
    links = [element("a", name, href=f"#clip-{i}") for i, name in enumerate(names)]
    if trainings:
        links.append(element("a", "Trainings", href="#trainings"))
    if study is not None:
        links.append(element("a", "Study", href="#study"))
    body = join(
        _notes(notes),
        _score_table(scores) if len(scores) > 1 else None,
        *(_clip(i, s) for i, s in enumerate(shown)),
        _trainings(trainings) if trainings else None,
        study,
    )
    navigation = None
    if len(links) > 1:
        items = (element("li", link) for link in links)
        navigation = element("nav", element("ul", *items), aria_label="Sections")
    parts = {
        "title": element("title", title),
        "heading": element("h1", "Tracking report"),
        "navigation": navigation or "",
        "body": body,
        "style": (_HERE / "style.css").read_text(encoding="utf-8"),
        "script": (_HERE / "script.js").read_text(encoding="utf-8"),
    }
    return Template((_HERE / "template.html").read_text(encoding="utf-8")).substitute(parts)


def _clip(i: int, s: Shown) -> Markup:
    clip = s.clip
    links = {switch: f"#clip-{i}-change-{k}" for k, switch in enumerate(s.worst)}
    return element(
        "section",
        element("h2", clip.name),
        element("p", _summary(clip), class_="summary"),
        _tiles(s),
        _notes(s.notes),
        _highlighter(i, clip),
        *_timelines(s, links),
        _cards(s, links),
        _trajectories(s),
        _counts(s),
        _identities(clip),
        _settings(clip),
        class_="clip",
        id=f"clip-{i}",
    )


def _summary(clip: Clip) -> str:
    parts = [count(clip.length, "frame")]
    if clip.frame_rate is not None:
        parts.append(duration(clip.length / clip.frame_rate))
        parts.append(f"{clip.frame_rate:g} frames a second")
    if isinstance(clip.source, Sequence):
        parts.append(f"{clip.source.width} by {clip.source.height}")
    parts.append(count(len(clip.frames), "box", "boxes"))
    return " · ".join(parts)


def _tiles(s: Shown) -> Markup:
    """Show the most important numbers."""
    clip = s.clip
    identities = len(np.unique(clip.ids))
    tiles: list[tuple[str, str, float | None, str]] = []
    if s.scores is not None:
        for name, value, what in (
            ("IDF1", s.scores.idf1, "boxes with the right identity"),
            ("HOTA", s.scores.hota, "detection and association"),
            ("MOTA", s.scores.mota, "detection, mostly"),
        ):
            tiles.append((name, _percent(value), value, what))
    if s.matching is not None and clip.truth is not None:
        people = len(np.unique(clip.truth.ids[s.matching.rows]))
        seen = float((s.matching.match >= 0).mean()) if len(s.matching.match) else 0.0
        tiles.append(("Found", _percent(100 * seen), 100 * seen, "of the annotated boxes"))
        what = f"for {count(people, 'person', 'people')}"
        tiles.append(("Identities", f"{identities:,}", None, what))
        what = f"and {count(len(s.transfers), 'identity', 'identities')} passed on"
        tiles.append(("Switches", f"{len(s.switches):,}", None, what))
    else:
        tiles.append(("Identities", f"{identities:,}", None, "in the clip"))
        _, lengths = np.unique(clip.ids, return_counts=True)
        half = float(np.median(lengths)) if len(lengths) else 0.0
        text = f"{half:.0f}" if clip.frame_rate is None else duration(half / clip.frame_rate)
        what = (
            "frames seen, median identity" if clip.frame_rate is None else "seen, median identity"
        )
        tiles.append(("Length", text, None, what))
        tiles.append(("Possible switches", f"{len(s.switches):,}", None, "one ends, one begins"))
    if "seconds" in clip.record and clip.record["seconds"] > 0:
        speed = clip.record.get("frames", clip.length) / clip.record["seconds"]
        tiles.append(("Speed", number(speed), None, "frames a second"))
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", value, class_="value"),
                None
                if share is None
                else element(
                    "dd",
                    element("i", style=f"width:{min(max(share, 0), 100):.1f}%"),
                    class_="meter",
                    aria_hidden="true",
                ),
                element("dd", what, class_="what"),
            )
            for name, value, share, what in tiles
        ),
        class_="tiles",
    )


def _highlighter(i: int, clip: Clip) -> Markup:
    """Choose an identity to highlight in all charts of a clip. The script shows it."""
    ids, lengths = np.unique(clip.ids, return_counts=True)
    longest = ids[np.argsort(-lengths, kind="stable")[:_MOST_LISTED]]
    options = [element("option", "all", value="")]
    options += [element("option", str(k), value=str(k)) for k in sorted(longest.tolist())]
    return element(
        "p",
        element("label", "Highlight identity ", for_=f"highlight-{i}"),
        element("select", *options, id=f"highlight-{i}", class_="highlight"),
        element("output", for_=f"highlight-{i}", class_="status"),
        class_="controls",
        hidden=True,
    )


def _timelines(s: Shown, links: Mapping[Switch, str]) -> list[Markup]:
    clip = s.clip
    key = [("view", "in view, not tracked"), ("tracked", "tracked; the number is the identity")]
    figures = []
    if s.matching is not None:
        rows, left = of_people(clip, s.matching, [*s.switches, *s.transfers], links)
        what = "Each row is a person of the ground truth, each colour an identity."
        figures.append(
            _timeline(
                s, "Identities of each person", "person", rows, left, what, [*key, _SWITCH, _PASSED]
            )
        )
        rows, left = of_identities(clip, s.matching, s.transfers, links)
        what = "Each row is an identity. The number on a bar is the person."
        key = [("tracked", "matched to a person"), ("faint", "matched to no person"), _PASSED]
        inner = _timeline(s, "People of each identity", "identity", rows, left, what, key)
        summary = element("summary", "The same by identity")
        figures.append(element("details", summary, inner))
    else:
        rows, left = of_identities(clip, None, s.switches, links)
        what = "Each row is an identity. There is no ground truth to compare it with."
        key = [("tracked", "tracked"), ("gap-key", "not tracked"), _POSSIBLE]
        figures.append(_timeline(s, "Identities over time", "identity", rows, left, what, key))
    return figures


_SWITCH = ("mark-key", "another identity: a switch")
_PASSED = ("mark-key hollow", "an identity that was another person's")
_POSSIBLE = ("mark-key", "begins where another identity ended: perhaps the same")


def _timeline(
    s: Shown,
    title: str,
    kind: str,
    rows: list[Row],
    left: int,
    what: str,
    key: list[tuple[str, str]],
) -> Markup:
    if not rows:
        return join(element("h3", title), element("p", "Nothing was tracked.", class_="note"))
    note = f" {count(left, 'row')} more not drawn: shorter ones without switches." if left else ""
    items = (
        element("li", element("i", class_=f"key {name}", aria_hidden="true"), text)
        for name, text in key
    )
    hint = element("span", " It scrolls sideways.", class_="hint")
    chart = timeline(rows, s.clip.length, s.clip.frame_rate, kind, title)
    caption = element("figcaption", f"{what}{note}", hint, element("ul", *items, class_="legend"))
    return join(element("h3", title), element("figure", caption, chart))


def _cards(s: Shown, links: Mapping[Switch, str]) -> Markup:
    known = s.matching is not None
    title = "Worst switches" if known else "Possible switches"
    if not s.worst:
        text = "There is none." if known else "No identity begins where another ended."
        return join(element("h3", title), element("p", text, class_="note"))
    total = len(s.switches) + len(s.transfers)
    what = "switches and passed identities" if known else "possible switches"
    if len(s.worst) < total:
        text = f"{len(s.worst)} of {total:,} {what}: those with the most frames before and after."
    else:
        text = f"All {what}, by the number of frames before and after."
    if not known:
        text += (
            " An identity ends, and soon and near it another begins. Look whether it is the "
            "same person."
        )
    explanations = s.explanations if isinstance(s.explanations, dict) else {}
    missing = None
    if isinstance(s.explanations, str):
        missing = element(
            "p", f"Without the tracker's explanations: {s.explanations}.", class_="note"
        )
    cards = (
        card(s.clip, s.matching, w, s.crops, explanations.get(w.after), links[w].lstrip("#"))
        for w in s.worst
    )
    return join(
        element("h3", title), element("p", text), missing, element("div", *cards, class_="cards")
    )


def _trajectories(s: Shown) -> Markup | None:
    clip = s.clip
    if not len(clip.frames):
        return None
    if isinstance(clip.source, Sequence):
        size = clip.source.width, clip.source.height
    else:
        right, bottom = clip.boxes[:, 2:].max(axis=0).tolist()
        size = max(1, math.ceil(right)), max(1, math.ceil(bottom))
    title = "Trajectories"
    chart, left = trajectories(clip, size, s.picture, f"{title} of the identities")
    text = "Where each identity walked: the middle of the lower edge of its boxes, smoothed, "
    text += "dashed over gaps"
    text += f", on frame {s.picture_frame:,}." if s.picture else "; in pixels of the picture."
    if left:
        text += f" {count(left, 'shorter one')} not drawn."
    return join(element("h3", title), element("figure", element("figcaption", text), chart))


def _counts(s: Shown) -> Markup | None:
    """Draw how many are tracked in each frame, and how many are in view."""
    clip = s.clip
    if not len(clip.frames):
        return None
    rate = clip.frame_rate or 1.0
    frames = np.arange(1, clip.length + 1, clip.stride)
    x = (frames - 1) / rate

    def each(of: Rows) -> npt.NDArray[np.float64]:
        return np.bincount(of, minlength=clip.length + 1)[frames].astype(np.float64)

    series = [Series("tracked", x, each(clip.frames), 0)]
    if s.matching is not None and clip.truth is not None:
        series.append(Series("annotated", x, each(clip.truth.frames[s.matching.rows]), 1))
    unit = "seconds" if clip.frame_rate is not None else "frames"
    text = f"Boxes in each frame, over {unit}."
    title = "How many"
    return join(
        element("h3", title),
        element(
            "figure",
            element("figcaption", text, legend([(one.name, one.style) for one in series])),
            line_chart(series, "Boxes in each frame", zero=True),
        ),
    )


def _identities(clip: Clip) -> Markup | None:
    """List the identities: the timeline as a table."""
    if not len(clip.frames):
        return None
    ids, first = np.unique(clip.ids, return_index=True)
    rows = []
    for identity in ids[np.argsort(first)][:_MOST_LISTED].tolist():
        mine = clip.ids == identity
        frames = clip.frames[mine]
        gaps = int((np.diff(frames) > clip.stride).sum())
        score = float(clip.scores[mine].mean())
        values = (
            f"{frames[0]:,}", f"{frames[-1]:,}", f"{len(frames):,}", f"{gaps:,}", f"{score:.2f}"
        )  # fmt: skip
        rows.append([str(identity), *values])
    left = len(ids) - len(rows)
    note = f", the first {_MOST_LISTED}" if left > 0 else ""
    head = ["Identity", "First frame", "Last frame", "Frames", "Gaps", "Mean score"]
    return element(
        "details",
        element("summary", f"Table of identities ({len(ids):,}{note})"),
        table(head, rows, f"Identities of {clip.name}"),
    )


def _settings(clip: Clip) -> Markup | None:
    if not clip.record:
        return None
    config = clip.record.get("config", {})
    values = {k: v for k, v in clip.record.items() if k != "config"} | dict(config)
    rows = [[k[:_LONGEST], _short(v)] for k, v in [*values.items()][:_MOST_LISTED]]
    return element(
        "details",
        element("summary", "Settings of the run"),
        table(["Setting", "Value"], rows, f"Settings of {clip.name}"),
    )


def _score_table(scores: Mapping[str, Scores]) -> Markup:
    head = ["Clip", "IDF1", "HOTA", "AssA", "DetA", "MOTA", "FP", "FN", "Switches", "Frag"]
    rows = [
        [
            "all together" if name == COMBINED else name,
            *(_percent(v) for v in (s.idf1, s.hota, s.assa, s.deta, s.mota)),
            *(f"{v:,}" for v in (s.fp, s.fn, s.idsw, s.frag)),
        ]
        for name, s in scores.items()
    ]
    return element(
        "section", element("h2", "Scores"), table(head, rows, "Scores in percent, and counts")
    )


def _trainings(trainings: list[Training]) -> Markup:
    tags = sorted({tag for training in trainings for tag in training.curves})
    figures = []
    for tag in tags:
        series = [
            Series(t.name, *t.curves[tag], style=i)
            for i, t in enumerate(trainings)
            if tag in t.curves
        ]
        title = tag.replace("_", " ").replace("/", ": ")
        figures.append(element("figure", element("figcaption", title), line_chart(series, title)))
    rows = [
        [
            tag.replace("_", " ").replace("/", ": "),
            *(number(float(t.curves[tag][1][-1])) if tag in t.curves else DASH for t in trainings),
        ]
        for tag in tags
    ]
    differing = [
        key
        for key in dict.fromkeys(key for t in trainings for key in t.config)
        if len({repr(t.config.get(key)) for t in trainings}) > 1
    ]
    rows += [[key, *(_short(t.config.get(key)) for t in trainings)] for key in differing]
    what = "Last values" + (", and the settings that differ" if differing else "")
    return element(
        "section",
        element("h2", "Trainings"),
        element("p", "Curves over training steps."),
        legend([(t.name, i) for i, t in enumerate(trainings)]),
        element("div", *figures, class_="curves"),
        table(["", *(t.name for t in trainings)], rows, what),
        id="trainings",
    )


def _notes(notes: list[str]) -> Markup | None:
    if not notes:
        return None
    return element("ul", *(element("li", note) for note in notes), class_="note")


def _short(value: object) -> str:
    """Return the value of a setting; a dash for None."""
    return DASH if value is None else str(value)[:_LONGEST]


def _percent(value: float) -> str:
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")
