"""Checks of the model and the data given to `accelerate`."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.step_blocks import (
    are_arrays,
    check_step,
    is_dataset,
    is_distributed,
    loss_of_batch,
)
from keras_strategies.training._data.arrays import Arrays, arrays_of_fit
from keras_strategies.training._data.dataset import Dataset
from keras_strategies.training._model_state import preserve_state


def check_model(model: keras.Model) -> None:
    """Refuses a model whose steps cannot be compiled in blocks."""
    checks.instance("model", model, keras.Model)
    if not model.compiled:
        checks.fail(
            "`model` must be compiled", model=model.name, fix="Call `model.compile`."
        )
    if not model.built:
        checks.fail(
            "`model` must be built",
            model=model.name,
            fix="Give it an `Input`, or call it on a batch.",
        )
    if model.run_eagerly:
        checks.fail(
            "`model` must be compiled with run_eagerly=False",
            run_eagerly=True,
            fix="An eager model has no compiled step; compile it again without.",
        )
    if model.optimizer is None:
        checks.fail("`model` must have an optimizer", optimizer=None)
    if is_distributed(model):
        checks.fail(
            "`model` must run on one device",
            model=model.name,
            fix="Plans for distributed training do not exist.",
        )


_OTHER_SOURCES = (
    "Give arrays of the same shapes to measure with, or train with training.fit, which "
    "takes all that plain fit takes."
)


def checked_data(
    model: keras.Model, x: Any, y: Any, sample_weight: Any, batch_size: int
) -> Arrays | Dataset:
    """Returns `Arrays` or an opened `Dataset` that the model can be trained on."""
    if is_dataset(x):
        data = _opened_dataset(x, y, sample_weight)
        arrays = data.head
    else:
        data = _dense_arrays(x, y, sample_weight, batch_size)
        arrays = data.arrays
    _check_match(model, data.head)
    _check_finite(model, arrays, data.batch_size)
    return data


def _dense_arrays(x, y, sample_weight, batch_size):
    if not are_arrays(x, y, sample_weight):
        checks.fail(
            "`x`, `y` and `sample_weight` must be arrays or nests of arrays; only "
            "`x` may also be a `tf.data.Dataset` or a `PyDataset`",
            error=TypeError,
            fix=_OTHER_SOURCES,
            x=type(x),
        )
    data = arrays_of_fit(x, y, sample_weight, batch_size)
    if data is None:
        checks.fail(
            "`x` and `y` must be dense arrays of numbers", fix=_OTHER_SOURCES, x=type(x)
        )
    if not data.rows:
        checks.fail("`x` must have rows", rows=data.rows)
    return data


def _opened_dataset(x, y, sample_weight):
    """A `Dataset` whose first batch was read."""
    if y is not None or sample_weight is not None:
        checks.fail(
            "`y` and `sample_weight` must come out of the dataset",
            y=type(y),
            sample_weight=type(sample_weight),
        )
    data = Dataset(x)
    if data.specification is None:
        checks.fail("batches of the dataset must be dense", x=type(x))
    if not data.open():
        checks.fail("the dataset must have batches", x=type(x))
    return data


def _check_finite(model, arrays, batch_size):
    """Refuses values that are not finite and make the loss so.

    A model or a loss may mask them, as targets that are missing in some rows: so the
    loss of one batch of such rows decides.
    """
    leaves = [
        leaf
        for leaf in keras.tree.flatten(arrays)
        if getattr(getattr(leaf, "dtype", None), "kind", None) == "f"
        and isinstance(leaf, np.ndarray)
    ]
    counts = [int(leaf.size - np.isfinite(leaf).sum()) for leaf in leaves]
    if not any(counts):
        return
    is_bad = np.zeros(max(len(leaf) for leaf in leaves), bool)
    for leaf in leaves:
        finite = np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
        is_bad[: len(leaf)] |= ~finite
    rows = np.flatnonzero(is_bad)[:batch_size]
    batch = keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[rows], arrays
    )
    with preserve_state(model):
        loss = loss_of_batch(model, batch)
    if not np.isfinite(loss):
        checks.fail(
            "data must be finite, or their loss; training on them gives NaN weights",
            values_that_are_not_finite=sum(counts),
            loss_of_such_rows=loss,
        )


def _check_match(model, batch):
    """Raises if the model cannot be trained on such a batch, without computing."""
    try:
        check_step(model, batch)
    except Exception as error:
        shapes = keras.tree.map_structure(
            lambda leaf: None if leaf is None else str(leaf.shape), batch
        )
        text = str(error).strip().split("\n")[0]
        raise ValueError(
            checks.message("data must match the model", {"batch": shapes}, text)
        ) from error
