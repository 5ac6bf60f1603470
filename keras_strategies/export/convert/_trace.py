"""From a Keras model to a SavedModel with one named signature (TensorFlow)."""

import logging
import sys

import keras

from keras_strategies._internal import keras_private, walking
from keras_strategies.export._common import model_signature

SIGNATURE = "serving_default"


def write_saved_model(model, folder, batch_size=None, names=None):
    """Traces `model` at inference and writes a SavedModel into `folder`.

    Needs the TensorFlow backend. `batch_size=None` leaves the batch axis free,
    unless the model fixes it. `names` are the inputs' names where they are known: a
    model loaded from a file names unnamed inputs otherwise than before.
    Returns `{scope of the operations: layer class}`.
    """
    import tensorflow as tf

    structure, specs = model_signature.input_specs(model)
    names = [spec.name for spec in specs] if names is None else names
    tensor_specs = [
        tf.TensorSpec(
            (batch_size or spec.shape[0], *spec.shape[1:]), spec.dtype, name=name
        )
        for name, spec in zip(names, specs, strict=True)
    ]

    def serve(*tensors):
        outputs = model_signature.call(model, structure, tensors)
        return {
            name: tf.cast(value, tf.float32)
            if value.dtype in (tf.float16, tf.bfloat16)
            else tf.identity(value)
            for name, value in outputs.items()
        }

    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)  # "Assets written to ..."
    try:
        with (
            model_signature.float32_compute(model),
            keras_private.exact_scopes() as layers,
        ):
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint(SIGNATURE, serve, input_signature=tensor_specs)
            archive.write_out(str(folder), verbose=False)
    finally:
        logger.setLevel(level)
    return {path: type(layer).__name__ for path, layer in layers.items()}


def foreign_modules(model):
    """Modules outside Keras and this package that define the model's layers."""
    known = ("keras", "keras_strategies", "builtins")
    layers = [*walking.all_layers(model), model]
    names = {type(layer).__module__ for layer in layers}
    return sorted(
        name
        for name in names
        if name.partition(".")[0] not in known
        and name != "__main__"
        and name in sys.modules
    )
