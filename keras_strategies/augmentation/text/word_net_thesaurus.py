"""Synonyms from WordNet."""

import io
import os
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require

_FIX = (
    "Get it with `python -m nltk.downloader wordnet`, or give `path`: a folder with "
    "the files of WordNet (Debian: package wordnet-base, /usr/share/wordnet)."
)
_KINDS = (None, "n", "v", "a", "r")


class WordNetThesaurus:
    """Synonyms of English words from WordNet, through nltk.

    WordNet groups words into sets of one meaning; the synonyms of a word are the other
    words of all its sets, without disambiguation. Requires the extra `text` (nltk) and
    WordNet's data, which nltk does not include.

    Reference: Miller, 1995, [WordNet: a lexical database for
    English](https://doi.org/10.1145/219717.219748).

    Args:
        path: Folder with WordNet's files (`index.noun`, `data.noun`, ...), which is
            added to `nltk.data.path`, the only folders that nltk reads. `None` uses the
            data from nltk's downloader. Defaults to `None`.
        kind: Part of speech: `"n"` for nouns, `"v"` for verbs, `"a"` for adjectives,
            `"r"` for adverbs, `None` for all. Defaults to `None`.
        phrases: Whether to include synonyms of several words ("motion picture").
            Defaults to `False`.

    Call arguments:
        word: A word in lower case. Returns the sorted list of its synonyms; empty
            for an unknown word.

    Raises:
        ImportError: If nltk is not installed.
        FileNotFoundError: If WordNet's data is missing; the message says how to get it.

    Example:

    ```python
    from keras_strategies.augmentation import SynonymReplacement, WordNetThesaurus

    try:
        thesaurus = WordNetThesaurus()
    except (ImportError, FileNotFoundError) as error:
        print(error)  # how to get what is missing
    else:
        print(SynonymReplacement(thesaurus)("A funny film."))
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        kind: Literal["n", "v", "a", "r"] | None = None,
        phrases: bool = False,
    ) -> None:
        self.path: Any = path
        self.kind: str | None = checks.choice("kind", kind, _KINDS)
        self.phrases: bool = checks.boolean("phrases", phrases)
        corpus = require("nltk.corpus", "`WordNetThesaurus`")
        self._reader = corpus.wordnet if path is None else _reader(Path(path))
        try:
            self._reader.synsets("word")
        except LookupError as error:
            rule = "WordNet's data must be installed"
            checks.fail(
                rule, fix=_FIX, error=FileNotFoundError, path=path, cause=_line(error)
            )
        self._cache = {}

    def __call__(self, word: str) -> list[str]:
        if word not in self._cache:
            names = {
                name.replace("_", " ")
                for synset in self._reader.synsets(word.replace(" ", "_"), self.kind)
                for name in synset.lemma_names()
            }
            self._cache[word] = sorted(
                name
                for name in names
                if name.lower() != word and (self.phrases or " " not in name)
            )
        return self._cache[word]


def _line(error: Exception) -> str:
    """Returns the first line with words of nltk's framed message."""
    lines = [line.strip(" *\n") for line in str(error).splitlines()]
    return next((line for line in lines if line), "")


def _reader(path: Path) -> Any:
    """Returns a reader of the files in `path`."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def open(self, file: str) -> Any:
            # Names of the lexicographers' files, which Debian's package lacks and
            # which are not used here.
            if file == "lexnames" and not (path / file).is_file():
                return io.StringIO("".join(f"{i}\tfile\t0\n" for i in range(45)))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> Any:
            # Maps other versions of WordNet, for other languages; needs nltk's data.
            return None

    missing = [
        f"{prefix}.{kind}"
        for prefix in ("index", "data")
        for kind in ("noun", "verb", "adj", "adv")
        if not (path / f"{prefix}.{kind}").is_file()
    ]
    if missing:
        rule = f"`path` must hold {', '.join(missing)}"
        checks.fail(rule, fix=_FIX, error=FileNotFoundError, path=str(path))
    folder = str(path.resolve())
    if folder not in nltk.data.path:
        nltk.data.path.append(folder)
    with warnings.catch_warnings():
        # About other languages, which are not used here.
        warnings.simplefilter("ignore", UserWarning)
        reader = Reader(folder, None)
    # nltk does not close its files: the garbage collector would warn.
    weakref.finalize(reader, _close, reader._data_file_map)
    return reader


def _close(files: Mapping[str, Any]) -> None:
    for file in files.values():
        file.close()
