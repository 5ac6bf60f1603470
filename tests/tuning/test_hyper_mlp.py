"""HyperMLP: its space, its models, real searches with stock KerasTuner."""

import itertools

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner import errors
from sklearn.datasets import load_digits

from keras_strategies.tuning import HyperMLP
from tests.tuning.searching import space

SMALL = {"units": (24, 48), "dropout": (0.0, 0.2), "batch_size": (16, 64)}


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    return (x[:192], y[:192]), (x[512:608], y[512:608])


def dense_layers(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def dropout_layers(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def tuner(tmp_path, hypermodel, kind=keras_tuner.RandomSearch, **kwargs):
    settings = {"objective": "val_accuracy", "max_trials": 3, "seed": 3, **kwargs}
    return kind(hypermodel, directory=tmp_path, project_name="search", **settings)


# The space


def test_default_space_is_complete_before_the_first_trial():
    hp = space(HyperMLP((784,), classes=10))
    by_name = {item.name: item for item in hp.space}
    assert len(by_name) == len(hp.space), "names must be unique across scopes"
    assert set(by_name) == {
        "layers",
        *("units1", "units2", "units3"),
        *("dropout1", "dropout2", "dropout3"),
        *("batch_size", "optimizer"),
    }
    bounds = {
        name: (item.min_value, item.max_value)
        for name, item in by_name.items()
        if name != "optimizer"
    }
    assert bounds.pop("layers") == (2, 3)
    assert bounds.pop("batch_size") == (28, 128)
    for name, found in bounds.items():
        expected = (64, 1024) if name.startswith("units") else (0.25, 0.75)
        assert found == expected, name
    assert by_name["optimizer"].values == ["rmsprop", "adam", "sgd"]


def test_build_and_fit_add_nothing_to_the_declared_space(digits):
    (x, y), _ = digits
    hypermodel = HyperMLP((8, 8, 1), classes=10, **SMALL)
    hp = space(hypermodel)
    names = [item.name for item in hp.space]
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x[:64], y[:64], verbose=0)
    assert [item.name for item in hp.space] == names


@pytest.mark.parametrize("depth", [2, 3])
def test_third_layer_is_conditional(depth):
    hp = space(HyperMLP((784,), classes=10), layers=depth)
    assert ("units3" in hp.values) == (depth == 3)
    assert ("dropout3" in hp.values) == (depth == 3)
    (third,) = (item for item in hp.space if item.name == "units3")
    (condition,) = third.conditions
    assert (condition.name, condition.values) == ("layers", [3])
    (second,) = (item for item in hp.space if item.name == "units2")
    assert second.conditions == []


@settings(max_examples=15, deadline=None)
@given(
    layers=st.tuples(st.integers(1, 4), st.integers(0, 3)),
    units=st.tuples(st.integers(1, 9), st.integers(0, 5)),
    data=st.data(),
)
def test_any_point_of_any_space_builds_what_it_says(layers, units, data):
    fewest, most = layers[0], layers[0] + layers[1]
    depth = data.draw(st.integers(fewest, most))
    low, high = units[0], units[0] + units[1]
    widths = data.draw(st.lists(st.integers(low, high), min_size=depth, max_size=depth))
    hypermodel = HyperMLP(
        (3,),
        task="regression",
        layers=(fewest, most),
        units=(low, high),
        dropout=0.5,
        batch_size=8,
        optimizer="sgd",
    )
    named = {f"units{k}": width for k, width in enumerate(widths, 1)}
    hp = space(hypermodel, layers=depth, **named)
    model = hypermodel.build(hp)
    assert [layer.units for layer in dense_layers(model)] == [*widths, 1]
    assert [layer.rate for layer in dropout_layers(model)] == [0.5] * depth
    active = {item.name for item in hp.space if hp.is_active(item)}
    expected = {f"units{k}" for k in range(1, depth + 1)} if low < high else set()
    expected |= {"layers"} if fewest < most else set()
    assert active == expected


def test_one_value_is_fixed_and_not_searched():
    hypermodel = HyperMLP(
        (5,),
        classes=3,
        layers=1,
        units=(7, 7),
        dropout=0.1,
        batch_size=16,
        optimizer="nadam",
        learning_rate=0.02,
        activation=("tanh",),
    )
    hp = space(hypermodel)
    assert hp.space == []
    model = hypermodel.build(hp)
    hidden, head = dense_layers(model)
    assert (hidden.units, hidden.activation) == (7, keras.activations.tanh)
    assert head.units == 3
    assert isinstance(model.optimizer, keras.optimizers.Nadam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


def test_learning_rate_is_searched_on_a_log_scale():
    hp = space(HyperMLP((5,), classes=3, learning_rate=(1e-4, 1e-1)))
    (rate,) = (item for item in hp.space if item.name == "learning_rate")
    assert rate.sampling == "log"
    assert rate.prob_to_value(0.5) == pytest.approx(10**-2.5)


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("rmsprop", keras.optimizers.RMSprop),
        ("adam", keras.optimizers.Adam),
        ("sgd", keras.optimizers.SGD),
        ("lamb", keras.optimizers.Lamb),
    ],
)
def test_optimizers_keep_their_own_learning_rate(name, cls):
    model_of = HyperMLP((5,), classes=3, optimizer=("rmsprop", "adam", "sgd", "lamb"))
    model = model_of.build(space(model_of, optimizer=name))
    # On Torch an optimizer's class is a subclass with the same name.
    assert isinstance(model.optimizer, cls)
    assert type(model.optimizer).__name__ == cls.__name__
    assert float(model.optimizer.learning_rate) == pytest.approx(
        float(cls().learning_rate)
    )


def test_not_tunable_adds_nothing_to_the_space():
    hypermodel = HyperMLP((5,), classes=3, tunable=False)
    hp = space(hypermodel)
    model = hypermodel.build(hp)
    x, y = np.zeros((4, 5), "float32"), np.zeros(4, "int32")
    hypermodel.fit(hp, model, x, y, verbose=0)
    assert hp.space == []
    assert [layer.units for layer in dense_layers(model)] == [64, 64, 3]


def test_two_of_them_in_one_space_with_name_scopes():
    hp = keras_tuner.HyperParameters()
    left, right = (HyperMLP((5,), classes=3, **SMALL) for _ in range(2))
    with hp.name_scope("left"):
        left.build(hp)
    with hp.name_scope("right"):
        right.build(hp)
    names = [item.name for item in hp.space]
    assert len(names) == len(set(names)) == 18
    assert {"left/units3", "right/units3"} <= set(names)


# The models


@pytest.mark.parametrize(
    ("arguments", "outputs", "activation", "loss"),
    [
        ({"classes": 4}, 4, "softmax", "sparse_categorical_crossentropy"),
        ({"task": "binary"}, 1, "sigmoid", "binary_crossentropy"),
        ({"task": "binary", "classes": 2}, 1, "sigmoid", "binary_crossentropy"),
        ({"task": "regression"}, 1, "linear", "mean_squared_error"),
        ({"task": "regression", "classes": 2}, 2, "linear", "mean_squared_error"),
        (
            {"classes": 4, "loss": "categorical_crossentropy"},
            *(4, "softmax", "categorical_crossentropy"),
        ),
    ],
)
def test_task_sets_head_loss_and_metric(arguments, outputs, activation, loss):
    hypermodel = HyperMLP((6,), units=4, layers=1, **arguments)
    model = hypermodel.build(space(hypermodel))
    head = dense_layers(model)[-1]
    assert head.units == outputs
    assert keras.activations.serialize(head.activation) == activation
    assert model.loss == loss
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    y = {
        "sparse_categorical_crossentropy": np.arange(8) % 4,
        "categorical_crossentropy": np.eye(4, dtype="float32")[np.arange(8) % 4],
        "binary_crossentropy": np.arange(8) % 2,
    }.get(loss, np.ones((8, outputs), "float32"))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    metric = "mean_absolute_error" if "regression" in arguments.values() else "accuracy"
    assert set(logs) == {"loss", metric}
    prediction = model.predict(x, verbose=0)
    if metric == "accuracy" and outputs > 1:
        assert logs["accuracy"] == pytest.approx(
            np.mean(prediction.argmax(-1) == np.arange(8) % 4)
        )


def test_head_stays_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    hypermodel = HyperMLP((6,), classes=3, units=4)
    hidden, *_, head = dense_layers(hypermodel.build(space(hypermodel)))
    assert (hidden.compute_dtype, head.compute_dtype) == ("bfloat16", "float32")


def test_saved_model_loads_with_keras_alone(tmp_path):
    hypermodel = HyperMLP((4, 2), classes=3, units=4)
    model = hypermodel.build(space(hypermodel, layers=3))
    x = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")
    model.fit(x, np.arange(5) % 3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )


# Searching


class _Steps(keras.callbacks.Callback):
    """Writes how many steps each fit took; survives the copy that tuners make."""

    seen = []

    def on_train_end(self, logs=None):
        self.seen.append(int(self.model.optimizer.iterations))


@pytest.mark.tensorflow
def test_random_search_finds_and_reloads_the_best_model(digits, tmp_path):
    train, validation = digits
    hypermodel = HyperMLP(
        input_shape=(8, 8, 1),
        classes=10,
        optimizer=("rmsprop", "adam"),
        learning_rate=0.01,
        **SMALL,
    )
    search = tuner(tmp_path, hypermodel, max_trials=3)
    _Steps.seen.clear()
    search.search(
        *train, validation_data=validation, epochs=2, verbose=0, callbacks=[_Steps()]
    )
    trials = list(search.oracle.trials.values())
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3
    assert {trial.hyperparameters.values["layers"] for trial in trials} == {2, 3}
    sizes = [trial.hyperparameters.values["batch_size"] for trial in trials]
    assert _Steps.seen == [2 * -(-192 // size) for size in sizes]
    assert len(set(sizes)) > 1
    for trial in trials:
        values = trial.hyperparameters.values
        assert ("units3" in values) == (values["layers"] == 3)

    best = search.oracle.get_best_trials(1)[0]
    assert best.score == max(trial.score for trial in trials) > 0.25
    model = search.get_best_models()[0]
    assert int(model.optimizer.iterations) > 0, "the optimizer lost its state"
    logs = model.evaluate(*validation, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(best.score, abs=1e-6)

    # A second process would find the same project on disk and go on.
    again = tuner(tmp_path, hypermodel, max_trials=3)
    assert len(again.oracle.trials) == 3
    np.testing.assert_array_equal(
        again.get_best_models()[0].predict(validation[0], verbose=0),
        model.predict(validation[0], verbose=0),
    )
    assert again.remaining_trials == 0


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 12}),
        (keras_tuner.BayesianOptimization, {"max_trials": 5, "num_initial_points": 4}),
        (keras_tuner.GridSearch, {"max_trials": 12}),
        (keras_tuner.Hyperband, {"max_epochs": 6, "hyperband_iterations": 1}),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_oracles_of_stock_tuners_walk_the_space(kind, arguments, tmp_path):
    hypermodel = HyperMLP((5,), classes=3, layers=(1, 4), units=(4, 64))
    oracle = kind(
        hypermodel,
        "val_accuracy",
        directory=tmp_path,
        project_name="oracle",
        **({} if kind is keras_tuner.GridSearch else {"seed": 0}),
        **arguments,
    ).oracle
    depths = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        values = trial.hyperparameters.values
        depths.append(values["layers"])
        widths = [name for name in values if name.startswith("units")]
        assert sorted(widths) == [f"units{k}" for k in range(1, depths[-1] + 1)]
        oracle.update_trial(
            trial.trial_id, {"val_accuracy": 1 / (1 + values["units1"])}
        )
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert len(depths) >= arguments.get("max_trials", 10)
    # A grid goes through the innermost values first.
    assert len(set(depths)) >= (1 if kind is keras_tuner.GridSearch else 2)


@pytest.mark.slow
def test_regression_search_lowers_the_loss(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3)).astype("float32")
    y = (x @ np.array([1.0, -2.0, 0.5], "float32"))[:, None]
    hypermodel = HyperMLP(
        (3,),
        task="regression",
        layers=1,
        units=(8, 32),
        dropout=0.0,
        batch_size=(16, 32),
        learning_rate=(1e-3, 1e-1),
        optimizer="adam",
    )
    search = tuner(tmp_path, hypermodel, objective="val_loss", max_trials=2)
    search.search(x, y, validation_split=0.25, epochs=4, verbose=0)
    assert search.oracle.get_best_trials(1)[0].score < 0.5 * float(np.var(y))


def test_batched_data_with_batch_size_none(digits, tmp_path):
    (x, y), validation = digits

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[32 * index : 32 * index + 32], y[32 * index : 32 * index + 32]

    fixed = {"units": (4, 8), "layers": 1, "optimizer": "adam"}
    free = HyperMLP((8, 8, 1), classes=10, batch_size=None, **fixed)
    search = tuner(tmp_path, free, max_trials=1)
    search.search(Batches(), validation_data=validation, verbose=0)
    assert "batch_size" not in search.get_best_hyperparameters()[0].values

    searched = HyperMLP((8, 8, 1), classes=10, **fixed)
    search = tuner(tmp_path / "other", searched, max_trials=1)
    with pytest.raises(errors.FatalValueError, match="already batched.*x='Batches'"):
        search.search(Batches(), validation_data=validation, verbose=0)


def test_batch_size_given_twice_ends_the_search(digits, tmp_path):
    (x, y), validation = digits
    hypermodel = HyperMLP((8, 8, 1), classes=10, **SMALL)
    search = tuner(tmp_path, hypermodel)
    with pytest.raises(errors.FatalValueError, match=r"batch_size=32.*batch_size=None"):
        search.search(x, y, validation_data=validation, batch_size=32, verbose=0)


# Bad arguments


BAD = [
    ({"input_shape": ()}, ValueError, "`input_shape` must be"),
    ({"input_shape": (None, 3)}, ValueError, r"input_shape=\(None, 3\)"),
    ({"input_shape": 784}, ValueError, r"input_shape=784.*\(784,\)"),
    ({"classes": None}, TypeError, "`classes` must be an integer at least 2"),
    ({"classes": 1}, ValueError, "classes=1.*binary"),
    ({"classes": 3, "task": "binary"}, ValueError, "classes=3"),
    ({"classes": 0, "task": "regression"}, ValueError, "classes=0"),
    ({"task": "clustering"}, ValueError, "`task` must be one of"),
    ({"layers": 0}, ValueError, "`layers`.*layers=0"),
    ({"layers": (3, 2)}, ValueError, r"low <= high. Received: layers=\(3, 2\)"),
    ({"layers": (1, 2, 3)}, ValueError, r"layers=\(1, 2, 3\)"),
    ({"units": (4, 8.5)}, TypeError, "units=8.5"),
    ({"dropout": 1.0}, ValueError, r"`dropout` must be in \[0, 1\)"),
    ({"dropout": (-0.1, 0.5)}, ValueError, "dropout=-0.1"),
    ({"batch_size": "32"}, TypeError, "batch_size='32'"),
    ({"batch_size": (0, 8)}, ValueError, "batch_size=0"),
    ({"optimizer": "adamm"}, ValueError, "'adam', .*optimizer='adamm'"),
    ({"optimizer": ()}, ValueError, r"optimizer=\(\)"),
    ({"optimizer": ("sgd", "sgd")}, ValueError, "different"),
    ({"activation": "rellu"}, ValueError, "activation='rellu'"),
    ({"learning_rate": 0.0}, ValueError, "learning_rate=0.0"),
    ({"tunable": 1}, TypeError, "`tunable` must be True or False"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "match"), BAD, ids=[str(bad[0]) for bad in BAD]
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        HyperMLP(**{"input_shape": (8,), "classes": 3, **arguments})


def test_depth_two_and_three_give_different_models():
    hypermodel = HyperMLP((5,), classes=3, units=4)
    counts = {
        depth: hypermodel.build(space(hypermodel, layers=depth)).count_params()
        for depth in (2, 3)
    }
    assert counts == {
        depth: sum(a * b + b for a, b in itertools.pairwise([5, *([4] * depth), 3]))
        for depth in (2, 3)
    }
