"""Enlargement of text data sets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor, Tensors
from keras_strategies.augmentation.text._containers import (
    as_list,
    call_on_tensor,
    checked,
    is_tensor,
    to_container,
)
from keras_strategies.augmentation.text._operation import TextOperation
from keras_strategies.augmentation.text._protected import PROTECT
from keras_strategies.augmentation.text._thesaurus import Thesaurus
from keras_strategies.augmentation.text.random_deletion import RandomDeletion
from keras_strategies.augmentation.text.random_insertion import RandomInsertion
from keras_strategies.augmentation.text.random_swap import RandomSwap
from keras_strategies.augmentation.text.synonym_replacement import SynonymReplacement


class TextAugmenter(TextOperation):
    """Returns an enlarged data set: every text and changed copies of it, with labels.

    Each copy is changed by one of the operations, with the copies of a text distributed
    evenly among them, as in EDA (`mode="one"`), or by all in order (`mode="all"`). The
    copies follow their text:

    ```
    x1, copy, ..., copy, x2, copy, ...
    ```

    and labels, sample weights and other arguments are repeated to match.
    `TextAugmenter.eda` has the four operations of EDA. Augment only training data,
    after the split: a copy of a training text in the validation set is a leak.

    Takes lists, NumPy arrays, pandas Series and `tf.string` tensors of rank 1, or one
    text. In `tf.data`, `dataset.map(augmenter)` enlarges each batch (or each text,
    followed by `.unbatch()`).

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        operations: List of operations on texts, such as `RandomSwap()`.
        copies: Changed copies of each text (`n_aug` in EDA), at least 1.
            Defaults to `4`.
        mode: `"one"` or `"all"`. Defaults to `"one"`.
        originals: Whether to include the texts themselves. Defaults to `True`.
        seed: Integer that makes all draws reproducible, those of the operations too,
            or `None`. Defaults to `None`.

    Call arguments:
        texts: The texts.
        *labels: Labels, sample weights and the like: arrays, lists or tensors of as
            many items, or nested structures of arrays. The result is then a tuple.

    Raises:
        TypeError: If an operation or `texts` is of the wrong type.
        ValueError: If an argument is outside its range, or the number of labels is not
            that of texts.

    Example:

    ```python
    from keras_strategies.augmentation import RandomSwap, TextAugmenter, TypoNoise

    augment = TextAugmenter([RandomSwap(), TypoNoise(1.0)], copies=2, seed=0)
    texts, labels = augment(["a good film", "a bad film"], [1, 0])
    assert len(texts) == 6 and labels == [1, 1, 1, 0, 0, 0]
    ```
    """

    def __init__(
        self,
        operations: Sequence[TextOperation],
        copies: int = 4,
        mode: Literal["one", "all"] = "one",
        originals: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.operations: list[TextOperation] = list(operations)
        if not self.operations:
            fix = "Give some, such as [RandomSwap()]."
            checks.fail(
                "`operations` must not be empty", fix=fix, operations=operations
            )
        for operation in self.operations:
            checks.instance("operations", operation, TextOperation)
        self.copies: int = checks.integer("copies", copies, low=1)
        self.mode: str = checks.choice("mode", mode, ("one", "all"))
        self.originals: bool = checks.boolean("originals", originals)

    @classmethod
    def eda(
        cls,
        thesaurus: Thesaurus,
        alpha: float = 0.1,
        n_aug: int = 4,
        stop_words: Iterable[str] | None = None,
        seed: int | None = None,
        protect: Sequence[str] = PROTECT,
    ) -> Self:
        """Returns an augmenter with the four operations of EDA.

        The paper recommends, by the number of training texts: 500: `alpha=0.05,
        n_aug=16`; 2,000: `alpha=0.05, n_aug=8`; from 5,000 on: `alpha=0.1, n_aug=4`.

        Args:
            thesaurus: As in `SynonymReplacement`.
            alpha: Fraction of the words, for all four. Defaults to `0.1`.
            n_aug: Changed copies of each text. Defaults to `4`.
            stop_words: As in `SynonymReplacement`. Defaults to `None`.
            seed: Integer that makes the draws reproducible. Defaults to `None`.
            protect: As in `RandomSwap`. Defaults to all six kinds.
        """
        operations = [
            SynonymReplacement(thesaurus, alpha, stop_words, protect=protect),
            RandomInsertion(thesaurus, alpha, stop_words, protect=protect),
            RandomSwap(alpha, protect=protect),
            RandomDeletion(alpha, protect=protect),
        ]
        return cls(operations, copies=n_aug, seed=seed)

    def __call__(self, texts: Any, *labels: Tensors) -> Any:
        times = self.copies + self.originals
        if is_tensor(texts):
            return _enlarge_tensors(self._change, times, texts, labels)
        is_single = isinstance(texts, str | bytes)
        batch = [texts] if is_single else checked(texts)
        if np.ndim(batch) != 1:
            checks.fail("`texts` must be a flat list", shape=np.shape(batch))
        enlarged = self._change(as_list(batch))
        enlarged = to_container(enlarged, batch, (len(enlarged),))
        if not labels:
            return enlarged
        if is_single:
            return (enlarged, *[[label] * times for label in labels])
        return (enlarged, *[_repeat(label, len(batch), times) for label in labels])

    def change(self, texts: list[str], random: Any) -> list[str]:
        return self._apply(texts, random, in_pipeline=False)

    def _apply(self, texts: list[str], random: Any, in_pipeline: bool) -> list[str]:
        count = len(texts)
        copies = [[text] * self.copies for text in texts]
        if self.mode == "all":
            flat = [text for row in copies for text in row]
            for operation in self.operations:
                flat = self._operate(operation, flat, random, in_pipeline)
            copies = [
                flat[i * self.copies : (i + 1) * self.copies] for i in range(count)
            ]
        else:
            assigned = [self._assign_operations(random) for _ in texts]
            for i, operation in enumerate(self.operations):
                # One call per operation: translators process batches.
                indices = [
                    (row, column)
                    for row in range(count)
                    for column in range(self.copies)
                    if assigned[row][column] == i
                ]
                inputs = [texts[row] for row, _ in indices]
                changed = (
                    self._operate(operation, inputs, random, in_pipeline)
                    if inputs
                    else []
                )
                for (row, column), text in zip(indices, changed, strict=True):
                    copies[row][column] = text
        originals = [[text] if self.originals else [] for text in texts]
        return [
            text
            for original, row in zip(originals, copies, strict=True)
            for text in (*original, *row)
        ]

    def _operate(
        self,
        operation: TextOperation,
        texts: list[str],
        random: Any,
        in_pipeline: bool,
    ) -> list[str]:
        if self.seed is None:
            return operation._change(texts, in_pipeline)
        return operation.change(texts, random)

    def _assign_operations(self, random: Any) -> np.ndarray:
        """Returns the index of the operation of each copy, evenly in random order."""
        kinds = len(self.operations)
        rounds = -(-self.copies // kinds)
        order = [random.permutation(kinds) for _ in range(rounds)]
        return np.concatenate(order)[: self.copies]


def _repeat(labels: Any, count: int, times: int) -> Any:
    """Repeats every item `times` times, in the same type of container."""
    # A list is a list of labels; arrays may be nested in a tuple or a dict.
    if isinstance(labels, list) or (
        isinstance(labels, tuple) and not any(map(_is_array, labels))
    ):
        _check_length(len(labels), count)
        return type(labels)([item for item in labels for _ in range(times)])

    if hasattr(labels, "iloc"):  # a Series or a data frame of pandas
        _check_length(len(labels), count)
        return labels.iloc[np.repeat(np.arange(count), times)]

    def repeat(array: Any) -> Any:
        if is_tensor(array):
            import tensorflow as tf

            _check_length(array.shape[0], count)
            return tf.repeat(array, times, axis=0)
        array = np.asarray(array)
        _check_length(len(array), count)
        return np.repeat(array, times, axis=0)

    return keras.tree.map_structure(repeat, labels)


def _is_array(item: Any) -> bool:
    return isinstance(item, np.ndarray | dict | tuple) or is_tensor(item)


def _check_length(length: int | None, count: int) -> None:
    if length is not None and length != count:
        rule = "there must be as many labels as texts"
        checks.fail(rule, labels=length, texts=count)


def _enlarge_tensors(
    change: Callable[..., list[str]],
    times: int,
    texts: Tensor,
    labels: Sequence[Any],
) -> Any:
    import tensorflow as tf

    if texts.shape.rank not in (0, 1):
        shape = tuple(texts.shape) if texts.shape.rank is not None else None
        checks.fail("`texts` must have rank 0 or 1", shape=shape)
    is_single = texts.shape.rank == 0
    flat = texts[None] if is_single else texts

    enlarged = call_on_tensor(change, flat)
    count = flat.shape[0]
    enlarged = tf.ensure_shape(enlarged, [None if count is None else count * times])
    if not labels:
        return enlarged

    def repeat(tensor: Tensor) -> Any:
        tensor = tf.convert_to_tensor(tensor)
        tensor = tensor[None] if is_single else tensor
        _check_length(tensor.shape[0], count)
        return tf.repeat(tensor, times, axis=0)

    return (enlarged, *[keras.tree.map_structure(repeat, label) for label in labels])
