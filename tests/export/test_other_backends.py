"""JAX and Torch: the worker loads a .keras file; the comparison is across backends."""

import keras
import numpy as np
import pytest

from keras_strategies import export
from tests.export import models
from tests.export.foreign import Halve, Subclassed, TwoArguments

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="test_to_tflite.py tests the TensorFlow route",
)
L = keras.layers


@pytest.mark.parametrize(
    "kind", ["convolutional", "two_inputs_two_outputs", "gru", "transformer"]
)
def test_kinds(kind, target):
    model, shapes = models.KINDS[kind]()
    samples = models.samples(shapes, count=48)
    for quantization, most in (("float32", 1e-4), ("int8", 0.5)):
        result = export.to_tflite(
            model,
            target,
            quantization=quantization,
            representative_data=samples,
            verify=samples,
        )
        assert result.verified and result.max_difference < most
        assert set(result.signature["inputs"]) == set(shapes)


def test_unnamed_inputs(target):
    # A model loaded from a file names them otherwise than the one in memory.
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    result = export.to_tflite(model, target)
    assert set(result.signature["inputs"]) == {"input_0"} and result.agreement == 1


def test_layers_keep_their_names(target):
    model, shapes = models.convolutional()
    rules = {"conv2d": "int8", "dense$": "dynamic"}
    samples = models.samples(shapes, count=48)
    result = export.to_tflite(
        model,
        target,
        quantization=rules,
        representative_data=samples,
        max_loss=50.0,  # random weights: the outputs hardly vary
    )
    assert result.ops["QUANTIZE"] and result.ops["DEQUANTIZE"]


def test_custom_layer_of_an_importable_module(target):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), Halve(), L.Dropout(0.5), L.Dense(2)]
    )
    assert export.to_tflite(model, target).agreement == 1


def test_subclassed_model(target):
    model = Subclassed(3)
    ones = np.ones((2, 4), "float32")
    model({"left": ones, "right": ones})
    result = export.to_tflite(model, target)
    assert set(result.outputs) == {"sum", "positive"}
    assert result.agreement == 1


def test_subclassed_call_of_several_arguments_needs_a_build(target):
    model = TwoArguments()
    data = {"values": np.ones((4, 3), "float32"), "ids": np.ones(4, "int32")}
    model(**data)
    with pytest.raises(export.ExportError, match=r"build\(self, values_shape, ids_"):
        export.to_tflite(model, target, verify=data)


def test_mixed_precision(target):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, shapes = models.dense()
    result = export.to_tflite(model, target, verify=models.samples(shapes, 16))
    assert set(result.tensor_types) <= {"float32", "int32"}


def test_class_the_worker_cannot_find_is_named(target):
    class Local(L.Layer):
        def call(self, inputs):
            return inputs * 2

    model = keras.Sequential([keras.Input((4,)), Local()])
    with pytest.raises(export.ExportError, match="importable module") as caught:
        export.to_tflite(model, target)
    assert caught.value.reason == "load"
    assert not target.exists()
