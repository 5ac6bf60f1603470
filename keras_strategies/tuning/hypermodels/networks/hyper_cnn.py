"""Searchable convolutional network."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._images import (
    channel_axis,
    spatial_size,
)
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.networks._network import (
    HyperNetwork,
    NetworkArguments,
    sample_repeated,
)


def _kernel_size(name: str, value: Any) -> int:
    value = checks.integer(name, value, low=1)
    if value % 2 == 0:
        checks.fail(f"`{name}` must be odd", **{name: value})
    return value


class HyperCNN(HyperNetwork):
    """A searchable convolutional network for images, trained from scratch.

    The usual first search on small images. Hand it to any tuner of KerasTuner. Each
    block is one or two convolutions (with batch normalization or without) and a
    pooling that halves the image; then come global average pooling, one dense layer
    with dropout, and the head of the task. An image that is too small to be halved
    again is not pooled.

    | name | values |
    |---|---|
    | `blocks` | 2 to 4 |
    | `filters1`, `filters2`, ... | 16 to 128, one for each block |
    | `convolutions` | 1 or 2 in each block |
    | `kernel_size` | 3 or 5 |
    | `pooling` | max, avg |
    | `batch_normalization` | yes or no |
    | `dropout` | 0 to 0.5 |
    | `units` | 32 to 256 |
    | `learning_rate` | 0.0001 to 0.01, log scale |
    | `batch_size` | 16 to 128 |

    Each range is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included; each choice is one value or several.

    Args:
        input_shape: `(height, width, channels)`, in the order of Keras's
            `image_data_format`.
        classes: Number of classes, or of values for `task="regression"`, as in
            `HyperMLP`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`; sets head, loss and
            metric, as in `HyperMLP`. Defaults to `"classification"`.
        blocks: Number of blocks, at least 1. Defaults to `(2, 4)`.
        filters: Filters of the convolutions of each block, at least 1. Defaults to
            `(16, 128)`.
        convolutions: Convolutions in a block, at least 1. Defaults to `(1, 2)`.
        kernel_size: Odd sizes of the kernels to choose from. Defaults to `(3, 5)`.
        pooling: `"max"`, `"avg"` or both. Defaults to `("max", "avg")`.
        batch_normalization: `True`, `False` or both: whether each convolution is
            normalized before its activation. Defaults to `(True, False)`.
        dropout: Dropped fraction before the head, in [0, 1). Defaults to
            `(0.0, 0.5)`.
        units: Width of the dense layer, at least 1. Defaults to `(32, 256)`.
        activation: One name of a Keras activation, or several. Defaults to `"relu"`.
        **kwargs: `batch_size` (default `(16, 128)`), `epochs`, `schedule`,
            `optimizer` (default `"adam"`), `learning_rate` (default
            `(1e-4, 1e-2)`), `loss`, `name` and `tunable`, as in `HyperMLP`.

    Raises:
        ValueError: If a range or a name cannot be used.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperCNN

    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperCNN((8, 8, 1), classes=2, blocks=1, filters=(4, 8), units=8),
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
        input_shape: tuple[int, ...],
        classes: int | None = None,
        task: Task = "classification",
        blocks: ranges.IntRange = (2, 4),
        filters: ranges.IntRange = (16, 128),
        convolutions: ranges.IntRange = (1, 2),
        kernel_size: int | Sequence[int] = (3, 5),
        pooling: ranges.Names = ("max", "avg"),
        batch_normalization: bool | Sequence[bool] = (True, False),
        dropout: ranges.FloatRange = (0.0, 0.5),
        units: ranges.IntRange = (32, 256),
        activation: ranges.Names = "relu",
        **kwargs: Unpack[NetworkArguments],
    ) -> None:
        shape = _task.check_input_shape(input_shape, axes=3, fix="Pass (28, 28, 1).")
        self.blocks: tuple[int, int] = ranges.int_range("blocks", blocks, low=1)
        self.filters: tuple[int, int] = ranges.int_range("filters", filters, low=1)
        self.convolutions: tuple[int, int] = ranges.int_range(
            "convolutions", convolutions, low=1
        )
        self.kernel_size: tuple[int, ...] = ranges.distinct(
            "kernel_size", kernel_size, _kernel_size
        )
        self.pooling: tuple[str, ...] = ranges.names("pooling", pooling, ("max", "avg"))
        self.batch_normalization: tuple[bool, ...] = ranges.flags(
            "batch_normalization", batch_normalization
        )
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        self.units: tuple[int, int] = ranges.int_range("units", units, low=1)
        self.activation: tuple[str, ...] = ranges.names(
            "activation", activation, _task.activations()
        )
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "cnn"

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        return {
            "filters": sample_repeated(
                hp,
                "blocks",
                self.blocks,
                lambda hp, k: ranges.sample_int(hp, f"filters{k}", self.filters),
            ),
            "convolutions": ranges.sample_int(hp, "convolutions", self.convolutions),
            "kernel_size": ranges.sample_choice(hp, "kernel_size", self.kernel_size),
            "pooling": ranges.sample_choice(hp, "pooling", self.pooling),
            "batch_normalization": ranges.sample_flag(
                hp, "batch_normalization", self.batch_normalization
            ),
            "dropout": ranges.sample_float(hp, "dropout", self.dropout),
            "units": ranges.sample_int(hp, "units", self.units),
            "activation": ranges.sample_choice(hp, "activation", self.activation),
        }

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        pooling = {
            "max": keras.layers.MaxPooling2D,
            "avg": keras.layers.AveragePooling2D,
        }[values["pooling"]]
        x = inputs
        for filters in values["filters"]:
            for _ in range(values["convolutions"]):
                x = self._convolve(x, filters, values)
            if min(spatial_size(x)) > 1:  # can be halved once more
                x = pooling(2)(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(values["units"], activation=values["activation"])(x)
        return keras.layers.Dropout(values["dropout"])(x)

    def _convolve(self, x: Any, filters: int, values: dict[str, Any]) -> Any:
        normalize = values["batch_normalization"]
        x = keras.layers.Conv2D(
            filters, values["kernel_size"], padding="same", use_bias=not normalize
        )(x)
        if normalize:
            x = keras.layers.BatchNormalization(axis=channel_axis())(x)
        return keras.layers.Activation(values["activation"])(x)
