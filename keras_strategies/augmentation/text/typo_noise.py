from keras_strategies._internal import checks
from keras_strategies.augmentation.text._operation import TextOperation, checked_alpha
from keras_strategies.augmentation.text._words import add_typos

_KINDS = ("swap", "delete", "insert", "replace")


class TypoNoise(TextOperation):
    """Mistypes words of each text at random.

    For models that read what people type: networks that are trained on clean text fail
    on slips that no reader minds. In each word, with probability `alpha`, two
    neighbouring letters are swapped, or one is left out, or one from beside it on an
    English keyboard is put before it or in its place.

    Takes a `str`, a list, a NumPy array or a `tf.string` tensor and gives back the
    same, so that it is also a function for `tf.data`'s `map`; further arguments, such
    as labels, pass through.

    Reference: Belinkov and Bisk, 2018, [Synthetic and Natural Noise Both Break Neural
    Machine Translation](https://arxiv.org/abs/1711.02173).

    Args:
        alpha: Probability of each word to be mistyped, in `[0, 1]`.
            Defaults to `0.05`.
        kinds: Which slips happen, evenly: some of `"swap"`, `"delete"`, `"insert"` and
            `"replace"`. Defaults to all four.
        min_length: Letters a word must have, at least 2. Defaults to `3`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.

    Raises:
        TypeError: If texts are no texts.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import TypoNoise

    assert TypoNoise(1.0, kinds=["delete"], min_length=4)("a film") in (
        "a ilm", "a flm", "a fim", "a fil"
    )
    ```
    """

    def __init__(self, alpha=0.05, kinds=_KINDS, min_length=3, seed=None):
        super().__init__(seed)
        self.alpha = checked_alpha(alpha)
        self.kinds = tuple(checks.choice("kinds", kind, _KINDS) for kind in kinds)
        if not self.kinds:
            checks.fail(f"`kinds` must hold some of {_KINDS}", kinds=kinds)
        self.min_length = checks.integer("min_length", min_length, low=2)

    def change(self, texts, random):
        settings = self.alpha, self.kinds, self.min_length, random
        return [add_typos(text, *settings) for text in texts]
