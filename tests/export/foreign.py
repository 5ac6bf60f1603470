"""A registered custom layer and model in a module of their own."""

import keras


@keras.saving.register_keras_serializable(package="export_tests")
class Halve(keras.layers.Layer):
    """Half of the input; random in training only."""

    def call(self, inputs, training=False):
        if training:
            inputs = inputs * keras.random.uniform(())
        return inputs / 2


@keras.saving.register_keras_serializable(package="export_tests")
class Subclassed(keras.Model):
    """Two inputs by name, two outputs by name."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, inputs, training=False):
        hidden = self.dense(inputs["left"]) + self.dense(inputs["right"])
        return {"sum": hidden, "positive": hidden > 0}

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(package="export_tests")
class Erf(keras.layers.Layer):
    """An operation that LiteRT does not have."""

    def call(self, inputs):
        return keras.ops.erf(inputs)
