"""Words, EDA's operations, typos, and the containers texts come in."""

import numpy as np
import pytest

from keras_strategies.augmentation import (
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    TextAugmenter,
    TypoNoise,
)
from keras_strategies.augmentation.text import _words as words
from keras_strategies.augmentation.text._protected import PROTECT, splitter

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
    split = splitter()
    for text in (TEXT, "", " ", "one", "... !", "na\u00efve caf\u00e9s don\u2019t_go"):
        found, gaps, spans = split(text)
        assert len(gaps) == len(spans) == len(found) + 1
        assert words.join(found, gaps) == text
    assert split("isn't it")[0] == ["isn't", "it"]
    assert split("isn\u2019t it")[0] == ["isn\u2019t", "it"]


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
    split = splitter()
    assert sorted(split(swapped)[0]) == sorted(split(TEXT)[0])
    assert split(swapped)[1] == split(TEXT)[1]
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
    assert {"a film.", "a one-note.", "one-note film."} < joined
    assert not any("one" in text and "one-note" not in text for text in joined)


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


HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902"
# Words as readers see them: Hindi, Thai, accents and marks of their own, a keycap.
WHOLE = [
    *HINDI.split(),
    "\u0e20\u0e32\u0e1e\u0e14\u0e35",
    "cafe\u0301",
    "1\ufe0f\u20e3",
    "U.S.A.",
    "e.g.",
    "well-known",
    "man-in-the-middle",
]
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SPANS = {
    "html": ["<br />", "</b>", '<a href="x">', "<!-- no - word -->"],
    "entity": ["&amp;", "&#39;", "&#x1F4;"],
    "email": ["john.doe@x.co.uk", "a+b@x-y.org"],
    "url": ["https://x.org/a?b=1", "www.x.com/a", "example.com/x", "ftp://h/f.txt"],
    "mention": ["@john_b", "#NoFilm"],
    "number": [
        "9.99",
        "$5",
        "-2.5",
        "1,000",
        "12:30",
        "10%",
        "v1.2.3",
        "3.5mm",
        "10 €",
        "-5",
        "1e-3",
        "2.5e+10",
        "2026-11-30",
        "555-0100",
        "COVID-19",
    ],
}


def test_words_are_whole_letters():
    text = f"{' '.join(WHOLE)} {FAMILY} end"
    assert splitter()(text)[0] == [*WHOLE, "end"]
    assert sorted(RandomSwap(1.0, seed=0)(text).split()) == sorted(text.split())
    inserted = RandomInsertion(lambda word: ["X"], 1.0, seed=0)(text)
    assert [word for word in inserted.split() if word != "X"] == text.split()
    assert set(RandomDeletion(0.5, seed=0)(text).split()) < set(text.split())
    typo = TypoNoise(1.0, kinds=["delete"], min_length=2)
    # Letters of Hindi with their marks: of two, one remains.
    assert {typo("\u0939\u093f\u0928\u094d\u0926\u0940") for _ in range(20)} == {
        "\u0939\u093f",
        "\u0928\u094d\u0926\u0940",
    }
    typo = TypoNoise(1.0, kinds=["insert"], min_length=2)
    assert typo("e\u0301e\u0301") == "e\u0301" * 3


@pytest.mark.parametrize("kind", SPANS)
def test_protected_spans_are_whole(kind):
    assert set(SPANS) == set(PROTECT)
    for span in SPANS[kind]:
        for text in (f"one {span} two.", f"({span}), one two", f"one two {span}"):
            assert splitter((kind,))(text)[0] == ["one", "two"], text
            assert splitter()(text)[0] == ["one", "two"], text


@pytest.mark.parametrize("operation", ["insert", "swap", "delete", "typo"])
def test_nothing_protected_is_dropped_or_torn(operation):
    everything = [span for spans in SPANS.values() for span in spans]
    random = np.random.default_rng(0)
    operate = {
        "insert": RandomInsertion(lambda word: ["X"], 0.6, seed=1),
        "swap": RandomSwap(0.6, seed=1),
        "delete": RandomDeletion(0.6, seed=1),
        "typo": TypoNoise(0.6, seed=1),
    }[operation]
    for _ in range(60):
        spans = [everything[i] for i in random.integers(len(everything), size=4)]
        parts = [f"{random.choice(['', 'a word', 'one, ', 'two'])} {s}" for s in spans]
        text = " ".join(parts) + random.choice(["", " end.", "."])
        changed, start = operate(text), 0
        for span in spans:  # all of them, in their order
            assert span in changed[start:], (text, changed)
            start = changed.index(span, start) + len(span)


def test_deletion_around_markup():
    text = "<b>good</b><br />film &amp; dog"
    texts = {RandomDeletion(0.5, seed=i)(text) for i in range(60)}
    assert texts == {
        text,
        "<b></b><br />film &amp; dog",
        "<b>good</b><br /> &amp; dog",
        "<b>good</b><br />film &amp;",
        "<b></b><br /> &amp; dog",
        "<b></b><br />film &amp;",
        "<b>good</b><br /> &amp;",
    }


def test_what_to_protect_is_a_choice():
    assert RandomSwap(0.1, protect=())("see x.org") in (
        "x see.org",
        "org x.see",
        "see org.x",
    )
    assert RandomSwap(0.1, protect=["url"])("<i> b") == "<b> i"
    swap = RandomSwap(0.1, protect=[*PROTECT, r"\[\w+\]", r"(?i)\bnew york\b"])
    assert swap("[MASK] in New York now") == "[MASK] now New York in"


def test_series():
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series([TEXT, "A good film."], index=[7, 3], name="review")
    operation = RandomSwap(0.5, seed=2)
    expected = RandomSwap(0.5, seed=2)(list(texts))
    pandas.testing.assert_series_equal(
        operation(texts), pandas.Series(expected, index=[7, 3], name="review")
    )
    with pytest.raises(TypeError, match=r"Drop missing texts or fill them"):
        operation(pandas.Series(["a b", None]))


def test_in_tf_data():
    import tensorflow as tf

    texts = [TEXT, "A good film.", "caf\u00e9 na\u00efve"]
    expected = _operations(alpha=0.5)["replace"](texts)
    dataset = tf.data.Dataset.from_tensor_slices((texts, [0, 1, 2]))
    single = dataset.map(_operations(alpha=0.5)["replace"])
    assert single.element_spec[0].shape == ()
    same_words = [splitter()(text.numpy().decode())[1] for text, _ in single]
    assert same_words == [splitter()(text)[1] for text in texts]
    batched = dataset.batch(3).map(_operations(alpha=0.5)["replace"])
    ((got, labels),) = batched.as_numpy_iterator()
    assert len(got) == 3 and got.tolist() != [text.encode() for text in texts]
    assert labels.tolist() == [0, 1, 2]
    eager = _operations(alpha=0.5)["replace"](tf.constant(texts))
    assert [text.decode() for text in eager.numpy()] == expected


def test_parallel_pipelines_repeat_with_a_seed():
    import tensorflow as tf

    texts = [f"a{i} b{i} c{i} d{i} e{i}" for i in range(100)]

    def epochs(operation):
        dataset = tf.data.Dataset.from_tensor_slices(texts).shuffle(100)
        dataset = dataset.map(operation, num_parallel_calls=4)
        return [sorted(dataset.as_numpy_iterator()) for _ in range(2)]

    def joined(augmenter):
        return lambda texts: tf.strings.join(tf.unstack(augmenter(texts), 5), "|")

    for make in (
        lambda seed: RandomSwap(0.5, seed=seed),
        lambda seed: joined(
            TextAugmenter([TypoNoise(0.5), RandomDeletion(0.5)], seed=seed)
        ),
        lambda seed: joined(TextAugmenter([TypoNoise(0.5, seed=seed)])),
    ):
        first = epochs(make(1))
        assert first[0] != first[1]
        assert epochs(make(1)) == first
        assert epochs(make(2))[0] != first[0]


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
        (lambda: RandomSwap(protect="url"), ValueError, "`protect` must be a list"),
        (lambda: RandomSwap(protect=["urls"]), ValueError, "`protect` must name"),
        (lambda: RandomSwap(protect=["("]), ValueError, "regular expressions"),
        (lambda: RandomSwap(protect=["a*"]), ValueError, "match the empty text"),
    ],
)
def test_bad_input(make, error, text):
    with pytest.raises(error, match=text):
        make()
