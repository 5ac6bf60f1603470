"""Base classes of Keras, as type checkers should see them.

Keras has no types, and its export decorator hides its classes from type checkers: a
subclass would have a base of unknown type, and neither the arguments of its
constructor nor its own attributes could be checked. Type checkers read stand-ins with
the calls of Keras's classes and any attribute; at run time these names are Keras's.
"""

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:

    class KerasObject:
        """What every class of Keras has."""

        name: str

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def get_config(self) -> dict[str, Any]: ...
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any: ...

    class _Callable(KerasObject):
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    class Layer(_Callable): ...

    class Model(Layer): ...

    class Wrapper(Layer):
        layer: Any

    class Dropout(Layer): ...

    class Conv2D(Layer): ...

    class BatchNormalization(Layer): ...

    class DataLayer(Layer): ...

    class ImagePreprocessingLayer(DataLayer): ...

    class Constraint(_Callable): ...

    # Type checkers take the type of `Dense(kernel_initializer="glorot_uniform")`,
    # `Adam(learning_rate=0.001)` and `compile(optimizer="rmsprop")` from the defaults:
    # only what is `Any` too may stand there.
    class Initializer(Any): ...

    class OrthogonalInitializer(Initializer): ...

    class Regularizer(_Callable): ...

    class LearningRateSchedule(Any): ...

    class Optimizer(Any): ...

    class SeedGenerator(KerasObject): ...

    class PyDataset(KerasObject): ...

    class Callback(KerasObject):
        model: Any
        params: dict[str, Any]

        def set_model(self, model: Any) -> None: ...
        def set_params(self, params: dict[str, Any]) -> None: ...

    class EarlyStopping(Callback): ...

    class TensorBoard(Callback): ...

else:
    from keras_strategies._internal import keras_private

    Layer = keras.layers.Layer
    Model = keras.Model
    Wrapper = keras.layers.Wrapper
    Dropout = keras.layers.Dropout
    Conv2D = keras.layers.Conv2D
    BatchNormalization = keras.layers.BatchNormalization
    DataLayer = keras_private.DataLayer
    ImagePreprocessingLayer = keras_private.BaseImagePreprocessingLayer
    Constraint = keras.constraints.Constraint
    Initializer = keras.initializers.Initializer
    OrthogonalInitializer = keras.initializers.Orthogonal
    Regularizer = keras.regularizers.Regularizer
    LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule
    Optimizer = keras.optimizers.Optimizer
    SeedGenerator = keras.random.SeedGenerator
    PyDataset = keras.utils.PyDataset
    Callback = keras.callbacks.Callback
    EarlyStopping = keras.callbacks.EarlyStopping
    TensorBoard = keras.callbacks.TensorBoard
