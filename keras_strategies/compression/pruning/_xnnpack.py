"""Check that XNNPACK runs the 1x1 convolutions of a model with sparse kernels.

The rules of TFMOT's `PruneForLatencyOnXNNPack`, which mirror XNNPACK's
`subgraph.c`: sparse inference starts after a 3x3 convolution of an image, ends at
a global average pooling, and every operation in between must be of a short list.

Reference: Elsen et al., "Fast sparse convnets" (2019),
https://arxiv.org/abs/1911.09723.
"""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import check_readable, input_layers, read

_LAYERS = keras.layers
# Layers that XNNPACK computes in the CHW layout of its sparse kernels, whatever their
# settings.
_ANY_SETTINGS = (
    _LAYERS.Add,
    _LAYERS.Multiply,
    _LAYERS.ZeroPadding2D,
    _LAYERS.ReLU,
    _LAYERS.LeakyReLU,
    _LAYERS.ELU,
    _LAYERS.Dropout,
)
_ACTIVATIONS = ("linear", "relu", "relu6", "leaky_relu", "elu", "sigmoid")
# Operators on the tensors of a model, by class name.
_OPERATIONS = ("Identity", "Add", "Subtract", "Multiply")


class _OperationGraph:
    """The operations of a model, with those before and after each."""

    def __init__(self, model: keras.Model) -> None:
        self.parents: dict[int, list[Any]] = {}
        self.children: dict[int, list[Any]] = {}
        inputs = input_layers(model)
        graph = read(model, open_nested=False)
        sources = dict(zip(graph.inputs, inputs, strict=True))
        # A shared layer has all its calls in one entry: each of them must qualify.
        self.operations: dict[int, Any] = {id(layer): layer for layer in inputs}
        for call in graph.calls:
            operation = call.operation
            parents = [sources.get(t) or t.producer.operation for t in call.inputs]
            self.operations[id(operation)] = operation
            self.parents.setdefault(id(operation), []).extend(parents)
            for parent in parents:
                self.children.setdefault(id(parent), []).append(operation)

    def before(self, operation: Any) -> list[Any]:
        return self.parents.get(id(operation), [])

    def after(self, operation: Any) -> list[Any]:
        return self.children.get(id(operation), [])

    def first(self) -> list[Any]:
        return [op for op in self.operations.values() if not self.before(op)]

    def last(self) -> list[Any]:
        return [op for op in self.operations.values() if not self.after(op)]

    def frontier(
        self,
        sources: Iterable[Any],
        is_border: Callable[[Any], bool],
        following: Callable[[Any], list[Any]],
    ) -> list[Any]:
        """The first operations with `is_border` on *all* paths from `sources`.

        Empty if some path ends without one.
        """
        stack, seen, border = list(sources), set(), []
        while stack:
            operation = stack.pop()
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            if is_border(operation):
                border.append(operation)
                continue
            # A path that ends here has no border.
            if not following(operation):
                return []
            stack.extend(following(operation))
        return border


def _padded_by(graph, layer, margin):
    """Whether `layer` follows a `ZeroPadding2D` of `margin` on each side."""
    before = graph.before(layer)
    return (
        len(before) == 1
        and isinstance(before[0], _LAYERS.ZeroPadding2D)
        and before[0].padding == ((margin, margin), (margin, margin))
    )


def _is_start(graph, layer):
    """The convolution that turns an image from HWC into CHW layout."""
    # TFLite pads `same` strides asymmetrically; XNNPACK wants one pixel on each side.
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
    """The depthwise convolutions that XNNPACK has in the CHW layout."""
    size = layer.kernel_size
    if layer.depth_multiplier != 1 or layer.dilation_rate not in (1, (1, 1)):
        return False
    if size not in ((3, 3), (5, 5)):
        return False
    if layer.padding == "same":
        return layer.strides == (1, 1)
    # Explicit padding must be that of a `same` convolution of this kernel size.
    margin = size[0] // 2
    return layer.strides in ((1, 1), (2, 2)) and _padded_by(graph, layer, margin)


def _is_supported(graph, layer):
    """Whether XNNPACK's sparse path has a kernel for one operation."""
    if isinstance(layer, _ANY_SETTINGS):
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


def is_pointwise(layer: Any) -> bool:
    """Whether a layer is a 1x1 convolution, the kind with a sparse kernel."""
    return isinstance(layer, _LAYERS.Conv2D) and layer.kernel_size == (1, 1)


def _refuse(model: keras.Model, reason: str, **received: Any) -> NoReturn:
    checks.fail(
        f'`policy="xnnpack"` does not suit this model: {reason}',
        fix="Leave `policy` out to prune without a gain in speed, or change the model.",
        model=model.name,
        **received,
    )


def check(model: keras.Model) -> None:
    """Refuses a model in which XNNPACK would run no convolution sparsely."""
    check_readable(model)
    graph = _OperationGraph(model)
    # Forward from the inputs, every path must begin with such a convolution, and
    # backward from the outputs, every path must end with a global average pooling.
    starts = graph.frontier(graph.first(), lambda x: _is_start(graph, x), graph.after)
    if not starts:
        _refuse(
            model,
            "every input must lead to a 3x3 Conv2D of 3 channels with strides 2 and "
            "padding 'valid' behind a ZeroPadding2D of 1",
            first_layers=[op.name for op in graph.first()],
        )
    ends = graph.frontier(graph.last(), _is_end, graph.before)
    if not ends:
        _refuse(
            model,
            "every output must come from a GlobalAveragePooling2D",
            last_layers=[op.name for op in graph.last()],
        )
    misfits = _unsupported(graph, starts)
    if misfits:
        _refuse(
            model,
            "its sparse path has no kernels for all layers between the first "
            "convolution and the global average pooling (which needs keepdims=True)",
            unsupported_layers=misfits,
        )


def _unsupported(graph, starts):
    """The operations between start and end for which there is no sparse kernel."""
    misfits, stack, seen = [], list(starts), set()
    while stack:
        for operation in graph.after(stack.pop()):
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            if not _is_supported(graph, operation):
                misfits.append(f"{operation.name} ({type(operation).__name__})")
            if not _is_end(operation):
                stack.append(operation)
    return misfits
