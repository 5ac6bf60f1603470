"""Base classes of serializable wrappers around a model or optimizer."""

import keras

from keras_strategies._internal import checks


class SavedWithInner:
    """Saves the object in the attribute and argument `_INNER` in the config."""

    _INNER = None

    def get_config(self):
        inner = keras.saving.serialize_keras_object(getattr(self, self._INNER))
        return {self._INNER: inner, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(
            config[cls._INNER], custom_objects=custom_objects
        )
        return cls(**{**config, cls._INNER: inner})


class WrapperModel(SavedWithInner, keras.Model):
    """Base of a model that acts as its inner `model` and is saved with it.

    Subclasses change a part of training and add their arguments to `get_config`.
    """

    _INNER = "model"

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
