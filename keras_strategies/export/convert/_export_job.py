"""One export, step by step: data, reference, trace, convert, compare."""

import contextlib
import contextvars
import dataclasses
import pathlib

import keras

from keras_strategies._internal import quantized
from keras_strategies.export._common import model_signature, named_arrays, sample_data
from keras_strategies.export._common.export_error import ExportError
from keras_strategies.export._worker import converter_client
from keras_strategies.export.artifact import _flatbuffer, _metadata
from keras_strategies.export.convert import _messages, _options, _trace
from keras_strategies.export.verify import _agreement, _metric_constraint, _reference

# What an artifact of a Flex operation has in place of figures.
_UNVERIFIED = {
    "verified": False,
    "samples": 0,
    "outputs": {},
    **dict.fromkeys(_reference.FIGURES),
    "latency_ms": None,
}

_on_step = contextvars.ContextVar("on_step", default=None)


@contextlib.contextmanager
def steps(report):
    """Calls `report(text)` before each step of the exports inside the block."""
    token = _on_step.set(report)
    try:
        yield
    finally:
        _on_step.reset(token)


def _step(text):
    report = _on_step.get()
    if report is not None:
        report(text)


@dataclasses.dataclass
class Job:
    """One export after its arguments were checked."""

    model: keras.Model
    quantization: _options.Quantization
    backend: str
    input_type: str
    output_type: str
    batch_size: int | None
    allow_flex: bool
    calibration: dict
    metadata: dict | None
    least: float
    tolerance: float
    timeout: float
    gate: _metric_constraint.MetricGate | None = None
    learned: bool = False
    folder: pathlib.Path | None = None

    def __post_init__(self):
        self.worker = converter_client.shared_worker()
        self.warnings = []
        self.layers = {}
        self.flex = []
        self.calibrated = None

    def prepare(self, representative_data, verify):
        """Checks the data and asks the Keras model; starts no worker."""
        model = self.model
        self.structure, self.specs = model_signature.input_specs(model)
        _messages.check_inputs(self.specs, self.batch_size)
        self._fix_batch()
        normalization = (self.metadata or {}).get("normalization")
        self.representative = None
        if representative_data is not None:
            self.representative = sample_data.arrays(
                "representative_data", representative_data, self.specs, normalization
            )
        self.verified_apart = verify is not None and verify is not True
        if self.verified_apart:
            self.samples = sample_data.arrays(
                "verify", verify, self.specs, normalization
            )
        elif self.representative is not None:
            self.samples = sample_data.head(self.representative, sample_data.VERIFIED)
        else:
            self.samples = sample_data.generate(model, self.specs)
            self.warnings.append(_messages.MADE_UP)
        self.reference = self.ask_model(self.samples)
        self.warnings += _messages.constant(self.reference)
        if self.learned:
            self.warnings += _messages.unset(quantized.unset_ranges(model))
        if self.gate is not None:
            self.gate.check_size(len(next(iter(self.samples.values()))))
        if model_signature.half_precision(model):
            self.tolerance = max(self.tolerance, 1e-2)
            self.warnings.append(_messages.HALF)

    def _fix_batch(self):
        """Recurrent layers need a fixed batch: without one their loop is Flex."""
        free = self.batch_size is None and self.specs[0].shape[0] is None
        self.recurrent = _messages.recurrent(self.model)
        if free and self.recurrent and not self.allow_flex:
            self.batch_size = 1
            self.warnings.append(_messages.batch_of_one(self.recurrent))
        self.batch = self.batch_size or self.specs[0].shape[0]

    def ask_model(self, samples):
        model = self.model
        _step("running the Keras model")
        try:
            reference = _reference.predict(model, self.structure, samples)
        except Exception as error:
            raise ExportError(_messages.predict(model, error), "reference") from error
        bad = _agreement.non_finite(reference)
        if bad:
            raise ExportError(_messages.reference(model, bad), "reference")
        return reference

    def export(self):
        """Returns the artifact's bytes and its figures, or raises."""
        self.worker.start()  # its start and our tracing overlap
        self.trace()
        artifact = self.produce(self.quantization, "model")
        content, figures = self.described(artifact)
        figures |= {"quantization": self.quantization.name, "search": None}
        flex = _flatbuffer.flex_ops(figures["ops"])
        if flex:
            self.warnings.append(_messages.unverified(flex))
            figures |= _UNVERIFIED
        else:
            try:
                figures |= self.verify(artifact, self.samples, self.reference)
            except ExportError as error:
                raise _messages.Rejected(error, content) from None
        return content, figures | {"warnings": tuple(self.warnings)}

    def described(self, artifact):
        """Writes the metadata into the file; returns its bytes and what it holds."""
        content = artifact.read_bytes()
        if self.metadata:
            content = _metadata.write(content, self.metadata)
            artifact.write_bytes(content)
        inside = _flatbuffer.read(content)
        self.warnings += _messages.about(self.quantization, inside)
        keys = ("signature", "ops", "tensor_types")
        samples = 0 if self.calibrated is None else self.calibrated["samples"]
        return content, {key: inside[key] for key in keys} | {
            "calibration_samples": samples,
            "calibration": self.calibrated,
        }

    def ask(self, command, arguments, doing, reason):
        """Asks the worker; what goes wrong there becomes an `ExportError`."""
        hint = _messages.crash_hint(self.model)
        _step(doing)
        try:
            return self.worker.request(
                command, arguments, timeout=self.timeout, doing=doing, hint=hint
            )
        except converter_client.WorkerError as error:
            raise _messages.translate(
                error, self.model, doing, reason, self.layers
            ) from error

    def trace(self):
        """Writes the SavedModel that all conversions start from."""
        target = self.folder / "saved_model"
        _step("tracing the model")
        if keras.backend.backend() == "tensorflow":
            try:
                self.layers = _trace.write_saved_model(
                    self.model, target, self.batch_size
                )
            except Exception as error:
                message = _messages.trace(self.model, error)
                raise ExportError(message, "trace") from error
            return
        source = self.folder / "model.keras"
        try:
            self.model.save(source)
        except Exception as error:
            raise ExportError(_messages.save(self.model, error), "trace") from error
        arguments = {
            "keras_file": str(source),
            "saved_model": str(target),
            "modules": _trace.foreign_modules(self.model),
            "batch_size": self.batch_size,
            "names": [spec.name for spec in self.specs],
        }
        self.layers = self.ask(
            "convert._conversion.trace",
            arguments,
            "loading and tracing the model",
            "load",
        )

    def produce(self, quantization, name):
        """Makes the artifact `name` and returns its path."""
        artifact = self.folder / f"{name}.tflite"
        mode = quantization.uniform
        quantizer = self.backend == "litert-quantizer" or mode in (None, "int4_weights")
        if self.learned:
            types = {"input_type": self.input_type, "output_type": self.output_type}
            self.convert(artifact, "learned", types)
            return artifact
        if not quantizer and mode not in _options.STATIC:
            self.convert(artifact, mode)
            return artifact
        source = self.float_artifact()
        if self.flex and mode in _options.STATIC:
            # Nothing else here can run it: TensorFlow calibrates it by itself.
            self._by_tensorflow(artifact, mode)
            return artifact
        ranges = self.ranges() if quantization.static else None
        if quantizer or self.recurrent:
            self._by_rules(quantization, artifact, ranges)
            return artifact
        try:
            self._quantize(source, artifact, mode, ranges)
        except ExportError as error:
            if mode == "int8":
                raise
            self._by_rules(quantization, artifact, ranges, _messages.why(error))
        return artifact

    def _quantize(self, source, artifact, mode, ranges):
        arguments = {
            "float_artifact": str(source),
            "artifact": str(artifact),
            "mode": mode,
            "ranges": str(ranges),
            "input_type": self.input_type,
            "output_type": self.output_type,
        }
        doing = f"quantizing to {mode}"
        self.ask("convert._conversion.quantize", arguments, doing, "conversion")
        if mode == "int16x8":  # written even where LiteRT has no such kernel
            self.run(artifact, sample_data.head(self.samples, 1), timed=False)

    def float_artifact(self):
        """Returns the float32 file, converted when first needed."""
        path = self.folder / "float32.tflite"
        if not path.exists():
            self.convert(path, "float32")
            ops = _flatbuffer.read(path.read_bytes())["ops"]
            self.flex = _flatbuffer.flex_ops(ops)
        return path

    def convert(self, artifact, mode, integer=None):
        """Converts the SavedModel; mends what LiteRT lacks where that is known."""
        arguments = {
            "saved_model": str(self.folder / "saved_model"),
            "artifact": str(artifact),
            "mode": mode,
            "integer": integer,
        }
        doing = f"converting to {'int8' if mode == 'learned' else mode}"
        for _ in range(3):
            try:
                self.ask("convert._conversion.convert", arguments, doing, "conversion")
                return
            except ExportError as error:
                if error.reason != "flex" or not self._mend(error.details["ops"]):
                    if error.reason == "flex" and self.allow_flex:
                        break
                    raise
        arguments["allow_flex"] = True
        self.ask("convert._conversion.convert", arguments, doing, "conversion")

    def _mend(self, ops):
        """Changes the SavedModel so that LiteRT knows its operations, if it can."""
        if any(op.startswith("TensorList") for op in ops) and self.batch is None:
            self.batch = self.batch_size = 1
            self.warnings.append(_messages.batch_of_one(["a loop"]))
            self.trace()
            return True
        if {"Erf", "Erfc"} & set(ops):
            done = self.ask(
                "convert._erf.replace",
                {"saved_model": str(self.folder / "saved_model")},
                "replacing erf",
                "conversion",
            )
            self.warnings.append(_messages.erf(done))
            return done["replaced"] > 0
        return False

    def _saved_calibration(self):
        path = self.folder / "calibration.npz"
        if not path.exists():
            named_arrays.save(path, self.representative)
        return str(path)

    def ranges(self):
        """Returns the path of the ranges of all activations, found when needed."""
        path = self.folder / "ranges.npz"
        if not path.exists():
            arguments = {
                "float_artifact": str(self.float_artifact()),
                "ranges": str(path),
                "calibration": self._saved_calibration(),
                "batch_size": self.batch,
                **self.calibration,
            }
            info = self.ask(
                "convert._conversion.calibrate", arguments, "calibrating", "conversion"
            )
            self.calibrated = _messages.calibrated(info)
            self.warnings += _messages.unsettled(self.calibrated)
        return path

    def _by_tensorflow(self, artifact, mode):
        integer = {
            "calibration": self._saved_calibration(),
            "batch_size": self.batch,
            "input_type": self.input_type,
            "output_type": self.output_type,
        }
        self.convert(artifact, mode, integer)

    def _by_rules(self, quantization, artifact, ranges, why=None):
        """Quantizes with litert-quantizer, each operation by the first rule it fits."""
        _options.need_quantizer(why or "This quantization")
        if why:
            self.warnings.append(f"{why} It was quantized by litert-quantizer.")
        arguments = {
            "float_artifact": str(self.float_artifact()),
            "artifact": str(artifact),
            "layers": self.layers,
            "rules": quantization.rules,
            "ranges": None if ranges is None else str(ranges),
            "integer_inputs": self.input_type != "float32",
            "integer_outputs": self.output_type != "float32",
        }
        doing = f"quantizing to {quantization.uniform or 'a mode for each layer'}"
        done = self.ask(
            "_calibration.rule_quantizer.quantize", arguments, doing, "conversion"
        )
        _messages.check_rules(quantization, done["matched"], self.layers)
        if done["loops"]:
            self.warnings.append(_messages.loops(done["loops"]))

    def verify(self, artifact, samples, reference):
        """Returns the figures of the comparison, or raises `ExportError`."""
        actual, latency = self.run(artifact, samples)
        figures = _reference.judge(
            self.model, reference, actual, self.tolerance, self.least
        )
        if self.gate is not None:
            figures["metric"] = self.gate.judge(reference, actual)
        figures |= {"verified": True, "latency_ms": latency}
        return figures | {"samples": len(next(iter(samples.values())))}

    def run(self, artifact, samples, timed=True):
        """Returns the artifact's outputs on `samples` and its latency in ms."""
        given, outputs = (self.folder / f"{n}.npz" for n in ("samples", "outputs"))
        named_arrays.save(given, samples)
        arguments = {
            "artifact": str(artifact),
            "samples": str(given),
            "outputs": str(outputs),
            "batch_size": self.batch,
            "seconds": 1.0 if timed else 0.0,
        }
        measured = self.ask(
            "artifact._interpreter.run", arguments, "running the artifact", "run"
        )
        return named_arrays.load(outputs), measured["latency_ms"]
