"""Removing units that give zeros changes nothing, in every graph."""

import keras
import numpy as np
import pytest

from keras_strategies.compression import filter_report, flops, prune_filters
from tests.compression.filter_models import (
    GRAPHS,
    batch,
    outputs,
    randomize,
    silence,
)


def units(model):
    report = filter_report(model, model)
    return {row["layer"]: row["units"][0] for row in report.rows if row["units"]}


def check_structure(pruned, model):
    assert type(pruned) is type(model)
    assert [layer.name for layer in pruned.layers] == [x.name for x in model.layers]
    for name in ("inputs", "outputs"):
        pairs = zip(getattr(pruned, name), getattr(model, name), strict=True)
        assert all(one.shape == other.shape for one, other in pairs)


def _graphs():
    """On JAX a few; the functions are compiled one by one for each graph."""
    quick = ("residual", "mobile_net", "flat")
    for name in GRAPHS:
        slow = keras.backend.backend() == "jax" and name not in quick
        yield pytest.param(name, marks=[pytest.mark.slow] * slow)


@pytest.mark.parametrize("name", list(_graphs()))
def test_removing_silent_units_leaves_outputs_unchanged(name):
    model = silence(randomize(GRAPHS[name]()), 0.5)
    x = batch(model)
    expected = outputs(model, x)
    before = [np.array(value) for value in model.get_weights()]
    pruned = prune_filters(model, 0.5, round_to=1)
    check_structure(pruned, model)
    found = outputs(pruned, x)
    assert max(np.abs(value).max() for value in expected) > 1e-2
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5)
    for value, reference in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, reference)
    report = filter_report(model, pruned)
    for row in report.rows:
        if row["units"] and row["kept"] is None:
            old, new = row["units"]
            assert new == old - old // 2, row
    free = [row["layer"] for row in report.rows if row["units"] and not row["kept"]]
    assert len(free) >= len([r for r in report.rows if r["units"]]) // 2
    assert report.macs[1] < 0.7 * report.macs[0]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", GRAPHS)
def test_without_a_fraction_it_is_a_copy(name):
    model = GRAPHS[name]()
    same, x = prune_filters(model, 0.0), batch(model)
    check_structure(same, model)
    for value, reference in zip(outputs(same, x), outputs(model, x), strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-6)


KEPT = {
    "plain": {"dense_1": "output of the model"},
    "two_outputs": {
        "conv2d": "output of the model",
        "mask": "output of the model",
        "dense_1": "output of the model",
    },
    "squeeze_excite": {
        "conv2d_3": "multiply_2 broadcasts it",
        "dense_1": "output of the model",
    },
}


@pytest.mark.parametrize("name", KEPT)
def test_what_has_to_stay_is_named(name):
    model = GRAPHS[name]()
    assert filter_report(model, model).kept == KEPT[name]


def test_nested_models_are_opened_and_shared_ones_cut_once():
    model = GRAPHS["nested"]()
    pruned = prune_filters(model, 0.5, round_to=1)
    assert pruned.get_layer("block").input_shape == (None, 8, 8, 4)
    assert units(pruned)["block/conv2d"] == 3
    assert flops(model).rows[0]["layer"] == "stem/conv2d_2"


APPLICATIONS = ["MobileNetV2", "ResNet50", "EfficientNetB0"]


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications(name):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=10)
    pruned = prune_filters(model, 0.5)
    report = filter_report(model, pruned)
    assert set(report.kept) == {"predictions"}
    assert report.macs[1] < 0.35 * report.macs[0]
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
    assert np.isfinite(outputs(pruned, x)[0]).all()
    exact = silence(randomize(model), 0.5)
    smaller = prune_filters(exact, 0.5, round_to=1)
    scale = np.abs(outputs(exact, x)[0]).max()
    np.testing.assert_allclose(
        outputs(smaller, x)[0] / scale, outputs(exact, x)[0] / scale, atol=1e-4
    )
