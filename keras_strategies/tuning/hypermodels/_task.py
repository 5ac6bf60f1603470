"""Tasks of a network, its head, loss and metric, and the names that Keras knows."""

import inspect
from typing import Any, Literal, TypeAlias, get_args

import keras

from keras_strategies._internal import checks

Task: TypeAlias = Literal["classification", "binary", "regression"]
TASKS: tuple[str, ...] = get_args(Task)
# task -> activation of the output, loss, metric
HEADS = {
    "classification": ("softmax", "sparse_categorical_crossentropy", "accuracy"),
    "binary": ("sigmoid", "binary_crossentropy", "accuracy"),
    "regression": ("linear", "mean_squared_error", "mean_absolute_error"),
}


def optimizers() -> dict[str, type[Any]]:
    """Keras's optimizers by lower-case name."""
    return {
        name.lower(): cls
        for name, cls in vars(keras.optimizers).items()
        if inspect.isclass(cls)
        and issubclass(cls, keras.optimizers.Optimizer)
        # Not wrappers such as LossScaleOptimizer.
        and "learning_rate" in inspect.signature(cls).parameters
        and cls is not keras.optimizers.Optimizer
    }


def default_learning_rate(optimizer: str) -> float:
    """The default learning rate of an optimizer by its lower-case name."""
    parameters = inspect.signature(optimizers()[optimizer]).parameters
    return parameters["learning_rate"].default


def activations() -> list[str]:
    """Names of Keras's activation functions."""
    return [
        name
        for name, item in vars(keras.activations).items()
        if inspect.isfunction(item) and name not in ("get", "serialize", "deserialize")
    ]


def check_input_shape(
    value: Any, *, axes: int | None = None, fix: str = "Pad or resize the data."
) -> tuple[int, ...]:
    """Checks the shape of one example; `axes` is the number of axes it must have."""
    rule = "`input_shape` must be a tuple of positive integers without the batch axis"
    if axes is not None:
        rule = f"`input_shape` must be a tuple of {axes} positive integers"
    if not isinstance(value, list | tuple) or not value:
        checks.fail(rule, input_shape=value, fix=fix)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in value):
        checks.fail(rule, input_shape=value, fix=fix)
    if axes is not None and len(value) != axes:
        checks.fail(rule, input_shape=value, fix=fix)
    return tuple(value)


def num_outputs(task: str, classes: int | None) -> int:
    """Width of the output layer."""
    if task == "classification":
        return checks.integer(
            "classes",
            classes,
            low=2,
            fix='Pass the number of classes, or task="regression" or "binary".',
        )
    if task == "binary":
        if classes not in (None, 2):
            checks.fail(
                '`classes` must be None or 2 with task="binary"',
                classes=classes,
                fix='Pass task="classification" for more classes.',
            )
        return 1
    return 1 if classes is None else checks.integer("classes", classes, low=1)
