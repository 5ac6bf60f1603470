"""A combination of strategies as Python lines for the user's own script."""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence

import keras

from keras_strategies.ablation._strategy import Strategy

_DATASET = """
train_data = tf.data.Dataset.from_tensor_slices((x_train, y_train))
train_data = train_data.shuffle(len(x_train)).batch({batch_size})
"""


def script(
    strategies: Sequence[Strategy], model: keras.Model, epochs: int, batch_size: int
) -> str:
    """Lines for a script that has `model`, `x_train`, `y_train`, `x_val`, `y_val`."""
    texts = [_texts(strategy, model, epochs) for strategy in strategies]
    pairs = list(zip(strategies, texts, strict=True))
    arguments = {"epochs": epochs, "batch_size": batch_size}
    for strategy in strategies:
        arguments.update(strategy.fit or {})
    has_batches = any(text.get("batches") for text in texts)
    body = _parts(pairs, "model") + _parts(pairs, "data")
    optimizer = _parts(pairs, "optimizer")
    if optimizer:
        body += ["", "optimizer = model.optimizer", *optimizer, *_COMPILE]
    if has_batches:
        body += ["", *_DATASET.format(**arguments).strip().splitlines()]
        body += _parts(pairs, "batches")
        arguments.pop("batch_size")
    body += ["", "callbacks = []", *_parts(pairs, "callbacks")]
    for strategy in strategies:
        if strategy.changes == ("fit",):
            body += ["", f"# {_title(strategy)}: in `fit`"]
    body += _fit(arguments, has_batches)
    return "\n".join([*_imports(texts, has_batches), *body]) + "\n"


_COMPILE = (
    "model.compile_from_config(",
    "    {",
    "        **model.get_compile_config(),",
    '        "optimizer": keras.optimizers.serialize(optimizer),',
    "    }",
    ")",
)


def _imports(texts, has_batches):
    lines = {"import keras"} | ({"import tensorflow as tf"} if has_batches else set())
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


def _title(strategy):
    return f"{strategy.name}: {strategy.why}" if strategy.why else strategy.name


def _fit(arguments, has_batches):
    data = ["train_data"] if has_batches else ["x_train", "y_train"]
    return [
        "",
        "model.fit(",
        *(f"    {name}," for name in data),
        *(f"    {name}={value!r}," for name, value in arguments.items()),
        *(["    shuffle=False,"] if has_batches else []),
        "    validation_data=(x_val, y_val),",
        "    callbacks=callbacks,",
        ")",
    ]


def _texts(strategy: Strategy, model: keras.Model, epochs: int) -> Mapping[str, str]:
    """The lines of a strategy by part: its own, or calls of its functions."""
    if strategy.code is not None:
        code = strategy.code
        return code(model, epochs) if callable(code) else code
    mine = f"strategies[{strategy.name!r}]"
    texts = {}
    if strategy.model is not None:
        name = _callable_text(strategy.model)
        texts["model"] = (
            f"model = {mine}.change_model(model, x_train)"
            if name is None or "x" in inspect.signature(strategy.model).parameters
            else f"model = {name}(model) or model"
        )
    if strategy.optimizer is not None:
        name = _callable_text(strategy.optimizer) or f"{mine}.optimizer"
        texts["optimizer"] = f"optimizer = {name}(optimizer)"
    if strategy.callbacks is not None:
        name = _callable_text(strategy.callbacks)
        texts["callbacks"] = (
            f"callbacks += {mine}.make_callbacks({epochs}, None)"
            if name is None or inspect.signature(strategy.callbacks).parameters
            else f"callbacks += {name}()"
        )
    for number, change in enumerate(strategy.data_changes()):
        part, line = _data_line(change, f"{mine}.data_changes()[{number}]")
        texts[part] = f"{texts.get(part, '')}\n{line}".strip()
    return texts


def _data_line(change, fallback):
    if isinstance(change, keras.layers.Layer):
        call = f"{fallback}(x, training=True)"
        return "batches", f"train_data = train_data.map(lambda x, y: ({call}, y))"
    if hasattr(change, "flow"):
        return "data", f"x_train, y_train = {fallback}.flow(x_train, y_train), None"
    name = _callable_text(change) or fallback
    return "data", f"x_train, y_train = {name}(x_train, y_train)"


def _callable_text(function):
    """A function by its name, a lambda by its text; `None` if neither is to be had."""
    if not inspect.isfunction(function):
        return None
    if function.__name__ != "<lambda>":
        # A function inside another one has no name in a script.
        return None if "<locals>" in function.__qualname__ else function.__name__
    text = _lambda_text(function) if function.__closure__ is None else None
    return None if text is None else f"({text})"


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
        code.co_code == mine.co_code and code.co_names == mine.co_names
        for code in codes
    )
