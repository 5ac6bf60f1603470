"""Synonyms from an embedding and from WordNet's files."""

import sys

import keras
import numpy as np
import pytest

from keras_strategies.augmentation import (
    EmbeddingThesaurus,
    SynonymReplacement,
    WordNetThesaurus,
)

VECTORS = np.array([[0, 0], [1, 0], [4, 0.4], [1, 0.5], [-1, 0], [0, 0]], "float32")
WORDS = ["", "film", "movie", "picture", "cat"]


def test_neighbours_by_cosine():
    thesaurus = EmbeddingThesaurus(VECTORS, WORDS, min_similarity=0.8)
    assert thesaurus("film") == ["movie", "picture"]
    assert thesaurus("cat") == [] and thesaurus("dog") == [] and thesaurus("") == []
    assert EmbeddingThesaurus(VECTORS, WORDS, k=1)("film") == ["movie"]
    assert EmbeddingThesaurus(VECTORS, WORDS, min_similarity=-1)("film")[-1] == "cat"
    replace = SynonymReplacement(thesaurus, alpha=1.0, seed=0)
    assert replace("The Film") in ("The Movie", "The Picture")


def test_the_embedding_of_a_model():
    layer = keras.layers.Embedding(6, 2)
    with pytest.raises(ValueError, match="`embeddings` must be built"):
        EmbeddingThesaurus(layer, WORDS)
    layer.build((None, None))
    layer.set_weights([VECTORS])

    class Vectorizer:
        def get_vocabulary(self):
            return WORDS

    assert EmbeddingThesaurus(layer, Vectorizer())("film")[0] == "movie"
    with pytest.raises(ValueError, match="a row for each word"):
        EmbeddingThesaurus(VECTORS[:3], WORDS)


def _wordnet(folder):
    """Three sets of synonyms in WordNet's format."""
    noun = [
        ("06613686", "06 n 03 movie 0 film 0 motion_picture 0 000 | a picture  "),
        ("08613733", "06 n 01 film 1 000 | a thin layer  "),
    ]
    adjective = [("01123148", "00 a 02 good 0 Fine 0 000 | as it should be  ")]
    index = {"noun": {}, "verb": {}, "adj": {}, "adv": {}}
    files = {"noun": noun, "verb": [], "adj": adjective, "adv": []}
    for kind, synsets in files.items():
        text = ""
        for _, line in synsets:
            place = f"{len(text):08d}"
            text += f"{place} {line}\n"
            fields = line.split()
            for word in fields[3 : 3 + 2 * int(fields[2], 16) : 2]:
                index[kind].setdefault(word.lower(), []).append(place)
        (folder / f"data.{kind}").write_text(text)
        lines = []
        for word, places in sorted(index[kind].items()):
            count = len(places)
            letter = kind[0]
            lines.append(f"{word} {letter} {count} 0 {count} 0 {' '.join(places)}  \n")
        (folder / f"index.{kind}").write_text("".join(lines))
        (folder / f"{kind}.exc").write_text("")


def test_wordnet_from_a_folder(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(FileNotFoundError, match="`path` must hold index.noun"):
        WordNetThesaurus(tmp_path)
    _wordnet(tmp_path)
    thesaurus = WordNetThesaurus(tmp_path)
    assert thesaurus("film") == ["movie"]
    assert thesaurus("films") == ["film", "movie"]
    assert thesaurus("good") == ["Fine"]
    assert thesaurus("unknown") == []
    phrases = WordNetThesaurus(tmp_path, phrases=True)
    assert phrases("film") == ["motion picture", "movie"]
    assert WordNetThesaurus(tmp_path, kind="v")("film") == []
    with pytest.raises(ValueError, match="`kind` must be one of"):
        WordNetThesaurus(tmp_path, kind="x")


def test_wordnet_without_its_data_says_how_to_get_it(monkeypatch):
    nltk = pytest.importorskip("nltk")
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [])
    loader = LazyCorpusLoader("wordnet", nltk.corpus.reader.WordNetCorpusReader, None)
    monkeypatch.setattr(nltk.corpus, "wordnet", loader)
    with pytest.raises(FileNotFoundError, match="nltk.downloader wordnet") as caught:
        WordNetThesaurus()
    assert "\n" not in str(caught.value)


def test_wordnet_without_nltk_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ImportError, match=r"keras-strategies\[text\]"):
        WordNetThesaurus()
