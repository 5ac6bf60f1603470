"""Measures of class probabilities (NumPy only)."""

import numpy as np

from keras_strategies.export.verify._measure import (
    ACCURACY,
    BRIER,
    CERTAIN,
    CLASS_RECALL,
    IOU,
    MIN_CLASS,
    Measure,
)


def class_measures(
    p: np.ndarray, q: np.ndarray, *, is_image: bool, truth: np.ndarray | None = None
) -> list[Measure]:
    """Measures of class probabilities.

    Args:
        p: The Keras model's probabilities, (positions, classes).
        q: The artifact's.
        is_image: Whether positions are pixels: the worst class is then judged by its
            IoU in place of its recall.
        truth: One-hot labels, or probabilities. Defaults to `None`, `p`.
    """
    truth = p if truth is None else truth
    is_soft = truth is p or bool((truth.max(axis=1) < 1).any())
    rows, classes = np.arange(len(p)), p.shape[1]
    top, new = p.argmax(axis=1), q.argmax(axis=1)
    # Without labels `truth` is `p`: a changed answer costs as much as Keras's model
    # holds the new class less probable than the old one, which is the expected loss of
    # accuracy if its probabilities are right.
    lost = truth[rows, top] - truth[rows, new]
    flipped = top != new
    points = 100 * float(lost.mean())
    measures = [
        Measure(
            "accuracy",
            points / ACCURACY,
            f"{100 * float(flipped.mean()):.2f} % of the answers change their class, "
            f"which costs about {points:.2f} points of accuracy",
        )
    ]
    measures += _missing_classes(top, new, lost, classes)
    if is_image:
        measures += iou_measures(_one_hot(top, classes), _one_hot(new, classes), truth)
    else:
        group = top if is_soft else truth.argmax(axis=1)
        measures += _recall_measures(group, lost, flipped, classes)
    base = truth.mean(axis=0)
    # Losses and metrics scale probabilities to a sum of one; others read them as they
    # are. A file must be right for both.
    scaled = _scaled(p)
    brier = max(
        _brier_lost(p, q, truth),
        _brier_lost(scaled, _scaled(q), scaled if truth is p else truth),
    )
    # By the Brier score of one that always answers the frequencies, 1 - sum of their
    # squares (Brier, 1950); the floor is for a class that hardly has another beside it.
    skill = 100 * brier / max(1 - float(np.square(base).sum()), 0.02)
    text = f"the probabilities lose {skill:.2f} points of Brier skill"
    return [*measures, Measure("brier", skill / BRIER, text)]


def _brier_lost(p, q, truth):
    if truth is p:
        return float(np.square(p - q).sum(axis=1).mean())
    worse = np.square(truth - q).sum(axis=1) - np.square(truth - p).sum(axis=1)
    return float(worse.mean())


def _scaled(q):
    q = np.maximum(q, 0.0)
    return q / np.maximum(q.sum(axis=1, keepdims=True), 1e-9)


def _one_hot(classes, count):
    return np.eye(count, dtype=bool)[classes]


def _recall_measures(group, lost, flipped, classes):
    """The class that loses most, of those with enough samples."""
    counts = np.bincount(group, minlength=classes)
    sums = np.bincount(group, lost, minlength=classes)
    flips = np.bincount(group, flipped, minlength=classes)
    # One flip alone is no evidence in a class of a few samples.
    is_judged = (counts >= MIN_CLASS) & ((flips >= 2) | (counts >= 4 * MIN_CLASS))
    if not is_judged.any():
        return []
    points = np.where(is_judged, 100 * sums / np.maximum(counts, 1), -np.inf)
    worst = int(points.argmax())
    text = (
        f"class {{channel}} loses about {points[worst]:.2f} points of recall "
        f"({int(flips[worst])} of its {int(counts[worst])} answers change)"
    )
    return [Measure("recall", float(points[worst]) / CLASS_RECALL, text, worst)]


def iou_measures(before, after, truth):
    """The class or foreground whose (soft) intersection over union loses most."""
    size = truth.sum(axis=0)
    is_judged = np.minimum(size, before.sum(axis=0)) >= MIN_CLASS
    if not is_judged.any():
        return []
    drop = 100 * (_soft_iou(before, truth) - _soft_iou(after, truth))
    drop = np.where(is_judged, drop, -np.inf)
    worst = int(drop.argmax())
    text = f"class {{channel}} loses about {drop[worst]:.2f} points of IoU"
    return [Measure("iou", float(drop[worst]) / IOU, text, worst)]


def _soft_iou(answers, truth):
    hits = np.where(answers, truth, 0.0).sum(axis=0)
    union = truth.sum(axis=0) + answers.sum(axis=0) - hits
    return hits / np.maximum(union, 1e-12)


def _missing_classes(top, new, lost, classes):
    """Classes that the artifact never gives; at a near tie that costs nothing."""
    before, after = (np.bincount(x, minlength=classes) for x in (top, new))
    missing = np.flatnonzero((before >= MIN_CLASS) & (after == 0))
    points = 100 * np.bincount(top, lost, minlength=classes) / np.maximum(before, 1)
    measures = []
    for worst in missing:
        text = (
            f"class {{channel}} is gone: Keras gives it {int(before[worst])} times, "
            "the file never"
        )
        value = float(points[worst]) / CLASS_RECALL
        measures.append(Measure("missing", value, text, int(worst)))
    return measures


def scrambled_channels(reference: np.ndarray, actual: np.ndarray) -> list[Measure]:
    """The channel of a classifier that has lost its values, where answers say little.

    An untrained or undecided classifier has near ties everywhere, at which a changed
    answer costs nothing: swapped outputs would pass.
    """
    reference, actual = _centred(reference), _centred(actual)
    error = np.square(actual - reference).mean(axis=0)
    step = np.ptp(reference) / 255
    ratio = error / np.maximum(reference.var(axis=0), 1e-30)
    # Half of its variance, and more than int8 may round: a channel that hardly varies
    # has lost nothing by a step or two.
    is_lost = (ratio > 0.5) & (np.sqrt(error) > 4 * step)
    if not is_lost.any():
        return []
    worst = int(np.where(is_lost, ratio, 0).argmax())
    text = (
        f"the scores of class {{channel}} have an error of {ratio[worst]:.0%} of their "
    )
    return [Measure("scores", CERTAIN, f"{text}variance", worst)]


def _centred(values):
    """Scores less their mean over the classes, which no decision depends on."""
    return values - values.mean(axis=1, keepdims=True)
