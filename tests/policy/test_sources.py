"""Rules about the text of the sources."""

import ast
import functools
import importlib.util
import pathlib
import re
import subprocess

from tests.policy.sources import PACKAGE, ROOT, python_files, tree_of

HEAVY = {
    "tensorflow",
    "tf_keras",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "cv2",
    "matplotlib",
    "sklearn",
    "pandas",
    "shap",
    "nltk",
    "gymnasium",
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


# One test for all files: as many tests as files would take longer than reading them.


def test_private_keras_only_in_its_file():
    allowed = PACKAGE / "_internal" / "keras_private"
    problems = [
        f"{_id(path)} imports {module}"
        for path in python_files()
        if not path.is_relative_to(allowed)
        for _, module in _imports(tree_of(path))
        if module.startswith("keras.src")
    ]
    assert not problems


TUNING = PACKAGE / "tuning"
TUNING_FILES = [
    path
    for path in python_files()
    if path.is_relative_to(TUNING) and TUNING / "_private" not in path.parents
]


def _is_private(name):
    return name.startswith("_") and not name.startswith("__")


def _defined(tree):
    """Names that a file defines: functions, classes, arguments, attributes, aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).rpartition(".")[2]


@functools.cache
def _private_names_of_keras_tuner():
    """Private methods and attributes of the classes that tuning derives from."""
    root = pathlib.Path(importlib.util.find_spec("keras_tuner").origin).parent / "src"
    names = set()
    for folder in ("engine", "tuners", "oracles", "distribute"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    names.update(_defined(node))
    return {name for name in names if _is_private(name)}


def _id(path):
    return str(path.relative_to(ROOT))


def test_the_private_names_of_keras_tuner_are_known():
    assert {"_retry_queue", "_build_hypermodel", "_hps"} <= (
        _private_names_of_keras_tuner()
    )


def test_private_names_of_keras_tuner_only_in_their_room():
    """Neither used nor, by chance, overridden."""
    problems = {}
    for path in TUNING_FILES:
        nodes = list(ast.walk(tree_of(path)))
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        names = (used | methods) & _private_names_of_keras_tuner()
        if names:
            problems[_id(path)] = sorted(names)
    assert not problems


@functools.cache
def _own_private_names():
    trees = (tree_of(path) for path in TUNING.rglob("*.py"))
    return {name for tree in trees for name in _defined(tree) if _is_private(name)}


def test_private_names_of_others_only_in_their_room():
    """An underscore attribute is one that tuning itself defines, not Optuna's."""
    allowed = _own_private_names() | {"_exit"}  # of os, which is public
    problems = [
        f"{_id(path)}:{node.lineno} {node.attr}"
        for path in TUNING_FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        if _is_private(node.attr) and node.attr not in allowed
    ]
    assert not problems


def test_heavy_imports_are_inside_functions():
    problems = []
    for path in python_files():
        tree = tree_of(path)
        in_tuning = path.is_relative_to(PACKAGE / "tuning")
        is_worker = path.name.startswith("_worker")
        for node, module in _imports(tree):
            top = module.partition(".")[0]
            if top in TUNING_ONLY and not in_tuning:
                problems.append(f"{_id(path)} imports {module}")
            at_the_top = node in tree.body
            if top in HEAVY and not is_worker and not in_tuning and at_the_top:
                problems.append(f"{_id(path)} imports {module} at the top")
    assert not problems


def test_no_swallowed_errors():
    problems = []
    for path in python_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler):
                bare = node.type is None
                silent = all(isinstance(item, ast.Pass) for item in node.body)
                if bare or silent:
                    problems.append(f"{_id(path)}:{node.lineno}")
    assert not problems


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
