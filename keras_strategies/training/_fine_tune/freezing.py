"""Freezing and unfreezing of layers, by name, in place."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal import freezing as primitive
from keras_strategies._internal.select import (
    Selection,
    Selector,
    Target,
    layer_targets,
)


def freeze(
    model: keras.Model,
    include: Selector | None = None,
    exclude: Selector | None = None,
) -> keras.Model:
    """Freezes layers in place: nothing of them moves in `fit` any more.

    `trainable = False` alone needs another `compile`, which is easily forgotten:
    TensorFlow then goes on training, JAX raises an error. And it holds weights and the
    statistics of BatchNormalization, while Dropout goes on drawing. Here weights,
    statistics and the states of random generators stay bit for bit, frozen layers are
    called at inference, and a compiled model needs no other `compile`: its optimizer
    keeps the moments of all weights, also those of the frozen ones for when they
    train again. It also works between two epochs, in a callback.

    The flags are saved with the model; that frozen Dropout does not draw is not: call
    `freeze` again on a loaded model. A layer that draws or counts at inference as well
    goes on doing so.

    Args:
        model: The model that is trained, compiled or not. Its layers must be built.
            For a part of a larger model give the larger one and `include`: a compiled
            model does not see what is done to a part of it.
        include: Layers to freeze, with all that is in them: a regular expression that
            is searched in their paths (such as `"^backbone/block_1"`), a layer, a
            function of a layer, or a list of these. Defaults to `None`, all layers.
        exclude: Layers of those that are left as they are. Defaults to `None`.

    Returns:
        The model itself.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built or an entry matches no layer. The model
            is as before then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([
        keras.Input((4,)),
        keras.layers.Dense(8, name="body"),
        keras.layers.Dense(1, name="head"),
    ])
    model.compile("adam", loss="mse")
    x, y = np.ones((8, 4)), np.ones((8, 1))
    model.fit(x, y, verbose=0)
    training.freeze(model, "^body")  # the next fit trains the head only
    model.fit(x, y, verbose=0)
    print([v.path for v in model.trainable_variables])
    # ['sequential/head/kernel', 'sequential/head/bias']
    ```
    """
    primitive.freeze_layers(model, _chosen(model, include, exclude))
    return model


def unfreeze(
    model: keras.Model,
    include: Selector | None = None,
    exclude: Selector | None = None,
) -> keras.Model:
    """Lets frozen layers train again, in place: undoes `freeze` and `trainable=False`.

    Holds for a compiled model without another `compile`. Layers around a chosen layer
    that were frozen as a whole become trainable where needed, and only there: the
    layers beside it stay frozen. To leave the statistics of BatchNormalization as
    they are, exclude those layers:

    ```
    is_norm = lambda layer: isinstance(layer, keras.layers.BatchNormalization)
    training.unfreeze(model, "^backbone", exclude=is_norm)
    ```

    Args:
        model: The model that is trained, as for `freeze`.
        include: Layers to unfreeze, as for `freeze`. Defaults to `None`, all layers.
        exclude: Layers of those that stay as they are. Defaults to `None`.

    Returns:
        The model itself.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built or an entry matches no layer. The model
            is as before then.

    Example:

    ```python
    import keras
    from keras_strategies import training

    model = keras.Sequential([
        keras.Input((4,)),
        keras.layers.Dense(8, name="body"),
        keras.layers.Dense(1, name="head"),
    ])
    training.freeze(model)
    training.unfreeze(model, "^head")
    print([v.path for v in model.trainable_variables])
    # ['sequential/head/kernel', 'sequential/head/bias']
    ```
    """
    primitive.unfreeze_layers(model, _chosen(model, include, exclude))
    return model


def _chosen(model, include, exclude):
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    primitive.check_built(model)
    selection = Selection(include, exclude)
    targets = layer_targets(model)
    if selection.selects_all:
        return [model, *(target.item for target in targets)]
    # The model itself can be named too, as a layer or by a function of layers.
    if include is None:
        targets = [Target("", model, model), *targets]
    return [target.item for target in selection.choose(targets)]
