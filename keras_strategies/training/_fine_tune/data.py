"""Training data of a fine-tuning: what they are, and whether they fit the head."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import output_operations
from keras_strategies.training._data.arrays import num_batches
from keras_strategies.training._fine_tune import families


@dataclasses.dataclass(frozen=True)
class Data:
    """Arrays `(x, y, sample_weight)`, or one object that yields batches of them."""

    name: str
    x: Any
    y: Any = None
    sample_weight: Any = None

    @property
    def are_arrays(self) -> bool:
        return self.y is not None

    @property
    def samples(self) -> int:
        """The number of samples of arrays."""
        return len(keras.tree.flatten(self.x)[0])

    def first(self) -> tuple[Any, Any]:
        """All of arrays, or the first batch, as NumPy arrays."""
        if self.are_arrays:
            return self.x, self.y
        batch = next(_batches(self.x))
        convert = keras.ops.convert_to_numpy
        x, y = (keras.tree.map_structure(convert, part) for part in batch[:2])
        return x, y

    def batches(self, batch_size: int) -> int:
        """Optimizer steps in an epoch; counts a stream of unknown length once."""
        if self.are_arrays:
            return num_batches(self.samples, batch_size)
        for count in (getattr(self.x, "num_batches", None), _length(self.x)):
            if count is not None:
                return count
        return self._counted

    @functools.cached_property
    def _counted(self):
        """Batches of a data set that does not say how many: one pass over it."""
        return sum(1 for _ in _batches(self.x))

    def fit_arguments(self, batch_size: int) -> dict[str, Any]:
        """The arguments of `fit` for these data; a data set has a size of its own."""
        if isinstance(self.x, keras.utils.PyDataset):
            return {"x": self.x}
        if not self.are_arrays:  # Keras warns that it cannot shuffle these
            return {"x": self.x, "shuffle": False}
        return {
            "x": self.x,
            "y": self.y,
            "sample_weight": self.sample_weight,
            "batch_size": batch_size,
        }

    def validation_argument(self) -> Any:
        """These data as `validation_data`."""
        if not self.are_arrays:
            return self.x
        weight = () if self.sample_weight is None else (self.sample_weight,)
        return (self.x, self.y, *weight)


def _length(data):
    try:
        return len(data)
    except TypeError:  # tf.data of unknown cardinality, and generators
        return None


def _batches(data) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(len(data)))
    return iter(data)


def checked_data(name: str, value: Any) -> Data:
    """Takes `(x, y)`, `(x, y, sample_weight)` or a data set of such batches."""
    if isinstance(value, tuple) and len(value) in (2, 3):
        data = Data(name, *(_arrays(part) for part in value))
        sizes = {len(part) for part in keras.tree.flatten((data.x, data.y))}
        if len(sizes) != 1 or 0 in sizes:
            rule = f"`{name}` must have as many targets as inputs, at least one"
            checks.fail(rule, sizes=sorted(sizes))
        return data
    is_stream = hasattr(value, "__iter__") or isinstance(value, keras.utils.PyDataset)
    if not is_stream or isinstance(value, list | dict) or hasattr(value, "__array__"):
        checks.fail(
            f"`{name}` must be a tuple (x, y) or (x, y, sample_weight), or a data set "
            "of batches",
            error=TypeError,
            **{name: type(value).__name__},
        )
    if iter(_batches(value)) is value:
        checks.fail(
            f"`{name}` must be a data set that can be read more than once",
            fix="Give a tf.data.Dataset, a PyDataset or arrays, no generator.",
            error=TypeError,
            **{name: type(value).__name__},
        )
    if _is_endless(value):
        checks.fail(
            f"`{name}` must be a data set that ends",
            fix="Leave out `repeat()`: each epoch reads the data once.",
            **{name: type(value).__name__},
        )
    return Data(name, value)


def _is_endless(data):
    """Whether a `tf.data.Dataset` says that it has no end."""
    cardinality = getattr(data, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == -1  # tf.data.INFINITE


def _arrays(value):
    """An array, or arrays in their structure where there are several of them."""
    if value is None or hasattr(value, "__array__"):
        return None if value is None else np.asarray(value)
    several = isinstance(value, dict) or any(hasattr(v, "__array__") for v in value)
    return keras.tree.map_structure(np.asarray, value) if several else np.asarray(value)


def last_activations(model: keras.Model) -> list[str | None]:
    """`"softmax"`, `"sigmoid"` or `None` for each output of a model, flat."""
    operations = output_operations(model)
    if operations is None:  # subclassed: the last layer stands for all outputs
        operations = model.layers[-1:]
    found = []
    for operation in operations:
        if isinstance(operation, keras.Model):
            found += last_activations(operation)[:1]
        else:
            found.append(_activation(operation))
    return found


def _activation(operation):
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    known = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
    return known.get(activation) if callable(activation) else None


def last_activation(model: keras.Model) -> str | None:
    """The only or first of `last_activations`."""
    return next(iter(last_activations(model)), None)


def default_loss(model: keras.Model, y: Any) -> str:
    """The loss for the activation of the head and the targets."""
    kind = last_activation(model)
    if kind == "softmax":
        return f"{_sparse(model, y)}categorical_crossentropy"
    return "binary_crossentropy" if kind == "sigmoid" else "mean_squared_error"


def _sparse(model, y):
    is_one_hot = np.ndim(y) > 1 and np.shape(y)[-1] == model.output_shape[-1]
    return "" if is_one_hot else "sparse_"


def check_targets(model: keras.Model, data: Data, y: Any) -> None:
    """Refuses targets that a head with softmax, or of numbers, cannot have."""
    if len(getattr(model, "outputs", None) or ()) != 1 or isinstance(y, dict | list):
        return  # several outputs, or not known: Keras checks names and shapes
    size, shape = model.output_shape[-1], np.shape(y)
    if last_activation(model) == "softmax":
        if shape[-1:] == (size,) and len(shape) == len(model.output_shape):
            return
        if len(shape) == len(model.output_shape) and shape[-1] > 1:
            checks.fail(
                "One-hot labels must have as many entries as the head has classes",
                fix=f"Give attach_head classes={shape[-1]}.",
                classes=size,
                shape_of_labels=shape,
            )
        labels = np.asarray(y)
        if labels.dtype.kind not in "biuf":
            checks.fail(
                f"Labels must be integers in [0, {size - 1}]",
                fix="Number the classes, for example by numpy.unique(labels, "
                "return_inverse=True).",
                dtype=labels.dtype,
            )
        if labels.min() < 0 or labels.max() >= size or (labels != labels // 1).any():
            least = int(labels.max()) + 1
            checks.fail(
                f"Labels must be integers in [0, {size - 1}], as many as the head has "
                "classes",
                fix=f"Give attach_head classes={least}, or number the labels from 0.",
                classes=size,
                labels=[labels.min().item(), labels.max().item()],
            )
    elif len(shape) == len(model.output_shape) and shape[-1] != size:
        checks.fail(
            "Targets must have as many values as the head has units",
            units=size,
            shape_of_targets=shape,
        )


def check_inputs(model: keras.Model, x: Any) -> str | None:
    """Refuses images that were scaled before; returns what else looks wrong with them.

    `attach_head` knows which images a model takes. Where the user put a network of
    `keras.applications` into a model, plain images in front of it are likely an
    oversight, but the weights may come from elsewhere.
    """
    flat = keras.tree.flatten(x)
    if len(flat) != 1 or np.ndim(flat[0]) != 4:
        return None
    images = np.asarray(flat[0][:256])
    low, high = float(images.min()), float(images.max())
    largest = families.expected_maximum(model)
    if largest is not None:
        if low < 0 or high > largest * 1.01 or (high <= 1.0 < largest):
            checks.fail(
                f"The model takes plain images with values from 0 to {largest:g} and "
                "scales them itself; these look as if they had been scaled before",
                fix="Leave out `preprocess_input` or the division, or tell attach_head "
                "by `max_value` or preprocessing=None.",
                smallest=low,
                largest=high,
            )
        return None
    mode = families.preprocessing_mode(model)
    if mode in families.MODES and low >= 0:
        return (
            f"the network was made for images that went through `preprocess_input` "
            f"(mode {mode!r}); these have values from {low:g} to {high:g}: "
            "attach_head puts the preprocessing into the model"
        )
    return None
