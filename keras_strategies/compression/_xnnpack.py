"""Whether XNNPACK would run the 1x1 convolutions of a model sparsely.

The rules of TFMOT's `PruneForLatencyOnXNNPack`, which mirror XNNPACK's
`subgraph.c`: sparse inference starts behind a 3x3 convolution of an image, ends at
a global average pooling, and everything in between must keep to a short list.
"""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import check_readable, input_layers, read

_LAYERS = keras.layers
_POINTWISE = (
    _LAYERS.Add,
    _LAYERS.Multiply,
    _LAYERS.ZeroPadding2D,
    _LAYERS.ReLU,
    _LAYERS.LeakyReLU,
    _LAYERS.ELU,
    _LAYERS.Dropout,
)
_ACTIVATIONS = ("linear", "relu", "relu6", "leaky_relu", "elu", "sigmoid")
_OPERATIONS = ("Identity", "Add", "Subtract", "Multiply")


class _Graph:
    """Which operation feeds which."""

    def __init__(self, model):
        self.operations, self.parents, self.children = {}, {}, {}
        inputs = input_layers(model)
        graph = read(model, open_nested=False)
        sources = dict(zip(graph.inputs, inputs, strict=True))
        self.operations = {id(layer): layer for layer in inputs}
        for call in graph.calls:
            operation = call.operation
            parents = [sources.get(t) or t.producer.operation for t in call.inputs]
            self.operations[id(operation)] = operation
            self.parents.setdefault(id(operation), []).extend(parents)
            for parent in parents:
                self.children.setdefault(id(parent), []).append(operation)

    def before(self, operation):
        return self.parents.get(id(operation), [])

    def after(self, operation):
        return self.children.get(id(operation), [])

    def first(self):
        return [op for op in self.operations.values() if not self.before(op)]

    def last(self):
        return [op for op in self.operations.values() if not self.after(op)]

    def reach(self, sources, stop, following):
        """The operations at which `stop` holds on *all* ways from `sources`."""
        waiting, seen, found = list(sources), set(), []
        while waiting:
            operation = waiting.pop()
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            if stop(operation):
                found.append(operation)
                continue
            if not following(operation):
                return []
            waiting.extend(following(operation))
        return found


def _padded_by(graph, layer, margin):
    """Whether `layer` follows a `ZeroPadding2D` of `margin` on each side."""
    before = graph.before(layer)
    return (
        len(before) == 1
        and isinstance(before[0], _LAYERS.ZeroPadding2D)
        and before[0].padding == ((margin, margin), (margin, margin))
    )


def _is_start(graph, layer):
    return (
        isinstance(layer, _LAYERS.Conv2D)
        and tuple(layer.kernel.shape[:3]) == (3, 3, 3)
        and layer.strides == (2, 2)
        and layer.padding == "valid"
        and _padded_by(graph, layer, 1)
    )


def _is_end(layer):
    return isinstance(layer, _LAYERS.GlobalAveragePooling2D)


def _depthwise_fits(graph, layer):
    size, same = layer.kernel_size, layer.padding == "same"
    if layer.depth_multiplier != 1 or layer.dilation_rate not in (1, (1, 1)):
        return False
    if size not in ((3, 3), (5, 5)):
        return False
    if same:
        return layer.strides == (1, 1)
    margin = size[0] // 2
    return layer.strides in ((1, 1), (2, 2)) and _padded_by(graph, layer, margin)


def _fits(graph, layer):
    """Whether XNNPACK's sparse path takes one operation."""
    if isinstance(layer, _POINTWISE):
        return True
    if isinstance(layer, _LAYERS.DepthwiseConv2D):
        return _depthwise_fits(graph, layer)
    if isinstance(layer, _LAYERS.Conv2D):
        plain = layer.groups == 1 and layer.dilation_rate in (1, (1, 1))
        return plain and is_pointwise(layer) and layer.strides == (1, 1)
    if isinstance(layer, _LAYERS.GlobalAveragePooling2D):
        return layer.keepdims
    if isinstance(layer, _LAYERS.BatchNormalization):
        return layer.axis in (3, -1)
    if isinstance(layer, _LAYERS.UpSampling2D):
        return layer.interpolation == "bilinear"
    if isinstance(layer, _LAYERS.Activation):
        return getattr(layer.activation, "__name__", "") in _ACTIVATIONS
    is_layer = isinstance(layer, _LAYERS.Layer)
    return not is_layer and type(layer).__name__ in _OPERATIONS


def is_pointwise(layer):
    """Whether a layer is a 1x1 convolution, the kind with a sparse kernel."""
    return isinstance(layer, _LAYERS.Conv2D) and layer.kernel_size == (1, 1)


def _refuse(model, reason, **received):
    checks.fail(
        f'`policy="xnnpack"` does not suit this model: {reason}',
        fix="Leave `policy` out to prune without a gain in speed, or change the model.",
        model=model.name,
        **received,
    )


def check(model):
    """Refuses a model in which XNNPACK would run no convolution sparsely."""
    check_readable(model)
    graph = _Graph(model)
    starts = graph.reach(graph.first(), lambda x: _is_start(graph, x), graph.after)
    if not starts:
        _refuse(
            model,
            "every input must lead to a 3x3 Conv2D of 3 channels with strides 2 and "
            "padding 'valid' behind a ZeroPadding2D of 1",
            first_layers=[op.name for op in graph.first()],
        )
    ends = graph.reach(graph.last(), _is_end, graph.before)
    if not ends:
        _refuse(
            model,
            "every output must come from a GlobalAveragePooling2D",
            last_layers=[op.name for op in graph.last()],
        )
    misfits, waiting, seen = [], list(starts), set()
    while waiting:
        for operation in graph.after(waiting.pop()):
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            if not _fits(graph, operation):
                misfits.append(f"{operation.name} ({type(operation).__name__})")
            if not _is_end(operation):
                waiting.append(operation)
    if misfits:
        _refuse(
            model,
            "its sparse path has no kernels for all layers between the first "
            "convolution and the global average pooling (which needs keepdims=True)",
            unsupported_layers=misfits,
        )
