"""Texts: attributions of tokens and words, and attention through the layers."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import moved
from tests.markers import slow_on_jax

TOKENS = np.array([[5, 2, 7, 1], [3, 3, 0, 0]])


def linear_text(mask_zero=False, activation="sigmoid"):
    """The score is the mean of a number for each token."""
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            kl.Embedding(10, 3, mask_zero=mask_zero, name="tokens"),
            kl.GlobalAveragePooling1D(),
            kl.Dense(1, activation=activation),
        ]
    )
    return moved(model)


def _numbers(model):
    table, kernel = model.get_weights()[:2]
    return (table @ kernel)[:, 0]


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_times_input"])
def test_a_linear_model_gives_the_shares_of_the_tokens(method):
    model = linear_text()
    found = explain.token_attributions(model, TOKENS, method=method)
    np.testing.assert_allclose(found, _numbers(model)[TOKENS] / 4, rtol=1e-4)


def test_saliency_is_the_length_of_the_gradient():
    model = linear_text()
    found = explain.token_attributions(model, TOKENS, method="saliency")
    length = np.linalg.norm(model.get_weights()[1]) / 4
    np.testing.assert_allclose(found, np.full((2, 4), length), rtol=1e-4)


def test_padding_of_a_masked_text_adds_nothing():
    model = linear_text(mask_zero=True)
    found = explain.token_attributions(model, TOKENS)
    np.testing.assert_array_equal(found[1, 2:], 0)
    np.testing.assert_allclose(found[1, :2], _numbers(model)[3] / 2, rtol=1e-4)


def test_a_token_as_the_baseline():
    model = linear_text()
    found = explain.token_attributions(model, TOKENS, baseline_token=7)
    numbers = _numbers(model)
    expected = (numbers[TOKENS] - numbers[7]) / 4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_tokens_are_merged_to_words():
    model = linear_text()
    tokens = explain.token_attributions(model, TOKENS)
    words = explain.token_attributions(
        model, TOKENS, words=[[0, 1, 1, 2], [0, 1, -1, -1]]
    )
    a, b = tokens
    expected = [[a[0], a[1] + a[2], a[3]], [b[0], b[1], 0]]
    np.testing.assert_allclose(words, expected, rtol=1e-6)
    for bad in ([[0, 1, 1, 2]], [[0, 1, 1, 9]] * 2, [[0, 1, 1, -2]] * 2):
        with pytest.raises(ValueError, match="`words`"):
            explain.token_attributions(model, TOKENS, words=bad)


def _transformer(nested=False):
    inputs = keras.Input((6,), dtype="int32")
    x = kl.Embedding(12, 8, name="tokens")(inputs)
    positions = kl.Embedding(6, 8, name="positions")(keras.ops.arange(6)[None])
    x = x + positions
    for number in range(2):
        attended = kl.MultiHeadAttention(2, 4, name=f"attention_{number}")(x, x)
        x = kl.LayerNormalization()(x + attended)
        x = x + kl.Dense(8, activation="gelu")(x)
    x = kl.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, kl.Dense(3, activation="softmax")(x))
    if nested:
        outer = keras.Input((6,), dtype="int32")
        model = keras.Model(outer, model(outer))
    return moved(model)


@slow_on_jax
@pytest.mark.parametrize("nested", [False, True])
def test_attributions_of_a_transformer_add_up(nested):
    model = _transformer(nested)
    x = np.random.default_rng(0).integers(0, 12, (5, 6))
    found = explain.token_attributions(
        model, x, 1, baseline_token=0, batch_size=8, max_points=64, tolerance=1e-3
    )
    logit = lambda p: np.log(p)  # noqa: E731
    # Logits are known up to a constant: differences to another class are exact.
    other = explain.token_attributions(model, x, 2, baseline_token=0, points=64)
    p = model.predict(x, verbose=0)
    base = model.predict(np.zeros_like(x), verbose=0)
    expected = logit(p[:, 1] / p[:, 2]) - logit(base[:, 1] / base[:, 2])
    total = (found - other).sum(axis=1)
    np.testing.assert_allclose(total, expected, rtol=1e-2, atol=1e-3)


def test_the_layer_is_the_one_on_the_tokens():
    inputs = keras.Input((4,), dtype="int32")
    both = [kl.Embedding(10, 3, name=name)(inputs) for name in ("left", "right")]
    x = kl.GlobalAveragePooling1D()(kl.Add()(both))
    model = moved(keras.Model(inputs, kl.Dense(1)(x)))
    with pytest.raises(ValueError, match=r"layers=\['left', 'right'\]"):
        explain.token_attributions(model, TOKENS)
    table, kernel = model.get_layer("right").get_weights()[0], model.get_weights()[-2]
    found = explain.token_attributions(model, TOKENS, layer="right")
    np.testing.assert_allclose(found, (table @ kernel)[TOKENS, 0] / 4, rtol=1e-4)
    plain = keras.Sequential([keras.Input((4,)), kl.Dense(2)])
    with pytest.raises(ValueError, match="A keras.layers.Embedding, called on"):
        explain.token_attributions(plain, np.ones((2, 4)), 0)


def test_a_dict_with_a_mask_beside_the_tokens():
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    weights = keras.Input((4,), name="weights")
    x = kl.Embedding(10, 3)(tokens) * keras.ops.expand_dims(weights, -1)
    x = kl.Dense(1)(kl.Flatten()(x))
    model = moved(keras.Model({"tokens": tokens, "weights": weights}, x))
    inputs = {"tokens": TOKENS, "weights": np.array([[1, 1, 0, 0]] * 2, "float32")}
    found = explain.token_attributions(model, inputs)
    assert (found[:, 2:] == 0).all() and (found[:, :2] != 0).all()


def test_words_that_decide_are_found():
    """A model that was trained on texts in which two words make the label."""
    random = np.random.default_rng(0)
    x = random.integers(4, 40, (400, 8))
    y = np.arange(400) % 2
    x[np.arange(400), random.integers(0, 8, 400)] = np.where(y, 2, 3)  # good, bad
    model = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            kl.Embedding(40, 8),
            kl.Conv1D(8, 3, padding="same", activation="relu"),
            kl.GlobalMaxPooling1D(),
            kl.Dense(1, activation="sigmoid"),
        ]
    )
    rate = keras.optimizers.Adam(0.02)
    model.compile(rate, "binary_crossentropy", metrics=["accuracy"])
    model.fit(x[:300], y[:300], batch_size=50, epochs=8, verbose=0)
    assert model.evaluate(x[300:], y[300:], verbose=0)[1] > 0.95
    found = explain.token_attributions(model, x[300:], max_points=64, tolerance=0.05)
    deciding = np.where(y[300:, None], x[300:] == 2, x[300:] == 3)
    largest = np.abs(found).argmax(axis=1)
    assert deciding[np.arange(100), largest].mean() >= 0.9
    values = found[deciding]
    signs = np.repeat(np.where(y[300:], 1, -1), deciding.sum(axis=1))
    assert (np.sign(values) == signs).mean() >= 0.9


def test_rollout_by_hand():
    from keras_strategies.explain._sequences.rollout import roll_out

    first = np.array([[[0.5, 0.5], [0.2, 0.8]]])
    second = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    half = 0.5 * np.eye(2)
    expected = (half + 0.5 * second[0]) @ (half + 0.5 * first[0])
    np.testing.assert_allclose(roll_out([first, second], 0.5)[0], expected)
    np.testing.assert_allclose(roll_out([first, second], 0.0)[0], second[0] @ first[0])


@slow_on_jax
def test_rollout_of_a_model_is_that_of_its_layers():
    model = _transformer()
    x = np.random.default_rng(0).integers(0, 12, (5, 6))
    found = explain.attention_rollout(model, x, batch_size=2)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    # The weights of each layer, asked for by a model of its own.
    weights = []
    for number in range(2):
        layer = model.get_layer(f"attention_{number}")
        before = keras.Model(model.input, layer.input[0])
        value = before.predict(x, verbose=0)
        _, scores = layer(value, value, return_attention_scores=True)
        weights.append(keras.ops.convert_to_numpy(scores).mean(axis=1))
    eye = np.eye(6)
    rolled = (0.5 * eye + 0.5 * weights[1]) @ (0.5 * eye + 0.5 * weights[0])
    np.testing.assert_allclose(found, rolled.mean(axis=1), rtol=1e-4)
    first = explain.attention_rollout(model, x, query=0)
    np.testing.assert_allclose(first, rolled[:, 0], rtol=1e-4)
    one = explain.attention_rollout(model, x, include="attention_1", residual=0.0)
    np.testing.assert_allclose(one, weights[1].mean(axis=1), rtol=1e-4)
    assert explain.attention_rollout(model, x, heads="max").shape == (5, 6)


def test_rollout_needs_attention_of_a_sequence_to_itself():
    with pytest.raises(ValueError, match="MultiHeadAttention"):
        explain.attention_rollout(linear_text(), TOKENS)
    a, b = keras.Input((4, 3)), keras.Input((5, 3))
    attended = kl.MultiHeadAttention(1, 2, name="across")(a, b)
    model = keras.Model([a, b], attended)
    x = [np.ones((2, 4, 3), "float32"), np.ones((2, 5, 3), "float32")]
    with pytest.raises(ValueError, match="Leave out attention to another sequence"):
        explain.attention_rollout(model, x)
    with pytest.raises(ValueError, match="`query` must be"):
        explain.attention_rollout(_transformer(), np.ones((1, 6), int), query=6)
