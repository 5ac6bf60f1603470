"""Data of a search: training, validation, calibration and held-out samples."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.compression.search._budget_decision import MIN_SAMPLES

# Number of training samples that the ranges of int8 are measured on.
_NUM_CALIBRATION = 300


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, targets and weights (or `None`) as NumPy arrays, samples first."""

    x: Any
    y: Any
    weight: Any = None

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.y)[0])

    def take(self, rows: Any) -> "Samples":
        """The samples of these rows."""
        parts = (self.x, self.y, self.weight)
        return Samples(*(_map(lambda value: value[rows], part) for part in parts))


def _map(function, structure):
    if structure is None:
        return None
    return keras.tree.map_structure(function, structure)


def is_arrays(data: Any) -> bool:
    """Whether `data` is `(x, y)` or `(x, y, sample_weight)`, not batches of them."""
    return isinstance(data, tuple) and len(data) in (2, 3)


def samples(name: str, data: Any) -> Samples:
    """Returns `data`, arrays or an iterable of batches, as `Samples`."""
    batches = [data] if is_arrays(data) else list(_batches(name, data))
    # Batches of (x, y) have the length 2, of (x, y, sample_weight) 3.
    lengths = {len(batch) if is_arrays(batch) else 0 for batch in batches}
    if len(lengths) != 1 or 0 in lengths:
        checks.fail(
            f"`{name}` must be a tuple (x, y) or (x, y, sample_weight), or batches of "
            "such tuples",
            **{name: type(data).__name__},
        )
    parts = [_joined([batch[i] for batch in batches]) for i in range(lengths.pop())]
    sizes = {len(value) for part in parts for value in keras.tree.flatten(part)}
    if len(sizes) != 1 or 0 in sizes:
        rule = f"`{name}` must have as many targets as inputs, at least one"
        checks.fail(rule, sizes=sorted(sizes))
    return Samples(*parts)


def _batches(name: str, data: Any) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(num_batches(name, data)))
    if not hasattr(data, "__iter__") or hasattr(data, "__array__"):
        checks.fail(
            f"`{name}` must be a tuple (x, y) or a data set of batches",
            error=TypeError,
            **{name: type(data).__name__},
        )
    return iter(data)


def num_batches(name: str, data: Any) -> int:
    """Number of batches in one epoch of a data set."""
    try:
        return int(data.num_batches if hasattr(data, "num_batches") else len(data))
    except TypeError as error:
        rule = f"`{name}` must have a known number of batches"
        fix = "For tf.data use `take`, or `tf.data.experimental.assert_cardinality`."
        text = checks.message(rule, {name: type(data).__name__}, fix)
        raise TypeError(f"{text} {error}.") from error


def _joined(values):
    arrays = [_map(keras.ops.convert_to_numpy, value) for value in values]
    if any(value is None for value in arrays):
        return None
    if len(arrays) == 1:  # large training data are not copied
        return arrays[0]
    return keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *arrays)


def calibration_inputs(data: Any, seed: int | None) -> Any:
    """Inputs of some training samples, drawn by `seed`, for the ranges of int8."""
    if is_arrays(data):
        training = samples("train_data", data[:2])
        rng = np.random.default_rng(seed)
        return training.take(rng.permutation(len(training))[:_NUM_CALIBRATION]).x
    parts, count = [], 0
    for batch in _batches("train_data", data):
        part = samples("train_data", batch)
        parts.append(part.x)
        count += len(part)
        if count >= _NUM_CALIBRATION:
            break
    return _map(lambda value: value[:_NUM_CALIBRATION], _joined(parts))


def split(
    validation: Samples, held_out: Samples | None, seed: int | None
) -> tuple[Samples, Samples]:
    """`(validation, held out)`; without the latter, a random half of the former."""
    count = len(validation)
    for name, part, least in (
        ("test_data", held_out, MIN_SAMPLES),
        ("validation_data", validation, MIN_SAMPLES * (1 + (held_out is None))),
    ):
        if part is not None and len(part) < least:
            checks.fail(
                f"`{name}` must have at least {least} samples: fewer cannot tell "
                "whether a budget is kept",
                fix="Some hundred are a good number.",
                samples=len(part),
            )
    if held_out is not None:
        return validation, held_out
    # Sorted within each half, so that the order of the samples stays.
    order = np.random.default_rng(seed).permutation(count)
    half = count - count // 2
    return validation.take(np.sort(order[:half])), validation.take(
        np.sort(order[half:])
    )


def by_input_name(model: keras.Model, x: Any) -> Any:
    """Inputs in a list as a dict by input name, which `.tflite` files take."""
    if not isinstance(x, list | tuple):
        return x
    return dict(zip((tensor.name for tensor in model.inputs), x, strict=True))
