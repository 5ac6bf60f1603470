"""Optimizers and wrappers in every way of training, against trainings by hand.

The whole matrix runs with --full; otherwise a sample, chosen by COMPOSITION_SEED.
"""

import os
import pathlib
import random

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from tests.composition import formulas, matrix, networks, table

SEED = int(os.environ.get("COMPOSITION_SEED", "1"))
BACKEND = networks.BACKEND
DOCS = pathlib.Path(__file__).parents[2] / "docs" / "composition.md"


def check(row, column):
    """Compares a cell with what it must be."""
    exception = matrix.exception(row, column, BACKEND)
    if exception is not None and exception.error:
        with pytest.raises(Exception, match=exception.error):
            matrix.trained(row, column)
        return
    weights = matrix.trained(row, column)
    expected = matrix.expected_weights(row, column)
    bound = matrix.tolerance(column)
    pairs = list(zip(weights, expected, strict=True))
    if exception is None:
        for got, right in pairs:
            np.testing.assert_allclose(got, right, rtol=bound, atol=bound)
        return
    # A defect of Keras: if it is mended, the table must say so.
    is_equal = all(np.allclose(a, b, rtol=bound, atol=bound) for a, b in pairs)
    assert not is_equal, f"{exception.mark} no longer happens"


def _name(cell):
    return f"{cell[0].name}-{cell[1].name}"


@pytest.mark.parametrize(
    ("row", "column"),
    [
        pytest.param(*cell, id=_name(cell))
        for cell in random.Random(SEED).sample(matrix.CELLS, 8)
    ],
)
def test_a_sample_of_cells(row, column):
    check(row, column)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "column"), [pytest.param(*cell, id=_name(cell)) for cell in matrix.CELLS]
)
def test_every_cell(row, column):
    check(row, column)


def test_the_table_in_the_docs_is_that_of_the_tests():
    text = DOCS.read_text(encoding="utf-8")
    assert table.render() in text, "run python -m tests.composition.table"


def test_every_optimizer_has_a_row():
    names = " ".join(row.name for row in matrix.ROWS)
    for module in (keras.optimizers, optimizers):
        for name in dir(module):
            cls = getattr(module, name)
            is_rule = isinstance(cls, type) and issubclass(cls, keras.Optimizer)
            if is_rule and name not in {"Optimizer", "MultiOptimizer"}:
                assert name in names, name
    for name in optimizers.__all__:
        if name not in {"Transform"}:
            assert name in names, name


TRANSFORM = optimizers.GradientTransform


def wrappers(inner):
    """What can be around an optimizer that averages its weights."""
    return {
        "transform": TRANSFORM(inner, [optimizers.Centralize()]),
        "lookahead": optimizers.Lookahead(inner, 2),
    }


@pytest.mark.parametrize("kind", ["transform", "lookahead"])
def test_a_training_without_a_step_leaves_the_weights_alone(kind):
    """Not the averages of `use_ema`, which are zeros before the first step."""
    inner = keras.optimizers.SGD(0.1, use_ema=True)
    network = networks.model(cls=networks.Zero)
    network.compile(wrappers(inner)[kind], loss="mse")
    networks.fit(network)
    for got, first in zip(network.get_weights(), networks.WEIGHTS, strict=True):
        np.testing.assert_allclose(got, first, rtol=1e-6)


def test_frozen_weights_stay_bit_for_bit_under_averaging():
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    freeze = optimizers.Freeze("backbone/")
    network = networks.model()
    network.compile(TRANSFORM(inner, [freeze]), loss="mse")
    before = network.get_weights()
    networks.fit(network)
    after = network.get_weights()
    for old, new in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(before[2] - after[2]).max() > 0.01


def test_skipped_steps_are_not_averaged():
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    optimizer = TRANSFORM(inner, [optimizers.SkipLargeUpdates(1.0)])
    weight = keras.Variable([1.0])
    for gradient in (9.0, 1.0, 9.0, 1.0, 9.0):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
    # After steps to 0.9 and 0.8: 0.9, then half of the way to 0.8.
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), [0.85], rtol=1e-6)


def test_settings_reach_the_optimizer_that_reads_them():
    inner = keras.optimizers.SGD(0.1, clipnorm=1.0, weight_decay=0.5)
    outer = optimizers.Lookahead(TRANSFORM(inner, [optimizers.Centralize()]))
    assert outer.clipnorm == 1.0
    assert outer.weight_decay == 0.5
    outer.clipnorm, outer.global_clipnorm, outer.weight_decay = None, 2.0, 0.25
    assert (inner.clipnorm, inner.global_clipnorm) == (None, 2.0)
    assert inner.weight_decay == 0.25


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("depth", [1, 2])
def test_swap_ema_weights_around_wrapped_optimizers(policy, depth):
    """Evaluates the averages and trains on from the weights, as around plain Adam."""
    keras.config.set_dtype_policy(policy)
    inner = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    optimizer = TRANSFORM(inner, [optimizers.Centralize()])
    if depth == 2:
        optimizer = optimizers.Lookahead(optimizer, 2)
    network = networks.model()
    network.compile(optimizer, loss="mse")
    seen = []

    class Sees(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights())

    x, y = networks.FEATURES, networks.TARGETS
    network.fit(
        x,
        y,
        batch_size=4,
        shuffle=False,
        verbose=0,
        validation_data=(x[:4], y[:4]),
        callbacks=[keras.callbacks.SwapEMAWeights(), Sees()],
    )
    # At the end of fit, the averages become the weights.
    for swapped, final in zip(seen[0], network.get_weights(), strict=True):
        np.testing.assert_allclose(swapped, final, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", ["clipnorm", "global_clipnorm", "clipvalue"])
@pytest.mark.parametrize("kind", ["radam", "transform"])
def test_gradients_of_a_row_used_twice_are_one_gradient(kind, limit):
    """Clipped as the sum that they are, which Keras's optimizers on TensorFlow miss."""
    arguments = {limit: 0.02}
    if kind == "radam":
        optimizer = optimizers.RAdam(0.5, **arguments)
        hand = formulas.Optimizer(formulas.radam(), 0.5)
    else:
        inner = keras.optimizers.SGD(0.5, momentum=0.9, **arguments)
        optimizer = TRANSFORM(inner, [optimizers.Transform()])
        hand = formulas.Optimizer(formulas.sgd, 0.5)
    network = networks.model(is_embedding=True)
    network.compile(optimizer, loss="mse")
    networks.fit(network, is_embedding=True)
    weights = networks.start(True, "float32")
    for x, y in networks.batches(True):
        gradients = networks.by_hand_network(True).gradients(weights, x, y)
        norms = [np.linalg.norm(g) for g in gradients]
        if limit == "clipvalue":
            gradients = [np.clip(g, -0.02, 0.02) for g in gradients]
        elif limit == "clipnorm":
            gradients = [
                g * min(1, 0.02 / n) for g, n in zip(gradients, norms, strict=True)
            ]
        else:
            scale = min(1, 0.02 / np.linalg.norm(norms))
            gradients = [g * scale for g in gradients]
        weights = hand.step(weights, gradients)
    for got, right in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["train_step", "compute_loss"])
def test_sharpness_aware_refuses_a_step_it_would_not_call(method):
    class Own(keras.Sequential):
        pass

    setattr(Own, method, lambda self, *args, **kwargs: None)
    with pytest.raises(ValueError, match=f"`{method}` of its own"):
        optimizers.SharpnessAware(Own(networks.layers(False)))
