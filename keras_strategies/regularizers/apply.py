"""Regularizers for a model that exists."""

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.walking import all_layers

# Attributes with a weight, and those with its regularizer that a config is made of.
_KERNELS = (
    ("kernel", "kernel_regularizer"),
    ("kernel", "depthwise_regularizer"),
    ("depthwise_kernel", "depthwise_regularizer"),
    ("pointwise_kernel", "pointwise_regularizer"),
    ("recurrent_kernel", "recurrent_regularizer"),
)
_BIASES = (("bias", "bias_regularizer"),)
# They call the layers inside them once a time step, where losses get lost.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


def apply(model, kernel=None, bias=None, activity=None, only=None):
    """Adds regularizers to an existing model, or replaces or removes them, in place.

    Keras takes regularizers when layers are constructed; a model from
    `keras.applications` or from a file has none, and assigning
    `layer.kernel_regularizer` afterwards does nothing. This sets them so that they
    count: the weights and the optimizer keep their values, a model that is compiled
    stays compiled and its next `fit` has the penalties in its loss, and a saved
    model has them in its file.

    `kernel` is for the kernels of Dense, EinsumDense, convolutional (depthwise and
    pointwise ones too), recurrent and attention layers and of custom layers that
    name them as Keras does, in nested models and wrappers too. `bias` is for their
    biases, `activity` for the outputs of these layers (of a layer that runs over
    time steps as a whole). Weights of layers that are frozen are not penalized by
    Keras until they are unfrozen. `SimpleRNN` of Keras forgets its
    `activity_regularizer` when it is loaded: apply it again there.

    Args:
        model: A built `keras.Model` of any kind, compiled or not.
        kernel: A regularizer, or its name as Keras takes it (`"l2"`), for kernels.
            `False` removes what is there, `None` leaves it. Defaults to `None`.
        bias: The same for biases. Defaults to `None`.
        activity: The same for outputs. Defaults to `None`.
        only: A regular expression that is searched in the path of a weight (such as
            `"block_1/dense/kernel"`), or for `activity` of a layer. Defaults to
            `None`, everywhere.

    Returns:
        `model` itself.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built, if nothing is given, if there is no
            place for something given or `only` matches none, or if `only` matches a
            part of the kernels of a multi-head attention, whose config has one
            regularizer for all. The model is unchanged then.

    Example:

    ```python
    import keras
    from keras_strategies import regularizers

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, name="head"),
    ])
    model.compile("adam", "mse")
    regularizers.apply(model, kernel=keras.regularizers.L2(1e-4))
    regularizers.apply(model, kernel=False, only="head")
    print(len(model.losses))  # 1
    ```
    """
    checks.instance("model", model, keras.Model)
    wanted = checks.pattern("only", only, optional=True)
    given = {"kernel": kernel, "bias": bias, "activity": activity}
    given = {name: item for name, item in given.items() if item is not None}
    if not given:
        checks.fail(
            "One of `kernel`, `bias` and `activity` must be given",
            fix="`False` removes a regularizer.",
            kernel=kernel,
            bias=bias,
            activity=activity,
        )
    _check_built(model)
    changes = []
    for name, item in given.items():
        changes += _changes(model, name, _regularizer(name, item), wanted, only)
    for change in changes:
        change()
    _trace_again(model)
    return model


def _regularizer(name, item):
    if item is False:
        return None
    if item is True or not (isinstance(item, str | dict) or callable(item)):
        checks.fail(
            f"`{name}` must be a regularizer, its name, False or None",
            error=TypeError,
            **{name: item},
        )
    return keras.regularizers.get(item)


def _check_built(model):
    attributes = {attribute for _, attribute in _KERNELS + _BIASES}
    unbuilt = [
        layer.name
        for layer in all_layers(model)
        if not layer.built and any(hasattr(layer, name) for name in attributes)
    ]
    if unbuilt or not model.built:
        checks.fail(
            "`model` must be built: its weights do not exist yet",
            fix="Call the model on one batch, or `model.build(input_shape)`, first.",
            model=model.name,
            unbuilt_layers=unbuilt,
        )


def _places(model, name):
    """`[(layer, attribute, weight or None, path)]` where the regularizer can stand."""
    layers = [model, *all_layers(model)]
    if name == "activity":
        return [
            (layer, "activity_regularizer", None, layer.path)
            for layer in _output_layers(layers)
        ]
    pairs = _KERNELS if name == "kernel" else _BIASES
    return [
        (layer, attribute, weight, weight.path)
        for layer in layers
        for attribute, weight in _weights(layer, pairs)
    ]


def _output_layers(layers):
    """Layers that have kernels, or around those whose losses stay in a loop."""
    loops = [layer for layer in layers if isinstance(layer, _LOOPS)]
    inside = {id(layer) for loop in loops for layer in all_layers(loop)}
    return [
        layer
        for layer in layers
        if id(layer) not in inside
        and (isinstance(layer, _LOOPS) or _weights(layer, _KERNELS))
    ]


def _weights(layer, pairs):
    """`[(attribute with the regularizer, weight)]` that the layer itself holds."""
    return [
        (attribute, getattr(layer, name))
        for name, attribute in pairs
        if hasattr(layer, attribute)
        and isinstance(getattr(layer, name, None), keras.Variable)
    ]


def _changes(model, name, regularizer, wanted, only):
    """What to call to set the regularizer, after all checks."""
    places = _places(model, name)
    chosen = [place for place in places if wanted.search(place[3])]
    if not chosen:
        checks.fail(
            f"`only` must match a place for `{name}`"
            if places
            else f"`model` must have a layer with a place for `{name}`",
            fix="`only` is searched in these paths." if places else "",
            only=only,
            paths=[path for _, _, _, path in places],
        )
    changes = [lambda place=place: _set(*place[:3], regularizer) for place in chosen]
    places = {id(place[0]) for place in places}
    chosen = {id(place[0]) for place in chosen}
    for holder in all_layers(model):
        if not keras_private.holds_regularizers(holder):
            continue
        inside = {id(layer) for layer in all_layers(holder)}
        if not inside & chosen:
            continue
        if inside & places - chosen:
            checks.fail(
                f"`only` must match all places for `{name}` in an attention layer, "
                "or none",
                fix="Its config has one regularizer for all of them.",
                only=only,
                layer=holder.path,
            )
        changes.append(
            lambda holder=holder: keras_private.set_held_regularizer(
                holder, f"{name}_regularizer", regularizer
            )
        )
    return changes


def _set(layer, attribute, weight, regularizer):
    setattr(layer, attribute, regularizer)
    if weight is not None:
        weight.regularizer = regularizer


def _trace_again(model):
    """Steps that were traced do not notice."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)
    if getattr(model, "test_function", None) is not None:
        model.make_test_function(force=True)
