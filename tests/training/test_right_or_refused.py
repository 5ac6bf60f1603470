"""What plain `fit` takes a plan takes or refuses; what it refuses a plan refuses."""

import json

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._model_state import raw_state
from tests.training.models import (
    BACKEND,
    BATCH,
    EVEN,
    candidates,
    data,
    plan_for,
    small,
)

EPOCH = [candidates()[1 if BACKEND == "tensorflow" else 0]] if candidates() else []
XLA = ["xla-epoch"] if candidates() else []
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def tokens():
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(5, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.compile("sgd", SPARSE)
    return model


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("what", ["tokens", "labels"])
def test_indices_out_of_range_raise_in_xla_too(what):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, size=(EVEN, 3)), rng.integers(0, 3, size=EVEN)
    model = tokens()
    plan_for(model, {"x": x, "y": y}, "xla-epoch")
    model.fit(x, y, BATCH, verbose=0)
    before = int(model.optimizer.iterations)
    bad_x, bad_y = x.copy(), y.copy()
    if what == "tokens":
        bad_x[11, 1] = 5
    else:
        bad_y[11] = 7
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Some {what}"):
        model.fit(bad_x, bad_y, BATCH, verbose=0, shuffle=False)
    assert int(model.optimizer.iterations) == before + 2  # the second batch was bad
    model.fit(x, y, BATCH, verbose=0)


@pytest.mark.parametrize("candidate", EPOCH)
def test_a_fit_of_ones_own(candidate):
    class Tempered(keras.Model):
        temperature = 1.0

        def fit(self, x, y, temperature=1.0, **arguments):
            self.temperature = temperature
            return super().fit(x, y, **arguments)

        def evaluate(self, *arguments, bonus=0.0, **named):
            return super().evaluate(*arguments, **named)

    x, y = data(EVEN)

    def trained(planned):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6,))
        model = Tempered(inputs, keras.layers.Dense(3)(inputs))
        model.compile("sgd", SPARSE)
        if planned:
            plan_for(model, {"x": x, "y": y}, candidate)
        given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        model.fit(x, y, temperature=2.0, validation_data=(x, y), **given)
        loss = model.evaluate(x, y, bonus=1.0, verbose=0)
        return model, loss

    (plain, expected), (model, found) = trained(False), trained(True)
    assert model.temperature == 2.0 and found == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], 1e-5)
    method = keras.Model.fit
    assert model._execution_plan.is_installed
    model._execution_plan.remove()
    assert keras.Model.fit is not method  # nothing remains in Keras's class
    other = small()
    other.fit(x, y, BATCH, verbose=0)


def test_narrow_fits_and_arguments_of_one_call():
    class Narrow(keras.Model):
        def fit(self, x, y, epochs=1, verbose=0):
            return super().fit(x, y, epochs=epochs, verbose=verbose)

    inputs = keras.Input((6,))
    model = Narrow(inputs, keras.layers.Dense(3)(inputs))
    model.compile("sgd", SPARSE)
    x, y = data(EVEN)
    assert len(training.fit(model, x, y, epochs=2).epoch) == 2
    training.accelerate(model, x, y, time_limit=0.01)
    model.fit(x, y)


def test_missing_targets_that_the_loss_masks():
    def masked(y_true, y_pred):
        known = ~keras.ops.isnan(y_true)
        error = keras.ops.where(known, y_true, 0.0) - y_pred
        return keras.ops.mean(keras.ops.where(known, error**2, 0.0))

    x, _ = data(EVEN)
    y = np.random.default_rng(2).normal(size=(EVEN, 2)).astype("float32")
    y[::3, 1] = np.nan

    def model(loss):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
        model.compile("sgd", loss)
        return model

    plan = training.accelerate(model(masked), x, y, batch_size=BATCH, time_limit=0.01)
    assert plan.is_installed
    with pytest.raises(ValueError, match="data must be finite, or their loss"):
        training.accelerate(model("mse"), x, y, batch_size=BATCH)


@pytest.mark.parametrize("candidate", EPOCH)
def test_a_metric_that_is_listed_twice(candidate):
    class Twice(keras.Model):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.extra = keras.metrics.Mean(name="extra")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **k):
            self.extra.update_state(keras.ops.mean(y_pred))
            return super().compute_loss(x, y, y_pred, sample_weight, **k)

        @property
        def metrics(self):
            return [*super().metrics, self.extra]

    x, y = data(EVEN)

    def history(planned):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6,))
        model = Twice(inputs, keras.layers.Dense(3)(inputs))
        model.compile("sgd", SPARSE, metrics=["accuracy"])
        if planned:
            plan_for(model, {"x": x, "y": y}, candidate)
        given = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        return model.fit(x, y, epochs=2, **given).history

    expected, found = history(False), history(True)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, 1e-4, 1e-6)


@pytest.mark.tensorflow
def test_state_that_keras_does_not_know_is_as_before():
    import tensorflow as tf

    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.generator = tf.random.Generator.from_seed(1)
            self.counts = {"calls": [tf.Variable(0, trainable=False)]}

        def call(self, inputs, training=False):
            if training:
                self.counts["calls"][0].assign_add(1)
                inputs += self.generator.normal(tf.shape(inputs))
            return inputs

    layer = Counting()
    model = keras.Sequential([keras.Input((6,)), layer, keras.layers.Dense(3)])
    model.compile("sgd", SPARSE)
    assert len(raw_state(model)) == 2
    state = layer.generator.state.numpy()
    x, y = data(EVEN)
    training.accelerate(model, x, y, batch_size=BATCH, time_limit=0.01)
    assert int(layer.counts["calls"][0]) == 0
    np.testing.assert_array_equal(layer.generator.state.numpy(), state)
    model.fit(x, y, BATCH, verbose=0)
    assert int(layer.counts["calls"][0]) == EVEN // BATCH


@pytest.mark.parametrize("candidate", EPOCH)
def test_a_plan_is_for_one_model_its_versions_and_its_machine(candidate, tmp_path):
    x, y = data(EVEN)
    plan, path = plan_for(small(), {"x": x, "y": y}, candidate), tmp_path / "plan.json"
    plan.save(path)

    def installed(model):
        return training.ExecutionPlan.load(path).install(model)

    def changed(loss=SPARSE, activation=None, optimizer="sgd", **arguments):
        head = keras.layers.Dense(3, activation=activation)
        layers = [keras.layers.Dropout(0.3, seed=1), head]
        model = keras.Sequential([keras.Input((6,)), *layers])
        momentum = keras.optimizers.SGD(momentum=0.9)
        optimizer = momentum if optimizer == "sgd" else optimizer
        model.compile(optimizer, loss, **arguments)
        return model

    assert installed(changed()).is_installed
    slower = changed()
    slower.optimizer.learning_rate = 1e-5  # schedulers change it
    assert installed(slower).is_installed
    for other in (
        changed(loss="mse"),
        changed(activation="tanh"),
        changed(optimizer="adam"),
        changed(metrics=["accuracy"]),
    ):
        with pytest.raises(ValueError, match="another model"):
            installed(other)
    with pytest.raises(ValueError, match="run_eagerly=False"):
        installed(changed(run_eagerly=True))
    with pytest.raises(ValueError, match="must be compiled"):
        installed(keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]))
    content = json.loads(path.read_text())
    content["details"]["environment"]["keras"] = "9.9"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"other versions.*9\.9"):
        installed(changed())


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has one candidate")
def test_a_train_function_of_ones_own_is_called_for_each_step():
    class Own(keras.Sequential):
        calls = 0

        def make_train_function(self, force=False):
            super().make_train_function(force)
            inner = self.train_function

            def counted(*arguments):
                Own.calls += 1
                return inner(*arguments)

            self.train_function = counted
            return counted

    model = Own([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", SPARSE)
    x, y = data(EVEN)
    plan = training.accelerate(model, x, y, batch_size=BATCH, time_limit=0.01)
    assert "only single steps" in plan.explain()
    Own.calls = 0
    model.fit(x, y, BATCH, verbose=0)
    assert Own.calls == EVEN // BATCH


@pytest.mark.parametrize("candidate", EPOCH)
def test_another_number_of_rows_needs_no_new_program(candidate):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(120, 6)).astype("float32")
    y = x[:, :3] * 2.0
    traces = []

    class Counted(keras.Sequential):
        def compute_loss(self, *arguments, **named):
            traces.append(1)
            return super().compute_loss(*arguments, **named)

    def trained(planned):
        keras.utils.set_random_seed(2)
        model = Counted([keras.Input((6,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        if planned:
            plan_for(model, {"x": x[:74], "y": y[:74]}, candidate)
        counts = []
        for rows in (66, 75, 83, 91, 99, 107, 118):
            model.fit(x[:rows], y[:rows], BATCH, verbose=0, shuffle=False)
            model.evaluate(x[:rows], y[:rows], BATCH, verbose=0)
            counts.append(len(traces))
        return model.get_weights()[0], counts

    expected, _ = trained(False)
    found, counts = trained(True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if BACKEND == "tensorflow":  # JAX compiles each size of a partial batch
        assert len(set(counts[2:])) == 1


@pytest.mark.tensorflow
def test_a_partial_batch_draws_the_numbers_of_xla():
    """Those of XLA are others than those of a graph; no attribute tells who draws."""

    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = [{"a": keras.random.SeedGenerator(5)}]

        def call(self, inputs, training=None):
            seed = self.seeds[0]["a"]
            noise = keras.random.normal(keras.ops.shape(inputs), seed=seed)
            return inputs + noise if training else inputs

    x, y = data(BATCH + 3)

    def trained(planned):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6,))
        model = keras.Model(inputs, keras.layers.Dense(3)(Noise()(inputs)))
        model.compile("sgd", SPARSE, jit_compile=True)
        if planned:
            plan_for(model, {"x": x, "y": y}, "xla-epoch")
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_allclose(trained(True), trained(False), atol=1e-6)
