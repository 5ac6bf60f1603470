"""Schedules of the momentum."""

from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks._common.schedule_values import Schedule
from keras_strategies.callbacks.schedulers._hyperparameters import (
    HyperparameterScheduler,
    pick_momentum,
)


class MomentumScheduler(HyperparameterScheduler):
    """Sets the momentum of the optimizer by a schedule.

    Low momentum while gradients are large and change quickly, high momentum near the
    end; with a one-cycle rate, the reverse of the rate. Keras reads the momentum when
    the training step is traced, so that a new value would be ignored; here a variable
    replaces it during the fit, and nothing is traced again.

    ```
    SGD, RMSprop, Muon: momentum = schedule(position)
    Adam and variants:  beta_1 = schedule(position)
    ```

    where `position` counts epochs or, with `update="batch"`, batches from 0.

    Every optimizer of the model is set, also inside a `LossScaleOptimizer` or a
    `MultiOptimizer`, and has its own value again afterwards. The training step is
    rebuilt at the beginning and at the end of the fit, which costs one compilation
    each. The value of each epoch's last
    batch is logged as `momentum`. If a fit is stopped by an exception, call
    `restore()`. A file saved during the fit has the optimizer's own value. The bias
    correction of Adam uses the current `beta_1` as if it had been that of all the
    steps before.

    Reference:

    - [Sutskever et al., 2013, On the importance of initialization and momentum in
      deep learning](https://proceedings.mlr.press/v28/sutskever13.html)

    Args:
        schedule: Momentum in [0, 1) as a function of the position, as a
            `keras.optimizers.schedules.LearningRateSchedule`, or as a dict of
            piecewise-constant values: `{0: 0.5, 5: 0.9}`, first position to value.
            With `update="batch"` a
            function that computes with plain numbers is much quicker than a
            schedule object.
        update: `"epoch"` sets the value at the beginning of each epoch, `"batch"`
            before each batch. Defaults to `"epoch"`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict; in `fit`, if an
            optimizer has no momentum.
        ValueError: If an argument or a scheduled value is out of its range; in
            `fit`, if the optimizer was compiled with a momentum of 0 (it then keeps
            no velocities), or if two callbacks set the momentum.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss="mse")
    momentum = callbacks.MomentumScheduler({0: 0.5, 2: 0.9})
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=3, callbacks=[momentum], verbose=0
    )
    print(history.history["momentum"])  # [0.5, 0.5, 0.9]
    ```
    """

    _log_name = "momentum"

    def __init__(
        self,
        schedule: Schedule,
        update: Literal["epoch", "batch"] = "epoch",
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(schedule, update, optimizer)

    def _pick(self, optimizer: keras.optimizers.Optimizer) -> str:
        return pick_momentum(optimizer, "MomentumScheduler")

    def _checked(self, value: Any) -> float:
        return checks.real("scheduled momentum", value, low=0, high=1, high_open=True)
