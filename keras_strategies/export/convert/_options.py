"""Arguments of `to_tflite`, checked before anything starts."""

import dataclasses
import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selection, Selector, layer_targets
from keras_strategies._internal.weights import quantized
from keras_strategies.export._calibration import layer_names, range_reducers
from keras_strategies.export._calibration.rule_quantizer import STATIC_MODES
from keras_strategies.export.rescue._apply import FOR_INT8_WEIGHTS, METHODS
from keras_strategies.export.verify._criteria import MODE_LIMITS, ModeLimits, loosest
from keras_strategies.export.verify._metric_constraint import MetricConstraint

#: Values of `quantization` other than a dict.
Mode: TypeAlias = Literal[
    "float32", "float16", "dynamic", "int8", "int16x8", "int4_weights", "auto"
]
MODES = tuple(MODE_LIMITS)
QUANTIZERS = ("tensorflow", "litert-quantizer")
TYPES = ("float32", "int8", "uint8")


@dataclasses.dataclass(frozen=True)
class Quantization:
    """A checked `quantization` argument.

    Attributes:
        name: The argument as given.
        rules: `(regex, mode)` pairs.
        uniform: The one mode of the whole model, or None for rules by layer.
    """

    name: Any
    rules: tuple[tuple[str, str], ...]
    uniform: str | None

    @property
    def is_static(self) -> bool:
        """Whether any activation is an integer with a range from data."""
        return any(mode in STATIC_MODES for _, mode in self.rules)


def parse_quantization(value: Any) -> Quantization:
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


def quantize_selected(
    quantization: Quantization,
    model: keras.Model,
    include: Selector | None,
    exclude: Selector | None,
) -> Quantization:
    """Returns the rules that quantize only the selected layers of `model`.

    Excluded layers come first: an operation that the converter fused has several
    layers, and stays in float32 if one of them is excluded.
    """
    if include is None and exclude is None:
        return quantization
    mode = quantization.uniform
    if mode in (None, "auto", "float32"):
        checks.fail(
            "`include` and `exclude` need one mode as `quantization`",
            fix='For example quantization="int8"; other layers stay in float32.',
            quantization=quantization.name,
        )
    require_quantizer("`include` or `exclude`")
    targets = layer_targets(model)
    Selection(include, exclude).choose(targets)
    rules = {}
    if exclude is not None:
        excluded = Selection(exclude, names=("exclude", "include")).choose(targets)
        rules[_exact_pattern(excluded)] = "float32"
    included = [] if include is None else Selection(include).choose(targets)
    rules[_exact_pattern(included) if included else ".*"] = mode
    return Quantization(rules, tuple(rules.items()), None)


def _exact_pattern(targets):
    """A regular expression that the paths of these layers match, and no others."""
    paths = "|".join(re.escape(target.path) for target in targets)
    return f"^(?:{paths})(?:/|$)"


def is_quantizer_installed() -> bool:
    """Whether litert-quantizer, an optional dependency, can be imported."""
    return importlib.util.find_spec("litert_quantizer") is not None


def require_quantizer(purpose: str) -> None:
    """Raises the error that names the extra where litert-quantizer is missing."""
    if not is_quantizer_installed():
        raise ImportError(
            f"{purpose} needs `litert_quantizer`, which cannot be imported. "
            "Install it with: pip install 'keras-strategies[quantizer]'"
        )


def validate_quantizer(quantization: Quantization, quantizer: str) -> None:
    """Refuses combinations that cannot work."""
    checks.choice("quantizer", quantizer, QUANTIZERS)
    if quantizer == "litert-quantizer":
        require_quantizer('`quantizer="litert-quantizer"`')
    elif quantization.uniform is None or quantization.uniform == "int4_weights":
        require_quantizer("`quantization` by layer or with int4 weights")


def uses_learned_ranges(
    quantization: Quantization, model: keras.Model, representative_data: Any
) -> bool:
    """Whether the ranges are those that the model has learned in training.

    Otherwise they come from `representative_data`, which must then be given.
    """
    if quantized.is_quantize_aware(model):
        _validate_aware(quantization, model, representative_data)
        return True
    if quantization.is_static and representative_data is None:
        name = quantization.uniform or "int8"
        checks.fail(
            f'`quantization="{name}"` needs `representative_data`',
            fix="Give 100 to 500 inputs as in use, such as x_train[:200].",
            representative_data=None,
        )
    return False


def _validate_aware(quantization, model, representative_data):
    """Refuses what cannot be done with a model that rounds in its own graph.

    Its roundings become operations of the float32 file, which neither calibration nor
    another quantizer can see through.
    """
    if quantization.uniform in (None, "int16x8", "int4_weights"):
        checks.fail(
            "A quantization-aware model must be exported by its own roundings",
            fix='Use quantization="int8". For layers in float32 or with fewer bits '
            "make it with `quantize_aware(model, exclude=..., scheme=...)`; for "
            "another quantization export the float model.",
            quantization=quantization.name,
        )
    activations = [x for x in quantized.simulated(model) if x["kind"] == "activation"]
    unset = quantized.unset_ranges(model)
    is_asked = quantization.uniform in ("int8", "auto")
    is_given = is_asked and representative_data is not None
    if is_given and 0 < len(unset) == len(activations):
        checks.fail(
            "A quantization-aware model must have learned its ranges, which do not "
            "come from `representative_data`",
            fix="Train it, or call it on data with training=True, before exporting; or "
            "export the float model with these data.",
            model=model.name,
            unset_ranges=unset[:5],
        )


def validate_types(
    quantization: Quantization, quantizer: str, input_type: str, output_type: str
) -> None:
    """Refuses integer inputs and outputs of other than full integer models."""
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        checks.choice(name, value, TYPES)
        if value == "float32":
            continue
        if quantization.uniform != "int8":
            fix = 'Pass quantization="int8" as well, or leave the type "float32".'
            rule = f'`{name}` other than "float32" needs `quantization="int8"`'
            checks.fail(rule, fix=fix, **{name: value}, quantization=quantization.name)
        if value == "uint8" and quantizer == "litert-quantizer":
            fix = 'Use "int8", or quantizer="tensorflow".'
            rule = f'`{name}` must be "float32" or "int8" for litert-quantizer'
            checks.fail(rule, fix=fix, **{name: value})


def resolve_limits(quantization: Quantization) -> ModeLimits:
    """Returns the limits: the loosest of the modes in use."""
    if quantization.uniform == "auto":
        return loosest(["dynamic"])
    return loosest([mode for _, mode in quantization.rules])


def resolve_metric_constraint(
    labels: Any, metric: Any, max_metric_drop: float | None, verify: Any
) -> MetricConstraint | None:
    """Returns the `MetricConstraint`, or None where no limit is set.

    Raises where it is not known whether less or more of the metric is better.
    """
    limit = checks.real("max_metric_drop", max_metric_drop, low=0, optional=True)
    if labels is None and limit is not None:
        fix = "Give both, and the inputs they belong to as `verify`."
        checks.fail(
            "`max_metric_drop` needs `labels`",
            fix=fix,
            labels=None,
            max_metric_drop=limit,
        )
    if labels is not None and (verify is None or verify is True):
        fix = "Pass verify=x_test, labels=y_test, for example."
        checks.fail("`labels` need the inputs as `verify`", fix=fix, verify=verify)
    return None if limit is None else MetricConstraint(labels, metric, limit)


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Settings of the search of `"auto"`.

    Attributes:
        objective: `"size"` or `"latency"`.
        search_margin: Part of the largest loss that the search keeps back, in [0, 1].
    """

    objective: str
    search_margin: float

    @classmethod
    def from_arguments(
        cls, quantization: Quantization, objective: str, margin: float | None
    ) -> "SearchConfig | None":
        """Checks the arguments; returns None for a mode other than `"auto"`."""
        checks.choice("objective", objective, ("size", "latency"))
        checks.real("margin", margin, low=0, high=1, optional=True)
        if quantization.uniform != "auto":
            return None
        # Half of what is allowed, for the choice among candidates.
        return cls(objective, 0.5 if margin is None else margin)


def validate_calibration(method: str, percentile: float) -> dict[str, Any]:
    """Returns the settings of the calibration as keyword arguments."""
    checks.choice("calibration", method, range_reducers.METHODS)
    checks.real("percentile", percentile, low=50, high=100, low_open=True)
    return {"method": method, "percentile": float(percentile)}


def validate_matches(
    quantization: Quantization, matched: Sequence[int], layers: Mapping[str, str]
) -> None:
    """Refuses a rule of a dict that fits no layer: a typing error, most often.

    Args:
        quantization: The rules.
        matched: Number of operations that each rule was applied to.
        layers: `{path: class name}` of the trace.
    """
    if quantization.uniform is not None:
        return
    names = sorted({layer_names.path_in_model(path) for path in layers if "/" in path})
    for index, (regex, _) in enumerate(quantization.rules):
        if matched[index]:
            continue
        earlier_rules = [rule for rule, _ in quantization.rules[:index]]
        matches = [name for name in names if re.search(regex, name)]
        if any(re.search(rule, name) for name in matches for rule in earlier_rules):
            continue  # a last rule for the other layers, of which there are none
        fix = f"The layers are {names}."
        if matches:
            fix = f"{matches} compute nothing of their own: other layers absorbed them."
        checks.fail("A rule of `quantization` fits no operation", fix=fix, regex=regex)


def validate_rescue(
    methods: Any,
    quantization: Quantization,
    model: keras.Model,
    representative_data: Any,
) -> tuple[str, ...]:
    """Returns the names of `rescue`, which must fit the quantization and the model."""
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        fix = 'For example `rescue=("equalize_layers", "correct_bias")`.'
        checks.fail("`rescue` must be a list of names", fix=fix, rescue=methods)
    for name in methods:
        checks.choice("rescue", name, METHODS)
    if not methods:
        return ()
    if quantized.is_quantize_aware(model):
        checks.fail(
            "`rescue` must be given for a float model",
            fix="A quantization-aware model has adapted to its roundings in training.",
            rescue=methods,
            model=model.name,
        )
    if quantization.uniform is None:
        checks.fail(
            "`rescue` must not be given with a quantization by layer",
            fix="Call the functions of `export` on the model first.",
            quantization=quantization.name,
        )
    rounding = [name for name in methods if name in FOR_INT8_WEIGHTS]
    if rounding and quantization.uniform not in ("int8", "int16x8", "dynamic"):
        checks.fail(
            "These methods of `rescue` are for weights of int8",
            methods=rounding,
            quantization=quantization.name,
        )
    if representative_data is None and set(methods) != {"equalize_layers"}:
        checks.fail("`representative_data` must be given for `rescue`", rescue=methods)
    return tuple(methods)
