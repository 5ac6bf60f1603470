"""Every rewriter of the package on every kind of model: one answer a kind."""

import re

import keras
import numpy as np
import pytest

from keras_strategies import augmentation, compression, layers, surgery
from keras_strategies._internal import keras_private
from keras_strategies._internal.model_graph import clone_model
from keras_strategies.compat import tfmot
from keras_strategies.tuning.hypermodels._rewrite import (
    Changes,
    check_rewritable,
    rewrite,
)
from tests.contract.model_kinds import REFUSED, RIGHT, X, body

KL = keras.layers
# Layers of tests stay in float: what they compute has no integer form.
OWN = r"(^|/)own$"


def _tuned(model):
    changes = Changes(dropout=0.0)
    check_rewritable(model, changes)
    return rewrite(model, changes, keep_weights=True)


def _renamed(model):
    return surgery.rename(model, lambda path: path.rpartition("/")[2] + "_new")


def _split(model):
    first, second = surgery.split(model, model.layers[-2])
    return keras.Sequential([keras.Input(X.shape[1:]), first, second])


def _quantized(model):
    own = any(layer.name == "own" for layer in model.layers)
    aware = compression.quantize_aware(model, exclude=OWN if own else None)
    aware(X, training=True)
    return aware


def _annotated(model):
    for part in keras_private.flatten_layers(model):
        is_kernel = type(part) in (KL.Conv2D, KL.Dense)
        if is_kernel:
            tfmot.quantization.keras.quantize_annotate_layer(part)
    aware = tfmot.quantization.keras.quantize_apply(model)
    aware(X, training=True)
    return aware


def _replaced(model):
    def same(layer):
        return type(layer).from_config(layer.get_config())

    return surgery.replace(model, lambda layer: type(layer) is KL.Dense, same)


def _without_dropout(model):
    dropped = surgery.insert(model, "", lambda layer: KL.Dropout(0.0, name="extra"))
    return surgery.remove(dropped, "extra")


def _bridged(model):
    """Keras 2 spells the arguments of random layers differently."""
    names = [layer.name for layer in keras_private.flatten_layers(model)]
    if any(name.startswith("random") for name in names):
        model = surgery.remove(model, "(^|/)random")
    return compression.to_tf_keras(model)


REWRITERS = {
    "insert": lambda m: surgery.insert(m, "", lambda layer: KL.Dropout(0.0)),
    "replace": _replaced,
    "remove": _without_dropout,
    "rename": _renamed,
    "submodel": surgery.submodel,
    "fuse": augmentation.fuse,
    "prune_filters": lambda m: compression.prune_filters(m, 0.0),
    "quantize_aware": _quantized,
    "tune_model": _tuned,
    "to_tf_keras": _bridged,
    "quantize_apply": _annotated,
}
ROUNDS = ("quantize_aware", "quantize_apply")
# What TFMOT and its Keras 2 do not have, whatever the model.
NO_COUNTERPART = {
    "unregistered layer",
    "Lambda",
    "Lambda in a wrapper",
    "unregistered activation",
}


def _outputs(model):
    return keras.tree.map_structure(
        keras.ops.convert_to_numpy, model(X, training=False)
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("rewriter", REWRITERS)
@pytest.mark.parametrize("kind", RIGHT)
def test_the_copy_computes_the_same(kind, rewriter):
    if rewriter == "to_tf_keras" and kind in NO_COUNTERPART:
        pytest.skip("tf_keras has no counterpart of these layers")
    model = RIGHT[kind]()
    before = model.get_weights()
    expected = keras.tree.flatten(_outputs(model))
    copy = REWRITERS[rewriter](model)
    actual = keras.tree.flatten(
        keras.tree.map_structure(np.asarray, copy(X, training=False))
    )
    for one, other in zip(expected, actual, strict=True):
        scale = np.abs(one).max()
        tolerance = 0.15 if rewriter in ROUNDS else 1e-5
        np.testing.assert_allclose(one / scale, other / scale, atol=tolerance)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(copy.trainable_weights) >= len(model.trainable_weights)


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_have_one_reason(kind):
    make, reason = REFUSED[kind]
    reasons = set()
    for name, rewriter in {**REWRITERS, "flops": compression.flops}.items():
        if name == "fuse" and kind == "unbuilt":
            continue  # a list of layers is enough for it
        if name == "flops" and "lost" in reason:
            continue  # it only reads
        if name in ROUNDS and kind == "subclassed":
            continue  # these read the graph that tracing the call gives
        model = make()
        if kind == "subclassed":
            model(X)
        with pytest.raises(ValueError, match="rebuilt from its graph") as caught:
            rewriter(model)
        assert reason in str(caught.value), name
        text = str(caught.value).partition(" Received")[0]
        reasons.add(re.sub(r"_\d+'", "'", text))  # names of models count up
    assert len(reasons) == 1


@pytest.mark.parametrize("kind", RIGHT)
def test_a_clone_shares_nothing(kind):
    model = RIGHT[kind]()
    copy = clone_model(model)
    for one, other in zip(
        keras.tree.flatten(_outputs(model)),
        keras.tree.flatten(_outputs(copy)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    own = {id(weight) for weight in model.weights}
    assert not own & {id(weight) for weight in copy.weights}
    assert [w.trainable for w in copy.weights] == [w.trainable for w in model.weights]


def test_a_model_without_a_graph_is_cloned_by_saving(tmp_path):
    model = REFUSED["own call"][0]()
    model.compile("adam", "mse")
    copy = clone_model(model)
    np.testing.assert_allclose(_outputs(copy), _outputs(model), rtol=1e-5)
    assert type(copy) is type(model) and copy.compiled


def test_own_training_methods_are_kept():
    for kind in ("own train_step", "Sequential subclass, own train_step"):
        model = RIGHT[kind]()
        for rewriter in ("insert", "fuse", "prune_filters", "quantize_aware"):
            assert type(REWRITERS[rewriter](model)) is type(model), rewriter


def test_a_subclassed_model_inside_is_one_layer():
    inputs = keras.Input((8, 8, 1))
    inner = REFUSED["subclassed"][0](name="inner")
    model = keras.Model(inputs, KL.Dense(2, name="top")(inner(inputs)))
    copy = surgery.insert(model, "inner", lambda layer: KL.Dropout(0.0))
    np.testing.assert_allclose(_outputs(copy), _outputs(model), rtol=1e-5)
    with pytest.raises(ValueError, match="a model that cannot be opened"):
        compression.quantize_aware(model)
    aware = compression.quantize_aware(model, exclude="inner")
    assert aware(X).shape == (6, 2)


def test_uncertainty_of_models_with_code_of_their_own():
    inputs = keras.Input((8, 8, 1))
    x = KL.Lambda(lambda x: x + 1.0, output_shape=lambda s: s)(inputs)
    model = keras.Model(inputs, KL.Dropout(0.5)(body(x)))
    mean, deviation = layers.predict_with_uncertainty(model, X, samples=4)
    assert mean.shape == (6, 3) and (deviation > 0).any()
