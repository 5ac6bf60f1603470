"""Model and data of `keras-strategies tune`, data of `keras-strategies study`."""

import argparse
import os
from typing import Any

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError

_ARRAY_NAMES = ("x", "y", "x_train", "y_train", "x_val", "y_val", "x_test", "y_test")


class Data:
    """`train`, `validation` and `test` as pairs of arrays, None where absent."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        path, arrays = arguments.data, read_arrays(arguments.data)
        self.train = training_pair(arrays, path)
        self.validation = pair_of(arrays, path, ("x_val", "y_val"))
        self.test = pair_of(arrays, path, ("x_test", "y_test"))
        split = arguments.validation_split
        if self.validation is not None:
            if split is not None or arguments.folds is not None:
                raise UsageError(
                    "`--validation-split` and `--folds` must not be given if --data "
                    f"holds x_val and y_val. Received: {path}"
                )
        elif arguments.folds is None:
            self._split(0.2 if split is None else split, arguments.seed or 0)
        elif split is not None:
            raise UsageError("`--validation-split` must not be given with `--folds`")

    def _split(self, fraction, seed):
        import numpy as np

        x, y = self.train
        count = round(fraction * len(x))
        if not 0 < count < len(x):
            raise UsageError(
                "`--validation-split` must leave examples on both sides. Received: "
                f"{fraction:g} of {len(x)} examples"
            )
        # The same examples each time, so that an interrupted search can go on.
        order = np.random.default_rng(seed).permutation(len(x))
        validation, train = np.sort(order[:count]), np.sort(order[count:])
        self.train = x[train], y[train]
        self.validation = x[validation], y[validation]


def read_arrays(path: str) -> dict[str, Any]:
    """Returns the arrays of a .npz file by name."""
    import zipfile

    import numpy as np

    if os.path.isfile(path) and not zipfile.is_zipfile(path):
        # NumPy takes any other file for a pickle, and says how to load it unsafely.
        raise UsageError(
            f"`--data` must be a .npz file of numbers. Received: {path}, which is none"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"`--data` must be a .npz file of numbers. Received: {path} "
            f"({common.one_line(error)})"
        ) from error
    unknown = [name for name in arrays if name not in _ARRAY_NAMES]
    if unknown:
        raise UsageError(
            f"`--data` must hold arrays called {', '.join(_ARRAY_NAMES)}. Received: "
            f"{path} with {', '.join(unknown)}"
        )
    return arrays


def training_pair(arrays: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Returns the examples to train on, which the file must have.

    Numbers that are not finite are said: ReLU on a CPU makes zeros of them, so that the
    loss may look as if nothing were wrong.
    """
    pair = pair_of(arrays, path, ("x", "y"), ("x_train", "y_train"))
    if pair is None:
        raise UsageError(
            f"`--data` must hold x and y, or x_train and y_train. Received: {path} "
            f"with {', '.join(arrays) or 'nothing'}"
        )
    for array in pair:
        count = _count_non_finite(array)
        if count:
            common.print_error(
                f"note: {count:,} of {array.size:,} numbers of one array in {path} are "
                "NaN or infinite"
            )
    return pair


def _count_non_finite(array):
    import numpy as np

    if array.dtype.kind not in "fc":
        return 0
    return int(array.size - np.isfinite(array).sum())


def pair_of(
    arrays: dict[str, Any], path: str, *names: tuple[str, str]
) -> tuple[Any, Any] | None:
    """Returns the first pair of arrays of these names that the file has, or `None`."""
    for pair in names:
        present = [name for name in pair if name in arrays]
        if not present:
            continue
        if len(present) == 1:
            raise UsageError(
                f"`--data` must hold {' and '.join(pair)}, not one: {path}"
            )
        x, y = (arrays[name] for name in pair)
        if not x.ndim or not y.ndim or len(x) != len(y):
            raise UsageError(
                f"{pair[0]} and {pair[1]} must have the same number of examples. "
                f"Received: shapes {x.shape} and {y.shape} in {path}"
            )
        return x, y
    return None


def load_model(text: str, unsafe: bool) -> Any:
    """Returns the object that `--model` names: a hypermodel or a build function."""
    import keras

    from keras_strategies import tuning
    from keras_strategies.tuning.search import is_hypermodel

    if text.endswith(".keras"):
        model: Any = common.load_model(text, unsafe)
    else:
        forms = "pkg.module:NAME or a .keras file"
        model = common.import_object("--model", text, forms)
    if isinstance(model, keras.Model):
        with common.usage_errors():
            return tuning.tune_model(model)
    if is_hypermodel(model):
        return model
    if isinstance(model, type) or not callable(model):
        raise UsageError(
            "`--model` must name a function build(hp), a HyperModel or a compiled "
            f"Keras model. Received: {text}, which is {model!r}"
        )
    return model
