"""`flops`: multiplications of a model, counted layer by layer."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers as kl

from keras_strategies._internal import checks, model_graph
from keras_strategies._internal.model_graph import Call
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.filters._layer_rules import channel_axis
from keras_strategies.compression.filters.flops_report import FlopsReport

# Kernels applied at each position of the output, and of the input.
_BY_OUTPUT = (
    *(kl.Conv1D, kl.Conv2D, kl.Conv3D),
    *(kl.DepthwiseConv1D, kl.DepthwiseConv2D),
)
_BY_INPUT = (kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose)
_SEPARABLE = (kl.SeparableConv1D, kl.SeparableConv2D)
# Layers with weights that need few operations and, like pooling, are not counted.
_SMALL = (
    *(kl.BatchNormalization, kl.LayerNormalization, kl.GroupNormalization),
    *(kl.PReLU, kl.Normalization, kl.Embedding),
)


def flops(model: keras.Model) -> FlopsReport:
    """Counts the multiplications of a model for one sample, layer by layer.

    Use it before and after `prune_filters`, or to compare architectures. The count is
    a property of the graph; the time on a device also depends on memory traffic and
    kernels, see `export.TFLiteModel.benchmark`.

    Counted are Dense, Conv1D/2D/3D (grouped ones too), their transposed forms,
    DepthwiseConv1D/2D and SeparableConv1D/2D, in multiply-accumulate operations
    (MACs): the elements of the kernel times the positions where it is applied (for a
    transposed convolution: the positions of its input), padding included. Biases,
    activations, normalization, pooling, merging and Embedding are not counted: they
    need few operations in comparison. A layer that is called several times counts
    each time.

    Args:
        model: A built Functional or Sequential model, models nested in it included,
            with known input sides (the batch may be unknown).

    Returns:
        A `FlopsReport`: `.macs` and `.flops = 2 * .macs` are totals, `.rows` has one
        dict a layer, and `print(report)` shows a table, `.plot()` a picture.

    Raises:
        ValueError: If the model is subclassed or not built, or if sides of an input
            are `None`.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(16, 3, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ])
    report = compression.flops(model)
    print(report)
    print(report.macs)  # 3 * 3 * 3 * 16 * 8 * 8 + 16 * 10 = 27808
    ```
    """
    graph = model_graph.read(model)
    compressible_weights.check_built(model)
    rows: dict[int, dict[str, Any]] = {}
    not_counted = []
    for call in graph.calls:
        layer = call.operation
        if call.is_entry or not getattr(layer, "weights", []):
            continue
        macs = _macs(call)
        if macs is None and not isinstance(layer, _SMALL):
            not_counted.append(call.path)
        elif macs is not None:
            row = rows.setdefault(id(layer), _row(call))
            row["macs"] += macs
    return FlopsReport(list(rows.values()), list(dict.fromkeys(not_counted)))


def _row(call: Call) -> dict[str, Any]:
    return {
        "layer": call.path,
        "type": type(call.operation).__name__,
        "output_shape": call.outputs[0].shape[1:],
        "parameters": call.operation.count_params(),
        "macs": 0,
    }


def _macs(call: Call) -> int | None:
    """The MACs of one call, or `None` if the layer is not understood."""
    layer = call.operation
    if type(layer) is kl.MultiHeadAttention:
        return _attention_macs(call)
    if not isinstance(layer, (*_BY_OUTPUT, *_BY_INPUT, *_SEPARABLE, kl.Dense)):
        return None
    input_shape, output_shape = call.inputs[0].shape, call.outputs[0].shape
    if isinstance(layer, _BY_INPUT):
        return math.prod(layer.kernel.shape) * _num_positions(call, input_shape)
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        elements = sum(math.prod(kernel.shape) for kernel in kernels)
        return elements * _num_positions(call, output_shape)
    return math.prod(layer.kernel.shape) * _num_positions(call, output_shape)


def _attention_macs(call: Call) -> int:
    """Projections of all tokens, and products of queries with keys and values."""
    layer = call.operation
    taken = dict(zip(("query", "value"), call.args, strict=False))
    taken |= {name: v for name, v in call.kwargs.items() if name in ("query", "value")}
    queries, values = (
        _num_positions(call, taken[name].shape) for name in ("query", "value")
    )
    sizes = {
        name: math.prod(getattr(layer, f"{name}_dense").kernel.shape)
        for name in ("query", "key", "value", "output")
    }
    heads, width = layer.value_dense.kernel.shape[-2:]
    per_pair = heads * (width + layer.query_dense.kernel.shape[-1])
    projections = queries * (sizes["query"] + sizes["output"])
    projections += values * (sizes["key"] + sizes["value"])
    return projections + queries * values * per_pair


def _num_positions(call: Call, shape: Sequence[int | None]) -> int:
    """The number of positions of a tensor of this shape that a kernel is applied at."""
    axis = channel_axis(call.operation, len(shape))
    sides = [side for number, side in enumerate(shape) if number not in (0, axis)]
    if None in sides:
        checks.fail(
            "`model` must have known input sides for its work to be counted",
            fix="Build it with e.g. keras.Input((224, 224, 3)).",
            layer=call.path,
            shape=shape,
        )
    return math.prod(sides)
