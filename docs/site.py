"""Hooks of the site: what its pages and docstrings say for other readers, in mkdocs' terms."""

import re
from typing import Any


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Let links to files outside docs/ lead to the repository."""
    return re.sub(r"\]\((?:\.\./)+(?=[A-Z]|[a-z]+/)", f"]({config.repo_url}/blob/main/", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Make links of Sphinx's roles in docstrings, such as :class:`~sslmot.Tracker`."""
    return re.sub(r":(?:class|meth|attr|func|data|mod):<code>(~?)([\w.]+)</code>", _link, html)


def _link(role: re.Match[str]) -> str:
    short, name = role.groups()
    text = name.rpartition(".")[2] if short else name
    return f'<autoref identifier="{name}" optional><code>{text}</code></autoref>'
