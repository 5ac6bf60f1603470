"""Accelerated training in one call."""

from typing import Any

import keras

from keras_strategies.training._accelerate import accelerate
from keras_strategies.training.execution_plan import installed_plan

_OPTIONS = ("time_limit", "candidates", "memory_limit", "seed")


def fit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    batch_size: int = 32,
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains `model` in the fastest way: `accelerate`, unless done, then `model.fit`.

    A plan that the model has already is used, so that repeated calls measure once. The
    options of `accelerate` then have no effect.

    Args:
        model: Built and compiled model.
        x: Inputs, as for `model.fit`.
        y: Targets, as for `model.fit`. Defaults to `None`.
        sample_weight: Sample weights, as for `model.fit`. Defaults to `None`.
        batch_size: Rows of a batch. Defaults to `32`.
        **kwargs: `time_limit`, `candidates`, `memory_limit` and `seed` for
            `accelerate`; all others for `model.fit`.

    Returns:
        The `History` of `model.fit`.

    Raises:
        ValueError: As `accelerate` and `model.fit` do.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    x, y = np.random.normal(size=(256, 8)), np.random.normal(size=(256, 1))
    history = training.fit(model, x, y, epochs=3, time_limit=3, verbose=0)
    print(history.history["loss"])
    ```
    """
    options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
    if installed_plan(model) is None:
        accelerate(model, x, y, sample_weight, batch_size, **options)
    return model.fit(x, y, sample_weight=sample_weight, batch_size=batch_size, **kwargs)
