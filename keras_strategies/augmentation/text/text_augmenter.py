import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation.text._containers import (
    as_list,
    checked,
    is_tensor,
    like,
)
from keras_strategies.augmentation.text._operation import TextOperation
from keras_strategies.augmentation.text.random_deletion import RandomDeletion
from keras_strategies.augmentation.text.random_insertion import RandomInsertion
from keras_strategies.augmentation.text.random_swap import RandomSwap
from keras_strategies.augmentation.text.synonym_replacement import SynonymReplacement


class TextAugmenter(TextOperation):
    """Makes an enlarged set: every text, and changed copies of it; labels follow.

    Each copy is changed by one of the operations, and a text's copies are shared out
    evenly among them, as in EDA (`mode="one"`), or by all in their order
    (`mode="all"`). The copies stand behind their text:

    ```
    x1, copy, ..., copy, x2, copy, ...
    ```

    and labels, sample weights and whatever else is given are repeated to match.
    `TextAugmenter.eda` has the four operations of EDA. Augment training data only,
    after the split: a copy of a training text in the validation set is a leak.

    Takes lists, NumPy arrays and `tf.string` tensors of rank 1, or one text. In
    `tf.data`, `dataset.map(augmenter)` turns each batch (or each text, then
    `.unbatch()`) into the enlarged one.

    Reference: Wei and Zou, 2019, [EDA](https://arxiv.org/abs/1901.11196).

    Args:
        operations: List of operations on texts, such as `RandomSwap()`.
        copies: Changed copies of each text (`n_aug` in EDA), at least 1.
            Defaults to `4`.
        mode: `"one"` or `"all"`. Defaults to `"one"`.
        originals: Whether the texts themselves are in the set. Defaults to `True`.
        seed: Integer that makes all draws reproducible, those of the operations too,
            or `None`. Defaults to `None`.

    Call arguments:
        texts: The texts.
        *others: Labels and the like, arrays, lists or tensors of as many items, or
            nested structures of arrays. With any of them the result is a tuple.

    Raises:
        TypeError: If an operation is none, or texts are no texts.
        ValueError: If an argument is outside its range, or labels are not as many as
            texts.

    Example:

    ```python
    from keras_strategies.augmentation import RandomSwap, TextAugmenter, TypoNoise

    augment = TextAugmenter([RandomSwap(), TypoNoise(1.0)], copies=2, seed=0)
    texts, labels = augment(["a good film", "a bad film"], [1, 0])
    assert len(texts) == 6 and labels == [1, 1, 1, 0, 0, 0]
    ```
    """

    def __init__(self, operations, copies=4, mode="one", originals=True, seed=None):
        super().__init__(seed)
        self.operations = list(operations)
        if not self.operations:
            fix = "Give some, such as [RandomSwap()]."
            checks.fail("`operations` must hold one", fix=fix, operations=operations)
        for operation in self.operations:
            checks.instance("operations", operation, TextOperation)
        self.copies = checks.integer("copies", copies, low=1)
        self.mode = checks.choice("mode", mode, ("one", "all"))
        self.originals = checks.boolean("originals", originals)

    @classmethod
    def eda(cls, thesaurus, alpha=0.1, n_aug=4, stop_words=None, seed=None):
        """The four operations of EDA with one strength.

        The paper recommends, by the number of training texts: 500: `alpha=0.05,
        n_aug=16`; 2,000: `alpha=0.05, n_aug=8`; from 5,000 on: `alpha=0.1, n_aug=4`.

        Args:
            thesaurus: As in `SynonymReplacement`.
            alpha: Strength of all four. Defaults to `0.1`.
            n_aug: Changed copies of each text. Defaults to `4`.
            stop_words: As in `SynonymReplacement`. Defaults to `None`.
            seed: Integer that makes the draws reproducible. Defaults to `None`.
        """
        operations = [
            SynonymReplacement(thesaurus, alpha, stop_words),
            RandomInsertion(thesaurus, alpha, stop_words),
            RandomSwap(alpha),
            RandomDeletion(alpha),
        ]
        return cls(operations, copies=n_aug, seed=seed)

    def __call__(self, texts, *others):
        times = self.copies + self.originals
        if is_tensor(texts):
            return _enlarge_tensors(self._change, times, texts, others)
        alone = isinstance(texts, str | bytes)
        given = [texts] if alone else checked(texts)
        if np.ndim(given) != 1:
            checks.fail("`texts` must be a flat list", shape=np.shape(given))
        enlarged = self._change(as_list(given))
        enlarged = like(enlarged, given, (len(enlarged),))
        if not others:
            return enlarged
        if alone:
            return (enlarged, *[[other] * times for other in others])
        return (enlarged, *[_repeat(o, len(given), times) for o in others])

    def change(self, texts, random):
        count = len(texts)
        copies = [[text] * self.copies for text in texts]
        if self.mode == "all":
            every = [text for row in copies for text in row]
            for operation in self.operations:
                every = self._apply(operation, every, random)
            copies = [
                every[i * self.copies : (i + 1) * self.copies] for i in range(count)
            ]
        else:
            shares = [self._share(random) for _ in texts]
            for i, operation in enumerate(self.operations):
                # One call an operation: translators work in batches.
                places = [
                    (row, column)
                    for row in range(count)
                    for column in range(self.copies)
                    if shares[row][column] == i
                ]
                some = [texts[row] for row, _ in places]
                changed = self._apply(operation, some, random) if some else []
                for (row, column), text in zip(places, changed, strict=True):
                    copies[row][column] = text
        first = [[text] if self.originals else [] for text in texts]
        return [
            text
            for own, row in zip(first, copies, strict=True)
            for text in (*own, *row)
        ]

    def _apply(self, operation, texts, random):
        if self.seed is None:
            return operation._change(texts)
        return operation.change(texts, random)

    def _share(self, random):
        """Which operation makes which copy, evenly in a random order."""
        kinds = len(self.operations)
        rounds = -(-self.copies // kinds)
        order = [random.permutation(kinds) for _ in range(rounds)]
        return np.concatenate(order)[: self.copies]


def _repeat(other, count, times):
    """Every item of `other` `times` times, in the container it came in."""
    # A list is a list of labels; arrays may stand together in a tuple or a dict.
    if isinstance(other, list) or (
        isinstance(other, tuple) and not any(map(_is_array, other))
    ):
        _check_length(len(other), count)
        return type(other)([item for item in other for _ in range(times)])

    def one(array):
        if is_tensor(array):
            import tensorflow as tf

            _check_length(array.shape[0], count)
            return tf.repeat(array, times, axis=0)
        array = np.asarray(array)
        _check_length(len(array), count)
        return np.repeat(array, times, axis=0)

    return keras.tree.map_structure(one, other)


def _is_array(item):
    return isinstance(item, np.ndarray | dict | tuple) or is_tensor(item)


def _check_length(length, count):
    if length is not None and length != count:
        rule = "there must be as many labels as texts"
        checks.fail(rule, labels=length, texts=count)


def _enlarge_tensors(change, times, texts, others):
    import tensorflow as tf

    if texts.shape.rank not in (0, 1):
        shape = tuple(texts.shape) if texts.shape.rank is not None else None
        checks.fail("`texts` must have rank 0 or 1", shape=shape)
    alone = texts.shape.rank == 0
    flat = texts[None] if alone else texts

    def run(array):
        result = change(as_list(array))
        encoded = np.empty(len(result), dtype=object)
        encoded[:] = [text.encode("utf-8") for text in result]
        return encoded

    enlarged = tf.numpy_function(run, [flat], tf.string)
    known = flat.shape[0]
    enlarged = tf.ensure_shape(enlarged, [None if known is None else known * times])
    if not others:
        return enlarged

    def repeat(tensor):
        tensor = tf.convert_to_tensor(tensor)
        tensor = tensor[None] if alone else tensor
        _check_length(tensor.shape[0], known)
        return tf.repeat(tensor, times, axis=0)

    return (enlarged, *[keras.tree.map_structure(repeat, o) for o in others])
