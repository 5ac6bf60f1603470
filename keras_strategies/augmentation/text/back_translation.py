from keras_strategies._internal import checks
from keras_strategies.augmentation.text._operation import TextOperation
from keras_strategies.augmentation.text._translation_cache import TranslationCache


class BackTranslation(TextOperation):
    """Translates texts into another language and back.

    Gives whole new sentences of the same meaning, as good as the translators are. They
    are any two callables from a list of `str` to a list of as many `str`: a model, a
    pipeline of a library, a service. Texts are translated in batches, equal ones once,
    and a cache on disk keeps what was paid for, batch by batch, also when a run is
    interrupted.

    ```
    y = back(translate(x))
    ```

    Takes a `str`, a list, a NumPy array or a `tf.string` tensor and gives back the
    same, so that it is also a function for `tf.data`'s `map`; further arguments, such
    as labels, pass through.

    Reference: Sennrich et al., 2016, [Improving Neural Machine Translation Models with
    Monolingual Data](https://arxiv.org/abs/1511.06709).

    Args:
        translate: Callable, list of texts to list of translations.
        back: Callable, list of translations to list of texts.
        batch_size: Texts in one call of a translator. Defaults to `32`.
        cache: Path of a file for the results, made when it is missing, or `None`.
            Processes and objects may share it. Defaults to `None`.
        name: What the translators are called in the cache, such as `"en-de small"`;
            needed with `cache`, since results of other translators must not be taken
            for theirs. Defaults to `None`.
        rate: Share of the texts that are translated, in `[0, 1]`. Defaults to `1.0`.
        seed: Integer that makes the choice reproducible, or `None`.
            Defaults to `None`.

    Raises:
        TypeError: If a translator is not callable, or texts are no texts.
        ValueError: If an argument is outside its range, `cache` comes without `name`,
            or a translator gives another number of texts than it got.
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
        translate,
        back,
        batch_size=32,
        cache=None,
        name=None,
        rate=1.0,
        seed=None,
    ):
        super().__init__(seed)
        for role, function in (("translate", translate), ("back", back)):
            if not callable(function):
                fix = "Give a function from a list of str to a list of str."
                rule = f"`{role}` must be callable"
                checks.fail(rule, fix=fix, error=TypeError, **{role: function})
        self.translate, self.back = translate, back
        self.batch_size = checks.integer("batch_size", batch_size, low=1)
        self.name = checks.instance("name", name, str, optional=True)
        self.rate = checks.real("rate", rate, low=0, high=1)
        if cache is not None and not name:
            fix = "Say which translators fill it, such as name='en-de small'."
            checks.fail("`cache` needs `name`", fix=fix, cache=str(cache), name=name)
        self.cache = cache
        self._cache = None if cache is None else TranslationCache(cache, name)

    def change(self, texts, random):
        chosen = random.random(len(texts)) < self.rate
        # An empty text has nothing to translate.
        wanted = [t for t, c in zip(texts, chosen, strict=True) if c and t.strip()]
        unique = list(dict.fromkeys(wanted))
        results = {} if self._cache is None else self._cache.get(unique)
        missing = [text for text in unique if text not in results]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            middle = _translated("translate", self.translate, batch)
            done = _translated("back", self.back, middle)
            done = dict(zip(batch, done, strict=True))
            if self._cache is not None:
                self._cache.put(done)
            results.update(done)
        return [
            results.get(text, text) if c else text
            for text, c in zip(texts, chosen, strict=True)
        ]


def _translated(role, function, texts):
    result = list(function(list(texts)))
    if len(result) != len(texts):
        rule = f"`{role}` must give one text for each"
        checks.fail(rule, given=len(texts), received=len(result))
    for text in result:
        if not isinstance(text, str):
            rule = f"`{role}` must give str"
            checks.fail(rule, error=TypeError, received=text)
    return result
