"""Words of a text, and the spans of it that must remain whole.

A text is `gaps[0] words[0] gaps[1] ... words[-1] gaps[-1]`. Punctuation, spaces and
protected spans are in the gaps.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from keras_strategies._internal import checks

# Kind: (what a text must have to be searched for it, pattern).
_KINDS = {
    "html": (r"<", r"</?[A-Za-z][^<>]*>|<!--.*?-->"),
    "entity": (r"&", r"&(?:[A-Za-z][A-Za-z0-9]*|\#[0-9]+|\#[xX][0-9A-Fa-f]+);"),
    "email": (r"@", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    # With a scheme, or a domain of the kinds that texts name without one. A full stop
    # or a bracket at the end belongs to the sentence.
    "url": (
        r"://|www\.|\.(?:com|org|net|edu|gov|io)",
        r"""(?:\b[A-Za-z][A-Za-z0-9+.-]*://|\bwww\.)[^\s<>"']*[^\s<>"'.,;:!?)\]}]"""
        r"|(?<![\w@.-])(?:[\w-]+\.)+(?:com|org|net|edu|gov|io)\b(?:/[^\s<>\"']*[\w/])?",
    ),
    "mention": (r"[@#]", r"(?<!\w)[@\#]\w+"),
    # Numbers with a decimal point, groups, a currency, a percent sign; times, dates and
    # versions; with the unit that follows without a space. With a sign, an exponent, or
    # behind a hyphen: 1e-3, 2026-11-30, 555-0100, COVID-19.
    "number": (
        r"[0-9][.,:/][0-9]|[$€£¥₹%]|[+−-][0-9]",
        r"(?<![\w.,])(?:[+−-]?[$€£¥₹][ ]?\d+(?:[.,]\d+)*\w*"
        r"|[+−-]?[^\W\d_]*\d+(?:[.,:/]\d+)+(?:[eE][+−-]\d+|\w+|[ ]?[%€£])?"
        r"|[+−-]?\d+[ ]?[%€£]|[+−-]?\d+[eE][+−-]\d+"
        r"|[^\W_]+(?:[−-]\d+\w*)+|[+−-]\d+\w*)",
    ),
}
PROTECT = tuple(_KINDS)
# What any of them needs, in tests that cost less than a microsecond.
_occurs_in = re.compile(r"[<&@#$€£¥₹%0-9]").search
_may_name_site = re.compile(r"\.(?:com|org|net|edu|gov|io)").search

# A letter or digit with its combining marks and joiners: most of what is written
# together in Hindi, in Thai, and in text whose accents are characters of their own.
_UNIT = r"[\p{L}\p{N}][\p{M}\u200c\u200d]*+"
# Or letters with full stops between them, as in U.S.A.; a hyphen within a word is a
# part of it.
_WORD = (
    r"(?<![\p{L}\p{N}])\p{L}(?:\.\p{L})+(?![\p{L}\p{N}\p{M}])\.?"
    rf"|(?:{_UNIT})++(?:['’‐-](?:{_UNIT})++)*+"
)
_ASCII_WORD = (
    r"[^\W_](?:(?:\.[^\W\d_]\b)+\.?|[^\W_]*(?:['-][^\W_]+)*)"  # the rare one fails fast
)
_ascii_words = re.compile(_ASCII_WORD)

Splitter = Callable[[str], tuple[list[str], list[str], list[tuple[int, int] | None]]]


@functools.cache
def _words() -> Any:
    import regex

    return regex.compile(_WORD)


def checked_protect(protect: Sequence[str] | str) -> tuple[str, ...]:
    """Checks names of kinds and regular expressions."""
    import regex

    fix = f"Give a list of some of {PROTECT} and regular expressions, () for none."
    if isinstance(protect, str):
        checks.fail("`protect` must be a list", fix=fix, protect=protect)
    for pattern in protect:
        checks.instance("protect", pattern, str)
        if pattern in _KINDS:
            continue
        if not pattern or pattern.isalpha():
            fix = rf"{fix} A word is r'\b{pattern}\b'."
            checks.fail("`protect` must name kinds", fix=fix, protect=pattern)
        try:
            matches_nothing = regex.compile(pattern).match("") is not None
        except regex.error as error:
            rule = f"`protect` must be regular expressions ({error})"
            checks.fail(rule, fix=fix, protect=pattern)
        if matches_nothing:
            rule = "a pattern of `protect` must not match the empty text"
            checks.fail(rule, protect=pattern)
    return tuple(protect)


@functools.lru_cache(maxsize=64)
def splitter(protect: tuple[str, ...] = PROTECT) -> Splitter:
    """Returns a function that splits a text to `(words, gaps, spans)`.

    There is one more gap than words. `spans` has for each gap where its first protected
    span begins and its last one ends, or `None`.
    """
    # In the order of the kinds: a mail address before the mention in it.
    hints = [
        (kind, re.compile(hint).search)
        for kind, (hint, _) in _KINDS.items()
        if kind in protect
    ]
    own = tuple(pattern for pattern in protect if pattern not in _KINDS)

    def split(text: str) -> Any:
        active = own
        if hints and (
            _occurs_in(text) or "://" in text or "www." in text or _may_name_site(text)
        ):
            active += tuple(kind for kind, occurs in hints if occurs(text))
        if active:
            return _split_around(_pattern(active, text.isascii()), text)
        words = _ascii_words if text.isascii() else _words()
        gaps = words.split(text)
        return words.findall(text), gaps, [None] * len(gaps)

    return split


@functools.lru_cache(maxsize=256)
def _pattern(active: tuple[str, ...], is_ascii: bool) -> Any:
    import regex

    spans = "|".join(f"(?:{_KINDS.get(name, ('', name))[1]})" for name in active)
    word = _ASCII_WORD if is_ascii else _WORD
    return regex.compile(f"{spans}|(?P<_word>{word})")


def _split_around(pattern: Any, text: str) -> Any:
    words, gaps, spans = [], [], []
    start, span = 0, None  # of the gap
    for match in pattern.finditer(text):
        if match.start("_word") == -1:
            begin = match.start() - start if span is None else span[0]
            span = (begin, match.end() - start)
            continue
        words.append(match.group())
        gaps.append(text[start : match.start()])
        spans.append(span)
        start, span = match.end(), None
    return words, [*gaps, text[start:]], [*spans, span]


def graphemes(word: str) -> Sequence[str]:
    """Returns what readers take for the letters of a word."""
    if word.isascii():
        return word
    import regex

    return regex.findall(r"\X", word)
