"""One export: its data, the reference, the conversion and the comparison."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies._internal import quantized
from keras_strategies.export._common import (
    ExportError,
    NamedArrays,
    model_signature,
    sample_data,
)
from keras_strategies.export.artifact import _flatbuffer, _metadata
from keras_strategies.export.convert import _messages
from keras_strategies.export.convert._model_converter import ModelConverter
from keras_strategies.export.convert._steps import RejectedArtifact, report_step
from keras_strategies.export.verify import _reference
from keras_strategies.export.verify._metric_constraint import MetricConstraint

# Figures of an artifact with Flex operations, which cannot be run here.
_UNVERIFIED = {
    "verified": False,
    "samples": 0,
    "outputs": {},
    **dict.fromkeys(_reference.FIGURES),
    "latency_ms": None,
}
# Tolerance of a half precision model, whose outputs have 11 bits or fewer.
_HALF_PRECISION_TOLERANCE = 1e-2


@dataclasses.dataclass
class ExportJob(ModelConverter):
    """A conversion with data to verify its artifacts on."""

    metadata: dict[str, Any] | None
    min_agreement: float
    tolerance: float
    metric_constraint: MetricConstraint | None = None

    def prepare(self, representative_data: Any, verify: Any) -> None:
        """Checks the data and runs the Keras model; starts no worker."""
        model = self.model
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
        elif self.representative is not None:
            self.samples = sample_data.first_samples(
                self.representative, sample_data.NUM_VERIFIED
            )
        else:
            self.samples = sample_data.generate_samples(model, self.specs)
            self.warnings.append(sample_data.GENERATED_WARNING)
        self.reference = self.reference_outputs(self.samples)
        self.warnings += _messages.constant_output_warnings(self.reference)
        if self.uses_learned_ranges:
            names = quantized.unset_ranges(model)
            self.warnings += _messages.unset_ranges_warnings(names)
        if self.metric_constraint is not None:
            self.metric_constraint.check_size(sample_data.num_samples(self.samples))
        if model_signature.computes_in_half_precision(model):
            self.tolerance = max(self.tolerance, _HALF_PRECISION_TOLERANCE)
            self.warnings.append(_messages.HALF_PRECISION_WARNING)

    def reference_outputs(self, samples: Mapping[str, np.ndarray]) -> NamedArrays:
        """Returns the outputs of the Keras model, which must be finite."""
        report_step("running the Keras model")
        return _reference.reference_outputs(self.model, self.structure, samples)

    @property
    def compares_classes(self) -> bool | None:
        """`True` if outputs are compared as classes whatever their values are."""
        is_classifier = _reference.is_classifier(self.model)
        return True if len(self.reference) == 1 and is_classifier else None

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
                figures |= self.verify(artifact, self.samples, self.reference)
            except ExportError as error:
                raise RejectedArtifact(error, content) from None
        return content, figures | {"warnings": tuple(self.warnings)}

    def describe_artifact(self, artifact: pathlib.Path) -> tuple[bytes, dict[str, Any]]:
        """Writes the metadata into the file; returns its bytes and its contents."""
        content = artifact.read_bytes()
        if self.metadata:
            content = _metadata.write(content, self.metadata)
            artifact.write_bytes(content)
        contents = _flatbuffer.read(content)
        warnings = _messages.quantization_warnings(self.quantization, contents)
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
    ) -> dict[str, Any]:
        """Returns the figures of the comparison, or raises `ExportError`."""
        actual, latency = self.run_artifact(artifact, samples)
        figures = _reference.compare_outputs(
            self.model, reference, actual, self.tolerance, self.min_agreement
        )
        if self.metric_constraint is not None:
            figures["metric"] = self.metric_constraint.check(reference, actual)
        figures |= {"verified": True, "latency_ms": latency}
        return figures | {"samples": sample_data.num_samples(samples)}
