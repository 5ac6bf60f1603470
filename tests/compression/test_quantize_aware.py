"""Quantization-aware training: rounding, folding, learning, saving, refusing."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies import compression
from keras_strategies.compression.quantization import (
    _activation_layers,
    _fake_quantization,
)
from tests.compression.common import effective_kernel, values

layers = keras.layers


def digits():
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def small_cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(6.0),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="dense"),
        ]
    )


def compiled(model, rate=1e-3, **arguments):
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **arguments,
    )
    return model


def shake(model, seed=0):
    """Gives every weight a value that differs, so that mistakes show."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(values(weight) + rng.uniform(0.0, 0.5, weight.shape))
    return model


def test_rounding_to_eight_bits_of_a_range():
    limits = keras.ops.convert_to_tensor([-1.0, 3.0])
    x = np.linspace(-2, 4, 401).astype("float32")
    got = keras.ops.convert_to_numpy(_fake_quantization._fake_quantize(x, limits, 8))
    scale = np.float32(4 / 255)
    zero = np.round(1 / scale)
    levels = np.clip(np.floor(x / scale + 0.5) + zero, 0, 255)
    np.testing.assert_allclose(got, (levels - zero) * scale, atol=1e-5)
    assert not got[np.abs(x) < scale / 3].any()
    assert np.abs(got).min() == 0


@pytest.mark.tensorflow
def test_rounding_and_its_gradient_are_those_of_tensorflow():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for bits in (8, 4, 2):
        for low, high in ((-1.0, 3.0), (0.0, 6.0), (-0.3, 0.0), (-7.0, 0.1)):
            x = tf.constant(rng.uniform(low - 1, high + 1, 500), tf.float32)
            limits = tf.constant([low, high])
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                ours = _fake_quantization._fake_quantize(x, limits, bits)
                theirs = tf.quantization.fake_quant_with_min_max_vars(
                    x, low, high, num_bits=bits
                )
            np.testing.assert_allclose(ours, theirs, atol=2e-6)
            np.testing.assert_array_equal(
                tape.gradient(ours, x), tape.gradient(theirs, x)
            )


@pytest.mark.parametrize("channels", [(), (-1,), (-2, -1)])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_weights_have_few_symmetric_values_for_each_channel(channels, bits):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 7, 3, 4)).astype("float32")
    weights[:, :, 0] = 0.0
    got = _fake_quantization.fake_quantize_weights(
        keras.ops.convert_to_tensor(weights), channels, bits
    )
    got = keras.ops.convert_to_numpy(got)
    axes = tuple(axis for axis in range(4) if axis - 4 not in channels)
    largest = np.abs(weights).max(axis=axes, keepdims=True)
    largest = np.maximum(largest, np.abs(weights).max() / 1024)
    scale = largest / (2 ** (bits - 1) - 1)
    np.testing.assert_allclose(got, np.round(weights / scale) * scale, atol=1e-5)
    assert not got[:, :, 0].any()
    deployed = _fake_quantization.deployed_weights(
        keras.ops.convert_to_tensor(weights), channels, bits
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(deployed), got, atol=1e-5)


def test_ranges_start_at_the_first_batch_and_move_slowly():
    layer = _activation_layers.FakeQuantize(momentum=0.9)
    first = np.array([[-1.0, 2.0]], "float32")
    np.testing.assert_array_equal(layer(first), first)  # nothing is known yet
    layer(first, training=True)
    np.testing.assert_allclose(values(layer.range), [-1, 2])
    layer(np.array([[1.0, 4.0]], "float32"), training=True)
    np.testing.assert_allclose(values(layer.range), [-0.9, 2.2], rtol=1e-6)
    layer(np.array([[np.nan, 4.0]], "float32"), training=True)
    layer(np.array([[9.0, 9.0]], "float32"))  # not in training
    layer.trainable = False
    layer(np.array([[9.0, 9.0]], "float32"), training=True)
    np.testing.assert_allclose(values(layer.range), [-0.9, 2.2], rtol=1e-6)
    assert float(keras.ops.max(layer(np.array([[9.0]], "float32")))) < 2.3


def test_before_training_only_the_weights_are_rounded():
    model = shake(small_cnn())
    before = model.get_weights()
    aware = compression.quantize_aware(model)
    (x, _), _ = digits()
    expected, got = model(x[:64]), aware(x[:64])
    difference = np.abs(keras.ops.convert_to_numpy(expected - got)).max()
    assert 0 < difference < 0.05
    assert len(compression.range_report(aware).unset) == 5
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda bias: layers.Conv2D(5, 3, use_bias=bias),
        lambda bias: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias),
        lambda bias: layers.Conv2DTranspose(5, 3, use_bias=bias),
        lambda bias: layers.Dense(5, use_bias=bias),
        lambda bias: layers.SeparableConv2D(5, 3, use_bias=bias),
    ],
    ids=["conv", "depthwise", "transpose", "dense", "separable"],
)
def test_folding_equals_the_float_layers(make, bias, monkeypatch):
    """With rounding switched off, folded means the same, in training too."""
    unrounded = lambda weights, *settings: weights  # noqa: E731
    monkeypatch.setattr(_fake_quantization, "fake_quantize_weights", unrounded)
    monkeypatch.setattr(_fake_quantization, "deployed_weights", unrounded)
    monkeypatch.setattr(_fake_quantization, "fake_quantize", lambda x, *settings: x)
    model = keras.Sequential(
        [keras.Input((6, 6, 4)), make(bias), layers.BatchNormalization()]
    )
    aware = compression.quantize_aware(shake(model))
    assert not any(
        isinstance(layer, layers.BatchNormalization) for layer in aware.layers
    )
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 4)).astype("float32")
    for training in (False, True, False):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(model(x, training=training)),
            keras.ops.convert_to_numpy(aware(x, training=training)),
            rtol=1e-3,
            atol=1e-4,
        )


def test_a_channel_without_gamma_still_learns():
    norm = layers.BatchNormalization(gamma_initializer="zeros")
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 3), norm, layers.Flatten()]
    )
    aware = compression.quantize_aware(model)
    aware.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4, 4, 2)), rng.normal(size=(32, 12))
    history = aware.fit(x, y, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    folded = next(x for x in aware.layers if getattr(x, "batch_norm", None))
    assert np.abs(values(folded.batch_norm.gamma)).min() > 0


def test_trains_as_well_as_the_float_model():
    (x, y), test = digits()
    model = compiled(small_cnn(), rate=3e-3)
    model.fit(x, y, epochs=4, batch_size=32, verbose=0)
    aware = compiled(compression.quantize_aware(model), rate=3e-4)
    losses = aware.fit(x, y, epochs=1, batch_size=64, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    expected = model.evaluate(*test, verbose=0)[1]
    assert expected > 0.8
    assert aware.evaluate(*test, verbose=0)[1] > expected - 0.03
    assert not compression.range_report(aware).unset


@pytest.mark.slow
def test_accuracy_over_seeds_is_that_of_longer_float_training():
    (x, y), test = digits()
    drops = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = compiled(small_cnn())
        model.fit(x, y, epochs=12, batch_size=32, verbose=0)
        aware = compiled(compression.quantize_aware(model), rate=3e-4)
        aware.fit(x, y, epochs=4, batch_size=32, verbose=0)
        compiled(model, rate=3e-4).fit(x, y, epochs=4, batch_size=32, verbose=0)
        drops.append(
            model.evaluate(*test, verbose=0)[1] - aware.evaluate(*test, verbose=0)[1]
        )
    assert np.mean(drops) < 0.01, drops


def test_saved_and_loaded_it_trains_on_identically(tmp_path):
    (x, y), _ = digits()
    aware = compression.quantize_aware(small_cnn())
    aware = compiled(aware)
    aware.fit(x[:128], y[:128], shuffle=False, verbose=0)
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    for model in (aware, loaded):
        model.fit(x[:128], y[:128], shuffle=False, verbose=0)
    np.testing.assert_allclose(
        loaded.predict(x[:64], verbose=0),
        aware.predict(x[:64], verbose=0),
        atol=1e-5,
    )
    ours, theirs = (compression.range_report(model).rows for model in (aware, loaded))
    assert [row["name"] for row in ours] == [row["name"] for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        if a["kind"] == "activation":
            assert a["high"] == pytest.approx(b["high"], rel=1e-4)


def test_frozen_layers_stay_as_they_are():
    (x, y), _ = digits()
    model = small_cnn()
    for layer in model.layers[:3]:
        layer.trainable = False
    aware = compiled(compression.quantize_aware(model))
    aware.fit(x[:128], y[:128], verbose=0)
    folded = aware.get_layer("conv")
    for old, new in zip(
        model.layers[:2], (folded.layer, folded.batch_norm), strict=True
    ):
        for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_bits_by_layer():
    model = shake(small_cnn())
    aware = compression.quantize_aware(model, scheme={"^conv$": 2, "d": 4})
    rows = compression.range_report(aware).rows
    bits = {row["name"]: row["bits"] for row in rows if row["kind"] == "weights"}
    assert bits == {"conv": 2, "depthwise": 4, "conv2d": 4, "dense": 4}
    dense = aware.get_layer("dense")
    rounded = effective_kernel(dense, (dense.layer.kernel.shape[0],))
    assert len(np.unique(np.round(rounded, 5))) <= 15


def test_per_tensor_scheme_has_one_range_for_a_kernel():
    depthwise = layers.DepthwiseConv2D(1, use_bias=False, name="depthwise")
    model = keras.Sequential([keras.Input((1, 1, 8)), depthwise])
    scales = np.linspace(0.1, 1, 8)
    depthwise.kernel.assign(scales.reshape(1, 1, 8, 1))
    for scheme, count in (("int8", 8), ("int8_per_tensor", 1)):
        aware = compression.quantize_aware(model, scheme=scheme)
        kernel = effective_kernel(aware.get_layer("depthwise"), (1, 1, 8))
        errors = np.abs(np.diag(kernel.reshape(8, 8)) / scales - 1)
        assert (errors.max() < 1e-6) == (count == 8)


def branching():
    """Two outputs, a nested model that is used twice, sums and products."""
    inner_input = keras.Input((6, 6, 3))
    inner = layers.Conv2D(4, 3, padding="same", name="conv")(inner_input)
    inner = layers.BatchNormalization()(inner)
    encoder = keras.Model(inner_input, inner, name="encoder")
    left, right = (keras.Input((6, 6, 3), name=x) for x in ("left", "right"))
    a, b = encoder(left), encoder(right)
    joined = layers.Concatenate()([layers.ReLU()(layers.Add()([a, b])), a])
    joined = layers.Average()([joined, layers.Multiply()([joined, joined]), joined])
    flat = layers.Flatten()(keras.ops.relu(joined - 0.5)[:, 1:5])
    outputs = {
        "probability": layers.Dense(3, activation="softmax", name="probability")(flat),
        "size": layers.Dense(1, name="size")(flat),
    }
    return keras.Model({"left": left, "right": right}, outputs)


def test_branches_nested_models_and_named_outputs():
    model = shake(branching())
    rng = np.random.default_rng(0)
    x = {
        name: rng.normal(size=(16, 6, 6, 3)).astype("float32")
        for name in ("left", "right")
    }
    y = {
        "probability": rng.integers(0, 3, 16),
        "size": rng.normal(size=(16, 1)).astype("float32"),
    }
    aware = compression.quantize_aware(model)
    assert aware.output_names == model.output_names
    for name, expected in model(x).items():
        got = keras.ops.convert_to_numpy(aware(x)[name])
        expected = keras.ops.convert_to_numpy(expected)
        spread = np.abs(expected).max()
        np.testing.assert_allclose(got, expected, atol=0.05 * spread)
    aware.compile(
        "sgd", {"probability": "sparse_categorical_crossentropy", "size": "mse"}
    )
    aware.fit(x, y, verbose=0)
    assert not compression.range_report(aware).unset
    # One convolution in both branches; its BatchNormalization is not folded twice.
    assert len([x for x in aware.layers if x.name == "conv"]) == 1


def test_masks_and_sequences():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Embedding(20, 8, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.Bidirectional(layers.GRU(4)),
            layers.Dense(2),
        ]
    )
    tokens = np.random.default_rng(0).integers(1, 20, (8, 6))
    tokens[:, 3:] = 0
    aware = compression.quantize_aware(model)
    expected = keras.ops.convert_to_numpy(model(tokens))
    got = keras.ops.convert_to_numpy(aware(tokens))
    np.testing.assert_allclose(got, expected, atol=0.03 * np.abs(expected).max())
    aware.compile("sgd", "mse")
    assert np.isfinite(
        aware.fit(tokens, np.zeros((8, 2)), verbose=0).history["loss"]
    ).all()


def test_attention_keeps_its_arguments():
    inputs = keras.Input((5, 8))
    outputs = layers.MultiHeadAttention(2, 4, dropout=0.1)(
        inputs, inputs, use_causal_mask=True
    )
    model = keras.Model(inputs, layers.LayerNormalization()(outputs))
    aware = compression.quantize_aware(model)
    x = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    got = keras.ops.convert_to_numpy(aware(x))
    np.testing.assert_allclose(got, expected, atol=0.1)
    changed = x.copy()
    changed[:, -1] += 5.0  # the future, which the mask hides
    np.testing.assert_allclose(
        got[:, :-1], keras.ops.convert_to_numpy(aware(changed))[:, :-1], atol=1e-5
    )


def test_skip_and_annotate():
    model = small_cnn()
    rows = compression.range_report(
        compression.quantize_aware(model, exclude="^dense$|depthwise")
    ).rows
    assert {r["name"] for r in rows if r["kind"] == "weights"} == {"conv", "conv2d"}
    annotated = compression.quantize_aware(
        model, include=lambda layer: isinstance(layer, layers.Dense)
    )
    rows = compression.range_report(annotated).rows
    assert [row["name"] for row in rows if row["kind"] == "weights"] == ["dense"]
    assert isinstance(annotated.get_layer("conv"), layers.Conv2D)
    (x, y), _ = digits()
    compiled(annotated).fit(x[:64], y[:64], verbose=0)
    assert not compression.range_report(annotated).unset


class Custom(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


def test_layers_without_an_integer_form_are_listed_and_can_be_skipped():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="elu", name="first"),
            Custom(name="mine"),
            layers.Dense(2),
        ]
    )
    with pytest.raises(ValueError, match="first .Dense.*mine .Custom") as error:
        compression.quantize_aware(model)
    assert "exclude='^first$|^mine$'" in str(error.value)
    aware = compression.quantize_aware(model, exclude="^first$|^mine$")
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(aware(x)),
        keras.ops.convert_to_numpy(model(x)),
        atol=0.02,
    )


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


class WithStep(keras.Model):
    def __init__(self, units):
        inputs = keras.Input((4,))
        super().__init__(inputs, layers.Dense(units)(inputs))

    def train_step(self, *args):
        raise NotImplementedError


def test_models_that_are_refused():
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    half = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="mixed_float16")])
    cases = (
        ("can be traced, but it is not built", Subclassed()),
        ("it is not built", keras.Sequential([layers.Dense(2)])),
        ("computes in float16", half),
        ("aware already", compression.quantize_aware(dense)),
        ("`train_step` would be lost", WithStep(2)),
    )
    for message, model in cases:
        with pytest.raises(ValueError, match=message):
            compression.quantize_aware(model)
    with pytest.raises(TypeError, match="must be a Model"):
        compression.quantize_aware("model")
    with pytest.raises(ValueError, match="must simulate quantization"):
        compression.range_report(dense)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scheme": "int9"}, ValueError, "must be one of 'int8'"),
        ({"scheme": {}}, ValueError, "must have a rule"),
        ({"scheme": {"dense": 1}}, ValueError, r"in \[2, 8\]"),
        ({"scheme": {"[": 4}}, ValueError, "valid regular expression"),
        ({"scheme": {"lstm": 4}}, ValueError, "must fit a quantized layer"),
        ({"exclude": "lstm"}, ValueError, "`exclude` must match at least one layer"),
        ({"include": "lstm"}, ValueError, "`include` must match"),
        ({"exclude": ""}, ValueError, "must leave a layer"),
        ({"include": 3}, TypeError, "`include` must be a regular expression"),
    ],
)
def test_arguments_that_are_refused(arguments, error, message):
    model = small_cnn()
    with pytest.raises(error, match=message):
        compression.quantize_aware(model, **arguments)


def test_the_class_of_a_model_with_its_own_step_is_kept():
    class Own(keras.Model):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs) * 0.0

    inputs = keras.Input((4,))
    aware = compression.quantize_aware(Own(inputs, layers.Dense(2)(inputs)))
    assert isinstance(aware, Own)
    aware.compile("sgd", "mse")
    history = aware.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert history.history["loss"] == [0.0]


def test_report_prints():
    aware = compression.quantize_aware(small_cnn())
    assert "no batch seen" in str(compression.range_report(aware))
    (x, _), _ = digits()
    aware(x[:8], training=True)
    report = compression.range_report(aware)
    assert "no batch seen" not in str(report)
    first = report.rows[0]
    assert (first["low"], first["high"]) == (0.0, 1.0)
    assert first["step"] == pytest.approx(1 / 255)


@pytest.mark.parametrize("folded", [True, False])
def test_a_base_called_with_training_false_keeps_its_statistics(folded):
    inner = [layers.Conv2D(4, 3)] if folded else [layers.Conv2D(4, 3), layers.ReLU()]
    norm = layers.BatchNormalization()
    base = keras.Sequential([keras.Input((6, 6, 2)), *inner, norm])
    inputs = keras.Input((6, 6, 2))
    outputs = layers.Dense(2)(layers.Flatten()(base(inputs, training=False)))
    aware = compression.quantize_aware(shake(keras.Model(inputs, outputs)))
    aware.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    aware.fit(x, np.zeros((8, 2)), verbose=0)
    assert not compression.range_report(aware).unset
    kept = [w for w in aware.weights if "moving" in w.path]
    expected = [values(norm.moving_mean), values(norm.moving_variance)]
    for weight, value in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(values(weight), value)
    gammas = [w for w in aware.weights if w.path.endswith("gamma")]
    assert np.abs(values(gammas[0]) - values(norm.gamma)).max() > 0
