"""Evaluation of candidates: each is exported, measured and compared as a file."""

import dataclasses
import pathlib
import time
from typing import Any

import keras
import numpy as np

from keras_strategies.compression.search import _samples
from keras_strategies.compression.search._budget_metric import BudgetMetric
from keras_strategies.compression.search._fine_tuner import outputs_of
from keras_strategies.compression.search._samples import Samples
from keras_strategies.export import ExportError, TFLiteModel, to_tflite

# Samples on which each file is compared with its Keras model: none of 256 that changes
# its class bounds the loss at about a point.
_NUM_VERIFIED = 256
# Points of accuracy, or per cent of a variance, in one unit of a verdict's loss.
_POINTS = 0.8
_BATCH_SIZE = 256


@dataclasses.dataclass
class Candidate:
    """A compressed model: how it was made, and its figures."""

    quantization: str
    sparsity: float = 0.0
    clusters: int | None = None
    filters: float = 0.0
    metric: float = float("nan")
    drop: float = float("inf")
    bytes: int | None = None
    gzipped_bytes: int | None = None
    latency_ms: float | None = None
    flops: int | None = None
    passed: bool = False
    verdict: str = ""
    met: bool = False
    seconds: float = 0.0
    error: str = ""

    def row(self) -> dict[str, Any]:
        """The figures as a dict."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        parts = [self.quantization]
        if self.filters:
            parts.append(f"{self.filters:.3g} of filters removed")
        if self.sparsity:
            parts.append(f"{self.sparsity:.3g} sparse")
        if self.clusters:
            parts.append(f"{self.clusters} values")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class SearchLimits:
    """When a search ends.

    Attributes:
        budget: Largest drop in points.
        max_candidates: Largest number of candidates.
        time_limit: Seconds after which no other candidate is begun, or `None`.
    """

    budget: float
    max_candidates: int
    time_limit: float | None = None


class CandidateEvaluator:
    """Exports and scores candidates, and keeps the best.

    Attributes:
        best: The best `Candidate` so far: within the budget, that of the lowest cost;
            if there is none, that of the smallest drop.
        kept: What the search asked to keep of it, its model or weights.
        content: Its `.tflite` file.
        candidates: All candidates, in order.

    Args:
        model: The float model.
        metric: The `BudgetMetric`.
        validation: `Samples` that candidates are compared on.
        calibration: Inputs for the ranges of int8.
        limits: The `SearchLimits`.
        target: `"size"` or `"latency"`.
        folder: A scratch folder.
        verbose: 0 is silent.
    """

    def __init__(
        self,
        model: keras.Model,
        metric: BudgetMetric,
        validation: Samples,
        calibration: Any,
        *,
        limits: SearchLimits,
        target: str,
        folder: str,
        verbose: int,
    ) -> None:
        self.model, self.metric, self.validation = model, metric, validation
        self.calibration, self.limits, self.target = calibration, limits, target
        self.folder = pathlib.Path(folder)
        self.verbose = verbose
        self.best: Any = None
        self.kept: Any = None
        self.content = b""
        self.candidates: list[Candidate] = []
        self.started = time.monotonic()
        outputs = outputs_of(model, validation.x)
        self.reference = metric.score(validation, outputs)
        self.baseline, _ = self._export(model, "float32", None)
        self._log(
            f"float32: {metric.name} {self.reference:.5g}, "
            f"{self.baseline.gzipped_bytes:,} bytes gzipped"
        )

    @property
    def can_continue(self) -> bool:
        """Whether another candidate may be tried."""
        limit, elapsed = self.limits.time_limit, time.monotonic() - self.started
        in_time = limit is None or elapsed < limit
        return in_time and len(self.candidates) < self.limits.max_candidates

    def evaluate(
        self, model: keras.Model, candidate: Candidate, keep: Any
    ) -> Candidate:
        """Fills in the figures of `candidate`, those of the file of `model`.

        Args:
            model: The Keras model to export.
            candidate: The `Candidate`, with how it was made.
            keep: What is kept of it if it is the best.
        """
        started = time.monotonic()
        quantization = candidate.quantization.removesuffix(" QAT")
        # A quantization-aware model has learned its ranges.
        data = self.calibration if candidate.quantization == "int8" else None
        try:
            result, path = self._export(model, quantization, data)
        except ExportError as error:
            return self.record_failure(candidate, error)
        candidate.bytes, candidate.gzipped_bytes = result.bytes, result.gzipped_bytes
        candidate.latency_ms = result.latency_ms
        outputs = predict(path, self.model, self.validation)
        candidate.metric = self.metric.score(self.validation, outputs)
        candidate.drop = self.metric.drop(candidate.metric, self.reference)
        candidate.passed = bool(result.passed)
        candidate.verdict = " ".join(
            f"{name}: {verdict.reason}" for name, verdict in result.verdicts.items()
        )
        # The metric is a mean: it hides a class that is gone, which the verdict sees.
        is_within = candidate.drop <= self.limits.budget
        candidate.met = is_within and candidate.passed
        candidate.seconds += time.monotonic() - started
        self.candidates.append(candidate)
        if self._is_better(candidate):
            self.best, self.kept = candidate, keep
            self.content = path.read_bytes()
        ratio = self.baseline.gzipped_bytes / candidate.gzipped_bytes
        verdict = "kept" if candidate.met else "too much"
        if is_within and not candidate.passed:
            verdict = f"refused: {candidate.verdict}"
        self._log(
            f"{candidate}: {self.metric.name} {candidate.metric:.5g}, "
            f"{candidate.drop:+.2f} points lost ({verdict}), "
            f"{candidate.gzipped_bytes:,} bytes gzipped ({ratio:.1f} times smaller)"
        )
        return candidate

    def record_failure(self, candidate: Candidate, error: Exception) -> Candidate:
        """Records a candidate of which there is no file."""
        candidate.error = str(error)
        self.candidates.append(candidate)
        self._log(f"{candidate}: no file ({candidate.error[:200]})")
        return candidate

    def failure(self) -> ExportError:
        """The error of a search in which no candidate could be exported."""
        reasons = "; ".join(f"{entry}: {entry.error}" for entry in self.candidates)
        return ExportError(f"No candidate could be exported. {reasons}", "conversion")

    def _export(self, model, quantization, data):
        path = self.folder / f"{quantization}.tflite"
        verified = self.validation.take(slice(_NUM_VERIFIED))
        representative = None
        if data is not None:
            representative = _samples.by_input_name(self.model, data)
        result = to_tflite(
            model,
            path,
            quantization=quantization,
            representative_data=representative,
            verify=_samples.by_input_name(self.model, verified.x),
            min_agreement=0.0,  # the budget decides, with the verdict's limit at it
            max_loss=max(1.0, self.limits.budget / _POINTS),
        )
        return result, path

    def _is_better(self, candidate):
        best = self.best
        # Any candidate within the budget beats every candidate over it.
        if best is None or candidate.met != best.met:
            return best is None or candidate.met
        if not candidate.met:
            return candidate.drop < best.drop
        return self._cost(candidate) < self._cost(best)

    def _cost(self, candidate):
        # Measured times differ from run to run; counted operations do not.
        size = candidate.gzipped_bytes
        return size if self.target == "size" else (candidate.flops, size)

    def _log(self, text):
        if self.verbose:
            number = f"{len(self.candidates)}/{self.limits.max_candidates}"
            print(f"compress {number:>5}  {text}", flush=True)  # noqa: T201


def predict(path: pathlib.Path, model: keras.Model, samples: Samples) -> np.ndarray:
    """Outputs of a `.tflite` file on samples, as one float32 array."""
    artifact = TFLiteModel(path)
    x = _samples.by_input_name(model, samples.x)
    return artifact.predict(x, batch_size=_BATCH_SIZE, verbose=0)
