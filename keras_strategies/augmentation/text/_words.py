"""Words of a text and the operations of EDA as pure functions.

A text is `gaps[0] words[0] gaps[1] ... words[-1] gaps[-1]`: punctuation, spaces and
protected spans are in the gaps and are not moved. `random` is a
`numpy.random.Generator`.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from keras_strategies.augmentation.text._protected import Splitter, graphemes

# English function words.
_FUNCTION_WORDS = """
    a about above after again against all am an and any are as at be because been
    before being below between both but by can could did do does doing down during
    each few for from further had has have having he her here hers herself him
    himself his how i if in into is it its itself just me might more most must my
    myself no nor not now of off on once only or other our ours ourselves out over
    own same shall she should so some such than that the their theirs them
    themselves then there these they this those through to too under until up upon
    us very was we were what when where which while who whom why will with would
    you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def join(words: list[str], gaps: list[str]) -> str:
    """Joins words and gaps to a text."""
    parts = [gaps[0]]
    for word, gap in zip(words, gaps[1:], strict=True):
        parts += (word, gap)
    return "".join(parts)


def match_case(word: str, model: str) -> str:
    """Returns `word` with the capitalization of `model`."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def num_changes(alpha: float, words: list[str]) -> int:
    """Returns how many words to change: a fraction of them, at least one."""
    return max(1, int(alpha * len(words))) if alpha and words else 0


def _content_words(
    words: list[str], stop_words: Collection[str], random: Any
) -> list[str]:
    """Returns the distinct words that are no stop words, in random order."""
    content = sorted({word.lower() for word in words} - stop_words)
    return [content[i] for i in random.permutation(len(content))]


def _choose(options: Sequence[Any], random: Any) -> Any:
    """Returns a uniformly random item."""
    return options[int(random.integers(len(options)))]


def replace_synonyms(
    text: str,
    alpha: float,
    lookup: Callable[[str], Sequence[str]],
    stop_words: Collection[str],
    random: Any,
    split: Splitter,
) -> str:
    """Replaces all occurrences of a fraction of the words by synonyms."""
    words, gaps, _ = split(text)
    count = num_changes(alpha, words)
    chosen = {}
    for word in _content_words(words, stop_words, random) if count else ():
        synonyms = lookup(word)
        if synonyms:
            chosen[word] = _choose(synonyms, random)
        if len(chosen) == count:
            break
    words = [
        match_case(chosen[w.lower()], w) if w.lower() in chosen else w for w in words
    ]
    return join(words, gaps)


def insert_synonyms(
    text: str,
    alpha: float,
    lookup: Callable[[str], Sequence[str]],
    stop_words: Collection[str],
    random: Any,
    split: Splitter,
) -> str:
    """Inserts synonyms of a fraction of the words at random positions."""
    words, gaps, _ = split(text)
    candidates = []
    count = num_changes(alpha, words)
    for word in _content_words(words, stop_words, random) if count else ():
        if len(candidates) == count:
            break
        synonyms = lookup(word)
        if synonyms:
            candidates.append(synonyms)
    if not candidates:
        return text
    for i in range(count):
        position = int(random.integers(len(words) + 1))
        # The new space is after the inserted word, or before it at the end.
        gaps.insert(min(position + 1, len(words)), " ")
        words.insert(position, _choose(candidates[i % len(candidates)], random))
    return join(words, gaps)


def swap_words(text: str, alpha: float, random: Any, split: Splitter) -> str:
    """Swaps two random words, for a fraction of the words."""
    words, gaps, _ = split(text)
    if len(words) < 2:
        return text
    for _ in range(num_changes(alpha, words)):
        # Two draws: `choice` without replacement costs five times as much.
        a = int(random.integers(len(words)))
        b = int(random.integers(len(words) - 1))
        b += b >= a
        words[a], words[b] = words[b], words[a]
    return join(words, gaps)


def delete_words(text: str, alpha: float, random: Any, split: Splitter) -> str:
    """Removes each word with probability `alpha`; at least one remains."""
    words, gaps, spans = split(text)
    if len(words) < 2:
        return text
    keep = random.random(len(words)) >= alpha
    if not keep.any():
        keep[random.integers(len(words))] = True
    if keep.all():
        return text
    kept_words, kept_gaps, kept_spans = [], [gaps[0]], [spans[0]]
    for i, (word, gap, span) in enumerate(zip(words, gaps[1:], spans[1:], strict=True)):
        if keep[i]:
            kept_words.append(word)
            kept_gaps.append(gap)
            kept_spans.append(span)
        elif span or kept_spans[-1]:
            is_outer = i == len(words) - 1, not kept_words
            kept_gaps[-1], kept_spans[-1] = _merge_around_spans(
                (kept_gaps[-1], kept_spans[-1]), (gap, span), *is_outer
            )
        elif kept_words:
            kept_gaps[-1] = _merge_gaps(kept_gaps[-1], gap, i == len(words) - 1)
    return join(kept_words, kept_gaps)


def _merge_around_spans(before: Any, after: Any, is_last: bool, is_first: bool) -> Any:
    """Merges two gaps `(text, span)` of which one has a protected span."""
    (before, span), (after, after_span) = before, after
    end = span[1] if span else 0
    start = after_span[0] if after_span else len(after)
    between = before[end:], after[:start]
    if is_first and not span:
        # What is before the first word remains, as where nothing is protected.
        middle = between[0]
    else:
        middle = _merge_gaps(*between, is_last and not after_span)
    text = before[:end] + middle + after[start:]
    shift = end + len(middle) - start
    first = span[0] if span else after_span[0] + shift
    return text, (first, after_span[1] + shift if after_span else end)


def _merge_gaps(before: str, after: str, is_last: bool) -> str:
    """Returns the gap that replaces a removed word and the gaps around it."""
    if is_last:
        return after if after.strip() else before.rstrip()
    # A hyphen must not join words that were separated by a space.
    has_space = [any(map(str.isspace, gap)) for gap in (before, after)]
    if has_space[0] == has_space[1]:
        return after if after.strip() else before
    return after if has_space[1] else before


_KEYS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbour_keys() -> dict[str, str]:
    """Returns the adjacent keys of each key of an English keyboard."""
    neighbours = {}
    for i, row in enumerate(_KEYS):
        for j, key in enumerate(row):
            # Rows are shifted by about half a key.
            adjacent = [(i, j - 1), (i, j + 1), (i - 1, j), (i - 1, j + 1)]
            adjacent += [(i + 1, j - 1), (i + 1, j)]
            neighbours[key] = "".join(
                _KEYS[a][b]
                for a, b in adjacent
                if 0 <= a < len(_KEYS) and 0 <= b < len(_KEYS[a])
            )
    return neighbours


NEIGHBOUR_KEYS = _neighbour_keys()


def mistype(word: str, kind: str, random: Any) -> str:
    """Returns a word of at least two letters with one typing error."""
    letters = graphemes(word)
    i = int(random.integers(len(letters)))
    if kind == "swap":
        i = min(i, len(letters) - 2)
        changed = (*letters[:i], letters[i + 1], letters[i], *letters[i + 2 :])
    elif kind == "delete":
        changed = (*letters[:i], *letters[i + 1 :])
    else:
        letter = letters[i]
        # A letter that is not on the keyboard is typed twice.
        options = NEIGHBOUR_KEYS.get(letter.lower(), (letter,))
        typed = match_case(_choose(options, random), letter)
        changed = (*letters[:i], typed, *letters[i + (kind == "replace") :])
    return "".join(changed)


def add_typos(
    text: str,
    alpha: float,
    kinds: Sequence[str],
    min_length: int,
    random: Any,
    split: Splitter,
) -> str:
    """Mistypes each word of `min_length` letters with probability `alpha`."""
    words, gaps, _ = split(text)
    is_mistyped = random.random(len(words)) < alpha
    for i, word in enumerate(words):
        if is_mistyped[i] and len(graphemes(word)) >= min_length:
            words[i] = mistype(word, _choose(kinds, random), random)
    return join(words, gaps)
