"""Insertion of new layers after layers of a model."""

from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import flatten_layers
from keras_strategies._internal.model_graph import (
    Rewriter,
    Step,
    check_output_names,
    check_rebuildable,
    compile_like,
    copy_optimizer_state,
)
from keras_strategies._internal.select import Selector
from keras_strategies.surgery._targets import chosen, free_name, operation_names


def insert(
    model: keras.Model,
    include: Selector,
    layer_fn: Callable[[Any], Any],
    *,
    exclude: Selector | None = None,
) -> keras.Model:
    """Returns a copy of `model` with new layers inserted after matching layers.

    Adds dropout, normalization or noise to a network that exists, such as one of
    `keras.applications` or from a file, without writing it again. The copy shares
    nothing with the model, which stays as it is: it has copies of its layers under
    their names, with their weights and `trainable`.

    A copy of a compiled model is compiled with the same optimizer settings, loss and
    metrics. If no new layer has weights to train, the optimizer goes on where that of
    the model is; otherwise it starts anew, at step 0 and with empty moments.

    Args:
        model: A built Sequential or functional `keras.Model`, compiled or not. Models
            nested in it are copied too and get their layers; subclassed layers and
            models in it stay whole.
        include: The layers to insert after: a regular expression that is searched in
            the path of each layer, which is its name behind the names of the models
            around it (`"backbone/conv_1"`), a layer, a function of a layer, or a list
            of these. Input layers and nested models count; use `"^conv_1$"` for
            exactly one. The new layer follows all of the layer, its activation too.
        layer_fn: Function that is called with each selected layer and returns the new
            layer to insert after it, or `None` for none. That layer must keep the
            shape. A layer that is called several times has one new layer for all its
            calls.
        exclude: Layers to leave out, in the same form. Defaults to `None`.

    Returns:
        The new model. Inserted layers whose names are taken are renamed (`dropout_1`).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if `include` matches
            nothing, if a new layer changes the shape or stands in the model already,
            or if an output changes its name by which a loss or metric is assigned.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(1, name="head"),
    ])
    model = surgery.insert(model, "^hidden$", lambda layer: keras.layers.Dropout(0.2))
    ```
    """
    check_rebuildable(model)
    if not callable(layer_fn) or isinstance(layer_fn, keras.layers.Layer):
        checks.fail(
            "`layer_fn` must be a function that returns a new layer",
            error=TypeError,
            layer_fn=layer_fn,
            fix="Such as lambda layer: keras.layers.Dropout(0.2).",
        )
    targets = chosen(model, include, exclude)
    insertion = _Insertion(model, {id(target.item) for target in targets}, layer_fn)
    copy = insertion.rebuild()
    if not insertion.new:
        checks.fail(
            "`include` must match a layer for which `layer_fn` returns one",
            include=include,
            paths=[target.path for target in targets],
        )
    check_output_names(model, copy)
    compile_like(copy, model)
    if not any(layer.trainable_weights for layer in insertion.new):
        copy_optimizer_state(model, copy)
    return copy


class _Insertion(Rewriter):
    """Puts the layers that `layer_fn` returns after the selected ones."""

    def __init__(self, model, selected, layer_fn):
        super().__init__(model)
        self.selected, self.layer_fn = selected, layer_fn
        self.of_model = {id(model), *(id(layer) for layer in flatten_layers(model))}
        self.names = operation_names(model)
        self.new = []

    def step(self, layer, path):
        after = []
        if id(layer) in self.selected:
            new = self.layer_fn(layer)
            if new is not None:
                after.append(self._checked(new, path))
        return Step(self.copied(layer, path), after=after)

    def check_added(self, layer, before, after):
        shapes = [getattr(tensor, "shape", None) for tensor in (before, after)]
        if None in shapes or tuple(shapes[0]) != tuple(shapes[1]):
            checks.fail(
                "A new layer must have one input and one output of the same shape",
                layer=layer.name,
                input=before,
                output=after,
            )

    def _checked(self, new, path):
        if not isinstance(new, keras.layers.Layer):
            checks.fail(
                "`layer_fn` must return a layer or None", error=TypeError, returned=new
            )
        if any(new is other for other in self.new) or id(new) in self.of_model:
            checks.fail(
                "`layer_fn` must return another layer each time, and none of the model",
                layer=new.name,
                after=path,
            )
        new.name = free_name(new.name, self.names)
        self.new.append(new)
        return new
