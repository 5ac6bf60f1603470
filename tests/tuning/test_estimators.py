"""The scikit-learn route: parameters, searches, probabilities, weights."""

import functools
import pickle

import keras
import numpy as np
import pytest
import sklearn
from keras.layers import Dense
from keras.models import Sequential
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_strategies.tuning import KerasClassifier, KerasRegressor
from keras_strategies.tuning.estimators import _routes

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4)).astype("float32")
Y = np.where(X[:, 0] > 0, "right", "left")
THREE = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]


def small(units=3, seed=None):
    del seed
    return Sequential(
        [keras.Input((4,)), Dense(units, activation="tanh"), Dense(1, "sigmoid")]
    )


def softmax(X, y, loss="sparse_categorical_crossentropy", activation="softmax"):
    count = len(np.unique(y))
    model = Sequential([keras.Input(X.shape[1:]), keras.layers.Flatten()])
    model.add(Dense(count, activation=activation))
    model.compile("adam", loss)
    return model


# The listing


@pytest.mark.filterwarnings("ignore:Do not pass an .input_shape.*:UserWarning")
def test_listing_for_grid_search_runs_with_one_changed_import():
    X_train = np.random.default_rng(1).normal(size=(60, 64))
    Y_train = (X_train[:, 0] > 0).astype(int)

    def create_model(optimizer="adam"):
        model = Sequential()
        model.add(Dense(64, input_dim=64, activation="relu"))
        model.add(Dense(1, activation="sigmoid"))
        model.compile(
            optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"]
        )
        return model

    model = KerasClassifier(build_fn=create_model)
    # The grid has 12 points, times 5 folds; here two points and two folds.
    param_grid = {"batch_size": [40], "epochs": [2], "optimizer": ["adam", "rmsprop"]}
    grid = GridSearchCV(estimator=model, param_grid=param_grid, cv=2)
    grid_result = grid.fit(X_train, Y_train)
    assert set(grid_result.best_params_) == {"batch_size", "epochs", "optimizer"}
    assert len(grid_result.cv_results_["params"]) == 2
    best = grid_result.best_estimator_
    assert len(best.history_["accuracy"]) == 2
    kind = type(best.model_.optimizer).__name__
    assert kind.lower() == grid_result.best_params_["optimizer"]
    assert grid.score(X_train, Y_train) == np.mean(grid.predict(X_train) == Y_train)


# Parameters


def test_parameters_survive_clone_and_reach_their_place():
    class Seen(keras.callbacks.Callback):
        fits = []

        def on_train_begin(self, logs=None):
            Seen.fits.append(dict(self.params))

    estimator = KerasClassifier(
        small,
        model__units=5,
        optimizer="sgd",
        optimizer__learning_rate=0.25,
        fit__epochs=3,
        batch_size=60,
        callbacks=[Seen()],
    )
    copy = clone(clone(estimator))
    assert copy.get_params().keys() == estimator.get_params().keys()
    copy.fit(X, Y)
    assert copy.model_.layers[0].units == 5
    assert type(copy.model_.optimizer).__name__ == "SGD"
    assert float(copy.model_.optimizer.learning_rate) == 0.25
    assert Seen.fits[-1]["epochs"] == 3 and Seen.fits[-1]["steps"] == 2
    assert (copy.epoch_, len(copy.history_["loss"])) == (3, 3)
    assert not hasattr(estimator, "model_")
    copy.set_params(model__units=2, seed=1).fit(X, Y, epochs=1)
    assert (copy.model_.layers[0].units, copy.epoch_) == (2, 1)


def test_compiled_model_keeps_what_is_not_replaced():
    source = small()
    source.compile(keras.optimizers.Adam(0.5, beta_1=0.7), "mse", metrics=["mae"])
    weights = source.get_weights()
    estimator = KerasClassifier(source, optimizer__learning_rate=0.125, batch_size=60)
    estimator.fit(X, Y)
    optimizer = estimator.model_.optimizer
    assert (float(optimizer.learning_rate), optimizer.beta_1) == (0.125, 0.7)
    assert optimizer is not source.optimizer
    assert estimator.model_.loss == "mse"
    assert set(estimator.history_) == {"loss", "mae"}
    for one, other in zip(weights, source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_function_gets_optimizer_object_built_from_its_default():
    def create(optimizer="sgd", units=2):
        model = small(units)
        model.compile(optimizer, "binary_crossentropy")
        return model

    estimator = KerasClassifier(create, optimizer__momentum=0.5, units=4).fit(X, Y)
    optimizer = estimator.model_.optimizer
    assert (type(optimizer).__name__, optimizer.momentum) == ("SGD", 0.5)
    assert estimator.model_.layers[0].units == 4


def test_bad_parameters_change_nothing():
    estimator = KerasClassifier(small, epochs=2)
    with pytest.raises(ValueError, match="parameter='unit'.*fit__unit"):
        estimator.set_params(epochs=3, unit=4)
    assert estimator.epochs == 2
    with pytest.raises(ValueError, match="parameter='nonsense__a'"):
        KerasClassifier(small, nonsense__a=1)
    with pytest.raises(TypeError, match="model=None"):
        KerasClassifier()
    with pytest.raises(ValueError, match="learning_speed"):
        KerasClassifier(small, optimizer__learning_speed=1).fit(X, Y)


def test_failed_fit_leaves_the_last_one():
    estimator = KerasClassifier(small, batch_size=60).fit(X, Y)
    before = estimator.predict_proba(X)
    with pytest.raises(ValueError, match="outputs=1, classes=3"):
        estimator.fit(X, THREE)
    assert list(estimator.classes_) == ["left", "right"]
    np.testing.assert_array_equal(estimator.predict_proba(X), before)
    with pytest.raises(ValueError, match="3 features"):
        estimator.predict(X[:, :3])


# Classification


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        ("sparse_categorical_crossentropy", "softmax"),
        ("categorical_crossentropy", "softmax"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), None),
    ],
)
def test_labels_reach_the_model_as_the_loss_wants_them(loss, activation):
    estimator = KerasClassifier(
        softmax,
        loss=loss,
        activation=activation,
        optimizer__learning_rate=0.1,
        epochs=10,
        batch_size=120,
        random_state=0,
    ).fit(X, THREE)
    assert is_classifier(estimator) and list(estimator.classes_) == ["a", "b", "c"]
    found = estimator.predict_proba(X)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    labels = estimator.predict(X)
    np.testing.assert_array_equal(labels, estimator.classes_[found.argmax(axis=1)])
    assert estimator.score(X, THREE) > 0.6


def test_two_classes_with_one_output():
    fit = KerasClassifier(
        small, optimizer__learning_rate=0.1, epochs=10, batch_size=120, random_state=0
    ).fit(X, Y)
    found = fit.predict_proba(X)
    raw = fit.model_.predict(X, verbose=0)[:, 0]
    np.testing.assert_allclose(found, np.stack([1 - raw, raw], axis=1), rtol=1e-6)
    odds = found[:, 1].astype("float64") / (1 - found[:, 1].astype("float64"))
    np.testing.assert_allclose(fit.decision_function(X), np.log(odds), 1e-4, 1e-5)
    assert set(fit.predict(X)) == {"left", "right"} and fit.score(X, Y) > 0.9
    again = pickle.loads(pickle.dumps(fit))
    np.testing.assert_allclose(again.predict_proba(X), found, rtol=1e-6)


def test_sample_and_class_weights():
    settings = {"epochs": 12, "batch_size": 120, "random_state": 0}
    settings["optimizer__learning_rate"] = 0.1
    weight = np.where(Y == "left", 0.0, 1.0)
    fit = KerasClassifier(small, **settings).fit(X, Y, sample_weight=weight)
    assert fit.predict_proba(X)[:, 1].mean() > 0.8, "the others weigh nothing"
    assert fit.score(X, Y, sample_weight=weight) > fit.score(X, Y)
    classed = KerasClassifier(small, class_weight={"left": 1, "right": 0}, **settings)
    assert classed.fit(X, Y).predict_proba(X)[:, 0].mean() > 0.8
    half = np.full(len(X), 0.5)
    both = clone(classed).set_params(class_weight={"left": 2, "right": 0})
    both.fit(X, Y, sample_weight=half)
    np.testing.assert_allclose(
        both.predict_proba(X), classed.predict_proba(X), atol=1e-5
    )


def test_images_and_random_state_and_warm_start():
    pictures = X.reshape(-1, 2, 2, 1)
    np.random.seed(5)
    estimator = KerasClassifier(softmax, random_state=3, batch_size=60, warm_start=True)
    first = estimator.fit(pictures, THREE).predict_proba(pictures)
    drawn = np.random.rand()
    np.random.seed(5)
    assert drawn == np.random.rand(), "NumPy's state came back"
    other = clone(estimator).fit(pictures, THREE)
    np.testing.assert_allclose(other.predict_proba(pictures), first, atol=1e-6)
    model = estimator.model_
    estimator.fit(pictures, THREE)
    assert estimator.model_ is model
    assert int(model.optimizer.iterations) == 4
    with pytest.raises(ValueError, match="classes of the first fit"):
        estimator.fit(pictures, Y)


def test_callbacks_are_fresh_in_each_fit():
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    estimator = KerasClassifier(small, epochs=9, callbacks=[stop], batch_size=60)
    assert [estimator.fit(X, Y).epoch_ for _ in range(2)] == [2, 2]
    assert stop.stopped_epoch == 0, "the given one was not used"


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.eye(2)[(Y == "left").astype(int)], r"argmax\(axis=1\)"),
        (X[:, 0], "KerasRegressor"),
        (np.full(120, "left"), "two classes"),
        (Y[:5], "inconsistent"),
    ],
)
def test_bad_targets(y, match):
    with pytest.raises(ValueError, match=match):
        KerasClassifier(small).fit(X, y)


# Searches


@pytest.mark.slow
def test_randomized_and_halving_searches():
    from scipy.stats import randint, uniform

    estimator = KerasClassifier(small, batch_size=120, random_state=0)
    found = RandomizedSearchCV(
        estimator,
        {"model__units": randint(2, 6), "optimizer__learning_rate": uniform(0.01, 0.1)},
        n_iter=1,
        cv=2,
        random_state=0,
    ).fit(X, Y)
    assert found.best_estimator_.model_.layers[0].units in range(2, 6)
    halving = HalvingGridSearchCV(
        estimator,
        {"model__units": [2, 3]},
        resource="epochs",
        factor=2,
        max_resources=2,
        min_resources=1,
        cv=2,
        random_state=0,
    ).fit(X, Y)
    assert halving.n_resources_ == [1, 2]
    assert halving.best_estimator_.epoch_ == 2


def test_pipeline_and_metadata_routing():
    pipe = make_pipeline(StandardScaler(), KerasClassifier(small, batch_size=60))
    pipe.set_params(kerasclassifier__model__units=2)
    found = cross_val_predict(pipe, X, Y, cv=2, method="predict_proba")
    assert found.shape == (120, 2)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = KerasClassifier(small, batch_size=60).set_fit_request(
            sample_weight=True
        )
        routed.set_score_request(sample_weight=False)
        assert clone(routed).get_metadata_routing().fit.requests == {
            "sample_weight": True
        }
        grid = GridSearchCV(routed, {"epochs": [1]}, cv=2)
        grid.fit(X, Y, sample_weight=np.ones(120))
    assert grid.best_params_ == {"epochs": 1}


@pytest.mark.slow
def test_search_in_processes():
    grid = GridSearchCV(
        KerasClassifier(small, batch_size=60), {"epochs": [1, 2]}, cv=2, n_jobs=2
    )
    assert grid.fit(X, Y).best_estimator_.epoch_ in (1, 2)


# Regression


@pytest.mark.parametrize("columns", [1, 2])
def test_regression(columns):
    y = X @ rng.normal(size=(4, columns)) if columns > 1 else X.sum(axis=1)

    def create(X, y):
        width = y.shape[1] if y.ndim > 1 else 1
        return Sequential([keras.Input(X.shape[1:]), Dense(width)])

    fit = KerasRegressor(
        create, optimizer__learning_rate=0.2, epochs=15, batch_size=120, random_state=0
    ).fit(X, y)
    assert is_regressor(fit) and not is_classifier(fit)
    assert fit.predict(X).shape == y.shape
    assert fit.score(X, y) > 0.9
    assert clone(fit).get_params()["epochs"] == 15


def test_missing_scikit_learn_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"keras-strategies\[tuning\]"):
        KerasRegressor(small)


def _digits_model(activation="softmax", loss="sparse_categorical_crossentropy"):
    def create():
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(3, activation=activation)]
        )
        model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
        return model

    return create


def _three_classes():
    x, y = load_digits(n_class=3, return_X_y=True)
    return x[:240] / 16, y[:240]


def test_validation_data_is_encoded_as_the_targets_are():
    x, y = _three_classes()
    labels = np.array(["no", "perhaps", "yes"])[y]
    model = KerasClassifier(_digits_model(), epochs=5, random_state=0)
    model.fit(x, labels, validation_data=(x, labels))
    # On the same rows; training accuracy is that of the weights before each step.
    assert model.history_["val_accuracy"][-1] > 0.95
    one_hot = KerasClassifier(_digits_model(loss="categorical_crossentropy"), epochs=2)
    one_hot.fit(x, labels, validation_data=(x, labels, np.ones(len(x))))
    with pytest.raises(ValueError, match="classes of the first fit"):
        model.fit(x, labels, validation_data=(x, np.array(["other"] * len(x))))
    with pytest.raises(ValueError, match="samples of shape"):
        model.fit(x, labels, validation_data=(x[:, :9], labels))
    with pytest.raises(ValueError, match="in `validation_data` too"):
        one_hot.fit(x, np.eye(3)[y], validation_data=(x, y))


@pytest.mark.parametrize("structure", [list, dict])
def test_one_output_in_a_structure(structure):
    def create():
        inputs = keras.Input((64,))
        output = keras.layers.Dense(3, activation="softmax", name="digit")(inputs)
        outputs = [output] if structure is list else {"named": output}
        model = keras.Model(inputs, outputs)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    x, y = _three_classes()
    model = KerasClassifier(create, epochs=1).fit(x, y, validation_data=(x, y))
    assert model.predict(x).shape == y.shape
    assert model.predict_proba(x).shape == (240, 3)


def test_decisions_are_positive_where_the_second_class_is_predicted():
    model = KerasClassifier(small, epochs=3, random_state=0).fit(X, Y)
    second = model.decision_function(X) > 0
    np.testing.assert_array_equal(model.predict(X), model.classes_[second.astype(int)])
    three = KerasClassifier(softmax, random_state=0).fit(X, THREE)
    best = three.decision_function(X).argmax(axis=1)
    np.testing.assert_array_equal(three.predict(X), three.classes_[best])


def test_two_outputs_are_refused():
    def create():
        inputs = keras.Input((64,))
        heads = [keras.layers.Dense(1)(inputs), keras.layers.Dense(2)(inputs)]
        return keras.Model(inputs, heads)

    x, y = _three_classes()
    for cls in (KerasClassifier, KerasRegressor):
        with pytest.raises(ValueError, match=r"one output.*outputs=2"):
            cls(create).fit(x, y)


@pytest.mark.usefixtures("graphs")
def test_one_hot_and_multilabel_targets():
    x, y = _three_classes()
    rows = np.eye(3, dtype=int)[y]
    losses = ("categorical_crossentropy", "sparse_categorical_crossentropy")
    for loss in losses:
        model = KerasClassifier(_digits_model(loss=loss), epochs=8, random_state=0)
        predicted = model.fit(x, rows).predict(x)
        assert (predicted.sum(axis=1) == 1).all()
        assert model.score(x, rows) > 0.95
    several = np.stack([y > 0, y > 1, y == 0], axis=1).astype(int)
    create = _digits_model("sigmoid", "binary_crossentropy")
    model = KerasClassifier(create, epochs=12, random_state=0).fit(x, several)
    assert model.target_type_ == "multilabel-indicator"
    assert model.score(x, several) > 0.9  # all three labels right
    with pytest.raises(ValueError, match="exactly one 1"):
        KerasClassifier(_digits_model()).fit(x, several)


def test_sparse_features_and_data_frames():
    import pandas as pd
    import scipy.sparse

    x, y = _three_classes()
    dense = KerasClassifier(_digits_model(), random_state=0).fit(x, y)
    model = KerasClassifier(_digits_model(), random_state=0)
    model.fit(scipy.sparse.csr_matrix(x), y)
    np.testing.assert_array_equal(
        model.predict_proba(scipy.sparse.csc_matrix(x)), dense.predict_proba(x)
    )
    frame = pd.DataFrame(x, columns=[f"pixel_{i}" for i in range(64)])
    model.fit(frame, pd.Series(y))
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(model.predict_proba(frame), dense.predict_proba(x))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"pixel_3": "other"}))


def test_inputs_by_name():
    def create():
        inputs = {name: keras.Input((32,), name=name) for name in ("left", "right")}
        both = keras.layers.Concatenate()(list(inputs.values()))
        outputs = keras.layers.Dense(3, activation="softmax")(both)
        return keras.Model(inputs, outputs)

    x, y = _three_classes()
    features = {"left": x[:, :32], "right": x[:, 32:]}
    model = KerasClassifier(create, epochs=1, random_state=0)
    model.fit(features, y, validation_data=(features, y))
    assert model.predict(features).shape == y.shape
    with pytest.raises(ValueError, match="samples of shape"):
        model.predict({"left": x[:, :32]})


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_partial_fit_goes_on(kind):
    x, y = _three_classes()
    if kind == "classifier":
        model = KerasClassifier(_digits_model(), batch_size=16, random_state=0)
        first = y < 2
        with pytest.raises(ValueError, match="first fit"):
            model.partial_fit(x[first], y[first]).partial_fit(x, y)
        model = KerasClassifier(_digits_model(), batch_size=16, random_state=0)
        model.partial_fit(x[first], y[first], classes=[0, 1, 2])
    else:
        create = _digits_model(None, "mse")
        model = KerasRegressor(create, batch_size=16, random_state=0)
        y = np.eye(3)[y]
        model.partial_fit(x, y)
    trained, before = model.model_, model.score(x, y)
    for _ in range(3):
        model.partial_fit(x, y)
    assert model.model_ is trained
    assert model.epoch_ == 4
    assert model.score(x, y) > before


def test_classes_of_callbacks_and_losses_take_parameters():
    x, y = _three_classes()
    stop = keras.callbacks.EarlyStopping
    model = KerasClassifier(
        _digits_model(), epochs=6, callbacks=stop, loss__ignore_class=2
    )
    model.set_params(callbacks__patience=0, callbacks__min_delta=9.0)
    model.set_params(callbacks__monitor="loss").fit(x, y)
    assert model.epoch_ == 2
    assert model.model_.loss.ignore_class == 2
    named = KerasClassifier(
        _digits_model(),
        epochs=3,
        callbacks={"stop": stop, "end": keras.callbacks.TerminateOnNaN()},
        callbacks__stop__monitor="loss",
        callbacks__stop__min_delta=9.0,
        loss=keras.losses.SparseCategoricalCrossentropy,
    ).fit(x, y)
    assert named.epoch_ == 2
    with pytest.raises(ValueError, match="callbacks__"):
        KerasClassifier(_digits_model(), callbacks__patience=1).fit(x, y)
    listed = KerasClassifier(
        _digits_model(),
        epochs=3,
        callbacks=[keras.callbacks.TerminateOnNaN(), stop],
        callbacks__1__monitor="loss",
        callbacks__1__min_delta=9.0,
    ).fit(x, y)
    assert listed.epoch_ == 2
    misspelt = {"callbacks": {"stop": stop}, "callbacks__stp__patience": 1}
    with pytest.raises(ValueError, match="callbacks__stp__patience"):
        KerasClassifier(_digits_model(), **misspelt).fit(x, y)


def test_metrics_and_compile_take_parameters():
    metrics = [keras.metrics.BinaryAccuracy, keras.metrics.AUC]
    model = KerasClassifier(
        small,
        metrics=metrics,
        metrics__name="one",
        metrics__1__name="area",
        metrics__0__threshold=0.9,
        batch_size=-1,
        run_eagerly=True,
        compile__weighted_metrics=["mse"],
    ).fit(X, Y)
    assert set(model.history_) == {"loss", "one", "area", "mse"}
    assert model.model_.run_eagerly and int(model.model_.optimizer.iterations) == 1
    assert set(clone(model).set_params(metrics="mae", metrics__0__name=None).metrics)
    one = KerasClassifier(small, metrics="mae").fit(X, Y)
    assert set(one.history_) == {"loss", "mae"}
    assert len(one.predict(X, batch_size=7)) == len(X) == len(one.predict_proba(X))
    with pytest.raises(ValueError, match="metrics__2__name"):
        KerasClassifier(small, metrics=metrics, metrics__2__name="no").fit(X, Y)
    with pytest.raises(ValueError, match="a class, not an object"):
        KerasClassifier(small, metrics=["mae"], metrics__0__name="no").fit(X, Y)


def test_a_loss_in_a_list_is_that_loss():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="mine")
    create = functools.partial(softmax, loss=[loss], activation=None)
    model = KerasClassifier(create).fit(X, THREE)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    settings = {"loss__0__label_smoothing": 0.25, "loss__name": "smooth"}
    model = KerasClassifier(small, loss=["bce"], **settings).fit(X, Y)
    assert model.model_.loss[0].label_smoothing == 0.25
    made = _routes.make_loss({"out": "bce"}, {"out__label_smoothing": 0.5})
    assert made["out"].label_smoothing == 0.5
    with pytest.raises(ValueError, match="loss__1__name"):
        _routes.make_loss(["bce"], {"1__name": "other"})


# Functions and habits of SciKeras


def for_scikeras(meta, compile_kwargs, units=2):
    model = Sequential([keras.Input((meta["n_features_in_"],)), Dense(units)])
    model.add(Dense(meta["n_classes_"] if "n_classes_" in meta else meta["n_outputs_"]))
    assert meta["X_shape_"] == X.shape and meta["n_outputs_expected_"] == 1
    model.compile(**compile_kwargs)
    return model


def test_functions_written_for_scikeras_get_what_they_ask_for():
    model = KerasRegressor(
        for_scikeras,
        loss="mae",
        optimizer="sgd",
        optimizer__learning_rate=0.25,
        metrics="mse",
        units=5,
    ).fit(X, X[:, :2])
    assert model.predict(X).shape == (120, 2)
    assert (model.model_.loss, model.model_.layers[0].units) == ("mae", 5)
    assert float(model.model_.optimizer.learning_rate) == 0.25
    assert (set(model.history_), model.current_epoch) == ({"loss", "mse"}, 1)
    logits = keras.losses.SparseCategoricalCrossentropy
    labels = KerasClassifier(for_scikeras, loss=logits, loss__from_logits=True)
    assert set(labels.fit(X, THREE).predict(X)) <= set(THREE)

    def compiles_itself(meta, compile_kwargs, params):
        assert params["loss"] == "mse" and meta["target_type_"] == "continuous"
        model = Sequential([keras.Input((4,)), Dense(1)])
        model.compile("sgd", "mae")
        return model

    own = KerasRegressor(compiles_itself, loss="mse", optimizer="adam")
    fitted = own.fit(X, X[:, 0]).model_
    assert (fitted.loss, type(fitted.optimizer).__name__) == ("mse", "Adam")


def test_a_trained_model_predicts_and_goes_on():
    trained = small()
    trained.compile("sgd", "binary_crossentropy")
    model = KerasClassifier(trained, batch_size=60).initialize(X, Y)
    with pytest.raises(ValueError, match="an output for each class"):
        KerasClassifier(trained).initialize(X, THREE)
    expected = trained.predict(X, verbose=0)[:, 0]
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-5)
    before = model.model_
    model.partial_fit(X, Y)
    assert model.model_ is before and model.epoch_ == 1
    np.testing.assert_array_equal(trained.predict(X, verbose=0)[:, 0], expected)


def test_a_model_with_call_alone():
    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(3, activation="softmax")

        def call(self, inputs):
            return self.dense(inputs)

    model = KerasClassifier(lambda: Plain()).fit(X, THREE)
    assert model.predict_proba(X).shape == (120, 3)


def test_a_pickled_estimator_predicts_the_same():
    x, y = _three_classes()
    model = KerasClassifier(softmax, random_state=0).fit(x, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(copy.predict_proba(x), model.predict_proba(x), 1e-5)


class Doubled(keras.layers.Layer):
    """Of a script, and not registered with Keras."""

    def call(self, inputs):
        return 2 * inputs


class Missed(keras.metrics.MeanAbsoluteError):
    """Of a script too."""


def with_own_parts():
    model = Sequential([keras.Input((4,)), Doubled(), Dense(1, "sigmoid")])
    model.compile("adam", keras.losses.BinaryCrossentropy(), metrics=[Missed(name="m")])
    return model


def test_a_pickled_estimator_keeps_parts_of_a_script():
    model = KerasClassifier(with_own_parts, batch_size=60, random_state=0).fit(X, Y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    for estimator in (model, copy):  # the optimizer goes on too
        estimator.set_params(shuffle=False).partial_fit(X, Y)
    assert copy.history_["m"] == pytest.approx(model.history_["m"])
    assert len(copy.history_["m"]) == 2
    given = clone(KerasClassifier(with_own_parts()))
    given = pickle.loads(pickle.dumps(given)).fit(X, Y)
    assert isinstance(given.model_.layers[0], Doubled)
    named = KerasClassifier(small, metrics=["mse", Missed(name="m")], batch_size=60)
    for estimator in (named, clone(named), pickle.loads(pickle.dumps(named))):
        estimator = pickle.loads(pickle.dumps(estimator.fit(X, Y))).partial_fit(X, Y)
        assert {name: len(v) for name, v in estimator.history_.items()} == {
            "loss": 2, "mse": 2, "m": 2
        }  # fmt: skip


def build_classifier(X, y):
    if y.ndim == 2:
        model = _network_of_width(X, y.shape[1], "sigmoid")
        model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy")
        return model
    return _network_of_width(X, max(len(np.unique(y)), 2), "softmax")


def build_regressor(X, y):
    return _network_of_width(X, y.shape[1] if y.ndim == 2 else 1, None)


def _network_of_width(X, width, activation):
    inputs = keras.Input(X.shape[1:])
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(width, activation)(hidden))


def _quick(cls, build):
    return cls(
        build,
        epochs=12,
        batch_size=8,
        optimizer=keras.optimizers.Adam(0.03),
        random_state=0,
    )


def test_targets_and_outputs_of_other_numbers_are_refused():
    """Keras broadcasts them against each other."""
    x = np.random.default_rng(0).normal(size=(12, 3))
    two = np.stack([x[:, 0], x[:, 1]], axis=1)

    def build(outputs):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(outputs)])

    with pytest.raises(ValueError, match="an output for each target.*outputs=1"):
        KerasRegressor(build, outputs=1).fit(x, two)
    with pytest.raises(ValueError, match="an output for each target.*outputs=2"):
        KerasRegressor(build, outputs=2).fit(x, x[:, 0])
    fitted = KerasRegressor(build, outputs=1).fit(x, x[:, 0])
    with pytest.raises(ValueError, match="Targets must have the shape"):
        fitted.partial_fit(x, two)


# Checks that an estimator of networks does not pass, with the reason.
_EXPECTED = {
    "check_do_not_raise_errors_in_init_or_set_params": "Errors come early here.",
    "check_parameters_default_constructible": "There is no default network.",
    "check_sample_weight_equivalence_on_dense_data": "Repeated rows change batches.",
    "check_regressor_multioutput": "Predictions have Keras's float type.",
    "check_sample_weight_equivalence_on_sparse_data": "Repeated rows change batches.",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_checks_of_scikit_learn(kind):
    from sklearn.utils.estimator_checks import check_estimator

    if kind == "classifier":
        estimator = _quick(KerasClassifier, build_classifier)
    else:
        estimator = _quick(KerasRegressor, build_regressor)
    results = check_estimator(estimator, on_fail=None, expected_failed_checks=_EXPECTED)
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert len(results) > 40
    assert failed == {}
