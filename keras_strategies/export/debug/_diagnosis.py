"""Likely causes of a quantization error, and fixes, from measured figures.

Each rule returns a cause and a fix, or None; the first that applies explains.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Below this ratio of signal to noise, 20 dB, the error is a tenth of the signal.
ALARM_DB = 20.0
# Operations whose int8 scale the 8-bit quantization specification of LiteRT prescribes.
FIXED_SCALE_OPS = ("L2_NORMALIZATION", "LOGISTIC", "LOG_SOFTMAX", "SOFTMAX", "TANH")
_ARITHMETIC = [
    "ABS",
    "ADD",
    "BATCH_MATMUL",
    "CUMSUM",
    "DIV",
    "EXP",
    "LOG",
    "MAXIMUM",
    "MEAN",
    "MINIMUM",
    "MUL",
    "NEG",
    "POW",
    "REDUCE_MAX",
    "RSQRT",
    "SQRT",
    "SQUARE",
    "SQUARED_DIFFERENCE",
    "SUB",
    "SUM",
]


def diagnose(
    rows: Sequence[Mapping[str, Any]], sensitivity: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Returns the rows with `alarm`, `cause` and `fix`; both are "" without alarm.

    Args:
        rows: From `_error_measurement.measure`, worst first.
        sensitivity: From there too: the layers that help most in float32.
    """
    measured = {entry["tensor"]: entry["float_layers"] for entry in sensitivity}
    sources: dict[int, list[Any]] = {}  # operation -> rows that it reads
    for row in rows:
        for reader in row["reading"]:
            sources.setdefault(reader, []).append(row)
    diagnosed = []
    for row in rows:
        alarm = local_score(row) < ALARM_DB
        float_layers = measured.get(row["tensor"]) or [*row["layers"], *row["readers"]]
        cause, fix = "", ""
        if alarm:
            float_fix = float_layers_fix(float_layers)
            cause, fix = _explain(row, sources.get(row["number"], ()), float_fix)
        hidden = ("number", "reading")
        public = {key: value for key, value in row.items() if key not in hidden}
        diagnosed.append(public | {"alarm": alarm, "cause": cause, "fix": fix})
    return diagnosed


def local_score(row: Mapping[str, Any]) -> float:
    """The figure that rows are ordered by, in dB, lowest first."""
    return min(row["sqnr_db"], row["channel_sqnr_db"])


def cumulative_score(row: Mapping[str, Any]) -> float:
    """The same for the error of all layers up to this one."""
    return min(row["cumulative_sqnr_db"], row["cumulative_channel_sqnr_db"])


def float_layers_fix(layers: Sequence[str]) -> str:
    """Returns the advice to leave `layers` in float32, as an argument."""
    names = [name for name in dict.fromkeys(layers) if name]
    if not names:
        return 'use quantization="dynamic" or "float16"'
    patterns = [f"^{re.escape(name)}$" for name in names]
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"leave {quoted} in float32: exclude={patterns}"


def _explain(row, sources, float_fix):
    for rule in _RULES:
        explanation = rule(row, sources)
        if explanation:
            cause, fix = explanation
            return f"{cause}.", f"{fix}, or {float_fix}."
    cause = (
        f"The error is {row['rmse_scale']:.2g} steps of the int8 scale, where rounding "
        "alone gives 0.29"
    )
    if row["op"] in _ARITHMETIC:
        cause += f"; {row['op']} is arithmetic on intermediate values of uneven size"
    return f"{cause}.", f"{float_fix[0].upper()}{float_fix[1:]}."


def _few_levels(row, sources):
    """Fewer levels than the range would allow: the scale is not the tensor's own."""
    low, high = row["range"]
    levels = (high - low) / row["scale"]
    if levels >= 64 or row["op"] in FIXED_SCALE_OPS:
        return None
    if max(abs(low), abs(high)) < 1e-4:
        return (
            f"Few levels used: values of at most {max(abs(low), abs(high)):.1g} take "
            f"{levels:.2g} of 256 levels, as the quantizer has no finer scale",
            "Train or normalize the model so that activations do not vanish "
            "(BatchNormalization with statistics of real data)",
        )
    return (
        f"Few levels used: the values take {levels:.2g} of 256, as the scale is shared "
        "with wider tensors or set by samples that were not measured",
        "Scale the tensors that are added or concatenated to similar ranges",
    )


def _outlier_samples(row, sources):
    """A few samples are much larger than the others and widen every range."""
    if row["sample_ratio"] < 6:
        return None
    return (
        f"Outlier samples: the largest value is {row['sample_ratio']:.0f}x the largest "
        "of a usual sample",
        'Drop such samples from the calibration, use calibration="percentile" with a '
        "percentile that excludes them",
    )


def _outlier_channel(row, sources):
    """One channel sets the scale of all: int8 has one scale for an activation."""
    if row["channel_ratio"] < 20 or row["channel_levels"] >= 16:
        return None
    return (
        f"Outlier channel: the range of channel {row['channel']} is "
        f"{row['channel_ratio']:.0f}x that of the median channel, which is left with "
        f"{row['channel_levels']:.2g} of 256 levels",
        "Scale the channel down and the weights that read it up, clip the activation "
        "(ReLU6), or train with weight decay or GroupLasso",
    )


def _outlier_values(row, sources):
    """Single values are far outside of the range of the others."""
    (low, high), (first, last) = row["range"], row["bulk"]
    if last <= first or (high - low) < 8 * (last - first):
        return None
    ratio = (high - low) / (last - first)
    return (
        f"Outliers: the range is {ratio:.0f}x wider than the middle 99.9 % of the "
        f"values, which take {(last - first) / row['scale']:.2g} of 256 levels",
        'Use calibration="percentile", clip the activation (ReLU6)',
    )


def _unbalanced_input(row, sources):
    """Weights that undo an outlier channel of the input are themselves uneven."""
    wide = [source for source in sources if _outlier_channel(source, ())]
    if row["rmse_scale"] < 1 or not wide:
        return None
    source = max(wide, key=lambda source: source["channel_ratio"])
    return (
        f"It reads '{source['layer']}', one channel of which is "
        f"{source['channel_ratio']:.0f}x the median one: weights that balance this "
        "round to zero",
        f"Repair '{source['layer']}' first",
    )


def _outlier_weights(row, sources):
    """One weight sets the scale of its channel."""
    ratio = row["weight_ratio"]
    if ratio is None or ratio < 20 or row["rmse_scale"] < 1:
        return None
    return (
        f"Outlier weights: the largest weight of a channel is {ratio:.0f}x its 99th "
        "percentile, so that the others share few levels",
        "Clip or decay the weights, or train quantization-aware",
    )


def _fixed_scale(row, sources):
    """The scale cannot be chosen."""
    if row["op"] not in FIXED_SCALE_OPS:
        return None
    return (
        f"The format prescribes the int8 scale of {row['op']}, {row['scale']:.2g}; "
        "what is smaller becomes zero",
        "Let the model end before it (logits)",
    )


_RULES = (
    _few_levels,
    _outlier_samples,
    _outlier_channel,
    _outlier_values,
    _unbalanced_input,
    _outlier_weights,
    _fixed_scale,
)
