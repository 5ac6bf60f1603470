"""Words, EDA's operations, typos, and the containers texts come in."""

import numpy as np
import pytest

from keras_strategies.augmentation import (
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    TypoNoise,
)
from keras_strategies.augmentation.text import _words as words

TEXT = "The film, however, isn't a GOOD film: it's fine."
SYNONYMS = {"film": ["movie", "picture"], "good": ["great"], "fine": {"nice"}}


def _operations(**changes):
    options = {"seed": 3, **changes}
    return {
        "replace": SynonymReplacement(SYNONYMS, **options),
        "insert": RandomInsertion(SYNONYMS, **options),
        "swap": RandomSwap(**options),
        "delete": RandomDeletion(**options),
        "typo": TypoNoise(**options),
    }


def test_words_and_gaps_are_the_text():
    for text in (TEXT, "", " ", "one", "... !", "na\u00efve caf\u00e9s don\u2019t_go"):
        found, gaps = words.split(text)
        assert len(gaps) == len(found) + 1
        assert words.join(found, gaps) == text
    assert words.split("isn't it")[0] == ["isn't", "it"]


def test_replacement_keeps_everything_but_the_word():
    replace = SynonymReplacement(SYNONYMS, alpha=1.0, seed=0)
    changed = {replace(TEXT) for _ in range(20)}
    # Both films become the same word, capitals and punctuation stay.
    assert changed == {
        f"The {word}, however, isn't a GREAT {word}: it's nice."
        for word in ("movie", "picture")
    }
    assert SynonymReplacement({"films": ["x"]}, alpha=1.0)(TEXT) == TEXT


@pytest.mark.parametrize(("alpha", "count"), [(0.0, 0), (0.05, 1), (0.25, 2), (0.4, 4)])
def test_replacement_changes_its_share(alpha, count):
    text = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    own = SynonymReplacement(lambda word: [word + "x"], alpha=alpha, seed=0)
    assert own(text).count("x") == count
    inserted = RandomInsertion(lambda word: [word + "x"], alpha=alpha, seed=0)(text)
    assert inserted.count("x") == count
    assert [w for w in inserted.split() if "x" not in w] == text.split()


def test_stop_words_are_left_alone():
    everything = {word: ["X"] for word in ["the", "of", "cat"]}
    replace = SynonymReplacement(everything, alpha=1.0)
    assert replace("the cat of the cat") == "the X of the X"
    replace = SynonymReplacement(everything, alpha=1.0, stop_words=["cat"])
    assert replace("the cat of the cat") == "X cat X X cat"
    with pytest.raises(ValueError, match="`stop_words` must be a collection"):
        SynonymReplacement(everything, stop_words="the")


def test_insertion_reaches_every_place():
    insert = RandomInsertion({"warm": ["X"]}, seed=0)
    texts = {insert("a warm film.") for _ in range(60)}
    assert texts == {
        "X a warm film.",
        "a X warm film.",
        "a warm X film.",
        "a warm film X.",
    }


def test_swaps_keep_the_words_and_the_punctuation():
    swapped = RandomSwap(0.5, seed=1)(TEXT)
    assert sorted(words.split(swapped)[0]) == sorted(words.split(TEXT)[0])
    assert words.split(swapped)[1] == words.split(TEXT)[1]
    assert swapped != TEXT
    assert RandomSwap(0.0)("one two") == "one two"
    assert RandomSwap(1.0)("one") == "one"


def test_deletion_by_probability_and_tidy_spaces():
    text = " ".join(f"w{i}" for i in range(2000))
    left = RandomDeletion(0.3, seed=0)(text).split()
    assert 1300 < len(left) < 1500
    delete = RandomDeletion(0.5, seed=0)
    texts = {delete("One, two. Three") for _ in range(60)}
    assert texts == {
        "One, two. Three",
        "One, two.",
        "One. Three",
        "two. Three",
        "One.",
        "two.",
        "Three",
    }
    joined = {delete("a one-note film.") for _ in range(200)}
    assert {"a note film.", "a one film.", "a one-note."} < joined


def test_typos_are_one_slip_a_word():
    typo = TypoNoise(1.0, kinds=["swap"], seed=0)
    assert {typo("film") for _ in range(40)} == {"iflm", "flim", "fiml"}
    typo = TypoNoise(1.0, kinds=["replace"], min_length=2, seed=0)
    for changed in {typo("Go") for _ in range(40)}:
        assert changed[1] == "o" or changed[0] == "G"
        assert changed[0].isupper() and len(changed) == 2
    near = words.NEIGHBOUR_KEYS
    assert all(key in near[other] for key in near for other in near[key])
    assert TypoNoise(1.0, kinds=["insert"])("\u0436\u0436\u0436") == "\u0436" * 4
    text = " ".join(["letters"] * 2000)
    hit = sum(w != "letters" for w in TypoNoise(0.1, seed=0)(text).split())
    assert 140 < hit < 260
    assert TypoNoise(1.0)("as is on") == "as is on"


@pytest.mark.parametrize("name", sorted(_operations()))
def test_containers_and_seeds(name):
    texts = [TEXT, "A good film with a fine ending.", "", "caf\u00e9 na\u00efve"] * 3
    expected = _operations(alpha=0.5)[name](texts)
    assert isinstance(expected, list) and expected != texts
    assert all(type(text) is str for text in expected)
    again = _operations(alpha=0.5)[name]
    assert again(tuple(texts)) == tuple(expected)
    assert again(texts) != expected
    array = np.array(texts).reshape(3, 4)
    got = _operations(alpha=0.5)[name](array)
    assert got.dtype.kind == "U" and got.shape == (3, 4)
    assert got.ravel().tolist() == expected
    encoded = np.array([text.encode() for text in texts])
    for kind in ("S", object):
        got = _operations(alpha=0.5)[name](encoded.astype(kind))
        assert [text.decode() for text in got] == expected
    changed, labels = _operations(alpha=0.5)[name](texts, [1] * 12)
    assert changed == expected and labels == [1] * 12


def test_in_tf_data():
    import tensorflow as tf

    texts = [TEXT, "A good film.", "caf\u00e9 na\u00efve"]
    expected = _operations(alpha=0.5)["replace"](texts)
    dataset = tf.data.Dataset.from_tensor_slices((texts, [0, 1, 2]))
    single = dataset.map(_operations(alpha=0.5)["replace"])
    assert single.element_spec[0].shape == ()
    assert [text.numpy().decode() for text, _ in single] == expected
    batched = dataset.batch(3).map(_operations(alpha=0.5)["replace"])
    ((got, labels),) = batched.as_numpy_iterator()
    assert [text.decode() for text in got] == expected
    assert labels.tolist() == [0, 1, 2]
    eager = _operations(alpha=0.5)["replace"](tf.constant(texts))
    assert [text.decode() for text in eager.numpy()] == expected


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: RandomSwap(1.5), ValueError, r"`alpha` must be in \[0, 1\]"),
        (lambda: RandomSwap(seed=-1), ValueError, "`seed` must be"),
        (lambda: RandomSwap()(3), TypeError, "`texts` must be texts"),
        (lambda: RandomSwap()([3]), TypeError, "texts must be str"),
        (lambda: RandomSwap()(np.zeros(3)), TypeError, "`texts` must be texts"),
        (lambda: SynonymReplacement(["a"]), TypeError, "`thesaurus` must be a dict"),
        (lambda: SynonymReplacement({"a": "b"}), ValueError, "must be a list"),
        (lambda: TypoNoise(kinds=["slip"]), ValueError, "`kinds` must be one of"),
        (lambda: TypoNoise(kinds=[]), ValueError, "`kinds` must have some"),
    ],
)
def test_bad_input(make, error, text):
    with pytest.raises(error, match=text):
        make()
