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
    """LiteRT does not have it (a gelu around it the converter would know)."""

    def call(self, inputs):
        return keras.ops.erf(inputs)


@keras.saving.register_keras_serializable(package="export_tests")
class CumulativeLogsumexp(keras.layers.Layer):
    """An operation that LiteRT does not have and that nothing here replaces."""

    def call(self, inputs):
        import tensorflow as tf

        return tf.math.cumulative_logsumexp(inputs, axis=-1)


@keras.saving.register_keras_serializable(package="export_tests")
class Network(keras.Model):
    """A subclassed convolutional classifier."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Conv2D(32, 3, activation="relu")
        self.second = keras.layers.Conv2D(32, 3, activation="relu")
        self.pool = keras.layers.GlobalMaxPooling2D()
        self.last = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs):
        return self.last(self.pool(self.second(self.first(inputs))))


@keras.saving.register_keras_serializable(package="export_tests")
class TwoArguments(keras.Model):
    """Takes its two inputs as two arguments, of which Keras keeps one shape."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(5, 3)
        self.dense = keras.layers.Dense(3)

    def call(self, values, ids, scale=None):
        hidden = self.dense(values) + self.embedding(ids)
        return hidden if scale is None else hidden * scale
