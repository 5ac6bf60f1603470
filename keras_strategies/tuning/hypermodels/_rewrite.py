"""Copies of a model with other activations, initializers, penalties or layers."""

import dataclasses

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    Rewriter,
    Step,
    check_rebuildable,
    clone_as,
    clone_layer,
    copy_variables,
    input_layers,
    is_open,
    parts,
    read,
    rebuild_reason,
)
from keras_strategies.augmentation import RandomAffine
from keras_strategies.tuning.hypermodels._images import channel_axis

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
    if isinstance(model, keras.Sequential) or changes.any():
        check_rebuildable(
            model,
            fix="Or pass None for all but optimizer, learning_rate, schedule, "
            "batch_size and epochs, which need no other layers.",
        )
    if changes.augmentation is not None and image_input(model) is None:
        checks.fail(
            "`augmentation` needs a model with one image input",
            fix="Pass augmentation=None.",
            inputs=[tuple(tensor.shape) for tensor in model.inputs],
        )


def image_input(model):
    """Position of the only input of images with channels, or `None`."""
    if not is_open(model):
        return None
    axis = channel_axis()
    images = [
        number
        for number, tensor in enumerate(model.inputs)
        if len(tensor.shape) == 4 and tensor.shape[axis] in (1, 3, 4)
    ]
    return images[0] if len(images) == 1 else None


def rewrite(model, changes, keep_weights=False):
    """A new, uncompiled model like `model`, with `changes`.

    Its weights are new, but for frozen layers and layers that only hold data (such as
    `Normalization`); with `keep_weights` all are those of `model`.
    """
    if rebuild_reason(model) is None:
        return _Rewriter(model, changes, keep_weights).rebuild()
    copy = clone_layer(model)
    return _with_weights(model, copy) if keep_weights else copy


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


class _Rewriter(Rewriter):
    """Copies each layer with changes, and adds layers before and after it."""

    def __init__(self, model, changes, keep_weights):
        super().__init__(model)
        self.changes, self.keep_weights = changes, keep_weights
        calls = read(model, open_nested=False).calls
        self.tail = _tail(calls)
        layers = [
            call.operation
            for call in calls
            if isinstance(call.operation, keras.layers.Layer)
        ]
        self.names = {layer.name for layer in layers}
        self.has_dropout = any(isinstance(layer, _DROPOUTS) for layer in layers)
        self.ranks = {id(call.operation): len(call.outputs[0].shape) for call in calls}
        self.image = None
        if changes.augmentation is not None:
            self.image = input_layers(model)[image_input(model)]

    def step(self, layer, path):
        if layer is self.image:
            name = self._free_name("augmentation")
            affine = RandomAffine(name=name, **self.changes.augmentation)
            return Step(self.copied(layer, path), after=[affine])
        # Layers of nested models stay as they are: a pretrained backbone is no place
        # for other activations.
        inside = "/" in path or isinstance(layer, keras.Model)
        hidden = not inside and layer not in self.tail
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        moved = self.changes.batch_normalization is not None
        if is_normalization and hidden and moved:
            return Step(None)
        before, after = [], []
        if hidden and _activation(layer):
            before, after = self._around(layer)
        return Step(self.copied(layer, path), before=before, after=after)

    def _around(self, layer):
        """The layers to add before and after a nonlinearity, or a kernel with one."""
        where, before, after = self.changes.batch_normalization, [], []
        if where == "before" and isinstance(layer, _ACTIVATIONS):
            before.append(self._normalization(layer))
        # The activation is inside the kernel's layer: it becomes linear (see `clone`)
        # and the activation follows the normalization.
        elif where == "before":
            activation = self.changes.activation or layer.get_config()["activation"]
            after.append(self._normalization(layer))
            after.append(
                self._added(layer, "activation", keras.layers.Activation, activation)
            )
        elif where == "after":
            after.append(self._normalization(layer))
        if self.changes.dropout is not None and not self.has_dropout:
            rate = self.changes.dropout
            after.append(self._added(layer, "dropout", keras.layers.Dropout, rate))
        return before, after

    def clone(self, layer, path):
        config = layer.get_config()
        if not isinstance(layer, keras.layers.Layer) or "/" in path:
            return clone_as(type(layer), layer, config)
        hidden, kind = layer not in self.tail, type(layer)
        if hidden and isinstance(layer, _DROPOUTS) and self.changes.dropout is not None:
            config["rate"] = self.changes.dropout
        self._set_kernels(config)
        if hidden and _activation(layer):
            separate = isinstance(layer, _ACTIVATIONS)
            if self.changes.activation is not None:
                if separate:
                    kind = keras.layers.Activation
                    config = {k: config[k] for k in ("name", "dtype", "trainable")}
                config["activation"] = self.changes.activation
            if self.changes.batch_normalization == "before" and not separate:
                config["activation"] = "linear"
        return clone_as(kind, layer, config)

    def fill(self, old, new):
        if type(old) is not type(new):
            return
        for source, target in zip(parts(old), parts(new), strict=True):
            # New weights, but not where they are data or were frozen on purpose:
            # vocabularies, the mean and variance of Normalization, a pretrained
            # backbone.
            holds_data = not source.trainable_weights and not isinstance(
                source, keras.layers.BatchNormalization
            )
            if self.keep_weights or not source.trainable or holds_data:
                copy_variables(source, target)

    def _normalization(self, layer):
        """Over the channels of images; features are last in everything else."""
        first = keras.config.image_data_format() == "channels_first"
        axis = 1 if first and self.ranks[id(layer)] == 4 else -1
        name = self._free_name(f"{layer.name}_batch_normalization")
        return keras.layers.BatchNormalization(axis=axis, name=name)

    def _added(self, layer, purpose, make, *arguments):
        return make(*arguments, name=self._free_name(f"{layer.name}_{purpose}"))

    def _free_name(self, name):
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
    parents, last = {}, {}
    for call in calls:
        above = [t.producer.operation for t in call.inputs if t.producer is not None]
        parents.setdefault(id(call.operation), []).extend(above)
        last[id(call.operation)] = call.operation
    for call in calls:
        for tensor in call.inputs:
            if tensor.producer is not None:
                last.pop(id(tensor.producer.operation), None)
    waiting, tail = list(last.values()), []
    while waiting:
        operation = waiting.pop()
        if any(operation is item for item in tail):
            continue
        tail.append(operation)
        if not _ends_head(operation):
            waiting.extend(parents[id(operation)])
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
