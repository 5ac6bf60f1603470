"""Search of the initializer of kernels."""

from typing import Any

import keras

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    model_or_default,
)


class HyperInitializer(TunedModel):
    """Searches how the kernels of a network are initialized.

    Varies a small default network, or any compiled model (`model=`) without rewriting
    it: the searched initializer is that of all kernels, including those of the head
    and of recurrent layers. Differences are small where batch normalization follows;
    use several executions of each trial (`executions_per_trial`).

    | name | values |
    |---|---|
    | `initializer` | glorot and he, uniform and normal; lecun_normal, orthogonal |

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        initializer: Names of Keras initializers to choose from. Defaults to
            `("glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
            "lecun_normal", "orthogonal")`.
        model: A compiled Keras model to vary instead of the default network.
            Defaults to `None`.
        **kwargs: Further arguments of `tune_model`; what is not named here is not
            searched.

    Raises:
        ValueError: If a range or a name cannot be used, or the model cannot be
            changed this way.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperInitializer

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperInitializer((4,), classes=2),
        objective="val_accuracy",
        max_trials=1,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=1, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        classes: int | None = None,
        task: Task = "classification",
        initializer: ranges.Names | None = (
            "glorot_uniform",
            "glorot_normal",
            "he_uniform",
            "he_normal",
            "lecun_normal",
            "orthogonal",
        ),
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            initializer=initializer,
            **kwargs,
        )
