"""Base classes of serializable wrappers around a model or an optimizer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.types import Config, Shape, Tensors


def deserialized(value: Any) -> Any:
    """Returns the object of a saved config; what is no config as it is."""
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


class SavedWithInner:
    """Saves the wrapped object, the attribute and argument `_INNER`, in the config."""

    _INNER: ClassVar[str]
    name: str

    def get_config(self) -> Config:
        inner = keras.saving.serialize_keras_object(getattr(self, self._INNER))
        return {self._INNER: inner, "name": self.name}

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        inner = keras.saving.deserialize_keras_object(
            config[cls._INNER], custom_objects=custom_objects
        )
        return cls(**{**config, cls._INNER: inner})


class WrapperModel(SavedWithInner, bases.Model):
    """Base of models that act as the `model` they wrap and are saved with it.

    Subclasses change a part of training and add their arguments to `get_config`.
    """

    _INNER = "model"

    def __init__(self, model: keras.Model, name: str | None = None) -> None:
        super().__init__(name=name)
        checks.instance("model", model, keras.Model, fix="Give a Keras model.")
        self.model: keras.Model = model
        self.built: bool = model.built

    def build(self, input_shape: Any) -> None:
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def call(self, inputs: Tensors, training: bool | None = None) -> Tensors:
        return self.model(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.model.compute_output_shape(input_shape)
