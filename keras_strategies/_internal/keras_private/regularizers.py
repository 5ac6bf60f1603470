"""Regularizers of attention layers, and losses that layers add."""

import contextlib

import keras


def has_inner_regularizers(layer):
    """Whether `layer` makes its kernels in layers inside it and saves for them.

    Of such a layer the config has one regularizer for all kernels inside.
    """
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    return isinstance(layer, kinds)


def set_inner_regularizer(layer, name, regularizer):
    """Sets what `has_inner_regularizers` layers save as `"kernel_regularizer"` etc.

    MultiHeadAttention keeps it under a name with an underscore. Keras 3.12 to 3.15.
    """
    if isinstance(layer, keras.layers.MultiHeadAttention):
        name = f"_{name}"
    if not hasattr(layer, name):
        raise AttributeError(f"{type(layer).__name__} of this Keras has no {name!r}.")
    setattr(layer, name, regularizer)


def additional_loss(model, loss):
    """`loss` the way Keras adds losses of layers to that of `compile`.

    On several replicas of tf.distribute it is divided by their number. Only a method
    with an underscore knows. Keras 3.12 to 3.15.
    """
    return model._aggregate_additional_loss(loss)


@contextlib.contextmanager
def preserved_losses(model):
    """Calls of layers of `model` inside the block leave `model.losses` as it is.

    A call from outside forgets the losses of the activations of the call before.
    They are in lists with underscores. Keras 3.12 to 3.15.
    """
    layers = list(model._flatten_layers(include_self=True, recursive=True))
    before = [(list(layer._losses), set(layer._loss_ids)) for layer in layers]
    try:
        yield
    finally:
        for layer, (losses, ids) in zip(layers, before, strict=True):
            layer._losses[:] = losses
            layer._loss_ids.clear()
            layer._loss_ids.update(ids)
