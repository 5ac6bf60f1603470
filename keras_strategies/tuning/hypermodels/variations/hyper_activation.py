"""Search of the activation of hidden layers."""

from typing import Any

import keras

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    model_or_default,
)


class HyperActivation(TunedModel):
    """Searches the activation of the hidden layers of a network.

    Varies a small default network, or any compiled model (`model=`) without rewriting
    it: all hidden activations become the searched one. Heads, gates (sigmoid,
    softmax) and recurrent layers are not changed. The learning rate is searched too,
    because the best one differs between activations.

    | name | values |
    |---|---|
    | `activation` | relu, leaky_relu, elu, gelu, silu, selu, tanh |
    | `learning_rate` | 0.0001 to 0.01, log scale |

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        activation: Names of Keras activations to choose from. Defaults to
            `("relu", "leaky_relu", "elu", "gelu", "silu", "selu", "tanh")`.
        learning_rate: Range of the learning rate, searched on a log scale, or
            `None` to keep that of the model. Defaults to `(1e-4, 1e-2)`.
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
    from keras_strategies.tuning import HyperActivation

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperActivation((4,), classes=2, activation=("relu", "tanh")),
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
        activation: ranges.Names | None = (
            "relu",
            "leaky_relu",
            "elu",
            "gelu",
            "silu",
            "selu",
            "tanh",
        ),
        learning_rate: ranges.FloatRange | None = (1e-4, 1e-2),
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            activation=activation,
            learning_rate=learning_rate,
            **kwargs,
        )
