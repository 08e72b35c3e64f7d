"""Show switches as cards: crops side by side, and why the tracker did it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslmot.report.clip import Clip
from sslmot.report.colours import colour
from sslmot.report.explanations import figures, sentence
from sslmot.report.markup import Markup, element
from sslmot.report.matching import Matching
from sslmot.report.pictures import CROP
from sslmot.report.switches import Switch
from sslmot.report.words import count, duration, moment
from sslmot.tracking.explain import Explanation


@dataclass(frozen=True)
class View:
    """A crop of a card.

    Attributes:
        row: Result row.
        caption: What it shows.
    """

    row: int
    caption: str


def views(clip: Clip, matching: Matching | None, switch: Switch) -> list[View]:
    """Choose the crops of a card: before, after, and who had the new identity last."""
    old, new = int(clip.ids[switch.before]), int(clip.ids[switch.after])
    shown = [
        View(switch.before, f"Before: identity {old}"),
        View(switch.after, f"After: identity {new}"),
    ]
    other = _former(clip, matching, switch)
    if other is not None:
        row, person = other
        shown.append(View(row, f"Earlier, on person {person}"))
    return shown


def card(
    clip: Clip,
    matching: Matching | None,
    switch: Switch,
    pictures: dict[int, str],
    explanation: Explanation | None,
    anchor: str,
) -> Markup:
    """Make the card of a switch.

    Args:
        clip: The clip.
        matching: Its matches with the ground truth, if there is one.
        switch: The switch.
        pictures: Data URIs of crops by result row. Missing ones are left out.
        explanation: Why the tracker gave the identity after the switch, if that is known.
        anchor: Its id in the page.
    """
    figure = [
        element(
            "figure",
            element("img", src=pictures[view.row], alt=view.caption, width=CROP[1], height=CROP[0]),
            element(
                "figcaption",
                element("strong", _swatch(int(clip.ids[view.row])), view.caption),
                element("span", moment(int(clip.frames[view.row]), clip.frame_rate)),
            ),
        )
        for view in views(clip, matching, switch)
        if view.row in pictures
    ]
    return element(
        "article",
        element("h4", _title(clip, switch)),
        element("div", *figure, class_="crops") if figure else None,
        element("p", *_story(clip, matching, switch)),
        None if explanation is None else _explained(explanation),
        class_="card",
        id=anchor,
        tabindex=-1,
    )


def _title(clip: Clip, switch: Switch) -> Markup:
    old, new = int(clip.ids[switch.before]), int(clip.ids[switch.after])
    if old == new and switch.people is not None:
        before, after = switch.people
        return element(
            "span", "Identity ", _chip(old), f": person {before} ", _arrow(), f" person {after}"
        )
    who = "Possible switch: " if switch.people is None else f"Person {switch.people[1]}: "
    return element("span", who, _chip(old), " ", _arrow(), " ", _chip(new))


def _story(clip: Clip, matching: Matching | None, switch: Switch) -> list[str]:
    """Return sentences: how long between, where the identities come from, how much it matters."""
    old, new = int(clip.ids[switch.before]), int(clip.ids[switch.after])
    before, after = int(clip.frames[switch.before]), int(clip.frames[switch.after])
    told = []
    between = after - before - clip.stride
    if between > 0:
        time = "" if clip.frame_rate is None else f" ({duration(between / clip.frame_rate)})"
        what = "Not tracked" if old != new else "Not reported"
        told.append(f"{what} for {count(between, 'frame')}{time} in between. ")
    if old != new:
        if clip.frames[clip.ids == new].min(initial=after) == after:
            told.append(f"Identity {new} is new. ")
        elif (former := _former(clip, matching, switch)) is not None:
            told.append(f"Identity {new} was person {former[1]} before. ")
        elif matching is not None:
            told.append(f"Identity {new} was used before. ")
        here = np.flatnonzero((clip.frames == after) & (clip.ids == old))
        if len(here):
            person = _person(clip, matching, int(here[0]))
            on = "elsewhere" if person is None else f"on person {person}"
            told.append(f"Identity {old} is {on} in this frame. ")
    earlier, later = (count(length, "frame") for length in switch.lengths)
    if old == new and switch.people is not None:
        one, other = (f"on person {person}" for person in switch.people)
    else:
        one, other = (f"under identity {identity}" for identity in (old, new))
    told.append(f"{earlier} {one}, then {later} {other}.")
    return told


def _former(clip: Clip, matching: Matching | None, switch: Switch) -> tuple[int, int] | None:
    """Return the last row and person that had the new identity before, if another one had it."""
    old, new = int(clip.ids[switch.before]), int(clip.ids[switch.after])
    if matching is None or clip.truth is None or switch.people is None or old == new:
        return None
    matched = matching.match[matching.match >= 0]
    people = clip.truth.ids[matching.rows[matching.match >= 0]]
    earlier = (clip.ids[matched] == new) & (clip.frames[matched] < clip.frames[switch.after])
    if not earlier.any():
        return None
    at = int(np.flatnonzero(earlier)[-1])
    person = int(people[at])
    return None if person == switch.people[1] else (int(matched[at]), person)


def _person(clip: Clip, matching: Matching | None, row: int) -> int | None:
    if matching is None or clip.truth is None:
        return None
    at = np.flatnonzero(matching.match == row)
    return int(clip.truth.ids[matching.rows[at[0]]]) if len(at) else None


def _explained(explanation: Explanation) -> Markup:
    rows = [
        element("div", element("dt", name), element("dd", value))
        for name, value in figures(explanation)
    ]
    return element(
        "div",
        element("h5", "The tracker's explanation"),
        element("p", sentence(explanation)),
        element("dl", *rows) if rows else None,
        class_="explanation",
    )


def _swatch(identity: int) -> Markup:
    return element("i", class_="swatch", style=f"background:{colour(identity)}")


def _chip(identity: int) -> Markup:
    return element("b", str(identity), class_="chip", style=f"background:{colour(identity)}")


def _arrow() -> Markup:
    return element("span", "\N{RIGHTWARDS ARROW}", class_="arrow", aria_label="becomes")
