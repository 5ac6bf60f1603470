"""Blocks, m of n, one threshold for all layers, and what does not fit."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_strategies.compression import (
    ConstantSparsity,
    PolynomialSparsity,
    prune,
    sparsity_report,
)
from keras_strategies.compression.pruning import _masks
from tests.compression.common import Witness, backend, fit, kernels, mlp, values

HALF = ConstantSparsity(0.5, begin_step=0)
DEFAULT = backend() == "jax"


def pooled(magnitudes, block, pooling):
    """Block by block, in NumPy; blocks at the edges are cut."""
    rows, columns = (
        range(0, side, step) for side, step in zip(magnitudes.shape, block, strict=True)
    )
    choose = np.mean if pooling == "avg" else np.max
    return np.array(
        [
            [choose(magnitudes[r : r + block[0], c : c + block[1]]) for c in columns]
            for r in rows
        ]
    )


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("block", [(1, 4), (4, 1), (2, 3), (5, 4)])
def test_blocks_are_pooled_and_expanded(block, pooling):
    weights = np.random.default_rng(0).uniform(size=(9, 10)).astype("float32")
    got = _masks.pool_blocks(keras.ops.convert_to_tensor(weights), block, pooling)
    expected = pooled(weights, block, pooling)
    np.testing.assert_allclose(values(got), expected, rtol=1e-6)
    mask = expected > 0.5
    got = _masks.expand_blocks(keras.ops.convert_to_tensor(mask), block, (9, 10))
    expected = np.kron(mask, np.ones(block))[:9, :10].astype(bool)
    np.testing.assert_array_equal(values(got), expected)


@pytest.mark.parametrize("m_by_n", [(2, 4), (1, 4), (3, 4), (1, 2), (5, 8)])
@pytest.mark.parametrize("axis", [0, 1])
def test_m_zeros_in_every_n_are_the_smallest(m_by_n, axis):
    weights = np.random.default_rng(0).normal(size=(16, 24)).astype("float32")
    tensor = keras.ops.convert_to_tensor(weights)
    mask = values(_masks.m_by_n_mask(tensor, *m_by_n, axis))
    groups = np.abs(np.moveaxis(weights, axis, -1)).reshape(-1, m_by_n[1])
    rank = np.argsort(np.argsort(-groups, axis=1), axis=1)
    expected = rank < m_by_n[1] - m_by_n[0]
    got = np.moveaxis(mask, axis, -1).reshape(-1, m_by_n[1])
    np.testing.assert_array_equal(got, expected)


def test_m_of_n_keeps_the_earlier_of_equals_and_fills_up_the_end():
    weights = keras.ops.convert_to_tensor(np.ones((1, 6), "float32"))
    mask = values(_masks.m_by_n_mask(weights, 2, 4, 1))
    assert mask.tolist() == [[True, True, False, False, True, True]]


@pytest.mark.parametrize("jit", [DEFAULT, backend() != "torch"])
def test_block_sparse_after_every_step(jit):
    model = mlp("adam", jit_compile=jit)
    schedule = PolynomialSparsity(0.25, 0.75, 1, 7, frequency=3)
    prune(model, schedule, block_size=(4, 2))
    witness = Witness()
    fit(model, 10, callbacks=[witness])
    assert witness.sparsity[0] == [0, 0]
    assert witness.sparsity[-1] == [0.75, 0.75]
    for zeros in witness.zeros[1:]:
        for kernel in zeros:
            blocks = kernel.reshape(kernel.shape[0] // 4, 4, -1, 2).sum(axis=(1, 3))
            assert set(np.unique(blocks)) <= {0, 8}


@pytest.mark.parametrize("jit", [DEFAULT, backend() != "torch"])
def test_two_of_four_after_every_step_and_chosen_once(jit):
    model = mlp("adam", jit_compile=jit)
    schedule = ConstantSparsity(0.9, begin_step=2, frequency=2)
    prune(model, schedule, m_by_n=(2, 4))
    witness = Witness()
    fit(model, 8, callbacks=[witness])
    assert witness.sparsity[:2] == [[0, 0]] * 2
    assert witness.sparsity[2:] == [[0.5, 0.5]] * 6
    for zeros in witness.zeros[2:]:
        for kernel, first in zip(zeros, witness.zeros[2], strict=True):
            assert (kernel.reshape(-1, 4, kernel.shape[1]).sum(axis=1) == 2).all()
            np.testing.assert_array_equal(kernel, first)


def test_two_of_four_along_the_inputs_of_convolutions():
    inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.Conv2DTranspose(3, 2)(x)
    model = keras.Model(inputs, x)
    model.compile("sgd", "mse")
    prune(model, HALF, m_by_n=(2, 4))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 6, 6, 8)), rng.normal(size=(8, 5, 5, 3))
    model.fit(x, y, verbose=0)
    plain, transposed = kernels(model)
    assert ((plain != 0).reshape(3, 3, 2, 4, 4).sum(axis=3) == 2).all()
    assert ((transposed != 0).reshape(2, 2, 3, 1, 4).sum(axis=4) == 2).all()


def _uneven():
    """The weights of the second layer are ten times as large."""
    model = mlp("sgd")
    for layer, scale in zip(model.layers, (0.1, 1.0), strict=True):
        shape = layer.kernel.shape
        layer.kernel.assign(scale * np.random.default_rng(1).normal(size=shape))
    return model


@pytest.mark.parametrize("jit", [DEFAULT, backend() != "torch"])
def test_one_threshold_for_all_layers(jit):
    model = _uneven()
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, "mse", jit_compile=jit)
    before = np.concatenate([kernel.ravel() for kernel in kernels(model)])
    prune(model, HALF, scope="global")
    fit(model, 2)
    after = np.concatenate([kernel.ravel() for kernel in kernels(model)])
    threshold = np.sort(np.abs(before))[-before.size // 2]
    np.testing.assert_array_equal(after != 0, np.abs(before) >= threshold)
    first, second = (row["sparsity"] for row in sparsity_report(model).rows)
    assert first > 0.6 and second < 0.2


def test_global_scope_holds_its_target_at_every_step_and_keeps_each_largest():
    model = _uneven()
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    schedule = PolynomialSparsity(0.5, 0.96, 2, 8, frequency=3)
    prune(model, schedule, scope="global")
    totals = []

    class Totals(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            totals.append(sparsity_report(self.model).sparsity)

    fit(model, 12, callbacks=[Totals()])
    assert totals[:2] == [0, 0]
    for step, total in enumerate(totals[2:], 2):
        target = float(schedule(min(2 + (step - 2) // 3 * 3, 8)))
        assert total == pytest.approx(target, abs=0.006), step
    assert [np.count_nonzero(kernel) > 0 for kernel in kernels(model)] == [True, True]


def test_global_scope_goes_on_where_it_was():
    first = _uneven()
    prune(first, HALF, scope="global")
    fit(first, 2)
    zeros = [kernel == 0 for kernel in kernels(first)]
    second = mlp("sgd")
    second.set_weights(first.get_weights())
    schedule = PolynomialSparsity(0.0, 0.8, 2, 6, frequency=2)
    prune(second, schedule, scope="global")
    fit(second, 2)
    for before, after in zip(zeros, kernels(second), strict=True):
        np.testing.assert_array_equal(before, after == 0)
    fit(second, 8)
    assert sparsity_report(second).sparsity == pytest.approx(0.8, abs=0.01)


def test_global_scope_over_two_optimizers_and_float16():
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp("adam")
    prune(model, HALF, scope="global")
    fit(model, 3)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert sparsity_report(model).sparsity == pytest.approx(0.5, abs=0.01)


def test_layers_that_are_frozen_do_not_count_for_the_threshold():
    model = _uneven()
    model.layers[1].trainable = False
    model.compile("sgd", "mse")
    prune(model, HALF, scope="global")
    fit(model, 2)
    # Its own half is pruned; with the threshold of all it would be another share.
    assert [row["sparsity"] for row in sparsity_report(model).rows] == [0.5, 0.5]


def _conv():
    return keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(4)]
    )


def _attention():
    inputs = keras.Input((4, 8))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 4)(inputs, inputs))


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (_conv, {"block_size": (2, 2)}, ValueError, r"misfits=.*conv2d/kernel \(3, 3"),
        (mlp, {"block_size": (4, 8)}, ValueError, r"misfits=.*dense_1/kernel \(24, 4"),
        (mlp, {"block_size": 4}, TypeError, "`block_size` must be two integers"),
        (mlp, {"block_size": (4, 0)}, ValueError, "`block_size` must be an integer at"),
        (mlp, {"block_pooling": "MAX"}, ValueError, "`block_pooling` must be one of"),
        (mlp, {"scope": "model"}, ValueError, "`scope` must be one of"),
        (mlp, {"m_by_n": (4, 4)}, ValueError, "with m < n"),
        (mlp, {"m_by_n": (2, 4, 1)}, TypeError, "`m_by_n` must be two integers"),
        (_conv, {"m_by_n": (2, 4)}, ValueError, r"misfits=.*conv2d/kernel \(3, 3, 3"),
        (_attention, {"m_by_n": (2, 4)}, ValueError, "misfits=.*query/kernel"),
        (
            mlp,
            {"m_by_n": (2, 4), "scope": "global"},
            ValueError,
            "must not be combined",
        ),
        (
            mlp,
            {"m_by_n": (2, 4), "block_size": (1, 4)},
            ValueError,
            "must not be combined",
        ),
        (mlp, {"policy": "tensorrt"}, ValueError, "`policy` must be one of"),
    ],
)
def test_refused_and_left_unchanged(make, arguments, error, message):
    model = make()
    with pytest.raises(error, match=message):
        prune(model, HALF, **arguments)
    assert all(weight.constraint is None for weight in model.trainable_variables)


def test_misfits_are_left_out_with_only():
    model = _conv()
    model.compile("sgd", "mse")
    prune(model, HALF, block_size=(2, 2), include="dense")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 6, 6, 3)), rng.normal(size=(8, 4)), verbose=0)
    assert [row["sparsity"] for row in sparsity_report(model).rows] == [0.0, 0.5]


def test_custom_layers_may_use_the_name_of_tfmot():
    class Gate(layers.Dense):
        def get_prunable_weights(self):
            return [self.bias]

    model = keras.Sequential([keras.Input((4,)), Gate(3)])
    (row,) = sparsity_report(model).rows
    assert row["weight"].endswith("bias")


def test_report_estimates_bytes():
    model = mlp()
    array = values(model.layers[0].kernel).copy()
    array[:6] = 0
    model.layers[0].kernel.assign(array)
    report = sparsity_report(model, sizes=True)
    first, second = report.rows
    # 144 values and columns below 256, and 25 offsets of a byte for 24 outputs.
    assert first["sparse_bytes"] == 144 * 5 + 25
    assert second["sparse_bytes"] == second["dense_bytes"] == 4 * 96
    assert report.dense_bytes == 4 * 384
    assert report.sparse_bytes == 144 * 5 + 25 + 4 * 96
    assert first["gzip_bytes"] < 0.7 * first["dense_bytes"]
    assert "sparse~" in str(report) and f"{report.gzip_bytes:,}" in str(report)
    assert sparsity_report(model).sparse_bytes is None
    assert "sparse~" not in str(sparsity_report(model))


@pytest.mark.tensorflow
def test_estimated_bytes_are_those_of_the_converter():
    import tensorflow as tf

    model = keras.Sequential(
        [keras.Input((8, 8, 32)), layers.Conv2D(48, 3), layers.Flatten()]
    )
    kernel = model.layers[0].kernel
    array = np.random.default_rng(0).normal(size=kernel.shape)
    kernel.assign(np.where(np.abs(array) < 1, 0, array))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    size = len(converter.convert())
    estimate = sparsity_report(model, sizes=True).sparse_bytes
    assert estimate < size < estimate + 3000
    assert size < 0.5 * 4 * array.size
