"""Zeros and shared values stay when a model from a file is trained plainly."""

import keras
import numpy as np
import pytest

from keras_strategies import compression
from tests.compression.common import backend, fit, kernels, mlp, values

# Keras's own saving on TensorFlow meets a deprecation of NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def _file(tmp_path, change):
    """The file of a model that was changed and trained, loaded by Keras."""
    keras.utils.set_random_seed(0)
    model = change(mlp(keras.optimizers.Adam(0.01)))
    fit(model, 3)
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def _pruned(model):
    schedule = compression.ConstantSparsity(0.5, begin_step=0, frequency=1)
    return compression.prune(model, schedule)


def _shares(model):
    return [float(np.mean(kernel == 0)) for kernel in kernels(model)]


@pytest.fixture
def pruned(tmp_path):
    return _file(tmp_path, _pruned)


def test_zeros_of_a_loaded_model_stay_where_they_are(pruned):
    assert pruned.layers[0].kernel.constraint is None
    before = kernels(pruned)
    assert compression.preserve(pruned) is pruned
    fit(pruned, 5)
    for old, new in zip(before, kernels(pruned), strict=True):
        np.testing.assert_array_equal(old == 0, new == 0)
        assert (old != new)[old != 0].all()
    # It ends with `strip`, and plain training fills them.
    compression.strip(pruned)
    fit(pruned, 2)
    assert max(_shares(pruned)) < 0.1


def test_values_of_a_loaded_model_stay_together(tmp_path):
    model = _file(tmp_path, lambda m: compression.cluster(m, 4))
    before = kernels(model)
    compression.preserve(model, "clusters", include="dense")
    fit(model, 5)
    for old, new in zip(before, kernels(model), strict=True):
        assert len(np.unique(new)) == len(np.unique(old)) == 4
        for value in np.unique(old):
            assert len(np.unique(new[old == value])) == 1
        assert (old != new).any()


def test_both_in_one_weight(tmp_path):
    def change(model):
        model = compression.strip(_trained(_pruned(model)))
        return compression.cluster(model, 5, preserve_sparsity=True)

    model = _file(tmp_path, change)
    before = kernels(model)
    compression.preserve(model)
    fit(model, 4)
    for old, new in zip(before, kernels(model), strict=True):
        np.testing.assert_array_equal(old == 0, new == 0)
        assert len(np.unique(new)) <= 5


def _trained(model):
    fit(model, 2)
    return model


def test_preserving_gives_way_to_a_schedule(pruned):
    path = pruned.layers[0].kernel.path
    compression.preserve(compression.preserve(pruned), "sparsity")
    schedule = compression.ConstantSparsity(0.75, 0, frequency=1)
    compression.prune(pruned, schedule, include=path)
    # What the schedule has is pruned further, the rest is still preserved.
    fit(pruned, 3)
    assert _shares(pruned) == pytest.approx([0.75, 0.5], abs=0.01)
    with pytest.raises(ValueError, match="twice or both at once"):
        compression.preserve(pruned)
    compression.strip(pruned)
    assert pruned.layers[0].kernel.constraint is None


def test_a_constraint_of_the_users_still_applies(pruned):
    limit = keras.constraints.MaxNorm(0.1)
    pruned.layers[0].kernel.constraint = limit
    compression.preserve(pruned)
    compression.preserve(pruned)
    fit(pruned, 2)
    norms = np.linalg.norm(kernels(pruned)[0], axis=0)
    assert (norms < 0.1001).all() and _shares(pruned)[0] >= 0.5
    compression.strip(pruned)
    assert pruned.layers[0].kernel.constraint is limit


def test_nothing_to_preserve_is_refused():
    model = mlp("sgd")
    with pytest.raises(ValueError, match="must have something to preserve") as caught:
        compression.preserve(model)
    assert "dense/kernel: 0.0% zeros" in str(caught.value).replace("_1", "")
    assert model.layers[0].kernel.constraint is None
    with pytest.raises(ValueError, match="`what`"):
        compression.preserve(model, "zeros")


def test_zeros_of_initializers_are_no_pruning():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, kernel_initializer="identity"),
            keras.layers.Dense(4, kernel_initializer="zeros"),
        ]
    )
    with pytest.raises(ValueError, match="must have something to preserve"):
        compression.preserve(model)


def test_where_zeros_would_be_filled_it_is_said(pruned):
    report = compression.sparsity_report(pruned)
    assert "Further training fills zeros that nothing keeps" in str(report)
    with pytest.warns(UserWarning, match="50% of the weights .* training fills them"):
        compression.quantize_aware(pruned)
    compression.quantize_aware(pruned, preserve="sparsity")
    compression.preserve(pruned)
    report = compression.sparsity_report(pruned)
    assert "Further training" not in str(report)
    assert all(row["pruned"] for row in report.rows)
    assert "Further training" not in str(compression.sparsity_report(mlp()))


@pytest.mark.skipif(backend() != "tensorflow", reason="one backend shows it")
def test_averages_of_weights_are_sparse_too(pruned):
    pruned.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse")
    compression.preserve(pruned)
    fit(pruned, 3)
    assert _shares(pruned) == [0.5, 0.5]
    assert values(pruned.layers[0].kernel).any()
