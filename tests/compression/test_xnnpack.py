"""The policy that prunes only what XNNPACK runs sparsely."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_strategies.compression import ConstantSparsity, prune, sparsity_report
from tests.compression.common import mlp

HALF = ConstantSparsity(0.5, begin_step=0)


def network(*, stem=True, tail=True, extra=None):
    """What XNNPACK runs sparsely, and ways to spoil it."""
    inputs = x = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1)(x)
    padding = "valid" if stem else "same"
    x = layers.Conv2D(8, 3, strides=2, padding=padding, name="stem")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    branch = layers.Conv2D(8, 1, name="expand")(x)
    branch = layers.DepthwiseConv2D(3, padding="same")(branch)
    branch = layers.Activation("relu")(branch)
    if extra is not None:
        branch = extra(branch)
    branch = layers.Conv2D(8, 1, name="project")(branch)
    x = layers.Add()([x, branch]) + x
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, strides=2)(x)
    pool = layers.GlobalAveragePooling2D if tail else layers.GlobalMaxPooling2D
    x = layers.Flatten()(pool(keepdims=True)(x))
    return keras.Model(inputs, layers.Dense(4)(x), name="net")


def test_prunes_the_pointwise_convolutions_and_nothing_else():
    model = network()
    model.compile("sgd", "mse")
    assert prune(model, HALF, policy="xnnpack") is model
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 16, 16, 3)), rng.normal(size=(8, 4))
    model.fit(x, y, verbose=0)
    shares = {row["layer"]: row["sparsity"] for row in sparsity_report(model).rows}
    assert shares == {"stem": 0, "expand": 0.5, "project": 0.5, "dense": 0}


def test_only_narrows_the_policy():
    model = network()
    prune(model, HALF, policy="xnnpack", include="expand")
    pruned = [r["layer"] for r in sparsity_report(model).rows if r["pruned"]]
    assert pruned == ["expand"]
    with pytest.raises(ValueError, match="must suit the policy"):
        prune(network(), HALF, policy="xnnpack", include="stem")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(stem=False), "every input must lead to.*first_layers"),
        (lambda: network(tail=False), "every output must come.*last_layers=.'dense'"),
        (
            lambda: network(extra=layers.Softmax()),
            r"unsupported_layers=.'softmax \(Softmax\)'",
        ),
        (
            lambda: network(extra=layers.DepthwiseConv2D(7, padding="same")),
            "unsupported_layers=.'depthwise_conv2d",
        ),
        (
            lambda: network(extra=layers.Conv2D(8, 3, padding="same")),
            "unsupported_layers=.'conv2d",
        ),
        (mlp, "every input must lead to"),
    ],
)
def test_models_that_do_not_qualify(make, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        prune(model, HALF, policy="xnnpack")
    assert not any(row["pruned"] for row in sparsity_report(model).rows)


def test_subclassed_model_does_not_qualify():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.ones((1, 3), "float32"))
    with pytest.raises(ValueError, match="it is subclassed and has no graph"):
        prune(model, HALF, policy="xnnpack")
