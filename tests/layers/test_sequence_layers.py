"""Layers for sequences, and residual blocks, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool)


def _numpy(x):
    return ops.convert_to_numpy(x)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _random(layer, shape=X.shape):
    layer.build(shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) / 2 for w in layer.weights])
    return {w.path: _numpy(w) for w in layer.weights}


@pytest.mark.parametrize("gated", [False, True])
def test_attention_pooling(gated):
    layer = layers.AttentionPooling(3, gated)
    weights = list(_random(layer).values())
    v, b, w = weights[:3]
    hidden = np.tanh(X @ v + b)
    if gated:
        hidden = hidden / (1 + np.exp(-(X @ weights[3] + weights[4])))
    scores = np.where(MASK, (hidden @ w)[..., 0], -np.inf)
    expected = _softmax(scores)
    out, got = layer(X, mask=ops.array(MASK), return_attention_scores=True)
    np.testing.assert_allclose(_numpy(got), expected, atol=1e-5)
    np.testing.assert_allclose(
        _numpy(out), np.einsum("bt,btd->bd", expected, X), atol=1e-5
    )


def test_attention_pooling_of_feature_maps():
    layer = layers.AttentionPooling(3)
    flat = _numpy(layer(X.reshape(3, 5, 4)))
    np.testing.assert_allclose(_numpy(layer(X.reshape(3, 1, 5, 4))), flat, atol=1e-6)
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 4)
    np.testing.assert_allclose(_numpy(model(X[:, None])), flat, atol=1e-6)
    with pytest.raises(ValueError, match="must be"):
        layers.AttentionPooling()(X[:, 0])


def test_learned_positions():
    layer = layers.PositionalEmbedding(7)
    (table,) = _random(layer).values()
    np.testing.assert_allclose(_numpy(layer(X)), X + table[:5], rtol=1e-5)
    with pytest.raises(ValueError, match="must not be longer"):
        layers.PositionalEmbedding(4)(X)
    with pytest.raises(TypeError, match="`sequence_length`"):
        layers.PositionalEmbedding()


def test_sinusoids():
    layer = layers.PositionalEmbedding(method="sinusoidal", max_wavelength=100)
    t, expected = np.arange(5)[:, None], np.zeros((5, 4))
    rates = 1 / 100 ** (np.array([0, 2]) / 4)
    expected[:, ::2], expected[:, 1::2] = np.sin(t * rates), np.cos(t * rates)
    np.testing.assert_allclose(_numpy(layer(X)), X + expected, atol=1e-5)


def _norm(x):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)


def _attend(x, weights, visible):
    def part(name):
        return [v for k, v in weights.items() if f"attention/{name}/" in k]

    q, k, v = (
        np.einsum("btd,dhk->bhtk", x, kernel) + bias[None, :, None]
        for kernel, bias in map(part, ("query", "key", "value"))
    )
    scores = np.where(visible[:, None], q @ k.swapaxes(-1, -2) / np.sqrt(2), -1e9)
    kernel, bias = part("attention_output")
    return np.einsum("bhtk,hkd->btd", _softmax(scores) @ v, kernel) + bias


@pytest.mark.parametrize("first", [True, False])
def test_transformer_block(first):
    layer = layers.TransformerBlock(
        6, 2, activation="relu", normalize_first=first, causal=True, layer_scale=0.3
    )
    w = _random(layer)
    for norm in layer.norms:
        norm.set_weights([np.ones(4), np.zeros(4)])
    scales = [_numpy(end[1].gamma) for end in layer.ends]
    w1, b1, w2, b2 = [v for k, v in w.items() if "/inner/" in k or "/outer/" in k]
    visible = MASK[:, None] & np.tril(np.ones((5, 5), bool))

    def attend(x):
        return _attend(x, w, visible) * scales[0]

    def feed(x):
        return (np.maximum(x @ w1 + b1, 0) @ w2 + b2) * scales[1]

    if first:
        x = X + attend(_norm(X))
        expected = x + feed(_norm(x))
    else:
        x = _norm(X + attend(X))
        expected = _norm(x + feed(x))
    got = _numpy(layer(X, mask=ops.array(MASK)))
    np.testing.assert_allclose(got[MASK], expected[MASK], rtol=1e-3, atol=1e-4)


@pytest.mark.tensorflow
def test_transformer_block_takes_templates_and_a_mask_of_its_own():
    norm = keras.layers.LayerNormalization(epsilon=0.1, center=False)
    layer = layers.TransformerBlock(6, 2, normalization=norm, gated=True, key_dim=3)
    visible = np.tril(np.ones((1, 5, 5), bool)).repeat(3, 0)
    causal = layers.TransformerBlock(
        6, 2, normalization=norm, gated=True, key_dim=3, causal=True
    )
    _random(layer)
    _random(causal)
    np.testing.assert_allclose(
        _numpy(layer(X, attention_mask=ops.array(visible))),
        _numpy(causal(X)),
        atol=1e-5,
    )
    assert [n.epsilon for n in layer.norms] == [0.1, 0.1] and not norm.built
    with pytest.raises(ValueError, match="multiple of `num_heads`"):
        layers.TransformerBlock(6, 3)(X)
    with pytest.raises(TypeError, match="`normalization` must be a layer"):
        layers.TransformerBlock(6, 2, normalization="layer")


MAP = RNG.normal(size=(2, 6, 6, 3)).astype("float32")


@pytest.mark.parametrize(
    ("filters", "strides", "preactivation"),
    [(3, 1, True), pytest.param(4, 2, False, marks=pytest.mark.tensorflow)],
)
def test_residual_block_is_its_formula(filters, strides, preactivation):
    block = layers.ResidualBlock(
        filters,
        strides=strides,
        preactivation=preactivation,
        normalization=keras.layers.Rescaling(0.5),
        branch_end=keras.layers.Rescaling(3.0),
        data_format="channels_last",
    )
    _random(block, MAP.shape)
    convs = {n: _numpy(k) for n, k in _kernels(block)}

    def conv(x, kernel, strides=1):
        return _numpy(ops.conv(x, kernel, strides, "same", "channels_last"))

    def act(x):
        return np.maximum(x, 0)

    x, shortcut = MAP, MAP
    if preactivation:
        x = act(0.5 * x)
    if strides > 1:
        shortcut = conv(x, convs["shortcut_conv"], strides)
        shortcut = shortcut if preactivation else 0.5 * shortcut
    x = act(0.5 * conv(x, convs["conv_1"], strides))
    x = conv(x, convs["conv_2"])
    x = 3 * (x if preactivation else 0.5 * x)
    expected = shortcut + x if preactivation else act(shortcut + x)
    got = _numpy(block(MAP))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    assert block.compute_output_shape(MAP.shape) == got.shape


def _kernels(block):
    for layer in [*block.branch, *block.shortcut]:
        if hasattr(layer, "kernel"):
            yield layer.name, layer.kernel


@pytest.mark.tensorflow
def test_residual_block_of_any_parts():
    block = layers.ResidualBlock(
        4,
        convolution=keras.layers.SeparableConv1D(1, 1),
        activation=layers.Snake(),
        normalization=layers.GhostBatchNormalization(4),
        branch_end=[layers.EfficientChannelAttention(), layers.DropBlock1D(0.1, 2)],
        drop_path_rate=0.2,
        data_format="channels_last",
    )
    block.build((None, 8, 3))
    assert block.compute_output_shape((None, 8, 3)) == (None, 8, 4)
    names = [type(layer).__name__ for layer in block.branch]
    assert names == [
        "SeparableConv1D",
        "GhostBatchNormalization",
        "Snake",
        "SeparableConv1D",
        "GhostBatchNormalization",
        "EfficientChannelAttention",
        "DropBlock1D",
    ]
    built = keras.layers.BatchNormalization()
    built.build((None, 3))
    with pytest.raises(ValueError, match="must not be built"):
        layers.ResidualBlock(4, normalization=built)
