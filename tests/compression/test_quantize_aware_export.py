"""Quantization-aware models become integer `.tflite` files without data."""

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from keras_strategies._internal.weights import quantized

pytestmark = pytest.mark.tensorflow

layers = keras.layers
IMAGE = (8, 8, 4)


def sequential(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def functional(function, shape=IMAGE):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def _residual(x):
    y = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))
    y = layers.ReLU()(layers.BatchNormalization()(y))  # with nothing to fold into
    return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(y))


def _merged(x):
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    z = layers.Average()([layers.Multiply()([x, y]), layers.Subtract()([x, y]), y])
    z = layers.Concatenate()([layers.Concatenate()([z, x]), layers.Maximum()([x, y])])
    return layers.Dense(3)(layers.Flatten()(keras.ops.relu(z[:, 1:5] * 0.5)))


def _pooled_and_joined(x):
    """A transition of DenseNet, then one of U-Net: kernels of one range, joined."""
    pooled = layers.AveragePooling2D(2)(layers.Conv2D(4, 3, padding="same")(x))
    y = layers.ReLU()(layers.BatchNormalization()(pooled))
    y = layers.Concatenate()([pooled, layers.Conv2D(4, 3, padding="same")(y)])
    up = layers.UpSampling2D(2, interpolation="bilinear")(y)
    near = layers.UpSampling2D(2)(y)
    return layers.Dense(3)(layers.Flatten()(layers.Concatenate()([up, near, x])))


MODELS = {
    "pooled and joined": lambda: functional(_pooled_and_joined),
    "residual": lambda: functional(_residual),
    "merged": lambda: functional(_merged),
    "mobile": lambda: sequential(
        IMAGE,
        layers.Rescaling(1 / 2, offset=-0.5),
        layers.SeparableConv2D(6, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="hard_silu"),
        layers.ZeroPadding2D(1),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3),
    ),
    "transposed": lambda: sequential(
        (4, 4, 4),
        layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(4, 3, use_bias=False, activation="relu"),
        layers.AveragePooling2D(2),
        layers.Conv2DTranspose(4, 3, use_bias=False),
        layers.Dense(3),
    ),
    "sequence": lambda: sequential(
        (16, 4),
        layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1, 2, 3, 4]),
        layers.Conv1D(8, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.Dense(6, activation="gelu"),
        layers.Dropout(0.1),
        layers.GlobalMaxPooling1D(),
        layers.Dense(3, activation="tanh"),
    ),
}


def trained(model, **arguments):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, *model.input_shape[1:])).astype("float32")
    aware = compression.quantize_aware(model, **arguments)
    aware.compile(keras.optimizers.Adam(1e-3), "mse")
    y = rng.uniform(0, 1, (64, *model.output_shape[1:]))
    aware.fit(x, y, batch_size=16, epochs=3, verbose=0)
    return aware, x


@pytest.mark.parametrize("name", sorted(MODELS))
def test_file_is_integer_throughout_and_agrees(name, tmp_path):
    aware, x = trained(MODELS[name]())
    result = export.to_tflite(
        aware, tmp_path / "aware.tflite", quantization="dynamic", verify=x
    )
    # The only two: what goes in and what comes out.
    assert result.tensor_types["float32"] == {"tensors": 2, "bytes": 0}
    assert set(result.tensor_types) == {"float32", "int32", "int8"}
    assert result.ops["QUANTIZE"] >= 1
    assert result.ops["DEQUANTIZE"] == 1


def test_skipped_layers_stay_in_float(tmp_path):
    aware, x = trained(MODELS["residual"](), exclude="^dense$")
    result = export.to_tflite(
        aware, tmp_path / "aware.tflite", quantization="dynamic", verify=x
    )
    assert result.tensor_types["float32"]["tensors"] > 2
    assert result.ops["CONV_2D"] == 1


@pytest.mark.parametrize("bits", [4, 2])
def test_fewer_bits_are_few_values_of_int8(bits, tmp_path):
    model = sequential(IMAGE, layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(2))
    aware, x = trained(model, scheme={"conv2d": bits})
    path = tmp_path / "aware.tflite"
    export.to_tflite(aware, path, quantization="dynamic", verify=x)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    [kernel] = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if list(detail["shape"]) == [8, 3, 3, 4]
    ]
    assert kernel.dtype == np.int8
    levels = 2 ** (bits - 1) - 1
    step = 127 // levels
    for channel in kernel:
        assert set(np.unique(channel)) <= {step * k for k in range(-levels, levels + 1)}


def test_layers_that_compute_in_float_inside_still_export(tmp_path):
    def network(x):
        y = layers.MultiHeadAttention(2, 4)(x, x)
        y = layers.LayerNormalization()(layers.Add()([x, y]))
        return layers.Dense(3)(layers.GlobalAveragePooling1D()(y))

    aware, x = trained(functional(network, (6, 8)))
    result = export.to_tflite(
        aware, tmp_path / "aware.tflite", quantization="dynamic", verify=x
    )
    assert result.agreement == 1.0


def test_what_an_export_can_ask():
    model = MODELS["residual"]()
    assert not quantized.is_quantize_aware(model)
    aware = compression.quantize_aware(model)
    assert quantized.is_quantize_aware(aware)
    assert quantized.unset_ranges(aware) == compression.range_report(aware).unset
    aware(np.ones((2, *IMAGE), "float32"), training=True)
    assert quantized.unset_ranges(aware) == []
