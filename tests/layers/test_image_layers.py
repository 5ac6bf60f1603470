"""Layers for feature maps against NumPy, channels last and first."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies import layers
from keras_strategies.layers.efficient_channel_attention import attention_width

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 8, 7, 4)).astype("float32")
FORMATS = ["channels_last", "channels_first"]
if keras.backend.backend() == "jax":  # each shape costs it another compilation
    del FORMATS[1]


def _numpy(x):
    return ops.convert_to_numpy(x)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _relu(x):
    return np.maximum(x, 0)


def _call(layer, data_format, x=X):
    """Output for `x`, channels last whatever the layer works with."""
    if data_format == "channels_last":
        return _numpy(layer(x))
    out = _numpy(layer(x.transpose(0, 3, 1, 2)))
    return np.moveaxis(out, 1, -1)


def _random_weights(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return [_numpy(w) for w in layer.weights]


def _built(layer, data_format):
    channels_last = data_format == "channels_last"
    layer.build((None, 8, 7, 4) if channels_last else (None, 4, 8, 7))
    return _random_weights(layer)


def test_weight_standardization_and_what_conv_does_with_it():
    layer = layers.WeightStandardizedConv2D(5, 3, 2, "same", data_format=FORMATS[0])
    w, b = _built(layer, FORMATS[0])
    standard = (w - w.mean((0, 1, 2))) / np.sqrt(w.var((0, 1, 2)) + 1e-5)
    plain = keras.layers.Conv2D(5, 3, 2, "same", data_format=FORMATS[0])
    plain.build(X.shape)
    plain.set_weights([standard, b])
    np.testing.assert_allclose(_numpy(layer(X)), _numpy(plain(X)), atol=1e-4)


@pytest.mark.parametrize("data_format", FORMATS)
def test_squeeze_excitation(data_format):
    layer = layers.SqueezeExcitation(2, data_format=data_format)
    w1, b1, w2, b2 = _built(layer, data_format)
    assert w1.shape == (4, 2)
    gate = _sigmoid(_relu(X.mean((1, 2)) @ w1 + b1) @ w2 + b2)
    expected = X * gate[:, None, None]
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
def test_efficient_channel_attention(data_format):
    layer = layers.EfficientChannelAttention(3, data_format)
    kernel = _built(layer, data_format)[0].ravel()
    s = np.pad(X.mean((1, 2)), [(0, 0), (1, 1)])
    gate = sum(kernel[i] * s[:, i : i + 4] for i in range(3))
    expected = X * _sigmoid(gate)[:, None, None]
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-5)


def test_efficient_channel_attention_chooses_its_width():
    # (log2(C) + 1) / 2 = 2.5, 3.5, 4.5 and 5.5, made odd as in the authors' code.
    assert [attention_width(c) for c in (16, 64, 256, 1024)] == [3, 3, 5, 5]
    with pytest.raises(ValueError, match="`kernel_size` must be odd"):
        layers.EfficientChannelAttention(4)


@pytest.mark.parametrize("data_format", FORMATS)
def test_convolutional_block_attention(data_format):
    layer = layers.ConvolutionalBlockAttention(2, 1, data_format)
    w1, b1, w2, b2, kernel = _built(layer, data_format)

    def mlp(s):
        return _relu(s @ w1 + b1) @ w2 + b2

    x = X * _sigmoid(mlp(X.mean((1, 2))) + mlp(X.max((1, 2))))[:, None, None]
    maps = np.stack([x.mean(-1), x.max(-1)], -1)
    expected = x * _sigmoid(maps @ kernel[0, 0])
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
def test_global_response_normalization(data_format):
    axis = 3 if data_format == "channels_last" else 1
    layer = layers.GlobalResponseNormalization(axis=axis)
    gamma, beta = _built(layer, data_format)
    g = np.sqrt((X**2).sum((1, 2), keepdims=True))
    n = g / (g.mean(-1, keepdims=True) + 1e-6)
    expected = gamma * (X * n) + beta + X
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-5)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("data_format", FORMATS)
def test_filter_response_normalization(data_format, learned):
    axis = 3 if data_format == "channels_last" else 1
    layer = layers.FilterResponseNormalization(0.01, learned, axis=axis)
    gamma, beta, tau, *more = _built(layer, data_format)
    epsilon = 0.01 + (np.abs(more[0]) if learned else 0)
    nu2 = (X**2).mean((1, 2), keepdims=True)
    expected = np.maximum(gamma * X / np.sqrt(nu2 + epsilon) + beta, tau)
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-5)
    bare = layers.FilterResponseNormalization(0.01, thresholded=False)
    np.testing.assert_allclose(_numpy(bare(X)), X / np.sqrt(nu2 + 0.01), atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [(3, 2, "reflect"), (4, 1, "reflect"), (2, 2, "same"), (3, 3, "valid")],
)
def test_blur_pooling(data_format, size, strides, padding):
    layer = layers.BlurPooling2D(size, strides, padding, data_format)
    row = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}[size]
    kernel = np.outer(row, row) / sum(row) ** 2
    around = ((size - 1) // 2, size // 2) if padding != "valid" else (0, 0)
    mode = "reflect" if padding == "reflect" else "constant"
    x = np.pad(X, [(0, 0), around, around, (0, 0)], mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    expected = (windows[:, ::strides, ::strides] * kernel).sum((-1, -2))
    got = _call(layer, data_format)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    shape = X.shape if data_format == "channels_last" else (3, 4, 8, 7)
    shape = layer.compute_output_shape(shape)
    assert shape == (
        got.shape if data_format == "channels_last" else (3, 4, *got.shape[1:3])
    )


@pytest.mark.parametrize(("size", "edges"), [(3, (1, 1)), (7, (3, 2)), (4, (1, 5))])
@pytest.mark.parametrize("is_known", [True, False])
def test_blur_pooling_of_maps_that_are_smaller_than_the_filter(size, edges, is_known):
    layer = layers.BlurPooling2D(size, 2, data_format="channels_last")
    row = np.array(np.poly1d([1.0, 1.0]) ** (size - 1))
    x = RNG.normal(size=(2, *edges, 3)).astype("float32")
    around = ((size - 1) // 2, size // 2)
    padded = np.pad(x, [(0, 0), around, around, (0, 0)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    kernel = np.outer(row, row) / row.sum() ** 2
    expected = (windows[:, ::2, ::2] * kernel).sum((-1, -2))
    inputs = keras.Input((*edges, 3) if is_known else (None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


def test_a_map_without_a_whole_window_is_refused():
    layer = layers.BlurPooling2D(3, padding="valid", data_format="channels_last")
    with pytest.raises(ValueError, match="must not exceed the map"):
        layer(np.ones((1, 2, 5, 3), "float32"))
    with pytest.raises(ValueError, match="must not exceed the map"):
        layer(keras.Input((5, 2, 3)))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pyramid_pooling(data_format, pooling):
    layer = layers.SpatialPyramidPooling2D([1, 3], pooling, data_format)
    reduce = {"max": np.max, "average": np.mean}[pooling]
    rows, columns = [(0, 3), (2, 6), (5, 8)], [(0, 3), (2, 5), (4, 7)]
    windows = [X] + [X[:, a:b, c:d] for a, b in rows for c, d in columns]
    expected = np.stack([reduce(window, (1, 2)) for window in windows], 1)
    np.testing.assert_allclose(_call(layer, data_format), expected, atol=1e-6)


def test_pyramid_pooling_of_equal_windows():
    layer = layers.SpatialPyramidPooling2D(2, data_format="channels_last")
    x = X[:, :, :6]
    windows = [x[:, a : a + 4, b : b + 3] for a in (0, 4) for b in (0, 3)]
    expected = np.stack([window.max((1, 2)) for window in windows], 1)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), expected)


def test_layers_for_pictures_of_any_size():
    inputs = keras.Input((None, None, 4))
    x = layers.BlurPooling2D(data_format="channels_last")(inputs)
    x = layers.SqueezeExcitation(2, data_format="channels_last")(x)
    x = layers.GlobalResponseNormalization()(layers.FilterResponseNormalization()(x))
    x = layers.SpatialPyramidPooling2D((1, 2), data_format="channels_last")(x)
    assert x.shape == (None, 5, 4)
    model = keras.Model(inputs, x)
    for size in (9, 6):
        assert model.predict(np.ones((2, size, 5, 4)), verbose=0).shape == (2, 5, 4)


def test_channels_of_zeros_have_finite_gradients():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(3, 1, kernel_initializer="zeros")(inputs)
    x = layers.GlobalResponseNormalization(gamma_initializer="ones")(x)
    x = layers.FilterResponseNormalization()(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 4, 4, 3)), np.ones((4, 3)), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
