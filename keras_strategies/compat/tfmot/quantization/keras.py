"""`tfmot.quantization.keras` for Keras 3."""

import contextlib

import keras

from keras_strategies import compression
from keras_strategies._internal import checks

__all__ = [
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
]

_MARK = "_tfmot_annotated"


def quantize_model(to_quantize):
    """Returns a copy of a model that trains for int8; `to_quantize` is unchanged.

    Args:
        to_quantize: A built Functional or Sequential `keras.Model`.

    Returns:
        An uncompiled model, of `compression.quantize_aware`.
    """
    return compression.quantize_aware(to_quantize)


def quantize_annotate_layer(to_annotate, quantize_config=None):
    """Marks a layer for `quantize_apply`; returns it.

    Args:
        to_annotate: A `keras.layers.Layer`.
        quantize_config: Not taken: a `QuantizeConfig` is code for the original's
            wrappers. Bits are chosen by `compression.quantize_aware(scheme=...)`.
    """
    fix = "Use compression.quantize_aware(model, scheme={regex: bits})."
    if quantize_config is not None:
        checks.fail(
            "`quantize_config` must be None",
            fix=fix,
            quantize_config=type(quantize_config).__name__,
        )
    checks.instance("to_annotate", to_annotate, keras.layers.Layer)
    setattr(to_annotate, _MARK, True)
    return to_annotate


def quantize_annotate_model(to_annotate):
    """Marks all layers of a model for `quantize_apply`; returns it.

    Args:
        to_annotate: A `keras.Model`.
    """
    checks.instance("to_annotate", to_annotate, keras.Model)
    for layer in to_annotate.layers:
        quantize_annotate_layer(layer)
    return to_annotate


def quantize_apply(model):
    """Returns a copy of a model that trains its marked layers for int8.

    Args:
        model: A built Functional or Sequential `keras.Model` with layers that were
            marked by `quantize_annotate_layer` or `quantize_annotate_model`.

    Returns:
        An uncompiled model, of `compression.quantize_aware`.
    """
    checks.instance("model", model, keras.Model)
    if not any(hasattr(layer, _MARK) for layer in model.layers):
        fix = "Mark layers with quantize_annotate_layer, or use quantize_model."
        checks.fail("`model` must have annotated layers", fix=fix, model=model.name)
    return compression.quantize_aware(
        model, annotate=lambda layer: hasattr(layer, _MARK)
    )


@contextlib.contextmanager
def quantize_scope(*args):
    """Makes custom objects known inside the block; quantized layers are known anyway.

    Args:
        *args: Dicts of name and object.
    """
    objects = {name: thing for entry in args for name, thing in entry.items()}
    with keras.saving.custom_object_scope(objects):
        yield
