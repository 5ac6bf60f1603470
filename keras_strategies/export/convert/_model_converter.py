"""Conversion of one Keras model into artifacts, step by step in the worker."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies.export._calibration.rule_quantizer import STATIC_MODES
from keras_strategies.export._common import (
    ExportError,
    NamedArrays,
    Reason,
    model_signature,
    model_transfer,
    named_arrays,
    sample_data,
)
from keras_strategies.export._worker.converter_client import WorkerError, shared_client
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _messages, _options, _trace
from keras_strategies.export.convert._steps import report_step
from keras_strategies.export.convert._substitutes.substitutes import SUBSTITUTES

# Modes that only litert-quantizer has: one for each layer, and int4 weights.
_RULE_MODES = (None, "int4_weights")

# Operations that the converter takes in most forms only, and breaks at in others.
_BREAKING_OPS = ("Einsum",)


@dataclasses.dataclass
class ModelConverter:
    """Settings of a conversion, and the files that it makes from the model.

    The float32 file and the calibrated ranges are made when first needed and shared
    by all artifacts.
    """

    model: keras.Model
    quantization: _options.Quantization
    quantizer: str
    input_type: str
    output_type: str
    batch_size: int | None
    allow_flex: bool
    calibration: dict[str, Any]
    time_limit: float
    uses_learned_ranges: bool
    # Inputs that tell the shapes of arguments that Keras does not keep.
    example: Any = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self.folder = pathlib.Path()
        self.client = shared_client()
        self.warnings: list[str] = []
        self.layers: dict[str, str] = {}
        self.flex: list[str] = []
        # Operation -> why its substitute does not fit.
        self.kept_ops: dict[str, str] = {}
        self.calibration_figures: dict[str, Any] | None = None
        self.representative: NamedArrays | None = None
        self.samples: NamedArrays = {}
        self.structure, self.specs = model_signature.input_specs(
            self.model, self.example
        )
        model_signature.validate_inputs(self.specs, self.batch_size)
        self._fix_batch()

    def _fix_batch(self):
        """Recurrent layers need a fixed batch: without one their loop is Flex."""
        is_free = self.batch_size is None and self.specs[0].shape[0] is None
        self.looping_layers = _messages.looping_layers(self.model)
        if is_free and self.looping_layers and not self.allow_flex:
            self.batch_size = 1
            warning = _messages.single_sample_warning(self.looping_layers)
            self.warnings.append(warning)
        self.artifact_batch = self.batch_size or self.specs[0].shape[0]

    def start(self, folder: str) -> None:
        """Starts the worker and traces the model; `folder` is for its files."""
        self.folder = pathlib.Path(folder)
        self.client.start()  # its start and our tracing overlap
        self.trace()

    def run_in_worker(
        self, command: str, arguments: dict[str, Any], action: str, reason: Reason
    ) -> Any:
        """Runs a command in the worker; its exceptions become an `ExportError`."""
        hint = _messages.crash_hint(self.model)
        report_step(action)
        try:
            return self.client.request(
                command,
                arguments,
                time_limit=self.time_limit,
                action=action,
                hint=hint,
            )
        except WorkerError as error:
            raise _messages.worker_failure(
                error.kind, error.message, self.model, action, reason, self.layers
            ) from error

    def trace(self) -> None:
        """Writes the SavedModel that all conversions start from."""
        saved_model = self.folder / "saved_model"
        report_step("tracing the model")
        if keras.backend.backend() == "tensorflow":
            try:
                notes: list[str] = []
                self.layers = _trace.write_saved_model(
                    self.model,
                    saved_model,
                    self.batch_size,
                    notes=notes,
                    signature=(self.structure, self.specs),
                )
                self._add_notes(notes)
            except Exception as error:
                message = _messages.trace_failed_message(self.model, error)
                raise ExportError(message, "trace") from error
            return
        # Other backends cannot write a SavedModel: the worker loads the model.
        if model_signature.keras_forgets_arguments(self.model, self.structure):
            message = _messages.forgotten_arguments_message(self.model, self.specs)
            raise ExportError(message, "trace")
        arguments = model_transfer.save_for_worker(self.model, self.folder) | {
            "saved_model": str(saved_model),
            "batch_size": self.batch_size,
            "names": [spec.name for spec in self.specs],
        }
        action = "loading and tracing the model"
        traced = self.run_in_worker(
            "convert._conversion.trace", arguments, action, "load"
        )
        self.layers = traced["layers"]
        self._add_notes(traced["notes"])

    def _add_notes(self, notes):
        """Adds warnings once, also where the model is traced again."""
        self.warnings += [note for note in notes if note not in self.warnings]

    def create_artifact(
        self, quantization: _options.Quantization, name: str
    ) -> pathlib.Path:
        """Makes the artifact `name` and returns its path."""
        artifact = self.folder / f"{name}.tflite"
        mode = quantization.uniform
        is_static = mode in STATIC_MODES
        by_rules = self.quantizer == "litert-quantizer" or mode in _RULE_MODES
        # The ranges are in the graph, as operations of quantization-aware training.
        if self.uses_learned_ranges and is_static:
            types = {"input_type": self.input_type, "output_type": self.output_type}
            self.convert(artifact, "learned", types)
            return artifact
        if not by_rules and not is_static:
            self.convert(artifact, mode)
            return artifact
        self.float_artifact()
        if self.flex and is_static:
            # The interpreter here cannot run it: TensorFlow calibrates it by itself.
            self._convert_with_calibration(artifact, mode)
            return artifact
        ranges = self.calibrated_ranges() if quantization.is_static else None
        # Loops need a mode of their own, which only rules can express.
        if by_rules or self.looping_layers:
            self._quantize_by_rules(quantization, artifact, ranges)
            return artifact
        try:
            self._quantize(artifact, mode, ranges)
        except ExportError as error:
            if mode == "int8":
                raise
            reason = _messages.fallback_reason(error)
            self._quantize_by_rules(quantization, artifact, ranges, reason)
        return artifact

    def _quantize(self, artifact, mode, ranges):
        arguments = {
            "float_artifact": str(self.float_artifact()),
            "artifact": str(artifact),
            "mode": mode,
            "ranges": str(ranges),
            "input_type": self.input_type,
            "output_type": self.output_type,
        }
        command, action = "tensorflow_quantizer.quantize", f"quantizing to {mode}"
        self.run_in_worker(f"_calibration.{command}", arguments, action, "conversion")
        if mode == "int16x8":
            # TensorFlow writes it even where LiteRT has no such kernel: try it.
            one_sample = sample_data.first_samples(self.samples, 1)
            self.run_artifact(artifact, one_sample, timed=False)

    def float_artifact(self) -> pathlib.Path:
        """Returns the float32 file, converted when first needed."""
        path = self.folder / "float32.tflite"
        if not path.exists():
            self.convert(path, "float32")
            ops = _flatbuffer.read(path.read_bytes())["ops"]
            self.flex = _flatbuffer.flex_ops(ops)
        return path

    def convert(
        self,
        artifact: pathlib.Path,
        mode: str | None,
        integer: dict[str, Any] | None = None,
    ) -> None:
        """Converts the SavedModel; replaces unsupported operations where possible."""
        arguments = {
            "saved_model": str(self.folder / "saved_model"),
            "artifact": str(artifact),
            "mode": mode,
            "integer": integer,
        }
        action = f"converting to {'int8' if mode == 'learned' else mode}"
        command = "convert._conversion.convert"
        for _ in range(4):  # loops, then operations, some of which hide others
            try:
                self.run_in_worker(command, arguments, action, "conversion")
                return
            except ExportError as error:
                is_flex = error.reason == "flex"
                # Some that LiteRT has in principle break the converter.
                breaks = [op for op in _BREAKING_OPS if f'"{op}:"' in str(error)]
                if error.reason == "conversion" and self._replace_unsupported_ops(
                    breaks
                ):
                    continue
                if is_flex and self._replace_unsupported_ops(error.details["ops"]):
                    continue
                if is_flex and self.allow_flex:
                    break
                if is_flex and self.kept_ops:
                    raise _messages.with_reasons(error, self.kept_ops) from error
                raise
        arguments["allow_flex"] = True
        self.run_in_worker(command, arguments, action, "conversion")

    def _replace_unsupported_ops(self, ops):
        """Changes the SavedModel so that LiteRT has its operations, if possible."""
        has_loop = any(op.startswith("TensorList") for op in ops)
        if has_loop and self.artifact_batch is None:
            self.artifact_batch = self.batch_size = 1
            self.warnings.append(_messages.single_sample_warning(["a loop"]))
            self.trace()
            return True
        if not SUBSTITUTES.keys() & set(ops):
            return False
        arguments = {"saved_model": str(self.folder / "saved_model"), "ops": list(ops)}
        replacement = self.run_in_worker(
            "convert._substitutes.graph_calls.replace",
            arguments,
            "replacing operations",
            "conversion",
        )
        self.warnings += _messages.replaced_warnings(replacement)
        self.kept_ops |= replacement["left"]
        return bool(replacement["replaced"])

    def save_samples(self, name: str, samples: Mapping[str, np.ndarray]) -> str:
        """Writes samples for the worker; returns their path."""
        path = self.folder / f"{name}.npz"
        named_arrays.save(path, samples)
        return str(path)

    def _calibration_samples(self):
        path = self.folder / "calibration.npz"
        if path.exists():
            return str(path)
        return self.save_samples("calibration", self.representative)

    def calibrated_ranges(self) -> pathlib.Path:
        """Returns the path of the ranges of all activations, collected when needed."""
        path = self.folder / "ranges.npz"
        if not path.exists():
            arguments = {
                "float_artifact": str(self.float_artifact()),
                "ranges": str(path),
                "calibration": self._calibration_samples(),
                "batch_size": self.artifact_batch,
                **self.calibration,
            }
            command = "_calibration.tensorflow_quantizer.calibrate"
            info = self.run_in_worker(command, arguments, "calibrating", "conversion")
            keys = ("method", "samples", "moving", "moving_tensors", "settled")
            self.calibration_figures = {key: info[key] for key in keys}
            self.warnings += _messages.moving_ranges_warnings(self.calibration_figures)
        return path

    def _convert_with_calibration(self, artifact, mode):
        integer = {
            "calibration": self._calibration_samples(),
            "batch_size": self.artifact_batch,
            "input_type": self.input_type,
            "output_type": self.output_type,
        }
        self.convert(artifact, mode, integer)

    def _quantize_by_rules(self, quantization, artifact, ranges, reason=None):
        """Quantizes with litert-quantizer, each operation by the first rule it fits."""
        _options.require_quantizer(reason or "This quantization")
        if reason:
            self.warnings.append(f"{reason} It was quantized by litert-quantizer.")
        arguments = {
            "float_artifact": str(self.float_artifact()),
            "artifact": str(artifact),
            "layers": self.layers,
            "rules": quantization.rules,
            "ranges": None if ranges is None else str(ranges),
            "integer_inputs": self.input_type != "float32",
            "integer_outputs": self.output_type != "float32",
        }
        action = f"quantizing to {quantization.uniform or 'a mode for each layer'}"
        command = "_calibration.rule_quantizer.quantize"
        applied = self.run_in_worker(command, arguments, action, "conversion")
        _options.validate_matches(quantization, applied["matched"], self.layers)
        if applied["loops"]:
            self.warnings.append(_messages.loop_warning(applied["loops"]))

    def run_artifact(
        self,
        artifact: pathlib.Path,
        samples: Mapping[str, np.ndarray],
        timed: bool = True,
    ) -> tuple[NamedArrays, float]:
        """Returns the artifact's outputs on `samples` and its latency in ms."""
        outputs = self.folder / "outputs.npz"
        arguments = {
            "artifact": str(artifact),
            "samples": self.save_samples("samples", samples),
            "outputs": str(outputs),
            "batch_size": self.artifact_batch,
            "seconds": 1.0 if timed else 0.0,
        }
        measured = self.run_in_worker(
            "artifact._interpreter.run", arguments, "running the artifact", "run"
        )
        return named_arrays.load(outputs), measured["latency_ms"]
