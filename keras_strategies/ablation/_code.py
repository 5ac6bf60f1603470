"""A combination of strategies as Python lines for the user's own script."""

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_strategies._internal.keras_private import compile_arguments
from keras_strategies.ablation._runs import applying
from keras_strategies.ablation._runs.samples import Samples
from keras_strategies.ablation._strategy import Strategy

_DATASET = """
train_data = tf.data.Dataset.from_tensor_slices({arrays})
train_data = train_data.shuffle(train_data.cardinality()).batch({batch_size})
"""
_COMPILE = (
    "model.compile_from_config(",
    "    {",
    "        **model.get_compile_config(),",
    '        "optimizer": keras.optimizers.serialize(optimizer),',
    "    }",
    ")",
)
_STRATEGIES = (
    "# `strategies` is the dict of the strategies that the study was given, by name."
)
# What compiles by `compile_from_config` needs functions by their names.
_CUSTOM = "keras.saving.get_custom_objects()"


class Script(NamedTuple):
    """What the lines are made from.

    Attributes:
        model: The baseline.
        samples: Training samples, as the strategies saw them.
        arguments: Arguments of `fit`.
    """

    model: keras.Model
    samples: Samples
    arguments: Mapping[str, Any]

    @property
    def arrays(self) -> str:
        """The training data as the script names them."""
        if self.samples.weight is None:
            return "x_train, y_train"
        return "x_train, y_train, w_train"


def script(
    strategies: Sequence[Strategy],
    model: keras.Model,
    samples: Samples,
    epochs: int,
    batch_size: int,
) -> str:
    """Lines for a script that has `model`, `x_train`, `y_train`, `x_val`, `y_val`.

    With sample weights it has `w_train` and `w_val` too.
    """
    arguments = applying.fit_arguments(strategies, epochs=epochs, batch_size=batch_size)
    about = Script(model, samples, arguments)
    texts = [_texts(strategy, about) for strategy in strategies]
    pairs = list(zip(strategies, texts, strict=True))
    has_layers = any(text.get("batches") for text in texts)
    has_dataset = has_layers or any(text.get("dataset") for text in texts)
    body = _parts(pairs, "model") + _parts(pairs, "data")
    optimizer = _parts(pairs, "optimizer")
    if optimizer:
        body += ["", "optimizer = model.optimizer", *optimizer, *_compile(model)]
    if has_layers:
        values = {**arguments, "arrays": f"({about.arrays})"}
        body += ["", *_DATASET.format(**values).strip().splitlines()]
        body += _parts(pairs, "batches")
    body += _parts(pairs, "dataset")
    body += ["", "callbacks = []", *_callbacks(pairs, about, has_dataset)]
    for strategy in strategies:
        if strategy.changes == ("fit",):
            body += ["", f"# {_title(strategy)}: in `fit`"]
    body += _fit(about, has_dataset)
    custom = _custom_objects(model) if _compiles(body) else []
    head = _imports([*texts, *custom], has_layers)
    head += [line for text in custom for line in text["lines"]]
    if any("strategies[" in line for line in body):
        head += ["", _STRATEGIES]
    return "\n".join([*head, *body]) + "\n"


def _compiles(lines):
    return any("compile_from_config" in line for line in lines)


def _compile(model):
    """Lines that give the compiled model another optimizer."""
    functions = _compiled_functions(model)
    if any(function.__name__ == "<lambda>" for function in functions):
        return ("model.optimizer = optimizer",)
    return _COMPILE


def _compiled_functions(model):
    """Functions among the losses and metrics that a model was compiled with."""
    arguments = compile_arguments(model)
    names = ("loss", "metrics", "weighted_metrics")
    leaves = keras.tree.flatten([arguments.get(name) for name in names])
    # Keras finds its own by their names.
    return [
        leaf
        for leaf in leaves
        if isinstance(leaf, types.FunctionType)
        and not leaf.__module__.startswith("keras.")
    ]


def _custom_objects(model):
    """Lines that tell Keras the functions that a model was compiled with."""
    texts = []
    for function in _compiled_functions(model):
        name = function.__name__
        if name == "<lambda>":
            continue
        value = "model.loss" if function is model.loss else name
        imports = "" if value != name else _import_of(function) or ""
        texts.append({"imports": imports, "lines": [f'{_CUSTOM}["{name}"] = {value}']})
    return texts


def _imports(texts, has_layers):
    lines = {"import keras"} | ({"import tensorflow as tf"} if has_layers else set())
    names: dict[str, set[str]] = {}
    for text in texts:
        for line in text.get("imports", "").splitlines():
            start, separator, name = line.partition(" import ")
            if separator:
                names.setdefault(start, set()).add(name)
            elif line:
                lines.add(line)
    joined = [f"{s} import {', '.join(sorted(n))}" for s, n in sorted(names.items())]
    return [*sorted(lines), *joined]


def _parts(pairs, part):
    """The lines of one part of all strategies, each under its title."""
    lines = []
    for strategy, text in pairs:
        if text.get(part):
            lines += ["", f"# {_title(strategy)}", text[part].strip()]
    return lines


def _callbacks(pairs, about, has_dataset):
    lines = _parts(pairs, "callbacks")
    if any("steps_per_epoch" in line for line in lines):
        steps = "len(train_data)"
        if not has_dataset:
            count = "len(keras.tree.flatten(y_train)[0])"
            steps = f"-(-{count} // {about.arguments['batch_size']})"
        lines = ["", f"steps_per_epoch = {steps}", *lines]
    return lines


def _title(strategy):
    return f"{strategy.name}: {strategy.why}" if strategy.why else strategy.name


def _fit(about, has_dataset):
    weighs = about.samples.weight is not None
    arguments = dict(about.arguments)
    data = ["x_train", "y_train"] + (["sample_weight=w_train"] if weighs else [])
    if has_dataset:
        data = ["train_data"]
        arguments.pop("batch_size")
    validation = "x_val, y_val" + (", w_val" if weighs else "")
    return [
        "",
        "model.fit(",
        *(f"    {name}," for name in data),
        *(f"    {name}={value!r}," for name, value in arguments.items()),
        *(["    shuffle=False,"] if has_dataset else []),
        f"    validation_data=({validation}),",
        "    callbacks=callbacks,",
        ")",
    ]


def _texts(strategy: Strategy, about: Script) -> Mapping[str, str]:
    """The lines of a strategy by part: its own, or calls of its functions."""
    epochs = about.arguments["epochs"]
    if strategy.code is not None:
        code = strategy.code
        return code(about.model, epochs) if callable(code) else code
    mine = f"strategies[{strategy.name!r}]"
    texts: dict[str, str] = {}
    if strategy.model is not None:
        call, imports = _callable_text(strategy.model)
        if call is None:
            texts["model"] = f"model = {mine}.change_model(model, x_train)"
        else:
            accepts_x = "x" in inspect.signature(strategy.model).parameters
            argument = "model, x=x_train" if accepts_x else "model"
            texts["model"] = f"model = {call}({argument}) or model"
            _add(texts, "imports", imports)
    if strategy.optimizer is not None:
        call, imports = _callable_text(strategy.optimizer)
        texts["optimizer"] = f"optimizer = {call or f'{mine}.optimizer'}(optimizer)"
        _add(texts, "imports", imports)
    if strategy.callbacks is not None:
        call, imports = _callable_text(strategy.callbacks)
        if call is None or inspect.signature(strategy.callbacks).parameters:
            line = f"{mine}.make_callbacks({epochs}, steps_per_epoch)"
            texts["callbacks"] = f"callbacks += {line}"
        else:
            texts["callbacks"] = f"callbacks += {call}()"
            _add(texts, "imports", imports)
    _add_data(texts, strategy, mine, about)
    return texts


def _add(texts, part, text):
    if text:
        texts[part] = f"{texts.get(part, '')}\n{text}".strip()


def _add_data(texts, strategy, mine, about):
    """Lines for the changes of the data, by what each of them returns."""
    samples = about.samples
    for number, change in enumerate(strategy.data_changes()):
        item = f"{mine}.data_changes()[{number}]"
        if isinstance(change, keras.layers.Layer):
            _add(texts, "batches", layer_lines(item))
        elif hasattr(change, "flow"):
            size = about.arguments["batch_size"]
            call = f"{item}.flow(x_train, y_train, batch_size={size}, seed=0)"
            _add(texts, "dataset", f"train_data = {call}")
        else:
            result = applying.called(change, samples)
            call, imports = _callable_text(change)
            _add(texts, "imports", imports)
            takes = about.arrays if applying.weighs(change, samples) else _ARRAYS
            call = f"{call or item}({takes})"
            if isinstance(result, keras.layers.Layer):
                _add(texts, "batches", layer_lines(call))
            elif isinstance(result, Samples):
                _add(texts, "data", f"{takes} = {call}")
                samples = result
            else:
                _add(texts, "dataset", f"train_data = {call}")


_ARRAYS = "x_train, y_train"


def layer_lines(layer: str) -> str:
    """Lines that apply a layer to the inputs of each batch."""
    return (
        f"augment = {layer}\n"
        "train_data = train_data.map(\n"
        "    lambda x, *rest, augment=augment: (augment(x, training=True), *rest)\n)"
    )


def _callable_text(function) -> tuple[str | None, str]:
    """A function by its name, a lambda by its text, and the imports that it needs.

    `None` if neither is to be had.
    """
    if not inspect.isfunction(function):
        return None, ""
    if function.__name__ != "<lambda>":
        imports = _import_of(function)
        return (None, "") if imports is None else (function.__name__, imports)
    text = _lambda_text(function) if function.__closure__ is None else None
    imports = None if text is None else _imports_of_names(function)
    return (None, "") if imports is None else (f"({text})", imports)


def _import_of(item) -> str | None:
    """The import of a function or class; nothing if it is of the user's script.

    `None` if it has no name there, such as a function inside another one.
    """
    if "<locals>" in item.__qualname__ or "." in item.__qualname__:
        return None
    if item.__module__ == "__main__":
        return ""
    return f"from {item.__module__} import {item.__name__}"


def _imports_of_names(function) -> str | None:
    """Imports of the names that a lambda uses; `None` if one cannot be imported."""
    lines = []
    for name in function.__code__.co_names:
        if name not in function.__globals__:
            continue  # an attribute or a built-in
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            lines.append(_import_of_module(value, name))
        elif function.__module__ == "__main__":
            continue
        elif getattr(value, "__name__", None) == name and hasattr(
            value, "__qualname__"
        ):
            line = _import_of(value)
            if line is None:
                return None
            lines.append(line)
        else:
            return None
    return "\n".join(lines)


def _import_of_module(module, name):
    parent, _, last = module.__name__.rpartition(".")
    if module.__name__ == name:
        return f"import {name}"
    if parent and last == name:
        return f"from {parent} import {name}"
    return f"import {module.__name__} as {name}"


def _lambda_text(function):
    """The text of a lambda, if its lines show only one with this code."""
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        return None
    texts = {
        ast.unparse(node)
        for tree in _trees(source)
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and _has_code_of(node, function)
    }
    return texts.pop() if len(texts) == 1 else None


def _trees(source):
    """Syntax trees of lines that may begin and end in the middle of a call."""
    bare = source.rstrip(",")
    wrapped = (f"f({bare})", f"f({bare}", f"({bare}", f"{{{bare}}}", f"{{{bare}")
    for text in (bare, *wrapped, bare[:-1]):
        try:
            yield ast.parse(text)
        except SyntaxError:
            continue


def _has_code_of(node, function):
    compiled = compile(ast.Expression(node), "<lambda>", "eval")
    codes = [const for const in compiled.co_consts if inspect.iscode(const)]
    mine = function.__code__
    return any(
        code.co_code == mine.co_code
        and code.co_names == mine.co_names
        and code.co_consts == mine.co_consts
        for code in codes
    )
