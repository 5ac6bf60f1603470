"""Searchable transformer encoder for text or series."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.networks._network import (
    HyperNetwork,
    NetworkArguments,
)
from keras_strategies.tuning.hypermodels.networks._sequences import (
    check_sequence,
    sequence_input,
)


class HyperTransformer(HyperNetwork):
    """A searchable transformer encoder for text or series.

    For text as integer tokens (`vocabulary_size=`, 0 being padding, which no other
    token attends to and which the pooling leaves out) or for series of feature
    vectors. Tokens are embedded, features projected, learned positions added; each
    block normalizes before its attention and before its feed-forward part; the mean
    over the sequence goes through dropout into the head of the task. The width of
    the network is `heads * head_size`.

    | name | values |
    |---|---|
    | `layers` | 1 to 4 |
    | `heads` | 2, 4 or 8 |
    | `head_size` | 8 to 64 |
    | `expansion` | 1 to 4, width of the feed-forward part over that of the network |
    | `dropout` | 0 to 0.3 |
    | `learning_rate` | 0.0001 to 0.01, log scale |
    | `batch_size` | 16 to 128 |

    Each range is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included; each choice is one value or several.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You Need](
      https://arxiv.org/abs/1706.03762)
    - [Xiong et al., 2020, On Layer Normalization in the Transformer
      Architecture](https://arxiv.org/abs/2002.04745)

    Args:
        input_shape: `(length,)` for tokens, `(length, features)` for series.
        classes: Number of classes, or of values for `task="regression"`, as in
            `HyperMLP`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`; sets head, loss and
            metric, as in `HyperMLP`. Defaults to `"classification"`.
        vocabulary_size: Number of different tokens, 0 included, at least 2; needed
            for tokens, `None` (default) for series.
        layers: Encoder blocks, at least 1. Defaults to `(1, 4)`.
        heads: Numbers of attention heads to choose from. Defaults to `(2, 4, 8)`.
        head_size: Width of one head, at least 1. Defaults to `(8, 64)`.
        expansion: Width of the feed-forward part as a multiple of the width, an
            integer of at least 1. Defaults to `(1, 4)`.
        dropout: Dropped fraction in attention, after each part and before the head,
            in [0, 1). Defaults to `(0.0, 0.3)`.
        activation: Activation of the feed-forward part, one name or several.
            Defaults to `"gelu"`.
        **kwargs: `batch_size` (default `(16, 128)`), `epochs`, `schedule`,
            `optimizer` (default `"adam"`), `learning_rate` (default
            `(1e-4, 1e-2)`), `loss`, `name` and `tunable`, as in `HyperMLP`.

    Raises:
        ValueError: If a range or a name cannot be used, or if `vocabulary_size` does
            not go with `input_shape`.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperTransformer

    x = np.random.default_rng(0).integers(1, 20, size=(32, 6))
    y = (x[:, 0] > 10).astype("int32")
    hyper = HyperTransformer(
        (6,), task="binary", vocabulary_size=20, layers=1, heads=2, head_size=(2, 4)
    )
    tuner = keras_tuner.RandomSearch(
        hyper, objective="val_accuracy", max_trials=1, overwrite=True
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
        vocabulary_size: int | None = None,
        layers: ranges.IntRange = (1, 4),
        heads: int | Sequence[int] = (2, 4, 8),
        head_size: ranges.IntRange = (8, 64),
        expansion: ranges.IntRange = (1, 4),
        dropout: ranges.FloatRange = (0.0, 0.3),
        activation: ranges.Names = "gelu",
        **kwargs: Unpack[NetworkArguments],
    ) -> None:
        self.vocabulary_size: int | None
        shape, self.vocabulary_size = check_sequence(input_shape, vocabulary_size)
        if shape[0] is None:
            checks.fail(
                "The length in `input_shape` must be known",
                input_shape=input_shape,
                fix="Positions are learned up to a length: pad the sequences to it.",
            )
        self.layers: tuple[int, int] = ranges.int_range("layers", layers, low=1)
        self.heads: tuple[int, ...] = ranges.distinct(
            "heads", heads, lambda name, value: checks.integer(name, value, low=1)
        )
        self.head_size: tuple[int, int] = ranges.int_range(
            "head_size", head_size, low=1
        )
        self.expansion: tuple[int, int] = ranges.int_range(
            "expansion", expansion, low=1
        )
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        self.activation: tuple[str, ...] = ranges.names(
            "activation", activation, _task.activations()
        )
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "transformer"

    def _inputs(self) -> Any:
        return sequence_input(self.input_shape, self.vocabulary_size)

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        return {
            "layers": ranges.sample_int(hp, "layers", self.layers),
            "heads": ranges.sample_choice(hp, "heads", self.heads),
            "head_size": ranges.sample_int(hp, "head_size", self.head_size),
            "expansion": ranges.sample_int(hp, "expansion", self.expansion),
            "dropout": ranges.sample_float(hp, "dropout", self.dropout),
            "activation": ranges.sample_choice(hp, "activation", self.activation),
        }

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        width = values["heads"] * values["head_size"]
        # (batch, length), whatever the inputs are.
        steps = inputs if self.vocabulary_size else inputs[..., 0]
        positions = keras.ops.cumsum(keras.ops.ones_like(steps, dtype="int32"), 1) - 1
        mask = None
        if self.vocabulary_size is None:
            x = keras.layers.Dense(width)(inputs)
        else:
            x = keras.layers.Embedding(self.vocabulary_size, width)(inputs)
            # The first position counts even if it is padding, so that the mean of an
            # empty text is defined.
            mask = keras.ops.logical_or(
                keras.ops.not_equal(inputs, 0), keras.ops.equal(positions, 0)
            )
        x = x + keras.layers.Embedding(self.input_shape[0], width)(positions)
        x = keras.layers.Dropout(values["dropout"])(x)
        for _ in range(values["layers"]):
            x = _block(x, mask, width, values)
        x = keras.layers.LayerNormalization()(x)
        x = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
        return keras.layers.Dropout(values["dropout"])(x)


def _block(x: Any, mask: Any, width: int, values: dict[str, Any]) -> Any:
    """A pre-normalization encoder block (Xiong et al., figure 1b)."""
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.MultiHeadAttention(
        values["heads"], values["head_size"], dropout=values["dropout"]
    )(y, y, value_mask=mask)
    x = keras.layers.Add()([x, keras.layers.Dropout(values["dropout"])(y)])
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.Dense(
        width * values["expansion"], activation=values["activation"]
    )(y)
    y = keras.layers.Dense(width)(y)
    return keras.layers.Add()([x, keras.layers.Dropout(values["dropout"])(y)])
