"""What the operations on texts share."""

import threading

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation.text._containers import change_texts
from keras_strategies.augmentation.text._words import STOP_WORDS


class TextOperation:
    """Changes texts in whatever they come; other arrays pass through.

    A subclass says in `change(texts, random)` what becomes of a list of `str`.
    """

    def __init__(self, seed=None):
        self.seed = checks.integer("seed", seed, low=0, optional=True)
        self._random = np.random.default_rng(self.seed)
        self._lock = threading.Lock()  # tf.data calls from several threads

    def __call__(self, texts, *others):
        changed = change_texts(self._change, texts)
        return (changed, *others) if others else changed

    def _change(self, texts):
        with self._lock:
            return self.change(texts, self._random)

    def change(self, texts, random):
        """The changed texts, one for each, drawn from a NumPy generator.

        Args:
            texts: List of `str`.
            random: A `numpy.random.Generator`.
        """
        raise NotImplementedError


def checked_alpha(alpha):
    """A share of the words."""
    return checks.real("alpha", alpha, low=0, high=1)


def checked_stop_words(stop_words):
    """The words that are left alone, in small letters."""
    if stop_words is None:
        return STOP_WORDS
    if isinstance(stop_words, str):
        fix = "Give a list or a set, () for none."
        checks.fail("`stop_words` must hold words", fix=fix, stop_words=stop_words)
    return frozenset(word.lower() for word in stop_words)
