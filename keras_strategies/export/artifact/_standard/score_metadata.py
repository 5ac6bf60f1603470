"""Metadata about scores: calibration, threshold and the activation of masks."""

from collections.abc import Mapping
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.export.artifact._standard.standard_metadata import (
    ACTIVATIONS,
    TRANSFORMATIONS,
)

_CALIBRATION = 'metadata["score_calibration"]'
_KEYS = ("transformation", "default_score", "parameters")


def validate(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entries about scores in plain JSON-ready types, or raises."""
    result: dict[str, Any] = {}
    if "score_calibration" in metadata:
        values = metadata["score_calibration"]
        checks.instance(_CALIBRATION, values, dict)
        if "parameters" in values:
            result["score_calibration"] = _calibration(values)
        else:
            if not values:
                checks.fail(f"{_CALIBRATION} must have parameters", received=values)
            result["score_calibration"] = {
                checks.instance(f"A key of {_CALIBRATION}", name, str): _calibration(x)
                for name, x in values.items()
            }
    if "score_threshold" in metadata:
        value = metadata["score_threshold"]
        result["score_threshold"] = checks.real('metadata["score_threshold"]', value)
    if "activation" in metadata:
        activation = metadata["activation"]
        checks.choice('metadata["activation"]', activation, ACTIVATIONS)
        result["activation"] = activation
    return result


def check_sizes(
    calibration: Mapping[str, Any], sizes: Mapping[str, int | None]
) -> None:
    """Compares calibrations with the outputs whose size the file states."""
    if "parameters" in calibration:
        if len(sizes) > 1:
            fix = f'Give a dict by output name, {{"{next(iter(sizes))}": {{...}}}}.'
            rule = (
                f"{_CALIBRATION} must say which of the outputs {list(sizes)} it is for"
            )
            checks.fail(rule, fix=fix, keys=sorted(calibration))
        calibration = dict.fromkeys(sizes, calibration)
    for name, values in calibration.items():
        if sizes and name not in sizes:
            rule = f"{_CALIBRATION} must have keys among the outputs {list(sizes)}"
            checks.fail(rule, key=name)
        size, rows = sizes.get(name), values["parameters"]
        is_one_for_all = isinstance(rows[0], float)
        if size is not None and not is_one_for_all and len(rows) != size:
            checks.fail(
                f"{_CALIBRATION} must have {size} parameters for output '{name}', one "
                "for each entry of its last axis, or one for all",
                parameters=len(rows),
            )


def _calibration(values):
    checks.instance(_CALIBRATION, values, dict)
    unknown = sorted(str(key) for key in values if key not in _KEYS)
    if unknown or "parameters" not in values:
        checks.fail(f"{_CALIBRATION} must have keys among {list(_KEYS)}", keys=unknown)
    transformation = values.get("transformation", TRANSFORMATIONS[0])
    checks.choice(f'{_CALIBRATION}["transformation"]', transformation, TRANSFORMATIONS)
    score = values.get("default_score", 0.0)
    return {
        "transformation": transformation,
        "default_score": checks.real(f'{_CALIBRATION}["default_score"]', score),
        "parameters": _parameters(values["parameters"]),
    }


def _parameters(rows):
    """`(scale, slope, offset)` or `(scale, slope, offset, smallest score)` by class."""
    rows = rows.tolist() if hasattr(rows, "tolist") else rows
    rule = (
        f'{_CALIBRATION}["parameters"] must be (scale, slope, offset), or a list with '
        "one of these, with a smallest score behind them, or None for each class"
    )
    if not isinstance(rows, list | tuple) or not rows:
        checks.fail(rule, error=TypeError, parameters=rows)
    is_one = not any(isinstance(row, list | tuple | type(None)) for row in rows)
    result: list[Any] = []
    for row in [rows] if is_one else rows:
        if row is None:
            result.append(None)
            continue
        if not isinstance(row, list | tuple) or len(row) not in (3, 4):
            checks.fail(rule, parameters=row)
        numbers = [checks.real(f'{_CALIBRATION}["parameters"]', x) for x in row]
        if numbers[0] < 0:
            checks.fail(f"The scale in {_CALIBRATION} must be at least 0", scale=row[0])
        result.append(numbers)
    return result[0] if is_one else result
