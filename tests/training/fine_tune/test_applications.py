"""Both phases on the networks of keras.applications, at small size, without weights."""

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies._internal.select import layer_targets
from keras_strategies.training._fine_tune.plan import NORMALIZATIONS
from tests.training.fine_tune.models import values
from tests.training.fine_tune.test_attach_head import FAMILIES, network

RNG = np.random.default_rng(0)


@pytest.mark.slow  # in every run test_fine_tune.py has both phases of small networks
@pytest.mark.parametrize("name", FAMILIES)
def test_both_phases(name):
    side = FAMILIES[name][1]
    body = network(name, side)
    model = training.attach_head(body, classes=3)
    x = RNG.uniform(0, 255, (8, side, side, 3)).astype("float32")
    y = np.arange(8) % 3
    norms = [
        target.item
        for target in layer_targets(body)
        if isinstance(target.item, NORMALIZATIONS)
    ]
    # Without statistics of data the signals of a deep random network vanish.
    for layer in norms:
        layer.momentum = 0.0
    model(x, training=True)
    statistics = [v for layer in norms for v in layer.non_trainable_weights]
    before = values(statistics)
    trained = [v for v in body.weights if v.name == "kernel"]
    weights = values(trained)
    result = training.fine_tune(
        model, (x, y), epochs=(2, 1), layer_decay=0.8, batch_size=8, verbose=0
    )
    assert [row["cached"] for row in result.rows] == [True, False]
    for one, other in zip(before, values(statistics), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(result.history["loss"]).all()
    changed = [
        (one != other).any()
        for one, other in zip(weights, values(trained), strict=True)
    ]
    assert all(changed)
    multipliers = [v for v in model.optimizer.multipliers().values() if v < 1]
    assert min(multipliers) > 0.8**13
    assert max(multipliers) == pytest.approx(0.8)
    assert keras.ops.convert_to_numpy(model(x)).shape == (8, 3)
