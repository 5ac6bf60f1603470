"""Random swaps of words."""

from collections.abc import Sequence
from typing import Any

from keras_strategies.augmentation.text._operation import WordOperation, checked_alpha
from keras_strategies.augmentation.text._protected import PROTECT
from keras_strategies.augmentation.text._words import swap_words


class RandomSwap(WordOperation):
    """Swaps words of each text at random (EDA's RS).

    For tasks where the order of the words is of little relevance to the class. Of the
    `l` words of a text, two are swapped `n = max(1, int(alpha l))` times; punctuation
    is not moved.

    Takes a `str`, a list, a NumPy array, a pandas Series or a `tf.string` tensor and
    returns the same, so that it can be passed to `map` of `tf.data`; further arguments,
    such as labels, pass through. With a seed, the draws in a pipeline depend on the
    text and how often it was seen, so that parallel calls repeat them.

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        alpha: Swaps as a fraction of the words, in `[0, 1]`; 0 changes nothing.
            Defaults to `0.1`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        protect: What remains whole and is neither changed nor moved nor removed: a list
            of some of `"html"` (tags, comments), `"entity"`, `"email"`, `"url"`,
            `"mention"` (and hashtags) and `"number"` (with a decimal point, a currency
            or a percent sign, times), and of regular expressions of the
            [regex](https://pypi.org/project/regex) package. Defaults to all six kinds.

    Raises:
        TypeError: If `texts` are no texts.
        ValueError: If `alpha` is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import RandomSwap

    assert RandomSwap()("Yes, sir!") == "sir, Yes!"
    ```
    """

    def __init__(
        self,
        alpha: float = 0.1,
        seed: int | None = None,
        protect: Sequence[str] = PROTECT,
    ) -> None:
        super().__init__(protect, seed)
        self.alpha: float = checked_alpha(alpha)

    def change(self, texts: list[str], random: Any) -> list[str]:
        return [swap_words(text, self.alpha, random, self._split) for text in texts]
