"""A copy of a model with fewer channels, made with Keras's public interface."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.walking import all_layers
from keras_strategies.compression import _filters_graph
from keras_strategies.compression._filters_analysis import positions


class Rebuild:
    """Clones layer by layer, each once, with the sizes and weights that stay."""

    def __init__(self, analysis, removed):
        self.analysis, self.removed = analysis, removed
        self.copies = {}  # id(old layer) -> (old layer, new layer)

    def model(self, model):
        """The smaller copy of `model`, with its weights."""
        copy = self._copy_model(model, None)
        for old, new in self.copies.values():
            if not isinstance(old, keras.Model) or not _filters_graph.can_open(old):
                self._fill(old, new)
        if not model.trainable:
            copy.trainable = False
        return copy

    def _count(self, atoms):
        return len(positions(self.analysis, atoms, self.removed))

    def _copy_model(self, model, inputs):
        with keras.saving.custom_object_scope(_custom_objects(model)):
            try:
                return keras.models.clone_model(
                    model, input_tensors=inputs, clone_function=self._copy
                )
            except TypeError as error:
                if "register_keras_serializable" not in str(error):
                    raise
                rule = "`model` must be compiled with what Keras can copy"
                text = checks.message(
                    rule,
                    {"model": model.name},
                    "Decorate custom losses and metrics by "
                    "@keras.saving.register_keras_serializable().",
                )
                raise ValueError(text) from error

    def _copy(self, layer):
        if id(layer) not in self.copies:
            entry = self.analysis.entries.get(id(layer))
            if entry is None:
                new = type(layer).from_config(self._config(layer))
            else:
                new = self._copy_model(layer, self._inputs(layer, entry))
            self.copies[id(layer)] = (layer, new)
        return self.copies[id(layer)][1]

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
        """New inputs for a nested model, as narrow as what it will be called on."""
        made = []
        for tensor, channels in zip(model.inputs, entry, strict=True):
            shape = list(tensor.shape)
            if channels is not None:
                shape[channels.axis] = self._count(channels.atoms)
            made.append(keras.Input(batch_shape=shape, dtype=tensor.dtype))
        if isinstance(model, keras.Sequential):
            return made[0]
        return keras.tree.pack_sequence_as(model.input, made)

    def _fill(self, old, new):
        """Gives a copy the weights that stay, and their `trainable`."""
        plan = self.analysis.plans.get(id(old))
        if plan is None:
            for one, other in zip(_parts(old), _parts(new), strict=True):
                saved = {}
                one.save_own_variables(saved)
                if saved:
                    other.load_own_variables(saved)
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


def _parts(layer):
    """A layer and all layers in it; nothing for an operation without weights."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    return [layer, *all_layers(layer)]


def _custom_objects(model):
    """The loss functions and the classes a model was compiled with, by name."""
    if not model.compiled:
        return {}
    things = [type(model.optimizer)]
    for loss in keras.tree.flatten(model.loss):
        things.append(loss if hasattr(loss, "__name__") else type(loss))
    own = [thing for thing in things if not thing.__module__.startswith("keras.")]
    return {thing.__name__: thing for thing in own if thing.__module__ != "builtins"}
