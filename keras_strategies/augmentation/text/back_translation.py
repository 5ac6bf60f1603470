"""Back-translation of texts."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.augmentation.text._operation import TextOperation
from keras_strategies.augmentation.text._translation_cache import TranslationCache


class BackTranslation(TextOperation):
    """Translates texts to another language and back.

    Returns paraphrases of the quality of the translators. These are two callables from
    a list of `str` to a list of as many `str`: a model, a pipeline of a library, a
    service. Texts are translated in batches, equal ones once, and a cache on disk
    stores each batch, so that an interrupted run loses no translations.

    ```
    y = back(translate(x))
    ```

    Takes a `str`, a list, a NumPy array, a pandas Series or a `tf.string` tensor and
    returns the same, so that it can be passed to `map` of `tf.data`; further arguments,
    such as labels, pass through. With a seed, the draws in a pipeline depend on the
    text and how often it was seen, so that parallel calls repeat them.

    Reference: Sennrich et al., 2016, [Improving Neural Machine Translation Models with
    Monolingual Data](https://arxiv.org/abs/1511.06709).

    Args:
        translate: Callable, list of texts to list of translations.
        back: Callable, list of translations to list of texts.
        batch_size: Texts in one call of a translator. Defaults to `32`.
        cache: Path of a file for the results, created if missing, or `None`.
            Processes and objects may share it. Defaults to `None`.
        name: Name of the translators in the cache, such as `"en-de small"`; required
            with `cache`, to distinguish the results of different translators. Defaults
            to `None`.
        factor: Probability that a text is translated, in `[0, 1]`. Defaults to `1.0`.
        seed: Integer that makes the choice reproducible, or `None`.
            Defaults to `None`.

    Raises:
        TypeError: If a translator is not callable, or texts are no texts.
        ValueError: If an argument is outside its range, `cache` comes without `name`,
            or a translator returns another number of texts than it received.
        OSError: If the cache cannot be read or written.

    Example:

    ```python
    from keras_strategies.augmentation import BackTranslation

    def translate(texts):
        return [text.replace("film", "Film") for text in texts]

    def back(texts):
        return [text.replace("Film", "movie") for text in texts]

    again = BackTranslation(translate, back, cache="cache.sqlite", name="toy")
    assert again(["a film"]) == ["a movie"]
    ```
    """

    def __init__(
        self,
        translate: Callable[[list[str]], Sequence[str]],
        back: Callable[[list[str]], Sequence[str]],
        batch_size: int = 32,
        cache: str | os.PathLike[str] | None = None,
        name: str | None = None,
        factor: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        for role, function in (("translate", translate), ("back", back)):
            if not callable(function):
                fix = "Give a function from a list of str to a list of str."
                rule = f"`{role}` must be callable"
                checks.fail(rule, fix=fix, error=TypeError, **{role: function})
        self.translate: Callable[[list[str]], Sequence[str]] = translate
        self.back: Callable[[list[str]], Sequence[str]] = back
        self.batch_size: int = checks.integer("batch_size", batch_size, low=1)
        self.name: str | None = checks.instance("name", name, str, optional=True)
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        if cache is not None and not name:
            fix = "Name the translators, such as name='en-de small'."
            checks.fail("`cache` needs `name`", fix=fix, cache=str(cache), name=name)
        self.cache: str | os.PathLike[str] | None = cache
        self._cache = None if cache is None else TranslationCache(cache, name)

    def change(self, texts: list[str], random: Any) -> list[str]:
        selected = random.random(len(texts)) < self.factor
        # Translators need not handle empty texts.
        pairs = zip(texts, selected, strict=True)
        unique = list(dict.fromkeys(t for t, is_in in pairs if is_in and t.strip()))
        results = {} if self._cache is None else self._cache.get(unique)
        missing = [text for text in unique if text not in results]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            translations = _translated("translate", self.translate, batch)
            paraphrases = _translated("back", self.back, translations)
            new_results = dict(zip(batch, paraphrases, strict=True))
            if self._cache is not None:
                self._cache.add(new_results)
            results.update(new_results)
        return [
            results.get(text, text) if is_in else text
            for text, is_in in zip(texts, selected, strict=True)
        ]


def _translated(role: str, function: Callable[..., Any], texts: Any) -> list[str]:
    result = list(function(list(texts)))
    if len(result) != len(texts):
        rule = f"`{role}` must return one text for each"
        checks.fail(rule, texts=len(texts), returned=len(result))
    for text in result:
        if not isinstance(text, str):
            rule = f"`{role}` must return str"
            checks.fail(rule, error=TypeError, returned=text)
    return result
