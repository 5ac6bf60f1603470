"""`quantization="auto"`: search on one part of the data, check on another."""

import re

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _messages, _options
from keras_strategies.export.verify import _reference

# Fewest samples in each part: below, one sample is more than five points.
LEAST_SAMPLES = 20
# Samples on which single layers are ranked.
_RANKED_ON = 32


def export(job, search):
    """Returns the bytes and figures of the best artifact, or raises.

    Args:
        job: A prepared `_job.Job`.
        search: The `_options.Search`.
    """
    parts = split(job)
    job.worker.start()
    job.trace()
    hunt = _Hunt(job, search, parts["search"])
    best = hunt.best()
    content, figures = job.described(best["artifact"])
    samples, reference, gate = _part(job, parts["gate"])
    job.gate, kept = gate, job.gate
    try:
        figures |= job.verify(best["artifact"], samples, reference)
    except ExportError as error:
        refused = ExportError(
            f"{best['mode']} kept to the limits on the {len(parts['search'])} samples "
            f"searched ({best['agreement']:.4f}) but not on the {len(parts['gate'])} "
            f"held out. {error} Or ask for a larger `margin`.",
            error.reason,
            {**error.details, "search": hunt.report(best, parts)},
        )
        raise _messages.Rejected(refused, content) from None
    finally:
        job.gate = kept
    report = hunt.report(best, parts) | {"gate_agreement": figures["agreement"]}
    job.warnings += hunt.skipped
    figures |= {
        "quantization": best["quantization"].name,
        "search": report,
        "warnings": tuple(dict.fromkeys(job.warnings)),
    }
    return content, figures


def split(job):
    """Returns `{"search": rows, "gate": rows}` of `job.samples`.

    Without data to verify on, half of the representative samples go to the
    calibration and the other half is shared out, so that the last word is had by
    samples that nothing was fitted to.
    """
    if not job.verified_apart and job.representative is None:
        fix = "Pass at least 100 real inputs as `representative_data`."
        checks.fail('`quantization="auto"` needs data', fix=fix, verify=None)
    if not job.verified_apart:
        job.samples = job.representative
        job.reference = job.ask_model(job.samples)
    count = len(next(iter(job.samples.values())))
    rows = np.random.default_rng(0).permutation(count)
    if not job.verified_apart:
        half = count // 2
        job.representative = {k: v[rows[:half]] for k, v in job.samples.items()}
        rows = rows[half:]
    middle = len(rows) // 2
    if middle < LEAST_SAMPLES:
        least = LEAST_SAMPLES * (2 if job.verified_apart else 4)
        name = "verify" if job.verified_apart else "representative_data"
        checks.fail(
            f'`{name}` must have at least {least} samples for `quantization="auto"`',
            fix="One part is for the search, another for the check.",
            samples=count,
        )
    return {"search": np.sort(rows[:middle]), "gate": np.sort(rows[middle:])}


def _part(job, rows):
    samples = {name: values[rows] for name, values in job.samples.items()}
    reference = {name: values[rows] for name, values in job.reference.items()}
    return samples, reference, None if job.gate is None else job.gate.part(rows)


class _Hunt:
    """The candidates, measured on the search part."""

    def __init__(self, job, search, rows):
        self.job = job
        self.search = search
        self.samples, self.reference, self.gate = _part(job, rows)
        self.candidates = []
        self.skipped = []
        self.rank = "bytes" if search.objective == "size" else "latency_ms"
        self.least = min(1.0, job.least + search.margin)

    def best(self):
        """Returns the best candidate that keeps to the limits, or raises."""
        integers = self.job.representative is not None
        for mode in ("float32", "float16", "dynamic", "int8", "int4_weights"):
            if mode == "int8" and not integers:
                self.skipped.append(
                    "int8 was not tried: it needs `representative_data`."
                )
            elif mode == "int4_weights" and not _options.quantizer_installed():
                self.skipped.append("int4 weights were not tried: " + _EXTRA)
            else:
                self.measure(_options.quantization(mode), mode)
        if integers:
            self.fall_back()
        kept = [candidate for candidate in self.candidates if candidate["kept"]]
        if not kept:
            raise ExportError(
                f"No quantization agrees on {self.least:.4f} of the search samples "
                f"(min_agreement {self.job.least:g} plus margin): {self.listed()}. "
                "Give a lower `min_agreement` or more representative data.",
                "disagreement",
                {"candidates": self.table()},
            )
        return min(kept, key=lambda candidate: candidate[self.rank])

    def measure(self, quantization, label):
        """Makes one candidate and compares it on the search samples."""
        job = self.job
        entry = {"mode": label, "quantization": quantization, "kept": False}
        self.candidates.append(entry)
        try:
            artifact = job.produce(quantization, f"candidate_{len(self.candidates)}")
            content = artifact.read_bytes()
            if _flatbuffer.flex_ops(_flatbuffer.read(content)["ops"]):
                raise ExportError("It needs Flex operations.", "flex")
            actual, latency = job.run(artifact, self.samples)
            figures = _reference.judge(
                job.model, self.reference, actual, job.tolerance, 0.0
            )
            entry |= {"artifact": artifact, "bytes": len(content)}
            entry |= {"latency_ms": latency, "agreement": figures["agreement"]}
            entry["kept"] = figures["agreement"] >= self.least
            if self.gate is not None:
                metric = self.gate.figures(self.reference, actual)
                entry["metric_drop"] = metric["drop"]
                # Half of what is allowed: the margin of the metric.
                entry["kept"] &= bool(metric["drop"] <= self.gate.limit / 2)
        except ExportError as error:
            if error.reason in ("trace", "load", "reference"):
                raise
            entry["failed"] = f"{error.reason}: {_messages.clip(str(error), 200)}"
        return entry

    def fall_back(self):
        """int8 with as few layers in floating point as the limits allow."""
        whole = next(entry for entry in self.candidates if entry["mode"] == "int8")
        kept = [entry[self.rank] for entry in self.candidates if entry["kept"]]
        if whole["kept"] or "failed" in whole or self.job.recurrent:
            return
        if kept and whole[self.rank] >= min(kept):
            return
        if not _options.quantizer_installed():
            self.skipped.append("Layers were not tried one by one: " + _EXTRA)
            return
        layers = self.ranked()
        low, high = 0, None
        while high is None or high - low > 1:
            count = (
                min(2 * low or 1, len(layers)) if high is None else (low + high) // 2
            )
            if high is None and count == low:
                return
            entry = self.mixed(layers[:count])
            if entry["kept"]:
                high = count
            elif kept and entry.get(self.rank, 0) >= min(kept):
                return  # more layers would only be larger or slower
            else:
                low = count

    def mixed(self, layers):
        """Measures int8 with `layers` in floating point."""
        pattern = f"^(?:{'|'.join(map(re.escape, layers))})$"
        refuge = "float16" if self.search.objective == "size" else "float32"
        rules = {pattern: refuge, ".*": "int8"}
        label = f"int8, {len(layers)} of the layers in {refuge}"
        return self.measure(_options.quantization(rules), label)

    def ranked(self):
        """Returns the layers by the error that each alone in int8 does, worst first."""
        job = self.job
        arguments = {"float_artifact": str(job.float_artifact()), "layers": job.layers}
        layers = job.ask(
            "_calibration.rule_quantizer.layers",
            arguments,
            "listing layers",
            "conversion",
        )
        few = {name: values[:_RANKED_ON] for name, values in self.samples.items()}
        expected = {name: v[:_RANKED_ON] for name, v in self.reference.items()}
        errors = {}
        for layer in layers:
            rules = {f"^{re.escape(layer)}$": "int8"}
            artifact = job.produce(_options.quantization(rules), "single")
            actual, _ = job.run(artifact, few, timed=False)
            errors[layer] = sum(
                float(np.mean((actual[name].astype("float64") - value) ** 2))
                / (float(np.var(value)) or 1.0)
                for name, value in expected.items()
            )
        return sorted(layers, key=lambda layer: -errors[layer])

    def table(self):
        """Returns the candidates as JSON-ready dicts."""
        hidden = ("quantization", "artifact")
        return [
            {key: value for key, value in entry.items() if key not in hidden}
            for entry in self.candidates
        ]

    def listed(self):
        """Returns the candidates in one line."""
        return ", ".join(
            f"{entry['mode']} {entry['agreement']:.4f}"
            if "agreement" in entry
            else f"{entry['mode']} failed"
            for entry in self.candidates
        )

    def report(self, best, parts):
        """Returns what the search did, JSON-ready."""
        return {
            "objective": self.search.objective,
            "margin": self.search.margin,
            "chosen": best["mode"],
            "search_samples": len(parts["search"]),
            "search_agreement": best["agreement"],
            "gate_samples": len(parts["gate"]),
            "candidates": self.table(),
        }


_EXTRA = "they need pip install 'keras-strategies[quantizer]'."
