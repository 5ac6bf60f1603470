"""Labels that fit, splits without a leak, and batches."""

from typing import Any

import numpy as np

from keras_strategies._internal import checks


def class_labels(labels: Any, count: int, fix: str = "") -> tuple[np.ndarray, int]:
    """Integer labels 0 to K - 1 and K, checked."""
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        checks.fail(
            "`y` must have one class number for each sample",
            fix="For one-hot labels, give y.argmax(-1).",
            shape=y.shape,
        )
    if len(y) != count:
        checks.fail(
            "There must be as many labels as samples", samples=count, labels=len(y)
        )
    if y.dtype.kind == "b":
        y = y.astype("int64")
    if y.dtype.kind == "f" and (y == np.round(y)).all():
        y = y.astype("int64")
    if y.dtype.kind not in "iu":
        checks.fail(
            "Labels must be class numbers",
            fix="Number names with `names, y = np.unique(y, return_inverse=True)`.",
            dtype=str(y.dtype),
        )
    classes = np.unique(y)
    if len(classes) < 2 or classes[0] != 0 or classes[-1] != len(classes) - 1:
        checks.fail(
            "Labels must be the numbers 0, 1, ... K - 1, each of which occurs, with "
            "two classes at least",
            fix="Number them with `names, y = np.unique(y, return_inverse=True)`.",
            labels=classes[:10].tolist(),
        )
    return y.astype("int32"), len(classes)


def split(
    y: np.ndarray, fraction: float, seed: int, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and to validate with, of each class the same part."""
    fraction = checks.real(
        "validation_split", fraction, low=0, high=1, low_open=True, high_open=True
    )
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), bool)
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if stratify else None
    for group in groups or [np.arange(len(y))]:
        count = max(1, round(len(group) * fraction))
        if count >= len(group):
            checks.fail(
                "Each part of the data must have a sample"
                + (" of every class" if stratify else ""),
                fix="Give more samples, or `validation_data`.",
                samples=len(group),
                validation_split=fraction,
            )
        held[rng.choice(group, count, replace=False)] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def batches(
    inputs: Any, y: Any, batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> Any:
    """A `tf.data.Dataset` of arrays; trained on in another order in each epoch."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((inputs, y))
    if shuffle:
        dataset = dataset.shuffle(len(y), seed=seed, reshuffle_each_iteration=True)
    return dataset.batch(batch_size).prefetch(2)


def check_training(epochs: int, batch_size: int) -> None:
    """Arguments that every recipe has."""
    checks.integer("epochs", epochs, low=1)
    checks.integer("batch_size", batch_size, low=1)
