"""Class activation maps weighted by gradients."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.select import Selector
from keras_strategies.explain._cams import maps
from keras_strategies.explain._cams.features import features_and_gradients, site
from keras_strategies.explain._engine.explained import Explained


def grad_cam(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    layer: Selector | None = None,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of where an image speaks for a class: Grad-CAM.

    The standard first look at a convolutional network. Feature maps of the last
    convolution are added up, each weighted by the mean of its gradients, so that the
    map is coarse, says what speaks *for* the class, and depends on the weights.

        w_k = mean_ij dy / dA_ijk        map = relu(sum_k w_k A_k)

    The model may be Functional, Sequential, subclassed, or have the layer in a nested
    model. It is run once, at inference, and differentiated down to the layer only.

    Source: Selvaraju et al. (2017), "Grad-CAM: Visual Explanations from Deep Networks
    via Gradient-based Localization", https://arxiv.org/abs/1610.02391.

    Args:
        model: A model with a convolution, over images `(samples, height, width,
            channels)`, volumes, or sequences of vectors.
        inputs: Its inputs, samples first; for several inputs in their structure, one
            of which is an image.
        target: What is explained: an index of the output, an array with an index for
            each sample, `Region`, `Similarity`, a function of the output that returns
            `(samples,)`, or `{name: target}` for one of several outputs. Defaults to
            `None`, the highest output of each sample.
        layer: The layer whose feature maps are taken: its path, its name, a regular
            expression or the layer. Defaults to `None`, the one that `find_cam_layer`
            names.
        logits: Whether the values before a last softmax or sigmoid are explained, not
            the probabilities. Defaults to `True`: a probability near 1 hardly has a
            gradient, and falls if another class rises.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, height, width)` in the size of the inputs, at least 0,
        not scaled.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model has no convolution before its last layer, if `layer`
            does not select one layer with feature maps that is called once, if
            `target` is out of range, or if the output has no gradient.

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
    explain.grad_cam(model, x, target=2).shape  # (5, 8, 8)
    ```
    """
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    return _weighted(explained, layer, maps.grad_cam_map)


def grad_cam_plus_plus(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    layer: Selector | None = None,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of where an image speaks for a class, all of its objects: Grad-CAM++.

    Grad-CAM's mean makes small objects weak where there are several. Here each
    position counts by how much it contributes, and only positive gradients count.

        alpha_ijk = g_ijk^2 / (2 g_ijk^2 + sum_ab A_abk g_ijk^3)
        w_k = sum_ij alpha_ijk relu(g_ijk)        map = relu(sum_k w_k A_k)

    with the gradients g = dy / dA. These are the formulas of the paper, but for the
    factor exp(y) of the weights, which is one number for a sample and overflows. The
    authors' code, and tf-keras-vis after it, also divides each alpha by its sum over
    the positions, which the paper does not: their maps weigh the channels otherwise.

    Source: Chattopadhyay et al. (2018), "Grad-CAM++: Improved Visual Explanations for
    Deep Convolutional Networks", https://arxiv.org/abs/1710.11063, equations 10 and 19.

    Args:
        model: A model with a convolution, as for `grad_cam`.
        inputs: Its inputs, samples first.
        target: What is explained, as for `grad_cam`. Defaults to `None`, the highest
            output of each sample.
        layer: The layer whose feature maps are taken. Defaults to `None`, the one that
            `find_cam_layer` names.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, height, width)` in the size of the inputs, at least 0,
        not scaled.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: As for `grad_cam`.

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
    explain.grad_cam_plus_plus(model, x).shape  # (5, 8, 8)
    ```
    """
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    return _weighted(explained, layer, maps.grad_cam_plus_plus_map)


def layer_cam(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    layer: Selector | None = None,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of where an image speaks for a class, from any layer: LayerCAM.

    Grad-CAM's one weight for a channel holds only near the output. Here each position
    has its own, so that finer maps of earlier layers are usable too.

        map = relu(sum_k relu(dy / dA_k) A_k)

    Source: Jiang et al. (2021), "LayerCAM: Exploring Hierarchical Class Activation Maps
    for Localization", https://doi.org/10.1109/TIP.2021.3089943.

    Args:
        model: A model with a convolution, as for `grad_cam`.
        inputs: Its inputs, samples first.
        target: What is explained, as for `grad_cam`. Defaults to `None`, the highest
            output of each sample.
        layer: The layer whose feature maps are taken. Defaults to `None`, the one that
            `find_cam_layer` names.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, height, width)` in the size of the inputs, at least 0,
        not scaled.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: As for `grad_cam`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu", name="first"),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((5, 8, 8, 1))
    explain.layer_cam(model, x, layer="first").shape  # (5, 8, 8)
    ```
    """
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    return _weighted(explained, layer, maps.layer_cam_map)


def _weighted(
    explained: Explained,
    layer: Selector | None,
    formula: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    where = site(explained, layer)
    return where.resized(formula(*features_and_gradients(where)))
