"""Base class and argument checks of operations on texts."""

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensors
from keras_strategies.augmentation.text._containers import map_texts
from keras_strategies.augmentation.text._words import STOP_WORDS


class TextOperation:
    """Base of operations on texts in any container; other arguments pass through.

    Subclasses transform a list of `str` in `change(texts, random)`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed: int | None = checks.integer("seed", seed, low=0, optional=True)
        self._random = np.random.default_rng(self.seed)
        self._lock = threading.Lock()  # tf.data calls it from several threads

    def __call__(self, texts: Any, *labels: Tensors) -> Any:
        changed = map_texts(self._change, texts)
        return (changed, *labels) if labels else changed

    def _change(self, texts: list[str]) -> list[str]:
        with self._lock:
            return self.change(texts, self._random)

    def change(self, texts: list[str], random: Any) -> list[str]:
        """Returns the changed texts, one for each.

        Args:
            texts: List of `str`.
            random: A `numpy.random.Generator`.
        """
        raise NotImplementedError


def checked_alpha(alpha: float) -> float:
    """Checks a fraction of the words."""
    return checks.real("alpha", alpha, low=0, high=1)


def checked_stop_words(stop_words: Iterable[str] | str | None) -> frozenset[str]:
    """Returns the words that are not changed, in lower case."""
    if stop_words is None:
        return STOP_WORDS
    if isinstance(stop_words, str):
        fix = "Give a list or a set, () for none."
        checks.fail(
            "`stop_words` must be a collection of words", fix=fix, stop_words=stop_words
        )
    return frozenset(word.lower() for word in stop_words)
