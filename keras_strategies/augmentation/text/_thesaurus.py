"""Lookup of synonyms in a dict or by a function of a word."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from keras_strategies._internal import checks

#: Synonyms by word, or a function from a word to its synonyms.
Thesaurus: TypeAlias = Mapping[str, Iterable[str]] | Callable[[str], Sequence[str]]


def lookup_of(thesaurus: Any) -> Callable[[str], Sequence[str]]:
    """Returns a function from a word in lower case to its synonyms."""
    if isinstance(thesaurus, Mapping):
        return _SynonymDict(thesaurus)
    if not callable(thesaurus):
        fix = (
            "Give a dict {word: [synonyms]}, a WordNetThesaurus, an "
            "EmbeddingThesaurus or a function of a word."
        )
        rule = "`thesaurus` must be a dict or a function"
        checks.fail(rule, fix=fix, error=TypeError, thesaurus=thesaurus)
    return thesaurus


class _SynonymDict:
    """A dict with lower-case keys as a function of a word."""

    def __init__(self, synonyms: Mapping[str, Iterable[str]]) -> None:
        self.synonyms: dict[str, list[str]] = {}
        for word, words in synonyms.items():
            if isinstance(words, str):
                fix = f"Give [{words!r}]."
                rule = f"the synonyms of {word!r} must be a list"
                checks.fail(rule, fix=fix, synonyms=words)
            # Sorted: the order of a set is not reproducible.
            self.synonyms[word.lower()] = sorted(words)

    def __call__(self, word: str) -> Sequence[str]:
        return self.synonyms.get(word, ())
