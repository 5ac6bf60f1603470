"""Parts of models as models of their own."""

import keras
import numpy as np
import pytest

from keras_strategies import surgery

KL = keras.layers
X = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype("float32")


def _network():
    """A backbone with a residual sum inside, a shared layer, and a head."""
    entry = keras.Input((8, 8, 2), name="entry")
    x = KL.Conv2D(4, 3, padding="same", name="one")(entry)
    y = KL.Conv2D(4, 3, padding="same", name="two")(x)
    y = KL.BatchNormalization(name="norm")(y)
    backbone = keras.Model(entry, KL.Add(name="sum")([x, y]), name="backbone")
    inputs = keras.Input((8, 8, 2), name="image")
    shared = KL.ReLU(name="shared")
    z = shared(KL.Conv2D(4, 1, name="mix")(shared(backbone(inputs))))
    z = KL.GlobalAveragePooling2D(name="pool")(z)
    return keras.Model(inputs, KL.Dense(3, name="head")(z), name="network")


def _outputs(model, x=X):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x))


@pytest.mark.parametrize("at", ["^backbone$", "backbone/sum", "mix", "pool", "image"])
def test_two_parts_compute_what_the_model_computes(at):
    model = _network()
    first, second = surgery.split(model, at)
    np.testing.assert_allclose(
        _outputs(second, first(X)), _outputs(model), rtol=1e-5, atol=1e-6
    )
    assert (first.name, second.name) == ("network_first", "network_second")
    own = {id(weight) for weight in model.weights}
    assert not own & {id(weight) for weight in first.weights + second.weights}


def test_a_cut_through_several_tensors():
    model = _network()
    first, second = surgery.split(model, ["backbone/one", "backbone/norm"])
    assert len(first.outputs) == len(second.inputs) == 2
    np.testing.assert_allclose(_outputs(second, first(X)), _outputs(model), rtol=1e-5)
    with pytest.raises(ValueError, match="nothing but the given inputs.*backbone/one"):
        surgery.split(model, "backbone/two")


def test_features_and_heads():
    model = _network()
    features = surgery.submodel(model, outputs=["backbone/two", "pool"])
    two, pool = _outputs(features)
    assert two.shape == (3, 8, 8, 4) and pool.shape == (3, 4)
    head = surgery.submodel(model, inputs="^head$", name="classifier")
    assert head.name == "classifier"
    np.testing.assert_allclose(_outputs(head, pool), _outputs(model), rtol=1e-5)
    again = surgery.submodel(model)
    np.testing.assert_allclose(_outputs(again), _outputs(model), rtol=1e-5)


def test_parts_keep_what_is_frozen_and_can_be_saved(tmp_path):
    model = _network()
    model.get_layer("backbone").get_layer("one").trainable = False
    part = surgery.submodel(model, outputs="^backbone$")
    assert len(part.trainable_weights) == len(part.weights) - 4  # statistics too
    part.save(tmp_path / "part.keras")
    loaded = keras.models.load_model(tmp_path / "part.keras")
    np.testing.assert_allclose(_outputs(loaded), _outputs(part), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": "nothing"}, "`outputs` must match at least one layer"),
        ({"outputs": "backbone/"}, "`outputs` must select one layer.*paths"),
        ({"outputs": "shared"}, "must be called once.*calls=2"),
        ({"inputs": "backbone/norm"}, "nothing but the given inputs.*backbone/one"),
        ({"inputs": "backbone/entry"}, "one of the model itself"),
    ],
)
def test_parts_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        surgery.submodel(_network(), **arguments)
