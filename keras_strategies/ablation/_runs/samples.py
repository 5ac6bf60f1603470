"""Data of a study as arrays in memory, whatever they came as."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks

# With more different integers than this, targets are numbers, not classes.
_MOST_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, targets and perhaps weights, nests of arrays of equal length."""

    x: Any
    y: Any
    weight: Any = None

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.x)[0])

    def rows(self, indices: np.ndarray) -> "Samples":
        """The samples at these positions."""
        return Samples(*(_rows(part, indices) for part in self.parts))

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        return self.x, self.y, self.weight

    def classes(self) -> np.ndarray | None:
        """The class of each sample as an integer; `None` for other targets."""
        if not hasattr(self.y, "dtype"):
            return None
        y = self.y
        if y.ndim == 2 and y.shape[1] > 1:
            is_one_hot = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
            return y.argmax(axis=1) if is_one_hot else None
        if y.size != len(y):
            return None
        flat = y.reshape(-1)
        if flat.dtype.kind == "f" and not np.isin(flat, (0, 1)).all():
            return None
        if flat.dtype.kind not in "fiubUSO":
            return None
        names, numbers = np.unique(flat, return_inverse=True)
        few = len(names) <= min(_MOST_CLASSES, max(2, len(flat) // 2))
        return numbers if few else None


def _rows(nest, indices):
    if nest is None:
        return None
    return keras.tree.map_structure(lambda leaf: leaf[indices], nest)


def collect(name: str, data: Any) -> Samples:
    """Reads arrays, a `tf.data.Dataset` or a `PyDataset` once."""
    if isinstance(data, Samples):
        return data
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        samples = Samples(*(_arrays(name, part) for part in data))
    elif _is_dataset(data):
        samples = _read(name, data)
    else:
        checks.fail(
            f"`{name}` must be (x, y) or (x, y, sample_weight) of arrays, a "
            "tf.data.Dataset or a PyDataset",
            error=TypeError,
            **{name: type(data)},
        )
    _check(name, samples)
    return samples


def _is_dataset(data):
    if isinstance(data, keras.utils.PyDataset):
        return True
    return type(data).__module__.startswith("tensorflow.") and hasattr(data, "batch")


def _arrays(name, nest):
    if nest is None:
        return None

    def converted(leaf):
        array = np.asarray(
            keras.ops.convert_to_numpy(leaf)
            if keras.ops.is_tensor(leaf)
            else getattr(leaf, "values", leaf)  # data frames and series
        )
        if not array.ndim:
            checks.fail(f"`{name}` must hold arrays", error=TypeError, leaf=leaf)
        return array

    if isinstance(nest, dict | tuple) or (
        isinstance(nest, list) and nest and hasattr(nest[0], "shape")
    ):
        return keras.tree.map_structure(converted, nest)
    return converted(nest)


def _read(name, data):
    """Joins the batches of a dataset that ends."""
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        batches: Iterable[Any] = (
            None if count is None else (data[index] for index in range(count))
        )
    else:
        endless = int(data.cardinality()) == -1
        batches = None if endless else data.as_numpy_iterator()
    if batches is None:
        checks.fail(
            f"`{name}` must end: a study needs all samples to split them",
            fix="Leave `.repeat()` out.",
            **{name: type(data)},
        )
    parts = [
        tuple(_arrays(name, part) for part in batch)
        if isinstance(batch, tuple | list)
        else (batch,)
        for batch in batches
    ]
    lengths = {len(part) for part in parts}
    if not parts or not lengths <= {2, 3} or len(lengths) != 1:
        checks.fail(
            f"`{name}` must give batches (x, y) or (x, y, sample_weight)",
            **{name: type(data)},
        )
    joined = [
        keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *column)
        for column in zip(*parts, strict=True)
    ]
    return Samples(*joined)


def _check(name, samples):
    lengths = {
        len(leaf)
        for part in samples.parts
        if part is not None
        for leaf in keras.tree.flatten(part)
    }
    if len(lengths) != 1 or not min(lengths):
        checks.fail(
            f"`{name}` must have the same number of samples everywhere, at least 1",
            samples=sorted(lengths),
        )


def joined(first: Samples, second: Samples) -> Samples:
    """Both, one behind the other; weights of 1 where only one side has some."""
    pairs = [
        (first.x, second.x),
        (first.y, second.y),
        (_weights(first, second), _weights(second, first)),
    ]
    return Samples(*(_concatenated(*pair) for pair in pairs))


def _weights(samples, other):
    if samples.weight is not None or other.weight is None:
        return samples.weight
    return keras.tree.map_structure(
        lambda leaf: np.ones((len(samples), *leaf.shape[1:]), leaf.dtype), other.weight
    )


def _concatenated(first, second):
    if first is None:
        return None
    return keras.tree.map_structure(lambda a, b: np.concatenate([a, b]), first, second)
