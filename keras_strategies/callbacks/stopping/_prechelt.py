"""Prechelt's stopping criteria, on plain lists of errors by epoch.

Reference: Prechelt, 1998, Early Stopping - but when?; `generalization_loss` is GL(t),
`training_progress` P_k(t), `progress_quotient` GL(t) / P_k(t) and `successive_rises`
the s of UP_s, with strips of k = `strip` epochs.
"""

from collections.abc import Sequence

from keras_strategies._internal import checks


def generalization_loss(errors: Sequence[float]) -> float:
    """Percent by which the last validation error is above the lowest so far."""
    lowest = min(errors)
    if lowest < 0:
        checks.fail(
            "Prechelt's criteria need errors of at least 0",
            fix="Monitor an error or loss that cannot be negative.",
            lowest=lowest,
        )
    # The quotient at a perfect fit: no loss while the error stays 0, else infinite.
    if lowest == 0:
        return 0.0 if errors[-1] == 0 else float("inf")
    return 100.0 * (errors[-1] / lowest - 1.0)


def training_progress(training_errors: Sequence[float], strip: int) -> float:
    """Per mille by which the mean of the last strip is above its lowest error."""
    # Large while the training error still falls or is unstable, 0 when it is constant.
    last = training_errors[-strip:]
    lowest = min(last)
    if lowest <= 0:
        return 0.0 if max(last) == lowest else float("inf")
    return 1000.0 * (sum(last) / (len(last) * lowest) - 1.0)


def progress_quotient(
    errors: Sequence[float], training_errors: Sequence[float], strip: int
) -> float:
    """Generalization loss over training progress; infinite without progress."""
    loss = generalization_loss(errors)
    progress = training_progress(training_errors, strip)
    if progress == 0:
        return 0.0 if loss == 0 else float("inf")
    return loss / progress


def successive_rises(errors: Sequence[float], strip: int) -> int:
    """Strips in a row, up to the last, at whose end the error had risen."""
    # Pairs of neighbouring strip ends, the latest first; a rise must be strict.
    ends = errors[strip - 1 :: strip]
    rises = 0
    for earlier, later in zip(ends[-2::-1], ends[:0:-1], strict=True):
        if later <= earlier:
            break
        rises += 1
    return rises


def is_exceeded(
    criterion: str,
    threshold: float,
    errors: Sequence[float],
    training_errors: Sequence[float],
    strip: int,
) -> bool:
    """Whether `"gl"`, `"pq"` or `"up"` stops after the last epoch.

    The latter two are evaluated only at the end of a strip.
    """
    if criterion == "gl":
        return generalization_loss(errors) > threshold
    if len(errors) % strip:
        return False
    if criterion == "pq":
        return progress_quotient(errors, training_errors, strip) > threshold
    return successive_rises(errors, strip) >= threshold
