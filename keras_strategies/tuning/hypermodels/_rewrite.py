"""A copy of a model with other activations, initializers, penalties or layers."""

import dataclasses

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.copying import (
    compile_objects,
    copy_variables,
    own_objects,
)
from keras_strategies._internal.keras_private import operation_calls
from keras_strategies._internal.walking import all_layers
from keras_strategies.augmentation import RandomAffine

_DROPOUTS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.PReLU,
)
_NOT_HIDDEN = ("linear", "softmax", "sigmoid", "hard_sigmoid")
_KERNELS = ("kernel", "depthwise", "pointwise")


@dataclasses.dataclass
class Changes:
    """What `rewrite` changes; `None` leaves that as it is.

    Attributes:
        activation: Name of the activation of all hidden layers.
        initializer: Name of the initializer of all kernels.
        penalty: `(l1, l2)` on all kernels.
        dropout: Rate of all dropout layers, or of new ones behind hidden activations.
        batch_normalization: `"off"`, `"before"` or `"after"` hidden activations.
        augmentation: Arguments of a `RandomAffine` on the images.
    """

    activation: str | None = None
    initializer: str | None = None
    penalty: tuple | None = None
    dropout: float | None = None
    batch_normalization: str | None = None
    augmentation: dict | None = None

    def any(self):
        return any(value is not None for value in vars(self).values())


def check_rewritable(model, changes):
    """Fails early where `rewrite` could not do what `changes` ask for."""
    if isinstance(model, keras.Sequential) and not model.built:
        checks.fail(
            "`model` must be built",
            fix="Begin it with keras.Input, or call it once.",
            model=model.name,
        )
    if changes.any() and operation_calls(model) is None:
        checks.fail(
            "The layers of a subclassed model cannot be changed from outside",
            fix="Pass None for all but optimizer, learning_rate, schedule, batch_size "
            "and epochs, or give a Sequential or Functional model.",
            model=model.name,
        )
    if changes.augmentation is not None and image_input(model) is None:
        checks.fail(
            "`augmentation` needs a model with one image input",
            fix="Pass augmentation=None.",
            inputs=[tuple(tensor.shape) for tensor in model.inputs],
        )


def image_input(model):
    """Position of the only input of images with channels, or `None`."""
    if operation_calls(model) is None:
        return None
    axis = -1 if keras.config.image_data_format() == "channels_last" else 1
    found = [
        number
        for number, tensor in enumerate(model.inputs)
        if len(tensor.shape) == 4 and tensor.shape[axis] in (1, 3, 4)
    ]
    return found[0] if len(found) == 1 else None


def rewrite(model, changes, keep_weights=False):
    """A new, uncompiled model like `model`, with `changes`.

    Its weights are new, but for frozen layers and layers that only hold data (such as
    `Normalization`); with `keep_weights` all are those of `model`.
    """
    if operation_calls(model) is None:
        copy = type(model).from_config(model.get_config())
        return _with_weights(model, copy) if keep_weights else copy
    graph = model
    if isinstance(model, keras.Sequential):  # layers can be put into a graph only
        graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    rewriter = _Rewriter(graph, changes)
    inputs = [
        keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name)
        for t in graph.inputs
    ]
    rewriter.start(inputs)
    with keras.saving.custom_object_scope(compile_objects(model)):
        copy = keras.models.clone_model(
            graph,
            input_tensors=keras.tree.pack_sequence_as(graph.input, inputs),
            clone_function=rewriter.copy,
            call_function=rewriter.call,
        )
    for old, new in rewriter.copies:
        _fill(old, new, keep_weights)
    return copy


def _with_weights(model, copy):
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if not copy.built:
        if not shapes:
            checks.fail(
                "keep_weights=True needs a subclassed model that Keras can build again",
                model=model.name,
            )
        copy.build(shapes[0] if len(shapes) == 1 else shapes)
    copy.set_weights(model.get_weights())
    return copy


def _fill(old, new, keep_weights):
    if type(old) is not type(new) or not isinstance(old, keras.layers.Layer):
        return
    pairs = zip([old, *all_layers(old)], [new, *all_layers(new)], strict=True)
    for one, other in pairs:
        holds_data = not one.trainable_weights and not isinstance(
            one, keras.layers.BatchNormalization
        )
        if keep_weights or not one.trainable or holds_data:
            copy_variables(one, other)


class _Rewriter:
    """Copies each layer once, and calls it with what comes before and behind it."""

    def __init__(self, model, changes):
        self.changes = changes
        self.copies = []
        calls = operation_calls(model)
        self.model, self.tail = model, _tail(calls)
        layers = [op for op, _ in calls if isinstance(op, keras.layers.Layer)]
        self.names = {layer.name for layer in layers}
        self.has_dropout = any(isinstance(layer, _DROPOUTS) for layer in layers)
        self.plans = {}  # id(copy) -> (copy, name of the activation that was taken out)
        self.added = {}
        self.image = self.augmented = None

    def start(self, inputs):
        if self.changes.augmentation is not None:
            self.image = inputs[image_input(self.model)]
            layer = RandomAffine(
                name=self._name("augmentation"), **self.changes.augmentation
            )
            self.augmented = layer(self.image)

    def copy(self, layer):
        if not isinstance(layer, keras.layers.Layer):
            return type(layer).from_config(layer.get_config())
        config = layer.get_config()
        hidden = layer not in self.tail and not isinstance(layer, keras.Model)
        point = hidden and _activation(layer)
        if hidden and isinstance(layer, _DROPOUTS) and self.changes.dropout is not None:
            config["rate"] = self.changes.dropout
        if not isinstance(layer, keras.Model):
            self._set_kernels(config)
        cls, taken = type(layer), None
        if point and self.changes.activation is not None:
            if isinstance(layer, _ACTIVATIONS):
                cls = keras.layers.Activation
                config = {k: config[k] for k in ("name", "dtype", "trainable")}
            config["activation"] = self.changes.activation
        before = self.changes.batch_normalization == "before"
        if point and before and not isinstance(layer, _ACTIVATIONS):
            taken, config["activation"] = config["activation"], "linear"
        trust = {"safe_mode": False} if cls is keras.layers.Lambda else {}
        with keras.saving.custom_object_scope(own_objects(layer)):
            new = cls.from_config(config, **trust)
        drop = isinstance(layer, keras.layers.BatchNormalization) and hidden
        drop = drop and self.changes.batch_normalization is not None
        if not drop:
            self.copies.append((layer, new))
        self.plans[id(new)] = (new, point, taken, drop)
        return new

    def call(self, layer, *args, **kwargs):
        if self.image is not None:
            args, kwargs = keras.tree.map_structure(
                lambda t: self.augmented if t is self.image else t, (args, kwargs)
            )
        _, point, taken, drop = self.plans.get(id(layer), (None, False, None, False))
        if drop:
            return args[0]
        where = self.changes.batch_normalization
        separate = isinstance(layer, _ACTIVATIONS)
        if point and where == "before" and separate:
            args = (self._add(layer, "batch_normalization", _norm)(args[0]), *args[1:])
        x = layer(*args, **kwargs)
        if not point:
            return x
        if where == "before" and not separate:
            x = self._add(layer, "batch_normalization", _norm)(x)
            x = self._add(layer, "activation", keras.layers.Activation, taken)(x)
        if where == "after":
            x = self._add(layer, "batch_normalization", _norm)(x)
        if self.changes.dropout is not None and not self.has_dropout:
            x = self._add(layer, "dropout", keras.layers.Dropout, self.changes.dropout)(
                x
            )
        return x

    def _add(self, layer, what, make, *arguments):
        """The layer that is added to `layer`, the same for each of its calls."""
        key = (id(layer), what)
        if key not in self.added:
            name = self._name(f"{layer.name}_{what}")
            self.added[key] = make(*arguments, name=name)
        return self.added[key]

    def _name(self, name):
        while name in self.names:
            name += "_added"
        self.names.add(name)
        return name

    def _set_kernels(self, config):
        for kernel in _KERNELS:
            if self.changes.initializer is not None:
                key = f"{kernel}_initializer"
                if key in config:
                    config[key] = self.changes.initializer
            if self.changes.penalty is not None:
                key = f"{kernel}_regularizer"
                if key in config:
                    config[key] = _regularizer(*self.changes.penalty)


def _norm(name):
    axis = -1 if keras.config.image_data_format() == "channels_last" else 1
    # The axis of channels of images; features are last in everything else.
    return _ChannelNorm(axis, name)


class _ChannelNorm:
    """Makes a BatchNormalization over the right axis when it sees its input."""

    def __init__(self, axis, name):
        self.axis, self.name, self.layer = axis, name, None

    def __call__(self, x):
        if self.layer is None:
            axis = self.axis if len(x.shape) == 4 else -1
            self.layer = keras.layers.BatchNormalization(axis=axis, name=self.name)
        return self.layer(x)


def _regularizer(l1, l2):
    if not l1 and not l2:
        return None
    return keras.regularizers.serialize(keras.regularizers.L1L2(l1 or 0.0, l2 or 0.0))


def _activation(layer):
    """Whether a layer is a nonlinearity: one of its own, or built into a kernel.

    Gates and distributions (sigmoid, softmax) are none: another function would change
    what they mean.
    """
    has_kernel = hasattr(layer, "kernel") or hasattr(layer, "pointwise_kernel")
    if isinstance(layer, keras.layers.RNN):
        return False
    if not isinstance(layer, _ACTIVATIONS) and not has_kernel:
        return False
    if isinstance(layer, _ACTIVATIONS) and not hasattr(layer, "activation"):
        return True
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    return activation is not None and name not in _NOT_HIDDEN


def _tail(calls):
    """The layers from the last kernels on to the outputs: the heads of a model."""
    parents, used = {}, set()
    for operation, above in calls:
        parents.setdefault(id(operation), (operation, []))[1].extend(above)
        used.update(id(item) for item in above)
    waiting = [op for op, _ in parents.values() if id(op) not in used]
    tail = []
    while waiting:
        operation = waiting.pop()
        if any(operation is item for item in tail):
            continue
        tail.append(operation)
        if not _ends_head(operation):
            waiting.extend(parents.get(id(operation), (None, []))[1])
    return _Identities(tail)


def _ends_head(operation):
    if isinstance(operation, keras.layers.InputLayer | keras.Model):
        return True
    return isinstance(operation, keras.layers.Layer) and bool(
        operation.weights or hasattr(operation, "kernel")
    )


class _Identities:
    """Objects compared by identity."""

    def __init__(self, items):
        self.items = items

    def __contains__(self, item):
        return any(item is other for other in self.items)
