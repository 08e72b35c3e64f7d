"""Make tables that scroll inside themselves, for narrow screens."""

from __future__ import annotations

from sslmot.report.markup import Markup, element


def table(head: list[str], rows: list[list[str]], caption: str) -> Markup:
    """Make a table that scrolls inside itself. The first column names the rows."""
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *(element("th", text, scope="col") for text in head))),
            element(
                "tbody",
                *(
                    element(
                        "tr",
                        element("th", row[0], scope="row"),
                        *(element("td", text) for text in row[1:]),
                    )
                    for row in rows
                ),
            ),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )
