"""`sparsity_report`: zeros of each prunable weight, counted."""

import math
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compression._common import compressible_weights, size_estimates
from keras_strategies.compression._common.skipped_layers import skipped_layers
from keras_strategies.compression.pruning._prune import keeps_zeros
from keras_strategies.compression.pruning.sparsity_report import SIZES, SparsityReport


def sparsity_report(model: keras.Model, *, sizes: bool = False) -> SparsityReport:
    """Measures how many weights of a model are zero, per layer and in all.

    Use it during and after pruning, on any built model. Only weights that `prune`
    could prune are counted; biases, normalization and depthwise kernels are not. The
    layers with matrices that are not counted are in `.skipped`, with the reason. The
    weight of a layer with LoRA counts as it is used: with what LoRA adds, which is
    dense.

    With `sizes=True` it also estimates what the zeros save: the bytes of each weight
    as float32, an *estimate* of its bytes in a `.tflite` file with the sparse
    encoding of `tf.lite.Optimize.EXPERIMENTAL_SPARSITY` (which TFLite supports for
    dense layers and convolutions with at least 30 % zeros), and the bytes of the
    values after gzip. The graph of the file comes on top. Block-sparse encoding,
    which is smaller, is not estimated.

    Args:
        model: A built `keras.Model`.
        sizes: Whether to estimate bytes too, which takes about a second for ten
            million weights. Defaults to `False`.

    Returns:
        A `SparsityReport`: `.sparsity` is the total, `.rows` has one dict a
        weight, and `print(report)` shows a table, `.plot()` a picture.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is not built.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    report = compression.sparsity_report(model)
    print(report)
    print(report.sparsity, report.rows[0]["parameters"])  # 0.0 32
    print(compression.sparsity_report(model, sizes=True).dense_bytes)  # 128
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.boolean("sizes", sizes)
    compressible_weights.check_built(model)
    rows = []
    for layer, weight, value in compressible_weights.used_weights(model):
        size = math.prod(weight.shape)
        zeros = int(ops.sum(ops.cast(ops.equal(value, 0), "int32")))
        row = {
            "layer": layer.name,
            "weight": weight.path,
            "shape": tuple(int(side) for side in weight.shape),
            "parameters": size,
            "zeros": zeros,
            "sparsity": zeros / size,
            "pruned": keeps_zeros(weight),
        }
        rows.append(row | (_bytes(layer, value) if sizes else {}))
    return SparsityReport(rows, model.count_params(), skipped_layers(model))


def _bytes(layer: Any, value: Any) -> dict[str, int]:
    array = ops.convert_to_numpy(ops.cast(ops.copy(value), "float32"))
    counts = (
        4 * array.size,
        size_estimates.sparse_bytes(layer, array),
        size_estimates.gzip_bytes(array),
    )
    return dict(zip(SIZES, counts, strict=True))
