"""Activations and initial weights."""

import functools

import keras

from keras_strategies import initializers, layers
from keras_strategies.ablation._catalog import models
from keras_strategies.ablation._catalog.models import refuse
from keras_strategies.ablation._strategy import Strategy

# Outputs and gates, which are no matter of choice.
_KEPT = (
    *(keras.activations.linear, keras.activations.softmax),
    *(keras.activations.sigmoid, keras.activations.hard_sigmoid),
)
_ACTIVATIONS = {
    "swish": (keras.activations.silu, "keras.activations.silu"),
    "gelu": (keras.activations.gelu, "keras.activations.gelu"),
    "snake": (layers.snake, "snake"),
}
_INITIALIZERS = {
    "he_init": (keras.initializers.HeNormal, "HeNormal"),
    "lecun_init": (keras.initializers.LecunNormal, "LecunNormal"),
}
_SAMPLES = 256


def _activated(model, function):
    """Layers whose activation can be exchanged, by path."""
    kinds = (*models.KERNELS, keras.layers.Activation)
    found = {
        path: layer
        for path, layer in models.hidden_layers(model).items()
        if isinstance(layer, kinds)
        and layer.activation not in _KEPT
        and layer.activation is not function
    }
    if found:
        return found
    return refuse("no hidden layer has another activation as an argument")


def _activate(model, name):
    function, _ = _ACTIVATIONS[name]
    for layer in _activated(model, function).values():
        layer.activation = function


def _activate_code(model, epochs, name):
    function, text = _ACTIVATIONS[name]
    names = list(_activated(model, function))
    return {
        "imports": "from keras_strategies.layers import snake"
        if name == "snake"
        else "",
        "model": f"for layer in {models.accessors(names)}:\n"
        f"    layer.activation = {text}",
    }


def _initialized(model, cls):
    found = {
        path: layer
        for path, layer in models.hidden(model).items()
        if hasattr(layer, "kernel")
        and not isinstance(getattr(layer, "kernel_initializer", None), cls)
    }
    return found or refuse(f"hidden kernels begin with {cls.__name__} already")


def _initialize(model, name):
    cls, _ = _INITIALIZERS[name]
    for layer in _initialized(model, cls).values():
        layer.kernel.assign(cls()(layer.kernel.shape, layer.kernel.dtype))


def _initialize_code(model, epochs, name):
    cls, text = _INITIALIZERS[name]
    names = list(_initialized(model, cls))
    return {
        "model": f"for layer in {models.accessors(names)}:\n"
        f"    initializer = keras.initializers.{text}()\n"
        "    layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))"
    }


def _lsuv(model, x):
    rows = keras.tree.map_structure(lambda leaf: leaf[:_SAMPLES], x)
    if any(leaf.dtype.kind in "OSU" for leaf in keras.tree.flatten(rows)):
        refuse("inputs are texts")
    initializers.lsuv_init(model, rows)


def strategies() -> list[Strategy]:
    """The strategies of this file."""
    return [*_activations(), *_initial_weights()]


def _activations() -> list[Strategy]:
    texts = {
        "swish": ("smooth, and not quite zero below zero", "Ramachandran et al., 2017"),
        "gelu": (
            "smooth, weighs inputs by how likely they are larger than others",
            "Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415",
        ),
        "snake": (
            "x + sin(x)^2, for what repeats itself",
            "Ziyin et al., 2020, https://arxiv.org/abs/2006.08195",
        ),
    }
    return [
        Strategy(
            name,
            model=functools.partial(_activate, name=name),
            why=why,
            source=source,
            group="activation",
            code=functools.partial(_activate_code, name=name),
        )
        for name, (why, source) in texts.items()
    ]


def _initial_weights() -> list[Strategy]:
    texts = {
        "he_init": (
            "initial weights that keep the variance of signals through ReLU",
            "He et al., 2015, https://arxiv.org/abs/1502.01852",
        ),
        "lecun_init": (
            "initial weights that keep the variance of signals",
            "LeCun et al., 1998, Efficient BackProp",
        ),
    }
    found = [
        Strategy(
            name,
            model=functools.partial(_initialize, name=name),
            why=why,
            source=source,
            group="initializer",
            code=functools.partial(_initialize_code, name=name),
        )
        for name, (why, source) in texts.items()
    ]
    lsuv = Strategy(
        "lsuv_init",
        model=_lsuv,
        why="initial weights scaled on data until every layer has unit variance",
        source="Mishkin and Matas, 2016, https://arxiv.org/abs/1511.06422",
        group="initializer",
        code={
            "imports": "from keras_strategies import initializers",
            "model": f"initializers.lsuv_init(model, x_train[:{_SAMPLES}])",
        },
    )
    return [*found, lsuv]
