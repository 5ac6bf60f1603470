"""Models around a model: the same outputs, another way to train."""

import keras

from keras_strategies._internal import checks


class WrapperModel(keras.Model):
    """Base of a model that acts as the `model` it holds and is saved with it.

    Subclasses change a part of training and add their arguments to `get_config`.
    """

    def __init__(self, model, name=None):
        super().__init__(name=name)
        checks.instance("model", model, keras.Model, fix="Give a Keras model.")
        self.model = model
        self.built = model.built

    def build(self, input_shape):
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def compute_output_shape(self, input_shape):
        return self.model.compute_output_shape(input_shape)

    def get_config(self):
        model = keras.saving.serialize_keras_object(self.model)
        return {"model": model, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["model"] = keras.saving.deserialize_keras_object(
            config["model"], custom_objects=custom_objects
        )
        return cls(**config)
