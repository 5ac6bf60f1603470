"""Agreement of a `.tflite` file with a Keras model on given data."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column
from keras_strategies.export._common import DataclassReport


@dataclasses.dataclass(frozen=True)
class ComparisonResult(DataclassReport):
    """Agreement of a `.tflite` file with a Keras model on given data.

    Returned by `export.compare`. The figures mean what they mean in `ExportResult`.
    Printing it, or `table()`, shows them; `rows` has one row for each output, `plot()`
    draws its agreement; `to_dict()` is ready for `json.dumps`.

    Args:
        path: The `.tflite` file, as `str`.
        samples: Number of samples compared.
        agreement: Fraction of positions on which both agree, in [0, 1], the lowest
            over the outputs.
        max_difference: Largest absolute difference over all outputs.
        mean_difference: Mean absolute difference over all outputs.
        outputs: Output name -> its own `kind` (`"top-1"` or `"values"`),
            `agreement`, `max_difference`, `mean_difference` and `tolerance`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "compared_example.tflite")
    data = np.random.default_rng(0).random((50, 4))
    result = export.compare(model, "compared_example.tflite", data)
    print(result.agreement, result.max_difference)
    ```
    """

    path: str
    samples: int
    agreement: float
    max_difference: float
    mean_difference: float
    outputs: dict[str, Any]

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("output", left=True),
        Column("kind", title="compared by", left=True),
        Column("agreement", form=".4f"),
        Column("max_difference", form=".3g"),
        Column("mean_difference", form=".3g"),
        Column("tolerance", form="g"),
    )
    CHART: ClassVar[tuple[str, str]] = ("output", "agreement")

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:  # type: ignore[override]
        """One row for each output."""
        return [{"output": name, **figures} for name, figures in self.outputs.items()]

    def _footer(self):
        return [
            f"agreement {self.agreement:.4f} on {self.samples} samples, differences up "
            f"to {self.max_difference:.3g}, mean {self.mean_difference:.3g}",
            f"file {self.path}",
        ]
