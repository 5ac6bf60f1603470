"""Which layers XLA can compile."""

import keras

from keras_strategies._internal import checks
from keras_strategies.training._xla import layer_rows


class XlaReport:
    """The result of `xla_report`: a table, and whether the model is ready.

    Attributes:
        rows: One dict a layer: `layer` (its path), `type`, `is_ready`, `reason` (what
            blocks XLA) and `replacement` (what to use instead).
    """

    def __init__(self, rows):
        self.rows = rows

    @property
    def is_ready(self):
        """Whether XLA can compile every layer."""
        return all(row["is_ready"] for row in self.rows)

    @property
    def blocking(self):
        """The rows of the layers that XLA cannot compile."""
        return [row for row in self.rows if not row["is_ready"]]

    def table(self):
        """One line a layer, as text."""
        width = max([5, *(len(row["layer"]) for row in self.rows)])
        kind = max([4, *(len(row["type"]) for row in self.rows)])
        lines = [f"{'layer':<{width}}  {'type':<{kind}}  XLA  instead"]
        for row in self.rows:
            note = f"{row['replacement']} ({row['reason']})" if row["reason"] else ""
            ready = "yes" if row["is_ready"] else "no"
            lines.append(
                f"{row['layer']:<{width}}  {row['type']:<{kind}}  {ready:<3}  "
                f"{note}".rstrip()
            )
        return "\n".join(lines)


def xla_report(model):
    """Lists each layer of a model with what blocks XLA and what to use instead.

    One layer that XLA does not support switches it off for the whole model: Keras
    resolves `jit_compile="auto"` to `False` then, without a word. Random layers that
    resample images are the usual ones; `augmentation.RandomAffine` does what they do
    and compiles. Layers tell by `supports_jit` whether they compile; a layer of your
    own that does not set it is taken at its word.

    Args:
        model: A Keras model with layers.

    Returns:
        An `XlaReport` with `rows`, `is_ready`, `blocking` and `table()`.

    Raises:
        TypeError: If `model` is no Keras model.

    Example:

    ```python
    import keras
    from keras_strategies import training

    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.RandomRotation(0.1)]
        + [keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
    )
    report = training.xla_report(model)
    print(report.is_ready)  # False
    print(report.table())
    ```
    """
    checks.instance("model", model, keras.Model)
    return XlaReport(layer_rows(model))
