"""The Keras side of the comparison, and the verdict."""

import keras
import numpy as np

from keras_strategies.export._common import model_signature, sample_data
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.verify import _agreement

FIGURES = ("agreement", "max_difference", "mean_difference")
_CLASSIFIERS = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
_CLASSIFIER_NAMES = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
)


def predict(model, structure, samples, size=32):
    """Returns the model's own outputs on `samples` as named arrays."""
    size = model_signature.fixed_batch(model) or size
    parts = []
    for batch, count in sample_data.batches(samples, size):
        arguments = keras.tree.pack_sequence_as(structure, list(batch.values()))
        if len(arguments) == 1 and keras.backend.backend() != "tensorflow":
            outputs = model.predict_on_batch(arguments[0])
        else:  # eagerly: tracing a function takes longer than these few batches
            outputs = model(*arguments, training=False)
        named = model_signature.named_outputs(model, outputs)
        parts.append(
            {
                name: _float32(keras.ops.convert_to_numpy(value))[:count]
                for name, value in named.items()
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _float32(values):
    standard = values.dtype.kind in "biuf" and values.dtype != "float16"
    return values if standard else values.astype("float32")


def is_classifier(model):
    """Whether the model was compiled with one categorical cross-entropy loss."""
    loss = getattr(model, "loss", None)
    return isinstance(loss, _CLASSIFIERS) or (
        isinstance(loss, str) and loss in _CLASSIFIER_NAMES
    )


def judge(model, reference, actual, tolerance, least):
    """Returns the figures of the comparison, or raises `ExportError`."""
    wrong = {
        name: {"keras": value.shape, "artifact": getattr(actual.get(name), "shape", 0)}
        for name, value in reference.items()
        if name not in actual or actual[name].shape != value.shape
    }
    if wrong:
        message = f"The artifact's outputs have other shapes than the model's: {wrong}."
        raise ExportError(message, "disagreement", wrong)
    bad = _agreement.non_finite(actual)
    if bad:
        raise ExportError(
            f"The artifact gives NaN or infinity in {bad} where the Keras model is "
            'finite. Try quantization="float32", or "dynamic" in place of "float16".',
            "non-finite",
            {"outputs": bad},
        )
    classes = True if len(reference) == 1 and is_classifier(model) else None
    outputs = {
        name: _agreement.compare(value, actual[name], tolerance, classes)
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
    if figures["agreement"] < least:
        raise ExportError(_disagreement(worst, outputs[worst], least), **_why(figures))
    return figures


def _why(figures):
    return {"reason": "disagreement", "details": figures}


def _disagreement(name, output, least):
    return (
        f"The artifact agrees with the Keras model on {output['agreement']:.4f} of the "
        f"verification data (output '{name}', {output['kind']}), less than the "
        f"{least:g} that `min_agreement` asks for; the largest difference is "
        f"{output['max_difference']:.3g}. Nothing was written. Use another "
        "`quantization`, more representative data, real data in `verify`, or a lower "
        "`min_agreement`."
    )
