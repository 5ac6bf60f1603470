"""Figures of single channels and classes, and pictures, that explain a verdict."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies.export.verify._measure import MAX_ORDERED, random_rows
from keras_strategies.export.verify._value_measures import denominators

#: Kinds whose channels are classes that exclude each other.
CLASS_KINDS = ("probabilities", "logits", "integer")
_MAX_ROWS = 32
_MAX_POINTS = 400
_MAX_CLASSES = 12


def value_rows(
    reference: np.ndarray, actual: np.ndarray, is_shared: bool = False
) -> list[tuple[int, dict[str, Any]]]:
    """Returns `(channel, figures)` of the worst channels of values."""
    spread = denominators(reference, is_shared)
    error = np.square(actual - reference).mean(axis=0) / spread
    bias = (actual - reference).mean(axis=0) / np.sqrt(spread)
    worst = np.argsort(-error, kind="stable")[:_MAX_ROWS]
    return [
        (
            int(index),
            {
                "explained_variance": float(1 - error[index]),
                "bias": float(bias[index]),
                "rank_correlation": spearman(reference[:, index], actual[:, index]),
            },
        )
        for index in worst
    ]


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Rank correlation of two arrays; `None` where one of them is constant."""
    first, second = random_rows(MAX_ORDERED, first, second)
    first, second = _ranks(first), _ranks(second)
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values):
    """Ranks, equal values at their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def answer_rows(
    kind: str, p: np.ndarray, q: np.ndarray
) -> list[tuple[int, dict[str, Any]]]:
    """Returns `(class or channel, figures)`: kept answers and mean probabilities."""
    if kind in CLASS_KINDS:
        classes = np.arange(p.shape[1])
        before = p.argmax(axis=1)[:, None] == classes
        after = q.argmax(axis=1)[:, None] == classes
    else:
        before, after = p > 0.5, q > 0.5
    counts, kept = before.sum(axis=0), (before & after).sum(axis=0)
    recall = kept / np.maximum(counts, 1)
    union = np.maximum((before | after).sum(axis=0), 1)
    order = np.argsort(np.where(counts > 0, recall, 2.0), kind="stable")[:_MAX_ROWS]
    return [
        (
            int(index),
            {
                "samples": int(counts[index]),
                "samples_in_file": int(after[:, index].sum()),
                "recall": float(recall[index]) if counts[index] else None,
                "iou": float(kept[index] / union[index]),
                "calibration_shift": float((q - p)[:, index].mean()),
            },
        )
        for index in order
    ]


def scatter(reference: np.ndarray, actual: np.ndarray, name: str) -> dict[str, Any]:
    """Returns points of one channel for a picture."""
    reference, actual = random_rows(_MAX_POINTS, reference, actual)
    return {
        "kind": "scatter",
        "channel": name,
        "keras": [float(value) for value in reference],
        "artifact": [float(value) for value in actual],
    }


def flips(p: np.ndarray, q: np.ndarray, label: Callable[[int], str]) -> dict[str, Any]:
    """Returns how often each class became another, of the classes that did."""
    before, after = p.argmax(axis=1), q.argmax(axis=1)
    changed = before != after
    involved = np.bincount(
        np.concatenate([before[changed], after[changed]]), minlength=p.shape[1]
    )
    usual = np.bincount(before, minlength=p.shape[1])
    order = np.lexsort((-usual, -involved))[:_MAX_CLASSES]
    chosen = np.sort(order)
    counts = [
        [int(((before == row) & (after == column)).sum()) for column in chosen]
        for row in chosen
    ]
    return {
        "kind": "flips",
        "classes": [label(int(index)) for index in chosen],
        "counts": counts,
    }
