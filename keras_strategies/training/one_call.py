"""`accelerate` and `fit` in one call."""

from keras_strategies.training.accelerate import accelerate
from keras_strategies.training.execution_plan import installed_plan

_OPTIONS = ("budget_seconds", "candidates", "memory_limit", "seed")


def fit(model, x, y=None, *, sample_weight=None, batch_size=32, **kwargs):
    """Trains `model` in the fastest way: `accelerate`, unless done, then `fit`.

    A plan that the model has already is used as it is, so that a loop of calls
    measures once. The options of `accelerate` then have no effect.

    Args:
        model: Built and compiled model.
        x: Inputs, as for `model.fit`.
        y: Targets, as for `model.fit`.
        sample_weight: Sample weights, as for `model.fit`.
        batch_size: Rows of a batch. Defaults to `32`.
        **kwargs: `budget_seconds`, `candidates`, `memory_limit` and `seed` go to
            `accelerate`, everything else to `model.fit`.

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
    history = training.fit(model, x, y, epochs=3, budget_seconds=3, verbose=0)
    print(history.history["loss"])
    ```
    """
    options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
    if installed_plan(model) is None:
        accelerate(model, x, y, sample_weight, batch_size, **options)
    return model.fit(x, y, sample_weight=sample_weight, batch_size=batch_size, **kwargs)
