"""Random deletion of words."""

from collections.abc import Sequence
from typing import Any

from keras_strategies.augmentation.text._operation import WordOperation, checked_alpha
from keras_strategies.augmentation.text._protected import PROTECT
from keras_strategies.augmentation.text._words import delete_words


class RandomDeletion(WordOperation):
    """Removes words of each text at random (EDA's RD).

    Makes a classifier rely on more than single words. Each word is removed with
    probability `alpha`; at least one word remains. Spaces around a removed word become
    one, punctuation is not removed.

    Takes a `str`, a list, a NumPy array, a pandas Series or a `tf.string` tensor and
    returns the same, so that it can be passed to `map` of `tf.data`; further arguments,
    such as labels, pass through. With a seed, the draws in a pipeline depend on the
    text and how often it was seen, so that parallel calls repeat them.

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        alpha: Probability of each word to be removed, in `[0, 1]` (`p` in the paper).
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
    from keras_strategies.augmentation import RandomDeletion

    assert len(RandomDeletion(1.0)("one of these stays").split()) == 1
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
        return [delete_words(text, self.alpha, random, self._split) for text in texts]
