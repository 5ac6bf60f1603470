"""How well probabilities agree with frequencies."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies.explain._calibration import errors
from keras_strategies.explain._calibration.labelled import Labelled, collect, sum_to_one


@dataclasses.dataclass
class CalibrationReport(Report):
    """What `calibration` measured.

    Attributes:
        rows: A dict a class or label: `name`, `samples` with it, `error` (expected
            calibration error of its probability), `probability` (mean) and
            `frequency`.
        error: Expected calibration error: of the confidence in the predicted class for
            one class of several, else of all labels together.
        interval: Where it is, with the probability that was asked for.
        expected: The error that exactly right probabilities would show on as many
            samples by chance, its upper end with the same probability.
        accuracy: Part of right predictions, at probability 0.5 for labels.
        confidence: Mean probability of the prediction. More than the accuracy:
            overconfident.
        log_loss: Mean negative log-likelihood.
        brier_score: Mean squared error of the probabilities.
        curves: For `"all"` and each class `{"probability", "frequency", "samples"}` of
            each bin that has samples: the reliability diagram.
    """

    rows: Sequence[dict[str, Any]]
    error: float
    interval: tuple[float, float]
    expected: float
    accuracy: float
    confidence: float
    log_loss: float
    brier_score: float
    curves: Mapping[str, Mapping[str, np.ndarray]]

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("name", "class", left=True),
        Column("samples", form=","),
        Column("error", "calibration error", ".4f"),
        Column("probability", "mean probability", ".4f"),
        Column("frequency", form=".4f"),
    )

    @property
    def is_miscalibrated(self) -> bool:
        """Whether the error is more than right probabilities show by chance."""
        return self.error > self.expected

    def _summary(self) -> dict[str, Any]:
        names = ("error", "interval", "expected", "accuracy", "confidence")
        found = {n: getattr(self, n) for n in (*names, "log_loss", "brier_score")}
        return {**found, "is_miscalibrated": self.is_miscalibrated}

    def _footer(self) -> Sequence[str]:
        low, high = self.interval
        verdict = "more" if self.is_miscalibrated else "not more"
        return [
            f"expected calibration error {self.error:.4f}, in [{low:.4f}, {high:.4f}]; "
            f"{verdict} than right probabilities may show by chance, "
            f"{self.expected:.4f}",
            f"confidence {self.confidence:.4f}, accuracy {self.accuracy:.4f}; log loss "
            f"{self.log_loss:.4f}, Brier score {self.brier_score:.4f}",
        ]

    def _figure_size(self) -> tuple[float, float]:
        return (5.0, 5.0)

    def _draw(self, ax: Any) -> None:
        """Draws the reliability diagram: all thick, each class thin."""
        ax.plot([0, 1], [0, 1], color="0.6", linestyle=":")
        few = len(self.curves) <= 11
        for name, curve in self.curves.items():
            is_all = name == "all"
            ax.plot(
                curve["probability"],
                curve["frequency"],
                marker="o" if is_all else None,
                linewidth=2.2 if is_all else 0.8,
                color="black" if is_all else None,
                alpha=1 if is_all else 0.4,
                zorder=3 if is_all else 2,
                label=name if few or is_all else None,
            )
        ax.set_xlabel("probability")
        ax.set_ylabel("frequency")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.legend(fontsize=7)


def calibration(
    model: Any,
    data: Any,
    *,
    bins: int = 15,
    strategy: str = "uniform",
    from_logits: bool | None = None,
    class_names: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
    batch_size: int = 256,
) -> CalibrationReport:
    """How far the probabilities of a classifier can be trusted: a report.

    Of all predictions that are made with 80 %, four in five should be right. Modern
    networks say 80 % more often than that; `temperature_scaling` mends it.

        error = sum over the bins of n_b / n |frequency_b - probability_b|

    The error of a finite sample is above 0 also if every probability is right: compare
    it with `expected`. The interval is the basic bootstrap over the samples, which
    takes off the part that chance adds.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks",
    https://arxiv.org/abs/1706.04599; for each class Kull et al. (2019),
    https://arxiv.org/abs/1910.12656; `expected` follows the consistency bars of Bröcker
    and Smith (2007), https://doi.org/10.1175/WAF993.1.

    Args:
        model: A Keras model, an `export.TFLiteModel`, or the path of a `.keras` or
            `.tflite` file, also with int8 weights or outputs.
        data: `(x, y)` or a data set of such batches, that the model was not trained on.
            Labels are class numbers, one-hot rows, or 0 and 1 for each label.
        bins: Bins of the probabilities, at least 1. Defaults to `15`.
        strategy: `"uniform"`, bins of equal width, or `"quantile"`, with equally many
            predictions. Defaults to `"uniform"`.
        from_logits: Whether the outputs are logits. Defaults to `None`: they are if
            some are outside of [0, 1].
        class_names: Names of the classes. Defaults to `None`, their numbers.
        level: Probability of the interval, in (0, 1). Defaults to `0.95`.
        resamples: Resamples of the bootstrap, at least 50. Defaults to `500`.
        seed: Seed of the bootstrap. Defaults to `0`.
        batch_size: As for `predict`. Defaults to `256`.

    Returns:
        A `CalibrationReport`; its `plot()` is the reliability diagram.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If labels and outputs do not fit, or an argument is out of range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((4,)), keras.layers.Dense(3, activation="softmax")
    ])
    x = np.random.default_rng(0).normal(size=(200, 4))
    y = np.arange(200) % 3
    print(explain.calibration(model, (x, y)))
    ```
    """
    checks.integer("bins", bins, low=1)
    checks.choice("strategy", strategy, ("uniform", "quantile"))
    checks.real("level", level, low=0, high=1, low_open=True, high_open=True)
    checks.integer("resamples", resamples, low=50)
    checks.integer("seed", seed, low=0)
    if from_logits is not None:
        checks.boolean("from_logits", from_logits)
    found = collect(_predictor(model, batch_size), data, "data", None)
    probabilities = _probabilities(found, from_logits)
    names = _names(class_names, probabilities.shape[1])
    targets = found.labels
    if found.kind == "softmax":
        targets = np.eye(probabilities.shape[1])[found.labels]
        confidences = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == found.labels
        outcomes = right.astype(float)
        accuracy, confidence = right.mean(), confidences.mean()
    else:
        confidences, outcomes = probabilities.ravel(), targets.ravel()
        accuracy = ((confidences > 0.5) == (outcomes > 0.5)).mean()
        confidence = np.maximum(confidences, 1 - confidences).mean()
    pairs = {"all": (confidences, outcomes)}
    pairs |= {n: (probabilities[:, k], targets[:, k]) for k, n in enumerate(names)}
    limits = errors.edges(confidences, bins, strategy)
    tables = {n: _table(*pair, bins, strategy) for n, pair in pairs.items()}
    error = errors.expected_error(tables["all"])
    interval, expected = _interval(
        error, confidences, outcomes, limits, level, resamples, seed
    )
    rows = [
        {
            "name": name,
            "samples": int(targets[:, k].sum()),
            "error": errors.expected_error(tables[name]),
            "probability": float(probabilities[:, k].mean()),
            "frequency": float(targets[:, k].mean()),
        }
        for k, name in enumerate(names)
    ]
    return CalibrationReport(
        rows=rows,
        error=error,
        interval=interval,
        expected=expected,
        accuracy=float(accuracy),
        confidence=float(confidence),
        log_loss=errors.log_loss(probabilities, found.labels, found.kind),
        brier_score=errors.brier_score(probabilities, found.labels, found.kind),
        curves={name: _curve(table) for name, table in tables.items()},
    )


def _predictor(model, batch_size):
    checks.integer("batch_size", batch_size, low=1)
    if isinstance(model, str | os.PathLike):
        model = _opened(os.fspath(model))
    if not hasattr(model, "predict"):
        checks.fail(
            "`model` must be a Keras model, a TFLiteModel or a path",
            error=TypeError,
            model=type(model).__name__,
        )
    return lambda x: model.predict(x, batch_size=batch_size, verbose=0)


def _opened(path):
    if path.endswith(".tflite"):
        from keras_strategies.export import TFLiteModel

        return TFLiteModel(path)
    if path.endswith(".keras"):
        return keras.models.load_model(path)
    return checks.fail("A path as `model` must end in .keras or .tflite", model=path)


def _probabilities(found: Labelled, from_logits: bool | None) -> np.ndarray:
    values = found.values
    outside = values.min() < 0 or values.max() > 1 + 1e-3
    if from_logits is None:
        from_logits = bool(outside)
    if from_logits:
        return errors.probabilities(values, found.kind)
    sums = values.sum(axis=1)
    if outside or (found.kind == "softmax" and not sum_to_one(values)):
        checks.fail(
            "The outputs must be probabilities",
            fix="Give from_logits=True if they are logits.",
            smallest=float(values.min()),
            largest=float(values.max()),
            sums=[float(sums.min()), float(sums.max())],
        )
    return np.clip(values, 0, 1)


def _names(names, count):
    if names is None:
        return [str(index) for index in range(count)]
    names = [str(name) for name in names]
    if len(names) != count or len(set(names)) != count or "all" in names:
        checks.fail(
            "`class_names` must have a different name for each class, and none 'all'",
            class_names=names,
            classes=count,
        )
    return names


def _table(confidences, outcomes, bins, strategy):
    limits = errors.edges(confidences, bins, strategy)
    numbers = errors.bin_numbers(confidences, limits)
    return errors.sums(confidences, outcomes, numbers, len(limits) - 1)


def _curve(table):
    counts, confidences, outcomes = table[:, table[0] > 0]
    return {
        "probability": confidences / counts,
        "frequency": outcomes / counts,
        "samples": counts.astype(int),
    }


def _interval(error, confidences, outcomes, limits, level, resamples, seed):
    """Where the error is, and what right probabilities may show by chance."""
    numbers, bins = errors.bin_numbers(confidences, limits), len(limits) - 1
    random = np.random.default_rng(seed)
    drawn, calibrated = errors.bootstrap(
        confidences, outcomes, numbers, bins, resamples, random
    )
    # The basic bootstrap: a resampled error is above the measured one by about as much
    # as that is above the true one, so the quantiles are mirrored at it.
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    interval = (max(0.0, 2 * error - float(high)), max(0.0, 2 * error - float(low)))
    return interval, float(np.quantile(calibrated, level))
