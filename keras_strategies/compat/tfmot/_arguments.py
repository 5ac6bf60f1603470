"""Checks of the models and layers that TFMOT's functions take."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_strategies._internal import checks


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Takes the optimizer off `model`; restores it if the block raises.

    As in the original, the result is to be compiled again: the steps of an optimizer
    that trained the model before are not steps of the technique.
    """
    original = getattr(model, "optimizer", None), model.compiled
    model.optimizer, model.compiled = None, False
    try:
        yield
    except BaseException:
        model.optimizer, model.compiled = original
        raise


def check_target(name: str, target: Any) -> None:
    """Refuses what is neither a built model nor a layer."""
    checks.instance(
        name,
        target,
        keras.layers.Layer,
        fix="Give a Keras 3 model or layer; `import keras`, not tf_keras.",
    )
    if isinstance(target, keras.Model) and not target.built:
        fix = "Give it an Input, or call it once on an input."
        checks.fail(f"`{name}` must be built", fix=fix, **{name: target.name})


def as_list(target: Any) -> list[Any]:
    """A model, layer or list of layers as a list."""
    return list(target) if isinstance(target, list | tuple) else [target]


def like_given(target: Any) -> Any:
    """What a function returns: its argument, lists and tuples as a list."""
    return list(target) if isinstance(target, list | tuple) else target
