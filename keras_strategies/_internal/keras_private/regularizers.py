"""Where attention layers keep the regularizers of the layers that they make."""

import keras


def holds_regularizers(layer):
    """Whether `layer` makes its kernels in layers inside it and saves for them.

    Of such a layer the config has one regularizer for all kernels inside.
    """
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    return isinstance(layer, kinds)


def set_held_regularizer(layer, name, regularizer):
    """Sets what `holds_regularizers` layers save as `"kernel_regularizer"` or so.

    MultiHeadAttention keeps it under a name with an underscore. Keras 3.12 to 3.15.
    """
    if isinstance(layer, keras.layers.MultiHeadAttention):
        name = f"_{name}"
    if not hasattr(layer, name):
        raise AttributeError(f"{type(layer).__name__} of this Keras has no {name!r}.")
    setattr(layer, name, regularizer)
