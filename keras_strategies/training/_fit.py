"""Accelerated training in one call."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.base_methods import is_overridden
from keras_strategies.training._accelerate import accelerate
from keras_strategies.training._blocks.fit_arguments import bind_arguments
from keras_strategies.training._choice.choosing_fit import choosing_fit
from keras_strategies.training.execution_plan import installed_plan

_MEASURED = ("time_limit", "candidates")
_OPTIONS = {"memory_limit": 2**30, "seed": None}


def fit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int = 32,
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains `model` as `model.fit` does, and as fast as it pays.

    The first two epochs run as plain `fit`. From their times, and from how many epochs
    are to come, follows whether another way of `accelerate` is worth its compilation;
    it is then tried on the next two epochs, which count as training, and kept if it is
    the fastest. A way is tried only if the whole training, even if that was in vain,
    takes at most a tenth longer than plain `fit`: with few epochs nothing is tried.
    Fits of the same model and data continue where the last one stood; callbacks of
    yours that act on the model at each step leave it at plain `fit`.

    What was measured is stored for the next run of the script, in the directory
    `plans` of the one that the environment variable `KERAS_STRATEGIES_CACHE` names
    (empty for nowhere), by default `~/.keras/keras_strategies`. It counts only for the
    same layers, loss, metrics, optimizer, data shapes, versions and processor.

    A plan that the model has already is used. With `time_limit` or `candidates`,
    `accelerate` measures before the training begins. Generators, `PyDataset`, an
    optimizer with `use_ema`, `steps_per_epoch` and `BackupAndRestore` train as in plain
    `fit`, unless the model has a plan.

    Args:
        model: Compiled model.
        x: Inputs, as for `model.fit`.
        y: Targets, as for `model.fit`. Defaults to `None`.
        sample_weight: Sample weights, as for `model.fit`. Defaults to `None`.
        batch_size: Rows of a batch. Defaults to `32`.
        **kwargs: `time_limit`, `candidates`, `memory_limit` and `seed` of
            `accelerate`; all others for `model.fit`.

    Returns:
        The `History` of `model.fit`.

    Raises:
        ValueError: As `model.fit` does, and `accelerate` if it measures.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    x, y = np.random.normal(size=(256, 8)), np.random.normal(size=(256, 1))
    history = training.fit(model, x, y, epochs=3, verbose=0)
    print(history.history["loss"])
    ```
    """
    measured = {name: kwargs.pop(name) for name in _MEASURED if name in kwargs}
    options = {name: kwargs.pop(name, value) for name, value in _OPTIONS.items()}
    checks.integer("memory_limit", options["memory_limit"], low=1)
    checks.integer("seed", options["seed"], low=0, high=2**31 - 1, optional=True)
    checks.integer("batch_size", batch_size, low=1)
    given = {**kwargs, "y": y, "sample_weight": sample_weight}
    given = {name: value for name, value in given.items() if value is not None}
    if batch_size != 32:  # Keras's default, which a `fit` of the user's may not know
        given["batch_size"] = batch_size
    if measured and installed_plan(model) is None:
        accelerate(model, x, y, sample_weight, batch_size, **measured, **options)
    elif _chooses(model):
        arguments = bind_arguments("fit", model, (x,), given)
        arguments["batch_size"] = batch_size
        history = choosing_fit(model, arguments, options)
        if history is not None:
            return history
    return model.fit(x, **given)


def _chooses(model):
    """Whether the way to train is to be chosen while the model trains."""
    if is_overridden(model, "fit"):
        return False  # it may do more than one fit
    plan = installed_plan(model)
    return plan is None or plan.is_chosen_in_training
