from keras_strategies.augmentation.text._operation import (
    TextOperation,
    checked_alpha,
    checked_stop_words,
)
from keras_strategies.augmentation.text._thesaurus import lookup_of
from keras_strategies.augmentation.text._words import insert_synonyms


class RandomInsertion(TextOperation):
    """Inserts synonyms of some words at random places of each text (EDA's RI).

    Adds words that fit the subject, and noise in the grammar. Of the `l` words of a
    text, synonyms of `n = max(1, int(alpha l))` that are no stop words are inserted.

    Takes a `str`, a list, a NumPy array or a `tf.string` tensor and gives back the
    same, so that it is also a function for `tf.data`'s `map`; further arguments, such
    as labels, pass through.

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        thesaurus: A dict `{word: [synonyms]}` with words in small letters, a
            `WordNetThesaurus`, an `EmbeddingThesaurus`, or a function of a word.
        alpha: Share of the words, in `[0, 1]`; 0 changes nothing.
            Defaults to `0.1`.
        stop_words: Words whose synonyms are not inserted; `None` for common words of
            English, `()` for none. Defaults to `None`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.

    Raises:
        TypeError: If `thesaurus` is neither a dict nor callable, or texts are no
            texts.
        ValueError: If `alpha` is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import RandomInsertion

    insert = RandomInsertion({"film": ["movie"]}, seed=0)
    assert sorted(insert("a warm film").split()) == ["a", "film", "movie", "warm"]
    ```
    """

    def __init__(self, thesaurus, alpha=0.1, stop_words=None, seed=None):
        super().__init__(seed)
        self.thesaurus = thesaurus
        self.alpha = checked_alpha(alpha)
        self.stop_words = checked_stop_words(stop_words)
        self._lookup = lookup_of(thesaurus)

    def change(self, texts, random):
        settings = self.alpha, self._lookup, self.stop_words, random
        return [insert_synonyms(text, *settings) for text in texts]
