"""Agreement of a `.tflite` file with a Keras model on given data."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_strategies._internal.reports import Column
from keras_strategies.export._common import DataclassReport
from keras_strategies.export.verify.output_verdict import OutputVerdict, loss_by_limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class ComparisonResult(DataclassReport):
    """Agreement of a `.tflite` file with a Keras model on given data.

    Returned by `export.compare`. The figures mean what they mean in `ExportResult`.
    Printing it, or `table()`, shows them and the verdicts; `rows` has one row for each
    output, `plot()` draws the worst one; `to_dict()` is ready for `json.dumps`.

    Args:
        path: The `.tflite` file, as `str`.
        samples: Number of samples compared.
        agreement: Fraction of positions on which both agree, in [0, 1], the lowest
            over the outputs.
        max_difference: Largest absolute difference over all outputs.
        mean_difference: Mean absolute difference over all outputs.
        outputs: Output name -> its own `kind`, `agreement`, `max_difference`,
            `mean_difference` and `tolerance`.
        verdicts: Output name -> `OutputVerdict`.
        quantization: The mode whose limits were applied.
        warnings: Sentences to read before relying on it.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "compared_example.tflite")
    data = np.random.default_rng(0).random((50, 4))
    result = export.compare(model, "compared_example.tflite", data)
    print(result.passed, result.agreement, result.max_difference)
    ```
    """

    path: str
    samples: int
    agreement: float
    max_difference: float
    mean_difference: float
    outputs: dict[str, Any]
    verdicts: dict[str, OutputVerdict] = dataclasses.field(default_factory=dict)
    quantization: str = "float32"
    warnings: tuple[str, ...] = ()

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("output", left=True),
        Column("kind", title="compared by", left=True),
        Column("passed"),
        Column("loss", title="loss by limit", form=".3g"),
        Column("agreement", form=".4f"),
        Column("max_difference", form=".3g"),
        Column("mean_difference", form=".3g"),
        Column("tolerance", form="g"),
    )
    CHART: ClassVar[tuple[str, str]] = ("output", "agreement")

    @property
    def passed(self) -> bool:
        """Whether every output passed."""
        return all(verdict.passed for verdict in self.verdicts.values())

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:  # type: ignore[override]
        """One row for each output."""
        return [
            {"output": name, **figures, **verdict_figures(self.verdicts.get(name))}
            for name, figures in self.outputs.items()
        ]

    def _footer(self):
        return [
            f"agreement {self.agreement:.4f} on {self.samples} samples, differences up "
            f"to {self.max_difference:.3g}, mean {self.mean_difference:.3g}",
            *(f"{name}: {verdict}" for name, verdict in self.verdicts.items()),
            *super()._footer(),
            f"file {self.path}",
        ]

    def _figure_size(self):
        return (4.6, 4.2) if self.verdicts else super()._figure_size()

    def _draw(self, ax: "Axes") -> None:
        if self.verdicts:
            draw_worst(self.verdicts, ax)
        else:
            super()._draw(ax)


def verdict_figures(verdict: OutputVerdict | None) -> dict[str, Any]:
    """Returns the figures of a verdict that a table shows."""
    if verdict is None:
        return {}
    loss = loss_by_limit(verdict.loss, verdict.limit)
    return {"passed": verdict.passed, "loss": loss}


def draw_worst(verdicts: Mapping[str, OutputVerdict], ax: "Axes") -> None:
    """Draws the output that loses most."""
    if not verdicts:
        raise NotImplementedError("An artifact that was not run has no picture.")
    name = max(verdicts, key=lambda key: verdicts[key].loss)
    verdicts[name].plot(ax)
    ax.set_title(f"{name}, {ax.get_title()}")
