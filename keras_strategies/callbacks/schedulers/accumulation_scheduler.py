"""Schedules of the batch size, by gradient accumulation."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks._common.schedule_values import Schedule
from keras_strategies.callbacks.schedulers._hyperparameters import (
    HyperparameterScheduler,
)


class AccumulationScheduler(HyperparameterScheduler):
    """Sets how many batches one update of the weights averages over.

    A larger batch size has the effect of a lower learning rate, with fewer updates.
    The batches of a running `fit` keep their size, whatever the data source; the
    number of batches in an update can change, which is equivalent for the weights.
    Memory does not grow.

    ```
    effective batch size = batch_size * schedule(epoch)
    ```

    The optimizer must have been compiled with `gradient_accumulation_steps`, so that
    it has variables for the sums; the value is set for each epoch and restored after
    the fit. The training step is rebuilt at the beginning and at the end of the fit,
    which costs one compilation each; a new value costs none. The value is logged as
    `gradient_accumulation_steps`. The weights are updated at every batch whose number
    is a multiple of the value; if the value changes between two updates, the next
    update averages what was accumulated since the last one. Learning-rate schedules
    still count batches. If a fit is stopped
    by an exception, call `restore()`.

    Reference:

    - [Smith et al., 2018, Don't Decay the Learning Rate, Increase the Batch
      Size](https://arxiv.org/abs/1711.00489)

    Args:
        schedule: Batches in an update, at least 1, as a dict of piecewise-constant
            values `{0: 2, 10: 8}`, first epoch to value, or as a function of the
            epoch.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict, or does not return an
            integer.
        ValueError: If a value is less than 1; in `fit`, if an optimizer was compiled
            without `gradient_accumulation_steps`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse")
    growing = callbacks.AccumulationScheduler({0: 1, 2: 4})
    history = model.fit(
        np.ones((16, 4)), np.ones(16), 4, epochs=3, callbacks=[growing], verbose=0
    )
    print(history.history["gradient_accumulation_steps"])  # [1, 1, 4]
    ```
    """

    _log_name = "gradient_accumulation_steps"
    _dtype = "int"

    def __init__(self, schedule: Schedule, optimizer: OptimizerArgument = None):
        super().__init__(schedule, "epoch", optimizer)

    def _pick(self, optimizer: keras.optimizers.Optimizer) -> str:
        if not getattr(optimizer, "gradient_accumulation_steps", None):
            checks.fail(
                "AccumulationScheduler needs an optimizer that accumulates gradients",
                fix="Compile with Adam(gradient_accumulation_steps=2), for example.",
                optimizer=type(optimizer).__name__,
                gradient_accumulation_steps=None,
            )
        return "gradient_accumulation_steps"

    def _checked(self, value: Any) -> int:
        return checks.integer("scheduled gradient_accumulation_steps", value, low=1)
