"""Which layer class activation maps are made of."""

from typing import Any

import keras

from keras_strategies.explain._cams.features import site
from keras_strategies.explain._engine.explained import Explained


def find_cam_layer(model: keras.Model, inputs: Any) -> str:
    """Returns the path of the layer that class activation maps take by themselves.

    It is the last layer, nested models included, that makes feature maps with more
    than one position behind a convolution, and that all which the outputs see of the
    image passes: no single one of several branches. Pooling, padding and dropout do
    not count.
    Give its path, or that of an earlier and finer one, as `layer` of `grad_cam` and
    the others.

    Args:
        model: The model.
        inputs: Inputs of the model, of which one sample is used.

    Returns:
        The path of the layer, such as `"mobilenetv2/out_relu"`.

    Raises:
        ValueError: If the model has no convolution before its last layer; the message
            lists the layers that could be named.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu", name="features"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])
    explain.find_cam_layer(model, np.zeros((1, 8, 8, 1)))  # "features"
    ```
    """
    # No score is computed: which output would be explained does not matter.
    explained = Explained(model, inputs, any_output(model), logits=False)
    return site(explained, None).layer.path


def any_output(model: keras.Model) -> Any:
    names = list(getattr(model, "output_names", None) or [])
    return {names[0]: _whole} if len(names) > 1 else _whole


def _whole(output: Any) -> Any:
    """One function for all calls: programs are kept by it."""
    return output
