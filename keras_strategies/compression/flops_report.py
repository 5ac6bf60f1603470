"""How many multiplications a model needs, layer by layer."""

import math

from keras import layers as kl

from keras_strategies._internal import checks, model_graph
from keras_strategies.compression import _prunable
from keras_strategies.compression._filters_layers import channel_axis

_BY_OUTPUT = (
    *(kl.Conv1D, kl.Conv2D, kl.Conv3D),
    *(kl.DepthwiseConv1D, kl.DepthwiseConv2D),
)
_BY_INPUT = (kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose)
_SEPARABLE = (kl.SeparableConv1D, kl.SeparableConv2D)
# Layers with weights whose work is small and, like that of pooling, not counted.
_SMALL = (
    *(kl.BatchNormalization, kl.LayerNormalization, kl.GroupNormalization),
    *(kl.PReLU, kl.Normalization, kl.Embedding),
)


class FlopsReport:
    """The result of `flops`: a table, and its total.

    Attributes:
        rows: One dict a layer in the order of the model: `layer` (its path), `type`,
            `output_shape`, `parameters` and `macs` (over all its calls).
        not_counted: Paths of layers with weights that are not understood, such as
            attention: their work is missing in the total.
    """

    def __init__(self, rows, not_counted):
        self.rows = rows
        self.not_counted = not_counted

    @property
    def macs(self):
        """Multiply-accumulate operations for one sample."""
        return sum(row["macs"] for row in self.rows)

    @property
    def flops(self):
        """Floating-point operations for one sample: two for each MAC."""
        return 2 * self.macs

    def __str__(self):
        width = max([len(row["layer"]) for row in self.rows] + [5])
        lines = [
            f"{'layer':<{width}}  {'output':>16}  {'parameters':>11}  {'MACs':>14}"
        ]
        for row in self.rows:
            shape = "x".join(str(side) for side in row["output_shape"])
            lines.append(
                f"{row['layer']:<{width}}  {shape:>16}  {row['parameters']:>11,}  "
                f"{row['macs']:>14,}"
            )
        lines.append(f"{'total':<{width}}  {'':>16}  {'':>11}  {self.macs:>14,}")
        if self.not_counted:
            lines.append(f"not counted: {', '.join(self.not_counted)}")
        return "\n".join(lines)


def flops(model):
    """Counts the multiplications of a model for one sample, layer by layer.

    Use it before and after `prune_filters`, or to compare architectures. The count is
    a property of the graph; the time on a device also depends on memory traffic and
    kernels, see `export.TFLiteModel.benchmark`.

    Counted are Dense, Conv1D/2D/3D (grouped ones too), their transposed forms,
    DepthwiseConv1D/2D and SeparableConv1D/2D, in multiply-accumulate operations: the
    elements of the kernel times the places where it is applied (for a transposed
    convolution: the places of its input), padding included. Biases, activations,
    normalization, pooling, merging and Embedding are not: they are small beside it. A
    layer that is called several times counts each time.

    Args:
        model: A built Functional or Sequential model, models nested in it included,
            with known input sides (the batch may be unknown).

    Returns:
        A `FlopsReport`: `.macs` and `.flops = 2 * .macs` are totals, `.rows` has one
        dict a layer, and `print(report)` shows a table.

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
    _prunable.check_built(model)
    rows, missing = {}, []
    for call in graph.calls:
        layer = call.operation
        if call.is_entry or not getattr(layer, "weights", []):
            continue
        macs = _macs(call)
        if macs is None and not isinstance(layer, _SMALL):
            missing.append(call.path)
        elif macs is not None:
            row = rows.setdefault(id(layer), _row(call))
            row["macs"] += macs
    return FlopsReport(list(rows.values()), list(dict.fromkeys(missing)))


def _row(call):
    return {
        "layer": call.path,
        "type": type(call.operation).__name__,
        "output_shape": call.outputs[0].shape[1:],
        "parameters": call.operation.count_params(),
        "macs": 0,
    }


def _macs(call):
    """The MACs of one call, or `None` if the layer is not understood."""
    layer = call.operation
    if not isinstance(layer, (*_BY_OUTPUT, *_BY_INPUT, *_SEPARABLE, kl.Dense)):
        return None
    before, after = call.inputs[0].shape, call.outputs[0].shape
    if isinstance(layer, _BY_INPUT):
        return math.prod(layer.kernel.shape) * _places(call, before)
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return sum(math.prod(k.shape) for k in kernels) * _places(call, after)
    return math.prod(layer.kernel.shape) * _places(call, after)


def _places(call, shape):
    """At how many places of a tensor of this shape a kernel is applied."""
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
