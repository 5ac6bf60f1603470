"""Searchable multilayer perceptron."""

from typing import Any

import keras
import keras_tuner

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.networks._network import (
    HyperNetwork,
    sample_repeated,
)


class HyperMLP(HyperNetwork):
    """A searchable multilayer perceptron: depth, widths, dropout and training.

    The usual first search on tabular data or small images. Hand it to any tuner
    of KerasTuner; there is no build function to write and no space to declare.
    The first hidden block is `Dense(units1)`, the activation and
    `Dropout(dropout1)`, and so on; the last layer, the loss and the metric follow
    from `task`. Inputs of more than one axis are flattened.

    The default space has these hyperparameters. A block beyond the smallest depth
    is in a conditional scope of `layers`, so that a tuner never spends trials on a
    width that is not used.

    | name | values |
    |---|---|
    | `layers` | 2 or 3 |
    | `units1`, `units2`, `units3` | integers 64 to 1024 |
    | `dropout1`, `dropout2`, `dropout3` | 0.25 to 0.75 |
    | `optimizer` | rmsprop, adam, sgd |
    | `batch_size` | integers 28 to 128 |

    Each range below is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included. The whole space is declared before the
    first trial, `batch_size` too.

    Args:
        input_shape: Shape of one example, a tuple of positive integers such as
            `(784,)` or `(8, 8, 1)`.
        classes: Number of classes, at least 2, for `task="classification"`. For
            `"regression"` the number of values to predict; `None` is 1. For `"binary"`
            `None` or 2. Defaults to `None`.
        task: `"classification"` (integer labels, softmax, sparse categorical
            cross-entropy, metric `accuracy`), `"binary"` (labels 0 and 1, one
            sigmoid output, binary cross-entropy, metric `accuracy`) or
            `"regression"` (linear output, mean squared error, metric
            `mean_absolute_error`). Defaults to `"classification"`.
        layers: Number of hidden blocks, at least 1. Defaults to `(2, 3)`.
        units: Width of each hidden layer, at least 1. Defaults to `(64, 1024)`.
        dropout: Dropped fraction after each hidden layer, in [0, 1). Defaults to
            `(0.25, 0.75)`.
        batch_size: Examples per step, at least 1. Defaults to `(28, 128)`. `None`
            leaves it to `tuner.search(..., batch_size=...)`; needed for data that
            is already batched, such as a `tf.data.Dataset`.
        optimizer: One name of a Keras optimizer, or several to choose from.
            Defaults to `("rmsprop", "adam", "sgd")`.
        learning_rate: One number greater than 0, a pair that is searched on a log
            scale, or `None` for the default of each optimizer. Defaults to `None`.
        activation: One name of a Keras activation, or several to choose from.
            Defaults to `"relu"`.
        loss: Loss in place of that of the task, for example
            `"categorical_crossentropy"` for one-hot labels. Defaults to `None`.
        epochs: Number of epochs of a trial, at least 1, one number or a pair. Defaults
            to `None`, which leaves it to `tuner.search(..., epochs=...)`; needed for
            Hyperband, which sets it itself.
        schedule: Schedule of the learning rate over the epochs of a trial, one name or
            several to choose from: `"constant"`, `"step"` (1, then 0.1, then 0.01
            of it), `"exponential"` (down towards 0.01 of it), `"cosine"` (down to 0)
            or `"one_cycle"` (up for 30 % of the steps, then down). Defaults to `None`,
            constant and not in the space.
        name: Name of the hypermodel. Defaults to `None`.
        tunable: `False` keeps the hyperparameters out of the search space; they
            take their smallest or first values. Defaults to `True`.

    Raises:
        ValueError: If a range or a name cannot be used.
        TypeError: If an argument has the wrong type.
        keras_tuner.errors.FatalValueError: If `batch_size` or `epochs` is given
            twice or `batch_size` is set for data that is already batched. It ends
            the search at once.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperMLP

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperMLP(input_shape=(4,), classes=2, units=(4, 16)),
        objective="val_accuracy",
        max_trials=2,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=2, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        classes: int | None = None,
        task: Task = "classification",
        layers: ranges.IntRange = (2, 3),
        units: ranges.IntRange = (64, 1024),
        dropout: ranges.FloatRange = (0.25, 0.75),
        batch_size: ranges.IntRange | None = (28, 128),
        optimizer: ranges.Names = ("rmsprop", "adam", "sgd"),
        learning_rate: ranges.FloatRange | None = None,
        activation: ranges.Names = "relu",
        loss: Any = None,
        epochs: ranges.IntRange | None = None,
        schedule: ranges.Names | None = None,
        name: str | None = None,
        tunable: bool = True,
    ) -> None:
        shape = _task.check_input_shape(
            input_shape,
            fix="For 784 features pass (784,). A dense layer needs every axis; pad or "
            "resize the data.",
        )
        self.layers: tuple[int, int] = ranges.int_range("layers", layers, low=1)
        self.units: tuple[int, int] = ranges.int_range("units", units, low=1)
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        self.activation: tuple[str, ...] = ranges.names(
            "activation", activation, _task.activations()
        )
        super().__init__(
            shape,
            classes,
            task,
            optimizer=optimizer,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            schedule=schedule,
            loss=loss,
            name=name,
            tunable=tunable,
        )

    _model_name = "mlp"

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        x = inputs
        if len(self.input_shape) > 1:
            x = keras.layers.Flatten()(x)
        for units, dropout in values["blocks"]:
            x = keras.layers.Dense(units, activation=values["activation"])(x)
            x = keras.layers.Dropout(dropout)(x)
        return x

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        return {
            "blocks": sample_repeated(hp, "layers", self.layers, self._sample_block),
            "activation": ranges.sample_choice(hp, "activation", self.activation),
        }

    def _sample_block(
        self, hp: keras_tuner.HyperParameters, k: int
    ) -> tuple[int, float]:
        return (
            ranges.sample_int(hp, f"units{k}", self.units),
            ranges.sample_float(hp, f"dropout{k}", self.dropout),
        )
