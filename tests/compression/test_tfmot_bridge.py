"""Models cross to tf_keras and back with their weights, or say why they cannot."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.compression.tfmot_bridge import _conversion

pytestmark = [
    pytest.mark.tensorflow,
    # tf_keras itself uses names that TensorFlow has deprecated.
    pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning"),
]
L = keras.layers


def sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            L.BatchNormalization(),
            L.LeakyReLU(0.1),
            L.MaxPooling2D(),
            L.Dropout(0.1),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )


def nested():
    inputs = keras.Input((6, 6, 4), name="image")
    hidden = L.Conv2D(4, 3, padding="same")(inputs)
    hidden = L.Add()([hidden, L.DepthwiseConv2D(3, padding="same")(inputs)])
    hidden = L.MultiHeadAttention(2, 4)(hidden, hidden)
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), L.Conv2D(2, 1), L.BatchNormalization()], name="inner"
    )
    hidden = inner(hidden)
    outputs = [L.Dense(2)(L.Flatten()(hidden)), L.GlobalAveragePooling2D()(hidden)]
    return keras.Model(inputs, outputs)


def recurrent():
    inputs = keras.Input((7,), dtype="int32")
    hidden = L.Embedding(20, 8, mask_zero=True)(inputs)
    hidden = L.Bidirectional(L.LSTM(6, return_sequences=True))(hidden)
    return keras.Model(inputs, L.Dense(2)(L.GRU(5)(hidden)))


def wrapped():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            L.TimeDistributed(L.Dense(3)),
            L.LayerNormalization(),
            L.Conv1D(4, 2),
            L.PReLU(),
            L.GlobalMaxPooling1D(),
        ]
    )


def shared():
    left, right = keras.Input((4,)), keras.Input((4,))
    dense = L.Dense(3)
    return keras.Model([left, right], L.Concatenate()([dense(left), dense(right)]))


def mixed():
    policy = keras.DTypePolicy("mixed_float16")
    return keras.Sequential(
        [keras.Input((4,)), L.Dense(8, dtype=policy), L.Dense(2, dtype="float32")]
    )


def _random(tensor, rng):
    shape = (8, *tensor.shape[1:])
    if tensor.dtype == "int32":
        return rng.integers(0, 20, shape).astype("int32")
    return rng.normal(size=shape).astype("float32")


def _weights(model):
    return sorted(float(np.abs(value).sum()) for value in model.get_weights())


@pytest.mark.parametrize(
    "make", [sequential, nested, recurrent, wrapped, shared, mixed]
)
def test_there_and_back(make):
    import tf_keras

    keras.utils.set_random_seed(0)
    model = make()
    # Statistics unlike the initial ones, so that a swap of weights shows.
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    before = model.get_config()
    legacy = compression.to_tf_keras(model)
    assert isinstance(legacy, tf_keras.Model)
    assert model.get_config() == before
    again = compression.from_tf_keras(legacy)
    assert isinstance(again, keras.Model)
    assert [x.name for x in again.layers] == [x.name for x in legacy.layers]
    np.testing.assert_allclose(_weights(again), _weights(model), rtol=1e-6)
    data = [_random(tensor, rng) for tensor in model.inputs]
    data = data[0] if len(data) == 1 else data
    for first, second in zip(
        keras.tree.flatten(model(data)),
        keras.tree.flatten(again(data)),
        strict=True,
    ):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-4)


def test_regularizers_cross():
    legacy = compression.to_tf_keras(sequential())
    assert float(legacy.layers[0].kernel_regularizer.l2) == pytest.approx(0.01)
    again = compression.from_tf_keras(legacy)
    assert float(again.layers[0].kernel_regularizer.l2) == pytest.approx(0.01)
    assert again.layers[2].negative_slope == pytest.approx(0.1)


def _operation():
    inputs = keras.Input((4,))
    return keras.Model(inputs, inputs * 2.0)


class Own(L.Layer):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_operation, r"no counterpart of 'multiply\w*' \(Multiply\)"),
        (lambda: keras.Sequential([keras.Input((4,)), Own()]), r"\(Own\)"),
        (
            lambda: keras.Sequential([keras.Input((4,)), L.RMSNormalization()]),
            "RMSNormalization",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), L.Dense(3, lora_rank=2)]),
            r"\(Dense\): lora_rank=2",
        ),
        (
            lambda: keras.Sequential([keras.Input((4,)), L.Activation("hard_silu")]),
            "hard_silu",
        ),
    ],
)
def test_what_cannot_cross_is_named(make, match):
    with pytest.raises(ValueError, match=match):
        compression.to_tf_keras(make())


def test_wrong_models():
    import tf_keras

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="Functional or Sequential"):
        compression.to_tf_keras(Subclassed())
    with pytest.raises(ValueError, match="it is not built"):
        compression.to_tf_keras(keras.Sequential([L.Dense(2)]))
    legacy = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    with pytest.raises(TypeError, match=r"must be a Model.*Give a Keras model"):
        compression.to_tf_keras(legacy)
    with pytest.raises(TypeError, match=r"must be a tf_keras\.Model"):
        compression.from_tf_keras(sequential())
    with pytest.raises(ValueError, match="`tolerance` must be in"):
        compression.from_tf_keras(legacy, tolerance=0)


def test_outputs_that_differ_are_refused(monkeypatch):
    copy_weights = _conversion._copy_weights

    def careless(source, target):
        copy_weights(source, target)
        target.set_weights([value * 1.01 for value in target.get_weights()])

    monkeypatch.setattr(_conversion, "_copy_weights", careless)
    with pytest.raises(ValueError, match=r"Output 0 differs by 0\.0"):
        compression.to_tf_keras(wrapped())


SCRIPT = """
import os, warnings
warnings.simplefilter("ignore")
import keras, numpy as np
from keras_strategies import compression
tfmot = compression.import_tfmot()
import tensorflow as tf
assert "TF_USE_LEGACY_KERAS" not in os.environ
assert tf.keras.__version__ == keras.__version__, tf.keras.__version__
layers = [keras.layers.Dense(8), keras.layers.Dense(3)]
model = keras.Sequential([keras.Input((16,)), *layers])
wrapped = tfmot.sparsity.keras.prune_low_magnitude(
    compression.to_tf_keras(model),
    tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=1),
)
wrapped.compile("sgd", "mse")
x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
wrapped.fit(x, x[:, :3], verbose=0, epochs=2,
            callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
back = compression.from_tf_keras(tfmot.sparsity.keras.strip_pruning(wrapped))
kernel = back.layers[0].kernel.numpy()
assert (kernel == 0).mean() == 0.5, (kernel == 0).mean()
assert "TF_USE_LEGACY_KERAS" not in os.environ
print("done")
"""


@pytest.mark.slow
def test_tfmot_runs_and_keeps_its_side_effects_to_itself():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "done"
