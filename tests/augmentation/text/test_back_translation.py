"""Batches, the cache, and translators that misbehave."""

import sqlite3

import pytest

from keras_strategies.augmentation import BackTranslation


class _Translator:
    def __init__(self, mark, fail_at=None):
        self.mark, self.fail_at, self.calls = mark, fail_at, []

    def __call__(self, texts):
        self.calls.append(list(texts))
        if len(self.calls) == self.fail_at:
            raise RuntimeError("the service is down")
        return [text + self.mark for text in texts]


def test_batches_equal_texts_once_and_empty_ones_never():
    there, back = _Translator(">"), _Translator("<")
    texts = ["a", "b", "a", "", " ", "c"]
    again = BackTranslation(there, back, batch_size=2)
    assert again(texts) == ["a><", "b><", "a><", "", " ", "c><"]
    assert there.calls == [["a", "b"], ["c"]]
    assert back.calls == [["a>", "b>"], ["c>"]]


def test_the_cache_outlives_objects_and_failures(tmp_path):
    path = tmp_path / "cache.sqlite"
    options = {"batch_size": 2, "cache": path, "name": "toy"}
    there, back = _Translator(">", fail_at=2), _Translator("<")
    with pytest.raises(RuntimeError, match="the service is down"):
        BackTranslation(there, back, **options)(["a", "b", "c"])
    there, back = _Translator(">"), _Translator("<")
    again = BackTranslation(there, back, **options)
    assert again(["a", "b", "c"]) == ["a><", "b><", "c><"]
    assert there.calls == [["c"]]
    assert again(["c", "a"]) == ["c><", "a><"]
    assert len(there.calls) == 1
    # Other translators do not get these results.
    other = BackTranslation(
        _Translator("1"), _Translator("2"), **{**options, "name": "x"}
    )
    assert other(["a"]) == ["a12"]
    rows = sqlite3.connect(path).execute("SELECT count(*) FROM translations")
    assert rows.fetchone() == (4,)


def test_many_texts_pass_the_limits_of_the_database(tmp_path):
    texts = [str(i) for i in range(1200)]
    options = {"batch_size": 600, "cache": tmp_path / "c", "name": "toy"}
    for calls in (2, 0):
        there = _Translator(">")
        again = BackTranslation(there, _Translator("<"), **options)
        assert again(texts)[-1] == "1199><"
        assert len(there.calls) == calls


def test_rate_is_the_share_that_is_translated():
    again = BackTranslation(_Translator(">"), _Translator("<"), factor=0.3, seed=0)
    texts = [str(i) for i in range(1000)]
    changed = sum(new != old for new, old in zip(again(texts), texts, strict=True))
    assert 250 < changed < 350


def test_bad_input(tmp_path):
    own = _Translator("")
    with pytest.raises(ValueError, match="`cache` needs `name`"):
        BackTranslation(own, own, cache=tmp_path / "c")
    with pytest.raises(TypeError, match="`back` must be callable"):
        BackTranslation(own, "de-en")
    with pytest.raises(ValueError, match="`translate` must return one text for each"):
        BackTranslation(lambda texts: texts[1:], own)(["a", "b"])
    with pytest.raises(TypeError, match="`back` must return str"):
        BackTranslation(own, lambda texts: [None for _ in texts])(["a"])
    with pytest.raises(OSError, match="`cache` must be a file"):
        BackTranslation(own, own, cache=tmp_path / "no" / "c", name="x")
    broken = tmp_path / "broken"
    broken.write_text("this is no database, " * 20)
    with pytest.raises(OSError, match="`cache` must be a file"):
        BackTranslation(own, own, cache=broken, name="x")
