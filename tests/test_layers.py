"""Imports go down only: which room may use which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sslmot

PACKAGE = Path(sslmot.__file__).parent
USES = {
    "appearance": set(),
    "data": {"appearance"},
    "tracking": {"appearance"},
    "pose": {"appearance", "data"},
    "training": {"appearance", "data"},
    "pngan": {"appearance", "data", "pose", "training"},
    "evaluation": {"appearance", "data"},
    "offline": {"data", "tracking"},
    "tuning": {"appearance", "data", "evaluation", "tracking"},
    "demo": {"appearance", "data", "evaluation", "offline", "tracking"},
}
"""What each room uses, beside itself and the modules of the package itself; `cli` uses all."""


def modules():
    """Each module, and the modules of the package that it names: also within functions."""
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
def test_a_room_uses_what_lies_below_it(name):
    arrows = {
        (module, other)
        for module, used in modules().items()
        if room(module) == name
        for other in used
        if room(other) not in USES[name] | {name, ""}
    }
    assert not arrows


def test_what_all_use_uses_no_room():
    public = {"__init__", "__main__"}
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


def test_no_module_uses_itself_by_way_of_others():
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
