"""Comparison of all outputs of an artifact with the Keras model's, and its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies.export._common import ExportError
from keras_strategies.export.verify import _agreement
from keras_strategies.export.verify._criteria import Criteria
from keras_strategies.export.verify._judging import judge
from keras_strategies.export.verify._output_kinds import Span, meaning
from keras_strategies.export.verify.output_verdict import OutputVerdict, loss_by_limit

FIGURES = ("agreement", "max_difference", "mean_difference")
# Samples below which only gross damage can be excluded, and those that are enough.
# No changed answer in n samples bounds the loss (95 %) at 3 / n.
FEW_SAMPLES, ENOUGH_SAMPLES = 100, 300
# Outputs that no figure can be computed of: their kind, and the reason for one.
_NOT_COMPARED = "not compared"
_NON_FINITE = "The artifact gives NaN or infinity where Keras is finite."


def compare_outputs(
    reference: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    spans: Mapping[str, Sequence[Span]],
    criteria: Criteria,
) -> dict[str, Any]:
    """Returns the figures of the comparison, with `verdicts` by output name."""
    outputs, verdicts = {}, {}
    broken = _agreement.non_finite(actual)
    for name, value in reference.items():
        kind = meaning(spans[name])
        reason = ""
        if name not in actual or actual[name].shape != value.shape:
            shape = getattr(actual.get(name), "shape", None)
            reason = f"The artifact's output has shape {shape}, Keras's {value.shape}."
        elif name in broken:
            reason = _NON_FINITE
        if reason:
            outputs[name] = {
                "kind": _NOT_COMPARED,
                "agreement": 0.0,
                **dict.fromkeys(("max_difference", "mean_difference"), float("inf")),
                "tolerance": None,
            }
            verdicts[name] = OutputVerdict(
                passed=False,
                kind=kind,
                reason=reason,
                loss=float("inf"),
                limit=criteria.limit(name),
                samples=len(value),
            )
            continue
        limits = criteria.limits
        outputs[name] = _agreement.compare_output(
            value, actual[name], spans[name], limits.tolerance, limits.rounding
        )
        labels = criteria.labels or {}
        verdicts[name] = judge(
            value,
            actual[name],
            spans[name],
            criteria.limit(name),
            labels.get(name),
            criteria.class_names,
        )
    return {
        "outputs": outputs,
        "agreement": min(entry["agreement"] for entry in outputs.values()),
        "max_difference": max(entry["max_difference"] for entry in outputs.values()),
        "mean_difference": float(
            np.mean([entry["mean_difference"] for entry in outputs.values()])
        ),
        "verdicts": verdicts,
    }


def check(figures: Mapping[str, Any], criteria: Criteria, consequence: str) -> None:
    """Raises `ExportError` for an artifact that is refused.

    Args:
        figures: From `compare_outputs`.
        criteria: The limits.
        consequence: What follows from it, and the way out, for the message.
    """
    outputs, verdicts = figures["outputs"], figures["verdicts"]
    uncompared = [name for name in outputs if outputs[name]["kind"] == _NOT_COMPARED]
    infinite = [name for name in uncompared if verdicts[name].reason == _NON_FINITE]
    if infinite:
        raise ExportError(
            f"The artifact gives NaN or infinity in {infinite} where the Keras model "
            'is finite. Try quantization="float32", or "dynamic" in place of '
            '"float16".',
            "non-finite",
            {"outputs": infinite},
        )
    if uncompared:
        raise ExportError(
            "The artifact's outputs have other shapes than the model's. "
            + " ".join(f"'{name}': {verdicts[name].reason}" for name in uncompared),
            "disagreement",
            {"outputs": uncompared},
        )
    if criteria.lets_all_pass:
        return
    bound = criteria.min_agreement
    if bound is not None and figures["agreement"] < bound:
        worst = min(outputs, key=lambda name: outputs[name]["agreement"])
        raise ExportError(
            f"The artifact agrees with the Keras model on {figures['agreement']:.4f} "
            f"of the verification data (output '{worst}', "
            f"{outputs[worst]['kind']}), less than the {bound:g} that "
            "`min_agreement` asks for; the largest difference is "
            f"{figures['max_difference']:.3g}. {consequence}",
            "disagreement",
            details(figures),
        )
    refused = {name: v for name, v in verdicts.items() if not v.passed}
    if refused:
        name = max(
            refused,
            key=lambda key: loss_by_limit(refused[key].loss, refused[key].limit),
        )
        raise ExportError(
            f"Output '{name}' of the artifact does not agree with the Keras model's, "
            f"judged as {verdicts[name].kind} on {verdicts[name].samples} samples. "
            f"{verdicts[name].reason} It agrees on {figures['agreement']:.4f} of the "
            f"data. {consequence}",
            "disagreement",
            details(figures),
        )


def largest_loss(figures: Mapping[str, Any], criteria: Criteria | None = None) -> float:
    """Returns the largest loss of the outputs by its limit.

    Args:
        figures: From `compare_outputs`.
        criteria: Limits to measure by. Defaults to `None`, those of the verdicts.
    """
    return max(
        loss_by_limit(
            verdict.loss, verdict.limit if criteria is None else criteria.limit(name)
        )
        for name, verdict in figures["verdicts"].items()
    )


def details(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures as JSON-ready details of an error."""
    verdicts = {name: v.to_dict() for name, v in figures["verdicts"].items()}
    return {**figures, "verdicts": verdicts}


def refusals(figures: Mapping[str, Any]) -> list[str]:
    """Returns sentences on the outputs that were refused."""
    return [
        f"Refused, output '{name}': {verdict.reason}"
        for name, verdict in figures["verdicts"].items()
        if not verdict.passed
    ]


def warnings(figures: Mapping[str, Any], argument: str = "verify") -> list[str]:
    """Returns sentences on refused outputs, few samples and unused labels.

    Args:
        figures: From `compare_outputs`.
        argument: The argument that more samples are given as.
    """
    sentences = refusals(figures)
    for name, verdict in figures["verdicts"].items():
        sentences += [f"Output '{name}': {note}" for note in verdict.notes]
    samples = max(verdict.samples for verdict in figures["verdicts"].values())
    if samples < FEW_SAMPLES:
        sentences.append(
            f"{samples} samples exclude only gross damage: give {ENOUGH_SAMPLES} real "
            f"ones as `{argument}` for a verdict within a point."
        )
    return sentences
