"""Whatever knows synonyms: a dict or a function of a word."""

from keras_strategies._internal import checks


def lookup_of(thesaurus):
    """A function `word -> list of synonyms` for words in small letters."""
    if isinstance(thesaurus, dict):
        return _Dict(thesaurus)
    if not callable(thesaurus):
        fix = (
            "Give a dict {word: [synonyms]}, a WordNetThesaurus, an "
            "EmbeddingThesaurus or a function of a word."
        )
        rule = "`thesaurus` must know synonyms"
        checks.fail(rule, fix=fix, error=TypeError, thesaurus=thesaurus)
    return thesaurus


class _Dict:
    def __init__(self, synonyms):
        self.synonyms = {}
        for word, found in synonyms.items():
            if isinstance(found, str):
                fix = f"Give [{found!r}]."
                rule = f"the synonyms of {word!r} must be a list"
                checks.fail(rule, fix=fix, synonyms=found)
            # A set has no order that comes back.
            self.synonyms[word.lower()] = sorted(found)

    def __call__(self, word):
        return self.synonyms.get(word, ())
