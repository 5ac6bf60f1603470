"""`compare`: does this file still give what this Keras model gives?"""

from keras_strategies._internal import checks
from keras_strategies.export._common import model_signature, sample_data
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.artifact.tflite_model import TFLiteModel
from keras_strategies.export.convert import _messages, _options
from keras_strategies.export.verify import _agreement, _reference
from keras_strategies.export.verify.comparison_result import ComparisonResult


def compare(
    keras_model, path, data, *, tolerance=None, min_agreement=None, safe_mode=True
):
    """Runs a Keras model and a `.tflite` file on the same data and compares them.

    Use it for a file that `to_tflite` did not just write: an old one, one from
    another converter, or one that is to be checked on more data. Agreement is
    measured as `to_tflite` does: by the top-1 class for class probabilities, else by
    the fraction of samples `i` with
    `max |k_i - t_i| <= tolerance * (max k - min k)`, where `k` is the Keras output
    over all samples and `t` the artifact's.

    Inputs and outputs are matched by name, or where the names differ by being the
    only one of their shape and type.

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
            which lets any pass.
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
    least = checks.real("min_agreement", min_agreement, low=0, high=1, optional=True)
    artifact = TFLiteModel(path)
    model = _options.model(keras_model, safe_mode, name="keras_model")
    structure, specs = model_signature.input_specs(model)
    samples = sample_data.arrays("data", data, specs)
    try:
        reference = _reference.predict(model, structure, samples)
    except Exception as error:
        raise ExportError(_messages.predict(model, error), "reference") from error
    bad = _agreement.non_finite(reference)
    if bad:
        raise ExportError(_messages.reference(model, bad), "reference")
    actual = _actual(artifact, samples, specs, reference)
    if tolerance is None:
        tolerance = _tolerance(artifact)
    figures = _reference.judge(model, reference, actual, tolerance, 0.0)
    if least is not None and figures["agreement"] < least:
        raise ExportError(
            f"'{artifact.path}' agrees with the Keras model on "
            f"{figures['agreement']:.4f} of the data, less than the {least:g} that "
            f"`min_agreement` asks for; the largest difference is "
            f"{figures['max_difference']:.3g}.",
            "disagreement",
            figures,
        )
    count = len(next(iter(samples.values())))
    return ComparisonResult(path=artifact.path, samples=count, **figures)


def _actual(artifact, samples, specs, reference):
    """Returns the artifact's outputs under the names of the Keras outputs."""
    signature = artifact.signatures[artifact.default_signature]
    wanted = {name: entry["shape"] for name, entry in signature["inputs"].items()}
    given = {spec.name: list(spec.shape) for spec in specs}
    names = _matched("inputs", given, wanted)
    outputs = artifact.predict(
        {names[name]: values for name, values in samples.items()}, verbose=0
    )
    if not isinstance(outputs, dict):
        [name] = signature["outputs"]
        outputs = {name: outputs}
    names = _matched(
        "outputs",
        {name: list(value.shape) for name, value in reference.items()},
        {name: list(value.shape) for name, value in outputs.items()},
    )
    return {name: outputs[other] for name, other in names.items()}


def _matched(role, ours, theirs):
    """Returns `{Keras name: artifact name}`; shapes count without the first axis."""
    if sorted(ours) == sorted(theirs):
        return {name: name for name in ours}
    found = {}
    for name, shape in ours.items():
        alike = [
            other
            for other, size in theirs.items()
            if len(ours) == 1 or size[1:] == shape[1:]
        ]
        if len(alike) != 1:
            break
        found[name] = alike[0]
    if len(set(found.values())) != len(theirs) or len(ours) != len(theirs):
        raise ExportError(
            f"The {role} of the artifact, {theirs}, cannot be told to be those of the "
            f"Keras model, {ours}: give them the same names.",
            "disagreement",
        )
    return found


def _tolerance(artifact):
    """The tolerance of the quantization that the tensors of the file show."""
    rows = artifact.tensors()
    moving = {row["dtype"] for row in rows if not row["constant"]}
    stored = {row["dtype"] for row in rows if row["constant"]}
    if moving & {"int8", "uint8", "int16"}:
        mode = "int8"
    elif stored & {"int8", "uint8", "int4"}:
        mode = "dynamic"
    else:
        mode = "float16" if "float16" in stored else "float32"
    return _agreement.DEFAULTS[mode][1]
