"""Attributions of the tokens of a text."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selector
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._gradients.integrated import (
    averaged,
    refine,
    warn_of_errors,
)
from keras_strategies.explain._sequences.embeddings import (
    TokenLayer,
    token_layer,
    vectors,
)

_METHODS = ("integrated_gradients", "grad_times_input", "saliency")


def token_attributions(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    method: str = "integrated_gradients",
    words: Any = None,
    baseline_token: int | None = None,
    layer: Selector | None = None,
    points: int | None = None,
    tolerance: float = 0.01,
    max_points: int = 256,
    logits: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """How much each token of a text adds to the output.

    Token numbers have no gradient; the vectors that the embedding makes of them have.
    Their attributions are summed up over the vector of each token, and, with `words`,
    over the tokens of each word.

    - `"integrated_gradients"`: from the vectors of a baseline to those of the text;
      the attributions of a text add up to the difference of the scores.
    - `"grad_times_input"`: the inner product of gradient and vector.
    - `"saliency"`: the length of the gradient, without a sign.

    Args:
        model: A model over token numbers with a layer that makes vectors of them, such
            as `keras.layers.Embedding`, also nested or subclassed.
        inputs: Token numbers, `(samples, length)`; for several inputs in their
            structure, such as a dict with a mask.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        method: One of the three above. Defaults to `"integrated_gradients"`.
        words: The number of the word that each token belongs to, `(samples, length)`,
            from 0, with -1 for tokens of none, as padding. Defaults to `None`: tokens
            are not merged.
        baseline_token: The token whose vectors are the baseline of integrated
            gradients, such as that of padding or of a mask. Defaults to `None`, vectors
            of zeros.
        layer: The layer that makes the vectors, if there are several: its name, a
            regular expression of its path or the layer. Defaults to `None`.
        points: Points of integrated gradients. Defaults to `None`, as many as are
            needed, see `integrated_gradients`.
        tolerance: The error of the sum to reach with `points=None`, in (0, 1). Defaults
            to `0.01`.
        max_points: The most points of a sample then. Defaults to `256`.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Texts, or points of texts, that the model is run on at once.
            Defaults to `32`.

    Returns:
        float32 array of the shape of the token numbers; with `words`
        `(samples, words)`, 0 where a text has fewer.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If no layer or several make vectors of the tokens, or an argument is
            out of range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((4,), dtype="int32"),
        keras.layers.Embedding(10, 3),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    tokens = np.array([[5, 2, 7, 1]])
    explain.token_attributions(model, tokens).shape  # (1, 4)
    pieces = [[0, 1, 1, 2]]  # 2 and 7 are two pieces of a word
    explain.token_attributions(model, tokens, words=pieces).shape  # (1, 3)
    ```
    """
    checks.choice("method", method, _METHODS)
    checks.integer("points", points, low=1, optional=True)
    checks.integer("max_points", max_points, low=1)
    checks.real("tolerance", tolerance, low=0, high=1, low_open=True, high_open=True)
    checks.integer("baseline_token", baseline_token, low=0, optional=True)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    where = token_layer(explained, layer)
    shape = explained.inputs.flat[where.position].shape
    numbers = None if words is None else _checked_words(words, shape)
    if method == "integrated_gradients":
        line = _VectorLine(explained, where, baseline_token)
        found = np.zeros(shape, "float32")
        errors = refine([found], line, points, tolerance, max_points)
        if points is None:
            warn_of_errors(errors, tolerance, max_points)
    else:
        _, values, gradients = explained.gradients_at(where.layer)
        if method == "saliency":
            found = np.sqrt((gradients**2).sum(axis=-1))
        else:
            found = (gradients * values).sum(axis=-1)
    return found if numbers is None else _merged(found, numbers)


class _VectorLine:
    """The straight line from the vectors of the baseline to those of each text."""

    def __init__(
        self, explained: Explained, where: TokenLayer, token: int | None
    ) -> None:
        explained.fix_target()
        self.explained: Explained = explained
        self.where: TokenLayer = where
        self.ends: np.ndarray = vectors(explained, where)
        self.starts: np.ndarray = (
            np.zeros_like(self.ends)
            if token is None
            else vectors(explained, where, token)
        )
        every, ones = np.arange(explained.count), np.ones(explained.count, "float32")
        at_end, _ = self._evaluated(every, ones)
        at_start, _ = self._evaluated(every, 0 * ones)
        self.difference: np.ndarray = at_end - at_start

    def _evaluated(self, rows, parameters):
        """Scores and gradients at points between the baseline and some texts."""

        def make(positions):
            return self.explained.originals(rows[positions])

        shape = (len(rows), 1, 1)
        t = parameters.reshape(shape)
        moved = self.starts[rows] + t * (self.ends[rows] - self.starts[rows])
        scores, _, gradients = self.explained.gradients_at(
            self.where.layer, "replaced", _replace, len(rows), make, [moved]
        )
        return scores, gradients

    def _gradients(self, rows, parameters):
        return [self._evaluated(rows, parameters)[1]]

    def integral(self, rows: np.ndarray, count: int) -> list[np.ndarray]:
        """The attributions of some texts by `count` points."""
        [mean] = averaged(self._gradients, rows, count, self.explained.batch_size)
        moved = self.ends[rows] - self.starts[rows]
        return [(mean * moved).sum(axis=-1).astype("float32")]


def _replace(value, extra):
    """The vectors at a point in place of those of the text."""
    return keras.ops.cast(extra[0], value.dtype)


def _checked_words(words, shape):
    numbers = np.asarray(words)
    if numbers.shape != shape or numbers.dtype.kind not in "iu":
        checks.fail(
            "`words` must have the number of a word for each token",
            words=numbers.shape,
            tokens=shape,
            dtype=str(numbers.dtype),
        )
    if numbers.min() < -1 or numbers.max() >= shape[1]:
        checks.fail(
            "`words` must have numbers from 0, or -1 for tokens of no word",
            smallest=int(numbers.min()),
            largest=int(numbers.max()),
        )
    return numbers


def _merged(found, numbers):
    """The sums over the tokens of each word."""
    merged = np.zeros((len(found), int(numbers.max()) + 1), "float32")
    rows, columns = np.nonzero(numbers >= 0)
    np.add.at(merged, (rows, numbers[rows, columns]), found[rows, columns])
    return merged
