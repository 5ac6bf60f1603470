"""Features of a frozen backbone, computed once, and the rest of the model on them."""

import inspect
import types
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import bases, freezing
from keras_strategies._internal.keras_private import (
    carries_mask,
    graph_nodes,
    output_structure,
)
from keras_strategies._internal.model_graph import (
    keras_tensors,
    replace_keras_tensors,
)
from keras_strategies._internal.traversal import all_layers
from keras_strategies.training._data.memory import float_bytes

# Packages whose layers draw random numbers through seed generators only.
_KNOWN = ("keras.", "keras_strategies.")


class Split:
    """A Functional model cut where everything before is the same in each epoch.

    Attributes:
        boundary: The KerasTensors that cross the cut.
        rest: `[(operation, args, kwargs, outputs)]` behind the cut, in order.
        problem: Why nothing is gained by the cut, or `None`.
    """

    def __init__(self, model: keras.Model):
        self.model, self.boundary, self.rest = model, [], []
        self._extractor: keras.Model | None = None
        nodes = graph_nodes(model)
        self.problem = "the model is no Functional model" if nodes is None else None
        if nodes is not None:
            self._cut(nodes)

    def _cut(self, nodes):
        still = {id(tensor) for tensor in keras.tree.flatten(self.model.inputs)}
        heavy, blocking = False, None
        for operation, args, kwargs, outputs in nodes:
            tensors = keras_tensors((args, kwargs))
            # `still`: what is the same in every epoch, from the inputs on. The first
            # operation that is not, and all that depend on it, belong to the part that
            # trains.
            if all(id(t) in still for t in tensors) and is_still(operation):
                still.update(id(tensor) for tensor in outputs)
                heavy |= bool(getattr(operation, "weights", ()))
                continue
            self.rest.append((operation, args, kwargs, outputs))
            blocking = blocking or operation
            self._cross(t for t in tensors if id(t) in still)
        self._cross(t for t in self.model.outputs if id(t) in still)
        if not heavy:
            self.problem = f"{blocking.name!r} in front of the backbone is not frozen"
        elif any(carries_mask(t) for t in self.boundary) or _makes_mask(self.model):
            self.problem = "the features have a mask"
        elif any(t.dtype not in ("float32", "int32") for t in self.boundary):
            self.problem = "features in half precision would be rounded otherwise"
        elif _losses_of_frozen(self.model):
            self.problem = "frozen layers add to the loss"

    def _cross(self, tensors):
        # Each once: several operations may use a tensor, or one of them twice.
        unique = {id(tensor): tensor for tensor in [*self.boundary, *tensors]}
        self.boundary = list(unique.values())

    def bytes_for(self, samples: int) -> int | None:
        """Memory for the features of so many samples; `None` if it is not known."""
        return float_bytes((tensor.shape[1:] for tensor in self.boundary), samples)

    def features(self, x: Any, batch_size: int) -> Any:
        """The values at the cut for all samples, as one array or a list."""
        if self._extractor is None:
            self._extractor = keras.Model(self.model.inputs, self.boundary)
        parts = [
            self._extractor.predict(batches, batch_size=batch_size, verbose=0)
            for batches in _whole_batches(x, batch_size)
        ]
        rows = len(keras.tree.flatten(x)[0])
        values = [
            np.concatenate(leaves)[:rows] if len(leaves) > 1 else leaves[0][:rows]
            for leaves in zip(*map(keras.tree.flatten, parts), strict=True)
        ]
        return values if len(self.boundary) > 1 else values[0]

    def head(self) -> keras.Model:
        """The part behind the cut as a model of the same layers."""
        return _Rest(self)


def _whole_batches(x, batch_size):
    """Parts of `x` that are whole batches; the last row fills up the last one.

    For batches of another size a backbone would be traced, or compiled, once more.
    """
    rows = len(keras.tree.flatten(x)[0])
    whole = rows - rows % batch_size
    if whole:
        yield keras.tree.map_structure(lambda leaf: leaf[:whole], x)
    if rows > whole:
        numbers = np.minimum(np.arange(whole, whole + batch_size), rows - 1) - whole
        yield keras.tree.map_structure(
            lambda leaf: keras.ops.convert_to_numpy(leaf[whole:])[numbers], x
        )


class _Rest(bases.Model):
    """Runs the operations behind a cut.

    `keras.Model(boundary, outputs)` would add calls to the layers: `layer.output` of
    the user's model would be ambiguous afterwards.
    """

    def __init__(self, split):
        super().__init__(name=split.model.name)
        operations = {id(operation): operation for operation, *_ in split.rest}
        self.operations = [
            operation
            for operation in operations.values()
            if isinstance(operation, keras.layers.Layer)
        ]
        # In an object, so that Keras does not track what is in it.
        self._split = types.SimpleNamespace(content=split)
        names = getattr(split.model, "output_names", None)
        if names:  # by these losses and metrics of several outputs are given
            self.output_names = list(names)
        self.built = True

    def call(self, features, training=None):
        split = self._split.content
        flat = keras.tree.flatten(features)
        values = {id(t): v for t, v in zip(split.boundary, flat, strict=True)}
        for operation, args, kwargs, outputs in split.rest:
            args, kwargs = replace_keras_tensors((args, kwargs), values)
            if takes_training(operation):
                kwargs = {**kwargs, "training": training}
            results = keras.tree.flatten(operation(*args, **kwargs))
            values.update({id(t): v for t, v in zip(outputs, results, strict=True)})
        outputs = [values[id(tensor)] for tensor in split.model.outputs]
        return keras.tree.pack_sequence_as(output_structure(split.model), outputs)


def takes_training(operation: Any) -> bool:
    """Whether `training` is an argument of a layer's `call`."""
    is_layer = isinstance(operation, keras.layers.Layer)
    return is_layer and "training" in inspect.signature(operation.call).parameters


def is_still(operation: Any) -> bool:
    """Whether an operation gives the same output for an input in every epoch."""
    if not isinstance(operation, keras.layers.Layer):
        return not type(operation).__module__.startswith("keras.src.random")
    if freezing.is_frozen(operation):
        return all(freezing.is_frozen(layer) for layer in all_layers(operation))
    if isinstance(operation, keras.Model):  # such as the preprocessing
        return all(is_still(layer) for layer in all_layers(operation))
    return (
        type(operation).__module__.startswith(_KNOWN)
        and not isinstance(operation, keras.layers.Lambda)
        and not operation.variables
        and not takes_training(operation)
    )


def _makes_mask(model):
    """Whether a frozen layer makes a mask: in a nested model only a call shows it."""
    base = keras.layers.Layer.compute_mask
    for layer in all_layers(model):
        own = type(layer).compute_mask is not base
        foreign = own and not type(layer).__module__.startswith(_KNOWN)
        masks = isinstance(layer, keras.layers.Masking)
        makes = masks or foreign or getattr(layer, "mask_zero", False)
        if makes and (masks or freezing.is_frozen(layer)):
            return True
    return False


def _losses_of_frozen(model):
    return any(
        getattr(weight, "regularizer", None) is not None and not weight.trainable
        for weight in model.weights
    )
