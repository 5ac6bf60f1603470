import io
import warnings
import weakref
from pathlib import Path

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
    words of all its sets. It does not know which meaning a text has in mind. Needs the
    extra `text` (nltk) and WordNet's data, which nltk does not bring.

    Reference: Miller, 1995, [WordNet: a lexical database for
    English](https://doi.org/10.1145/219717.219748).

    Args:
        path: Folder with WordNet's files (`index.noun`, `data.noun`, ...), which is
            added to `nltk.data.path` because nltk reads from nowhere else. `None` for
            the data that nltk's downloader has fetched. Defaults to `None`.
        kind: Part of speech: `"n"` for nouns, `"v"` for verbs, `"a"` for adjectives,
            `"r"` for adverbs, `None` for all. Defaults to `None`.
        phrases: Whether synonyms of several words ("motion picture") count.
            Defaults to `False`.

    Call arguments:
        word: A word in small letters. Gives the sorted list of its synonyms; an empty
            one for an unknown word.

    Raises:
        ImportError: If nltk is not installed.
        FileNotFoundError: If WordNet's data is not there; says how to get it.

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

    def __init__(self, path=None, kind=None, phrases=False):
        self.path = path
        self.kind = checks.choice("kind", kind, _KINDS)
        self.phrases = checks.boolean("phrases", phrases)
        corpus = require("nltk.corpus", "`WordNetThesaurus`")
        self._reader = corpus.wordnet if path is None else _reader(Path(path))
        try:
            self._reader.synsets("word")
        except LookupError as error:
            rule = "WordNet's data is not there"
            checks.fail(
                rule, fix=_FIX, error=FileNotFoundError, path=path, cause=_line(error)
            )
        self._known = {}

    def __call__(self, word):
        if word not in self._known:
            names = {
                name.replace("_", " ")
                for synset in self._reader.synsets(word.replace(" ", "_"), self.kind)
                for name in synset.lemma_names()
            }
            self._known[word] = sorted(
                name
                for name in names
                if name.lower() != word and (self.phrases or " " not in name)
            )
        return self._known[word]


def _line(error):
    """The first line with words in nltk's framed message."""
    lines = [line.strip(" *\n") for line in str(error).splitlines()]
    return next((line for line in lines if line), "")


def _reader(path):
    """A reader of the files in `path`."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def open(self, file):
            # The names of the lexicographers' files, which Debian leaves out; they
            # are not asked for here.
            if file == "lexnames" and not (path / file).is_file():
                return io.StringIO("".join(f"{i}\tfile\t0\n" for i in range(45)))
            return super().open(file)

        def map_wn(self, version="wordnet"):
            # To other versions of WordNet, for other languages: needs nltk's data.
            return None

    missing = [
        f"{part}.{kind}"
        for part in ("index", "data")
        for kind in ("noun", "verb", "adj", "adv")
        if not (path / f"{part}.{kind}").is_file()
    ]
    if missing:
        rule = f"`path` must hold {', '.join(missing)}"
        checks.fail(rule, fix=_FIX, error=FileNotFoundError, path=str(path))
    folder = str(path.resolve())
    if folder not in nltk.data.path:
        nltk.data.path.append(folder)
    with warnings.catch_warnings():
        # That other languages are not available here.
        warnings.simplefilter("ignore", UserWarning)
        reader = Reader(folder, None)
    # nltk leaves its files to the garbage collector, which warns.
    weakref.finalize(reader, _close, reader._data_file_map)
    return reader


def _close(files):
    for file in files.values():
        file.close()
