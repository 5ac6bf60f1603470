"""The methods of the rescue by name, in the order that they build on each other."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.export.rescue._absorb_high_bias import absorb_high_bias
from keras_strategies.export.rescue._adaround import adaround
from keras_strategies.export.rescue._correct_bias import correct_bias
from keras_strategies.export.rescue._equalize import equalize_layers
from keras_strategies.export.rescue._smooth_activations import smooth_activations

_METHODS: dict[str, Callable[[keras.Model, Any], keras.Model]] = {
    "equalize_layers": lambda model, data: equalize_layers(model),
    "absorb_high_bias": absorb_high_bias,
    "smooth_activations": smooth_activations,
    "adaround": adaround,
    "correct_bias": correct_bias,
}
#: Names of all methods, in their order.
METHODS = tuple(_METHODS)
#: Those after which the float model computes something else.
FOR_INT8_WEIGHTS = ("adaround", "correct_bias")


def apply_rescue(model: keras.Model, methods: Sequence[str], data: Any) -> keras.Model:
    """Returns a copy of a model after the named methods, in their own order."""
    copy = model
    for name, method in _METHODS.items():
        if name in methods:
            copy = method(copy, data)
    # A Sequential has no names of outputs that anything is found by.
    names = [getattr(m, "output_names", None) for m in (model, copy)]
    if not isinstance(model, keras.Sequential) and names[0] != names[1]:
        checks.fail(
            "`rescue` must keep the names of outputs",
            fix="An output must not be a BatchNormalization that is folded.",
            before=names[0],
            after=names[1],
        )
    return copy
