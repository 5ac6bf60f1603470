"""Names, registry and sizes."""

import ast
import inspect
import re

import pytest

from tests.cases import CASES, OTHERS
from tests.policy.sources import (
    PACKAGE,
    ROOT,
    public_symbols,
    python_files,
    tree_of,
)

SYMBOLS = public_symbols()
CLASSES = sorted(name for name, thing in SYMBOLS.items() if inspect.isclass(thing))


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def test_every_public_symbol_is_registered_in_cases():
    known = {case.target for case in CASES} | set(OTHERS)
    assert sorted(SYMBOLS) == sorted(known)


@pytest.mark.parametrize("name", CLASSES)
def test_public_class_lives_in_the_file_named_after_it(name):
    cls = SYMBOLS[name]
    module = inspect.getmodule(cls)
    stem = module.__name__.rpartition(".")[2]
    if issubclass(cls, Exception) and stem == "errors":
        return
    assert stem.replace("_", "") == _snake(cls.__name__).replace("_", "")


def test_files_and_functions_stay_small():
    problems = []
    for path in python_files():
        name, lines = path.relative_to(ROOT), path.read_text().count("\n")
        if lines > 400:
            problems.append(f"{name} has {lines} lines")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = node.body[0]
                if ast.get_docstring(node) is not None:
                    start = node.body[1] if len(node.body) > 1 else start
                if node.end_lineno - start.lineno >= 50:
                    problems.append(f"{name}: {node.name} is too long")
    assert not problems


def test_one_public_class_per_file():
    for path in python_files():
        classes = [
            node.name
            for node in tree_of(path).body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        ]
        public = [n for n in classes if any(s.endswith("." + n) for s in SYMBOLS)]
        if path.stem != "errors":
            assert len(public) <= 1, f"{path.relative_to(PACKAGE)}: {public}"


@pytest.mark.parametrize("name", sorted(SYMBOLS))
def test_names_follow_the_conventions(name):
    thing, symbol = SYMBOLS[name], name.rpartition(".")[2]
    if inspect.isclass(thing):
        assert re.fullmatch(r"([A-Z][A-Za-z0-9]*)", symbol)
    elif callable(thing):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", symbol)
