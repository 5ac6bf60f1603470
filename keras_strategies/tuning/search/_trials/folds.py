"""Folds of cross-validation: the same rows for each trial."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks

Rows = Any  # an array of row numbers


def check_cv(cv: Any) -> Any:
    """Checks a number of folds, a splitter of scikit-learn or a list of rows."""
    if cv is None or (hasattr(cv, "split") and not isinstance(cv, str)):
        return cv
    if isinstance(cv, int):
        return checks.integer("cv", cv, low=2)
    if not isinstance(cv, list | tuple):
        checks.fail(
            "`cv` must be a number of folds, a splitter of scikit-learn or a list of "
            "(train, test) rows",
            error=TypeError,
            cv=cv,
        )
    return list(cv)


def fold_arguments(
    cv: Any, args: Sequence[Any], kwargs: Mapping[str, Any], seed: int
) -> Iterator[tuple[tuple[()], dict[str, Any]]]:
    """Yields the arguments of `fit` for each fold of the arrays given to it.

    Args:
        cv: What `check_cv` returned.
        args: Positional arguments of `fit`.
        kwargs: Keyword arguments of `fit`.
        seed: Seed of the order of the rows.
    """
    if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
        checks.fail(
            "`validation_data` and `validation_split` must not be given with `cv`",
            cv=cv,
            fix="Each fold is the validation data of the others.",
        )
    names = ("x", "y")
    data = dict(zip(names, args, strict=False)) | {
        name: kwargs[name] for name in names if name in kwargs
    }
    if len(args) > 2 or set(data) != {"x", "y"}:
        checks.fail("`cv` needs `x` and `y` as arrays", given=sorted(data))
    x, y = data["x"], data["y"]
    unchanged = {
        k: v for k, v in kwargs.items() if k not in ("x", "y", "sample_weight")
    }
    weight = kwargs.get("sample_weight")
    for train, test in splits(cv, x, y, seed):
        validation = [_select(x, test), _select(y, test)]
        fold = {"x": _select(x, train), "y": _select(y, train), **unchanged}
        if weight is not None:
            fold["sample_weight"] = _select(weight, train)
            validation.append(_select(weight, test))
        yield (), {**fold, "validation_data": tuple(validation)}


def part_of_data(
    args: Sequence[Any], kwargs: Mapping[str, Any], part: float, seed: int
) -> tuple[tuple[()], dict[str, Any]]:
    """Returns the arguments of `fit` with a part of the training examples.

    Always the first of one order, so that a larger part contains a smaller one.

    Args:
        args: Positional arguments of `fit`.
        kwargs: Keyword arguments of `fit`.
        part: Fraction of the examples, in (0, 1].
        seed: Seed of the order.
    """
    names = ("x", "y")
    data = dict(zip(names, args, strict=False)) | dict(kwargs)
    arrays = keras.tree.flatten(data.get("x"))
    if len(args) > 2 or not all(hasattr(a, "shape") and len(a.shape) for a in arrays):
        checks.fail(
            '`fidelity="data"` needs `x` and `y` as arrays',
            given=sorted(data),
            fix="Of a data set take the arrays, or the fidelity of epochs.",
        )
    count = len(np.asarray(arrays[0]))
    order = np.random.default_rng(seed).permutation(count)
    rows = np.sort(order[: max(1, math.ceil(part * count))])
    for name in ("x", "y", "sample_weight"):
        if data.get(name) is not None:
            data[name] = _select(data[name], rows)
    return (), data


def _select(data: Any, rows: Rows) -> Any:
    return keras.tree.map_structure(lambda part: np.asarray(part)[rows], data)


def splits(cv: Any, x: Any, y: Any, seed: int) -> list[tuple[Rows, Rows]]:
    """Pairs of training and test rows."""
    count = len(np.asarray(keras.tree.flatten(x)[0]))
    if isinstance(cv, int):
        if count < cv:
            checks.fail("`cv` must not exceed the examples", cv=cv, examples=count)
        # Shuffled once, by the seed of the search: all trials are compared on the
        # same folds.
        order = np.random.default_rng(seed).permutation(count)
        parts = np.array_split(order, cv)
        return [
            (np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), np.sort(parts[k]))
            for k in range(cv)
        ]
    if hasattr(cv, "split"):
        return list(cv.split(np.arange(count), y))
    return [(np.asarray(train), np.asarray(test)) for train, test in cv]
