"""The proposal of a layout, and training with it."""

import keras
import numpy as np
import pytest

from keras_strategies.training import distributed
from keras_strategies.training.distributed._layout import divided_axis


def test_longest_axis_that_can_be_divided():
    assert divided_axis((6, 8), 2, 1) == 1
    assert divided_axis((8, 6), 2, 1) == 0
    assert divided_axis((8, 8), 4, 1) == 1
    assert divided_axis((9, 6), 2, 1) == 1
    assert divided_axis((9, 7), 2, 1) is None
    assert divided_axis((8, 8), 2, 65) is None
    assert divided_axis((8, 8), 1, 1) is None


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has layouts")
def test_other_backends_are_told():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        distributed.layout(model)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="is about Torch")
def test_torch_has_no_scope():
    with (
        pytest.raises(ValueError, match="DistributedDataParallel"),
        distributed.scope(),
    ):
        pass


@pytest.mark.devices
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs JAX")
def test_divided_weights_train_as_whole_ones():
    def build():
        return keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(8, "tanh"),
                keras.layers.Dense(4, "tanh"),
                keras.layers.Dense(1),
            ]
        )

    x = np.random.default_rng(0).normal(size=(21, 6)).astype("float32")
    y = x[:, :1]
    template = build()

    def trained(model):
        model.set_weights(template.get_weights())
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model

    layout = distributed.layout(template, min_size=32)
    paths = [v.path for v in template.variables if layout.get(v.path) is not None]
    assert [path.split("/", 1)[1] for path in paths] == [
        "dense/kernel",
        "dense_1/kernel",
    ]
    with distributed.scope(layout=layout):
        divided = trained(keras.models.clone_model(template))
        kernel = divided.layers[0].kernel.value
        assert {shard.data.shape for shard in kernel.addressable_shards} == {(6, 4)}
        momentum = divided.optimizer.variables[2].value
        assert {s.data.shape for s in momentum.addressable_shards} == {(6, 4)}
        predicted = divided.predict(x, batch_size=8, verbose=0)
    whole = trained(keras.models.clone_model(template))
    np.testing.assert_allclose(predicted, whole.predict(x, verbose=0), atol=1e-5)
