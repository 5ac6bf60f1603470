"""Reference outputs of the Keras model, and the comparison with an artifact's."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies.export._common import (
    ExportError,
    NamedArrays,
    exception_text,
    model_signature,
    sample_data,
)
from keras_strategies.export.verify import _agreement

FIGURES = ("agreement", "max_difference", "mean_difference")
_CLASSIFIER_LOSSES = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_CLASSIFIER_LOSS_NAMES = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)
_BATCH_SIZE = 32


def reference_outputs(
    model: keras.Model, structure: Any, samples: Mapping[str, np.ndarray]
) -> NamedArrays:
    """Returns the model's own outputs on `samples` as named arrays.

    Raises:
        ExportError: reason `"reference"`: the model cannot be called, or its outputs
            are not finite.
    """
    try:
        outputs = _predict(model, structure, samples)
    except Exception as error:
        message = _predict_failed_message(model, error)
        raise ExportError(message, "reference") from error
    names = _agreement.non_finite(outputs)
    if names:
        raise ExportError(_non_finite_message(model, names), "reference")
    return outputs


def _predict(model, structure, samples):
    size = model_signature.fixed_batch(model) or _BATCH_SIZE
    parts = []
    for batch, count in sample_data.full_batches(samples, size):
        arguments = keras.tree.pack_sequence_as(structure, list(batch.values()))
        if len(arguments) == 1 and keras.backend.backend() != "tensorflow":
            outputs = model.predict_on_batch(arguments[0])
        else:  # eagerly: tracing a function takes longer than these few batches
            outputs = model(*arguments, training=False)
        named = model_signature.named_outputs(model, outputs)
        parts.append(
            {
                name: _as_standard_type(keras.ops.convert_to_numpy(value))[:count]
                for name, value in named.items()
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_standard_type(values):
    """Casts half precision, which has no arithmetic worth comparing, to float32."""
    is_standard = values.dtype.kind in "biuf" and values.dtype != "float16"
    return values if is_standard else values.astype("float32")


def is_classifier(model: keras.Model) -> bool:
    """Whether the model was compiled with one categorical cross-entropy loss."""
    loss = getattr(model, "loss", None)
    return isinstance(loss, _CLASSIFIER_LOSSES) or (
        isinstance(loss, str) and loss in _CLASSIFIER_LOSS_NAMES
    )


def compare_outputs(
    model: keras.Model,
    reference: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    tolerance: float,
    min_agreement: float,
) -> dict[str, Any]:
    """Returns the figures of the comparison, or raises `ExportError`."""
    wrong_shapes = {
        name: {"keras": value.shape, "artifact": getattr(actual.get(name), "shape", 0)}
        for name, value in reference.items()
        if name not in actual or actual[name].shape != value.shape
    }
    if wrong_shapes:
        raise ExportError(
            "The artifact's outputs have other shapes than the model's: "
            f"{wrong_shapes}.",
            "disagreement",
            wrong_shapes,
        )
    names = _agreement.non_finite(actual)
    if names:
        raise ExportError(
            f"The artifact gives NaN or infinity in {names} where the Keras model is "
            'finite. Try quantization="float32", or "dynamic" in place of "float16".',
            "non-finite",
            {"outputs": names},
        )
    # The loss decides for logits, which do not look like probabilities.
    classes = True if len(reference) == 1 and is_classifier(model) else None
    outputs = {
        name: _agreement.compare_output(value, actual[name], tolerance, classes)
        for name, value in reference.items()
    }
    worst = min(outputs, key=lambda name: outputs[name]["agreement"])
    figures = {
        "outputs": outputs,
        "agreement": outputs[worst]["agreement"],
        "max_difference": max(o["max_difference"] for o in outputs.values()),
        "mean_difference": float(
            np.mean([o["mean_difference"] for o in outputs.values()])
        ),
    }
    if figures["agreement"] < min_agreement:
        message = _disagreement_message(worst, outputs[worst], min_agreement)
        raise ExportError(message, "disagreement", figures)
    return figures


def _disagreement_message(name, output, min_agreement):
    return (
        f"The artifact agrees with the Keras model on {output['agreement']:.4f} of the "
        f"verification data (output '{name}', {output['kind']}), less than the "
        f"{min_agreement:g} that `min_agreement` asks for; the largest difference is "
        f"{output['max_difference']:.3g}. Nothing was written. Use another "
        "`quantization`, more representative data, real data in `verify`, or a lower "
        "`min_agreement`."
    )


def _predict_failed_message(model, error):
    return (
        f"The Keras model '{model.name}' cannot be called on the verification data: "
        f"{exception_text(error)}. A model takes its inputs as one array, list or dict "
        "in its first argument."
    )


def _non_finite_message(model, names):
    broken = [
        variable.path
        for variable in model.weights
        if "float" in variable.dtype and not _is_finite(variable)
    ]
    weights = f" These weights are not finite: {broken[:5]}." if broken else ""
    return (
        f"The Keras model itself gives NaN or infinity in {names}.{weights} Restore "
        "finite weights, or check the verification data, before exporting."
    )


def _is_finite(variable):
    return bool(keras.ops.all(keras.ops.isfinite(variable)))
