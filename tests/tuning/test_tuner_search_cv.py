"""`TunerSearchCV` against scikit-learn's own searches."""

import keras
import numpy as np
import pytest
from scipy.stats import expon, loguniform, poisson, randint
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from keras_strategies.tuning import KerasClassifier, TunerSearchCV
from keras_strategies.tuning.estimators._parameter_space import ParameterSpace

X, Y = load_iris(return_X_y=True)
GRID = {"max_depth": [1, 3, 2], "criterion": ["gini", "entropy"]}


def tree():
    return DecisionTreeClassifier(random_state=0)


def test_a_grid_gives_what_grid_search_gives():
    ours = TunerSearchCV(tree(), GRID, n_iter=99, return_train_score=True)
    theirs = GridSearchCV(tree(), GRID, return_train_score=True)
    ours.fit(X, Y), theirs.fit(X, Y)
    assert ours.algorithm_ == "grid"
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == theirs.best_score_
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()

    def scores(search):
        found = search.cv_results_
        return {
            tuple(sorted(p.items())): (a, b, c)
            for p, a, b, c in zip(
                found["params"],
                found["mean_test_score"],
                found["std_test_score"],
                found["mean_train_score"],
                strict=True,
            )
        }

    assert scores(ours) == scores(theirs)
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.score(X, Y) == theirs.score(X, Y)


@pytest.mark.parametrize("algorithm", ["auto", "random", "tpe", "evolution"])
def test_algorithms_search_distributions_and_repeat_with_a_seed(algorithm):
    pipe = make_pipeline(StandardScaler(), tree())
    space = {
        "decisiontreeclassifier__ccp_alpha": loguniform(1e-4, 1e-1),
        "decisiontreeclassifier__min_samples_leaf": randint(1, 50),
    }
    searches = [
        TunerSearchCV(
            pipe, space, n_iter=6, cv=2, algorithm=algorithm, random_state=3
        ).fit(X, Y)
        for _ in range(2)
    ]
    params = [search.cv_results_["params"] for search in searches]
    assert params[0] == params[1]
    assert len({tuple(p.values()) for p in params[0]}) == 6
    for found in params[0]:
        assert 1e-4 <= found["decisiontreeclassifier__ccp_alpha"] <= 1e-1
        assert found["decisiontreeclassifier__min_samples_leaf"] in range(1, 50)
    expected = "bayesian" if algorithm == "auto" else algorithm
    assert searches[0].algorithm_ == expected
    best = np.argmax(searches[0].cv_results_["mean_test_score"])
    assert searches[0].best_params_ == params[0][best]


@pytest.mark.tensorflow
def test_a_keras_model_with_a_conditional_space():
    def create(units=2, deep=False, more=0):
        model = keras.Sequential([keras.Input((4,))])
        model.add(keras.layers.Dense(units, activation="tanh"))
        if deep:
            model.add(keras.layers.Dense(more, activation="tanh"))
        model.add(keras.layers.Dense(3, activation="softmax"))
        return model

    def space(hp):
        hp.Int("model__units", 2, 5)
        hp.Boolean("model__deep")
        with hp.conditional_scope("model__deep", [True]):
            hp.Int("model__more", 2, 4)

    search = TunerSearchCV(
        KerasClassifier(create, batch_size=75, random_state=0),
        space,
        n_iter=3,
        cv=2,
        random_state=1,
    ).fit(X, Y)
    assert search.algorithm_ == "bayesian"
    for found in search.cv_results_["params"]:
        assert ("model__more" in found) == found["model__deep"]
    assert search.predict(X).shape == Y.shape
    first = search.best_estimator_.model_.layers[0]
    assert first.units == search.best_params_["model__units"]


def test_a_list_of_dicts_and_objects_as_values():
    stumps = [DecisionTreeClassifier(max_depth=1), DecisionTreeClassifier(max_depth=2)]
    given = [{"tree": stumps}, {"tree__max_depth": [3], "tree__criterion": ["entropy"]}]
    search = TunerSearchCV(Pipeline([("tree", tree())]), given, n_iter=9, cv=2)
    found = search.fit(X, Y).cv_results_["params"]
    assert len(found) == 3
    assert {id(p["tree"]) for p in found if "tree" in p} == set(map(id, stumps))
    assert {"tree__max_depth": 3, "tree__criterion": "entropy"} in found


def test_distributions_become_ranges_or_quantiles():
    searched = ParameterSpace({"c": expon(), "n": poisson(4), "k": randint(2, 5)})
    space = {hp.name: hp for hp in searched.space.space}
    assert (space["k"].min_value, space["k"].max_value) == (2, 4)
    found = searched.parameters({"c": 0.5, "n": 0.5, "k": 3})
    assert found == {"c": pytest.approx(np.log(2)), "n": 4, "k": 3}
    assert np.isfinite(searched.parameters({"c": 1.0, "n": 0.0})["c"])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_a_candidate_that_fails_is_recorded_and_the_search_goes_on():
    grid = {"max_depth": [-1, 1]}
    search = TunerSearchCV(tree(), grid, cv=2).fit(X, Y)
    assert search.best_params_ == {"max_depth": 1}
    ((params, message),) = search.failures_
    assert params == {"max_depth": -1} and "fits failed" in message
    with pytest.raises(ValueError, match="No candidate has a score"):
        TunerSearchCV(tree(), {"max_depth": [-1]}, cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="'max_depth' parameter"):
        TunerSearchCV(tree(), grid, cv=2, error_score="raise").fit(X, Y)
    assert issubclass(FitFailedWarning, Warning)


def test_several_metrics_and_no_refit():
    scoring = ["accuracy", "neg_log_loss"]
    search = TunerSearchCV(
        tree(), {"max_depth": [1, 2]}, cv=2, scoring=scoring, refit="neg_log_loss"
    ).fit(X, Y)
    found = search.cv_results_["mean_test_neg_log_loss"]
    assert search.best_score_ == max(found)
    search.set_params(refit=False)
    with pytest.raises(ValueError, match="`refit` must name"):
        search.fit(X, Y)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"algorithm": "hyperband"}, ValueError, "`algorithm` must be one of"),
        ({"param_distributions": 3}, TypeError, "`param_distributions` must be"),
        (
            {"param_distributions": {"max_depth": 3}},
            TypeError,
            "a list or a distribution",
        ),
        ({"param_distributions": {"a": []}}, ValueError, "must not be empty"),
        ({"time_limit": 0}, ValueError, "`time_limit`"),
        ({"n_iter": 0}, ValueError, "n_iter"),
    ],
)
def test_errors(wrong, error, message):
    arguments = {"estimator": tree(), "param_distributions": GRID, **wrong}
    with pytest.raises(error, match=message):
        TunerSearchCV(**arguments).fit(X, Y)


def failed_checks(search):
    results = check_estimator(search, on_fail=None, on_exclude=None)
    return {
        result["check_name"]: repr(result["exception"])
        for result in results
        if result["status"] == "failed"
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "grid"),
    [(LogisticRegression(), {"C": [0.1, 1.0]}), (Ridge(), {"alpha": [0.1, 1.0]})],
    ids=["classifier", "regressor"],
)
def test_scikit_learn_takes_it_for_an_estimator(estimator, grid):
    failed = failed_checks(TunerSearchCV(estimator, grid, cv=2))
    theirs = failed_checks(GridSearchCV(estimator, grid, cv=2)) if failed else {}
    assert {name: why for name, why in failed.items() if name not in theirs} == {}
