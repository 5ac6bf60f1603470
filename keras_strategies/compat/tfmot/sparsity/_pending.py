"""Layers that are pruned once the model they end up in is known."""

import functools

from keras_strategies._internal import bases, traversal


class Pending(bases.Constraint):
    """Stands on the weights of a marked layer until training starts.

    The number of a training step is known to the optimizer of the whole model, which
    a layer by itself cannot find. TFMOT asks for `UpdatePruningStep` too.
    """

    def __init__(self, layer_name, before):
        self.layer_name = layer_name
        self.before = before

    def __call__(self, value):
        raise RuntimeError(
            f"Layer '{self.layer_name}' was given to prune_low_magnitude by itself: "
            "pass tfmot.sparsity.keras.UpdatePruningStep() to `fit` as a callback, or "
            "prune the whole model."
        )

    def get_config(self):
        return {"layer_name": self.layer_name, "before": self.before}


def mark(layer, work):
    """Lets `work(model, layer)` be done when training starts."""
    layer._tfmot_pending = work
    if layer.built:
        _guard(layer)
        return
    build = layer.build

    @functools.wraps(build)  # Keras reads its arguments
    def build_and_guard(*args, **kwargs):
        build(*args, **kwargs)
        _guard(layer)

    layer.build = build_and_guard


def _guard(layer):
    for weight in layer.trainable_weights:
        weight.constraint = Pending(layer.name, weight.constraint)


def start(model):
    """Prunes what is marked in `model`."""
    for layer in traversal.all_layers(model):
        work = getattr(layer, "_tfmot_pending", None)
        if work is None:
            continue
        layer._tfmot_pending = None
        for weight in layer.trainable_weights:
            if isinstance(weight.constraint, Pending):
                weight.constraint = weight.constraint.before
        work(model, layer)
