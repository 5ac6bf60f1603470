"""What compression leaves out is named, and what it is asked for is done."""

import warnings

import keras
import numpy as np
import pytest

from keras_strategies import compression
from tests.compression import common

L = keras.layers
HALF = compression.ConstantSparsity(0.5, begin_step=0, frequency=1)


def _model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((12,)), L.Dense(24, name="a"), L.Dense(4, name="b")]
    )


def _zeros(layer):
    return float(np.mean(keras.ops.convert_to_numpy(layer.kernel) == 0))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_frozen_weights_are_pruned_once(scope):
    model = _model()
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    compression.prune(model, HALF, scope=scope)
    before = model.get_layer("a").get_weights()[0]
    common.fit(model, 2)
    after = model.get_layer("a").get_weights()[0]
    assert _zeros(model.get_layer("a")) == 0.5
    # The largest stay, with their values.
    limit = np.median(np.abs(before))
    np.testing.assert_array_equal(after, np.where(np.abs(before) > limit, before, 0))
    # Trained later, under a schedule that begins anew, it stays as sparse.
    model.get_layer("a").trainable = True
    model.compile("sgd", "mse")
    common.fit(model, 2)
    assert _zeros(model.get_layer("a")) == 0.5


def test_frozen_weights_wait_for_the_begin_of_the_schedule_and_for_strip():
    model = _model()
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    later = compression.ConstantSparsity(0.75, begin_step=3, frequency=1)
    compression.prune(model, later)
    with pytest.warns(UserWarning, match="it begins at step 3"):
        common.fit(model, 2)
    assert _zeros(model.get_layer("a")) == 0.0
    common.fit(model, 3)
    assert _zeros(model.get_layer("a")) == 0.75
    # Without `fit`, in a training loop of one's own, `strip` is the last occasion.
    model = _model()
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    compression.prune(model, HALF)
    x, y = common.data(8)
    model.train_on_batch(x, y)
    compression.strip(model)
    assert _zeros(model.get_layer("a")) == 0.5


def test_a_pattern_holds_in_frozen_weights():
    model = _model()
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    compression.prune(model, HALF, m_by_n=(2, 4))
    common.fit(model, 1)
    kernel = model.get_layer("a").get_weights()[0]
    assert (np.sum(kernel.reshape(3, 4, 24) == 0, axis=1) == 2).all()


def test_a_shortfall_is_told_with_frozen_layers_too():
    model = _model()
    model.get_layer("a").trainable = False
    model.compile("sgd", "mse")
    plan = compression.PolynomialSparsity(0.0, 0.8, 0, 100, frequency=1)
    compression.prune(model, plan)
    with pytest.warns(UserWarning, match="ends at step 100"):
        common.fit(model, 2)


@pytest.mark.parametrize(
    ("action", "purpose"),
    [
        (lambda model: compression.prune(model, HALF), "pruned"),
        (lambda model: compression.cluster(model, 4), "clustered"),
    ],
)
def test_lora_is_skipped_with_a_warning(action, purpose):
    model = _model()
    model.get_layer("a").enable_lora(2)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=rf"not {purpose}.*a \(LoRA is enabled\)"):
        action(model)
    other = _model()
    other.get_layer("a").enable_lora(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # not selected, so nothing is skipped
        compression.prune(other, HALF, include="b/")


def test_reports_count_the_kernel_that_lora_makes_and_list_what_they_leave_out():
    model = _model()
    model.compile("sgd", "mse")
    compression.prune(model, HALF)
    common.fit(model, 1)
    model.get_layer("a").enable_lora(2)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"LoRA is enabled on pruned layers \(a\)"):
        common.fit(model, 2)
    report = compression.sparsity_report(model)
    assert [row["sparsity"] for row in report.rows] == [_zeros(model.layers[0]), 0.5]
    assert report.rows[0]["sparsity"] < 0.2
    values = compression.cluster_report(model).rows[0]["values"]
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    assert values == len(np.unique(kernel))


class _Custom(L.Layer):
    def build(self, input_shape):
        self.matrix = self.add_weight(shape=(input_shape[-1], 3), name="matrix")

    def call(self, inputs):
        return inputs @ self.matrix


def test_reports_list_the_layers_that_they_leave_out():
    inputs = keras.Input((6, 6, 2))
    x = L.DepthwiseConv2D(3, name="depthwise")(inputs)
    x = L.GlobalAveragePooling2D()(L.BatchNormalization()(x))
    model = keras.Model(inputs, L.Dense(2, name="head")(_Custom(name="own")(x)))
    for report in (
        compression.sparsity_report(model),
        compression.cluster_report(model),
    ):
        assert [row["layer"] for row in report.rows] == ["head"]
        names = {row["layer"]: row["reason"] for row in report.skipped}
        assert list(names) == ["depthwise", "own"]
        assert "sensitive" in names["depthwise"] and "name its weights" in names["own"]
        assert "Not counted: own (_Custom, 6)" in str(report)
        assert report.to_dict()["skipped"][1]["parameters"] == 6


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_a_quantization_aware_model_keeps_input_names_and_is_not_quantized_again():
    inputs = keras.Input((12,))
    model = keras.Model(inputs, L.Dense(4)(inputs))
    aware = compression.quantize_aware(model)
    assert aware.inputs[0].name == model.inputs[0].name
    assert aware.layers[0].name == model.layers[0].name != aware.inputs[0].name
    x, _ = common.data(4)
    aware(x)
    before = aware.get_weights()
    with pytest.raises(ValueError, match="must not be quantized again"):
        aware.quantize("int8")
    for old, new in zip(before, aware.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_an_embedding_first_model_is_not_quantized_in_part(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), L.Embedding(8, 4), L.Flatten(), L.Dense(2)]
    )
    compression.quantize_aware(model).save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    with pytest.raises(ValueError, match="must not be quantized again"):
        loaded.quantize("int8")
    assert loaded(np.zeros((1, 3), "int32")).shape == (1, 2)


@pytest.mark.tensorflow
def test_an_untrained_quantization_aware_model_warns_when_it_is_converted():
    import tensorflow as tf

    aware = compression.quantize_aware(_model())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        aware.predict(common.data(4)[0], verbose=0)
    text = "ranges have seen no batch"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tf.lite.TFLiteConverter.from_keras_model(aware).convert()
    assert any(text in str(item.message) for item in caught)
    aware(common.data(4)[0], training=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tf.lite.TFLiteConverter.from_keras_model(aware).convert()
    assert not any(text in str(item.message) for item in caught)
