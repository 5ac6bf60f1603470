"""Pruning by movement: the reference in NumPy, resume, and what is refused."""

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.compression.pruning import _masks
from tests.compression.common import backend, data, fit, kernels, mlp

# Keras's own saving on TensorFlow meets a deprecation of NumPy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def _schedule(final=0.8, end=12):
    return compression.PolynomialSparsity(0.0, final, 0, end, frequency=1)


def _pruned(scope="global", optimizer="sgd", **arguments):
    keras.utils.set_random_seed(1)
    model = mlp(optimizer, **arguments)
    return compression.prune(model, _schedule(), scope=scope, criterion="movement")


def _gradients(kernels, biases, x, y):
    """Those of the mean squared error of the network of `mlp`, for each weight."""
    hidden = np.maximum(x @ kernels[0] + biases[0], 0)
    delta = 2 * (hidden @ kernels[1] + biases[1] - y) / y.size
    inner = (delta @ kernels[1].T) * (hidden > 0)
    return [x.T @ inner, hidden.T @ delta], [inner.sum(0), delta.sum(0)]


def _reference(weights, x, y, steps, rate, scope, batch=8):
    """Movement pruning under plain SGD, in float64."""
    latent, biases = [w.astype("float64") for w in weights[::2]], weights[1::2]
    latent = [k.copy() for k in latent]
    biases = [b.astype("float64") for b in biases]
    used = [k.copy() for k in latent]
    scores = [1e-6 * np.abs(k) for k in latent]
    schedule = _schedule()
    for step in range(steps):
        rows = slice(step * batch, (step + 1) * batch)
        of_kernels, of_biases = _gradients(used, biases, x[rows], y[rows])
        old = [s.copy() for s in scores]
        in_force = [u != 0 if step else np.ones(u.shape, bool) for u in used]
        for number, gradient in enumerate(of_kernels):
            update = -rate * gradient
            scores[number] += update * latent[number]
            latent[number] += np.where(in_force[number], update, 0)
            biases[number] -= rate * of_biases[number]
        masks = in_force
        if step <= 12:
            sparsity = float(schedule(step))
            groups = [old] if scope == "global" else [[s] for s in old]
            masks = []
            for group in groups:
                flat = np.concatenate([s.ravel() for s in group])
                kept = max(round(flat.size * (1 - sparsity)), 1)
                limit = np.sort(flat)[-kept]
                masks += [s >= limit for s in group]
        used = [np.where(m, k, 0) for m, k in zip(masks, latent, strict=True)]
    return used


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_it_is_the_reference(scope):
    model = _pruned(scope, keras.optimizers.SGD(0.05))
    weights = model.get_weights()
    x, y = data(8 * 15)
    fit(model, 15)
    expected = _reference(weights, x, y, 15, 0.05, scope)
    for got, wanted in zip(kernels(model), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-5)
    shares = [float(np.mean(k == 0)) for k in kernels(model)]
    report = compression.sparsity_report(model)
    assert report.sparsity == pytest.approx(0.8, abs=0.01)
    if scope == "layer":
        assert shares == pytest.approx([0.8, 0.8], abs=0.01)
    assert all(row["pruned"] for row in report.rows)


def test_weights_come_back_with_their_value():
    """One weight shrinks first and grows later; by its size it would stay away."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [0.5]], "float32")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    schedule = compression.ConstantSparsity(0.5, begin_step=0, frequency=1)
    compression.prune(model, schedule, criterion="movement")
    seen = []
    # The first column must stay at 1, the second is pushed outwards.
    x, y = np.array([[0.0, 1.0]], "float32"), np.array([[3.0]], "float32")
    for _ in range(4):
        model.train_on_batch(x, y)
        seen.append(kernels(model)[0].ravel().tolist())
    assert seen[0][0] == 1.0 and seen[0][1] == 0.0
    # It is back with the value of 0.5 and the update that it had before it was pruned.
    assert seen[1] == pytest.approx([0.0, 1.0], abs=1e-6)
    assert seen[3][1] > seen[1][1]


def test_pruning_goes_on_after_loading(tmp_path):
    model = _pruned(optimizer="adam")
    fit(model, 6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before = kernels(loaded)
    compression.prune(loaded, _schedule(), scope="global", criterion="movement")
    fit(loaded, 9)
    # The masks go on from the zeros of the file; the values of these are gone.
    for old, new in zip(before, kernels(loaded), strict=True):
        assert (new[old == 0] == 0).all()
    report = compression.sparsity_report(loaded)
    assert report.sparsity == pytest.approx(0.8, abs=0.01)
    compression.strip(loaded)
    assert loaded.layers[0].kernel.constraint is None
    np.testing.assert_array_equal(
        [np.mean(k == 0) for k in kernels(loaded)],
        [row["sparsity"] for row in report.rows],
    )


@pytest.mark.skipif(backend() == "torch", reason="eager throughout")
def test_the_same_compiled_and_not():
    results = []
    for arguments in ({"jit_compile": True}, {"jit_compile": False}):
        model = _pruned(optimizer="adam", **arguments)
        fit(model, 14)
        results.append(kernels(model))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one == 0, other == 0)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_single_weights_only():
    model = mlp("sgd")
    with pytest.raises(ValueError, match="must be for single weights"):
        compression.prune(model, _schedule(), criterion="movement", block_size=(2, 2))
    with pytest.raises(ValueError, match="must be for single weights"):
        compression.prune(model, _schedule(), criterion="movement", m_by_n=(2, 4))
    with pytest.raises(ValueError, match="`criterion` must be one of"):
        compression.prune(model, _schedule(), criterion="taylor")
    assert model.layers[0].kernel.constraint is None


@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_the_largest_of_numbers_of_any_sign(k):
    numbers = np.array([-3.0, -1e-4, 0.0, 1e-5, -2.0, -2.0, 0.5, -7.0], "float32")
    for values in (numbers, numbers - 10, -np.abs(numbers), numbers * 1e-3):
        tensors = [keras.ops.convert_to_tensor(part) for part in np.split(values, 2)]
        got = float(_masks.kth_largest(tensors, k, signed=True))
        assert got == np.sort(values)[-k]
