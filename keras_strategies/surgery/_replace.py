"""Replacement and removal of layers of a model."""

from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import default_name, flatten_layers
from keras_strategies._internal.model_graph import (
    Rewriter,
    Step,
    check_output_names,
    check_rebuildable,
    compile_like,
    copy_optimizer_state,
    value_of,
)
from keras_strategies._internal.select import Selector
from keras_strategies.surgery._targets import chosen


def replace(
    model: keras.Model,
    include: Selector,
    new_layer: Any | Callable[[Any], Any],
    *,
    exclude: Selector | None = None,
    keep_weights: bool = True,
) -> keras.Model:
    """Returns a copy of `model` with matching layers replaced by new ones.

    Gives a trained network another activation, another normalization or another head.
    The copy shares nothing with the model, which stays as it is. A copy of a compiled
    model is compiled alike, with an optimizer at step 0.

    Args:
        model: A built Sequential or functional `keras.Model`, compiled or not. Models
            nested in it are copied too; a nested model may be replaced as a whole.
        include: The layers to replace: a regular expression that is searched in the
            path of each layer (`"backbone/conv_1"`), a layer, a function of a layer,
            or a list of these. Input layers do not count.
        new_layer: Function that is called with each selected layer and returns the one
            to put in its place, or `None` to leave it. A layer may be given where one
            layer is selected. The new layer takes the arguments of the old one and may
            change the shape where the layers that follow allow it.
        exclude: Layers to leave alone, in the same form. Defaults to `None`.
        keep_weights: Whether a new layer that is not built yet takes over each weight
            of the old one that has the same name and shape. Defaults to `True`.

    Returns:
        The new model. A new layer whose name was not chosen has that of the old one.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if `include` matches
            nothing, if a new layer stands in the model already, or if the layers that
            follow do not fit the new shape.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(10, name="head"),
    ])
    model = surgery.replace(model, "^head$", keras.layers.Dense(3, name="head"))
    ```
    """
    check_rebuildable(model)
    checks.boolean("keep_weights", keep_weights)
    targets = chosen(model, include, exclude, inputs=False)
    layer_fn = _layer_function(new_layer, targets)
    rewriter = _Replacement(model, {id(t.item) for t in targets}, layer_fn)
    copy = _rebuilt(rewriter, model)
    if not rewriter.new:
        checks.fail(
            "`new_layer` must return a layer for at least one of the selected ones",
            include=include,
            paths=[target.path for target in targets],
        )
    if keep_weights:
        for old, new in rewriter.new:
            _take_over(old, new)
    return copy


def remove(
    model: keras.Model, include: Selector, *, exclude: Selector | None = None
) -> keras.Model:
    """Returns a copy of `model` without matching layers.

    Takes out dropout before a deployment, a normalization, or the last layers of a
    Sequential model. What a removed layer was given goes to the layers after it. The
    copy shares nothing with the model, which stays as it is, and keeps all other
    weights. A copy of a compiled model is compiled alike; its optimizer goes on where
    that of the model is if no weight was removed.

    Args:
        model: A built Sequential or functional `keras.Model`, compiled or not.
        include: The layers to remove: a regular expression that is searched in the
            path of each layer (`"backbone/conv_1"`), a layer, a function of a layer,
            or a list of these.
        exclude: Layers to keep, in the same form. Defaults to `None`.

    Returns:
        The new model.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if `include` matches
            nothing, if a removed layer joins several tensors, or if the layers that
            follow do not fit the shape before it.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10),
    ])
    model = surgery.remove(model, "dropout")
    ```
    """
    check_rebuildable(model)
    targets = chosen(model, include, exclude, inputs=False)
    copy = _rebuilt(_Removal(model, {id(target.item) for target in targets}), model)
    if not any(target.item.weights for target in targets):
        copy_optimizer_state(model, copy)
    return copy


class _Fitting(Rewriter):
    """Refuses changes of shape that trained layers further on cannot follow."""

    def fill(self, old, new):
        before, after = (
            {w.name: tuple(w.shape) for w in getattr(layer, "weights", ())}
            for layer in (old, new)
        )
        if before != after:
            checks.fail(
                "Layers that follow must fit the new shape, or be replaced as well",
                layer=old.name,
                weights=before,
                needed=after,
            )
        super().fill(old, new)


class _Replacement(_Fitting):
    """Calls new layers in place of the selected ones."""

    def __init__(self, model, selected, layer_fn):
        super().__init__(model)
        self.selected, self.layer_fn = selected, layer_fn
        self.of_model = {id(layer) for layer in flatten_layers(model)}
        self.new = []  # (old layer, new layer)

    def step(self, layer, path):
        new = self.layer_fn(layer) if id(layer) in self.selected else None
        if new is None:
            return Step(self.copied(layer, path))
        if not isinstance(new, keras.layers.Layer):
            checks.fail(
                "`new_layer` must return a layer or None", error=TypeError, returned=new
            )
        if id(new) in self.of_model or any(new is other for _, other in self.new):
            checks.fail(
                "`new_layer` must return another layer each time, and none of the "
                "model",
                layer=new.name,
                replaced=path,
            )
        # A name that nobody chose gives way to the old one, by which files, losses and
        # later selections know the layer.
        if not new.built and new.name.startswith(default_name(new)):
            new.name = layer.name
        self.new.append((layer, new))
        return Step(new)


class _Removal(_Fitting):
    """Passes on what the selected layers were given."""

    def __init__(self, model, selected):
        super().__init__(model)
        self.selected = selected

    def step(self, layer, path):
        removed = id(layer) in self.selected
        return Step(None if removed else self.copied(layer, path))


def _rebuilt(rewriter, model):
    """The new model, compiled like the old one."""
    copy = rewriter.rebuild()
    check_output_names(model, copy)
    return compile_like(copy, model)


def _layer_function(new_layer, targets):
    if isinstance(new_layer, keras.layers.Layer):
        if len(targets) != 1:
            checks.fail(
                "`new_layer` must be a function where several layers are selected",
                fix="Such as lambda layer: keras.layers.Dense(10).",
                new_layer=new_layer,
                paths=[target.path for target in targets],
            )
        return lambda layer: new_layer
    if not callable(new_layer):
        checks.fail(
            "`new_layer` must be a layer or a function that returns one",
            error=TypeError,
            new_layer=new_layer,
        )
    return new_layer


def _take_over(old, new):
    """Gives a new layer the weights of the old one that fit by name and shape."""
    own = {_inner_path(new, weight): weight for weight in new.weights}
    for weight in old.weights:
        target = own.get(_inner_path(old, weight))
        if target is not None and target.shape == weight.shape:
            target.assign(value_of(weight))


def _inner_path(layer, weight):
    """The path of a weight behind the name of its layer."""
    return weight.path.rpartition(f"{layer.name}/")[2]
