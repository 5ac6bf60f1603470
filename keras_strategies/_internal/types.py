"""Type aliases for annotations; Keras itself has no types for tensors and configs."""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras

#: A tensor of the backend, a NumPy array or a `keras.KerasTensor`.
Tensor: TypeAlias = Any
#: A tensor, or a nested structure (list, tuple, dict) of tensors.
Tensors: TypeAlias = Any
#: The shape of a tensor; `None` stands for a size that is not known.
Shape: TypeAlias = tuple[int | None, ...]
#: What `get_config` returns.
Config: TypeAlias = dict[str, Any]
#: A layer's or optimizer's config in the form of `serialize_keras_object`.
Serialized: TypeAlias = dict[str, Any]
#: What Keras resolves by `keras.<kind>.get`: a name, a config or the object.
Activation: TypeAlias = str | Serialized | Callable[..., Any]
Initializer: TypeAlias = (
    str | Serialized | keras.initializers.Initializer | Callable[..., Any]
)
Regularizer: TypeAlias = (
    str | Serialized | keras.regularizers.Regularizer | Callable[..., Any]
)
#: A constant learning rate or a schedule of optimizer steps.
Schedule: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule
