"""A strategy checks what it is given."""

import keras
import pytest

from keras_strategies import ablation

Strategy = ablation.Strategy


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"name": 3}, TypeError, "`name` must be a str"),
        ({"name": " "}, ValueError, "must not be empty"),
        (
            {"name": "a", "callbacks": keras.callbacks.Callback()},
            TypeError,
            "must be a function, which makes new objects",
        ),
        (
            {"name": "a", "optimizer": keras.optimizers.SGD()},
            TypeError,
            "must be a function",
        ),
        ({"name": "a", "data": 3}, TypeError, "a layer, a generator"),
        ({"name": "a", "fit": {"x": 1}}, ValueError, "gives itself"),
        ({"name": "a", "fit": [1]}, TypeError, "`fit` must be a Mapping"),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        Strategy(**arguments)


def test_it_is_frozen_and_knows_its_parts():
    strategy = Strategy("a", optimizer=lambda o: o, fit={"batch_size": 8})
    assert strategy.changes == ("optimizer", "fit")
    with pytest.raises(AttributeError):
        strategy.name = "b"


def test_groups_and_fit_arguments_exclude_each_other():
    sgd, adam = (Strategy(n, group="optimizer") for n in ("sgd", "adam"))
    small, large = (Strategy(str(n), fit={"batch_size": n}) for n in (8, 64))
    assert "group 'optimizer'" in sgd.excludes(adam)
    assert "batch_size" in small.excludes(large)
    assert sgd.excludes(small) is None
    assert small.excludes(Strategy("same", fit={"batch_size": 8})) is None


def test_callbacks_are_checked_when_they_are_made():
    with pytest.raises(TypeError, match="must be a Callback"):
        Strategy("a", callbacks=lambda: [3]).make_callbacks(1, None)
    made = Strategy("a", callbacks=keras.callbacks.TerminateOnNaN).make_callbacks(1, 2)
    assert isinstance(made[0], keras.callbacks.TerminateOnNaN)
