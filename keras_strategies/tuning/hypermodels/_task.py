"""What a task asks of a network: its head, loss and metric; names that Keras knows."""

import inspect

import keras

from keras_strategies._internal import checks

TASKS = ("classification", "binary", "regression")
# task -> activation of the output, loss, metric
HEADS = {
    "classification": ("softmax", "sparse_categorical_crossentropy", "accuracy"),
    "binary": ("sigmoid", "binary_crossentropy", "accuracy"),
    "regression": ("linear", "mean_squared_error", "mean_absolute_error"),
}


def optimizers():
    """Keras's optimizers by lower-case name."""
    return {
        name.lower(): cls
        for name, cls in vars(keras.optimizers).items()
        if inspect.isclass(cls)
        and issubclass(cls, keras.optimizers.Optimizer)
        and "learning_rate" in inspect.signature(cls).parameters
        and cls is not keras.optimizers.Optimizer
    }


def activations():
    """Keras's activation functions by name."""
    return [
        name
        for name, thing in vars(keras.activations).items()
        if inspect.isfunction(thing) and name not in ("get", "serialize", "deserialize")
    ]


def input_shape(value, *, axes=None, fix="Pad or resize the data."):
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


def outputs(task, classes):
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
