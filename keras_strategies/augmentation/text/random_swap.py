from keras_strategies.augmentation.text._operation import TextOperation, checked_alpha
from keras_strategies.augmentation.text._words import swap_words


class RandomSwap(TextOperation):
    """Exchanges words of each text at random (EDA's RS).

    Loosens the order of the words, where it says little about the class. Of the `l`
    words of a text, two are exchanged `n = max(1, int(alpha l))` times; punctuation
    stays where it is.

    Takes a `str`, a list, a NumPy array or a `tf.string` tensor and gives back the
    same, so that it is also a function for `tf.data`'s `map`; further arguments, such
    as labels, pass through.

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        alpha: Exchanges as a share of the words, in `[0, 1]`; 0 changes nothing.
            Defaults to `0.1`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.

    Raises:
        TypeError: If texts are no texts.
        ValueError: If `alpha` is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import RandomSwap

    assert RandomSwap()("Yes, sir!") == "sir, Yes!"
    ```
    """

    def __init__(self, alpha=0.1, seed=None):
        super().__init__(seed)
        self.alpha = checked_alpha(alpha)

    def change(self, texts, random):
        return [swap_words(text, self.alpha, random) for text in texts]
