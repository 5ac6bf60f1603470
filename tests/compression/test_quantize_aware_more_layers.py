"""Quantization-aware training of subclassed models, custom layers and late comers."""

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from keras_strategies.layers import LayerScale

L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)


class _Kernel(compression.QuantizeConfig):
    def get_weights(self, layer):
        return [layer.kernel]


@keras.saving.register_keras_serializable("tests")
class Mix(L.Layer):
    """A matrix of one's own, with an offset that stays in float."""

    quantize_config = _Kernel()

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")
        self.offset = self.add_weight(shape=(4,), name="offset")

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.offset

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 4)


@keras.saving.register_keras_serializable("tests")
class Halve(L.Layer):
    quantize_config = compression.QuantizeConfig()

    def call(self, inputs):
        return inputs * 0.5


class Outside(Halve):
    class _Wrong(compression.QuantizeConfig):
        def get_weights(self, layer):
            return [keras.Variable(1.0)]

    quantize_config = _Wrong()


class Unknown(Mix):
    quantize_config = None


def _values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_a_layer_of_ones_own(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), Mix(name="mix"), Halve(), L.Dense(2)])
    aware = compression.quantize_aware(model, scheme={"mix": 4, "dense": 8})
    x = RNG.normal(size=(32, 8)).astype("float32")
    aware.compile("sgd", "mse")
    aware.fit(x, np.zeros((32, 2)), verbose=0)
    rows = {row["name"]: row for row in compression.range_report(aware).rows}
    assert rows["mix"]["bits"] == 4 and "mix_range" in rows and "halve_range" in rows
    # With the kernel rounded by hand the layer gives what the wrapper gives.
    wrapper = aware.get_layer("mix")
    kernel, offset = (_values(w) for w in wrapper.layer.weights)
    step = np.abs(kernel).max() / 7
    expected = x @ (np.round(kernel / step) * step) + offset
    np.testing.assert_allclose(_values(wrapper(x)), expected, atol=1e-5)
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_allclose(_values(loaded(x)), _values(aware(x)), atol=1e-6)


def test_custom_layers_without_a_config_or_with_a_wrong_one():
    model = keras.Sequential([keras.Input((8,)), Unknown(), L.Dense(2)])
    with pytest.raises(ValueError, match="a custom layer without `quantize_config`"):
        compression.quantize_aware(model)
    model = keras.Sequential([keras.Input((8,)), Outside(), L.Dense(2)])
    with pytest.raises(ValueError, match="must return weights of the layer"):
        compression.quantize_aware(model)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(6, 3, use_bias=False)
        self.norm = L.BatchNormalization()
        self.blocks = [L.Conv2D(6, 1, activation="relu") for _ in range(2)]
        self.drop = L.Dropout(0.5)
        self.head = L.Dense(3)

    def call(self, inputs, training=False):
        x = ops.relu(self.norm(self.conv(inputs), training=training))
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.drop(ops.mean(x, axis=(1, 2)), training=training))


def test_a_subclassed_model_is_traced():
    keras.utils.set_random_seed(0)
    model = Subclassed()
    with pytest.raises(ValueError, match="it is not built"):
        compression.quantize_aware(model)
    x = RNG.random((16, 8, 8, 2)).astype("float32")
    model(x)
    aware = compression.quantize_aware(model, exclude="mean")
    names = [layer.name for layer in aware.layers]
    assert any(isinstance(layer, L.Dropout) for layer in aware.layers)
    assert not any(isinstance(layer, L.BatchNormalization) for layer in aware.layers)
    assert model.conv.name in names
    aware.compile("sgd", "mse")
    aware.fit(x, np.zeros((16, 3)), verbose=0)
    assert not compression.range_report(aware).unset
    # Before training, both compute the same up to rounding.
    fresh = compression.quantize_aware(model, exclude="mean")
    fresh(x, training=True)
    spread = np.abs(_values(model(x))).max()
    assert np.abs(_values(fresh(x) - model(x))).max() < 0.1 * spread


class _WithWeight(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(3)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.gain = self.add_weight(shape=(3,), initializer="ones", name="gain")

    def call(self, inputs):
        return self.dense(inputs) * self.gain


class _ByValue(_WithWeight):
    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs) if float(ops.sum(inputs)) > 0 else inputs


class _Different(_ByValue):
    def call(self, inputs):
        scale = 1.0 if isinstance(inputs, keras.KerasTensor) else 2.0
        return self.dense(inputs) * scale


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (_WithWeight, "weights that no layer in it has: .*gain"),
        (_ByValue, "fails on symbolic tensors"),
        (_Different, "something else than its trace"),
    ],
)
def test_models_that_their_trace_does_not_describe(kind, words):
    model = kind()
    model(np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match=words):
        compression.quantize_aware(model)


def test_layer_scale_is_a_product():
    inputs = keras.Input((4, 4, 6))
    x = L.Conv2D(6, 1)(inputs)
    scale = LayerScale(0.5)
    model = keras.Model(inputs, L.Add()([inputs, scale(x)]))
    scale.gamma.assign(np.linspace(0.1, 2, 6))
    aware = compression.quantize_aware(model)
    x = RNG.normal(size=(8, 4, 4, 6)).astype("float32")
    aware(x, training=True)
    error = np.abs(_values(aware(x) - model(x))).max()
    assert error < 0.05 * np.abs(_values(model(x))).max()


@pytest.mark.parametrize(
    "layer",
    [
        L.Cropping3D(1),
        L.ZeroPadding3D(1),
        L.GlobalMaxPooling3D(),
        L.GlobalAveragePooling3D(),
    ],
    ids=lambda layer: layer.name,
)
def test_three_dimensions(layer):
    inputs = keras.Input((4, 4, 4, 2))
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(layer(inputs))))
    aware = compression.quantize_aware(model)
    x = RNG.random((8, 4, 4, 4, 2)).astype("float32")
    aware(x, training=True)
    assert not compression.range_report(aware).unset
    error = np.abs(_values(aware(x) - model(x))).max()
    assert error < 0.1 * np.abs(_values(model(x))).max()


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["layer", "subclassed"])
def test_they_become_integer_files(kind, tmp_path):
    keras.utils.set_random_seed(0)
    if kind == "layer":
        x = RNG.normal(size=(64, 8)).astype("float32")
        model = keras.Sequential([keras.Input((8,)), Mix(name="mix"), L.Dense(2)])
    else:
        x = RNG.random((64, 8, 8, 2)).astype("float32")
        model = Subclassed()
        model(x)
    aware = compression.quantize_aware(
        model, **({} if kind == "layer" else {"exclude": "mean"})
    )
    aware.compile("sgd", "mse")
    aware.fit(x, np.zeros((64, aware.output_shape[-1])), verbose=0)
    result = export.to_tflite(
        aware, tmp_path / "aware.tflite", quantization="int8", verify=x
    )
    assert result.tensor_types["int8"]["bytes"] > 0
