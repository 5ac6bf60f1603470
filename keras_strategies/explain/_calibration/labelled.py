"""Outputs of a model with their labels, as probabilities or as logits."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Outputs and labels of positions that were classified.

    Attributes:
        values: `(positions, classes)`; what the model gave, float64.
        labels: `(positions,)` class numbers for `"softmax"`, else `(positions, labels)`
            of 0 and 1.
        kind: `"softmax"`, one class of several, or `"sigmoid"`, each label by itself.
    """

    values: np.ndarray
    labels: np.ndarray
    kind: str


def batches(data: Any, name: str) -> Iterator[tuple[Any, np.ndarray]]:
    """Inputs and labels of `(x, y)`, or of a data set of such batches."""
    if isinstance(data, tuple) and len(data) in (2, 3):
        yield data[0], np.asarray(data[1])
        return
    is_stream = hasattr(data, "__iter__") or isinstance(data, keras.utils.PyDataset)
    if not is_stream or isinstance(data, list | dict) or hasattr(data, "__array__"):
        checks.fail(
            f"`{name}` must be a tuple (x, y), or a data set of such batches",
            error=TypeError,
            **{name: type(data).__name__},
        )
    items = data
    if isinstance(data, keras.utils.PyDataset):
        items = (data[index] for index in range(len(data)))
    for batch in items:
        if not isinstance(batch, tuple) or len(batch) < 2:
            checks.fail(
                f"`{name}` must have batches (x, y)", batch=type(batch).__name__
            )
        convert = keras.ops.convert_to_numpy
        yield batch[0], np.asarray(convert(batch[1]))


def collect(predict: Any, data: Any, name: str, kind: str | None) -> Labelled:
    """Runs a model over data.

    Args:
        predict: From inputs to outputs.
        data: `(x, y)` or batches.
        name: The name of the argument, for errors.
        kind: `"softmax"` or `"sigmoid"` where it is known, else by the labels.
    """
    outputs, labels = [], []
    for x, y in batches(data, name):
        found = predict(x)
        if isinstance(found, list | tuple | dict):
            leaves = keras.tree.flatten(found)
            if len(leaves) != 1:
                checks.fail("The model must have one output", outputs=len(leaves))
            [found] = leaves
        outputs.append(np.asarray(found, "float64"))
        labels.append(y)
    if not outputs:
        checks.fail(f"`{name}` must have a batch", batches=0)
    return labelled(np.concatenate(outputs), np.concatenate(labels), name, kind)


def sum_to_one(values: np.ndarray) -> bool:
    """Whether rows sum up to 1, but for rounding to 1 / 256 in int8 files."""
    slack = 1e-3 + values.shape[-1] / 256
    return bool(np.abs(values.sum(axis=-1) - 1).max() <= slack)


def labelled(
    values: np.ndarray, labels: np.ndarray, name: str, kind: str | None
) -> Labelled:
    """Brings outputs and labels into their form; refuses what does not fit."""
    values = values[:, None] if values.ndim == 1 else values
    if not np.isfinite(values).all():
        checks.fail(
            "The outputs of the model must be finite",
            not_finite=int((~np.isfinite(values)).sum()),
            samples=len(values),
        )
    labels = np.asarray(labels)
    classes, shape = values.shape[-1], values.shape[:-1]
    if labels.shape == (*shape, 1) and classes > 1:
        labels = labels[..., 0]
    if labels.shape == shape and classes == 1:
        labels = labels[..., None]
    is_full = labels.shape == values.shape
    if not is_full and labels.shape != shape:
        checks.fail(
            f"The labels of `{name}` must fit the outputs of the model",
            outputs=values.shape,
            labels=labels.shape,
        )
    if is_full and not np.isin(labels, (0, 1)).all():
        rule = f"The labels of `{name}` must be 0 or 1, or class numbers"
        checks.fail(rule, labels=[float(labels.min()), float(labels.max())])
    one_hot = is_full and classes > 1 and bool((labels.sum(axis=-1) == 1).all())
    if kind is None:
        # Rows of probabilities that do not sum up to 1, or labels with several ones or
        # none, are labels of their own.
        inside = values.min() >= 0 and values.max() <= 1 + 1e-3
        several = inside and not sum_to_one(values)
        kind = "sigmoid" if several or (is_full and not one_hot) else "softmax"
    values = values.reshape(-1, classes)
    if kind == "softmax":
        if is_full and not one_hot:
            rule = "A model with softmax needs one class a sample"
            checks.fail(rule, labels=labels.shape)
        numbers = (labels.argmax(axis=-1) if is_full else labels).reshape(-1)
        if (
            (numbers < 0).any()
            or (numbers >= classes).any()
            or (numbers != np.floor(numbers)).any()
        ):
            checks.fail(
                f"The labels of `{name}` must be integers in [0, {classes - 1}]",
                labels=[float(numbers.min()), float(numbers.max())],
            )
        return Labelled(values, numbers.astype(int), kind)
    if not is_full:
        labels = np.eye(classes)[labels.astype(int)]
    return Labelled(values, labels.reshape(-1, classes).astype(float), kind)
