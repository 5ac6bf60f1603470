"""Candidates of a search: made, measured and compared in one way."""

import dataclasses
import pathlib
import time

from keras_strategies.compression.search import _samples
from keras_strategies.compression.search._fine_tuner import outputs_of
from keras_strategies.export import ExportError, TFLiteModel, to_tflite

# Samples on which each file is run against its Keras model.
_VERIFIED = 64
_BATCH = 256


@dataclasses.dataclass
class Candidate:
    """One compressed model: how it was made, and what was measured."""

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
    met: bool = False
    seconds: float = 0.0
    error: str = ""

    def row(self):
        """The figures as a dict."""
        return dataclasses.asdict(self)

    def __str__(self):
        parts = [self.quantization]
        if self.filters:
            parts.append(f"{self.filters:.3g} of filters removed")
        if self.sparsity:
            parts.append(f"{self.sparsity:.3g} sparse")
        if self.clusters:
            parts.append(f"{self.clusters} values")
        return ", ".join(parts)


class Bench:
    """Exports and scores candidates, and keeps the best.

    Args:
        model: The float model.
        measure: The `_search_metric.Measure`.
        validation: `Samples` that candidates are compared on.
        calibration: Inputs for the ranges of int8.
        budget: Largest drop in points.
        target: `"size"` or `"latency"`.
        folder: A scratch folder.
        limits: `(number of candidates, seconds or None)`.
        verbose: 0 is silent.
    """

    def __init__(
        self,
        model,
        measure,
        validation,
        calibration,
        *,
        budget,
        target,
        folder,
        limits,
        verbose,
    ):
        self.model, self.measure, self.validation = model, measure, validation
        self.calibration, self.budget, self.target = calibration, budget, target
        self.best = self.kept = self.content = None
        self.candidates = []
        self.folder = pathlib.Path(folder)
        self.most, self.seconds = limits
        self.verbose = verbose
        self.started = time.monotonic()
        outputs = outputs_of(model, validation.x)
        self.reference = measure.score(validation, outputs)
        self.baseline, _ = self._exported(model, "float32", None)
        self._say(
            f"float32: {measure.name} {self.reference:.5g}, "
            f"{self.baseline.gzipped_bytes:,} bytes gzipped"
        )

    @property
    def left(self):
        """Whether another candidate may be tried."""
        spent = time.monotonic() - self.started
        in_time = self.seconds is None or spent < self.seconds
        return in_time and len(self.candidates) < self.most

    def measured(self, model, candidate, keep):
        """Fills in the figures of `candidate`, the file of `model`.

        Args:
            model: The Keras model to export.
            candidate: The `Candidate`, with what is known of it.
            keep: What is kept of it if it is the best.
        """
        started = time.monotonic()
        mode = candidate.quantization.removesuffix(" QAT")
        data = self.calibration if candidate.quantization == "int8" else None
        try:
            result, path = self._exported(model, mode, data)
        except ExportError as error:
            return self.failed(candidate, error)
        candidate.bytes, candidate.gzipped_bytes = result.bytes, result.gzipped_bytes
        candidate.latency_ms = result.latency_ms
        outputs = run(path, self.model, self.validation)
        candidate.metric = self.measure.score(self.validation, outputs)
        candidate.drop = self.measure.drop(candidate.metric, self.reference)
        candidate.met = candidate.drop <= self.budget
        candidate.seconds += time.monotonic() - started
        self.candidates.append(candidate)
        if self._better(candidate):
            self.best, self.kept = candidate, keep
            self.content = path.read_bytes()
        ratio = self.baseline.gzipped_bytes / candidate.gzipped_bytes
        verdict = "kept" if candidate.met else "too much"
        self._say(
            f"{candidate}: {self.measure.name} {candidate.metric:.5g}, "
            f"{candidate.drop:+.2f} points lost ({verdict}), "
            f"{candidate.gzipped_bytes:,} bytes gzipped ({ratio:.1f} times smaller)"
        )
        return candidate

    def failed(self, candidate, error):
        """Notes a candidate of which there is no file."""
        candidate.error = str(error)
        self.candidates.append(candidate)
        self._say(f"{candidate}: no file ({candidate.error[:200]})")
        return candidate

    def failure(self):
        """The error of a search in which no candidate could be exported."""
        reasons = "; ".join(f"{one}: {one.error}" for one in self.candidates)
        return ExportError(f"No candidate could be exported. {reasons}", "conversion")

    def _exported(self, model, quantization, data):
        path = self.folder / f"{quantization}.tflite"
        verify = _samples.named(self.model, self.validation.take(slice(_VERIFIED)).x)
        given = None if data is None else _samples.named(self.model, data)
        result = to_tflite(
            model,
            path,
            quantization=quantization,
            representative_data=given,
            verify=verify,
            min_agreement=0.0,  # the metric decides
        )
        return result, path

    def _better(self, candidate):
        best = self.best
        if best is None or candidate.met != best.met:
            return best is None or candidate.met
        if not candidate.met:
            return candidate.drop < best.drop
        return self._cost(candidate) < self._cost(best)

    def _cost(self, candidate):
        # Measured times differ from run to run; the work does not.
        size = candidate.gzipped_bytes
        return size if self.target == "size" else (candidate.flops, size)

    def _say(self, text):
        if self.verbose:
            number = f"{len(self.candidates)}/{self.most}"
            print(f"compress {number:>5}  {text}", flush=True)  # noqa: T201


def run(path, model, samples):
    """Outputs of a `.tflite` file on samples, as one float32 array."""
    artifact = TFLiteModel(path)
    x = _samples.named(model, samples.x)
    return artifact.predict(x, batch_size=_BATCH, verbose=0)
