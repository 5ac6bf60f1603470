"""TFMOT's quantization protocol: configs, quantizers, schemes, ranges."""

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from keras_strategies.compat import tfmot
from tests.compression.combined import both, cnn, compiled, counts, digits, pruned
from tests.compression.common import values

L = keras.layers
quantization = tfmot.quantization.keras
quantizers = quantization.quantizers


# The comprehensive guide's example.
class DenseConfig(quantization.QuantizeConfig):
    def __init__(self, bits=4):
        self.bits = bits

    def get_weights_and_quantizers(self, layer):
        quantizer = quantizers.LastValueQuantizer(
            num_bits=self.bits, symmetric=True, narrow_range=False, per_axis=False
        )
        return [(layer.kernel, quantizer)]

    def get_activations_and_quantizers(self, layer):
        quantizer = quantizers.MovingAverageQuantizer(
            num_bits=8, symmetric=False, narrow_range=False, per_axis=False
        )
        return [(layer.activation, quantizer)]

    def set_quantize_weights(self, layer, quantize_weights):
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations):
        layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {"bits": self.bits}


class Clip(quantizers.Quantizer):
    """A quantizer of one's own, made as in the docstring of the original."""

    def build(self, tensor_shape, name, layer):
        start = keras.initializers.Constant(0.05)
        limit = layer.add_weight(name + "_range", initializer=start, trainable=False)
        return {"limit": limit}

    def __call__(self, inputs, training, weights, **kwargs):
        limit = keras.ops.convert_to_tensor(weights["limit"])
        if training:
            weights["limit"].assign(limit * 0.5)
        return keras.ops.clip(inputs, -limit, limit)

    def get_config(self):
        return {}


class ClipConfig(DenseConfig):
    quantizer = Clip

    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, self.quantizer())]

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_activations(self, layer, quantize_activations):
        raise AssertionError("there are none")


def _mlp(config):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Flatten(),
            quantization.quantize_annotate_layer(L.Dense(12, activation="relu")),
            quantization.quantize_annotate_layer(
                L.Dense(12, activation="relu", name="mine"), config
            ),
            quantization.quantize_annotate_layer(L.Dense(10, name="logits")),
        ]
    )


def test_a_config_of_ones_own(tmp_path):
    (x, y), test = digits()
    model = compiled(_mlp(DenseConfig()), 3e-3)
    model.fit(x, y, epochs=6, verbose=0)
    aware = compiled(quantization.quantize_apply(model))
    aware.fit(x, y, epochs=2, verbose=0)
    assert aware.evaluate(*test, verbose=0)[1] > 0.8
    mine = aware.get_layer("mine")
    assert isinstance(mine, quantization.QuantizeWrapperV2)
    assert mine.layer.activation is keras.activations.relu
    low, high = values(mine.non_trainable_variables[0]), values(mine.layer.kernel).max()
    assert low < 0 < high
    rows = compression.range_report(aware).rows
    bits = {row["name"]: row["bits"] for row in rows if row["kind"] == "weights"}
    assert bits == {"dense": 8, "mine": 4, "logits": 8}
    aware.save(tmp_path / "aware.keras")
    with quantization.quantize_scope({"DenseConfig": DenseConfig}):
        loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_allclose(
        loaded.predict(x[:32], verbose=0), aware.predict(x[:32], verbose=0), atol=1e-5
    )
    loaded.fit(x[:64], y[:64], verbose=0)


@pytest.mark.tensorflow
def test_it_is_exported_to_integers(tmp_path):
    (x, y), _ = digits()
    aware = compiled(quantization.quantize_apply(_mlp(DenseConfig(8))))
    aware.fit(x, y, epochs=2, verbose=0)
    result = export.to_tflite(
        aware, tmp_path / "aware.tflite", quantization="dynamic", verify=x[:200]
    )
    assert result.tensor_types["float32"]["bytes"] == 0
    assert result.ops["FULLY_CONNECTED"] == 3


def test_a_quantizer_of_ones_own():
    (x, y), _ = digits()
    aware = compiled(quantization.quantize_apply(_mlp(ClipConfig())))
    mine = aware.get_layer("mine")
    limit = next(v for v in mine.variables if v.name == "kernel_range")
    assert float(values(limit)) == pytest.approx(0.05)
    before = values(mine.layer.kernel)
    inputs = np.ones((1, 12), "float32")
    expected = np.maximum(inputs @ np.clip(before, -0.05, 0.05), 0)
    got = keras.ops.convert_to_numpy(mine(inputs))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    aware.fit(x[:64], y[:64], verbose=0)
    assert float(values(limit)) == pytest.approx(0.05 / 4)
    assert (values(mine.layer.kernel) != before).any()


def test_quantizers_that_fail_are_named():
    class Broken(Clip):
        def __call__(self, inputs, training, weights, **kwargs):
            return weights["no_such_thing"]

    class Nothing(Clip):
        def __call__(self, inputs, training, weights, **kwargs):
            return None

    for quantizer, error, match in (
        (Broken, RuntimeError, "Broken failed.*no_such_thing.*written on keras.ops"),
        (Nothing, TypeError, "must return a tensor of the shape.*Nothing"),
    ):
        config = ClipConfig()
        config.quantizer = quantizer
        with pytest.raises(error, match=match):
            quantization.QuantizeWrapper(L.Dense(3), config)(np.ones((2, 4), "float32"))

    class Stranger(ClipConfig):
        def get_weights_and_quantizers(self, layer):
            return [(np.ones(3), Clip())]

    with pytest.raises(ValueError, match="must give variables of the layer"):
        quantization.QuantizeWrapper(L.Dense(3), Stranger())(np.ones((2, 4)))


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize(
    ("symmetric", "narrow"), [(False, False), (True, False), (True, True)]
)
def test_ranges_and_rounding(per_axis, symmetric, narrow):
    x = np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32") + 0.3
    axes = (0, 1) if per_axis else None
    low, high = x.min(axes), x.max(axes)
    if symmetric:
        ratio = 1 if narrow else (2**8 - 2) / 2**8
        low, high = np.minimum(low, -high / ratio), np.maximum(high, -low * ratio)
    owner = L.Layer()
    arguments = {"per_axis": per_axis, "symmetric": symmetric, "narrow_range": narrow}
    last = quantizers.LastValueQuantizer(num_bits=8, **arguments)
    state = last.build(x.shape, "x", owner)
    got = keras.ops.convert_to_numpy(last(keras.ops.convert_to_tensor(x), True, state))
    np.testing.assert_allclose(values(state["min_var"]), low, rtol=1e-5)
    np.testing.assert_allclose(values(state["max_var"]), high, rtol=1e-5)
    scale = (high - low) / (254 if narrow else 255)
    assert np.abs(got - x).max() <= 0.51 * np.max(scale) + 1e-6
    first = float(narrow)
    zero = np.clip(np.round(first - low / scale), first, 255)
    levels = np.clip(np.floor((x / scale) + zero + 0.5), first, 255)
    close = np.isclose(got, (levels - zero) * scale, atol=1e-4)
    assert close.mean() > 0.99
    average = quantizers.MovingAverageQuantizer(num_bits=8, **arguments)
    state = average.build(x.shape, "y", owner)
    average(keras.ops.convert_to_tensor(x), True, state)
    expected = 6 * 0.999 + 0.001 * high
    np.testing.assert_allclose(values(state["max_var"]), expected, rtol=1e-5)
    every = quantizers.AllValuesQuantizer(num_bits=8, **arguments)
    state = every.build(x.shape, "z", owner)
    for factor in (1.0, 0.5):
        every(keras.ops.convert_to_tensor(x * factor), True, state)
    np.testing.assert_allclose(values(state["max_var"]), high, rtol=1e-5)
    fixed = quantizers.FixedQuantizer(8, -1.0, 1.0, narrow)
    got = fixed(keras.ops.convert_to_tensor(x), True, fixed.build(x.shape, "f", owner))
    assert np.abs(keras.ops.convert_to_numpy(got)).max() < 1.01
    assert fixed == quantizers.FixedQuantizer.from_config(fixed.get_config())
    assert last != average and last == type(last).from_config(last.get_config())


def test_schemes():
    default_8bit = quantization.default_8bit
    n_bit = quantization.experimental.default_n_bit.DefaultNBitQuantizeScheme
    model = quantization.quantize_annotate_model(cnn())
    scheme = default_8bit.Default8BitQuantizeScheme(disable_per_axis=True)
    aware = quantization.quantize_apply(model, scheme)
    assert not aware.get_layer("conv").per_channel
    aware = quantization.quantize_apply(model, n_bit(num_bits_weight=4))
    assert aware.get_layer("conv").bits == aware.get_layer("logits").bits == 4
    with pytest.raises(ValueError, match="`num_bits_activation` must be"):
        n_bit(num_bits_activation=4)
    with pytest.raises(ValueError, match="disable_per_axis"):
        n_bit(disable_per_axis=True, num_bits_weight=4)


def test_collaborative_schemes():
    (x, y), _ = digits()
    combine = tfmot.experimental.combine
    annotate = quantization.quantize_annotate_model
    keep_zeros = quantization.collab_opts.Default8BitPrunePreserveQuantizeScheme()
    with pytest.raises(ValueError, match="must have zeros"):
        quantization.quantize_apply(annotate(cnn()), keep_zeros)
    aware = quantization.quantize_apply(annotate(pruned(cnn())), keep_zeros)
    compiled(aware).fit(x[:64], y[:64], verbose=0)
    assert compression.sparsity_report(aware).sparsity == pytest.approx(0.5, abs=0.01)
    for keep in (True, False):
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(keep)
        aware = quantization.quantize_apply(annotate(both(cnn())), scheme)
        compiled(aware).fit(x[:64], y[:64], verbose=0)
        assert set(counts(aware).values()) == {8}
        sparsity = compression.sparsity_report(aware).sparsity
        assert (sparsity > 0.4) == keep
    assert combine.strip_clustering_cqat(aware) is aware


def test_a_registry_of_ones_own():
    class Registry(quantization.default_8bit.Default8BitQuantizeRegistry):
        def get_quantize_config(self, layer):
            if layer.name == "mine":
                return DenseConfig(3)
            return super().get_quantize_config(layer)

    class Scheme(quantization.default_8bit.Default8BitQuantizeScheme):
        def get_quantize_registry(self):
            return Registry()

    model = quantization.quantize_annotate_model(_mlp(None))
    aware = quantization.quantize_apply(model, Scheme())
    rows = compression.range_report(aware).rows
    bits = {row["name"]: row["bits"] for row in rows if row["kind"] == "weights"}
    assert bits == {"dense": 8, "mine": 3, "logits": 8}
    registry = Registry()
    assert registry.supports(L.Dense(2)) and not registry.supports(L.Lambda(abs))
    with pytest.raises(ValueError, match="one of those that the registry supports"):
        registry.get_quantize_config(L.Lambda(abs))

    class Layout(quantization.QuantizeLayoutTransform):
        def apply(self, model, layer_quantize_map):
            return model, layer_quantize_map

    class Other(Scheme):
        def get_layout_transformer(self):
            return Layout()

    with pytest.raises(ValueError, match="must return Default8BitQuantizeLayout"):
        quantization.quantize_apply(model, Other())


def test_a_layer_left_alone_between_others():
    config = quantization.default_8bit.NoOpQuantizeConfig()
    aware = quantization.quantize_apply(_mlp(config))
    mine = aware.get_layer("mine")
    inputs = np.random.default_rng(0).normal(size=(2, 12)).astype("float32")
    got, expected = mine(inputs), mine.layer(inputs)
    np.testing.assert_array_equal(values(got), values(expected))
    names = [layer.name for layer in aware.layers]
    assert "logits_input_range" in names  # its output still has to be an integer


def test_given_ranges_at_the_ends():
    (x, y), _ = digits()
    fixed = quantization.fix_input_output_range(
        quantization.quantize_model(cnn()), input_max=2.0, output_min=-8, output_max=8
    )
    compiled(fixed).fit(x[:64], y[:64], verbose=0)
    rows = [r for r in compression.range_report(fixed).rows if r["kind"] != "weights"]
    assert (rows[0]["low"], rows[0]["high"]) == (0.0, 2.0)
    assert (rows[-1]["low"], rows[-1]["high"]) == (-8.0, 8.0)
    assert rows[1]["high"] not in (None, 2.0, 8.0)
    bare = quantization.remove_input_range(fixed)
    report = compression.range_report(bare)
    assert len(report.rows) == len(compression.range_report(fixed).rows) - 1
    np.testing.assert_allclose(
        bare.predict(x[:8], verbose=0), fixed.predict(x[:8], verbose=0), atol=0.2
    )
    softmax = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")])
    aware = quantization.quantize_model(softmax)
    quantization.fix_input_output_range(aware)
    with pytest.raises(ValueError, match="range at its output"):
        quantization.fix_input_output_range(aware, output_max=2.0)
    with pytest.raises(ValueError, match="must have a range at its input"):
        quantization.remove_input_range(bare)
    with pytest.raises(ValueError, match="must be quantized"):
        quantization.remove_input_range(cnn())
    with pytest.raises(ValueError, match="must be a range that contains 0"):
        quantization.fix_input_output_range(aware, input_min=0.5)


def test_refused():
    with pytest.raises(ValueError, match="`quantize_config` must be"):
        quantization.quantize_annotate_layer(L.Dense(2), object())
    with pytest.raises(ValueError, match="must not be a model"):
        quantization.quantize_annotate_layer(cnn())
    with pytest.raises(ValueError, match="Layers keep their names"):
        quantization.quantize_model(cnn(), "q_")
    with pytest.raises(TypeError, match="`scheme` must be"):
        quantization.quantize_apply(cnn(), "int8")
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            quantization.quantize_annotate_layer(L.Dense(3), ClipConfig()),
        ]
    )
    outer = keras.Sequential([keras.Input((4,)), inner])
    with pytest.raises(ValueError, match="must not be in a nested model"):
        quantization.quantize_apply(outer)


def test_layers_of_nested_models_can_be_marked():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, name="inside")])
    model = keras.Sequential([keras.Input((4,)), inner, L.Dense(2, name="outside")])
    aware = quantization.quantize_apply(quantization.quantize_annotate_model(model))
    rows = compression.range_report(aware).rows
    names = {row["name"] for row in rows if row["kind"] == "weights"}
    assert names == {"inside", "outside"}
