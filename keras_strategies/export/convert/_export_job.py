"""One export: its data, the reference, the conversion and the comparison."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal.weights import quantized
from keras_strategies.export._common import (
    ExportError,
    NamedArrays,
    model_signature,
    sample_data,
)
from keras_strategies.export.artifact import _flatbuffer, _metadata
from keras_strategies.export.convert import _messages
from keras_strategies.export.convert._model_converter import ModelConverter
from keras_strategies.export.convert._pixel_inputs import (
    pixel_warnings,
    scaled_inputs,
)
from keras_strategies.export.convert._steps import RejectedArtifact, report_step
from keras_strategies.export.rescue._apply import apply_rescue
from keras_strategies.export.verify import _outputs, _reference
from keras_strategies.export.verify._criteria import (
    Criteria,
    labels_by_output,
    loosest,
)
from keras_strategies.export.verify._metric_constraint import MetricConstraint
from keras_strategies.export.verify._output_kinds import output_spans

# Figures of an artifact with Flex operations, which cannot be run here.
_UNVERIFIED = {
    "verified": False,
    "verified_on": "",
    "samples": 0,
    "outputs": {},
    "verdicts": {},
    **dict.fromkeys(_outputs.FIGURES),
    "latency_ms": None,
}
_WAY_OUT = (
    "Nothing was written. Use another `quantization`, more representative data, real "
    "data in `verify`, or, if that is not what the output means, say it with "
    "`output_kind`."
)


@dataclasses.dataclass
class ExportJob(ModelConverter):
    """A conversion with data to verify its artifacts on."""

    metadata: dict[str, Any] | None
    criteria: Criteria
    labels: Any = None
    metric_constraint: MetricConstraint | None = None
    rescue: tuple[str, ...] = ()

    def prepare(self, representative_data: Any, verify: Any) -> None:
        """Checks the data and runs the Keras model; starts no worker."""
        model = self.model
        if names := model_signature.float8_layers(model):
            raise ExportError(_messages.float8_message(names), "conversion")
        normalization = (self.metadata or {}).get("normalization")
        if representative_data is not None:
            self.representative = sample_data.named_samples(
                "representative_data", representative_data, self.specs, normalization
            )
        self.has_verify_data = verify is not None and verify is not True
        if self.has_verify_data:
            self.samples = sample_data.named_samples(
                "verify", verify, self.specs, normalization
            )
            self.verified_on = "verify"
            self._warn_of_overshoot()
        elif self.representative is not None:
            self._take_representative_samples()
        else:
            self.samples = sample_data.generate_samples(model, self.specs)
            self.warnings.append(sample_data.GENERATED_WARNING)
            self.verified_on = "made-up inputs"
        self.reference = self.reference_outputs(self.samples)
        self.warnings += _messages.constant_output_warnings(self.reference)
        if self.uses_learned_ranges and self.quantization.uniform != "float32":
            names = quantized.unset_ranges(model)
            self.warnings += _messages.unset_ranges_warnings(names)
        if self.metric_constraint is not None:
            self.metric_constraint = self.metric_constraint.validate(
                sample_data.num_samples(self.samples), self.reference
            )
        self.criteria.check_names(list(self.reference))
        self.spans = output_spans(model, self.reference, self.criteria.output_kind)
        self._look_at_pixels()
        labels = labels_by_output(
            "labels",
            self.labels,
            list(self.reference),
            sample_data.num_samples(self.samples),
        )
        self.criteria = dataclasses.replace(
            self.criteria,
            limits=self._limits(),
            labels=labels,
            class_names=(self.metadata or {}).get("labels") or (),
        )

    def _limits(self):
        """The limits of the mode, loosened by how the Keras model itself computes."""
        model, limits = self.model, self.criteria.limits
        if model_signature.computes_in_half_precision(model):
            # The reference itself has outputs of 11 bits or fewer.
            limits = limits.loosened(loosest(["float16"]))
            self.warnings.append(_messages.HALF_PRECISION_WARNING)
        if model_signature.computes_in_float64(model):
            self.warnings.append(_messages.FLOAT64_WARNING)
        if model_signature.rounds_activations(model):
            limits = limits.loosened(loosest(["dynamic"]))
        return limits

    def _look_at_pixels(self):
        """Notes which inputs take pixels as they are, as readers need to know."""
        self.raw_inputs: dict[str, str] = {}
        if not self.metadata:
            return
        names = [spec.name for spec in self.specs]
        self.raw_inputs = scaled_inputs(self.model, names)
        self.warnings += pixel_warnings(
            self.specs, self.metadata, self.raw_inputs, self.input_type
        )

    def start(self, folder: str) -> None:
        """As before, with the rescued model in the place of the given one.

        What is compared with is the given one: its outputs are computed already.
        """
        if self.rescue:
            report_step("making the model round better")
            samples = self.representative or {}
            data = [samples[spec.name] for spec in self.specs]
            self.model = apply_rescue(
                self.model, self.rescue, data[0] if len(data) == 1 else data
            )
        super().start(folder)

    def _take_representative_samples(self):
        """Checks on samples that no range comes from, where there are enough."""
        samples, count = (
            self.representative,
            sample_data.num_samples(self.representative),
        )
        self.verified_on = "representative_data"
        if not self._is_calibrated:
            self.samples = sample_data.first_samples(samples, sample_data.NUM_VERIFIED)
            return
        rest, held_out = sample_data.hold_out(count)
        if not len(held_out):
            self.samples = samples
            self.warnings.append(_messages.calibrated_on_warning(count))
            return
        self.samples = sample_data.select_samples(samples, held_out)
        self.representative = sample_data.select_samples(samples, rest)
        self.verified_on = (
            f"{len(held_out)} of {count} samples of representative_data, held out of "
            "the calibration"
        )
        self._warn_of_overshoot()

    @property
    def _is_calibrated(self):
        """Whether ranges of the file come from the representative data."""
        return self.quantization.is_static and not self.uses_learned_ranges

    def _warn_of_overshoot(self):
        """Warns of verified inputs outside of the range that was calibrated."""
        if self.representative is None or not self._is_calibrated:
            return
        self.warnings += _messages.overshoot_warnings(
            sample_data.fraction_outside(self.samples, self.representative)
        )

    def reference_outputs(self, samples: Mapping[str, np.ndarray]) -> NamedArrays:
        """Returns the outputs of the Keras model, which must be finite."""
        report_step("running the Keras model")
        return _reference.reference_outputs(
            self.model, self.structure, samples, self.artifact_batch
        )

    def export(self) -> tuple[bytes, dict[str, Any]]:
        """Returns the artifact's bytes and its figures, or raises."""
        artifact = self.create_artifact(self.quantization, "model")
        content, figures = self.describe_artifact(artifact)
        figures |= {"quantization": self.quantization.name, "search": None}
        flex = _flatbuffer.flex_ops(figures["ops"])
        if flex:
            self.warnings.append(_messages.unverified_warning(flex))
            # No Python runtime of LiteRT has these operations.
            figures |= _UNVERIFIED
        else:
            try:
                figures |= self.verify(
                    artifact,
                    self.samples,
                    self.reference,
                    self.criteria,
                    self.metric_constraint,
                )
            except ExportError as error:
                raise RejectedArtifact(error, content) from None
        return content, figures | {"warnings": tuple(self.warnings)}

    def describe_artifact(self, artifact: pathlib.Path) -> tuple[bytes, dict[str, Any]]:
        """Writes the metadata into the file; returns its bytes and its contents."""
        content = artifact.read_bytes()
        if self.metadata:
            content = _metadata.write(content, self.metadata, tuple(self.raw_inputs))
            artifact.write_bytes(content)
        contents = _flatbuffer.read(content)
        warnings = _messages.quantization_warnings(
            self.quantization, contents, self.uses_learned_ranges
        )
        self.warnings += warnings
        keys = ("signature", "ops", "tensor_types")
        calibration = self.calibration_figures
        return content, {key: contents[key] for key in keys} | {
            "calibration_samples": 0 if calibration is None else calibration["samples"],
            "calibration": calibration,
        }

    def verify(
        self,
        artifact: pathlib.Path,
        samples: NamedArrays,
        reference: Mapping[str, np.ndarray],
        criteria: Criteria,
        constraint: MetricConstraint | None,
    ) -> dict[str, Any]:
        """Returns the figures of the comparison, or raises `ExportError`."""
        actual, latency = self.run_artifact(artifact, samples)
        figures = _outputs.compare_outputs(reference, actual, self.spans, criteria)
        _outputs.check(figures, criteria, _WAY_OUT)
        if constraint is not None:
            figures["metric"] = constraint.check(reference, actual)
        if self.verified_on != "made-up inputs":
            self.warnings += _outputs.warnings(figures)
        else:
            self.warnings += _outputs.refusals(figures)
        figures |= {"verified": True, "latency_ms": latency}
        figures["verified_on"] = self.verified_on
        return figures | {"samples": sample_data.num_samples(samples)}
