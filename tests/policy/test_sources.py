"""Rules about the text of the sources."""

import ast
import re
import subprocess

import pytest

from tests.policy.sources import PACKAGE, ROOT, python_files

HEAVY = {
    "tensorflow",
    "tf_keras",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "cv2",
    "matplotlib",
    "sklearn",
    "pandas",
    "nltk",
    "jax",
    "torch",
    "rich",
}
TUNING_ONLY = {"keras_tuner", "optuna"}


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_private_keras_only_in_its_file(path):
    if path.parent == PACKAGE / "_internal" / "keras_private":
        return
    for _, module in _imports(ast.parse(path.read_text())):
        assert not module.startswith("keras.src"), f"{path.name} imports {module}"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_imports_are_inside_functions(path):
    tree = ast.parse(path.read_text())
    in_tuning = path.is_relative_to(PACKAGE / "tuning")
    is_worker = path.name.startswith("_worker")
    for node, module in _imports(tree):
        top = module.partition(".")[0]
        if top in TUNING_ONLY:
            assert in_tuning, f"{path.name} imports {module}"
        if top in HEAVY and not is_worker and not in_tuning:
            assert node not in tree.body, f"{path.name} imports {module} at the top"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_swallowed_errors(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            bare = node.type is None
            silent = all(isinstance(item, ast.Pass) for item in node.body)
            assert not bare and not silent, f"{path.name}:{node.lineno}"


def _tracked_text():
    try:
        listing = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        listing = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")]
    for name in listing:
        path = ROOT / name
        if name and path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                yield name, data.decode("utf-8")


def test_no_machine_paths():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|work|Users|opt)/\w")
    for name, text in _tracked_text():
        found = pattern.search(text)
        assert not found, f"{name}: {text[found.start() : found.end() + 30]!r}"
