"""hyperopt's names: what `fmin` draws, returns, keeps, and how it ends."""

import functools
import math

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies import tuning
from keras_strategies.compat import hyperopt
from keras_strategies.compat.hyperopt import (
    STATUS_FAIL,
    STATUS_OK,
    AllTrialsFailed,
    DuplicateLabelError,
    Trials,
    _nodes,
    anneal,
    fmin,
    hp,
    no_progress_loss,
    rand,
    scope,
    space_eval,
    tpe,
)
from keras_strategies.tuning._space import Space

quiet = functools.partial(fmin, show_progressbar=False)


def draws(node, count=400):
    """What the objective gets of one label, of the draws of a random search."""
    declared = Space()
    _nodes.declare_all(node, declared)
    oracle = tuning.RandomSearchOracle("loss", 999, 0, declared)
    values = []
    for _ in range(count):
        trial = oracle.get_space()
        trial.values = oracle.sample()
        values.append(_nodes.draw(node, trial))
    return values


@pytest.mark.parametrize(
    ("node", "mean", "deviation", "low", "high"),
    [
        (hp.uniform("x", -2, 4), 1, 6 / math.sqrt(12), -2, 4),
        (hp.loguniform("x", -3, 1), (math.e - math.exp(-3)) / 4, None, 0.049, math.e),
        (hp.normal("x", 3, 2), 3, 2, -9, 15),
        (hp.lognormal("x", 0, 0.5), math.exp(0.125), None, 0, 99),
    ],
)
def test_distributions(node, mean, deviation, low, high):
    values = np.array(draws(node))
    assert values.min() >= low and values.max() <= high
    error = 4 * values.std() / math.sqrt(len(values))
    assert values.mean() == pytest.approx(mean, abs=error)
    if deviation is not None:
        assert values.std() == pytest.approx(deviation, rel=0.1)


def test_rounded_numbers_have_half_the_weight_at_their_ends():
    # As hyperopt's: round(uniform(0, 4) / 2) * 2.
    values = np.array(draws(hp.quniform("x", 0, 4, 2)))
    counts = [int((values == v).sum()) for v in (0, 2, 4)]
    assert sum(counts) == len(values) == 400
    assert counts[1] == pytest.approx(200, abs=40)
    assert counts[0] == pytest.approx(100, abs=36)
    assert values.dtype == float
    integers = draws(hp.uniformint("n", 1, 3), 60)
    assert set(integers) == {1, 2, 3} and type(integers[0]) is int
    assert set(draws(hp.qloguniform("x", 0, 3, 1), 60)) <= set(range(1, 21))
    assert {x % 0.5 for x in draws(hp.qnormal("x", 0, 1, 0.5), 60)} == {0}
    assert min(draws(hp.qlognormal("x", 0, 1, 1), 60)) >= 0


def test_choices_and_integers():
    assert set(draws(hp.randint("n", 2, 5))) == {2, 3, 4}
    assert set(draws(hp.randint("n", 3))) == {0, 1, 2}
    trials = Trials()
    quiet(lambda n: n, hp.randint("n", 3), rand.suggest, 9, trials=trials)
    assert sorted(trials.vals["n"]) == [0, 1, 2]  # each of them once
    seen = np.array(draws(hp.pchoice("c", [(0.2, 1.0), (0.5, 2.0), (0.3, 3.0)])))
    shares = [(seen == v).mean() for v in (1, 2, 3)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.08)


SPACE = {
    "net": hp.choice(
        "net",
        [
            {"kind": "small"},
            {"kind": "deep", "units": scope.int(hp.quniform("units", 8, 64, 8))},
        ],
    ),
    "rate": hp.loguniform("rate", -7, 0),
    "drop": hp.pchoice("drop", [(0.3, 0.0), (0.7, hp.uniform("p", 0.1, 0.5))]),
    "epochs": 2,
    "pair": (hp.normal("a", 0, 1), "fixed"),
}


def loss(params):
    assert params["epochs"] == 2 and params["pair"][1] == "fixed"
    deep = params["net"]["kind"] == "deep"
    assert deep == ("units" in params["net"])
    if deep:
        assert type(params["net"]["units"]) is int and params["net"]["units"] % 8 == 0
    value = (math.log(params["rate"]) + 4) ** 2 + params["pair"][0] ** 2 + deep
    return {"loss": value + params["drop"], "status": STATUS_OK, "note": "kept"}


@pytest.mark.parametrize(
    "algo",
    [
        tpe.suggest,
        rand.suggest,
        anneal.suggest,
        functools.partial(tpe.suggest, n_startup_jobs=5),
        "evolution",
    ],
)
def test_fmin_returns_the_values_of_the_best_trial(algo):
    trials = Trials()
    generator = np.random.default_rng(0)
    best = quiet(loss, SPACE, algo, 20, trials=trials, rstate=generator)
    assert len(trials) == 20 and trials.statuses() == ["ok"] * 20
    assert trials.best_trial["result"]["loss"] == min(trials.losses())
    assert trials.best_trial["result"]["note"] == "kept"
    assert best == trials.argmin and best["net"] in (0, 1) and best["drop"] in (0, 1)
    assert ("units" in best) == (best["net"] == 1)
    assert ("p" in best) == (best["drop"] == 1)
    assert loss(space_eval(SPACE, best))["loss"] == pytest.approx(min(trials.losses()))
    misc = trials.miscs[3]
    assert misc["idxs"]["rate"] == [3] and len(misc["vals"]["rate"]) == 1
    # Tables show no probability under the name of a value.
    assert "value/a" not in trials.report()[0] and "value/P(a)" in trials.report()[0]
    # The same generator draws the same.
    again = quiet(loss, SPACE, algo, 20, rstate=np.random.default_rng(0))
    assert again == best


def test_a_second_fmin_goes_on(tmp_path):
    calls = []

    def objective(x):
        calls.append(x)
        return {"loss": x**2, "status": STATUS_OK, "size": 3}

    space = hp.uniform("x", -1, 1)
    trials = Trials()
    quiet(objective, space, rand.suggest, 4, trials=trials, rstate=1)
    quiet(objective, space, rand.suggest, 7, trials=trials, rstate=1)
    assert len(calls) == len(set(calls)) == len(trials) == 7
    # In a folder also for another process.
    for count in (3, 5):
        kept = Trials(tmp_path)
        quiet(objective, space, rand.suggest, count, trials=kept, rstate=1)
        assert len(kept) == count
    assert [r["size"] for r in kept.results] == [3] * 5
    assert kept.losses()[:3] == [calls[k] ** 2 for k in (7, 8, 9)]
    with pytest.raises(ValueError, match="`x` must have the type"):
        changed = hp.choice("x", [1, 2])
        quiet(lambda x: x, changed, rand.suggest, 9, trials=Trials(tmp_path))


def test_points_to_evaluate_come_first():
    seen = []

    def objective(params):
        seen.append((params["a"], params["n"], params["c"]))
        return params["a"]

    space = {
        "a": hp.uniform("a", 0, 1),
        "n": hp.normal("n", 0, 1),
        "c": hp.choice("c", ["x", "y"]),
    }
    point = {"a": 0.25, "n": -1.5, "c": 1}
    quiet(objective, space, tpe.suggest, 3, points_to_evaluate=[point], rstate=0)
    assert seen[0] == (0.25, pytest.approx(-1.5), "y") and len(seen) == 3


def test_how_fmin_ends():
    space = hp.uniform("x", 0, 1)
    trials = Trials()
    stop = no_progress_loss(4)
    quiet(lambda x: 1.0, space, rand.suggest, 50, trials=trials, early_stop_fn=stop)
    assert len(trials) == 5
    trials = Trials()
    quiet(lambda x: x, space, rand.suggest, 99, trials=trials, loss_threshold=0.3)
    assert trials.losses()[-1] <= 0.3 and min([1, *trials.losses()[:-1]]) > 0.3
    quiet(lambda x: x, space, rand.suggest, timeout=0.2, return_argmin=False)


def test_failures_end_as_in_hyperopt():
    def partly(x):
        return {"loss": x, "status": STATUS_OK if x > 0.5 else STATUS_FAIL}

    space, trials = hp.uniform("x", 0, 1), Trials()
    best = quiet(partly, space, rand.suggest, 12, trials=trials, rstate=0)
    assert best["x"] > 0.5 and set(trials.statuses()) == {"ok", "fail"}
    with pytest.raises(AllTrialsFailed, match="None of the 3 trials has a loss"):
        quiet(lambda x: {"status": STATUS_FAIL}, space, rand.suggest, 3)
    with pytest.raises(ZeroDivisionError):
        quiet(lambda x: 1 / 0, space, rand.suggest, 3)
    with pytest.raises(AllTrialsFailed, match="ZeroDivisionError"):
        quiet(lambda x: 1 / 0, space, rand.suggest, 3, catch_eval_exceptions=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "must have a limit"),
        ({"max_evals": 3, "algo": "newton"}, ValueError, "`algorithm` must be one of"),
        ({"max_evals": 3, "algo": min}, TypeError, "`algo` must be"),
        ({"max_evals": 3, "trials_save_file": "f"}, ValueError, "Trials\\(directory="),
        ({"max_evals": 3, "max_queue_len": 4}, ValueError, "Pass `workers`"),
        ({"max_evals": 3, "memo": 4}, TypeError, "no such argument"),
        (
            {"max_evals": 3, "algo": functools.partial(tpe.suggest, gamma=0.2)},
            ValueError,
            "takes n_startup_jobs and n_EI_candidates",
        ),
    ],
)
def test_misuse_is_said(arguments, error, message):
    with pytest.raises(error, match=message):
        quiet(lambda x: x, hp.uniform("x", 0, 1), **arguments)


def test_misuse_of_a_space_is_said():
    twice = [hp.uniform("x", 0, 1), hp.uniform("x", 0, 2)]
    with pytest.raises(DuplicateLabelError, match="Each label must be used once"):
        quiet(lambda x: 0, twice, rand.suggest, 2)
    shared = hp.uniform("x", 0, 1)
    quiet(lambda x: x[0] - x[1], [shared, shared], rand.suggest, 2)
    for node in (
        lambda: hp.uniform("x", 1, 1),
        lambda: hp.normal("x", 0, 0),
        lambda: hp.quniform("x", 0, 1, 0),
        lambda: hp.choice("x", []),
        lambda: hp.pchoice("x", [(0.5, 1), (0.4, 2)]),
    ):
        with pytest.raises(ValueError, match="must"):
            node()
    with pytest.raises(NotImplementedError, match="for `fmin\\(algo=\\)` only"):
        tpe.suggest([1], None, None, 0)


def test_the_names_are_those_of_hyperopt():
    names = {"fmin", "tpe", "rand", "anneal", "hp", "Trials", "STATUS_OK"}
    assert names <= set(hyperopt.__all__)
    kinds = [name for name in hp.__all__ if callable(getattr(hp, name))]
    assert len(kinds) == 12


@pytest.mark.slow
def test_the_listing_of_the_article_runs():
    """The listing as written, with digits and today's names of Keras."""
    Activation, Dense, Dropout = (
        keras.layers.Activation,
        keras.layers.Dense,
        keras.layers.Dropout,
    )
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    labels = keras.utils.to_categorical(y, 10)
    x_train, x_test, y_train, y_test = (
        x[:500],
        x[500:700],
        labels[:500],
        labels[500:700],
    )
    space = {
        "choice": hp.choice(
            "layers",
            [
                {"layers": "two"},
                {
                    "layers": "three",
                    "units3": hp.uniform("units3", 16, 64),
                    "dropout3": hp.uniform("dropout3", 0.25, 0.75),
                },
            ],
        ),
        "units1": hp.uniform("units1", 16, 64),
        "units2": hp.uniform("units2", 16, 64),
        "dropout1": hp.uniform("dropout1", 0.25, 0.75),
        "dropout2": hp.uniform("dropout2", 0.25, 0.75),
        "batch_size": hp.uniform("batch_size", 28, 128),
        "nb_epochs": 2,
        "optimizer": hp.choice("optimizer", ["rmsprop", "adam", "sgd"]),
    }

    def f_nn(params):
        model = keras.Sequential()
        model.add(keras.Input((64,)))
        model.add(Dense(int(params["units1"])))
        model.add(Activation("relu"))
        model.add(Dropout(params["dropout1"]))
        model.add(Dense(int(params["units2"])))
        model.add(Activation("relu"))
        model.add(Dropout(params["dropout2"]))
        if params["choice"]["layers"] == "three":
            model.add(Dense(int(params["choice"]["units3"])))
            model.add(Activation("relu"))
            model.add(Dropout(params["choice"]["dropout3"]))
        model.add(Dense(10))
        model.add(Activation("softmax"))
        model.compile(
            loss="categorical_crossentropy",
            metrics=["accuracy"],
            optimizer=params["optimizer"],
        )
        result = model.fit(
            x_train,
            y_train,
            batch_size=int(params["batch_size"]),
            epochs=params["nb_epochs"],
            verbose=0,
            validation_data=(x_test, y_test),
        )
        best_score = np.amin(result.history["val_loss"])
        return {"loss": best_score, "status": STATUS_OK}

    trials = Trials()
    best = fmin(f_nn, space, algo=tpe.suggest, max_evals=6, trials=trials)
    assert len(trials) == 6 and 0 <= best["optimizer"] <= 2
    assert set(best) >= {"layers", "units1", "units2", "dropout1", "batch_size"}
    assert math.isfinite(trials.best_trial["result"]["loss"])
