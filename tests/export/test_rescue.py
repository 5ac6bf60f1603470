"""Methods that make a float model round better, each on a case made to need it."""

import itertools

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export.rescue import (
    _adaround,
    _correct_bias,
    _kernels,
    _layer_data,
    _simulation,
)
from keras_strategies.export.rescue._flat_copy import flat_copy, weighted_layers

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 8, 8, 3)).astype("float32")


def _separable(norm=True, seed=4):
    """Depthwise blocks whose channels have scales from 1 to 1,000."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for number in range(2):
        for layer in (
            L.Conv2D(12, 1, use_bias=not norm, name=f"pointwise_{number}"),
            L.DepthwiseConv2D(3, padding="same", name=f"depthwise_{number}"),
        ):
            x = layer(x)
            if norm:
                x = L.BatchNormalization(name=f"{layer.name}_norm")(x)
            x = L.ReLU()(x)
    outputs = L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            _scale_channels(layer, rng)
        elif hasattr(layer, "kernel"):  # the same on every backend
            shape = layer.kernel.shape
            layer.kernel.assign(rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1])))
    return model


def _scale_channels(layer, rng):
    size = layer.gamma.shape[0]
    factor = 10.0 ** rng.uniform(-1.5, 1.5, size)
    layer.gamma.assign(factor)
    layer.beta.assign(factor * rng.normal(size=size))
    layer.moving_mean.assign(rng.normal(size=size))
    layer.moving_variance.assign(rng.uniform(0.5, 2, size))


def _rounded_error(model, per_channel=False, bits=8, data=X):
    """Relative error of the outputs with all kernels rounded, against the float."""
    flat = flat_copy(model)
    simulation = _simulation.Simulation(flat, data, per_channel, False)
    simulation.set_bits({})
    expected = simulation.outputs(data)
    simulation.set_bits({layer.name: bits for layer in simulation.layers})
    return _simulation.relative_error(simulation.outputs(data), expected)


def _predict(model, data=X):
    return np.asarray(model.predict(data, verbose=0))


@pytest.fixture(scope="module")
def model():
    return _separable()


def test_batch_norm_is_folded(model):
    folded = export.fold_batch_norm(model)
    assert not any(isinstance(x, L.BatchNormalization) for x in folded.layers)
    np.testing.assert_allclose(_predict(folded), _predict(model), rtol=1e-3, atol=1e-3)
    assert folded.get_layer("pointwise_0").use_bias
    assert not model.get_layer("pointwise_0").use_bias


def test_batch_norm_that_is_no_part_of_the_layer_before_stays():
    inputs = keras.Input((6,))
    x = L.Dense(5, name="a")(inputs)
    first = L.BatchNormalization(name="kept")(x)  # `x` goes elsewhere as well
    activated = L.Dense(5, activation="relu", name="b")(x)
    second = L.BatchNormalization(name="behind_relu")(activated)
    inner = keras.Sequential(
        [keras.Input((5,)), L.Dense(3), L.BatchNormalization(name="inner")]
    )
    model = keras.Model(inputs, inner(L.Add()([first, second])))
    for layer in (model.get_layer("kept"), model.get_layer("behind_relu")):
        _scale_channels(layer, RNG)
    _scale_channels(inner.layers[-1], RNG)
    folded = export.fold_batch_norm(model)
    names = [layer.name for layer in folded.layers]
    assert "kept" in names and "behind_relu" in names and "inner" not in names
    x = RNG.normal(size=(9, 6)).astype("float32")
    np.testing.assert_allclose(
        _predict(folded, x), _predict(model, x), rtol=1e-3, atol=1e-4
    )


def test_equalization_leaves_the_function_and_mends_the_rounding(model):
    equal = export.equalize_layers(model)
    scale = np.abs(_predict(model)).max()
    np.testing.assert_allclose(
        _predict(equal) / scale, _predict(model) / scale, atol=1e-4
    )
    assert _rounded_error(model) > 10 * _rounded_error(equal)
    # The ranges of both sides of a pair agree in every channel.
    layers = {layer.name: layer for layer in equal.layers}
    first, second = layers["depthwise_0"], layers["pointwise_1"]
    np.testing.assert_allclose(
        _kernels.output_ranges(first, _kernels.kernel_of(first)),
        _kernels.input_ranges(second, _kernels.kernel_of(second)),
        rtol=1e-2,
    )


def test_equalization_through_flatten_and_of_relu6():
    keras.utils.set_random_seed(0)
    layers = [L.Conv2D(4, 3), L.ReLU(6.0), L.MaxPooling2D(), L.Flatten(), L.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    kernel = model.layers[0].get_weights()[0] * np.array([1, 0.1, 0.01, 1e-3])
    model.layers[0].set_weights([kernel, np.zeros(4)])
    with pytest.raises(ValueError, match="give `replace_relu6=True`"):
        export.equalize_layers(model)
    equal = export.equalize_layers(model, replace_relu6=True)
    np.testing.assert_allclose(_predict(equal), _predict(model), atol=1e-4)
    assert equal.layers[2].max_value is None
    ranges = _kernels.output_ranges(
        equal.layers[1], _kernels.kernel_of(equal.layers[1])
    )
    assert (
        ranges.max() / ranges.min() < 200 < kernel.max() / np.abs(kernel[..., 3]).max()
    )


def test_high_biases_are_absorbed():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            L.Conv2D(4, 1, activation="relu"),
            L.Conv2D(4, 3, name="second", activation="relu"),
            L.DepthwiseConv2D(3, padding="same", name="third"),
            L.Flatten(),
            L.Dense(2),
        ]
    )
    model.layers[0].bias.assign([90.0, 0.0, 40.0, -1.0])
    model.layers[1].bias.assign([500.0, 0.0, 0.0, 500.0])
    x = X[:, :6, :6]
    absorbed = export.absorb_high_bias(model, x)
    np.testing.assert_allclose(
        _predict(absorbed, x), _predict(model, x), rtol=1e-3, atol=0.05
    )
    biases = [layer.get_weights()[1] for layer in absorbed.layers[1:3]]
    assert (biases[0] < 20).all() and biases[0][3] == -1.0
    # Behind the second lies zero padding, where a constant would not be one.
    shift = biases[1] - model.layers[1].get_weights()[1]
    constant = np.array([90.0, 0, 40, 0]) - biases[0] - np.array([0, 0, 0, 1])
    kernel = model.layers[1].get_weights()[0]
    np.testing.assert_allclose(
        shift, np.einsum("ijco,c->o", kernel, constant), rtol=1e-3, atol=1e-2
    )


@pytest.mark.parametrize(
    "per_channel", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_mean_errors_go_into_the_biases(model, per_channel):
    corrected = export.correct_bias(
        model, X, bits=4, per_channel=per_channel, method="empirical"
    )
    means = []
    for candidate in (model, corrected):
        flat = flat_copy(candidate)
        simulation = _simulation.Simulation(flat, X, per_channel, False)
        simulation.set_bits({layer.name: 4 for layer in simulation.layers})
        means.append(simulation.outputs(X)[0].mean(axis=0))
    right = _predict(model).mean(axis=0)
    scale = np.abs(right).max()
    np.testing.assert_allclose(means[1] / scale, right / scale, atol=2e-3)
    assert np.abs(means[0] - right).max() > 20 * np.abs(means[1] - right).max()
    # The kernels themselves are those of the float model.
    kernels = [_kernels.kernel_of(x) for x in weighted_layers(flat_copy(model))]
    for layer, kernel in zip(weighted_layers(corrected), kernels, strict=True):
        np.testing.assert_allclose(_kernels.kernel_of(layer), kernel, rtol=1e-5)


def test_mean_errors_without_data():
    """Behind BatchNormalization and relu the mean is that of a clipped normal."""
    values = np.maximum(RNG.normal(0.3, 2.0, size=400_000), 0)
    expected = _correct_bias.clipped_normal_mean(
        np.array([0.3, -1.0]), np.array([2.0, 0])
    )
    assert expected[0] == pytest.approx(values.mean(), abs=0.01)
    assert expected[1] == pytest.approx(0.0, abs=1e-9)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), L.Dense(64), L.BatchNormalization(), L.ReLU(), L.Dense(3)]
    )
    x = RNG.normal(size=(4000, 6)).astype("float32")
    norm = model.layers[1]
    outputs = x @ model.layers[0].get_weights()[0]
    norm.moving_mean.assign(outputs.mean(axis=0))
    norm.moving_variance.assign(outputs.var(axis=0))
    norm.beta.assign(RNG.normal(size=64) + 2)
    data = export.correct_bias(model, x, bits=3)
    analytic = export.correct_bias(model, bits=3, method="analytic")
    shifts = [
        m.layers[-1].get_weights()[1] - model.layers[-1].get_weights()[1]
        for m in (analytic, data)
    ]
    assert np.abs(shifts[1]).max() > 0.05
    # The empirical one also corrects what the rounding of the first layer moves.
    np.testing.assert_allclose(*shifts, atol=0.5 * np.abs(shifts[1]).max())


def test_adaptive_rounding_is_near_the_best_of_all_roundings():
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 8))  # that go together
        x = x + 0.1 * rng.normal(size=x.shape)
        kernel = rng.normal(size=(8, 1))
        kernel[0] = 3.5
        step, second = np.array([0.5]), x.T @ x / len(x)
        rounded = _adaround.adaptive_rounding(kernel, step, second, second, 4, 500)
        lower = np.floor(kernel / step)
        losses = []
        for ups in itertools.product((0, 1), repeat=7):
            candidate = (lower + np.array([0, *ups])[:, None]) * step
            candidate[0] = 3.5
            losses.append(_loss(candidate, kernel, second))
        nearest = _loss(np.round(kernel / step) * step, kernel, second)
        found = _loss(rounded, kernel, second)
        assert min(losses) - 1e-9 <= found <= nearest
        np.testing.assert_allclose(rounded / step, np.round(rounded / step))
        assert rounded[0] == 3.5
        if nearest > min(losses) + 1e-9:
            gains.append((nearest - found) / (nearest - min(losses)))
    # Of the way from the nearest to the best of all 128 roundings.
    assert len(gains) > 2 and np.mean(gains) > 0.7


def _loss(weights, kernel, second):
    error = weights - kernel
    return float((error.T @ second @ error).squeeze())


@pytest.mark.parametrize(
    "per_channel", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_adaround_of_a_network(per_channel):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
            L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
            L.Flatten(),
            L.Dense(4),
        ]
    )
    rounded = export.adaround(model, X, bits=3, per_channel=per_channel, iterations=400)
    right = [_predict(model).astype("float64")]
    error = _simulation.relative_error([_predict(rounded)], right)
    assert error < 0.6 * _rounded_error(model, per_channel, 3)
    # What the converter does with the same bits changes nothing any more.
    for layer in weighted_layers(rounded):
        kernel = _kernels.kernel_of(layer)
        again = _kernels.rounded(layer, kernel, 3, per_channel)
        np.testing.assert_allclose(again, kernel, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(3, 3, strides=2, padding="same"),
        L.Conv2D(3, (2, 3), dilation_rate=2),
        L.Conv1D(3, 3, padding="causal", dilation_rate=2),
        L.Conv1D(3, 4, strides=2, padding="same"),
        L.Dense(3),
        L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
        L.DepthwiseConv1D(3),
    ],
    ids=lambda layer: layer.name,
)
def test_patches_times_kernel_is_the_layer(layer):
    x = X[:3] if "2d" in layer.name else X[:3, 0]
    expected = keras.ops.convert_to_numpy(layer(x))
    patches = _layer_data.patches(layer, x)
    kernel = _kernels.kernel_of(layer)
    if isinstance(layer, _kernels.DEPTHWISE):
        kernel = kernel.reshape(-1, *kernel.shape[-2:])
        made = np.einsum("nkc,kcm->ncm", patches, kernel)
    else:
        made = patches.reshape(len(patches), -1) @ _kernels.by_output(layer, kernel)
    np.testing.assert_allclose(made.reshape(expected.shape), expected, atol=1e-4)


def test_outliers_behind_layer_normalization():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 16))
    x = L.LayerNormalization(name="norm_1")(inputs)
    x = inputs + L.MultiHeadAttention(2, 4, name="attention")(x, x)
    y = L.LayerNormalization(name="norm_2")(x)
    y = L.Dense(8, name="second")(L.Dense(32, activation="relu", name="first")(y))
    model = keras.Model(inputs, y)
    for name in ("norm_1", "norm_2"):
        gamma = np.ones(16)
        gamma[3] = 100.0
        model.get_layer(name).gamma.assign(gamma)
    x = RNG.normal(size=(40, 5, 16)).astype("float32")
    smooth = export.smooth_activations(model, x)
    np.testing.assert_allclose(
        _predict(smooth, x), _predict(model, x), rtol=1e-2, atol=1e-2
    )

    def spread(candidate):
        values = _layer_data.inputs_of(candidate, candidate.get_layer("first"), x)
        largest = np.abs(values).max(axis=(0, 1))
        return largest.max() / np.median(largest)

    assert spread(model) > 50 and spread(smooth) < 15
    attention = [m.get_layer("attention").query_dense.kernel for m in (model, smooth)]
    ratio = np.abs(keras.ops.convert_to_numpy(attention[1] / attention[0]))
    assert ratio[3].min() > 4 * np.median(ratio)


def test_smoothing_of_a_norm_that_something_else_reads_is_left():
    inputs = keras.Input((16,))
    x = L.LayerNormalization()(inputs)
    model = keras.Model(inputs, x + L.Dense(16)(x))
    with pytest.raises(ValueError, match="must have Dense or attention"):
        export.smooth_activations(model, np.zeros((4, 16), "float32"))


@pytest.fixture(scope="module")
def report():
    model = _separable(norm=False)
    layer = model.get_layer("depthwise_1")
    kernel, bias = layer.get_weights()
    kernel[..., 0, :] *= 300.0  # one channel takes the range of all others
    layer.set_weights([kernel, bias])
    data = X
    nxt = model.get_layer("head")
    weights, bias = nxt.get_weights()
    weights[0] /= 300.0
    nxt.set_weights([weights, bias])
    return model, export.sensitivity(
        model, data, bits=(8, 4), per_channel=False, activations=False
    )


def test_the_layer_to_blame_is_first(report):
    _, result = report
    assert result.rows[0]["layer"] == "depthwise_1"
    assert result.rows[0]["loss_8"] > 20 * result.rows[2]["loss_8"]
    assert "relative squared error" in str(result) and result.plot() is not None
    assert result.to_dict()["bits"] == [8, 4]


def test_bits_within_a_budget(report):
    model, result = report
    names = {row["layer"] for row in result.rows}
    assert set(result.choose(max_loss=1e9).values()) == {4}
    assert set(result.choose(max_loss=0.0).values()) == {None}
    between = result.choose(max_loss=result.rows[0]["loss_8"] / 2)
    assert set(between) == names and between["depthwise_1"] is None
    assert between["pointwise_0"] in (8, 4)
    sizes = {row["layer"]: row for row in result.rows}
    limit = sum(row["bytes_8"] for row in result.rows)
    chosen = result.choose(max_bytes=limit)
    spent = sum(
        4 * sizes[name]["parameters"] if bits is None else sizes[name][f"bytes_{bits}"]
        for name, bits in chosen.items()
    )
    assert spent <= limit
    modes = result.quantization({"head": 8, "pointwise_0": 4, "pointwise_1": None})
    assert modes == {r"(^|/)head$": "int8", r"(^|/)pointwise_0$": "int4_weights"}
    for arguments, words in (
        ({}, "Exactly one"),
        ({"max_loss": 1.0, "max_bytes": 5}, "Exactly one"),
        ({"max_bytes": 3}, "must be at least what the fewest bits take"),
    ):
        with pytest.raises(ValueError, match=words):
            result.choose(**arguments)


def test_sensitivity_by_a_metric():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(8, "relu"), L.Dense(2)])
    x = RNG.normal(size=(200, 6)).astype("float32")
    labels = _predict(model, x).argmax(-1)
    result = export.sensitivity(
        model, x, labels=labels, metric="accuracy", bits=(8, 2), per_channel=False
    )
    assert result.unit == "worsening of accuracy"
    assert 0.02 < result.all_layers[2] <= 1 and result.all_layers[8] < 0.03


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: export.adaround(m, X, bits=9), "`bits` must be"),
        (lambda m: export.adaround(m, X[:0]), "`data` must have an array"),
        (lambda m: export.correct_bias(m), "`data` must be given"),
        (lambda m: export.correct_bias(m, X, method="magic"), "`method` must be"),
        (lambda m: export.smooth_activations(m, X, alpha=2), "`alpha` must be"),
        (lambda m: export.sensitivity(m, X, bits=(8, 8)), "different numbers"),
        (lambda m: export.sensitivity(m, X, labels=X), "given together"),
        (lambda m: export.absorb_high_bias(m, X * np.nan), "finite"),
        (lambda m: export.fold_batch_norm("model"), "must be a Model"),
    ],
)
def test_refused(model, call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(model)


def _correlated():
    """A network whose depthwise layer has one range for channels of all sizes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            L.Conv2D(8, 1, use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv2D(6, 3, activation="relu"),
            L.Flatten(),
            L.Dense(3, name="head"),
        ]
    )
    norm, behind = model.layers[1], model.layers[3]
    factor = 100.0 ** RNG.uniform(-1, 1, 8)
    norm.gamma.assign(factor)
    norm.beta.assign(0.3 * factor)
    kernel, bias = behind.get_weights()
    behind.set_weights([kernel / factor[:, None], bias])
    return model


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_file_is_rescued_as_it_is_written(tmp_path):
    model = _correlated()
    errors = []
    for rescue in ((), ("correct_bias", "equalize_layers", "absorb_high_bias")):
        path = tmp_path / "model.tflite"
        result = export.to_tflite(
            model,
            path,
            quantization="int8",
            representative_data=X,
            verify=X,
            max_loss=1e9,
            min_agreement=0.0,
            rescue=rescue,
        )
        made = export.TFLiteModel(path).predict(X, verbose=0)
        right = [_predict(model).astype("float64")]
        errors.append(_simulation.relative_error([made], right))
        assert result.tensor_types["int8"]["bytes"] > 0
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rescue": "equalize_layers"}, "must be a list of names"),
        ({"rescue": ["magic"]}, "`rescue` must be one of"),
        ({"rescue": ["adaround"], "quantization": "float16"}, "weights of int8"),
        ({"rescue": ["adaround"], "representative_data": None}, "must be given"),
        ({"rescue": ["equalize_layers"], "quantization": {".*": "int8"}}, "by layer"),
    ],
)
def test_a_rescue_that_does_not_fit_is_refused(arguments, words, tmp_path):
    given = {"quantization": "int8", "representative_data": X} | arguments
    with pytest.raises(ValueError, match=words):
        export.to_tflite(_correlated(), tmp_path / "model.tflite", **given)
    assert not list(tmp_path.iterdir())
