"""Masked positions never change valid ones, whatever is in them and how many."""

import inspect

import keras
import numpy as np
import pytest

from keras_strategies import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 6)).astype("float32")
GARBAGE = 1e3


class Marked(keras.layers.Layer):
    """Masks the positions with the value of padding, and leaves it there."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, inputs):
        return inputs

    def compute_mask(self, inputs, previous_mask=None):
        return keras.ops.any(keras.ops.not_equal(inputs, GARBAGE), axis=-1)


def normal():
    return keras.initializers.RandomNormal(stddev=0.5, seed=1)


SEQUENCES = {
    "AconC": lambda: layers.AconC(),
    "AttentionPooling": lambda: layers.AttentionPooling(4, gated=True),
    "ConcreteDropout": lambda: layers.ConcreteDropout(keras.layers.Dense(4)),
    "DropBlock1D": lambda: layers.DropBlock1D(0.2, 2),
    "EfficientChannelAttention": lambda: layers.EfficientChannelAttention(3),
    "FilterResponseNormalization": lambda: layers.FilterResponseNormalization(),
    "GatedLinearUnit": lambda: layers.GatedLinearUnit(4),
    "GhostBatchNormalization": lambda: layers.GhostBatchNormalization(1),
    "GlobalResponseNormalization": lambda: layers.GlobalResponseNormalization(
        gamma_initializer=normal()
    ),
    "LayerScale": lambda: layers.LayerScale(0.5),
    "LearnableSwish": lambda: layers.LearnableSwish(),
    "Maxout": lambda: layers.Maxout(3),
    "NoisyDense": lambda: layers.NoisyDense(4),
    "PositionalEmbedding": lambda: layers.PositionalEmbedding(20),
    "Snake": lambda: layers.Snake(),
    "SqueezeExcitation": lambda: layers.SqueezeExcitation(2),
    "StochasticDepth": lambda: layers.StochasticDepth(0.5),
    "TransformerBlock": lambda: layers.TransformerBlock(8, 2),
    "WeightNormalization": lambda: layers.WeightNormalization(
        keras.layers.LSTM(3, return_sequences=True)
    ),
}
# Random in training, so that there only inference can be compared.
RANDOM = {"ConcreteDropout", "DropBlock1D", "NoisyDense", "StochasticDepth"}
IMAGES = {
    "ConvolutionalBlockAttention": lambda: layers.ConvolutionalBlockAttention(2, 3),
    "SqueezeExcitation": lambda: layers.SqueezeExcitation(2),
    "FilterResponseNormalization": lambda: layers.FilterResponseNormalization(),
    "GlobalResponseNormalization": lambda: layers.GlobalResponseNormalization(
        gamma_initializer=normal()
    ),
    "EfficientChannelAttention": lambda: layers.EfficientChannelAttention(3),
}
REFUSE = {
    "BlurPooling2D": lambda: layers.BlurPooling2D(),
    "SpatialPyramidPooling2D": lambda: layers.SpatialPyramidPooling2D(2),
}
# Convolutions, which warn and drop a mask as those of Keras do; DropBlock2D, the base
# of DropBlock1D; MonteCarloDropout, Keras's Dropout, which is always random.
OTHERS = {"WeightStandardizedConv2D", "ResidualBlock", "DropBlock2D"}
OTHERS |= {"MonteCarloDropout"}


def test_every_layer_is_here():
    public = {
        name
        for name in layers.__all__
        if inspect.isclass(getattr(layers, name))
        and issubclass(getattr(layers, name), keras.layers.Layer)
    }
    assert public == {*SEQUENCES, *IMAGES, *REFUSE, *OTHERS}


def outputs(layer, x, training):
    """The outputs, and their mask, of a layer after a masked input."""
    marked = Marked()(x)
    out = layer(marked, training=training) if _takes_training(layer) else layer(marked)
    mask = getattr(out, "_keras_mask", None)
    return keras.ops.convert_to_numpy(out), mask


def _takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters


@pytest.mark.parametrize("name", SEQUENCES)
def test_more_padding_changes_no_valid_step(name):
    keras.utils.set_random_seed(0)
    layer = SEQUENCES[name]()
    modes = [False] if name in RANDOM else [False, True]
    for training in modes:
        results = []
        for padding in (1, 2, 6):
            widths = ((0, 0), (0, padding), (0, 0))
            x = np.pad(X, widths, constant_values=GARBAGE)
            x[1, 3:] = GARBAGE  # the second sequence is shorter
            out, mask = outputs(layer, x, training)
            if out.ndim == 3:
                assert mask is not None
                out = np.concatenate([out[0, :5], out[1, :3]])
            results.append(out)
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", IMAGES)
def test_more_padding_changes_no_valid_pixel(name):
    keras.utils.set_random_seed(0)
    layer, results = IMAGES[name](), []
    image = RNG.normal(size=(2, 4, 3, 6)).astype("float32")
    for padding in (1, 2, 4):
        widths = ((0, 0), (0, padding), (0, padding), (0, 0))
        x = np.pad(image, widths, constant_values=GARBAGE)
        out, mask = outputs(layer, x, False)
        assert mask is not None
        results.append(out[:, :4, :3])
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-6)
    # And with all pixels valid a mask changes nothing.
    plain = keras.ops.convert_to_numpy(layer(image))
    np.testing.assert_allclose(results[0], plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", REFUSE)
def test_a_mask_that_could_only_be_ignored_is_refused(name):
    x = RNG.normal(size=(1, 4, 4, 3)).astype("float32")
    with pytest.raises(ValueError, match="must not be masked"):
        REFUSE[name]()(Marked()(x))


def test_a_sequence_without_a_valid_step_is_finite():
    x = np.full((1, 4, 6), GARBAGE, "float32")
    for make in (SEQUENCES["SqueezeExcitation"], lambda: layers.Snake()):
        assert np.isfinite(outputs(make(), x, False)[0]).all()
