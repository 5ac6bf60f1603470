"""The optimizers of a model that update variables."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import base_optimizers


def updating_optimizers(
    model: keras.Model, callback_name: str
) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers below the model's that update variables.

    `callback_name` names the callback in errors.
    """
    optimizers = base_optimizers(model.optimizer)
    if not any(hasattr(optimizer, "optimizers") for optimizer in optimizers):
        return optimizers
    # A MultiOptimizer that is configured by a function creates its optimizers in
    # `build`; before that its list is empty.
    if not model.built:
        checks.fail(
            f"{callback_name} must know the optimizers of a MultiOptimizer",
            fix="Give the model an Input, or call model.build() before fit().",
            optimizer=model.optimizer.name,
        )
    model.optimizer.build(model.trainable_variables)
    return base_optimizers(model.optimizer)
