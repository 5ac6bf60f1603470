"""Pruning while a model trains: every step, every way of training."""

import keras
import numpy as np
import pytest

from keras_strategies.compression import (
    ConstantSparsity,
    PolynomialSparsity,
    prune,
    sparsity_report,
    strip,
)
from tests.compression.common import (
    Witness,
    backend,
    data,
    expected_sparsity,
    fit,
    kernels,
    mlp,
)
from tests.versions import need_multi_optimizer

XLA = backend() != "torch"
DEFAULT = backend() == "jax"  # a JAX step that is not compiled takes very long


def schedule():
    """Prunes in the steps 2, 7 and 12, the last time to 80 %."""
    return PolynomialSparsity(0.2, 0.8, 2, 12, frequency=5)


def expected_at(step, size):
    if step < 2:
        return 0.0
    target = float(schedule()(min(2 + (step - 2) // 5 * 5, 12)))
    return expected_sparsity(size, target)


@pytest.mark.parametrize(("pruned_first", "jit"), [(True, DEFAULT), (False, XLA)])
def test_sparse_after_every_step_and_fixed_in_between(pruned_first, jit):
    model = mlp()
    if not pruned_first:
        model.compile("adam", loss="mse", jit_compile=jit)
    assert prune(model, schedule()) is model
    if pruned_first:
        model.compile("adam", loss="mse", jit_compile=jit)
    witness = Witness()
    fit(model, 18, callbacks=[witness])
    for step, shares in enumerate(witness.sparsity):
        expected = [expected_at(step, size) for size in (12 * 24, 24 * 4)]
        np.testing.assert_allclose(shares, expected, atol=1e-6, err_msg=str(step))
    for step in range(1, 18):
        same = all(
            np.array_equal(before, now)
            for before, now in zip(
                witness.zeros[step - 1], witness.zeros[step], strict=True
            )
        )
        assert same == (step not in (2, 7, 12))


def _weights_after(steps, **compile_arguments):
    keras.utils.set_random_seed(5)
    model = mlp(keras.optimizers.Adam(1e-2), **compile_arguments)
    prune(model, schedule())
    fit(model, steps)
    return model.get_weights()


@pytest.mark.skipif(backend() == "torch", reason="neither exists on Torch")
def test_same_weights_with_xla_and_several_steps_an_execution():
    reference = _weights_after(16)
    for jit, steps in ((False, 4), (True, 1)):
        got = _weights_after(16, jit_compile=jit, steps_per_execution=steps)
        for a, b in zip(reference, got, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
            np.testing.assert_array_equal(a == 0, b == 0)


def test_masks_are_those_of_plain_training_on_the_first_pruning_step():
    """The mask is the rule's, applied to what the optimizer made of the weights."""
    keras.utils.set_random_seed(5)
    plain = mlp(keras.optimizers.SGD(0.1))
    fit(plain, 3)
    keras.utils.set_random_seed(5)
    pruned = mlp(keras.optimizers.SGD(0.1))
    prune(pruned, ConstantSparsity(0.7, begin_step=2))
    fit(pruned, 3)
    for before, after in zip(kernels(plain), kernels(pruned), strict=True):
        keep = round(before.size * 0.3)
        threshold = np.sort(np.abs(before), axis=None)[-keep]
        expected = np.where(np.abs(before) >= threshold, before, 0)
        np.testing.assert_allclose(after, expected, atol=1e-6)


def test_zero_sparsity_changes_nothing():
    keras.utils.set_random_seed(5)
    plain = mlp("adam")
    fit(plain, 6)
    keras.utils.set_random_seed(5)
    pruned = mlp("adam")
    prune(pruned, ConstantSparsity(0.0, begin_step=0, frequency=1))
    fit(pruned, 6)
    for a, b in zip(plain.get_weights(), pruned.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_extreme_sparsity_keeps_one_weight():
    model = mlp("sgd")
    prune(model, ConstantSparsity(0.999, begin_step=0))
    fit(model, 2)
    assert [np.count_nonzero(kernel) for kernel in kernels(model)] == [1, 1]


def test_inference_is_unchanged_before_training():
    model = mlp("sgd")
    x, _ = data()
    before = model.predict(x, verbose=0)
    prune(model, ConstantSparsity(0.9, begin_step=0))
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


def test_weights_listing_is_unchanged():
    model = mlp("adam")
    before = [(w.path, tuple(w.shape)) for w in model.weights]
    variables = len(model.variables)
    prune(model, schedule())
    fit(model, 4)
    assert [(w.path, tuple(w.shape)) for w in model.weights] == before
    assert len(model.variables) == variables
    assert model.count_params() == sum(np.prod(shape) for _, shape in before)


def test_end_of_the_schedule_keeps_the_sparsity_and_the_masks():
    model = mlp("adam")
    prune(model, schedule())
    witness = Witness()
    fit(model, 40, callbacks=[witness])
    assert np.ptp(np.array(witness.sparsity[12:]), axis=0).max() == 0
    for first, last in zip(witness.zeros[12], witness.zeros[-1], strict=True):
        np.testing.assert_array_equal(first, last)


def test_gradient_accumulation_counts_updates():
    optimizer = keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2)
    model = mlp(optimizer, jit_compile=DEFAULT)
    prune(model, schedule())
    witness = Witness()
    fit(model, 30, callbacks=[witness])
    # Update number t ends with batch 2 t + 1: the updates 2, 7 and 12 prune.
    for batch, shares in enumerate(witness.sparsity):
        expected = [expected_at((batch - 1) // 2, size) for size in (288, 96)]
        np.testing.assert_allclose(shares, expected, atol=1e-6, err_msg=str(batch))


def test_loss_scaling_skips_the_step_that_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp("adam")
    model.compile("adam", loss="mse")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    prune(model, ConstantSparsity(0.75, begin_step=1, frequency=3))
    witness = Witness()
    x, y = data(64)
    x[:8] = np.inf  # no finite gradient in the first batch: it does not count
    model.fit(
        x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[witness], epochs=1
    )
    assert witness.sparsity[:2] == [[0.0, 0.0]] * 2
    assert witness.sparsity[2:] == [[0.75, 0.75]] * 6
    assert int(model.optimizer.iterations) == 7


def test_moving_average_is_as_sparse_as_the_weights():
    model = mlp(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9))
    prune(model, ConstantSparsity(0.5, begin_step=2, frequency=2))
    fit(model, 8)  # ends by writing the average into the model
    assert sparsity_report(model).sparsity == pytest.approx(0.5, abs=0.05)
    assert sparsity_report(model).sparsity >= 0.5


def test_one_optimizer_a_layer():
    need_multi_optimizer()
    by_layer = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.01), {".*dense_1/.*": keras.optimizers.Adam(0.01)}
    )
    model = mlp(keras.optimizers.MultiOptimizer(by_layer))
    prune(model, schedule())
    fit(model, 14)
    assert sparsity_report(model).sparsity == pytest.approx(0.8, abs=0.005)


def test_own_training_loop_without_compile():
    model = mlp()
    prune(model, ConstantSparsity(0.5, begin_step=1, frequency=2))
    optimizer = keras.optimizers.Adam(1e-2)
    gradients = [np.full(w.shape, 0.1, "float32") for w in model.trainable_variables]
    gradients = [keras.ops.convert_to_tensor(g) for g in gradients]
    shares = []
    for _ in range(4):
        optimizer.apply(gradients, model.trainable_variables)
        shares.append(sparsity_report(model).sparsity)
    assert shares == [0.0, 0.5, 0.5, 0.5]


@pytest.mark.skipif(backend() != "jax", reason="a stateless loop is JAX's")
def test_stateless_training_loop_needs_the_compiled_optimizer():
    import jax

    def step(trainable, state):
        gradients = [keras.ops.ones_like(value) for value in trainable]
        return optimizer.stateless_apply(state, gradients, trainable)

    model = mlp()
    prune(model, ConstantSparsity(0.5, begin_step=0))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    trainable = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    with pytest.raises(RuntimeError, match="cannot count its steps"):
        step(trainable, state)

    model.compile(optimizer, loss="mse")
    for _ in range(3):
        trainable, state = jax.jit(step)(trainable, state)
    for value in (trainable[0], trainable[2]):
        assert float((np.asarray(value) == 0).mean()) == 0.5
    assert int(state[0]) == 3


@pytest.mark.tensorflow
def test_own_loop_in_a_tf_function():
    import tensorflow as tf

    model = mlp()
    prune(model, ConstantSparsity(0.5, begin_step=1, frequency=2))
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)
    x, y = (tf.constant(array) for array in data(8))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    shares = []
    for _ in range(4):
        step()
        shares.append(sparsity_report(model).sparsity)
    assert shares == [0.0, 0.5, 0.5, 0.5]


def test_existing_constraint_keeps_working():
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(24, kernel_constraint=keras.constraints.NonNeg()),
            keras.layers.Dense(4, kernel_constraint=keras.constraints.UnitNorm(0)),
        ]
    )
    model.compile("adam", loss="mse")
    originals = [layer.kernel.constraint for layer in model.layers]
    prune(model, ConstantSparsity(0.5, begin_step=0, frequency=2))
    fit(model, 6)
    first, second = kernels(model)
    assert first.min() == 0 and (first == 0).mean() >= 0.5
    assert (second == 0).mean() == 0.5
    np.testing.assert_allclose(np.linalg.norm(second, axis=0), 1, rtol=1e-5)
    strip(model)
    assert [layer.kernel.constraint for layer in model.layers] == originals


def test_zero_initializer_is_not_taken_for_sparsity():
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(4, kernel_initializer="zeros")]
    )
    model.compile("adam", loss="mse")
    prune(model, ConstantSparsity(0.5, begin_step=4))
    fit(model, 3)
    assert sparsity_report(model).sparsity == 0
    fit(model, 3)
    assert sparsity_report(model).sparsity == 0.5


def test_zero_kernel_that_gets_no_gradient_at_first_is_not_frozen():
    """The first of two zero kernels in a row moves one step after the second."""
    zeros = {"kernel_initializer": "zeros", "use_bias": False}
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(4, **zeros), keras.layers.Dense(4)]
    )
    model.layers[1].kernel.assign(keras.ops.zeros((4, 4)))
    model.compile("sgd", loss="mse")
    prune(model, ConstantSparsity(0.5, begin_step=0, frequency=100))
    fit(model, 2)
    assert all(np.count_nonzero(kernel) == 0 for kernel in kernels(model))
    model.layers[1].kernel.assign(np.eye(4) + 0.1)
    fit(model, 2)
    assert np.count_nonzero(kernels(model)[0]) > 0


# Keras's own saving on TensorFlow meets a deprecation of NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_loaded_weights_bring_their_masks(tmp_path):
    """What a checkpoint callback does: weights and steps of an earlier run."""
    first = mlp("adam")
    prune(first, schedule())
    fit(first, 20)
    first.save_weights(tmp_path / "at_20.weights.h5")
    masks = [kernel == 0 for kernel in kernels(first)]
    second = mlp("adam")
    prune(second, schedule())
    fit(second, 1)
    second.load_weights(tmp_path / "at_20.weights.h5")
    fit(second, 8)
    for before, after in zip(masks, kernels(second), strict=True):
        np.testing.assert_array_equal(before, after == 0)


def test_prune_and_strip_between_two_fits_of_a_traced_model():
    model = mlp("adam")
    fit(model, 3)
    prune(model, ConstantSparsity(0.5, begin_step=0, frequency=2))
    fit(model, 3)
    assert sparsity_report(model).sparsity == 0.5
    values = model.get_weights()
    assert strip(model) is model
    for before, after in zip(values, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(layer.kernel.constraint is None for layer in model.layers)
    fit(model, 3)
    assert sparsity_report(model).sparsity < 0.1
    prune(model, ConstantSparsity(0.5, begin_step=0, frequency=1))
    fit(model, 1)
    assert sparsity_report(model).sparsity == 0.5


def test_stripped_model_trains_like_one_that_was_never_pruned():
    pruned = mlp("sgd")
    prune(pruned, ConstantSparsity(0.5, begin_step=0))
    fit(pruned, 2)
    strip(pruned)
    plain = mlp("sgd")
    plain.set_weights(pruned.get_weights())
    fit(pruned, 3)
    fit(plain, 3)
    for a, b in zip(pruned.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
