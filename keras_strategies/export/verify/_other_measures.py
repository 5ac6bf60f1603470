"""Measures of embeddings and of integers (NumPy only)."""

import numpy as np

from keras_strategies.export.verify._measure import (
    ACCURACY,
    CERTAIN,
    CLASS_RECALL,
    IOU,
    MAX_NEIGHBOURS,
    MIN_CLASS,
    NEIGHBOUR,
    NORM,
    Measure,
    random_rows,
)


def embedding_measures(
    reference: np.ndarray, actual: np.ndarray, truth: np.ndarray | None = None
) -> list[Measure]:
    """Measures of embeddings: how near the neighbours are that the artifact finds.

    Neighbours are looked for among the artifact's own embeddings and among the Keras
    model's: a gallery may hold either.

    Args:
        reference: The Keras model's, (samples, channels).
        actual: The artifact's.
        truth: Class of each sample. Defaults to `None`, without.
    """
    reference, actual, truth = random_rows(MAX_NEIGHBOURS, reference, actual, truth)
    measures = _norm_measures(reference, actual)
    reference, actual = _normalized(reference), _normalized(actual)
    if len(reference) < 3:
        lost = 1 - float((reference * actual).sum(axis=1).mean())
        text = f"the cosine to Keras's embeddings is {1 - lost:.4f}"
        return [*measures, Measure("cosine", lost / 0.02, text)]
    similarity = reference @ reference.T
    rows = np.arange(len(reference))
    nearest = _nearest(similarity)
    best = similarity[rows, nearest]
    distance = max(float((1 - best).mean()), 1e-6)
    galleries = {"its own": actual @ actual.T, "Keras's": actual @ reference.T}
    for name, scores in galleries.items():
        chosen = _nearest(scores)
        lost = float((best - similarity[rows, chosen]).mean()) / distance
        agree = float((chosen == nearest).mean())
        text = (
            f"among {name} embeddings the file finds the same nearest neighbour for "
            f"{agree:.1%} of the samples, the others {lost:.3f} too far"
        )
        measures.append(Measure("neighbour", lost / NEIGHBOUR, text))
        if truth is not None:
            points = truth[nearest] == truth, truth[chosen] == truth
            drop = 100 * float(points[0].mean() - points[1].mean())
            text = f"{drop:.2f} points fewer nearest neighbours are of the same class"
            measures.append(Measure("retrieval", drop / ACCURACY, text))
    return measures


def _norm_measures(reference, actual):
    """Lengths, where Keras's are all the same: dot products rely on it.

    Others are compared by the cosine, which has no use for a length.
    """
    before, after = (np.linalg.norm(x, axis=1) for x in (reference, actual))
    usual = float(before.mean())
    if usual == 0 or np.abs(before - usual).max() > 1e-2 * usual:
        return []
    error = float(np.sqrt(np.square(after / usual - before / usual).mean()))
    text = f"the embeddings' lengths are off by {error:.3g} of Keras's"
    return [Measure("norm", error / NORM, text)]


def _normalized(values):
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(norms, 1e-12)


def _nearest(similarity):
    """Index of the most similar other sample of each."""
    others = similarity.copy()
    np.fill_diagonal(others, -np.inf)
    return others.argmax(axis=1)


def integer_measures(
    reference: np.ndarray,
    actual: np.ndarray,
    *,
    is_image: bool,
    truth: np.ndarray | None = None,
) -> list[Measure]:
    """Measures of integers: the share of equal ones, and the classes if they are few.

    Args:
        reference: The Keras model's, (positions, channels).
        actual: The artifact's.
        is_image: Whether positions are pixels.
        truth: Labels. Defaults to `None`, `reference`.
    """
    truth = reference if truth is None else truth
    before, after = reference == truth, actual == truth
    points = 100 * float(before.mean() - after.mean())
    differ = 100 * float((reference != actual).mean())
    text = f"{differ:.2f} % of the integers differ"
    measures = [Measure("equal", points / ACCURACY, text)]
    values = np.unique(truth)
    if len(values) > 256:
        return measures
    flat = [entry.ravel() for entry in (truth, reference, actual)]
    for value in values:
        is_class, first, second = (entry == value for entry in flat)
        if is_class.sum() < MIN_CLASS:
            continue
        if is_image:
            drop = 100 * (_iou(first, is_class) - _iou(second, is_class))
            measure = drop / IOU
            text = f"class {{channel}} loses {drop:.2f} points of IoU"
        else:
            drop = 100 * float(first[is_class].mean() - second[is_class].mean())
            changed = int((first != second)[is_class].sum())
            if changed < 2 and is_class.sum() < 4 * MIN_CLASS:
                continue
            measure = drop / CLASS_RECALL
            text = f"class {{channel}} loses {drop:.2f} points of recall"
        if not second.any() and first.sum() >= MIN_CLASS:
            measure, text = CERTAIN, "class {channel} is gone"
        measures.append(Measure("class", measure, text, int(value)))
    return measures


def _iou(first, second):
    return float((first & second).sum() / max((first | second).sum(), 1))
