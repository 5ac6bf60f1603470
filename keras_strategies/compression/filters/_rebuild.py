"""Copy of a model with fewer channels."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal.model_graph import (
    Rewriter,
    clone_layer,
    copy_state,
    input_layers,
)
from keras_strategies.compression.filters._analysis import Analysis, kept_positions
from keras_strategies.compression.filters._channel_groups import Channels


class Rebuild(Rewriter):
    """Clones layer by layer, each once, with the sizes and weights that stay.

    Args:
        analysis: The `Analysis` of the model.
        removed: Roots of the groups of channels to remove.
    """

    def __init__(self, analysis: Analysis, removed: set[int]) -> None:
        super().__init__(analysis.model)
        self.analysis, self.removed = analysis, removed
        # Channels of each input layer of a nested model, by its id.
        self.narrowed: dict[int, Channels | None] = {}
        # Its calls were joined, so the channels of the first call hold for all.
        for call in analysis.graph.calls:
            if call.is_entry:
                layers = input_layers(call.operation)
                entry = analysis.entries[id(call.operation)]
                pairs = zip(layers, entry, strict=True)
                self.narrowed |= {id(layer): channels for layer, channels in pairs}

    def clone(self, layer: Any, path: str) -> Any:
        """A copy with the sizes that are left; its weights come later, in `fill`."""
        plan = self.analysis.plans.get(id(layer))
        if plan is None:
            return clone_layer(layer)
        config, changes = layer.get_config(), {}
        for key, index, ids in plan.sizes:
            if index is None:
                changes[key] = self._count(ids)
            else:
                sizes = list(changes.get(key, config[key]))
                sizes[index] = self._count(ids)
                changes[key] = tuple(sizes)
        return clone_layer(layer, **changes)

    def clone_input(self, layer: Any, path: str) -> Any:
        """The input of a nested model is as narrow as its calls."""
        channels = self.narrowed.get(id(layer))
        if channels is None:
            return clone_layer(layer)
        shape = list(layer.batch_shape)
        shape[channels.axis] = self._count(channels.ids)
        return clone_layer(layer, batch_shape=tuple(shape))

    def fill(self, old: Any, new: Any) -> None:
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

    def _count(self, ids):
        return len(kept_positions(self.analysis, ids, self.removed))

    def _cut(self, plan, index, weight):
        value = keras.ops.convert_to_numpy(weight.value)
        # A kernel is cut along its inputs and along its outputs.
        for axis, ids in plan.slices.get(index, {}).items():
            kept = kept_positions(self.analysis, ids, self.removed)
            value = np.take(value, kept, axis=axis)
        return value
