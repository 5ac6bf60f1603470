"""Warning about a quantization-aware model that is exported before it was trained."""

import sys
import warnings
from typing import Any

import keras

# Modules that convert or export a model; tracing of `predict` passes none of them.
_EXPORTERS = ("tensorflow.lite.", "keras.src.export.")
_OWN_EXPORT = "keras_strategies.export."  # has a warning of its own


def warn_in_export(layer: Any) -> None:
    """Warns, within an export, of a range that has seen no batch.

    TFLiteConverter and `model.export` know nothing of ranges: the values then stay in
    float32, and the file is called int8 and is not. Called while the step is traced;
    at any other time it does nothing.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if not tf.inside_function() or not _is_export():
        return
    with tf.init_scope():
        is_set = bool((layer.range.value.numpy() != 0).any())
    if not is_set:
        # The same text for each layer, so that Python shows it once.
        warnings.warn(
            "A quantization-aware model is exported whose ranges have seen no batch: "
            "these values stay in float32 and the file is not int8. Train the model, "
            "for a few steps at least, before it is converted.",
            stacklevel=3,
        )


def _is_export():
    """Whether an exporter that is not ours is on the stack."""
    frame, is_export = sys._getframe(), False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OWN_EXPORT):
            return False
        is_export = is_export or module.startswith(_EXPORTERS)
        frame = frame.f_back
    return is_export
