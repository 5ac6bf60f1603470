"""What the report says of layers with and without XLA."""

import keras
import pytest

from keras_strategies import training
from keras_strategies.augmentation import RandomAffine


def test_layers_that_block_are_listed_with_what_replaces_them():
    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="own")
            self.supports_jit = False

    inner = keras.Sequential([keras.layers.RandomRotation(0.1, name="turn")])
    model = keras.Sequential(
        [inner, keras.layers.RandomCrop(6, 6), Own(), keras.layers.Conv2D(2, 3)]
    )
    report = training.xla_report(model)
    assert not report.is_ready
    found = {row["type"]: row for row in report.blocking}
    assert set(found) == {"RandomRotation", "RandomCrop", "Own"}
    assert "RandomAffine" in found["RandomRotation"]["replacement"]
    assert "pipeline" in found["RandomCrop"]["replacement"]
    assert "declares it" in found["Own"]["reason"]
    lines = report.table().split("\n")
    assert len(lines) == 2 + len(report.rows)
    assert sum("  no   " in line for line in lines) == 3
    assert str(report) == report.table()
    assert report.to_dict()["blocking_layers"] == 3


def test_the_replacement_is_ready():
    model = keras.Sequential(
        [RandomAffine(rotation_factor=0.1), keras.layers.Flatten()]
    )
    assert training.xla_report(model).is_ready
    with pytest.raises(TypeError, match="model"):
        training.xla_report("model")
