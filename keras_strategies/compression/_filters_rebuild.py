"""A copy of a model with fewer channels, made with Keras's public interface."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.copying import (
    compile_objects,
    copy_variables,
    own_objects,
    parts,
)
from keras_strategies.compression import _filters_graph
from keras_strategies.compression._filters_analysis import positions


class Rebuild:
    """Clones layer by layer, each once, with the sizes and weights that stay."""

    def __init__(self, analysis, removed):
        self.analysis, self.removed = analysis, removed
        self.copies = {}  # id(old layer) -> (old layer, new layer)

    def model(self, model):
        """The smaller copy of `model`, with its weights."""
        inputs = None
        if not isinstance(model, keras.Sequential):
            inputs = self._inputs(model, [None] * len(model.inputs))
        copy = self._copy_model(model, inputs)
        opened = [(model, copy)]
        for old, new in self.copies.values():
            if id(old) in self.analysis.entries:
                opened.append((old, new))
            else:
                self._fill(old, new)
        for old, new in opened:
            if not old.trainable:
                new.trainable = False
        return copy

    def _count(self, atoms):
        return len(positions(self.analysis, atoms, self.removed))

    def _copy_model(self, model, inputs):
        with keras.saving.custom_object_scope(compile_objects(model)):
            try:
                return keras.models.clone_model(
                    model, input_tensors=inputs, clone_function=self._copy
                )
            except TypeError as error:
                if "register_keras_serializable" not in str(error):
                    raise
                rule = "`model` must be made of, and compiled with, what Keras can copy"
                fix = (
                    "Decorate custom classes and functions by "
                    "@keras.saving.register_keras_serializable()."
                )
                text = checks.message(rule, {"model": model.name}, fix)
                raise ValueError(f"{text} {error}") from error

    def _copy(self, layer):
        if id(layer) not in self.copies:
            entry = self.analysis.entries.get(id(layer))
            if entry is None:
                new = self._copy_layer(layer)
            else:
                new = self._copy_model(layer, self._inputs(layer, entry))
            self.copies[id(layer)] = (layer, new)
        return self.copies[id(layer)][1]

    def _copy_layer(self, layer):
        # The code of a Lambda comes from a live layer here, not from a file.
        trust = {"safe_mode": False} if type(layer) is keras.layers.Lambda else {}
        with keras.saving.custom_object_scope(own_objects(layer)):
            return type(layer).from_config(self._config(layer), **trust)

    def _config(self, layer):
        config = layer.get_config()
        plan = self.analysis.plans.get(id(layer))
        for key, index, atoms in plan.sizes if plan else ():
            if index is None:
                config[key] = self._count(atoms)
            else:
                sizes = list(config[key])
                sizes[index] = self._count(atoms)
                config[key] = tuple(sizes)
        return config

    def _inputs(self, model, entry):
        """New inputs like the old ones; of a nested model as narrow as its calls."""
        if isinstance(model, keras.Sequential):
            shape = self._shape(model.inputs[0].shape, entry[0])
            return keras.Input(batch_shape=shape, dtype=model.inputs[0].dtype)
        made = []
        layers = _filters_graph.input_layers(model)
        for layer, channels in zip(layers, entry, strict=True):
            config = layer.get_config()
            config["batch_shape"] = self._shape(config["batch_shape"], channels)
            made.append(type(layer).from_config(config).output)
        return keras.tree.pack_sequence_as(model.input, made)

    def _shape(self, shape, channels):
        shape = list(shape)
        if channels is not None:
            shape[channels.axis] = self._count(channels.atoms)
        return tuple(shape)

    def _fill(self, old, new):
        """Gives a copy the weights that stay, and their `trainable`."""
        plan = self.analysis.plans.get(id(old))
        if plan is None:
            for one, other in zip(parts(old), parts(new), strict=True):
                copy_variables(one, other)
        else:
            new.set_weights(
                [self._cut(plan, i, weight) for i, weight in enumerate(old.weights)]
            )
        if isinstance(old, keras.layers.Layer):
            for one, other in zip(old.weights, new.weights, strict=True):
                other.trainable = one.trainable

    def _cut(self, plan, index, weight):
        value = keras.ops.convert_to_numpy(weight.value)
        for axis, atoms in plan.slices.get(index, {}).items():
            value = np.take(
                value, positions(self.analysis, atoms, self.removed), axis=axis
            )
        return value
