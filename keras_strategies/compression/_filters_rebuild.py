"""Copy of a model with fewer channels."""

import keras
import numpy as np

from keras_strategies._internal.model_graph import (
    Rewriter,
    clone_layer,
    copy_state,
    input_layers,
)
from keras_strategies.compression._filters_analysis import positions


class Rebuild(Rewriter):
    """Clones layer by layer, each once, with the sizes and weights that stay.

    Args:
        analysis: The `Analysis` of the model.
        removed: Roots of the groups of channels that go.
    """

    def __init__(self, analysis, removed):
        super().__init__(analysis.model)
        self.analysis, self.removed = analysis, removed
        self.narrowed = {}  # id(input layer of a nested model) -> Channels or None
        for call in analysis.graph.calls:
            if call.is_entry:
                layers = input_layers(call.operation)
                entry = analysis.entries[id(call.operation)]
                pairs = zip(layers, entry, strict=True)
                self.narrowed |= {id(layer): channels for layer, channels in pairs}

    def clone(self, layer, path):
        plan = self.analysis.plans.get(id(layer))
        if plan is None:
            return clone_layer(layer)
        config, changes = layer.get_config(), {}
        for key, index, atoms in plan.sizes:
            if index is None:
                changes[key] = self._count(atoms)
            else:
                sizes = list(changes.get(key, config[key]))
                sizes[index] = self._count(atoms)
                changes[key] = tuple(sizes)
        return clone_layer(layer, **changes)

    def clone_input(self, layer, path):
        """The input of a nested model is as narrow as its calls."""
        channels = self.narrowed.get(id(layer))
        if channels is None:
            return clone_layer(layer)
        shape = list(layer.batch_shape)
        shape[channels.axis] = self._count(channels.atoms)
        return clone_layer(layer, batch_shape=tuple(shape))

    def fill(self, old, new):
        """Gives a copy the weights that stay, and their `trainable`."""
        plan = self.analysis.plans.get(id(old))
        if plan is None:
            copy_state(old, new)
            return
        new.set_weights(
            [self._cut(plan, i, weight) for i, weight in enumerate(old.weights)]
        )
        for before, after in zip(old.weights, new.weights, strict=True):
            after.trainable = before.trainable

    def _count(self, atoms):
        return len(positions(self.analysis, atoms, self.removed))

    def _cut(self, plan, index, weight):
        value = keras.ops.convert_to_numpy(weight.value)
        for axis, atoms in plan.slices.get(index, {}).items():
            value = np.take(
                value, positions(self.analysis, atoms, self.removed), axis=axis
            )
        return value
