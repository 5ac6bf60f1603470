"""Base class and argument checks of operations on texts."""

import collections
import hashlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensors
from keras_strategies.augmentation.text._containers import map_texts
from keras_strategies.augmentation.text._protected import checked_protect, splitter
from keras_strategies.augmentation.text._words import STOP_WORDS


class TextOperation:
    """Base of operations on texts in any container; other arguments pass through.

    Subclasses transform a list of `str` in `change(texts, random)`.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed: int | None = checks.integer("seed", seed, low=0, optional=True)
        self._random = np.random.default_rng(self.seed)
        self._visits: collections.Counter[bytes] = collections.Counter()
        self._lock = threading.Lock()  # tf.data calls it from several threads

    def __call__(self, texts: Any, *labels: Tensors) -> Any:
        changed = map_texts(self._change, texts)
        return (changed, *labels) if labels else changed

    def _change(self, texts: list[str], in_pipeline: bool = False) -> list[str]:
        with self._lock:
            return self._apply(texts, self._generator(texts, in_pipeline), in_pipeline)

    def _apply(self, texts: list[str], random: Any, in_pipeline: bool) -> list[str]:
        return self.change(texts, random)

    def _generator(self, texts: list[str], in_pipeline: bool) -> np.random.Generator:
        """Returns the generator of a call.

        A pipeline that maps in parallel calls in an order that differs from run to run:
        there texts draw from (seed, content, how often it was seen), and get the same
        numbers in whatever order they come, and others each time they come again.
        """
        if self.seed is None or not in_pipeline:
            return self._random
        content = hashlib.blake2b(digest_size=16)
        for text in texts:
            encoded = text.encode("utf-8", "surrogatepass")
            content.update(b"%d " % len(encoded))  # two texts are not their sum
            content.update(encoded)
        element = content.digest()
        count = self._visits[element]
        self._visits[element] += 1
        content.update(b"%d %d" % (self.seed, count))
        key = np.frombuffer(content.digest(), "uint64")
        return np.random.Generator(np.random.Philox(key=key))

    def change(self, texts: list[str], random: Any) -> list[str]:
        """Returns the changed texts, one for each.

        Args:
            texts: List of `str`.
            random: A `numpy.random.Generator`.
        """
        raise NotImplementedError


class WordOperation(TextOperation):
    """Base of operations on the words outside of the protected spans of each text."""

    def __init__(self, protect: Sequence[str], seed: int | None = None) -> None:
        super().__init__(seed)
        self.protect: tuple[str, ...] = checked_protect(protect)
        self._split = splitter(self.protect)


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
