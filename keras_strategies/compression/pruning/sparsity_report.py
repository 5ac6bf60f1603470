"""How sparse each prunable weight of a model is."""

import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compression._common import compressible_weights, size_estimates
from keras_strategies.compression.pruning._prune import is_pruned

_SIZES = ("dense_bytes", "sparse_bytes", "gzip_bytes")


class SparsityReport:
    """The result of `sparsity_report`: a table, and its total.

    Attributes:
        rows: One dict a weight: `layer`, `weight` (its path), `shape`,
            `parameters`, `zeros`, `sparsity` (share of zeros) and `pruned` (whether
            `prune` still holds it). With `sizes=True` also the estimates
            `dense_bytes`, `sparse_bytes` and `gzip_bytes`.
        model_parameters: All parameters of the model, prunable or not.
    """

    def __init__(self, rows, model_parameters):
        self.rows = rows
        self.model_parameters = model_parameters

    @property
    def parameters(self):
        """Number of prunable weights."""
        return sum(row["parameters"] for row in self.rows)

    @property
    def zeros(self):
        """Number of zeros among them."""
        return sum(row["zeros"] for row in self.rows)

    @property
    def sparsity(self):
        """Share of zeros in all prunable weights together."""
        return self.zeros / self.parameters if self.parameters else 0.0

    def _total(self, name):
        """The sum of a column, or `None` if it was not measured."""
        if not self.rows or name not in self.rows[0]:
            return None
        return sum(row[name] for row in self.rows)

    @property
    def dense_bytes(self):
        """Bytes of these weights as float32; `None` without `sizes=True`."""
        return self._total("dense_bytes")

    @property
    def sparse_bytes(self):
        """Estimate of their bytes in TFLite's sparse encoding, or `None`."""
        return self._total("sparse_bytes")

    @property
    def gzip_bytes(self):
        """Bytes of the float32 values after gzip, or `None`."""
        return self._total("gzip_bytes")

    def __str__(self):
        width = max([len(row["weight"]) for row in self.rows] + [6])
        sized = self.dense_bytes is not None
        head = f"{'weight':<{width}}  {'shape':>16}  {'zeros':>19}  sparsity"
        if sized:
            head += "".join(f"  {name:>11}" for name in ("float32", "sparse~", "gzip"))
        total = {name: self._total(name) for name in _SIZES} | {
            "weight": "total",
            "shape": (),
            "zeros": self.zeros,
            "parameters": self.parameters,
            "sparsity": self.sparsity,
        }
        lines = [head]
        for row in [*self.rows, total]:
            shape = "x".join(str(side) for side in row["shape"])
            share = f"{row['zeros']}/{row['parameters']}"
            line = f"{row['weight']:<{width}}  {shape:>16}  {share:>19}  "
            line += f"{row['sparsity']:8.2%}"
            if sized:
                line += "".join(f"  {row[name]:>11,}" for name in _SIZES)
            lines.append(line)
        if sized:
            lines.append("Bytes. sparse~: estimate for TFLite's sparse encoding.")
        return "\n".join(lines)


def sparsity_report(model, *, sizes=False):
    """Measures how many weights of a model are zero, per layer and in all.

    Use it during and after pruning, on any built model. Only weights that `prune`
    could prune are counted; biases, normalization and depthwise kernels are not.

    With `sizes=True` it also says what the zeros are worth: the bytes of each weight
    as float32, an *estimate* of its bytes in a `.tflite` file with the sparse
    encoding of `tf.lite.Optimize.EXPERIMENTAL_SPARSITY` (of which TFLite is capable
    for dense layers and convolutions with at least 30 % zeros), and the bytes of the
    values after gzip. The file has the program and its tables on top; the encoding
    of blocks, which takes less, is not foreseen.

    Args:
        model: A built `keras.Model`.
        sizes: Whether to estimate bytes too, which takes about a second for ten
            million weights. Defaults to `False`.

    Returns:
        A `SparsityReport`: `.sparsity` is the total, `.rows` has one dict a
        weight, and `print(report)` shows a table.

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
    for layer, weight in compressible_weights.prunable_weights(model):
        size = math.prod(weight.shape)
        zeros = int(ops.sum(ops.cast(ops.equal(weight.value, 0), "int32")))
        row = {
            "layer": layer.name,
            "weight": weight.path,
            "shape": tuple(int(side) for side in weight.shape),
            "parameters": size,
            "zeros": zeros,
            "sparsity": zeros / size,
            "pruned": is_pruned(weight),
        }
        rows.append(row | (_bytes(layer, weight) if sizes else {}))
    return SparsityReport(rows, model.count_params())


def _bytes(layer, weight):
    array = ops.convert_to_numpy(ops.cast(ops.copy(weight.value), "float32"))
    counts = (
        4 * array.size,
        size_estimates.sparse_bytes(layer, array),
        size_estimates.gzip_bytes(array),
    )
    return dict(zip(_SIZES, counts, strict=True))
