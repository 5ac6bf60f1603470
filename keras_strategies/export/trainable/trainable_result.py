"""Figures of an artifact that trains on the device."""

import dataclasses
from typing import TYPE_CHECKING, Any

from keras_strategies.export._common import FiguresReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Differences smaller than this are drawn as this on the logarithmic axis.
_SMALLEST_DIFFERENCE = 1e-9


@dataclasses.dataclass(frozen=True)
class TrainableResult(FiguresReport):
    """The figures of one trainable `.tflite` file, measured from the file itself.

    Returned by `export.to_trainable_tflite`. Printing it, or `table()`, shows the
    main figures; `to_dict()` is ready for `json.dumps`; `plot()` draws the differences
    to Keras; `save_report()` writes a page.

    Args:
        path: The written file, as `str`.
        bytes: Size of the file.
        gzipped_bytes: Size of the file under gzip, about what is downloaded.
        signatures: `"train"`, `"infer"`, `"save"` and `"restore"`, each with
            `{"inputs": {name: {...}}, "outputs": {name: {...}}}`, of `shape`
            (`None` for a free axis) and `dtype`.
        ops: Operation name -> its count, over all signatures.
        variables: Name in `save` and `restore` -> shape, of the trained weights.
        state: All names in `save` and `restore`, the optimizer's included.
        optimizer: Its `kind`, `learning_rate` and other settings.
        batch_size: Samples of one training step.
        infer_difference: Largest difference of `infer` to the Keras model, relative
            to the largest output where that exceeds 1.
        loss_difference: The same for the loss of two training steps.
        weight_difference: Largest difference of a weight after these steps, as a
            fraction of the largest change of a weight in its tensor.
        weight_change: Largest change of any weight in these steps.
        train_ms: Mean time of one of these steps in milliseconds, one thread, on
            this machine's processor.
        seconds: Wall time of the whole export.
        warnings: Sentences to read before using the artifact.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    result = export.to_trainable_tflite(model, "trainable.tflite", loss="mse")
    print(result.variables, result.weight_difference)
    ```
    """

    path: str
    bytes: int
    gzipped_bytes: int
    signatures: dict[str, Any]
    ops: dict[str, int]
    variables: dict[str, list[int]]
    state: list[str]
    optimizer: dict[str, Any]
    batch_size: int
    infer_difference: float
    loss_difference: float
    weight_difference: float
    weight_change: float
    train_ms: float
    seconds: float
    warnings: tuple[str, ...] = ()

    def figures(self) -> list[tuple[str, str]]:
        """Returns the main figures as pairs of a name and a text."""
        figures = [
            ("file", self.path),
            ("size", f"{self.bytes:,} bytes ({self.gzipped_bytes:,} gzipped)"),
        ]
        for name, signature in self.signatures.items():
            inputs = _name_list(signature["inputs"])
            outputs = _name_list(signature["outputs"])
            figures.append((name, f"({inputs}) -> {outputs}"))
        optimizer = ", ".join(f"{key}={value}" for key, value in self.optimizer.items())
        ops = ", ".join(f"{name} x{count}" for name, count in self.ops.items())
        return [
            *figures,
            ("trains", ", ".join(self.variables)),
            ("optimizer", optimizer),
            ("batch size", str(self.batch_size)),
            ("difference of infer", f"{self.infer_difference:.3g}"),
            ("difference of loss", f"{self.loss_difference:.3g}"),
            ("difference of weights", f"{self.weight_difference:.3g} of the change"),
            ("training step", f"{self.train_ms:.3f} ms"),
            ("operations", ops),
        ]

    def _draw(self, ax: "Axes") -> None:
        differences = {
            "infer": self.infer_difference,
            "loss": self.loss_difference,
            "weights": self.weight_difference,
        }
        values = [max(value, _SMALLEST_DIFFERENCE) for value in differences.values()]
        ax.barh(list(differences), values, color="#0b6e99")
        ax.invert_yaxis()
        ax.set_xscale("log")
        ax.set_xlabel("relative difference to Keras")


def _name_list(names, limit=4):
    return f"{len(names)} values" if len(names) > limit else ", ".join(names)
