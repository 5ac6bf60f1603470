"""Words of a text and the changes of EDA as pure functions.

A text is `gaps[0] words[0] gaps[1] ... words[-1] gaps[-1]`: punctuation and spaces are
in the gaps and stay where they are. Every function takes a `numpy.random.Generator`.
"""

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

# Words of English that carry grammar instead of content.
_GRAMMAR = """
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
STOP_WORDS = frozenset(_GRAMMAR.split())


def split(text):
    """`(words, gaps)` of a text; there is one gap more than words."""
    return _WORD.findall(text), _WORD.split(text)


def join(words, gaps):
    """The text of words and gaps."""
    parts = [gaps[0]]
    for word, gap in zip(words, gaps[1:], strict=True):
        parts += (word, gap)
    return "".join(parts)


def like(word, model):
    """`word` with the capitals of `model`."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def changes(alpha, words):
    """How many words are changed: a share of them, at least one."""
    return max(1, int(alpha * len(words))) if alpha and words else 0


def _contents(words, stop_words, random):
    """The different words that carry content, in random order."""
    found = sorted({word.lower() for word in words} - stop_words)
    return [found[i] for i in random.permutation(len(found))]


def _pick(options, random):
    return options[int(random.integers(len(options)))]


def replace_synonyms(text, alpha, lookup, stop_words, random):
    """Replaces a share of the words, each wherever it stands, by a synonym."""
    words, gaps = split(text)
    left = changes(alpha, words)
    chosen = {}
    for word in _contents(words, stop_words, random) if left else ():
        synonyms = lookup(word)
        if synonyms:
            chosen[word] = _pick(synonyms, random)
        if len(chosen) == left:
            break
    new = [like(chosen[w.lower()], w) if w.lower() in chosen else w for w in words]
    return join(new, gaps)


def insert_synonyms(text, alpha, lookup, stop_words, random):
    """Puts synonyms of a share of the words at random places."""
    words, gaps = split(text)
    known = []
    left = changes(alpha, words)
    for word in _contents(words, stop_words, random) if left else ():
        if len(known) == left:
            break
        synonyms = lookup(word)
        if synonyms:
            known.append(synonyms)
    if not known:
        return text
    for i in range(left):
        place = int(random.integers(len(words) + 1))
        # After the last word the new gap comes before it, else behind it.
        gaps.insert(min(place + 1, len(words)), " ")
        words.insert(place, _pick(known[i % len(known)], random))
    return join(words, gaps)


def swap_words(text, alpha, random):
    """Exchanges two words, as often as a share of the words."""
    words, gaps = split(text)
    if len(words) < 2:
        return text
    for _ in range(changes(alpha, words)):
        a, b = random.choice(len(words), size=2, replace=False)
        words[a], words[b] = words[b], words[a]
    return join(words, gaps)


def delete_words(text, alpha, random):
    """Removes each word with probability `alpha`; one always stays."""
    words, gaps = split(text)
    if len(words) < 2:
        return text
    keep = random.random(len(words)) >= alpha
    if not keep.any():
        keep[random.integers(len(words))] = True
    if keep.all():
        return text
    kept, spaces = [], [gaps[0]]
    for i, (word, gap) in enumerate(zip(words, gaps[1:], strict=True)):
        if keep[i]:
            kept.append(word)
            spaces.append(gap)
        elif kept:
            spaces[-1] = _merge(spaces[-1], gap, i == len(words) - 1)
    return join(kept, spaces)


def _merge(left, right, last):
    """The gap in place of a removed word and the gaps around it."""
    if last:
        return right if right.strip() else left.rstrip()
    # A hyphen must not join what was apart.
    left_apart, right_apart = (any(map(str.isspace, gap)) for gap in (left, right))
    if left_apart == right_apart:
        return right if right.strip() else left
    return right if right_apart else left


_KEYS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def _near():
    """Keys beside each key, one column to the left or right in rows around."""
    near = {}
    for i, row in enumerate(_KEYS):
        for j, key in enumerate(row):
            places = [(i, j - 1), (i, j + 1), (i - 1, j), (i - 1, j + 1)]
            places += [(i + 1, j - 1), (i + 1, j)]
            near[key] = "".join(
                _KEYS[a][b]
                for a, b in places
                if 0 <= a < len(_KEYS) and 0 <= b < len(_KEYS[a])
            )
    return near


NEAR_KEYS = _near()


def mistype(word, kind, random):
    """One slip of the fingers in a word of two letters or more."""
    i = int(random.integers(len(word)))
    letter = word[i]
    if kind == "swap":
        i = min(i, len(word) - 2)
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind == "delete":
        return word[:i] + word[i + 1 :]
    # A letter that is not on the keyboard is typed twice.
    near = like(_pick(NEAR_KEYS.get(letter.lower(), letter), random), letter)
    return word[:i] + near + word[i + (kind == "replace") :]


def add_typos(text, alpha, kinds, min_length, random):
    """One slip in each word of `min_length` letters with probability `alpha`."""
    words, gaps = split(text)
    hit = random.random(len(words)) < alpha
    for i, word in enumerate(words):
        if hit[i] and len(word) >= min_length:
            words[i] = mistype(word, _pick(kinds, random), random)
    return join(words, gaps)
