"""Class activation maps without a class."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal.select import Selector
from keras_strategies.explain._cams.features import features_of, site
from keras_strategies.explain._cams.find_layer import any_output
from keras_strategies.explain._cams.maps import eigen_cam_map
from keras_strategies.explain._engine.explained import Explained


def eigen_cam(
    model: keras.Model,
    inputs: Any,
    *,
    layer: Selector | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Maps of what the feature maps have in common, without class or gradient.

    Shows what a network looks at, not why it says a class: the first principal
    component of the features. It needs no gradient, and works for any output; for a
    class take `grad_cam`.

        A = U S V^T of (positions x channels)        map = relu(A v_1)

    Source: Muhammad and Yeasin (2020), "Eigen-CAM: Class Activation Map using Principal
    Components", https://arxiv.org/abs/2008.00299. There the sign of the vector is that
    of the library; here the projections add up to at least 0.

    Args:
        model: A model with a convolution, as for `grad_cam`.
        inputs: Its inputs, samples first.
        layer: The layer whose feature maps are taken. Defaults to `None`, the one that
            `find_cam_layer` names.
        batch_size: Samples that the model is run on at once. Defaults to `32`.

    Returns:
        float32 array `(samples, height, width)` in the size of the inputs, at least 0,
        not scaled.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model has no convolution before its last layer, or `layer`
            does not select one layer with feature maps.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ])
    x = np.random.default_rng(0).random((5, 8, 8, 1))
    explain.eigen_cam(model, x).shape  # (5, 8, 8)
    ```
    """
    explained = Explained(
        model, inputs, any_output(model), logits=False, batch_size=batch_size
    )
    where = site(explained, layer)
    return where.resized(eigen_cam_map(features_of(where)))
