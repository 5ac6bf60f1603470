"""Layers: their own variables and flag, and calls that are held at inference."""

import inspect
from collections.abc import Callable

import keras


def own_variables_of_layer(
    layer: keras.layers.Layer,
) -> tuple[list[keras.Variable], list[keras.Variable]]:
    """`(trainable, others)`: the variables that a layer holds itself.

    `trainable` are those that it was built to train, whatever their flag says now.
    The public lists go into the layers inside and follow the flags; the states of
    seed generators are in `variables` only, among those of all layers inside.
    Keras 3.12 to 3.15.
    """
    seeds = [generator.state for generator in layer._seed_generators]
    return (
        list(layer._trainable_variables),
        [*layer._non_trainable_variables, *seeds],
    )


def set_own_flag(layer: keras.layers.Layer, trainable: bool) -> None:
    """Sets `layer.trainable` without the layers inside and without the variables.

    The public setter sets all of them, so that a part of a nested model cannot be
    frozen without a list of what was trainable before. Keras 3.12 to 3.15.
    """
    layer._trainable = trainable


class _InferenceCall:
    """A `call` with `training=False`, in the place of a layer's own."""

    def __init__(self, layer):
        self.active = True
        self.call = layer.call
        names = list(inspect.signature(self.call).parameters)
        self.position = names.index("training")

    def __call__(self, *args, **kwargs):
        if not self.active:
            return self.call(*args, **kwargs)
        if len(args) > self.position:
            rest = args[self.position + 1 :]
            return self.call(*args[: self.position], False, *rest, **kwargs)
        return self.call(*args, **{**kwargs, "training": False})


def hold_at_inference(layer: keras.layers.Layer) -> Callable[[], None] | None:
    """Calls `layer` with `training=False` from now on; returns a function to undo it.

    A model hands the `training` of its own call to all layers, explicitly, over what
    the layer was called with when the graph was made: `backbone(x, training=False)`
    does not hold in `fit`. Only an attribute of the object, which Keras looks up at
    each call, comes after that. Returns `None` for a layer whose `call` does not take
    `training`. Keras 3.12 to 3.15.
    """
    if "training" not in inspect.signature(layer.call).parameters:
        return None
    held = _InferenceCall(layer)
    # Around Keras's own setting of attributes, which tracks what it is given.
    layer.__dict__["call"] = held

    def release():
        held.active = False
        if layer.__dict__.get("call") is not held:
            return  # somebody else's stands in front and still calls this one
        own = getattr(type(layer).call, "__get__", None)
        if own is not None and held.call == own(layer):
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = held.call

    return release
