"""A recurrent network for text or series whose shape and training are searched."""

import keras

from keras_strategies.tuning._space import ranges as _ranges
from keras_strategies.tuning.hypermodels.networks._network import HyperNetwork
from keras_strategies.tuning.hypermodels.networks._sequences import sequence_shape

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
            `HyperMLP`.
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
        input_shape,
        classes=None,
        task="classification",
        vocabulary_size=None,
        embedding=(32, 256),
        cell=("lstm", "gru"),
        bidirectional=(False, True),
        layers=(1, 2),
        units=(32, 256),
        dropout=(0.0, 0.5),
        **kwargs,
    ):
        shape, self.vocabulary_size = sequence_shape(input_shape, vocabulary_size)
        self.embedding = _ranges.int_range("embedding", embedding, low=1)
        self.cell = _ranges.names("cell", cell, _CELLS)
        self.bidirectional = _ranges.flags("bidirectional", bidirectional)
        self.layers = _ranges.int_range("layers", layers, low=1)
        self.units = _ranges.int_range("units", units, low=1)
        self.dropout = _ranges.float_range(
            "dropout", dropout, low=0, high=1, high_open=True
        )
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "rnn"

    def _inputs(self):
        kind = {} if self.vocabulary_size is None else {"dtype": "int32"}
        return keras.Input(self.input_shape, **kind)

    def _sample_network(self, hp):
        values = {}
        if self.vocabulary_size is not None:
            values["embedding"] = _ranges.sample_int(hp, "embedding", self.embedding)
        return values | {
            "cell": _ranges.sample_name(hp, "cell", self.cell),
            "bidirectional": _ranges.sample_flag(
                hp, "bidirectional", self.bidirectional
            ),
            "layers": _ranges.sample_int(hp, "layers", self.layers),
            "units": _ranges.sample_int(hp, "units", self.units),
            "dropout": _ranges.sample_float(hp, "dropout", self.dropout),
        }

    def _features(self, inputs, values):
        x = inputs
        if self.vocabulary_size is not None:
            x = keras.layers.Embedding(
                self.vocabulary_size, values["embedding"], mask_zero=True
            )(x)
            x = keras.layers.Dropout(values["dropout"])(x)
        for number in range(1, values["layers"] + 1):
            layer = _CELLS[values["cell"]](
                values["units"], return_sequences=number < values["layers"]
            )
            if values["bidirectional"]:
                layer = keras.layers.Bidirectional(layer)
            x = layer(x)
        return keras.layers.Dropout(values["dropout"])(x)
