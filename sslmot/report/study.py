"""Show a study of `sslmot study`: its tables, pictures and sentences."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sslmot import reading
from sslmot.report.markup import Markup, element
from sslmot.report.pictures import Album, shrink
from sslmot.report.tables import table

_PARTS = ("table1", "table2", "table3", "backbones", "figure3", "sensitivity", "benchmark")


def study_sections(folder: str | Path, album: Album) -> Markup:
    """Make a section of the parts of a study that are done.

    Args:
        folder: Folder of the study.
        album: Where pictures go.

    Raises:
        FileNotFoundError: No part is done.
        ValueError: A file is no text.
    """
    folder = Path(folder)
    found = [path for part in _PARTS if (path := folder / f"{part}.md").is_file()]
    if not found:
        raise FileNotFoundError(f"study: expected a folder of `sslmot study`, got {folder}")
    parts = [part for path in found for part in _part(path, album)]
    return element("section", element("h2", "Study"), *parts, id="study")


def _part(path: Path, album: Album) -> list[Markup]:
    """Show a part, which `sslmot study` wrote in Markdown: a title, tables, pictures, sentences."""
    shown: list[Markup] = []
    title, rows = path.stem, list[list[str]]()
    for line in [*reading.read_text(path).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if rows:
            if len(rows) < 2:
                raise ValueError(f"{path}: expected a table, got one line of it")
            head, _, *body = rows  # the second line is a rule
            shown.append(table(head, body, f"By {head[0]}" if head[0] else "Scores"))
            rows = []
        if line.startswith("## "):
            title = line.removeprefix("## ")
            shown.append(element("h3", title))
        elif line.startswith("!["):
            shown.append(_picture(path.parent, line, album))
        elif line:
            shown.append(element("p", line))
    return shown


def _picture(folder: Path, line: str, album: Album) -> Markup:
    """Embed a picture, written as ``![what it shows](file)``."""
    what, _, name = line.removeprefix("![").removesuffix(")").partition("](")
    picture = cv2.imread(str(folder / name))
    if picture is None:
        raise FileNotFoundError(f"study: expected the picture {folder / name}")
    uri = album.add(shrink(np.asarray(picture, np.uint8)), 90)
    if uri is None:
        return element("p", f"Without the picture, to keep this file small: {what}.", class_="note")
    return element(
        "figure", element("img", src=uri, alt=what, class_="wide"), element("figcaption", what)
    )
