"""The stubs of the native core name what is there: functions, classes and their parameters."""

import ast
import re
from pathlib import Path

import pytest

import sslmot
from sslmot import _core
from sslmot._core import _testing

FOLDER = Path(sslmot.__file__).parent / "_core"
ALIASES = {"SupportsDLPack"}  # of the stubs alone, as are assignments to a TypeAlias


def parameters(function):
    """The names of a native function's parameters, which pybind11 writes into its docstring."""
    signature = function.__doc__.splitlines()[0].split(" -> ")[0]
    return [name for name in re.findall(r"(\w+): ", signature) if name != "self"]


def check(owner, node):
    member = getattr(owner, node.name)
    if not node.name.startswith("__") or node.name == "__init__":
        names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg != "self"]
        assert (parameters(member) if callable(member) else []) == names, node.name


@pytest.mark.parametrize(
    ("module", "file"), [(_core, "__init__.pyi"), (_testing, "_testing.pyi")], ids=["core", "tests"]
)
def test_the_stubs_are_those_of_the_module(module, file):
    declared = set()
    for node in ast.parse((FOLDER / file).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            declared.add(node.name)
            check(module, node)
        elif isinstance(node, ast.ClassDef) and node.name not in ALIASES:
            declared.add(node.name)
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    check(getattr(module, node.name), member)
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) != "TypeAlias":
            declared.add(node.target.id)
    assert {name for name in dir(module) if not name.startswith("__")} - {"_testing"} == declared
