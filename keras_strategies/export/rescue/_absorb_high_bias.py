"""`absorb_high_bias`: constant parts of activations moved into the next bias."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export.rescue import _kernels, _layer_data
from keras_strategies.export.rescue._flat_copy import flat_copy
from keras_strategies.export.rescue._links import Link, find_links

_LAYERS = keras.layers
# Layers that add zeros, which a constant would have to be added to.
_ADDS_ZEROS = (_LAYERS.ZeroPadding1D, _LAYERS.ZeroPadding2D)


def absorb_high_bias(model: keras.Model, data: Any) -> keras.Model:
    """Returns a copy of a model whose activations start at 0 and not far above.

    Use it after `equalize_layers`, which can leave channels with a large bias: their
    activations lie between, say, 90 and 100, so that a range from 0 to 100 rounds them
    to a few values. For a pair of layers with relu between them, `c = max(0, min z)`
    over the data of each channel's value `z` before relu is subtracted from the bias
    of the first and added, as `w2 c`, to that of the second:

        relu(z - c) + c = relu(z)    for z >= c

    which holds for all of the data. Pairs with zero padding between them are left as
    they are, as the zeros would have to become `-c`. (The paper takes `beta - 3 gamma`
    of BatchNormalization for `min z`, which needs no data and is wrong for 1 value in
    740.)

    Reference: Nagel et al., "Data-free quantization through weight equalization and
    bias correction" (2019), section 4.1.3, https://arxiv.org/abs/1906.04721.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        data: Inputs as in use, some hundred: an array, or a list or dict of arrays.

    Returns:
        A new, uncompiled `keras.Model`, with the changes of `fold_batch_norm`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model cannot be rebuilt, or `data` does not fit.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(4, activation="relu", bias_initializer="ones"),
        keras.layers.Dense(2),
    ])
    model = export.absorb_high_bias(model, np.random.rand(64, 8))
    ```
    """
    checks.instance("model", model, keras.Model)
    _layer_data.check_data(model, data)
    copy = flat_copy(model)
    for link in find_links(copy):
        if _has_relu(link) and not _meets_zeros(link):
            _absorb(copy, link, data)
    return copy


def _absorb(model, link: Link, data) -> None:
    first, second = link.first, link.second
    inputs = _layer_data.inputs_of(model, first, data)
    values = _layer_data.pre_activations(first, inputs)
    constant = np.maximum(values.reshape(-1, values.shape[-1]).min(axis=0), 0.0)
    if not constant.any():
        return
    kernel, bias = _kernels.kernel_of(second), _kernels.bias_of(second)
    shift = _kernels.scale_inputs(second, kernel, link.expand(constant))
    _kernels.assign(
        first, _kernels.kernel_of(first), _kernels.bias_of(first) - constant
    )
    if isinstance(second, _kernels.DEPTHWISE):
        # Each output has one input channel.
        added = shift.sum(axis=tuple(range(shift.ndim - 2))).reshape(-1)
    else:
        added = _kernels.by_output(second, shift).sum(axis=0)
    _kernels.assign(second, kernel, bias + added)


def _has_relu(link):
    """Whether the one nonlinearity of a link is relu, right behind the first layer."""
    kinds = [link.first.activation, *(_function(layer) for layer in link.between)]
    nonlinear = [f for f in kinds if f not in (None, keras.activations.linear)]
    return nonlinear == [keras.activations.relu]


def _function(layer):
    if isinstance(layer, _LAYERS.Activation):
        return layer.activation
    if isinstance(layer, _LAYERS.LeakyReLU):
        return keras.activations.leaky_relu
    if isinstance(layer, _LAYERS.ReLU):
        plain = not layer.negative_slope
        return keras.activations.relu if plain else keras.activations.leaky_relu
    return None


def _meets_zeros(link):
    if any(isinstance(layer, _ADDS_ZEROS) for layer in link.between):
        return True
    # Windows of a padded pooling leave the padding out of means and maxima.
    size = getattr(link.second, "kernel_size", (1,))
    return max(size) > 1 and link.second.padding != "valid"
