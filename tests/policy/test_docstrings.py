"""Public docstrings have their sections, and their examples run."""

import ast
import inspect
import re

import pytest

from tests.policy.sources import fenced_python, public_symbols

SYMBOLS = public_symbols()

# Examples that search or train for long; tests of their own cover these.
SLOW = {
    "ablation.learning_curve",
    "ablation.study",
    "compression.compress",
    "recipes.DQNAgent",
    "recipes.Recipe",
    "recipes.image_classification",
    "recipes.text_classification",
    "training.ExecutionPlan",
    "training.accelerate",
    "training.distill",
    "tuning.HyperActivation",
    "tuning.HyperAugment",
    "tuning.HyperCNN",
    "tuning.HyperCompression",
    "tuning.HyperInitializer",
    "tuning.HyperMLP",
    "tuning.HyperOptimizer",
    "tuning.HyperRNN",
    "tuning.HyperRegularization",
    "tuning.HyperResNet",
    "tuning.HyperSchedule",
    "tuning.HyperTransferLearning",
    "tuning.HyperTransformer",
    "tuning.KerasClassifier",
    "tuning.Tuner",
    "tuning.TunerSearchCV",
    "tuning.plot_intermediate_values",
    "tuning.save_report",
    "tuning.tune_model",
}


def _parameters(thing):
    if inspect.ismodule(thing):  # a namespace: its functions are tested where they are
        return []
    function = thing.__init__ if inspect.isclass(thing) else thing
    if function is object.__init__:
        return []
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind not in kinds and p.name != "self"]


def _constructed_by_users(thing):
    """Result objects and errors are received, not constructed."""
    if not inspect.isclass(thing):
        return True
    is_result = thing.__name__.endswith(("Result", "Report"))
    return not is_result and not issubclass(thing, Exception)


@pytest.mark.parametrize("name", sorted(SYMBOLS))
def test_docstring_names_every_argument(name):
    thing = SYMBOLS[name]
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()[0]) <= 88
    if not _constructed_by_users(thing):
        return
    missing = [p for p in _parameters(thing) if f"{p}:" not in text]
    assert not missing
    if _parameters(thing):
        assert "Args:" in text


ENTRY = re.compile(r"\n    (\w+): ((?:.|\n      )*)")
TOLD = re.compile(r"Defaults? (?:to|is) `([^`]*)`")


@pytest.mark.parametrize("name", sorted(SYMBOLS))
def test_docstring_tells_the_defaults(name):
    thing = SYMBOLS[name]
    if not _constructed_by_users(thing) or inspect.ismodule(thing):
        return
    if name == "export.OutputVerdict":  # received, too
        return
    function = thing.__init__ if inspect.isclass(thing) else thing
    _, _, text = inspect.getdoc(thing).partition("Args:")
    text = re.split(r"\n[A-Z][a-z ]+:\n", text)[0]
    parameters = inspect.signature(function).parameters
    for argument, entry in ENTRY.findall(text):
        parameter = parameters.get(argument)
        if parameter is None or parameter.default is inspect.Parameter.empty:
            continue
        assert "efault" in entry, argument
        told = TOLD.search(" ".join(entry.split()))
        try:
            value = ast.literal_eval(told[1]) if told else parameter.default
        except (SyntaxError, ValueError):
            continue  # an expression, such as `keras.config.image_data_format()`
        both_nan = value != value and parameter.default != parameter.default
        assert value == parameter.default or both_nan, argument


@pytest.mark.filterwarnings("error:Pruning has reached a sparsity:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in sorted(SYMBOLS)
    ],
)
def test_example_is_there_and_runs(name, tmp_path, monkeypatch):
    thing = SYMBOLS[name]
    if not _constructed_by_users(thing):
        return
    blocks = fenced_python(inspect.getdoc(thing))
    assert "Example" in inspect.getdoc(thing)
    assert blocks, "an `Example:` with a fenced python block is missing"
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, f"<example of {name}>", "exec"), {"__name__": "example"})
