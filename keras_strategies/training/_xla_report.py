"""Report of the layers that XLA can compile."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies.training._xla_support import layer_rows


class XlaReport(Report):
    """Result of `xla_report`: a table of layers, and whether the model is ready.

    Attributes:
        rows: One dict per layer: `layer` (its path), `type`, `is_ready`, `reason` (what
            blocks XLA) and `replacement` (what to use instead).
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("layer", left=True),
        Column("type", left=True),
        Column("is_ready", "XLA", left=True),
        Column("replacement", "use instead", left=True),
        Column("reason", left=True),
    )

    def __init__(self, rows: Sequence[dict[str, Any]]):
        self.rows: list[dict[str, Any]] = list(rows)

    @property
    def is_ready(self) -> bool:
        """Whether XLA can compile every layer."""
        return not self.blocking

    @property
    def blocking(self) -> list[dict[str, Any]]:
        """The rows of the layers that XLA cannot compile."""
        return [row for row in self.rows if not row["is_ready"]]

    def _summary(self) -> dict[str, Any]:
        return {"is_ready": self.is_ready, "blocking_layers": len(self.blocking)}


def xla_report(model: keras.Model) -> XlaReport:
    """Lists each layer of a model with what blocks XLA and what to use instead.

    One layer that XLA does not support disables it for the whole model: Keras then
    resolves `jit_compile="auto"` to `False` without a message. Most often these are
    random layers that resample images; `augmentation.RandomAffine` does the same and
    compiles. Whether a layer compiles is its attribute `supports_jit`, which is `True`
    for custom layers that do not set it.

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
