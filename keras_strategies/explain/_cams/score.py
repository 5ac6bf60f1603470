"""Class activation maps weighted by scores of masked inputs."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selector
from keras_strategies.explain._cams.features import Site, features_of, site
from keras_strategies.explain._cams.maps import normalized_channels
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.positions import over_channels


def score_cam(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    layer: Selector | None = None,
    max_channels: int | None = None,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of where an image speaks for a class, without gradients: Score-CAM.

    Each feature map, scaled to [0, 1] and to the size of the image, masks the image;
    the score of the masked image is the weight of the map. Use it where gradients are
    noisy or missing. It costs one run of the model for each channel of the layer.

        s_k = f(x * H_k)        w = softmax(s)        map = relu(sum_k w_k A_k)

    A channel that is constant masks everything and gets the weight 0.

    Source: Wang et al. (2020), "Score-CAM: Score-Weighted Visual Explanations for
    Convolutional Neural Networks", https://arxiv.org/abs/1910.01279.

    Args:
        model: A model with a convolution, as for `grad_cam`.
        inputs: Its inputs, samples first. A masked pixel becomes 0.
        target: What is explained, as for `grad_cam`. Defaults to `None`, the highest
            output of each sample.
        layer: The layer whose feature maps are taken. Defaults to `None`, the one that
            `find_cam_layer` names.
        max_channels: How many channels are tried, those that vary most over the
            positions of each image, at least 1. Defaults to `None`, all.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, height, width)` in the size of the inputs, at least 0,
        not scaled.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: As for `grad_cam`, but a gradient is not needed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((5, 8, 8, 1))
    explain.score_cam(model, x, target=0).shape  # (5, 8, 8)
    ```
    """
    checks.integer("max_channels", max_channels, low=1, optional=True)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    where = site(explained, layer)
    explained.fix_target()
    features = _most_varied(features_of(where), max_channels)
    masks = normalized_channels(features)
    weights = _weights(where, masks)
    maps = np.einsum("n...k,nk->n...", features, weights)
    return where.resized(np.maximum(maps, 0))


def _most_varied(features, count):
    """The channels of each sample that vary most over its positions."""
    channels = features.shape[-1]
    if count is None or count >= channels:
        return features
    flat = features.reshape(len(features), -1, channels)
    order = np.argsort(-flat.std(axis=1), axis=-1, kind="stable")[:, :count]
    chosen = np.take_along_axis(flat, order[:, None], axis=-1)
    return chosen.reshape(*features.shape[:-1], count)


def _weights(where: Site, masks: np.ndarray) -> np.ndarray:
    """The softmax over the channels of the scores of the masked samples."""
    from scipy.special import softmax

    explained, channels = where.explained, masks.shape[-1]
    inputs = explained.inputs.flat

    def make(positions):
        rows, columns = np.divmod(positions, channels)
        flat = [array[rows] for array in inputs]
        mask = where.resized(masks[rows, ..., columns])
        mask = over_channels(mask, where.image)
        flat[where.position] = flat[where.position] * mask
        return flat, rows

    scores = explained.scores(explained.count * channels, make)
    scores = scores.reshape(-1, channels)
    # A constant channel says nothing about positions.
    empty: np.ndarray = ~masks.reshape(len(masks), -1, channels).any(axis=1)
    weights = np.zeros_like(scores)
    for row, (values, is_empty) in enumerate(zip(scores, empty, strict=True)):
        if not is_empty.all():
            weights[row, ~is_empty] = softmax(values[~is_empty])
    return weights
