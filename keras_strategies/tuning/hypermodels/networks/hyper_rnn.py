"""Searchable recurrent network for text or series."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import keras_tuner

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.networks._network import (
    HyperNetwork,
    NetworkArguments,
)
from keras_strategies.tuning.hypermodels.networks._sequences import (
    check_sequence,
    sequence_input,
)

_CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


class HyperRNN(HyperNetwork):
    """A searchable recurrent network: LSTM or GRU, one direction or both.

    For text as integer tokens (`vocabulary_size=`, for example what
    `keras.layers.TextVectorization` gives, 0 being padding, which is masked) or for
    series of feature vectors. The last recurrent layer gives its last output, then
    come dropout and the head of the task.

    | name | values |
    |---|---|
    | `embedding` | 32 to 256 (tokens only) |
    | `cell` | lstm, gru |
    | `bidirectional` | yes or no |
    | `layers` | 1 or 2 |
    | `units` | 32 to 256, the same in all layers |
    | `dropout` | 0 to 0.5 |
    | `learning_rate` | 0.0001 to 0.01, log scale |
    | `batch_size` | 16 to 128 |

    Each range is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included; each choice is one value or several.

    Args:
        input_shape: `(length,)` for tokens, `(length, features)` for series. The
            length may be `None` for sequences padded to any length.
        classes: Number of classes, or of values for `task="regression"`, as in
            `HyperMLP`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`; sets head, loss and
            metric, as in `HyperMLP`. Defaults to `"classification"`.
        vocabulary_size: Number of different tokens, 0 included, at least 2; needed
            for tokens, `None` (default) for series.
        embedding: Width of the embedding of tokens, at least 1. Defaults to
            `(32, 256)`.
        cell: `"lstm"`, `"gru"` or both. Defaults to `("lstm", "gru")`.
        bidirectional: `True`, `False` or both. Defaults to `(False, True)`.
        layers: Recurrent layers, at least 1. Defaults to `(1, 2)`.
        units: Units of each layer, at least 1. Defaults to `(32, 256)`.
        dropout: Dropped fraction after the embedding and before the head, in
            [0, 1). Defaults to `(0.0, 0.5)`.
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
    from keras_strategies.tuning import HyperRNN

    x = np.random.default_rng(0).integers(1, 20, size=(32, 6))
    y = (x[:, 0] > 10).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperRNN((6,), task="binary", vocabulary_size=20, layers=1, units=(2, 4)),
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
        input_shape: tuple[int | None, ...],
        classes: int | None = None,
        task: Task = "classification",
        vocabulary_size: int | None = None,
        embedding: ranges.IntRange = (32, 256),
        cell: ranges.Names = ("lstm", "gru"),
        bidirectional: bool | Sequence[bool] = (False, True),
        layers: ranges.IntRange = (1, 2),
        units: ranges.IntRange = (32, 256),
        dropout: ranges.FloatRange = (0.0, 0.5),
        **kwargs: Unpack[NetworkArguments],
    ) -> None:
        self.vocabulary_size: int | None
        shape, self.vocabulary_size = check_sequence(input_shape, vocabulary_size)
        self.embedding: tuple[int, int] = ranges.int_range(
            "embedding", embedding, low=1
        )
        self.cell: tuple[str, ...] = ranges.names("cell", cell, _CELLS)
        self.bidirectional: tuple[bool, ...] = ranges.flags(
            "bidirectional", bidirectional
        )
        self.layers: tuple[int, int] = ranges.int_range("layers", layers, low=1)
        self.units: tuple[int, int] = ranges.int_range("units", units, low=1)
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "rnn"

    def _inputs(self) -> Any:
        return sequence_input(self.input_shape, self.vocabulary_size)

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if self.vocabulary_size is not None:
            values["embedding"] = ranges.sample_int(hp, "embedding", self.embedding)
        return values | {
            "cell": ranges.sample_choice(hp, "cell", self.cell),
            "bidirectional": ranges.sample_flag(
                hp, "bidirectional", self.bidirectional
            ),
            "layers": ranges.sample_int(hp, "layers", self.layers),
            "units": ranges.sample_int(hp, "units", self.units),
            "dropout": ranges.sample_float(hp, "dropout", self.dropout),
        }

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        x = inputs
        if self.vocabulary_size is not None:
            x = keras.layers.Embedding(
                self.vocabulary_size, values["embedding"], mask_zero=True
            )(x)
            x = keras.layers.Dropout(values["dropout"])(x)
        # All but the last layer return their outputs at each step.
        for number in range(1, values["layers"] + 1):
            layer = _CELLS[values["cell"]](
                values["units"], return_sequences=number < values["layers"]
            )
            if values["bidirectional"]:
                layer = keras.layers.Bidirectional(layer)
            x = layer(x)
        return keras.layers.Dropout(values["dropout"])(x)
