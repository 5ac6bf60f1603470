"""What the outputs of models are: logits, probabilities or other values."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import output_structure
from keras_strategies.training._fine_tune.data import last_activations

# Losses whose outputs are one distribution over classes, or one for each number.
_CATEGORICAL = (
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "categoricalgeneralizedcrossentropy",
    "kldivergence",
)
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy")


_BY_ACTIVATION = {"softmax": ("categorical", False), "sigmoid": ("binary", False)}


def kind_of(loss: Any, activation: str | None = None) -> tuple[str, bool]:
    """`(kind, from_logits)` of the outputs that a compiled loss is made for.

    `kind` is `"categorical"`, `"binary"` or, for every other loss, `"values"`. Of one
    that is not Keras's own only `activation`, the last of the model, is known.
    """
    found = keras.losses.get(loss)
    name = getattr(found, "__name__", type(found).__name__)
    name = name.replace("_", "").lower().removeprefix("sparse")
    from_logits = False
    if isinstance(found, keras.losses.Loss):
        from_logits = bool(found.get_config().get("from_logits", False))
    if name in _CATEGORICAL:
        return "categorical", from_logits
    module = getattr(found, "__module__", None) or type(found).__module__
    if not module.startswith("keras.") and activation in _BY_ACTIVATION:
        return _BY_ACTIVATION[activation]
    return ("binary" if name in _BINARY else "values"), from_logits


def kinds_of(
    loss: Any,
    outputs: Any,
    names: list[str],
    activations: Sequence[str | None] = (),
) -> list[tuple[str, bool] | None]:
    """`kind_of` for each output, flat; `None` for an output without a loss.

    Args:
        loss: What `compile` was given: one loss, or a list or dict of them.
        outputs: The outputs of the model, in its structure.
        names: The names of the model's outputs, which a dict of losses may have.
        activations: The last activation of each output; empty if they are not known.
    """
    if loss is None:
        checks.fail(
            "The loss of the student must be known, also where it does not count",
            fix="Compile with it: it says whether outputs are logits, probabilities or "
            "other values.",
            loss=loss,
        )
    count = len(keras.tree.flatten(outputs))
    if isinstance(loss, Mapping):
        keys = sorted(outputs) if isinstance(outputs, Mapping) else names
        if not set(loss) <= set(keys):
            keys = names
        losses = [loss.get(key) for key in keys]
    elif isinstance(loss, list | tuple):
        losses = list(loss)
    else:
        losses = [loss] * count
    if len(losses) != count:
        checks.fail(
            "There must be one loss for each output of the student",
            losses=len(losses),
            outputs=count,
        )
    known = list(activations) if len(activations) == count else [None] * count
    return [
        None if item is None else kind_of(item, activation)
        for item, activation in zip(losses, known, strict=True)
    ]


def gives_logits(model: keras.Model, count: int) -> list[bool]:
    """Whether each of `count` outputs of a model, if for classes, is logits.

    A compiled loss says so; where there is none the last activation does.
    """
    found = [activation is None for activation in last_activations(model)]
    found = found if len(found) == count else found[:1] * count
    if getattr(model, "compiled", False) and model.loss is not None:
        outputs = output_structure(model) if shapes_of(model) else [None] * count
        kinds = kinds_of(model.loss, outputs, output_names(model))
        for position, kind in enumerate(kinds):
            if kind is not None and kind[0] != "values":
                found[position] = kind[1]
    return found


def are_logits(values: Any, kind: str) -> bool:
    """Whether numbers are logits: probabilities lie in [0, 1] and add up to 1."""
    values = np.asarray(values, "float32")
    if values.min() < 0 or values.max() > 1 + 1e-3:
        return True
    return kind == "categorical" and bool(
        np.abs(values.sum(axis=-1) - 1).max() > 0.05  # int8 outputs are rounded
    )


def shapes_of(model: keras.Model) -> list[tuple[int | None, ...]] | None:
    """The shapes of a model's outputs, flat; `None` where only a call tells."""
    if getattr(model, "outputs", None):
        return [tuple(output.shape) for output in model.outputs]
    return None


def check_same(student: Any, teacher: Any, what: str = "teacher") -> None:
    """Refuses shapes of outputs that cannot be compared: flat lists of shapes."""
    if student is None or teacher is None:
        return
    fits = len(student) == len(teacher) and all(
        len(a) == len(b)
        and all(
            x is None or y is None or x == y for x, y in zip(a[1:], b[1:], strict=True)
        )
        for a, b in zip(student, teacher, strict=True)
    )
    if not fits:
        checks.fail(
            "Teacher and student must have the same outputs",
            fix="Give models for the same classes or values, in the same order.",
            student=[tuple(shape[1:]) for shape in student],
            **{what: [tuple(shape[1:]) for shape in teacher]},
        )


def check_same_order(student: keras.Model, teacher: keras.Model) -> None:
    """Refuses several outputs that would be compared with others of the same shape.

    Outputs are compared one by one. Those in dicts belong together by their keys, those
    in lists by their position, which the names must not contradict.
    """
    if shapes_of(student) is None or shapes_of(teacher) is None:
        return
    names = [_names_in_order(model) for model in (student, teacher)]
    dicts = [isinstance(output_structure(m), Mapping) for m in (student, teacher)]
    swapped = names[0] != names[1] and sorted(names[0]) == sorted(names[1])
    if len(names[0]) > 1 and (any(dicts) and names[0] != names[1] or swapped):
        checks.fail(
            "Teacher and student must have the same outputs, in the same order",
            fix="Give outputs in dicts the same keys, outputs in lists the same order.",
            student=names[0],
            teacher=names[1],
        )


def keys_in_order(student: keras.Model, keys: Sequence[str]) -> list[str]:
    """The names of several outputs of a file in the order of the student's, flat."""
    for names in (_names_in_order(student), output_names(student)):
        if sorted(names) == sorted(keys):
            return names
    numbers = [re.fullmatch(r"output_(\d+)", key) for key in keys]
    if all(numbers):  # what exporters call the outputs in a list
        return sorted(keys, key=lambda key: int(key.rpartition("_")[2]))
    return checks.fail(
        "The outputs of a file must have the names of the student's, or be numbered",
        fix="Give the student's output layers the names that the file has.",
        student=output_names(student),
        file=sorted(keys),
    )


def _names_in_order(model):
    """Keys of a dict, or names of output layers, in the order of the flat outputs."""
    if shapes_of(model) is None:
        return []
    structure = output_structure(model)
    if isinstance(structure, Mapping):
        return sorted(structure)
    return output_names(model)


def output_names(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in order; empty where it has none."""
    return list(getattr(model, "output_names", None) or [])
