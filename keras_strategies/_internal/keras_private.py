"""The only file that may touch `keras.src` or underscore names of Keras.

Each use says why no public name serves, which Keras versions were read or run
with it, and is covered by `tests/_internal/test_keras_private.py`.
"""

from keras.src.layers.preprocessing.image_preprocessing.base_image_preprocessing_layer import (  # noqa: E501
    BaseImagePreprocessingLayer,
)

__all__ = ["BaseImagePreprocessingLayer", "flatten_layers"]

# BaseImagePreprocessingLayer: the base of Keras's Random* layers. Not exported,
# yet the only way to a layer that runs in `tf.data.map` on every backend and
# takes masks and boxes. Keras 3.12 to 3.15.


def flatten_layers(model):
    """Every layer below `model` once, containers and wrapped layers included.

    `model.layers` stops at nested models and does not see layers kept as
    attributes of a subclassed layer or inside wrappers. Keras 3.12 to 3.15.
    """
    return model._flatten_layers(include_self=False, recursive=True)
