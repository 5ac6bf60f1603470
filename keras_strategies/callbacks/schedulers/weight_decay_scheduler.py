"""Schedules of the weight decay."""

from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks._common.schedule_values import Schedule
from keras_strategies.callbacks.schedulers._hyperparameters import (
    HyperparameterScheduler,
)


class WeightDecayScheduler(HyperparameterScheduler):
    """Sets the decoupled weight decay of the optimizer by a schedule.

    A growing weight decay is part of recipes for vision transformers (DINO: 0.04 to
    0.4 along a cosine), a falling one of recipes for fine-tuning. Keras reads
    `weight_decay` when the training step is traced, so that a new value would be
    ignored or cost a compilation; here a variable replaces it during the fit.

    ```
    weight -= learning_rate * decay(position) * weight
    ```

    where `position` counts epochs or, with `update="batch"`, batches from 0.

    Every optimizer of the model is set, also inside a `LossScaleOptimizer` or a
    `MultiOptimizer`; variables that it excludes from decay stay excluded. An optimizer
    without weight decay has it during the fit. Afterwards each has its own value again.
    The training step is rebuilt at the beginning and at the end of the fit, which costs
    one compilation each. The value of each epoch's last batch is logged as
    `weight_decay`. If a fit is stopped by an exception, call `restore()`. A file saved
    during the fit has the optimizer's own value.

    Reference:

    - [Loshchilov & Hutter, 2019, Decoupled Weight Decay
      Regularization](https://arxiv.org/abs/1711.05101)
    - [Caron et al., 2021, Emerging Properties in Self-Supervised Vision
      Transformers](https://arxiv.org/abs/2104.14294)

    Args:
        schedule: Weight decay, at least 0, as a function of the position, as a
            `keras.optimizers.schedules.LearningRateSchedule`, or as a dict of
            piecewise-constant values: `{0: 0.04, 10: 0.4}`, first position to value.
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
            optimizer has no weight decay to set.
        ValueError: If an argument or a scheduled value is out of its range; in
            `fit`, if two callbacks set the weight decay.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.04), loss="mse")
    growing = callbacks.WeightDecayScheduler(lambda epoch: 0.04 * (1 + epoch))
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=3, callbacks=[growing], verbose=0
    )
    print(np.round(history.history["weight_decay"], 2))  # [0.04 0.08 0.12]
    print(model.optimizer.weight_decay)  # 0.04
    ```
    """

    _log_name = "weight_decay"

    def __init__(
        self,
        schedule: Schedule,
        update: Literal["epoch", "batch"] = "epoch",
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(schedule, update, optimizer)

    def _pick(self, optimizer: keras.optimizers.Optimizer) -> str:
        if not hasattr(optimizer, "weight_decay"):
            checks.fail(
                "WeightDecayScheduler needs an optimizer with `weight_decay`",
                fix="Compile with an optimizer of keras.optimizers.",
                error=TypeError,
                optimizer=optimizer,
            )
        return "weight_decay"

    def _checked(self, value: Any) -> float:
        return checks.real("scheduled weight_decay", value, low=0)
