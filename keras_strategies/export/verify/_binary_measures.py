"""Measures of independent probabilities of yes, one a channel (NumPy only)."""

import numpy as np

from keras_strategies.export.verify._class_measures import iou_measures
from keras_strategies.export.verify._measure import (
    ACCURACY,
    AVERAGE_PRECISION,
    BRIER,
    CLASS_F1,
    CLASS_RECALL,
    F1,
    LOOSE_VARIANCE,
    MAX_ORDERED,
    MIN_CLASS,
    Measure,
    random_rows,
)
from keras_strategies.export.verify._value_measures import (
    constant_channels,
    variance_measures,
)


def binary_measures(
    p: np.ndarray,
    q: np.ndarray,
    *,
    is_image: bool,
    truth: np.ndarray | None = None,
    is_certain: bool = True,
) -> list[Measure]:
    """Measures of independent probabilities of yes.

    Args:
        p: The Keras model's, (positions, channels).
        q: The artifact's.
        is_image: Whether positions are pixels: a channel is then judged by its IoU in
            place of its F1 score.
        truth: Labels of 0 and 1. Defaults to `None`, `p`.
        is_certain: Whether it is known that they answer yes or no. A sigmoid of unknown
            purpose may hold coordinates: its spread is then looked at, too.
    """
    truth = p if truth is None else truth
    before, after = p > 0.5, q > 0.5
    flipped = before != after
    lost = np.where(flipped, np.where(before, 1, -1) * (2 * truth - 1), 0.0)
    points = 100 * float(lost.mean())
    text = (
        f"{100 * float(flipped.mean()):.2f} % of the answers change between yes and "
        f"no, which costs about {points:.2f} points of accuracy"
    )
    measures = [Measure("accuracy", points / ACCURACY, text)]
    judge = iou_measures if is_image else _f1_measures
    measures += judge(before, after, truth)
    measures += _order_measures(p, q, truth)
    measures.append(_brier_measure(p, q, truth))
    measures += constant_channels(p, q, smallest=0.02)
    measures += _silent_channels(before, after, truth, lost)
    if not is_certain:
        measures += variance_measures(p, q, LOOSE_VARIANCE)
    return measures


def _brier_measure(p, q, truth):
    base = truth.mean(axis=0)
    if truth is p:
        brier = float(np.square(p - q).mean())
    else:
        brier = float((np.square(truth - q) - np.square(truth - p)).mean())
    skill = 100 * brier / max(float((base * (1 - base)).mean()), 0.005)
    text = f"the probabilities lose {skill:.2f} points of Brier skill"
    return Measure("brier", skill / BRIER, text)


def _silent_channels(before, after, truth, lost):
    """Channels that never say yes in the artifact; at a near tie that costs nothing."""
    silent = np.flatnonzero(
        (before.sum(axis=0) >= MIN_CLASS)
        & (truth.sum(axis=0) >= MIN_CLASS)
        & (after.sum(axis=0) == 0)
    )
    measures = []
    for channel in silent:
        count = int(before[:, channel].sum())
        points = 100 * float(lost[:, channel].sum()) / count
        text = (
            f"channel {{channel}} says yes {count} times in Keras and never in the file"
        )
        measures.append(Measure("missing", points / CLASS_RECALL, text, int(channel)))
    return measures


def _f1_measures(before, after, truth):
    positives = truth.sum(axis=0)
    is_judged = positives >= MIN_CLASS
    if not is_judged.any():
        return []
    drop = 100 * (_soft_f1(before, truth) - _soft_f1(after, truth))
    mean = float(drop[is_judged].mean())
    text = f"the F1 score falls by about {mean:.2f} points"
    measures = [Measure("f1", mean / F1, text)]
    # One flip alone is no evidence in a channel of a few positives.
    flips = (before != after).sum(axis=0)
    is_judged &= (positives >= 2 * MIN_CLASS) & (flips >= 2)
    if is_judged.any():
        drop = np.where(is_judged, drop, -np.inf)
        worst = int(drop.argmax())
        text = (
            f"the F1 score of channel {{channel}} falls by about "
            f"{drop[worst]:.2f} points"
        )
        measures.append(Measure("f1", float(drop[worst]) / CLASS_F1, text, worst))
    return measures


def _soft_f1(answers, truth):
    hits = np.where(answers, truth, 0.0).sum(axis=0)
    return 2 * hits / np.maximum(truth.sum(axis=0) + answers.sum(axis=0), 1e-12)


def _order_measures(p, q, truth):
    """Average precision: the order of the scores, whatever the threshold."""
    p, q, truth = random_rows(MAX_ORDERED, p, q, truth)
    is_judged = truth.sum(axis=0) >= MIN_CLASS
    if not is_judged.any():
        return []
    p, q, truth = p[:, is_judged], q[:, is_judged], truth[:, is_judged]
    drop = (_average_precision(p, truth) - _average_precision(q, truth)).mean()
    points = 100 * float(drop)
    text = f"the order of the scores loses {points:.2f} points of average precision"
    return [Measure("order", points / AVERAGE_PRECISION, text)]


def _average_precision(scores, truth):
    """Mean precision at the positives; equal scores are one threshold."""
    order = np.argsort(-scores, axis=0, kind="stable")
    ordered = np.take_along_axis(truth, order, axis=0)
    ranked = np.take_along_axis(scores, order, axis=0)
    precision = np.cumsum(ordered, axis=0) / np.arange(1, len(scores) + 1)[:, None]
    # The last of equal scores, from the end: rounding makes many of them equal.
    is_last = np.ones(ranked.shape, bool)
    is_last[:-1] = ranked[:-1] != ranked[1:]
    rows = np.where(is_last, np.arange(len(scores))[:, None], len(scores))
    last = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    precision = np.take_along_axis(precision, last, axis=0)
    return (ordered * precision).sum(axis=0) / np.maximum(truth.sum(axis=0), 1e-12)
