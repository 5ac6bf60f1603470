"""One export, step by step: data, reference, trace, convert, compare."""

import keras

from keras_strategies.export import (
    _arrays,
    _client,
    _data,
    _flatbuffer,
    _messages,
    _parity,
    _reference,
    _signature,
    _trace,
)
from keras_strategies.export.export_error import ExportError


class Job:
    """One export after its arguments were checked."""

    def __init__(self, **settings):
        self.__dict__.update(settings)
        self.worker = _client.shared_worker()
        self.warnings = []

    def prepare(self, representative_data, verify):
        """Checks the data and asks the Keras model; starts no worker."""
        model = self.model
        self.structure, self.specs = _signature.input_specs(model)
        _messages.check_inputs(self.specs, self.batch_size)
        self.batch = self.batch_size or self.specs[0].shape[0]
        self.calibration = None
        if representative_data is not None:
            self.calibration = _data.arrays(
                "representative_data", representative_data, self.specs
            )
        if verify is not None and verify is not True:
            self.samples = _data.arrays("verify", verify, self.specs)
        elif self.calibration is not None:
            self.samples = _data.head(self.calibration, _data.VERIFIED)
        else:
            self.samples = _data.generate(model, self.specs)
            self.warnings.append(_messages.MADE_UP)
        try:
            self.reference = _reference.predict(model, self.structure, self.samples)
        except Exception as error:
            raise ExportError(_messages.predict(model, error), "reference") from error
        bad = _parity.non_finite(self.reference)
        if bad:
            raise ExportError(_messages.reference(model, bad), "reference")
        if _signature.half_precision(model):
            self.tolerance = max(self.tolerance, 1e-2)
            self.warnings.append(_messages.HALF)

    def export(self, folder):
        """Returns the artifact's bytes and its figures, or raises."""
        self.worker.start()  # its start and our tracing overlap
        self._trace(folder)
        artifact = folder / "model.tflite"
        self._convert(folder, artifact)
        content = artifact.read_bytes()
        inside = _flatbuffer.read(content)
        figures = {
            "signature": inside["signature"],
            "ops": inside["ops"],
            "tensor_types": inside["tensor_types"],
            "calibration_samples": self._calibration_size(),
        }
        self.warnings += _messages.about(self.quantization, inside)
        flex = _flatbuffer.flex_ops(inside["ops"])
        if flex:
            self.warnings.append(_messages.unverified(flex))
            figures |= {"verified": False, "samples": 0, "outputs": {}}
            figures |= dict.fromkeys(_reference.FIGURES) | {"latency_ms": None}
        else:
            try:
                figures |= self._verify(folder, artifact)
            except ExportError as error:
                raise _messages.Rejected(error, content) from None
        return content, figures | {"warnings": tuple(self.warnings)}

    def _calibration_size(self):
        if self.quantization != "int8":
            return 0
        return len(next(iter(self.calibration.values())))

    def _ask(self, command, arguments, doing, reason):
        hint = _messages.crash_hint(self.model, self.quantization)
        try:
            return self.worker.request(
                command, arguments, timeout=self.timeout, doing=doing, hint=hint
            )
        except _client.WorkerError as error:
            raise _messages.translate(error, self.model, doing, reason) from error

    def _trace(self, folder):
        target = folder / "saved_model"
        if keras.backend.backend() == "tensorflow":
            try:
                _trace.write_saved_model(self.model, target, self.batch_size)
            except Exception as error:
                message = _messages.trace(self.model, error)
                raise ExportError(message, "trace") from error
            return
        source = folder / "model.keras"
        try:
            self.model.save(source)
        except Exception as error:
            raise ExportError(_messages.save(self.model, error), "trace") from error
        arguments = {
            "keras_file": str(source),
            "saved_model": str(target),
            "modules": _trace.foreign_modules(self.model),
            "batch_size": self.batch_size,
        }
        self._ask(
            "_conversion.trace", arguments, "loading and tracing the model", "load"
        )

    def _convert(self, folder, artifact):
        calibration = None
        if self.quantization == "int8":
            calibration = str(folder / "calibration.npz")
            _arrays.save(calibration, self.calibration)
        arguments = {
            "saved_model": str(folder / "saved_model"),
            "artifact": str(artifact),
            "quantization": self.quantization,
            "calibration": calibration,
            "allow_flex": self.allow_flex,
            "batch_size": self.batch,
            **self.types,
        }
        self._ask(
            "_conversion.convert",
            arguments,
            f"converting to {self.quantization}",
            "conversion",
        )

    def _verify(self, folder, artifact):
        samples, outputs = folder / "samples.npz", folder / "outputs.npz"
        _arrays.save(samples, self.samples)
        arguments = {
            "artifact": str(artifact),
            "samples": str(samples),
            "outputs": str(outputs),
            "batch_size": self.batch,
        }
        measured = self._ask(
            "_interpreter.run", arguments, "running the artifact", "run"
        )
        actual = _arrays.load(outputs)
        figures = _reference.judge(
            self.model, self.reference, actual, self.tolerance, self.least
        )
        figures |= {"verified": True, "latency_ms": measured["latency_ms"]}
        return figures | {"samples": len(next(iter(self.samples.values())))}
