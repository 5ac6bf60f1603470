"""What TFMOT's functions are given: models, layers, or lists of layers."""

import contextlib

import keras

from keras_strategies._internal import checks


@contextlib.contextmanager
def uncompiled(model):
    """Takes the optimizer off `model`; puts it back if the block raises.

    As in the original, the result is to be compiled again: the steps of an optimizer
    that trained the model before are none of the technique's.
    """
    kept = getattr(model, "optimizer", None), model.compiled
    model.optimizer, model.compiled = None, False
    try:
        yield
    except BaseException:
        model.optimizer, model.compiled = kept
        raise


def check(name, given):
    """Refuses what is neither a built model nor a layer."""
    checks.instance(
        name,
        given,
        keras.layers.Layer,
        fix="Give a Keras 3 model or layer; `import keras`, not tf_keras.",
    )
    if isinstance(given, keras.Model) and not given.built:
        fix = "Give it an Input, or call it once on an input."
        checks.fail(f"`{name}` must be built", fix=fix, **{name: given.name})
