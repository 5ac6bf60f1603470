"""Searchable residual network."""

from typing import Any, Literal, Unpack

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.layers import StochasticDepth
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
)

# From this size on the stem of the original network is used: it quarters the image.
_LARGE = 96


class HyperResNet(HyperNetwork):
    """A searchable residual network that also fits small images.

    Unlike KerasTuner's own, which starts every image with a 7x7 convolution and a
    pooling, small images keep their resolution in the first stage, the depth starts
    at a few blocks, and residual branches can be dropped at random while training
    (`layers.StochasticDepth`), with a rate that rises linearly from 0 in the first
    block to `stochastic_depth` in the last. Stage `s` (from 0) has
    `filters * 2**s` filters and, from the second on, halves the image.

    | name | values |
    |---|---|
    | `version` | v1 (activation after the sum), v2 (before the convolutions) |
    | `stages` | 2 or 3 |
    | `blocks` | 1 to 3 in each stage |
    | `filters` | 16 to 64 in the first stage |
    | `stochastic_depth` | 0 to 0.3 |
    | `dropout` | 0 to 0.5 |
    | `learning_rate` | 0.0001 to 0.01, log scale |
    | `batch_size` | 16 to 128 |

    Each range is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included; each choice is one value or several.

    Reference:

    - [He et al., 2016, Deep Residual Learning for Image Recognition](
      https://arxiv.org/abs/1512.03385) and [Identity Mappings in Deep Residual
      Networks](https://arxiv.org/abs/1603.05027)
    - [Huang et al., 2016, Deep Networks with Stochastic Depth](
      https://arxiv.org/abs/1603.09382)

    Args:
        input_shape: `(height, width, channels)`, in the order of Keras's
            `image_data_format`.
        classes: Number of classes, or of values for `task="regression"`, as in
            `HyperMLP`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`; sets head, loss and
            metric, as in `HyperMLP`. Defaults to `"classification"`.
        version: `"v1"`, `"v2"` or both. Defaults to `("v1", "v2")`.
        stages: Number of stages, at least 1. Defaults to `(2, 3)`.
        blocks: Residual blocks of two convolutions in a stage, at least 1. Defaults
            to `(1, 3)`.
        filters: Filters in the first stage, at least 1. Defaults to `(16, 64)`.
        stem: `"small"` (a 3x3 convolution), `"large"` (7x7 with stride 2, then a
            pooling) or `"auto"`: large from 96 pixels on. Defaults to `"auto"`.
        stochastic_depth: Probability of dropping the last residual branch, in
            [0, 1). Defaults to `(0.0, 0.3)`.
        dropout: Dropped fraction before the head, in [0, 1). Defaults to
            `(0.0, 0.5)`.
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
    from keras_strategies.tuning import HyperResNet

    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperResNet((8, 8, 1), classes=2, stages=1, blocks=1, filters=(4, 8)),
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
        version: ranges.Names = ("v1", "v2"),
        stages: ranges.IntRange = (2, 3),
        blocks: ranges.IntRange = (1, 3),
        filters: ranges.IntRange = (16, 64),
        stem: Literal["auto", "small", "large"] = "auto",
        stochastic_depth: ranges.FloatRange = (0.0, 0.3),
        dropout: ranges.FloatRange = (0.0, 0.5),
        activation: ranges.Names = "relu",
        **kwargs: Unpack[NetworkArguments],
    ) -> None:
        shape = _task.check_input_shape(input_shape, axes=3, fix="Pass (32, 32, 3).")
        self.version: tuple[str, ...] = ranges.names("version", version, ("v1", "v2"))
        self.stages: tuple[int, int] = ranges.int_range("stages", stages, low=1)
        self.blocks: tuple[int, int] = ranges.int_range("blocks", blocks, low=1)
        self.filters: tuple[int, int] = ranges.int_range("filters", filters, low=1)
        self.stem: str = checks.choice("stem", stem, ("auto", "small", "large"))
        self.stochastic_depth: tuple[float, float] = ranges.fraction_range(
            "stochastic_depth", stochastic_depth
        )
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        self.activation: tuple[str, ...] = ranges.names(
            "activation", activation, _task.activations()
        )
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "resnet"

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        return {
            "version": ranges.sample_choice(hp, "version", self.version),
            "stages": ranges.sample_int(hp, "stages", self.stages),
            "blocks": ranges.sample_int(hp, "blocks", self.blocks),
            "filters": ranges.sample_int(hp, "filters", self.filters),
            "stochastic_depth": ranges.sample_float(
                hp, "stochastic_depth", self.stochastic_depth
            ),
            "dropout": ranges.sample_float(hp, "dropout", self.dropout),
            "activation": ranges.sample_choice(hp, "activation", self.activation),
        }

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        blocks = _Blocks(values["activation"], pre_activation=values["version"] == "v2")
        x = self._make_stem(inputs, blocks, values["filters"])
        total = values["stages"] * values["blocks"]
        for number in range(total):
            stage, block = divmod(number, values["blocks"])
            # Linear decay of the survival probability: Huang et al., equation 4.
            rate = values["stochastic_depth"] * number / max(total - 1, 1)
            stride = 2 if stage > 0 and block == 0 else 1
            x = blocks.residual(x, values["filters"] * 2**stage, stride, rate)
        if blocks.pre_activation:
            x = blocks.normalize(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.layers.Dropout(values["dropout"])(x)

    def _make_stem(self, x: Any, blocks: "_Blocks", filters: int) -> Any:
        is_large = self.stem == "large" or (
            self.stem == "auto" and min(spatial_size(self.input_shape)) >= _LARGE
        )
        x = blocks.convolve(x, filters, 7 if is_large else 3, 2 if is_large else 1)
        if not blocks.pre_activation:
            x = blocks.normalize(x)
        if is_large:
            x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
        return x


class _Blocks:
    """Makes the blocks of one network.

    With `pre_activation` (version 2) normalization and activation precede each
    convolution and the shortcut stays untouched; else they follow, after the sum.
    """

    def __init__(self, activation: str, pre_activation: bool) -> None:
        self.activation, self.pre_activation = activation, pre_activation

    def convolve(self, x: Any, filters: int, size: int = 3, stride: int = 1) -> Any:
        return keras.layers.Conv2D(
            filters, size, strides=stride, padding="same", use_bias=False
        )(x)

    def normalize(self, x: Any, activate: bool = True) -> Any:
        x = keras.layers.BatchNormalization(axis=channel_axis())(x)
        return keras.layers.Activation(self.activation)(x) if activate else x

    def residual(self, x: Any, filters: int, stride: int, rate: float) -> Any:
        start = self.normalize(x) if self.pre_activation else x
        shortcut = x
        if stride > 1 or x.shape[channel_axis()] != filters:
            shortcut = self.convolve(start, filters, 1, stride)
            if not self.pre_activation:
                shortcut = self.normalize(shortcut, activate=False)
        branch = self.normalize(self.convolve(start, filters, 3, stride))
        branch = self.convolve(branch, filters)
        if not self.pre_activation:
            branch = self.normalize(branch, activate=False)
        if rate > 0:
            branch = StochasticDepth(rate)(branch)
        x = keras.layers.Add()([shortcut, branch])
        if self.pre_activation:
            return x
        return keras.layers.Activation(self.activation)(x)
