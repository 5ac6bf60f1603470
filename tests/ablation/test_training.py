"""One training: pairs share what they should, scores are the baseline's."""

import logging

import keras
import numpy as np
import pytest

from keras_strategies import ablation
from keras_strategies.ablation._runs import applying, scoring
from keras_strategies.ablation._runs.batches import Batches
from keras_strategies.ablation._runs.samples import Samples
from keras_strategies.ablation._runs.training import Job, prepare, train
from tests.ablation import networks

Strategy = ablation.Strategy


def test_batches_have_an_order_of_their_own():
    samples = Samples(np.arange(10.0)[:, np.newaxis], np.arange(10))

    def epoch(dataset):
        return [dataset[i][1].tolist() for i in range(len(dataset))]

    first, second = Batches(samples, 4, seed=3), Batches(samples, 4, seed=3)
    np.random.default_rng(0)
    keras.utils.set_random_seed(9)
    begin = epoch(first)
    assert begin == epoch(second)
    assert sorted(sum(begin, [])) == list(range(10))
    first.on_epoch_end()
    assert epoch(first) != begin
    assert epoch(Batches(samples, 4, seed=4)) != begin


def test_the_same_training_twice_is_the_same():
    setup = networks.setup()
    first, second = (train(setup, Job((), 1)) for _ in range(2))
    assert first["value"] == second["value"]
    assert first["history"] == second["history"]
    np.testing.assert_array_equal(first["parts"], second["parts"])


def test_pairs_share_seed_weights_and_order():
    """A strategy that draws numbers and changes nothing gives the same training."""

    def draws(model):
        keras.random.normal((100,))
        np.random.normal(size=100)

    setup = networks.setup(changes={"draws": Strategy("draws", model=draws)})
    plain, drawn = train(setup, Job((), 2)), train(setup, Job(("draws",), 2))
    assert plain["initial"] == drawn["initial"]
    assert plain["history"] == drawn["history"]
    assert plain["value"] == drawn["value"]
    assert train(setup, Job((), 3))["initial"] != plain["initial"]


def test_initial_weights_are_set_before_the_strategy_acts():
    def halved(model):
        for weight in model.weights:
            weight.assign(weight / 2)

    def inserted(model):
        return keras.Sequential([*model.layers, keras.layers.Activation("linear")])

    changes = {
        "halved": Strategy("halved", model=halved),
        "inserted": Strategy("inserted", model=inserted),
    }
    setup = networks.setup(changes=changes)
    part = setup.splits.of(0)
    weights = {}
    for arm in ((), ("halved",), ("inserted",)):
        with applying.clean_keras(setup.keras_settings):
            weights[arm] = prepare(setup, Job(arm, 0), part).model.get_weights()
    for plain, half, same in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(half, plain / 2)
        np.testing.assert_array_equal(same, plain)


def test_an_uncompiled_model_is_compiled_as_the_baseline():
    def bare(model):
        return keras.models.clone_model(model)

    setup = networks.setup(changes={"bare": Strategy("bare", model=bare)})
    with applying.clean_keras(setup.keras_settings):
        model = prepare(setup, Job(("bare",), 0), setup.splits.of(0)).model
        assert model.compiled
        assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_optimizers_reach_through_loss_scaling():
    def build():
        model = networks.build()
        model.compile(
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
            networks.LOSS,
            metrics=["accuracy"],
        )
        return model

    seen = []

    def spy(optimizer):
        seen.append(type(optimizer).__name__)
        return keras.optimizers.Adam(0.01)

    setup = networks.setup(build, {"spy": Strategy("spy", optimizer=spy)})
    assert "error" not in train(setup, Job(("spy",), 0))
    assert seen == ["SGD"]


def test_strategies_of_data_and_fit():
    seen = {}

    class Count(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen["steps"] = self.params["steps"]

        def on_epoch_end(self, epoch, logs=None):
            seen["epochs"] = epoch + 1

    def offered(epochs, steps_per_epoch):
        seen["offered"] = (epochs, steps_per_epoch)
        return [Count()]

    changes = {
        "twice": Strategy(
            "twice", data=lambda x, y: (np.concatenate([x, x]), np.concatenate([y, y]))
        ),
        "long": Strategy("long", fit={"epochs": 3, "batch_size": 8}),
        "count": Strategy("count", callbacks=offered),
    }
    setup = networks.setup(changes=changes)
    size = len(setup.splits.of(0).training)
    train(setup, Job(("count",), 0))
    assert seen == {
        "steps": -(-size // 16),
        "epochs": 2,
        "offered": (2, -(-size // 16)),
    }
    train(setup, Job(("twice", "long", "count"), 0))
    assert seen["steps"] == -(-2 * size // 8)
    assert seen["epochs"] == 3


def test_layers_change_training_data_only():
    layer = keras.layers.Rescaling(100.0)
    setup = networks.setup(changes={"scaled": Strategy("scaled", data=layer)}, epochs=1)
    with applying.clean_keras(setup.keras_settings):
        prepared = prepare(setup, Job(("scaled",), 0), setup.splits.of(0))
        batch = prepared.data[0]
        assert np.std(np.asarray(batch[0])) > 10
        assert np.std(prepared.validation.x) < 5


def test_mixed_labels_make_validation_labels_one_hot():
    def soft(model):
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])

    change = Strategy(
        "soft", model=soft, data=lambda x, y: (x, keras.utils.to_categorical(y, 2))
    )
    setup = networks.setup(changes={"soft": change})
    record = train(setup, Job(("soft",), 0))
    assert "error" not in record, record
    assert "val_accuracy" in record["history"]


def test_failures_are_records():
    changes = {
        "failing": Strategy("failing", optimizer=networks.failing),
        "diverging": Strategy("diverging", callbacks=networks.diverging),
    }
    setup = networks.setup(changes=changes)
    assert train(setup, Job(("failing",), 0))["error"] == (
        "RuntimeError: no such optimizer"
    )
    assert "the loss was nan" in train(setup, Job(("diverging",), 0))["error"]


def test_random_state_and_settings_of_the_user_stay():
    keras.config.set_dtype_policy("mixed_bfloat16")
    setup = networks.setup()
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    record = train(setup, Job((), 0))
    assert "error" not in record
    assert not logging.getLogger("tensorflow").filters
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def judged(metrics, loss=networks.LOSS, penalty=None):
    layer = keras.layers.Dense(3, activation="softmax", kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", loss, metrics=metrics)
    return model


def outputs(count=40):
    rng = np.random.default_rng(0)
    raw = rng.uniform(0.1, 1, size=(count, 3))
    return rng.integers(3, size=count), (raw / raw.sum(axis=1, keepdims=True))


def test_accuracy_is_a_mean_over_samples():
    y, p = outputs()
    found = scoring.score("accuracy", judged(["accuracy"]), y, p.astype("float32"), 0)
    correct = p.argmax(axis=1) == y
    np.testing.assert_array_equal(found.parts, correct)
    assert found.value == correct.mean()
    assert found.by_sample and found.is_share


def test_loss_is_that_of_the_baseline_without_penalties():
    y, p = outputs()
    model = judged(["accuracy"], penalty=keras.regularizers.L2(10.0))
    found = scoring.score("loss", model, y, p.astype("float32"), 0)
    expected = -np.log(p[np.arange(len(y)), y])
    assert found.value == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(found.parts, expected, rtol=1e-4)
    assert found.by_sample and not found.is_share


def test_other_metrics_have_bootstrap_replicates():
    y, p = outputs()
    auc = keras.metrics.AUC(name="auc", multi_label=True)
    model = judged([auc], loss="categorical_crossentropy")
    one_hot = keras.utils.to_categorical(y, 3)
    found = scoring.score("auc", model, one_hot, p.astype("float32"), 0)
    assert not found.by_sample
    assert found.parts.mean() == pytest.approx(found.value, abs=0.05)
    again = scoring.score("auc", model, one_hot, p.astype("float32"), 0)
    np.testing.assert_array_equal(found.parts, again.parts)


def test_weights_count_as_in_evaluate():
    """In the loss and in `weighted_metrics`, not in `metrics`."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype("float32"), rng.integers(3, size=40)
    weight = rng.uniform(0, 2, size=40).astype("float32")
    model = judged(["accuracy"])
    weighted = [networks.LOSS]
    model.compile("sgd", networks.LOSS, metrics=["accuracy"], weighted_metrics=weighted)
    outputs_ = model.predict(x, verbose=0)
    expected = model.evaluate(
        x, y, sample_weight=weight, batch_size=40, verbose=0, return_dict=True
    )
    for name in ("loss", "accuracy", networks.LOSS):
        found = scoring.score(name, model, y, outputs_, 0, weight)
        assert found.value == pytest.approx(expected[name], rel=1e-5), name
        assert found.by_sample == (name != networks.LOSS)
    plain = scoring.score("loss", model, y, outputs_, 0)
    assert plain.value != pytest.approx(expected["loss"], rel=1e-3)


def test_a_score_that_is_not_finite_is_a_failure():
    def odd(y_true, y_pred):
        return keras.ops.log(keras.ops.sum(y_pred, axis=-1) * 0)

    y, p = outputs()
    with pytest.raises(FloatingPointError, match="odd is -inf on the test part"):
        scoring.score("odd", judged([odd]), y, p.astype("float32"), 0)


def test_a_metric_that_the_baseline_does_not_have():
    y, p = outputs()
    with pytest.raises(ValueError, match=r"metrics=\['loss', 'accuracy'\]"):
        scoring.check_metric("val_recall", judged(["accuracy"]), y, p)
    assert scoring.check_metric("val_accuracy", judged(["accuracy"]), y, p) == (
        "accuracy"
    )
