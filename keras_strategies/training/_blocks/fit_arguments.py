"""Arguments of `fit`, `evaluate` and `predict` as data of blocks."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import (
    are_arrays,
    is_dataset,
    split_validation,
    unpacked,
)
from keras_strategies.training._data.arrays import Arrays, arrays_of_fit
from keras_strategies.training._data.dataset import Dataset
from keras_strategies.training._data.description import difference


def bind_arguments(
    method: str, model: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Returns all arguments of a call of a model's method by name, with defaults."""
    signature = inspect.signature(getattr(keras.Model, method))
    bound = signature.bind(model, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments["self"]
    arguments.update(arguments.pop("kwargs", {}))
    return arguments


def training_data(
    arguments: dict[str, Any],
    planned: Mapping[str, Any],
    batch_size: int | None,
    uses_blocks: bool,
) -> tuple[Arrays | Dataset | None, str | None]:
    """Returns the training data of `fit`, and why a plan does not suit them, if so.

    Takes `validation_split` out of `arguments`, as blocks have no part of arrays.

    Args:
        arguments: Arguments of `fit` by name.
        planned: Description of the data that the plan was made for.
        batch_size: Batch size that the plan was made for, `None` for any.
        uses_blocks: Whether a dataset is to be opened.
    """
    x, y, weight = (arguments[name] for name in ("x", "y", "sample_weight"))
    if is_dataset(x):
        data = Dataset(x, arguments["class_weight"], arguments["shuffle"])
    elif not are_arrays(x, y, weight):
        source = planned["source"]
        return None, f"it was made for {source}, `fit` was given other data"
    else:
        if arguments["validation_split"] and arguments["validation_data"] is None:
            (x, y, weight), arguments["validation_data"] = split_validation(
                x, y, weight, arguments["validation_split"]
            )
            arguments["validation_split"] = 0.0
        names = ("batch_size", "class_weight", "steps_per_epoch")
        data = arrays_of_fit(x, y, weight, *(arguments[name] for name in names))
        if data is None:
            return None, "it was made for dense arrays, `fit` was given others"
    problem = difference(planned, data.description)
    if not problem and is_dataset(x) and uses_blocks and not data.open():
        problem = "the dataset is empty"
    if (
        not problem
        and None not in (data.batch_size, batch_size)
        and (data.batch_size != batch_size)
    ):
        problem = (
            f"it was made for batch_size={batch_size}, `fit` uses "
            f"batch_size={data.batch_size}"
        )
    return data, problem


def validation_data(arguments: Mapping[str, Any]) -> Arrays | Dataset | None:
    """Returns the validation data of `fit`, `None` for none or for other data."""
    if arguments["validation_data"] is None:
        return None
    sources = unpacked(arguments["validation_data"])
    size = arguments["validation_batch_size"] or arguments["batch_size"]
    return evaluation_data(sources, size, arguments["validation_steps"])


def evaluation_data(
    sources: tuple[Any, Any, Any], batch_size: int | None, steps: int | None
) -> Arrays | Dataset | None:
    """Returns data of `evaluate` or `predict`, `None` if blocks do not support them."""
    if is_dataset(sources[0]):
        data = Dataset(sources[0])
        return data if data.is_fixed and data.open() else None
    data = arrays_of_fit(*sources, batch_size, None, steps)
    return None if data is None else data.limited_to(steps)
