"""`cluster_report`: distinct values of each kernel, counted."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compression._common import compressible_weights, size_estimates
from keras_strategies.compression._common.skipped_layers import skipped_layers
from keras_strategies.compression.clustering._channel_rows import (
    channel_axis,
    most_distinct_values,
)
from keras_strategies.compression.clustering._cluster import CLUSTERABLE, is_clustered
from keras_strategies.compression.clustering.cluster_report import ClusterReport


def cluster_report(model: keras.Model) -> ClusterReport:
    """Counts the different values of each kernel and estimates the bytes they save.

    Use it during and after clustering, on any built model. Bytes are those of the
    weights alone: as float32, after gzip, and an *estimate* for Huffman codes: their
    entropy, which gzip does not quite reach, plus the table of values.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `ClusterReport`: `.rows` has one dict a weight, and `print(report)` shows a
        table, `.plot()` a picture.

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
    used = compressible_weights.used_weights(model, CLUSTERABLE)
    rows = [_row(layer, weight, value) for layer, weight, value in used]
    return ClusterReport(rows, skipped_layers(model, CLUSTERABLE))


def _row(layer: Any, weight: keras.Variable, value: Any) -> dict[str, Any]:
    array = ops.convert_to_numpy(ops.cast(ops.copy(value), "float32"))
    # `codes` is the index of each weight in the table of distinct values.
    distinct, codes = np.unique(array, return_inverse=True)
    axis, values = channel_axis(layer, weight), int(distinct.size)
    return {
        "layer": layer.name,
        "weight": weight.path,
        "shape": tuple(int(side) for side in weight.shape),
        "parameters": int(array.size),
        "values": values,
        "channel_values": values if axis is None else most_distinct_values(array, axis),
        "dense_bytes": 4 * int(array.size),
        "gzip_bytes": size_estimates.gzip_bytes(array),
        "huffman_bytes": size_estimates.huffman_bytes(codes, values),
        "clustered": is_clustered(weight),
    }
