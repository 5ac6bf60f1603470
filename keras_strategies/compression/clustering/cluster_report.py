"""How many different values each kernel of a model has."""

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compression._common import compressible_weights, size_estimates
from keras_strategies.compression.clustering._cluster import (
    CLUSTERABLE,
    channel_axis,
    is_clustered,
)
from keras_strategies.compression.clustering._cluster_constraint import values_a_row

_SIZES = ("dense_bytes", "gzip_bytes", "huffman_bytes")


class ClusterReport:
    """The result of `cluster_report`: a table, and its totals.

    Attributes:
        rows: One dict a weight: `layer`, `weight` (its path), `shape`,
            `parameters`, `values` (how many different ones), `channel_values` (the
            same in the output channel of a convolution that has most of them, else
            `values`), `dense_bytes` (as float32), `gzip_bytes` (these after gzip),
            `huffman_bytes` (estimate for codes and their table) and `clustered`
            (whether `cluster` still holds it).
    """

    def __init__(self, rows):
        self.rows = rows

    def _total(self, name):
        return sum(row[name] for row in self.rows)

    @property
    def parameters(self):
        """Number of weights that can be clustered."""
        return self._total("parameters")

    @property
    def dense_bytes(self):
        """Their bytes as float32."""
        return self._total("dense_bytes")

    @property
    def gzip_bytes(self):
        """These bytes after gzip."""
        return self._total("gzip_bytes")

    @property
    def huffman_bytes(self):
        """Estimate of the bytes of Huffman codes and tables of values."""
        return self._total("huffman_bytes")

    def __str__(self):
        width = max([len(row["weight"]) for row in self.rows] + [6])
        names = ("weights", "values", "a channel", "float32", "gzip", "huffman~")
        lines = [f"{'weight':<{width}}" + "".join(f"  {n:>11}" for n in names)]
        total = {name: self._total(name) for name in ("parameters", *_SIZES)}
        total |= {"weight": "total", "values": "", "channel_values": ""}
        for row in [*self.rows, total]:
            cells = [row[c] for c in ("parameters", "values", "channel_values")]
            cells += [f"{row[name]:,}" for name in _SIZES]
            line = "".join(f"  {cell:>11}" for cell in cells)
            lines.append(f"{row['weight']:<{width}}{line}")
        return "\n".join(lines)


def cluster_report(model):
    """Counts the different values of each kernel and estimates what that is worth.

    Use it during and after clustering, on any built model. Bytes are those of the
    weights alone: as float32, after gzip, and an *estimate* for Huffman codes: their
    entropy, which gzip does not quite reach, and the table of values.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `ClusterReport`: `.rows` has one dict a weight, and `print(report)` shows a
        table.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    compression.cluster(model, 4)
    report = compression.cluster_report(model)
    print(report)
    print(report.rows[0]["values"])  # 4
    ```
    """
    checks.instance("model", model, keras.Model)
    compressible_weights.check_built(model, CLUSTERABLE)
    pairs = compressible_weights.prunable_weights(model, CLUSTERABLE)
    return ClusterReport([_row(layer, weight) for layer, weight in pairs])


def _row(layer, weight):
    array = ops.convert_to_numpy(ops.cast(ops.copy(weight.value), "float32"))
    different, codes = np.unique(array, return_inverse=True)
    axis, values = channel_axis(layer, weight), int(different.size)
    return {
        "layer": layer.name,
        "weight": weight.path,
        "shape": tuple(int(side) for side in weight.shape),
        "parameters": int(array.size),
        "values": values,
        "channel_values": values if axis is None else values_a_row(array, axis),
        "dense_bytes": 4 * int(array.size),
        "gzip_bytes": size_estimates.gzip_bytes(array),
        "huffman_bytes": size_estimates.huffman_bytes(codes, values),
        "clustered": is_clustered(weight),
    }
