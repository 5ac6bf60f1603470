"""Search of `quantization="auto"`: on one part of the data, checked on another.

A choice made on some samples is biased towards them: its agreement there says too
much. So the candidates are compared on the search part with a margin, and the chosen
one alone is checked on the gate part.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common import ExportError, shorten
from keras_strategies.export._common.sample_data import (
    first_samples,
    num_samples,
    select_samples,
)
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _options
from keras_strategies.export.convert._export_job import ExportJob
from keras_strategies.export.convert._steps import RejectedArtifact
from keras_strategies.export.verify import _outputs
from keras_strategies.export.verify._criteria import Criteria
from keras_strategies.export.verify._metric_constraint import MetricConstraint

# Fewest samples in each part: with fewer, one sample is more than five points.
MIN_SAMPLES = 20
# Samples on which single layers are ranked.
_RANKING_SAMPLES = 32
_MODES = ("float32", "float16", "dynamic", "int8", "int4_weights")
# A model that rounds in its own graph has no others.
_AWARE_MODES = ("float32", "int8")
_NEEDS_EXTRA = "they need pip install 'keras-strategies[quantizer]'."


def export(
    job: ExportJob, config: _options.SearchConfig, parts: Mapping[str, np.ndarray]
) -> tuple[bytes, dict[str, Any]]:
    """Returns the bytes and figures of the best artifact, or raises.

    Args:
        job: A prepared and started job.
        config: Settings of the search.
        parts: Rows of the samples, from `split_samples`.
    """
    search = AutoQuantizationSearch(job, config, parts["search"])
    best = search.find_best()
    content, figures = job.describe_artifact(best["artifact"])
    gate = _select(job, parts["gate"])
    try:
        figures |= job.verify(
            best["artifact"],
            gate.samples,
            gate.reference,
            gate.criteria,
            gate.constraint,
        )
    except ExportError as error:
        refusal = ExportError(
            f"{best['mode']} kept to the limits on the {len(parts['search'])} samples "
            f"searched (agreement {best['agreement']:.4f}, loss {best['loss']:.3g} of "
            f"the limit) but not on the {len(parts['gate'])} "
            f"held out. {error} Or ask for a larger `margin`.",
            error.reason,
            {**error.details, "search": search.report(best, parts)},
        )
        raise RejectedArtifact(refusal, content) from None
    report = search.report(best, parts) | {
        "gate_agreement": figures["agreement"],
        "gate_loss": _outputs.largest_loss(figures),
    }
    job.warnings += search.skipped
    figures |= {
        "quantization": best["quantization"].name,
        "search": report,
        "warnings": tuple(dict.fromkeys(job.warnings)),
    }
    return content, figures


def split_samples(job: ExportJob) -> dict[str, np.ndarray]:
    """Returns `{"search": rows, "gate": rows}` of `job.samples`.

    Without data to verify on, half of the representative samples are for the
    calibration and the other half is split, so that the final check uses samples
    that nothing was fitted to.
    """
    if not job.has_verify_data and job.representative is None:
        fix = "Pass at least 100 real inputs as `representative_data`."
        checks.fail('`quantization="auto"` needs data', fix=fix, verify=None)
    if not job.has_verify_data:
        job.samples = job.representative
        job.reference = job.reference_outputs(job.samples)
    count = num_samples(job.samples)
    # In a fixed random order: data are often sorted by class or time.
    rows = np.random.default_rng(0).permutation(count)
    job.verified_on = "a part of verify that was not searched"
    if not job.has_verify_data:
        job.verified_on = "a part of representative_data that was not searched"
        half = count // 2
        job.representative = select_samples(job.samples, rows[:half])
        rows = rows[half:]
    middle = len(rows) // 2
    if middle < MIN_SAMPLES:
        minimum = MIN_SAMPLES * (2 if job.has_verify_data else 4)
        name = "verify" if job.has_verify_data else "representative_data"
        checks.fail(
            f'`{name}` must have at least {minimum} samples for `quantization="auto"`',
            fix="One part is for the search, another for the check.",
            samples=count,
        )
    return {"search": np.sort(rows[:middle]), "gate": np.sort(rows[middle:])}


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of the data, with what its artifacts are judged by."""

    samples: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]
    criteria: Criteria
    constraint: MetricConstraint | None


def _select(job, rows):
    """Returns some rows of the data."""
    constraint = job.metric_constraint
    return _Part(
        select_samples(job.samples, rows),
        select_samples(job.reference, rows),
        job.criteria.select(rows),
        None if constraint is None else constraint.select(rows),
    )


class AutoQuantizationSearch:
    """Candidates for the best quantization, measured on the search part."""

    def __init__(
        self, job: ExportJob, config: _options.SearchConfig, rows: np.ndarray
    ) -> None:
        self.job = job
        self.config = config
        part = _select(job, rows)
        self.samples, self.reference = part.samples, part.reference
        self.metric_constraint = part.constraint
        self.criteria = dataclasses.replace(
            part.criteria, search_margin=config.search_margin
        )
        self.candidates: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        self.cost = "bytes" if config.objective == "size" else "latency_ms"
        bound = self.criteria.min_agreement or 0.0
        # Part of what may disagree, too, is kept in reserve.
        self.min_agreement = bound and bound + config.search_margin * (1 - bound)

    def find_best(self) -> dict[str, Any]:
        """Returns the best candidate within the limits, or raises."""
        is_aware = self.job.uses_learned_ranges
        has_ranges = is_aware or self.job.representative is not None
        for mode in _AWARE_MODES if is_aware else _MODES:
            if mode == "int8" and not has_ranges:
                self.skipped.append(
                    "int8 was not tried: it needs `representative_data`."
                )
            elif mode == "int4_weights" and not _options.is_quantizer_installed():
                self.skipped.append("int4 weights were not tried: " + _NEEDS_EXTRA)
            else:
                self.measure(_options.parse_quantization(mode), mode)
        if has_ranges and not is_aware:
            self.search_float_layers()
        accepted = [candidate for candidate in self.candidates if candidate["kept"]]
        if not accepted:
            raise ExportError(
                "No quantization keeps to the limits on the search samples with a "
                f"margin of {self.config.search_margin:g}: {self._candidate_list()}. "
                "Give more representative data, a smaller `margin`, or a larger "
                "`max_loss`.",
                "disagreement",
                {"candidates": self.table()},
            )
        return min(accepted, key=lambda candidate: candidate[self.cost])

    def measure(
        self, quantization: _options.Quantization, label: str
    ) -> dict[str, Any]:
        """Makes one candidate and compares it on the search samples."""
        job = self.job
        entry = {"mode": label, "quantization": quantization, "kept": False}
        self.candidates.append(entry)
        name = f"candidate_{len(self.candidates)}"
        try:
            artifact = job.create_artifact(quantization, name)
            content = artifact.read_bytes()
            if _flatbuffer.flex_ops(_flatbuffer.read(content)["ops"]):
                raise ExportError("It needs Flex operations.", "flex")
            actual, latency = job.run_artifact(artifact, self.samples)
            figures = _outputs.compare_outputs(
                self.reference, actual, job.spans, self.criteria
            )
            entry |= {"artifact": artifact, "bytes": len(content)}
            entry |= {"latency_ms": latency, "agreement": figures["agreement"]}
            whole = dataclasses.replace(self.criteria, search_margin=0.0)
            entry["loss"] = _outputs.largest_loss(figures, whole)
            entry["kept"] = figures["agreement"] >= self.min_agreement and (
                self.criteria.lets_all_pass
                or all(verdict.passed for verdict in figures["verdicts"].values())
            )
            if self.metric_constraint is not None:
                metric = self.metric_constraint.figures(self.reference, actual)
                entry["metric_drop"] = metric["drop"]
                # Half of what is allowed: the margin of the metric.
                is_within = metric["drop"] <= self.metric_constraint.limit / 2
                entry["kept"] &= bool(is_within)
        except ExportError as error:
            # These are errors of the model itself, which no other mode avoids.
            if error.reason in ("trace", "load", "reference"):
                raise
            entry["failed"] = f"{error.reason}: {shorten(str(error), 200)}"
        return entry

    def search_float_layers(self) -> None:
        """Measures int8 with as few layers in floating point as the limits allow.

        The layers are ranked by the error of each alone, and the smallest number of
        them, from the worst, is found by doubling and then bisection, which assumes
        that more layers in floating point agree no less.
        """
        int8 = next(entry for entry in self.candidates if entry["mode"] == "int8")
        costs = [entry[self.cost] for entry in self.candidates if entry["kept"]]
        if int8["kept"] or "failed" in int8 or self.job.looping_layers:
            return
        # int8 with layers in floating point only gets larger and slower.
        if costs and int8[self.cost] >= min(costs):
            return
        if not _options.is_quantizer_installed():
            self.skipped.append("Layers were not tried one by one: " + _NEEDS_EXTRA)
            return
        layers = self.rank_layers()
        rejected, accepted = 0, None  # numbers of layers that were measured
        while accepted is None or accepted - rejected > 1:
            if accepted is None:  # double until the limits are kept
                count = min(2 * rejected or 1, len(layers))
                if count == rejected:
                    return
            else:  # then bisect
                count = (rejected + accepted) // 2
            entry = self.measure_mixed(layers[:count])
            if entry["kept"]:
                accepted = count
            elif costs and entry.get(self.cost, 0) >= min(costs):
                return  # more layers would only be larger or slower
            else:
                rejected = count

    def measure_mixed(self, layers: list[str]) -> dict[str, Any]:
        """Measures int8 with `layers` in floating point."""
        pattern = f"^(?:{'|'.join(map(re.escape, layers))})$"
        float_mode = "float16" if self.config.objective == "size" else "float32"
        rules = {pattern: float_mode, ".*": "int8"}
        label = f"int8, {len(layers)} of the layers in {float_mode}"
        return self.measure(_options.parse_quantization(rules), label)

    def rank_layers(self) -> list[str]:
        """Returns the layers by the error that each alone in int8 causes, worst first.

        The error is the sum over the outputs of `mean((actual - expected)^2)` by the
        variance of the expected values.
        """
        job = self.job
        layers = job.run_in_worker(
            "_calibration.rule_quantizer.list_layers",
            {"float_artifact": str(job.float_artifact()), "layers": job.layers},
            "listing layers",
            "conversion",
        )
        # An order needs fewer samples than a verdict, and each layer costs a
        # conversion.
        samples = first_samples(self.samples, _RANKING_SAMPLES)
        expected = first_samples(self.reference, _RANKING_SAMPLES)
        errors = {}
        for layer in layers:
            rules = {f"^{re.escape(layer)}$": "int8"}
            quantization = _options.parse_quantization(rules)
            artifact = job.create_artifact(quantization, "single")
            actual, _ = job.run_artifact(artifact, samples, timed=False)
            errors[layer] = sum(
                float(np.mean((actual[name].astype("float64") - value) ** 2))
                / (float(np.var(value)) or 1.0)
                for name, value in expected.items()
            )
        return sorted(layers, key=lambda layer: -errors[layer])

    def table(self) -> list[dict[str, Any]]:
        """Returns the candidates as JSON-ready dicts."""
        hidden = ("quantization", "artifact")
        return [
            {key: value for key, value in entry.items() if key not in hidden}
            for entry in self.candidates
        ]

    def _candidate_list(self):
        """Returns the candidates in one line."""
        return ", ".join(
            f"{entry['mode']} {entry['loss']:.3g} of the limit"
            if "agreement" in entry
            else f"{entry['mode']} failed"
            for entry in self.candidates
        )

    def report(
        self, best: Mapping[str, Any], parts: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Returns the course of the search, JSON-ready."""
        return {
            "objective": self.config.objective,
            "margin": self.config.search_margin,
            "chosen": best["mode"],
            "search_samples": len(parts["search"]),
            "search_agreement": best["agreement"],
            "search_loss": best["loss"],
            "gate_samples": len(parts["gate"]),
            "candidates": self.table(),
        }
