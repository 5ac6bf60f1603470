"""Checks of the models and layers that TFMOT's functions take."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.traversal import all_layers


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Takes the optimizer off `model`; restores it if the block raises.

    As in the original, the result is to be compiled again: the steps of an optimizer
    that trained the model before are not steps of the technique.
    """
    if not model.compiled:
        yield
        return
    optimizer = model.optimizer
    # Not None, which saving to HDF5 takes for an optimizer.
    del model.optimizer
    model.compiled = False
    try:
        yield
    except BaseException:
        model.optimizer, model.compiled = optimizer, True
        raise


def check_instance(name: str, value: Any, kind: type, fix: str = "") -> None:
    """Refuses what is of another class, by the `ValueError` that TFMOT raises."""
    if not isinstance(value, kind):
        received = {name: value if value is None else type(value).__name__}
        checks.fail(f"`{name}` must be a {kind.__name__}", fix=fix, **received)


def check_target(name: str, target: Any) -> None:
    """Refuses what is neither a model nor a layer, and a subclassed unbuilt model."""
    fix = "Give a Keras 3 model or layer; `import keras`, not tf_keras."
    check_instance(name, target, keras.layers.Layer, fix)
    is_opaque = isinstance(target, keras.Model) and not isinstance(
        target, keras.Sequential
    )
    if is_opaque and not target.built:
        fix = "Give it an Input, or call it once on an input."
        checks.fail(f"`{name}` must be built", fix=fix, **{name: target.name})


def as_list(target: Any) -> list[Any]:
    """A model, layer or list of layers as a list."""
    return list(target) if isinstance(target, list | tuple) else [target]


def like_given(target: Any) -> Any:
    """What a function returns: its argument, lists and tuples as a list."""
    return list(target) if isinstance(target, list | tuple) else target


def layers_of(target: Any) -> list[Any]:
    """The layers that stand for an unbuilt Sequential: those in it."""
    if isinstance(target, keras.Sequential) and not target.built:
        return list(target.layers)
    return [target]


def take_input_shape(function: str, target: Any, extra: Mapping[str, Any]) -> None:
    """Applies `input_shape`, TFMOT's one further argument, and refuses others."""
    others = sorted(set(extra) - {"input_shape"})
    if others:
        checks.fail(
            f"`{function}` takes no further arguments",
            fix="Give settings of the layer to the layer itself.",
            error=TypeError,
            arguments=others,
        )
    shape = extra.get("input_shape")
    if shape is None:
        return
    first = as_list(target)[0]
    if isinstance(first, keras.Sequential):
        if not first.built:
            first.build((None, *shape))
    elif isinstance(first, keras.layers.Layer) and not first.built:
        keras_private.set_input_shape(first, tuple(shape))


def is_of_keras(layer: Any) -> bool:
    """Whether the layer and all in it are of Keras's own classes."""
    parts = [layer, *all_layers(layer)]
    return all(type(part).__module__.startswith("keras.") for part in parts)


def check_supported(
    name: str, layer: Any, can_be: Callable[[Any], bool], protocol: str
) -> bool:
    """Whether a layer has something to compress; refuses a custom one without.

    Keras's Dropout or Flatten in a list are passed over, as in the original. A layer
    of the user's that names nothing would be passed over by mistake.
    """
    if any(can_be(part) for part in [layer, *all_layers(layer)]):
        return True
    if not is_of_keras(layer):
        checks.fail(
            f"`{name}` must have layers that are supported",
            fix=f"Let the custom layer be a {protocol}.",
            layer=layer.name,
            type=type(layer).__name__,
        )
    return False
