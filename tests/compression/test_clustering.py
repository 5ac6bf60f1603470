"""Clustering while a model trains: every step, every way of training."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_strategies.compression import (
    ConstantSparsity,
    cluster,
    cluster_report,
    prune,
    sparsity_report,
    strip,
)
from tests.compression.common import backend, data, fit, kernels, mlp, values

XLA = backend() != "torch"
DEFAULT = backend() == "jax"  # a JAX step that is not compiled takes very long


def counts(model):
    return [row["values"] for row in cluster_report(model).rows]


class Counts(keras.callbacks.Callback):
    """How many values each kernel has after every execution."""

    def __init__(self):
        super().__init__()
        self.seen, self.kernels = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(counts(self.model))
        self.kernels.append(kernels(self.model))


@pytest.mark.parametrize("jit", [DEFAULT, XLA])
def test_clustered_after_every_step_while_weights_learn(jit):
    model = mlp(keras.optimizers.Adam(1e-2), jit_compile=jit)
    before = [kernel.copy() for kernel in kernels(model)]
    assert cluster(model, 6) is model
    assert counts(model) == [6, 6]
    start = kernels(model)
    for full, shared in zip(before, start, strict=True):
        assert np.abs(full - shared).max() < 0.25
    witness = Counts()
    history = fit(model, 40, callbacks=[witness])
    assert all(max(seen) <= 6 for seen in witness.seen)
    assert np.isfinite(history.history["loss"]).all()
    # Weights have changed sides: those that began with one value have several now.
    first, last = start[0].ravel(), kernels(model)[0].ravel()
    assert len({(a, b) for a, b in zip(first, last, strict=True)}) > 6


def test_one_step_is_the_update_of_the_weights_behind():
    """w - rate * g of the shared weights, the nearest centroid, the mean."""
    x, y = data(8)
    model = mlp(keras.optimizers.SGD(0.5))
    behind = [kernel.copy() for kernel in kernels(model)]
    cluster(model, 4)
    shared = kernels(model)
    reference = mlp(keras.optimizers.SGD(0.5))
    reference.set_weights(model.get_weights())
    reference.fit(x, y, batch_size=8, verbose=0)
    model.fit(x, y, batch_size=8, verbose=0)
    for old, start, plain, got in zip(
        behind, shared, kernels(reference), kernels(model), strict=True
    ):
        moved = old + (plain - start)
        centroids = np.unique(start)
        index = np.abs(moved[..., None] - centroids).argmin(axis=-1)
        for k in range(len(centroids)):
            if (index == k).any():
                expected = moved[index == k].mean()
                np.testing.assert_allclose(got[index == k], expected, atol=1e-5)


@pytest.mark.skipif(not XLA, reason="neither exists on Torch")
def test_same_weights_with_xla_and_several_steps_an_execution():
    def weights(**arguments):
        keras.utils.set_random_seed(5)
        model = mlp(keras.optimizers.Adam(1e-2), **arguments)
        cluster(model, 5)
        fit(model, 12)
        return model.get_weights()

    expected = weights()
    for jit, steps in ((False, 4), (True, 1)):
        got = weights(jit_compile=jit, steps_per_execution=steps)
        for a, b in zip(expected, got, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


def test_zeros_stay_and_others_do_not_become_zero():
    model = mlp(keras.optimizers.Adam(1e-2))
    prune(model, ConstantSparsity(0.6, begin_step=0))
    fit(model, 3)
    strip(model)
    zeros = [kernel == 0 for kernel in kernels(model)]
    cluster(model, 5, preserve_sparsity=True)
    witness = Counts()
    fit(model, 20, callbacks=[witness])
    for step in witness.kernels:
        for zero, kernel in zip(zeros, step, strict=True):
            np.testing.assert_array_equal(kernel == 0, zero)
            assert np.unique(kernel).size <= 5
    strip(model)
    assert max(counts(model)) == 5
    assert sparsity_report(model).sparsity == pytest.approx(0.6, abs=0.01)


def test_each_channel_of_a_convolution_has_its_own_values():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.Conv2DTranspose(3, 3)(x)
    x = layers.SeparableConv2D(5, 3)(x)
    x = layers.Dense(6)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.compile("adam", "mse")
    cluster(model, 3, per_channel=True, include=lambda layer: "sep" not in layer.name)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8, 8, 3)), rng.normal(size=(32, 6))
    model.fit(x, y, batch_size=8, verbose=0)
    plain, transposed, _, dense = cluster_report(model).rows
    assert (plain["channel_values"], plain["values"]) == (3, 12)
    assert (transposed["channel_values"], transposed["values"]) == (3, 9)
    assert (dense["channel_values"], dense["values"]) == (3, 3)
    kernel = values(model.layers[2].kernel)
    assert [np.unique(kernel[:, :, c]).size for c in range(3)] == [3] * 3


def test_every_kind_of_layer_nested_two_deep():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 8)(tokens)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    inner_input = keras.Input((6, 8))
    y = layers.SeparableConv1D(8, 3, padding="same")(inner_input)
    y = layers.Conv1D(6, 3)(y)
    inner = keras.Model(inner_input, y, name="inner")
    middle = keras.Sequential([keras.Input((6, 8)), inner], name="middle")
    x = layers.Bidirectional(layers.LSTM(4))(middle(x))
    model = keras.Model(tokens, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    cluster(model, 4)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 10, (16, 6)), rng.normal(size=(16, 2)).astype("float32")
    model.fit(x, y, batch_size=8, verbose=0)
    rows = cluster_report(model).rows
    assert len(rows) == 1 + 4 + 1 + 1 + 4 + 1
    assert all(row["clustered"] and row["values"] <= 4 for row in rows)


def test_small_weights_are_left_alone():
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 1), layers.Conv2D(8, 3)]
    )
    tiny = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 1)])
    cluster(model, 8)
    small, large = cluster_report(model).rows
    assert (small["values"], small["clustered"]) == (6, False)
    assert (large["values"], large["clustered"]) == (8, True)
    with pytest.raises(ValueError, match=r"too_small=.*kernel \(1, 1, 2, 3\)"):
        cluster(tiny, 8)


def test_half_precision_with_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp("adam")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    cluster(model, 5)
    fit(model, 6)
    assert max(counts(model)) <= 5
    strip(model)
    assert max(counts(model)) <= 5


def test_gradient_accumulation():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model = mlp(optimizer, jit_compile=DEFAULT)
    cluster(model, 5, init="kmeans++")
    witness = Counts()
    fit(model, 8, callbacks=[witness])
    assert all(max(seen) <= 5 for seen in witness.seen)
    assert not np.array_equal(witness.kernels[0][0], witness.kernels[-1][0])


def test_averages_of_weights_are_clustered_by_strip():
    model = mlp(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5))
    cluster(model, 5)
    fit(model, 10)  # ends by writing the averages into the model
    assert max(counts(model)) > 5
    strip(model)
    assert max(counts(model)) <= 5


def test_existing_constraint_acts_on_the_weights_behind():
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(24, kernel_constraint=keras.constraints.NonNeg()),
            layers.Dense(4),
        ]
    )
    model.compile("adam", "mse")
    original = model.layers[0].kernel.constraint
    cluster(model, 5)
    fit(model, 6)
    assert kernels(model)[0].min() >= 0 and counts(model)[0] <= 5
    strip(model)
    assert model.layers[0].kernel.constraint is original


def test_strip_leaves_values_and_optimizer_as_they_are():
    model = mlp("adam")
    fit(model, 2)
    variables = [v.path for v in model.optimizer.variables]
    weights = [(w.path, tuple(w.shape)) for w in model.weights]
    cluster(model, 5)
    assert [(w.path, tuple(w.shape)) for w in model.weights] == weights
    fit(model, 4)
    before = model.get_weights()
    assert strip(model) is model
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [v.path for v in model.optimizer.variables] == variables
    assert all(type(w) is keras.Variable for w in model.weights)
    fit(model, 4)
    assert min(counts(model)) > 5


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_and_continued(tmp_path):
    first = mlp("adam")
    cluster(first, 5)
    fit(first, 6)
    first.save(tmp_path / "clustered.keras")
    fit(first, 1)  # saving leaves the optimizer as it was
    second = keras.models.load_model(tmp_path / "clustered.keras")
    assert max(counts(second)) <= 5
    assert int(second.optimizer.iterations) == 6
    loaded = kernels(second)
    cluster(second, 5)
    for a, b in zip(loaded, kernels(second), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    witness = Counts()
    fit(second, 6, callbacks=[witness])
    assert all(max(seen) <= 5 for seen in witness.seen)
    second.load_weights(tmp_path / "clustered.keras")
    fit(second, 2)
    assert max(counts(second)) <= 5


def test_custom_layer_names_its_weights_as_for_tfmot():
    class Gate(layers.Dense):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel)]

    class Plain(layers.Dense):
        clusterable_weights = ()

    model = keras.Sequential([keras.Input((4,)), Gate(8), Plain(8)])
    (row,) = cluster_report(model).rows
    assert row["layer"].startswith("gate")


def test_training_without_compile():
    model = mlp()
    before = kernels(model)
    cluster(model, 5)
    optimizer = keras.optimizers.SGD(0.1)
    gradients = [np.full(w.shape, 0.1, "float32") for w in model.trainable_variables]
    gradients = [keras.ops.convert_to_tensor(g) for g in gradients]
    for _ in range(3):
        optimizer.apply(gradients, model.trainable_variables)
    for old, new in zip(before, kernels(model), strict=True):
        assert new.mean() == pytest.approx(old.mean() - 0.03, abs=1e-5)
    assert max(counts(model)) <= 5


def test_compiled_after_and_again():
    """TFMOT's order: cluster, then compile; a second optimizer goes on."""
    model = mlp()
    cluster(model, 5)
    for optimizer in (keras.optimizers.Adam(1e-2), keras.optimizers.SGD(1e-2)):
        model.compile(optimizer, "mse")
        before = kernels(model)
        fit(model, 3)
        assert max(counts(model)) <= 5
        assert all((a != b).any() for a, b in zip(before, kernels(model), strict=True))
    strip(model)
    model.compile("sgd", "mse")
    fit(model, 1)
    assert max(counts(model)) > 5


@pytest.mark.skipif(backend() != "jax", reason="steps are pure functions on JAX")
def test_training_a_part_of_another_model_is_refused_where_state_would_be_lost():
    model = mlp()
    cluster(model, 5)
    outer = keras.Sequential([keras.Input((12,)), model])
    outer.compile("adam", "mse")
    with pytest.raises(RuntimeError, match="On JAX train the model itself"):
        fit(outer, 1)


def _unbuilt():
    return keras.Sequential([layers.Dense(4, name="late")])


def _depthwise():
    return keras.Sequential([keras.Input((6, 6, 2)), layers.DepthwiseConv2D(3)])


def _infinite():
    model = mlp()
    model.layers[1].kernel.assign(np.full((24, 4), np.nan))
    return model


def _pruned():
    return prune(mlp(), ConstantSparsity(0.5, begin_step=0))


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (mlp, {"n": 1}, ValueError, "`n` must be an integer at least 2"),
        (mlp, {"n": 2, "preserve_sparsity": True}, ValueError, "zero is one of them"),
        (mlp, {"n": 4.0}, TypeError, "`n` must be an integer"),
        (mlp, {"init": "LINEAR"}, ValueError, "`init` must be one of 'kmeans"),
        (mlp, {"per_channel": 1}, TypeError, "`per_channel` must be True or False"),
        (mlp, {"include": "conv"}, ValueError, "can be clustered.*dense/kernel"),
        (_unbuilt, {}, ValueError, "must be built.*unbuilt_layers=.'late'"),
        (_depthwise, {}, ValueError, r"can be clustered.*\(DepthwiseConv2D\)"),
        (_infinite, {}, ValueError, "must be finite.*not_finite=.*dense_1/kernel"),
        (_pruned, {}, ValueError, "already_pruned=.*dense/kernel.*preserve_sparsity"),
        (lambda: "model", {}, TypeError, "`model` must be a Model"),
    ],
)
def test_refused_and_left_unchanged(make, arguments, error, message):
    model = make()
    before = model.get_weights() if isinstance(model, keras.Model) else []
    with pytest.raises(error, match=message):
        cluster(model, **{"n": 4, **arguments})
    if isinstance(model, keras.Model):
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_clustering_or_pruning_what_is_clustered_is_refused():
    model = mlp("sgd")
    cluster(model, 4, include="dense_1")
    with pytest.raises(ValueError, match="already_clustered=.*dense_1/kernel"):
        cluster(model, 4)
    with pytest.raises(ValueError, match="already_clustered=.*dense_1/kernel"):
        prune(model, ConstantSparsity(0.5, begin_step=0))
    cluster(model, 3, include="dense/")
    assert counts(model) == [3, 4]


def test_report_counts_and_prints():
    model = mlp()
    cluster(model, 4)
    report = cluster_report(model)
    first, second = report.rows
    array = kernels(model)[0]
    share = np.unique(array, return_counts=True)[1] / array.size
    bits = -array.size * np.sum(share * np.log2(share))
    assert first["huffman_bytes"] == int(np.ceil(bits / 8)) + 16
    assert report.parameters == 384 and report.dense_bytes == 1536
    assert report.huffman_bytes == first["huffman_bytes"] + second["huffman_bytes"]
    assert report.huffman_bytes < report.gzip_bytes < report.dense_bytes
    assert "huffman~" in str(report) and "1,536" in str(report)
