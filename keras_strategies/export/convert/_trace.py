"""Trace of a Keras model into a SavedModel with one named signature (TensorFlow)."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_strategies._internal import keras_private
from keras_strategies.export._common import model_signature
from keras_strategies.export.convert._substitutes import graph_calls
from keras_strategies.export.convert._substitutes.layers import (
    leaves_tables_unused,
    substituted_layers,
)

SIGNATURE = "serving_default"


def write_saved_model(
    model: keras.Model,
    folder: str | os.PathLike[str],
    batch_size: int | None = None,
    names: Sequence[str] | None = None,
    notes: list[str] | None = None,
    signature: tuple[Any, list[model_signature.Spec]] | None = None,
) -> dict[str, str]:
    """Traces `model` at inference and writes a SavedModel into `folder`.

    Needs the TensorFlow backend. `batch_size=None` leaves the batch axis free,
    unless the model fixes it. `names` are the inputs' names where they are known: a
    model loaded from a file names unnamed inputs differently. Sentences on layers that
    were traced otherwise are appended to `notes`. `signature` is what `input_specs`
    returned, where that took an example.
    Returns `{scope of the operations: layer class}`.
    """
    import tensorflow as tf

    structure, specs = signature or model_signature.input_specs(model)
    names = [spec.name for spec in specs] if names is None else names
    tensor_specs = [
        tf.TensorSpec(
            (batch_size or spec.shape[0], *spec.shape[1:]), spec.dtype, name=name
        )
        for name, spec in zip(names, specs, strict=True)
    ]

    def serve(*tensors):
        outputs = model_signature.call_model(model, structure, tensors)
        return model_signature.as_float32_outputs(outputs)

    with (
        quiet_tensorflow(),
        model_signature.float32_compute(model),
        substituted_layers(model) as sentences,
        keras_private.exact_scopes() as layers,
    ):
        archive = keras.export.ExportArchive()
        # Without tracking, variables become placeholders that nothing fills.
        archive.track(model)
        archive.add_endpoint(SIGNATURE, serve, input_signature=tensor_specs)
        archive.write_out(str(folder), verbose=False)
    if leaves_tables_unused(layers.values()):
        graph_calls.drop_initializers(folder)
    if notes is not None:
        notes += sentences
    return {path: type(layer).__name__ for path, layer in layers.items()}


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Suppresses "Assets written to ..." and the like inside the block."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
