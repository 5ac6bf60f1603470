"""The data of a search: training, validation, and what the search never sees."""

import dataclasses

import keras
import numpy as np

from keras_strategies._internal import checks

# Samples of the training data that ranges of int8 come from.
_CALIBRATION = 300
_FEWEST = 4


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, targets and weights (or `None`) as NumPy arrays, samples first."""

    x: object
    y: object
    weight: object = None

    def __len__(self):
        return len(keras.tree.flatten(self.y)[0])

    def take(self, rows):
        """The samples of these rows."""
        parts = (self.x, self.y, self.weight)
        return Samples(*(_map(lambda value: value[rows], part) for part in parts))


def _map(function, structure):
    if structure is None:
        return None
    return keras.tree.map_structure(function, structure)


def is_arrays(data):
    """Whether `data` is `(x, y)` or `(x, y, sample_weight)`, not batches of them."""
    return isinstance(data, tuple) and len(data) in (2, 3)


def samples(name, data):
    """Returns `data`, arrays or an iterable of batches, as `Samples`."""
    batches = [data] if is_arrays(data) else list(_batches(name, data))
    widths = {len(batch) if is_arrays(batch) else 0 for batch in batches}
    if len(widths) != 1 or 0 in widths:
        checks.fail(
            f"`{name}` must be a tuple (x, y) or (x, y, sample_weight), or batches of "
            "such tuples",
            **{name: type(data).__name__},
        )
    parts = [_joined([batch[i] for batch in batches]) for i in range(widths.pop())]
    found = Samples(*parts)
    sizes = {len(value) for part in parts for value in keras.tree.flatten(part)}
    if len(sizes) != 1 or 0 in sizes:
        rule = f"`{name}` must have as many targets as inputs, at least one"
        checks.fail(rule, sizes=sorted(sizes))
    return found


def _batches(name, data):
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(length(name, data)))
    if not hasattr(data, "__iter__") or hasattr(data, "__array__"):
        checks.fail(
            f"`{name}` must be a tuple (x, y) or a data set of batches",
            error=TypeError,
            **{name: type(data).__name__},
        )
    return iter(data)


def length(name, data):
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
    return keras.tree.map_structure(lambda *same: np.concatenate(same), *arrays)


def calibration(data, seed):
    """Inputs of some training samples, drawn by `seed`, for the ranges of int8."""
    if is_arrays(data):
        found = samples("train_data", data[:2])
        rng = np.random.default_rng(seed)
        return found.take(rng.permutation(len(found))[:_CALIBRATION]).x
    parts, count = [], 0
    for batch in _batches("train_data", data):
        part = samples("train_data", batch)
        parts.append(part.x)
        count += len(part)
        if count >= _CALIBRATION:
            break
    return _map(lambda value: value[:_CALIBRATION], _joined(parts))


def split(validation, held_out, seed):
    """`(validation, held out)`; without the latter, a random half of the former."""
    if held_out is not None:
        return validation, held_out
    count = len(validation)
    if count < _FEWEST:
        checks.fail(
            f"`validation_data` must have at least {_FEWEST} samples to be split",
            fix="Give `test_data`, which the search does not see.",
            samples=count,
        )
    order = np.random.default_rng(seed).permutation(count)
    half = count - count // 2
    return validation.take(np.sort(order[:half])), validation.take(
        np.sort(order[half:])
    )


def named(model, x):
    """Inputs in a list as a dict by input name, which `.tflite` files take."""
    if not isinstance(x, list | tuple):
        return x
    return dict(zip((one.name for one in model.inputs), x, strict=True))
