"""A multilayer perceptron whose shape and training are searched."""

import inspect

import keras
import keras_tuner
from keras_tuner import errors

from keras_strategies._internal import checks
from keras_strategies.tuning import _ranges

_TASKS = ("classification", "binary", "regression")
# task -> activation of the output, loss, metric
_HEADS = {
    "classification": ("softmax", "sparse_categorical_crossentropy", "accuracy"),
    "binary": ("sigmoid", "binary_crossentropy", "accuracy"),
    "regression": ("linear", "mean_squared_error", "mean_absolute_error"),
}


def _optimizers():
    """Keras's optimizers by lower-case name."""
    return {
        name.lower(): cls
        for name, cls in vars(keras.optimizers).items()
        if inspect.isclass(cls)
        and issubclass(cls, keras.optimizers.Optimizer)
        and "learning_rate" in inspect.signature(cls).parameters
        and cls is not keras.optimizers.Optimizer
    }


def _activations():
    """Keras's activation functions by name."""
    return [
        name
        for name, thing in vars(keras.activations).items()
        if inspect.isfunction(thing) and name not in ("get", "serialize", "deserialize")
    ]


def _input_shape(value):
    rule = "`input_shape` must be a tuple of positive integers without the batch axis"
    if not isinstance(value, list | tuple) or not value:
        checks.fail(rule, input_shape=value, fix="For 784 features pass (784,).")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in value):
        checks.fail(
            rule,
            input_shape=value,
            fix="A dense layer needs every axis; pad or resize the data.",
        )
    return tuple(value)


def _outputs(task, classes):
    """Width of the output layer."""
    if task == "classification":
        return checks.integer(
            "classes",
            classes,
            low=2,
            fix='Pass the number of classes, or task="regression" or "binary".',
        )
    if task == "binary":
        if classes not in (None, 2):
            checks.fail(
                '`classes` must be None or 2 with task="binary"',
                classes=classes,
                fix='Pass task="classification" for more classes.',
            )
        return 1
    return 1 if classes is None else checks.integer("classes", classes, low=1)


class HyperMLP(keras_tuner.HyperModel):
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
            `"regression"` the number of values to predict, default 1. For
            `"binary"` leave it out (or pass 2).
        task: `"classification"` (integer labels, softmax, sparse categorical
            cross-entropy, metric `accuracy`), `"binary"` (labels 0 and 1, one
            sigmoid output, binary cross-entropy, metric `accuracy`) or
            `"regression"` (linear output, mean squared error, metric
            `mean_absolute_error`).
        layers: Number of hidden blocks, at least 1. Default `(2, 3)`.
        units: Width of each hidden layer, at least 1. Default `(64, 1024)`.
        dropout: Dropped fraction after each hidden layer, in [0, 1). Default
            `(0.25, 0.75)`.
        batch_size: Examples per step, at least 1. Default `(28, 128)`. `None`
            leaves it to `tuner.search(..., batch_size=...)`; needed for data that
            is already batched, such as a `tf.data.Dataset`.
        optimizer: One name of a Keras optimizer, or several to choose from.
            Default `("rmsprop", "adam", "sgd")`.
        learning_rate: `None` (default) for each optimizer's own default, one
            number above 0, or a pair that is searched on a log scale.
        activation: One name of a Keras activation, or several to choose from.
            Default `"relu"`.
        loss: Replaces the loss of the task, for example
            `"categorical_crossentropy"` for one-hot labels.
        name: Optional name of the hypermodel.
        tunable: `False` keeps the hyperparameters out of the search space; they
            take their smallest or first values. Default `True`.

    Raises:
        ValueError: If a range or a name cannot be used.
        TypeError: If an argument has the wrong type.
        keras_tuner.errors.FatalValueError: If `batch_size` is given twice or is
            set for data that is already batched. It ends the search at once.

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
        input_shape,
        classes=None,
        task="classification",
        layers=(2, 3),
        units=(64, 1024),
        dropout=(0.25, 0.75),
        batch_size=(28, 128),
        optimizer=("rmsprop", "adam", "sgd"),
        learning_rate=None,
        activation="relu",
        loss=None,
        name=None,
        tunable=True,
    ):
        self.input_shape = _input_shape(input_shape)
        self.task = checks.choice("task", task, _TASKS)
        self.classes = classes
        self.outputs = _outputs(task, classes)
        self.layers = _ranges.int_range("layers", layers, low=1)
        self.units = _ranges.int_range("units", units, low=1)
        self.dropout = _ranges.float_range(
            "dropout", dropout, low=0, high=1, high_open=True
        )
        self.batch_size = batch_size
        if batch_size is not None:
            self.batch_size = _ranges.int_range("batch_size", batch_size, low=1)
        self.optimizer = _ranges.names("optimizer", optimizer, _optimizers())
        self.learning_rate = learning_rate
        if learning_rate is not None:
            self.learning_rate = _ranges.float_range(
                "learning_rate", learning_rate, low=0, low_open=True
            )
        self.activation = _ranges.names("activation", activation, _activations())
        self.loss = loss
        super().__init__(name=name, tunable=checks.boolean("tunable", tunable))

    def declare_hyperparameters(self, hp):
        if self.tunable:
            self._sample(hp)

    def build(self, hp):
        values = self._sample(hp)
        activation, loss, metric = _HEADS[self.task]
        x = inputs = keras.Input(self.input_shape)
        if len(self.input_shape) > 1:
            x = keras.layers.Flatten()(x)
        for units, dropout in values["blocks"]:
            x = keras.layers.Dense(units, activation=values["activation"])(x)
            x = keras.layers.Dropout(dropout)(x)
        # float32 also under a mixed-precision policy, for a stable loss.
        x = keras.layers.Dense(self.outputs, activation=activation, dtype="float32")(x)
        model = keras.Model(inputs, x, name=self.name or "mlp")
        settings = {}
        if values["learning_rate"] is not None:
            settings["learning_rate"] = values["learning_rate"]
        model.compile(
            optimizer=_optimizers()[values["optimizer"]](**settings),
            loss=loss if self.loss is None else self.loss,
            metrics=[metric],
        )
        # A tuner reloads its best model by building it again and loading weights;
        # without its variables the optimizer would lose its state, with a warning.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp, model, *args, **kwargs):
        if self.batch_size is None:
            return model.fit(*args, **kwargs)
        bound = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        if bound.get("batch_size") is not None:
            raise errors.FatalValueError(
                checks.message(
                    "`batch_size` must not be given to `search` too",
                    {"batch_size": bound["batch_size"], "HyperMLP": self.batch_size},
                    "Pass HyperMLP(..., batch_size=None) to set it in `search`.",
                )
            )
        data = bound.get("x")
        if not _takes_batch_size(data):
            raise errors.FatalValueError(
                checks.message(
                    "`batch_size` must be None for data that is already batched",
                    {"batch_size": self.batch_size, "x": type(data).__name__},
                    "Pass HyperMLP(..., batch_size=None).",
                )
            )
        if not self.tunable:
            hp = hp.copy()
        batch_size = _ranges.sample_int(hp, "batch_size", self.batch_size)
        return model.fit(*args, batch_size=batch_size, **kwargs)

    def _sample(self, hp):
        """Declares the whole space and returns the values of this trial."""
        fewest, most = self.layers
        depth = _ranges.sample_int(hp, "layers", self.layers)
        blocks = []
        for k in range(1, most + 1):
            if k <= fewest:
                blocks.append(self._sample_block(hp, k))
                continue
            with hp.conditional_scope("layers", list(range(k, most + 1))):
                block = self._sample_block(hp, k)
            if k <= depth:
                blocks.append(block)
        if self.batch_size is not None:
            _ranges.sample_int(hp, "batch_size", self.batch_size)
        rate = self.learning_rate
        if rate is not None:
            rate = _ranges.sample_float(hp, "learning_rate", rate, sampling="log")
        return {
            "blocks": blocks,
            "learning_rate": rate,
            "optimizer": _ranges.sample_name(hp, "optimizer", self.optimizer),
            "activation": _ranges.sample_name(hp, "activation", self.activation),
        }

    def _sample_block(self, hp, k):
        return (
            _ranges.sample_int(hp, f"units{k}", self.units),
            _ranges.sample_float(hp, f"dropout{k}", self.dropout),
        )


def _takes_batch_size(data):
    """Whether `fit` cuts `data` into batches itself, as it does arrays."""
    return all(hasattr(part, "shape") for part in keras.tree.flatten(data))
