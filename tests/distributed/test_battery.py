"""The contract on two devices: as on one, or an error that says what to do instead."""

import contextlib

import keras
import numpy as np
import pytest

from keras_strategies import compression, optimizers, regularizers, training
from keras_strategies.training import distributed
from tests.cases import CALLBACKS
from tests.contract import pool

pytestmark = pytest.mark.devices

# Their weights depend on the clock or on what they are given in between.
_EPOCHS = 2


def _fit(model, setting, used):
    x, y = pool.data(setting)
    rows = 45  # the last batch of 5 is shared unevenly
    return model.fit(
        x[:rows],
        y[:rows],
        batch_size=8,
        epochs=_EPOCHS,
        shuffle=False,
        callbacks=used,
        validation_data=(x[:8], y[:8]),
        verbose=0,
    ).history


def _run(build, used, setting=""):
    """Weights and history of a model of `build`, with callbacks of `used`."""
    keras.utils.set_random_seed(7)
    model, callbacks = build(), used()
    history = _fit(model, setting, callbacks)
    return pool.copies(model.weights), history, callbacks


def _assert_same_on_two(build, used=list, setting="", tolerance=1e-4):
    one = _run(build, used, setting)
    keras.utils.clear_session(free_memory=False)  # the same names in each run
    with distributed.scope():
        two = _run(build, used, setting)
    for expected, got in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    assert one[1].keys() == two[1].keys()
    for name in one[1]:
        if not name.startswith(_MEASURED):
            np.testing.assert_allclose(
                two[1][name], one[1][name], rtol=1e-3, atol=1e-4, err_msg=name
            )
    return one[2], two[2]


# Logs that are about the machine.
_MEASURED = (
    "host_memory",
    "device_memory",
    "memory",
    "seconds",
    "samples",
    "steps",
    "time",
    "examples",
    "throughput",
)
# On TensorFlow: what says at once that it cannot work, and how to do without.
_REFUSED = {"callbacks.AccumulationScheduler": "gradient_accumulation_steps"}


@pytest.mark.parametrize("case", CALLBACKS, ids=lambda case: case.id)
def test_callback(case):
    if keras.backend.backend() == "tensorflow" and case.id in _REFUSED:
        with (
            distributed.scope(),
            pytest.raises((ValueError, TypeError), match=_REFUSED[case.id]),
        ):
            _run(lambda: pool.compiled(case.setting), lambda: [case.build()])
        return
    _assert_same_on_two(
        lambda: pool.compiled(case.setting), lambda: [case.build()], case.setting
    )


OPTIMIZERS = {
    "AdaptiveClip": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.AdaptiveClip(0.05)]
    ),
    "Centralize": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.Centralize()]
    ),
    "PercentileClip": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.PercentileClip(50, window=8)]
    ),
    "SkipLargeUpdates": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.SkipLargeUpdates()]
    ),
    "LayerwiseDecay": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.LayerwiseDecay(0.7), optimizers.Freeze("dense_1/bias")]
    ),
    "ZeroNonFinite": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.ZeroNonFinite()]
    ),
    "AddNoise": lambda sgd: optimizers.GradientTransform(
        sgd, [optimizers.AddNoise(seed=1)]
    ),
    "Lookahead": lambda sgd: optimizers.Lookahead(sgd, sync_period=2),
    "RAdam": lambda sgd: optimizers.RAdam(0.01),
    "AdaBelief": lambda sgd: optimizers.AdaBelief(0.01),
    "ema": lambda sgd: optimizers.Lookahead(
        keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5), sync_period=2
    ),
}


def _compiled(optimizer):
    model = pool.models.mlp()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name):
    _assert_same_on_two(lambda: _compiled(OPTIMIZERS[name](keras.optimizers.SGD(0.05))))


def test_accumulation():
    def build():
        sgd = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
        clip = optimizers.AdaptiveClip(0.05)
        return _compiled(optimizers.GradientTransform(sgd, [clip]))

    if keras.backend.backend() == "tensorflow":
        with distributed.scope(), pytest.raises(ValueError, match="larger batches"):
            _run(build, list)
    else:
        _assert_same_on_two(build)


def test_gradient_monitor_reads_the_gradient_of_the_batch():
    from keras_strategies.callbacks import GradientMonitor

    one, two = _assert_same_on_two(
        lambda: _compiled(keras.optimizers.SGD(0.05)), lambda: [GradientMonitor()]
    )
    for name, values in one[0].history["mean"].items():
        np.testing.assert_allclose(two[0].history["mean"][name], values, rtol=1e-4)


@pytest.mark.parametrize("kind", ["prune", "movement", "cluster", "quantize"])
def test_compression(kind):
    def build():
        model = _compiled(keras.optimizers.SGD(0.05))
        if kind == "prune":
            half = compression.ConstantSparsity(0.5, begin_step=0)
            model = compression.prune(model, half)
        elif kind == "movement":
            rising = compression.PolynomialSparsity(0.0, 0.5, 1, 6, frequency=1)
            model = compression.prune(model, rising, criterion="movement")
        elif kind == "cluster":
            model = compression.cluster(model, 4)
        else:
            model = compression.quantize_aware(model)
        model.compile(
            keras.optimizers.SGD(0.05),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    _assert_same_on_two(build)


def test_sharpness_aware():
    def build():
        model = optimizers.SharpnessAware(pool.models.mlp(), rho=0.05)
        model.compile(
            keras.optimizers.SGD(0.05),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    if keras.backend.backend() == "tensorflow":
        with distributed.scope(), pytest.raises(ValueError, match="JAX backend"):
            _run(build, list)
    else:
        _assert_same_on_two(build)


@pytest.mark.parametrize("name", ["R1", "JacobianPenalty"])
def test_gradients_by_the_inputs(name):
    if name == "JacobianPenalty" and keras.backend.backend() == "tensorflow":
        pytest.skip("replicas draw the same directions, each for its own samples")
    options = {"seed": 3} if name == "JacobianPenalty" else {}

    def build():
        layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)]
        inner = keras.Sequential([keras.Input((6,)), *layers])
        model = getattr(regularizers, name)(inner, factor=2.0, **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        return model

    _assert_same_on_two(build)


PENALTIES = {
    "KLSparsity": {"factor": 0.5, "target": 0.2},
    "Entropy": {"factor": 0.1, "power": 2},
    "Hoyer": {"factor": 0.1},
    "GroupLasso": {"factor": 0.1, "axis": -1},
    "ElasticGroupLasso": {"factor": 0.1, "axis": -1},
    "SpectralNorm": {"factor": 0.1, "power_iterations": 30},
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_of_the_activations_of_a_batch(name):
    def build():
        penalty = getattr(regularizers, name)(**PENALTIES[name])
        code = keras.layers.Dense(4, "sigmoid", activity_regularizer=penalty)
        # KLSparsity is not for weights: it takes numbers from 0 to 1.
        of_kernel = None if name == "KLSparsity" else penalty
        head = keras.layers.Dense(3, "softmax", kernel_regularizer=of_kernel)
        model = keras.Sequential([keras.Input((6,)), code, head])
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        return model

    _assert_same_on_two(build)


@pytest.mark.parametrize("penalty", ["L2", "Hoyer"])
def test_losses_of_layers_stay_with_their_replica(penalty):
    # Replicas take turns where they meet, as in BatchNormalization.
    of_keras = {"L2": keras.regularizers.L2(0.1), "Hoyer": regularizers.Hoyer(0.1)}

    def build():
        options = {"activity_regularizer": of_keras[penalty]}
        layers = [
            keras.layers.Dense(4, "sigmoid", **options),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(4, "sigmoid", **options),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, "softmax", **options),
        ]
        model = keras.Sequential([keras.Input((6,)), *layers])
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        return model

    _assert_same_on_two(build)


@pytest.mark.parametrize(
    ("kind", "teacher"),
    [("logits", "model"), ("relational", "model"), ("logits", "ema")],
)
def test_distillation(kind, teacher):
    def network(units):
        layers = [keras.layers.Dense(units, "tanh"), keras.layers.Dense(3)]
        return keras.Sequential([keras.Input((6,)), *layers])

    def build():
        taught_by = teacher if teacher == "ema" else network(8)
        model = training.DistillationTrainer(
            network(4), taught_by, kind, alpha=0.7, temperature=2.0
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        return model

    _assert_same_on_two(build)


def test_plans_are_refused_and_fit_is_plain_fit():
    x, y = pool.data()
    with distributed.scope():
        model = _compiled("adam")
        with pytest.raises(ValueError, match="one device"):
            training.accelerate(model, x, y, batch_size=8)
        with pytest.raises(ValueError, match="one device"):
            training.fit_many(lambda: _compiled("adam"), 2, (x, y), batch_size=8)
        keras.utils.set_random_seed(1)
        history = training.fit(model, x, y, batch_size=8, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_ghost_batches_of_all_replicas_count():
    from keras_strategies import layers

    def build():
        norm = layers.GhostBatchNormalization(virtual_batch_size=2, momentum=0.5)
        dense = [keras.layers.Dense(4), norm, keras.layers.Dense(3, "softmax")]
        model = keras.Sequential([keras.Input((6,)), *dense])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    x, y = pool.data()
    results = []
    for scope in (contextlib.nullcontext, distributed.scope):
        keras.utils.set_random_seed(7)
        with scope():
            model = build()
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        results.append(pool.copies(model.weights))
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
