"""How far an artifact is from a Keras model."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ComparisonResult:
    """How well a `.tflite` file agrees with a Keras model on given data.

    Returned by `export.compare`. The figures mean what they mean in `ExportResult`.
    Printing it, or `table()`, shows them; `to_dict()` is ready for `json.dumps`.

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
    outputs: dict

    def table(self):
        """Returns the figures as text: totals, then one row for each output."""
        rows = [
            ("file", self.path),
            ("agreement", f"{self.agreement:.4f} on {self.samples} samples"),
            ("max difference", f"{self.max_difference:.3g}"),
            ("mean difference", f"{self.mean_difference:.3g}"),
        ]
        for name, output in self.outputs.items():
            how = output["kind"]
            if output["tolerance"] is not None:
                how += f" within {output['tolerance']:g} of the range"
            rows.append(
                (
                    "output",
                    f"{name}: {output['agreement']:.4f} ({how}), differences up to "
                    f"{output['max_difference']:.3g}, mean "
                    f"{output['mean_difference']:.3g}",
                )
            )
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def to_dict(self):
        """Returns every figure as a dict of JSON-ready values."""
        return dataclasses.asdict(self)

    def __str__(self):
        return self.table()
