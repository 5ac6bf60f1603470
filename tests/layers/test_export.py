"""Every layer in .tflite files, float32 and int8, against the Keras model."""

import keras
import numpy as np
import pytest

from keras_strategies import export
from tests.cases import LAYERS

pytestmark = pytest.mark.tensorflow
KL = keras.layers
# Layers that no .tflite file can have, and the operation that LiteRT lacks.
CANNOT = {"layers.MonteCarloDropout": "StatelessRandomUniform"}


def _branch(case, inputs):
    """The layer between two that are exported in every network."""
    stem = KL.Dense(case.input_shape[-1], activation="relu")
    outputs = case.apply(case.build(), stem(inputs))
    name = case.id.replace(".", "_").replace("-", "_")
    return KL.Dense(3, name=name)(KL.Flatten()(outputs))


def _all_layers():
    """One model of all, each a branch with an output, and no weight at its start."""
    cases = [case for case in LAYERS if case.target not in CANNOT]
    inputs = {}
    for case in cases:
        rank = len(case.input_shape)
        inputs.setdefault(rank, keras.Input(case.input_shape, name=f"rank_{rank}"))
    outputs = [_branch(case, inputs[len(case.input_shape)]) for case in cases]
    model = keras.Model(list(inputs.values()), outputs)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:  # scales, offsets, moving means and variances
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model, [case.id for case in cases]


@pytest.fixture(scope="module")
def everything():
    return _all_layers()


@pytest.mark.slow  # a quarter of a minute each
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_every_layer_agrees(everything, quantization, tmp_path):
    model, names = everything
    rng = np.random.default_rng(1)
    samples = {
        tensor.name: rng.normal(size=(64, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    }
    result = export.to_tflite(
        model,
        tmp_path / "model.tflite",
        quantization=quantization,
        representative_data=samples,
        min_agreement=0.99,
    )
    assert len(result.outputs) == len(names) == len(LAYERS) - len(CANNOT)
    assert result.verified and "FLEX" not in " ".join(result.ops).upper()
    expected = model.predict(samples, verbose=0)
    errors = {
        output: found["max_difference"] / np.ptp(values)
        for (output, found), values in zip(
            result.outputs.items(), expected, strict=True
        )
    }
    limit = {"float32": 1e-4, "int8": 0.06}[quantization]
    assert max(errors.values()) < limit, errors


@pytest.mark.parametrize("case", [c for c in LAYERS if c.target in CANNOT])
def test_what_cannot_be_exported_is_refused_with_its_reason(case, tmp_path):
    inputs = keras.Input(case.input_shape)
    model = keras.Model(inputs, _branch(case, inputs))
    with pytest.raises(export.ExportError, match=CANNOT[case.target]):
        export.to_tflite(model, tmp_path / "model.tflite")
