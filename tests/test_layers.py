"""Imports go down only: a table says which room may use which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sslmot

PACKAGE = Path(sslmot.__file__).parent
USES = {
    "appearance": set(),
    "data": {"appearance"},
    "detection": set(),
    "tracking": {"appearance"},
    "pose": {"appearance", "data"},
    "training": {"appearance", "data"},
    "pngan": {"appearance", "data", "pose", "training"},
    "evaluation": {"appearance", "data"},
    "offline": {"data", "detection", "tracking"},
    "tuning": {"appearance", "data", "evaluation", "tracking"},
    "demo": {"appearance", "data", "evaluation", "offline", "tracking"},
    "report": {"appearance", "data", "evaluation", "tracking"},
    "study": {
        "appearance",
        "data",
        "demo",
        "evaluation",
        "offline",
        "tracking",
        "training",
        "tuning",
    },
}
"""The other rooms that each room uses. `cli` uses all. All rooms use the top-level modules."""


def modules():
    """Return each module and the modules of the package that it imports, also in functions."""
    paths = {
        ".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")
    }
    found = {}
    for name, path in paths.items():
        found[name] = used = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sslmot"):
                continue
            module = node.module.removeprefix("sslmot").removeprefix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                used.add(inner if inner in paths or f"{inner}.__init__" in paths else module)
        used.discard("")
    return found


def room(module):
    return module.split(".")[0] if "." in module else ""


@pytest.mark.parametrize("name", sorted(USES))
def test_a_room_uses_only_rooms_below_it(name):
    arrows = {
        (module, other)
        for module, used in modules().items()
        if room(module) == name
        for other in used
        if room(other) not in USES[name] | {name, ""}
    }
    assert not arrows


def test_top_level_modules_use_no_room():
    public = {"__init__", "__main__", "interop"}
    arrows = {
        (module, other)
        for module, used in modules().items()
        if room(module) == "" and module not in public
        for other in used
        if room(other)
    }
    assert not arrows


def test_each_room_is_in_the_table():
    rooms = {room(module) for module in modules()} - {"", "cli"}
    assert rooms == set(USES)


def test_no_import_cycles():
    graph = modules()
    done = set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, [*path, module])
        done.add(module)

    for module in graph:
        visit(module, [])
