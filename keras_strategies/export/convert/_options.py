"""The arguments of `to_tflite`, checked before anything starts."""

import dataclasses
import importlib.util
import os
import pathlib
import re
import tempfile
import warnings

import keras

from keras_strategies._internal import checks, quantized
from keras_strategies.export._calibration import range_reducers
from keras_strategies.export.verify import _agreement, _metric_constraint

MODES = ("float32", "float16", "dynamic", "int8", "int16x8", "int4_weights")
# Modes whose activations are integers with ranges from representative data.
STATIC = ("int8", "int16x8")
BACKENDS = ("tensorflow", "litert-quantizer")
TYPES = ("float32", "int8", "uint8")


@dataclasses.dataclass(frozen=True)
class Quantization:
    """What was asked for: `name` as given, `rules` as `(regex, mode)` pairs.

    `uniform` is the one mode of the whole model, or None for rules by layer.
    """

    name: object
    rules: tuple
    uniform: str | None

    @property
    def static(self):
        return any(mode in STATIC for _, mode in self.rules)

    @property
    def defaults(self):
        """`(lowest agreement, tolerance)`: the loosest of the modes in use."""
        pairs = [_agreement.DEFAULTS[mode] for _, mode in self.rules]
        pairs = pairs or [_agreement.DEFAULTS["float32"]]
        return min(a for a, _ in pairs), max(t for _, t in pairs)


def quantization(value):
    """Returns the `Quantization` for a mode, or for a dict of regex and mode."""
    if isinstance(value, dict):
        if not value:
            fix = 'For example {"conv": "int8", "dense": "dynamic"}.'
            checks.fail("`quantization` must have a rule", fix=fix, quantization=value)
        for regex, mode in value.items():
            checks.instance("A key of `quantization`", regex, str)
            checks.choice("quantization", mode, MODES, fix=f"See the key {regex!r}.")
            try:
                re.compile(regex)
            except re.error as error:
                rule = f"A key of `quantization` must be a regular expression ({error})"
                raise ValueError(checks.message(rule, {"key": regex})) from error
        return Quantization(value, tuple(value.items()), None)
    checks.choice("quantization", value, (*MODES, "auto"))
    rules = () if value == "auto" else ((".*", value),)
    return Quantization(value, rules, value)


def quantizer_installed():
    """Whether litert-quantizer, an optional dependency, can be imported."""
    return importlib.util.find_spec("litert_quantizer") is not None


def need_quantizer(purpose):
    """Raises the error that names the extra where litert-quantizer is missing."""
    if not quantizer_installed():
        raise ImportError(
            f"{purpose} needs `litert_quantizer`, which cannot be imported. "
            "Install it with: pip install 'keras-strategies[quantizer]'"
        )


def check_quantization(chosen, backend):
    """Refuses combinations that cannot work."""
    checks.choice("backend", backend, BACKENDS)
    if backend == "litert-quantizer":
        need_quantizer('`backend="litert-quantizer"`')
    elif chosen.uniform is None or chosen.uniform == "int4_weights":
        need_quantizer("`quantization` by layer or with int4 weights")


def check_calibration(chosen, given, representative_data):
    """Ranges come from data, or from a model that has learned them in training.

    Returns whether the model's own ranges are taken.
    """
    if not chosen.static or representative_data is not None:
        return False
    if chosen.uniform != "int8" or not quantized.is_quantize_aware(given):
        name = chosen.uniform or "int8"
        checks.fail(
            f'`quantization="{name}"` needs `representative_data`',
            fix="Pass 100 to 500 inputs as in use, for example "
            f'to_tflite(model, path, quantization="{name}", '
            "representative_data=x_train[:200]).",
            representative_data=None,
        )
    return True


def check_types(chosen, backend, input_type, output_type):
    """Integer inputs and outputs exist for full integer models only."""
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        checks.choice(name, value, TYPES)
        if value == "float32":
            continue
        if chosen.uniform != "int8":
            fix = 'Pass quantization="int8" as well, or leave the type "float32".'
            rule = f'`{name}` other than "float32" needs `quantization="int8"`'
            checks.fail(rule, fix=fix, **{name: value}, quantization=chosen.name)
        if value == "uint8" and backend == "litert-quantizer":
            fix = 'Use "int8", or backend="tensorflow".'
            rule = f'`{name}` must be "float32" or "int8" for litert-quantizer'
            checks.fail(rule, fix=fix, **{name: value})


def gate(chosen, min_agreement):
    """Returns `(lowest agreement, tolerance)` of the check."""
    least = checks.real("min_agreement", min_agreement, low=0, high=1, optional=True)
    if chosen.uniform == "auto":
        default, tolerance = 0.98, _agreement.DEFAULTS["dynamic"][1]
    else:
        default, tolerance = chosen.defaults
    return default if least is None else least, tolerance


def metric_gate(labels, metric, max_metric_drop, verify):
    """Returns the `MetricGate`, or None where no limit is set."""
    drop = checks.real("max_metric_drop", max_metric_drop, low=0, optional=True)
    if (labels is None) != (drop is None):
        fix = "Give both, and the inputs they belong to as `verify`."
        checks.fail(
            "`labels` and `max_metric_drop` go together",
            fix=fix,
            labels="given" if labels is not None else None,
            max_metric_drop=drop,
        )
    if drop is None:
        return None
    if verify is None or verify is True:
        fix = "Pass verify=x_test, labels=y_test, for example."
        checks.fail("`labels` need the inputs as `verify`", fix=fix, verify=verify)
    return _metric_constraint.MetricGate(labels, metric, drop)


@dataclasses.dataclass(frozen=True)
class Search:
    """What `"auto"` looks for."""

    objective: str
    margin: float


def search(chosen, objective, margin, least):
    """Returns the `Search` of `"auto"`, None for a mode."""
    checks.choice("objective", objective, ("size", "latency"))
    checks.real("margin", margin, low=0, high=1, optional=True)
    if chosen.uniform != "auto":
        return None
    return Search(objective, (1 - least) / 2 if margin is None else margin)


def calibration(method, percentile):
    """Returns the settings of the calibration as keyword arguments."""
    checks.choice("calibration", method, range_reducers.METHODS)
    checks.real("percentile", percentile, low=50, high=100, low_open=True)
    return {"method": method, "percentile": float(percentile)}


def target(path):
    """Returns `path` as a Path that can be written, or raises."""
    checks.instance("path", path, (str, os.PathLike))
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        fix = "Name the file model.tflite, for example."
        checks.fail("`path` must end in .tflite", fix=fix, path=str(path))
    if path.is_dir():
        raise IsADirectoryError(
            checks.message("`path` must be a file, not a folder", {"path": str(path)})
        )
    if not path.parent.is_dir():
        rule = "The folder of `path` must exist"
        fix = "Make it with pathlib.Path(...).mkdir(parents=True)."
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}, fix))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        rule = f"The folder of `path` must be writable ({error.strerror})"
        raise PermissionError(checks.message(rule, {"path": str(path)})) from error
    return path


def model(given, safe_mode=True, *, name="model", compiled=False):
    """Returns a built Keras model, loaded if `given` is a path.

    Args:
        given: A `keras.Model`, or the path of a `.keras` file.
        safe_mode: Refuse a file that holds code.
        name: The argument's name, for messages.
        compiled: Load the loss and the optimizer's settings too.
    """
    checks.boolean("safe_mode", safe_mode)
    if isinstance(given, str | os.PathLike):
        file = pathlib.Path(given)
        if not file.is_file():
            rule = f"`{name}` must be an existing .keras file"
            raise FileNotFoundError(checks.message(rule, {name: str(given)}))
        given = _loaded(file, safe_mode, name, compiled)
    checks.instance(name, given, keras.Model)
    if not given.built:
        checks.fail(
            f"`{name}` must be built",
            fix="Call it once on an input, or give it a keras.Input.",
            **{name: given.name},
        )
    return given


def _loaded(file, safe_mode, name, compiled):
    try:
        with warnings.catch_warnings():
            # The state of the optimizer is not wanted, only its settings.
            warnings.filterwarnings("ignore", "Skipping variable loading for optim")
            return keras.saving.load_model(file, compile=compiled, safe_mode=safe_mode)
    except Exception as error:  # Keras raises whatever its parsers raise
        rule = f"`{name}` must be a .keras file that can be loaded ({error})"
        fix = ""
        if "safe_mode" in str(error) or "lambda" in str(error).lower():
            fix = (
                "The file holds code. Only if you trust where it comes from, pass "
                "safe_mode=False."
            )
        raise ValueError(checks.message(rule, {name: str(file)}, fix)) from error
