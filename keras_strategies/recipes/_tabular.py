"""Tables into classes or numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.recipes import _compiling, _data
from keras_strategies.recipes.recipe import Recipe

_FEW_VALUES = 20


def tabular(
    columns: Any,
    y: Any,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    features: Mapping[str, Any] | None = None,
    validation_split: float = 0.2,
    units: Sequence[int] = (128, 64),
    dropout: float = 0.1,
    learning_rate: float = 2e-3,
    epochs: int = 60,
    batch_size: int = 64,
    seed: int = 0,
) -> Recipe:
    """Returns a network for the rows of a table, with data and callbacks.

    `keras.utils.FeatureSpace` turns columns into numbers: it normalizes numbers and
    encodes words, truth values and small integers of few values, with what the
    training rows have; values that they do not have are encoded as unknown. A
    perceptron with batch normalization follows. On TensorFlow the model takes columns
    as they are, as a dict; on JAX and Torch the data sets are encoded, and
    `recipe.preprocessing` encodes new rows. `recipe.network` takes encoded rows.

    Targets of a regression are given and predicted in their own unit; inside, they
    have mean 0 and variance 1.

    Args:
        columns: A data frame, or a dict of columns of equal length. Missing values
            are not accepted.
        y: Class numbers 0 to K - 1, or numbers to predict.
        task: `"auto"` takes integers and truth values as classes. Defaults to
            `"auto"`.
        features: Features of `FeatureSpace` by name of the column, for those that
            should not be chosen, such as
            `{"age": keras.utils.FeatureSpace.float_discretized(num_bins=10)}`.
            Defaults to `None`.
        validation_split: Part of the rows to validate with, in a classification of
            each class the same. Defaults to `0.2`.
        units: Widths of the hidden layers. Defaults to `(128, 64)`.
        dropout: Rate behind each hidden layer. Defaults to `0.1`.
        learning_rate: Highest learning rate. Defaults to `2e-3`.
        epochs: Epochs for which the learning rate is planned. Defaults to `60`.
        batch_size: Rows of a step. Defaults to `64`.
        seed: Seed of split, order and weights. Defaults to `0`.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: If columns have missing values or other lengths, or if labels do
            not fit.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    rng = np.random.default_rng(0)
    table = {"size": rng.normal(size=60), "color": np.array(["red", "blue"] * 30)}
    price = 3 * table["size"] + (table["color"] == "red")
    recipe = recipes.tabular(table, price, epochs=1, units=(8,))
    recipe.model.fit(**recipe.fit_arguments, verbose=0)
    print(recipe.network.output_shape)  # (None, 1)
    ```
    """
    _data.check_training(epochs, batch_size)
    table = _columns(columns)
    count = len(next(iter(table.values())))
    targets, classes = _targets(y, count, task)
    train, held = _data.split(
        targets, validation_split, seed, stratify=classes is not None
    )
    space = _feature_space(table, features or {}, train)
    parts = [
        _data.batches(
            {name: column[rows, None] for name, column in table.items()},
            targets[rows],
            batch_size,
            shuffle=rows is train,
            seed=seed,
        )
        for rows in (train, held)
    ]
    space.adapt(parts[0].map(lambda row, _: row))
    encoded = [part.map(lambda row, t: (space(row), t)).prefetch(2) for part in parts]
    width = int(next(iter(encoded[0].take(1)))[0].shape[-1])
    keras.utils.set_random_seed(seed)
    core = _network(width, targets[train], classes, units, dropout, seed)
    model = core
    if keras.backend.backend() == "tensorflow":
        # A plain dict: `fit` warns of the tracked one of FeatureSpace.
        inputs = dict(space.get_inputs())
        model = keras.Model(inputs, core(space.get_encoded_features()), name="tabular")
    else:
        parts = encoded
    _compiling.compile_model(
        model,
        len(train),
        batch_size,
        epochs,
        learning_rate=learning_rate,
        classes=classes is not None,
        # A loss in squared units of the target has gradients of any size.
        global_clipnorm=None if classes is None else 1.0,
    )
    callbacks = _compiling.best_weights(epochs)
    return Recipe(model, parts[0], parts[1], callbacks, epochs, core, space)


def _columns(columns: Any) -> dict[str, np.ndarray]:
    if not (isinstance(columns, Mapping) or hasattr(columns, "columns")):
        checks.fail(
            "`columns` must be a data frame or a dict of columns",
            error=TypeError,
            columns=type(columns).__name__,
        )
    table = {str(name): np.asarray(columns[name]) for name in columns}
    lengths = {name: np.shape(column) for name, column in table.items()}
    if not table or len(set(lengths.values())) > 1 or any(
        len(shape) != 1 for shape in lengths.values()
    ):  # fmt: skip
        checks.fail("Columns must have one value for each row", shapes=lengths)
    for name, column in table.items():
        table[name] = _column(name, column)
    return table


def _column(name: str, column: np.ndarray) -> np.ndarray:
    if column.dtype.kind in "OUST":
        missing = [i for i, value in enumerate(column) if not isinstance(value, str)]
        kind, converted = "words", column.astype(str) if not missing else column
    elif column.dtype.kind == "f":
        missing = np.flatnonzero(~np.isfinite(column)).tolist()
        kind, converted = "finite numbers", column.astype("float32")
    elif column.dtype.kind in "iub":
        return column.astype("int64")
    else:
        checks.fail(
            "Columns must have numbers, words or truth values",
            column=name,
            dtype=str(column.dtype),
        )
    if missing:
        checks.fail(
            f"A column must have {kind} only",
            fix="Fill in or drop what is missing.",
            column=name,
            rows=missing[:5],
        )
    return converted


def _targets(y: Any, count: int, task: str) -> tuple[np.ndarray, int | None]:
    checks.choice("task", task, ("auto", "classification", "regression"))
    targets = np.asarray(y)
    if task == "auto":
        task = "regression" if targets.dtype.kind == "f" else "classification"
    if task == "classification":
        return _data.class_labels(targets, count)
    if targets.reshape(-1).shape != (count,) or targets.dtype.kind not in "iuf":
        checks.fail(
            "`y` must have one number for each row",
            rows=count,
            shape=targets.shape,
            dtype=str(targets.dtype),
        )
    if not np.isfinite(targets).all():
        checks.fail("`y` must be finite", nan=int((~np.isfinite(targets)).sum()))
    return targets.reshape(-1, 1).astype("float32"), None


def _feature_space(
    table: Mapping[str, np.ndarray], features: Mapping[str, Any], train: np.ndarray
) -> Any:
    unknown = set(features) - set(table)
    if unknown:
        checks.fail(
            "`features` must name columns", features=sorted(unknown), columns=[*table]
        )
    kinds = keras.utils.FeatureSpace

    def feature(column):
        if column.dtype.kind in "UO":
            return kinds.string_categorical(num_oov_indices=1)
        values = np.unique(column[train])
        if column.dtype.kind == "i" and len(values) <= _FEW_VALUES:
            return kinds.integer_categorical(num_oov_indices=1)
        return kinds.float_normalized()

    chosen = {
        name: features[name] if name in features else feature(column)
        for name, column in table.items()
    }
    return kinds(chosen, output_mode="concat")


def _network(
    width: int,
    targets: np.ndarray,
    classes: int | None,
    units: Sequence[int],
    dropout: float,
    seed: int,
) -> Any:
    x = inputs = keras.Input((width,), name="features")
    for number, size in enumerate(units):
        checks.integer("units", size, low=1)
        x = keras.layers.Dense(size, use_bias=False, name=f"hidden_{number}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Dropout(dropout, seed=seed)(x)
    if classes is not None:
        outputs = keras.layers.Dense(classes, activation="softmax", name="class")(x)
        return keras.Model(inputs, outputs, name="network")
    x = keras.layers.Dense(1, name="standardized")(x)
    deviation = float(targets.std()) or 1.0
    outputs = keras.layers.Rescaling(deviation, float(targets.mean()), name="value")(x)
    return keras.Model(inputs, outputs, name="network")
