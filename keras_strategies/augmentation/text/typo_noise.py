"""Random typing errors."""

from collections.abc import Sequence
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies.augmentation.text._operation import WordOperation, checked_alpha
from keras_strategies.augmentation.text._protected import PROTECT
from keras_strategies.augmentation.text._words import add_typos

_KINDS = ("swap", "delete", "insert", "replace")


class TypoNoise(WordOperation):
    """Mistypes words of each text at random.

    For models of user input: networks trained on clean text fail on typing errors that
    readers do not notice. In each word, with probability `alpha`, two neighbouring
    letters are swapped, one is omitted, or an adjacent one on an English keyboard is
    inserted before it or replaces it.

    Takes a `str`, a list, a NumPy array, a pandas Series or a `tf.string` tensor and
    returns the same, so that it can be passed to `map` of `tf.data`; further arguments,
    such as labels, pass through. With a seed, the draws in a pipeline depend on the
    text and how often it was seen, so that parallel calls repeat them.

    Reference: Belinkov and Bisk, 2018, [Synthetic and Natural Noise Both Break Neural
    Machine Translation](https://arxiv.org/abs/1711.02173).

    Args:
        alpha: Probability of each word to be mistyped, in `[0, 1]`.
            Defaults to `0.05`.
        kinds: Kinds of errors, equally likely: some of `"swap"`, `"delete"`, `"insert"`
            and `"replace"`. Defaults to all four.
        min_length: Minimum number of letters of a word, at least 2. Defaults to `3`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        protect: What remains whole and is neither changed nor moved nor removed: a list
            of some of `"html"` (tags, comments), `"entity"`, `"email"`, `"url"`,
            `"mention"` (and hashtags) and `"number"` (with a decimal point, a currency
            or a percent sign, times), and of regular expressions of the
            [regex](https://pypi.org/project/regex) package. Defaults to all six kinds.

    Raises:
        TypeError: If `texts` are no texts.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    from keras_strategies.augmentation import TypoNoise

    assert TypoNoise(1.0, kinds=["delete"], min_length=4)("a film") in (
        "a ilm", "a flm", "a fim", "a fil"
    )
    ```
    """

    def __init__(
        self,
        alpha: float = 0.05,
        kinds: Sequence[Literal["swap", "delete", "insert", "replace"]] = _KINDS,
        min_length: int = 3,
        seed: int | None = None,
        protect: Sequence[str] = PROTECT,
    ) -> None:
        super().__init__(protect, seed)
        self.alpha: float = checked_alpha(alpha)
        self.kinds: tuple[str, ...] = tuple(
            checks.choice("kinds", kind, _KINDS) for kind in kinds
        )
        if not self.kinds:
            checks.fail(f"`kinds` must have some of {_KINDS}", kinds=kinds)
        self.min_length: int = checks.integer("min_length", min_length, low=2)

    def change(self, texts: list[str], random: Any) -> list[str]:
        settings = self.alpha, self.kinds, self.min_length, random, self._split
        return [add_typos(text, *settings) for text in texts]
