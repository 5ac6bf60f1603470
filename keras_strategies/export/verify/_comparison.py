"""Comparison of a `.tflite` file with the Keras model it was made from."""

import os
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.export._common import (
    ExportError,
    InputData,
    model_signature,
    sample_data,
    validate_model,
)
from keras_strategies.export.artifact.tflite_model import TFLiteModel
from keras_strategies.export.verify import _agreement, _reference
from keras_strategies.export.verify.comparison_result import ComparisonResult


def compare(
    keras_model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    data: InputData,
    *,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    safe_mode: bool = True,
) -> ComparisonResult:
    """Runs a Keras model and a `.tflite` file on the same data and compares them.

    Use it for a file that `to_tflite` did not just write: an old one, one from
    another converter, or one that is to be checked on more data. Agreement is
    measured as `to_tflite` does: by the top-1 class for class probabilities, else by
    the fraction of samples `i` with
    `max |k_i - t_i| <= tolerance * (max k - min k)`, where `k` is the Keras output
    over all samples and `t` the artifact's.

    Inputs and outputs are matched by name, or by shape where the names differ and no
    two of them have the same shape.

    Reference: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), where the
    differences of integer artifacts come from.

    Args:
        keras_model: A built `keras.Model`, or the path of a `.keras` file.
        path: The `.tflite` file.
        data: Inputs: an array for a single input, a dict by the Keras model's input
            names, a list with one array for each input, or an iterable of batches,
            of which at most 1024 samples are drawn.
        tolerance: Allowed difference of values as a fraction of the output's range,
            at least 0. Defaults to `None`: 0.001, 0.01, 0.1 or 0.15 for a file of
            float32, float16, dynamic or int8 arithmetic.
        min_agreement: Lowest agreement that passes, in [0, 1]. Defaults to `None`,
            any.
        safe_mode: Refuse `.keras` files with code in them (lambdas). `False` runs
            such code: only for files you trust. Defaults to `True`.

    Returns:
        A `ComparisonResult`.

    Raises:
        ValueError, TypeError, OSError: An argument is wrong.
        ExportError: The file cannot be opened or run, gives NaN or infinity, has
            other outputs than the model, or agrees less than `min_agreement`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    export.to_tflite(model, "compare_example.tflite", quantization="float16")
    data = np.random.default_rng(0).random((50, 4))
    print(export.compare(model, "compare_example.tflite", data, min_agreement=0.9))
    ```
    """
    tolerance = checks.real("tolerance", tolerance, low=0, optional=True)
    checks.real("min_agreement", min_agreement, low=0, high=1, optional=True)
    artifact = TFLiteModel(path)
    model = validate_model(keras_model, safe_mode, name="keras_model")
    structure, specs = model_signature.input_specs(model)
    samples = sample_data.named_samples("data", data, specs)
    reference = _reference.reference_outputs(model, structure, samples)
    actual = _artifact_outputs(artifact, samples, specs, reference)
    if tolerance is None:
        tolerance = _default_tolerance(artifact)
    figures = _reference.compare_outputs(model, reference, actual, tolerance, 0.0)
    if min_agreement is not None and figures["agreement"] < min_agreement:
        raise ExportError(
            f"'{artifact.path}' agrees with the Keras model on "
            f"{figures['agreement']:.4f} of the data, less than the "
            f"{min_agreement:g} that `min_agreement` asks for; the largest difference "
            f"is {figures['max_difference']:.3g}.",
            "disagreement",
            figures,
        )
    return ComparisonResult(
        path=artifact.path, samples=sample_data.num_samples(samples), **figures
    )


def _artifact_outputs(artifact, samples, specs, reference):
    """Returns the artifact's outputs under the names of the Keras outputs."""
    signature = artifact.signatures[artifact.default_signature]
    names = _match_names(
        "inputs",
        {spec.name: list(spec.shape) for spec in specs},
        {name: entry["shape"] for name, entry in signature["inputs"].items()},
    )
    outputs = artifact.predict(
        {names[name]: values for name, values in samples.items()}, verbose=0
    )
    if not isinstance(outputs, dict):
        [name] = signature["outputs"]
        outputs = {name: outputs}
    names = _match_names(
        "outputs",
        {name: list(value.shape) for name, value in reference.items()},
        {name: list(value.shape) for name, value in outputs.items()},
    )
    return {name: outputs[match] for name, match in names.items()}


def _match_names(
    role: str, keras_shapes: dict[str, Any], artifact_shapes: dict[str, Any]
) -> dict[str, str]:
    """Returns `{Keras name: artifact name}`; shapes count without the first axis."""
    if sorted(keras_shapes) == sorted(artifact_shapes):
        return {name: name for name in keras_shapes}
    matches = {}
    for name, shape in keras_shapes.items():
        candidates = [
            candidate
            for candidate, size in artifact_shapes.items()
            if len(keras_shapes) == 1 or size[1:] == shape[1:]
        ]
        if len(candidates) != 1:  # ambiguous or absent
            break
        matches[name] = candidates[0]
    is_complete = len(set(matches.values())) == len(artifact_shapes)
    if not is_complete or len(keras_shapes) != len(artifact_shapes):
        raise ExportError(
            f"The {role} of the artifact, {artifact_shapes}, cannot be matched to "
            f"those of the Keras model, {keras_shapes}: give them the same names.",
            "disagreement",
        )
    return matches


def _default_tolerance(artifact):
    """The tolerance of the quantization that the tensors of the file show."""
    rows = artifact.tensors()
    activations = {row["dtype"] for row in rows if not row["constant"]}
    constants = {row["dtype"] for row in rows if row["constant"]}
    if activations & {"int8", "uint8", "int16"}:
        mode = "int8"
    elif constants & {"int8", "uint8", "int4"}:
        mode = "dynamic"
    else:
        mode = "float16" if "float16" in constants else "float32"
    return _agreement.DEFAULTS[mode][1]
