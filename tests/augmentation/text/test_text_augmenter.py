"""The enlarged set: order, shares, labels, `tf.data`."""

import numpy as np
import pytest

from keras_strategies.augmentation import (
    BackTranslation,
    RandomDeletion,
    RandomSwap,
    TextAugmenter,
    TypoNoise,
)

TEXTS = ["one good film", "two bad films", "three films more"]


def _mark(sign):
    """An operation whose traces are seen."""
    return BackTranslation(lambda texts: texts, lambda texts: [t + sign for t in texts])


def test_copies_stand_behind_their_text_and_are_shared_out():
    augment = TextAugmenter([_mark("+"), _mark("-")], copies=4, seed=0)
    enlarged = augment(TEXTS)
    assert len(enlarged) == 15
    for i, text in enumerate(TEXTS):
        own = enlarged[5 * i : 5 * i + 5]
        assert own[0] == text
        assert sorted(own[1:]) == [text + "+"] * 2 + [text + "-"] * 2


def test_all_operations_in_their_order_and_no_originals():
    augment = TextAugmenter(
        [_mark("+"), _mark("-")], copies=2, mode="all", originals=False
    )
    assert augment(TEXTS[:2]) == [t + "+-" for t in TEXTS[:2] for _ in range(2)]


def test_a_translator_gets_all_its_texts_at_once():
    calls = []

    def translate(texts):
        calls.append(len(texts))
        return texts

    operation = BackTranslation(translate, lambda texts: texts, batch_size=100)
    TextAugmenter([operation, RandomSwap()], copies=2)([str(i) for i in range(50)])
    assert calls == [50]


def test_labels_follow_in_their_containers():
    augment = TextAugmenter([RandomSwap()], copies=1)
    labels = np.array([[0, 1], [1, 0], [1, 1]])
    weights = (np.arange(3.0), {"b": np.arange(3)})
    texts, numbers, rows, structure = augment(
        np.array(TEXTS), [3, 4, 5], labels, weights
    )
    assert texts.shape == (6,) and texts[::2].tolist() == TEXTS
    assert numbers == [3, 3, 4, 4, 5, 5]
    np.testing.assert_array_equal(rows, np.repeat(labels, 2, axis=0))
    np.testing.assert_array_equal(structure[0], [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(structure[1]["b"], [0, 0, 1, 1, 2, 2])
    assert augment("only", 7)[1] == [7, 7]
    with pytest.raises(ValueError, match="as many labels as texts"):
        augment(TEXTS, [1, 2])
    with pytest.raises(ValueError, match="as many labels as texts"):
        augment(TEXTS, np.zeros(2))


def test_one_seed_decides_everything():
    def make(seed):
        operations = [RandomSwap(), RandomDeletion(0.3), TypoNoise(0.5)]
        return TextAugmenter(operations, copies=6, seed=seed)

    first = make(1)(TEXTS)
    assert make(1)(TEXTS) == first
    assert make(2)(TEXTS) != first


def test_eda_is_the_four_operations():
    augment = TextAugmenter.eda({"film": ["movie"]}, alpha=0.05, n_aug=16, seed=0)
    kinds = [type(operation).__name__ for operation in augment.operations]
    assert kinds == [
        "SynonymReplacement",
        "RandomInsertion",
        "RandomSwap",
        "RandomDeletion",
    ]
    assert {operation.alpha for operation in augment.operations} == {0.05}
    enlarged = augment(["a film for one evening"])
    assert len(enlarged) == 17
    assert "a movie for one evening" in enlarged


def test_in_tf_data():
    import tensorflow as tf

    def make():
        return TextAugmenter([RandomSwap(), TypoNoise(1.0)], copies=3, seed=0)

    expected = make()(TEXTS)
    data = tf.data.Dataset.from_tensor_slices((TEXTS, [1, 2, 3]))
    ((texts, labels),) = data.batch(3, drop_remainder=True).map(make())
    assert texts.shape == (12,)
    texts = [text.decode() for text in texts.numpy()]
    # Other draws than outside of a pipeline, which depend on the batch alone.
    assert texts[::4] == expected[::4] and texts != expected
    assert labels.numpy().tolist() == np.repeat([1, 2, 3], 4).tolist()
    single = list(data.map(make()).unbatch().as_numpy_iterator())
    assert len(single) == 12
    assert [label for _, label in single] == labels.numpy().tolist()
    assert [text.decode() for text, _ in single[::4]] == TEXTS


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: TextAugmenter([]), ValueError, "`operations` must not be empty"),
        (lambda: TextAugmenter([str.upper]), TypeError, "must be a TextOperation"),
        (lambda: TextAugmenter([RandomSwap()], 0), ValueError, "`copies` must be"),
        (
            lambda: TextAugmenter([RandomSwap()], mode="any"),
            ValueError,
            "`mode` must be",
        ),
        (
            lambda: TextAugmenter([RandomSwap()])(np.array([["a"]])),
            ValueError,
            "must be a flat list",
        ),
    ],
)
def test_bad_input(make, error, text):
    with pytest.raises(error, match=text):
        make()
