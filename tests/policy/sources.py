"""What the policy tests look at: files, public symbols, fenced code."""

import ast
import functools
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "keras_strategies"
SUBPACKAGES = sorted(
    path.parent.name
    for path in PACKAGE.glob("*/__init__.py")
    if path.parent.name not in ("_internal", "cli")
)


def python_files():
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree_of(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def public_symbols():
    """`{"layers.StochasticDepth": object, ...}` from every `__all__`."""
    symbols = {}
    for name in SUBPACKAGES:
        module = importlib.import_module(f"keras_strategies.{name}")
        for symbol in module.__all__:
            symbols[f"{name}.{symbol}"] = getattr(module, symbol)
    return symbols


def fenced_python(text):
    """The fenced `python` blocks of Markdown or of a cleaned docstring."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
