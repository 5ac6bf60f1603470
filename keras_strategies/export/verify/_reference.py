"""Reference outputs of the Keras model."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies.export._common import (
    ExportError,
    NamedArrays,
    exception_text,
    model_signature,
    model_state,
    sample_data,
)
from keras_strategies.export.verify import _agreement

# An eager call of a deep network costs tens of milliseconds whatever its batch: images
# are run in larger ones, as many as the memory of 32 usual ones (224 pixels) holds.
_BATCH_SIZE, _MAX_BATCH_SIZE = 32, 128
_MAX_VALUES = 32 * 224 * 224 * 3


def reference_outputs(
    model: keras.Model,
    structure: Any,
    samples: Mapping[str, np.ndarray],
    batch_size: int | None = None,
) -> NamedArrays:
    """Returns the model's own outputs on `samples` as named arrays.

    The model's state is afterwards what it was: the file starts from it, too. An output
    without a batch axis, such as a mean over the batch or a constant, depends on the
    batch: it is computed in the artifact's batches, one row each. So are the outputs of
    a model whose calls change its state.

    Args:
        model: The model.
        structure: Arguments of its call.
        samples: Inputs by name.
        batch_size: Batch size of the artifact. Defaults to `None`, a free one, which
            is run on single samples.

    Raises:
        ExportError: reason `"reference"`: the model cannot be called, or its outputs
            are not finite.
    """
    try:
        with model_state.preserved_state(model) as restore:
            size = model_signature.fixed_batch(model) or _call_size(samples)
            outputs = _predict(model, structure, samples, size, batch_size or 1)
            if restore() and size != (batch_size or 1):
                # A counter or a running mean counts calls: those of the artifact.
                size = batch_size or 1
                outputs = _predict(model, structure, samples, size, size)
    except Exception as error:
        message = _predict_failed_message(model, error)
        raise ExportError(message, "reference") from error
    names = _agreement.non_finite(outputs)
    if names:
        has_nan = any(np.isnan(outputs[name]).any() for name in names)
        message = _non_finite_message(model, names, has_nan)
        raise ExportError(message, "reference")
    return outputs


def _call_size(samples):
    if any(values.ndim < 4 for values in samples.values()):
        return _BATCH_SIZE  # few values of an input may stand for long attention
    values = sum(int(np.prod(array.shape[1:])) for array in samples.values())
    largest = min(_MAX_VALUES // max(values, 1), _MAX_BATCH_SIZE)
    # Of one size, as the last batch is filled up.
    count = sample_data.num_samples(samples)
    size = math.ceil(count / math.ceil(count / max(largest, 1)))
    return max(size, _BATCH_SIZE)


def _predict(model, structure, samples, size, artifact_batch):
    """Runs in batches of `size`, or of the artifact where an output depends on them."""
    parts = []
    for batch, count in sample_data.full_batches(samples, size):
        named = _call(model, structure, batch)
        if size != artifact_batch and any(
            value.shape[:1] != (size,) for value in named.values()
        ):
            return _predict(model, structure, samples, artifact_batch, artifact_batch)
        parts.append(sample_data.rows_of_batch(named, size, count))
    return sample_data.join_samples(parts)


def _call(model, structure, batch):
    arguments = keras.tree.pack_sequence_as(structure, list(batch.values()))
    if len(arguments) == 1 and keras.backend.backend() != "tensorflow":
        outputs = model.predict_on_batch(arguments[0])
    else:  # eagerly: tracing a function takes longer than these few batches
        outputs = model(*arguments, training=False)
    named = model_signature.named_outputs(model, outputs)
    return {
        name: _as_standard_type(keras.ops.convert_to_numpy(value))
        for name, value in named.items()
    }


def _as_standard_type(values):
    """Casts half precision, which has no arithmetic worth comparing, to float32."""
    is_standard = values.dtype.kind in "biuf" and values.dtype != "float16"
    return values if is_standard else values.astype("float32")


def _predict_failed_message(model, error):
    return (
        f"The Keras model '{model.name}' cannot be called on the verification data: "
        f"{exception_text(error)}. A model takes its inputs as one array, list or dict "
        "in its first argument."
    )


def _non_finite_message(model, names, has_nan):
    broken = [
        variable.path
        for variable in model.weights
        if "float" in variable.dtype and not _is_finite(variable)
    ]
    weights = f" These weights are not finite: {broken[:5]}." if broken else ""
    text = (
        f"The Keras model itself gives {'NaN or ' if has_nan else ''}infinity in "
        f"{names}.{weights} Restore finite weights, or check the verification data, "
        "before exporting."
    )
    if not has_nan and not broken:
        text += " Where it means infinity, as for a masked score, write -1e9."
    return text


def _is_finite(variable):
    return bool(keras.ops.all(keras.ops.isfinite(variable)))
