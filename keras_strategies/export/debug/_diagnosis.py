"""From measured figures of a quantized operation to a likely cause and a fix."""

import re

# Below this ratio of signal to noise, 20 dB, the error is a tenth of the signal.
ALARM_DB = 20.0
# Operations whose int8 scale the format prescribes.
FIXED = ("L2_NORMALIZATION", "LOGISTIC", "LOG_SOFTMAX", "SOFTMAX", "TANH")
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


def diagnose(rows, sensitivity=()):
    """Returns the rows with `alarm`, `cause` and `fix`; both are "" without alarm.

    Args:
        rows: From `_debugging.analyse`, worst first.
        sensitivity: From there too: what to leave in float32, as measured.
    """
    measured = {entry["tensor"]: entry["float_layers"] for entry in sensitivity}
    sources = {}
    for row in rows:
        for reader in row["reading"]:
            sources.setdefault(reader, []).append(row)
    found = []
    for row in rows:
        alarm = score(row) < ALARM_DB
        keep = measured.get(row["tensor"]) or [*row["layers"], *row["readers"]]
        cause, fix = "", ""
        if alarm:
            cause, fix = _explain(row, sources.get(row["number"], ()), leave(keep))
        hidden = ("number", "reading")
        public = {key: value for key, value in row.items() if key not in hidden}
        found.append(public | {"alarm": alarm, "cause": cause, "fix": fix})
    return found


def score(row):
    """The figure that rows are ordered by, in dB, lowest first."""
    return min(row["sqnr_db"], row["channel_sqnr_db"])


def summed(row):
    """The same for the error of all layers up to this one."""
    return min(row["cumulative_sqnr_db"], row["cumulative_channel_sqnr_db"])


def leave(layers):
    """Returns the words that leave `layers` in float32."""
    names = [name for name in dict.fromkeys(layers) if name]
    if not names:
        return 'use quantization="dynamic" or "float16"'
    pattern = f"^(?!(?:{'|'.join(map(re.escape, names))})$)"
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"leave {quoted} in float32: quantization={{{pattern!r}: 'int8'}}"


def _explain(row, sources, float_instead):
    for rule in _RULES:
        found = rule(row, sources)
        if found:
            cause, fix = found
            return f"{cause}.", f"{fix}, or {float_instead}."
    cause = (
        f"The error is {row['rmse_scale']:.2g} steps of the int8 scale, where rounding "
        "alone gives 0.29"
    )
    if row["op"] in _ARITHMETIC:
        cause += f"; {row['op']} is arithmetic on intermediate values of uneven size"
    return f"{cause}.", f"{float_instead[0].upper()}{float_instead[1:]}."


def _vanishing(row, sources):
    """Fewer levels than the range would allow: the scale is not the tensor's own."""
    low, high = row["range"]
    levels = (high - low) / row["scale"]
    if levels >= 64 or row["op"] in FIXED:
        return None
    if max(abs(low), abs(high)) < 1e-4:
        return (
            f"Few levels used: values of at most {max(abs(low), abs(high)):.1g} take "
            f"{levels:.2g} of 256 levels, as the quantizer knows no finer scale",
            "Train or normalize the model so that activations do not vanish "
            "(BatchNormalization with statistics of real data)",
        )
    return (
        f"Few levels used: the values take {levels:.2g} of 256, as the scale is shared "
        "with wider tensors or set by samples that were not measured",
        "Bring what is added or concatenated to like ranges",
    )


def _samples(row, sources):
    if row["sample_ratio"] < 6:
        return None
    return (
        f"Outlier samples: the largest value is {row['sample_ratio']:.0f}x the largest "
        "of a usual sample",
        'Drop such samples from the calibration, use calibration="percentile" with a '
        "percentile that cuts their share",
    )


def _channel(row, sources):
    if row["channel_ratio"] < 20 or row["channel_levels"] >= 16:
        return None
    return (
        f"Outlier channel: the range of channel {row['channel']} is "
        f"{row['channel_ratio']:.0f}x that of the median channel, which is left with "
        f"{row['channel_levels']:.2g} of 256 levels",
        "Scale the channel down and the weights that read it up, clip the activation "
        "(ReLU6), or train with weight decay or GroupLasso",
    )


def _outliers(row, sources):
    (low, high), (first, last) = row["range"], row["bulk"]
    if last <= first or (high - low) < 8 * (last - first):
        return None
    ratio = (high - low) / (last - first)
    return (
        f"Outliers: the range is {ratio:.0f}x wider than the middle 99.9 % of the "
        f"values, which take {(last - first) / row['scale']:.2g} of 256 levels",
        'Use calibration="percentile", clip the activation (ReLU6)',
    )


def _input(row, sources):
    wide = [source for source in sources if _channel(source, ())]
    if row["rmse_scale"] < 1 or not wide:
        return None
    source = max(wide, key=lambda source: source["channel_ratio"])
    return (
        f"It reads '{source['layer']}', one channel of which is "
        f"{source['channel_ratio']:.0f}x the median one: weights that balance this "
        "round to zero",
        f"Mend '{source['layer']}' first",
    )


def _weights(row, sources):
    ratio = row["weight_ratio"]
    if ratio is None or ratio < 20 or row["rmse_scale"] < 1:
        return None
    return (
        f"Outlier weights: the largest weight of a channel is {ratio:.0f}x its 99th "
        "percentile, so that the others share few levels",
        "Clip or decay the weights, or train quantization-aware",
    )


def _fixed(row, sources):
    if row["op"] not in FIXED:
        return None
    return (
        f"The format prescribes the int8 scale of {row['op']}, {row['scale']:.2g}; "
        "what is smaller becomes zero",
        "Let the model end before it (logits)",
    )


# The first that fits explains.
_RULES = (_vanishing, _samples, _channel, _outliers, _input, _weights, _fixed)
