"""Replacement of words by synonyms."""

from collections.abc import Iterable, Sequence
from typing import Any

from keras_strategies.augmentation.text._operation import (
    WordOperation,
    checked_alpha,
    checked_stop_words,
)
from keras_strategies.augmentation.text._protected import PROTECT
from keras_strategies.augmentation.text._thesaurus import Thesaurus, lookup_of
from keras_strategies.augmentation.text._words import replace_synonyms


class SynonymReplacement(WordOperation):
    """Replaces some words of each text by synonyms (EDA's SR).

    Changes the wording and preserves the meaning, as far as the thesaurus is correct.
    Of the `l` words of a text

    ```
    n = max(1, int(alpha l))
    ```

    distinct ones that are no stop words and have synonyms are replaced at all
    occurrences, with the capitalization of the replaced word.

    Takes a `str`, a list, a NumPy array, a pandas Series or a `tf.string` tensor and
    returns the same, so that it can be passed to `map` of `tf.data`; further arguments,
    such as labels, pass through. With a seed, the draws in a pipeline depend on the
    text and how often it was seen, so that parallel calls repeat them.

    Reference: Wei and Zou, 2019, [EDA: Easy Data Augmentation Techniques for Boosting
    Performance on Text Classification Tasks](https://arxiv.org/abs/1901.11196).

    Args:
        thesaurus: A dict `{word: [synonyms]}` with words in lower case, a
            `WordNetThesaurus`, an `EmbeddingThesaurus`, or a function of a word.
        alpha: Fraction of the words, in `[0, 1]`; 0 changes nothing. The paper found
            0.1 best, and 0.05 below 5,000 texts. Defaults to `0.1`.
        stop_words: Words that are not replaced; `None` for common words of English,
            `()` for none. Defaults to `None`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        protect: What remains whole and is neither changed nor moved nor removed: a list
            of some of `"html"` (tags, comments), `"entity"`, `"email"`, `"url"`,
            `"mention"` (and hashtags) and `"number"` (with a decimal point, a currency
            or a percent sign, times), and of regular expressions of the
            [regex](https://pypi.org/project/regex) package. Defaults to all six kinds.

    Raises:
        TypeError: If `thesaurus` is neither a dict nor callable, or `texts` are no
            texts.
        ValueError: If `alpha` is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import SynonymReplacement

    replace = SynonymReplacement({"film": ["movie", "picture"]}, seed=0)
    assert replace("A film with heart.") in (
        "A movie with heart.", "A picture with heart."
    )
    ```
    """

    def __init__(
        self,
        thesaurus: Thesaurus,
        alpha: float = 0.1,
        stop_words: Iterable[str] | None = None,
        seed: int | None = None,
        protect: Sequence[str] = PROTECT,
    ) -> None:
        super().__init__(protect, seed)
        self.thesaurus: Thesaurus = thesaurus
        self.alpha: float = checked_alpha(alpha)
        self.stop_words: frozenset[str] = checked_stop_words(stop_words)
        self._lookup = lookup_of(thesaurus)

    def change(self, texts: list[str], random: Any) -> list[str]:
        settings = self.alpha, self._lookup, self.stop_words, random, self._split
        return [replace_synonyms(text, *settings) for text in texts]
