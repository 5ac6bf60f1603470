"""How sparse each prunable weight of a model is."""

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.compression import _prunable
from keras_strategies.compression.pruning import is_pruned


class SparsityReport:
    """The result of `sparsity_report`: a table, and its total.

    Attributes:
        rows: One dict a weight: `layer`, `weight` (its path), `shape`,
            `parameters`, `zeros`, `sparsity` (share of zeros) and `pruned` (whether
            `prune` still holds it).
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

    def __str__(self):
        width = max([len(row["weight"]) for row in self.rows] + [6])
        lines = [f"{'weight':<{width}}  {'shape':>16}  {'zeros':>19}  sparsity"]
        for row in self.rows:
            shape = "x".join(str(side) for side in row["shape"])
            share = f"{row['zeros']}/{row['parameters']}"
            lines.append(
                f"{row['weight']:<{width}}  {shape:>16}  {share:>19}  "
                f"{row['sparsity']:8.2%}"
            )
        share = f"{self.zeros}/{self.parameters}"
        lines.append(f"{'total':<{width}}  {'':>16}  {share:>19}  {self.sparsity:8.2%}")
        return "\n".join(lines)


def sparsity_report(model):
    """Measures how many weights of a model are zero, per layer and in all.

    Use it during and after pruning, on any built model. Only weights that `prune`
    could prune are counted; biases, normalization and depthwise kernels are not.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `SparsityReport`: `.sparsity` is the total, `.rows` has one dict a
        weight, and `print(report)` shows a table.

    Raises:
        ValueError: If the model is not built.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    report = compression.sparsity_report(model)
    print(report)
    print(report.sparsity, report.rows[0]["parameters"])  # 0.0 32
    ```
    """
    checks.instance("model", model, keras.Model)
    _prunable.check_built(model)
    rows = []
    for layer, weight in _prunable.prunable_weights(model):
        size, zeros = 1, int(ops.sum(ops.cast(ops.equal(weight.value, 0), "int32")))
        for side in weight.shape:
            size *= int(side)
        rows.append(
            {
                "layer": layer.name,
                "weight": weight.path,
                "shape": tuple(int(side) for side in weight.shape),
                "parameters": size,
                "zeros": zeros,
                "sparsity": zeros / size,
                "pruned": is_pruned(weight),
            }
        )
    return SparsityReport(rows, model.count_params())
