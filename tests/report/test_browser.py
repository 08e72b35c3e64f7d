"""A report in headless Chromium: on a desk and on a phone, light and dark, by keyboard."""

import json
import re

import cv2
import numpy as np
import pytest
from browser import CHROMIUM, browser

from sslmot.report.write import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(folder / "results", path, source=folder / "data/crowd")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def active(page, attribute):
    return page.run(f"document.activeElement.getAttribute({json.dumps(attribute)})")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 390])
def test_charts_are_drawn_without_complaints(report, page, tmp_path, width, dark):
    page.problems.clear()
    page.open(report, width, dark=dark, mobile=width < 600)
    assert page.problems == []
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width
    drawn = page.run(
        """[...document.querySelectorAll("svg.bars rect, svg.linechart, svg.trajectories, img")]
        .map(part => part.getBoundingClientRect()).filter(box => box.width > 0 && box.height > 0)
        .length === document.querySelectorAll(
          "svg.bars rect, svg.linechart, svg.trajectories, img").length"""
    )
    assert drawn
    assert page.run("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.run("document.querySelectorAll('svg.bars .bar').length") > 8
    # No text is too small to read.
    sizes = page.run(
        """[...document.querySelectorAll("p, td, dd, text, figcaption")]
        .map(part => parseFloat(getComputedStyle(part).fontSize))"""
    )
    assert min(sizes) >= 9

    page.screenshot(tmp_path / "page.png")
    picture = cv2.imread(str(tmp_path / "page.png"))
    assert picture.shape[1] == width
    corner = picture[:4, :4].mean()
    assert corner < 60 if dark else corner > 200
    # Bars have many colours.
    saturated = picture[np.ptp(picture, axis=2) > 80]
    assert len(np.unique(saturated // 32, axis=0)) > 20


def test_the_keyboard_reaches_everything(report, page):
    page.open(report)
    page.press("Tab", 9)
    assert active(page, "href") == "#main"  # skip link
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0
    reached = []
    for _ in range(60):
        page.press("Tab", 9)
        kind = page.run("document.activeElement.getAttribute('class') ?? ''")
        if not reached or reached[-1] != kind:
            reached.append(kind)
        if page.run("document.activeElement === document.body"):
            break
    assert {"highlight", "scroll", "bar"} <= set(reached)
    # A focused bar has a thick edge.
    page.run("document.querySelector('.bar[tabindex=\"0\"]').focus()")
    edge = "getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth"
    assert page.run(edge) == "3px"


def test_arrow_keys_walk_and_enter_highlights(report, page):
    page.open(report)
    page.run("document.querySelector('.bar[tabindex=\"0\"]').focus()")
    first = active(page, "aria-label")
    page.press("ArrowDown", 40)
    second = active(page, "aria-label")
    assert first != second
    assert page.run("document.querySelector('.status').textContent") == second
    assert (
        page.run(
            "document.querySelectorAll('svg.bars')[0].querySelectorAll('[tabindex=\"0\"]').length"
        )
        == 1
    )
    identity = active(page, "data-id")
    page.press("Enter", 13, "\r")
    shown = page.run(
        """[...new Set([...document.querySelectorAll("[data-id]:not(.dim)")]
        .map(part => part.dataset.id))]"""
    )
    assert shown == [identity]
    assert page.run("document.querySelector('.highlight').value") == identity
    page.press("Escape", 27)
    assert page.run("document.querySelectorAll('.dim').length") == 0
    page.press("ArrowUp", 38)
    page.press("Home", 36)
    assert active(page, "aria-label") == first


def test_a_mark_leads_to_its_card(report, page):
    page.open(report)
    page.run("document.querySelector('.row a').focus()")
    target = active(page, "href").removeprefix("#")
    page.press("Enter", 13, "\r")
    assert page.run("location.hash") == f"#{target}"
    top = page.run(f"document.getElementById({json.dumps(target)}).tagName")
    assert top == "ARTICLE"


def test_without_its_script_it_is_whole(report, page, tmp_path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*</script>", "", report.read_text(), flags=re.DOTALL))
    page.problems.clear()
    page.open(bare)
    assert page.problems == []
    assert page.run("document.querySelector('.controls').hidden")
    assert page.run("document.querySelector('svg.bars rect').getBoundingClientRect().width") > 0
