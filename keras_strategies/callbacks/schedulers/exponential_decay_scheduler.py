"""Exponential decay of the learning rate."""

from typing import Literal

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks.schedulers._learning_rate_callback import (
    LearningRateCallback,
)
from keras_strategies.schedules import _curves as curves


class ExponentialDecayScheduler(LearningRateCallback):
    """Lowers the learning rate exponentially, a little at every epoch or batch.

    A smooth alternative to step decay when no good moment for a cut is known, and
    independent of the length of the training. It is added to `fit`, so that the
    model need not be compiled again.

    ```
    rate(position) = initial_learning_rate * decay_rate ** (position / decay_steps)
    ```

    where `position` counts epochs or, with `update="batch"`, batches from 0.

    The model may have any optimizer, also inside a `LossScaleOptimizer` or a
    `MultiOptimizer`, where each keeps its own initial rate. Positions continue with
    `fit(initial_epoch=...)` and start again at 0 without it. The rate at the end
    of each epoch is logged as `learning_rate` (with a `MultiOptimizer` as
    `learning_rate_<optimizer name>`). The last rate stays in the optimizer after
    training; a later fit with the same object starts from the same initial rate,
    unless the rate was changed in between. With `steps_per_execution=k` and
    `update="batch"` the rate changes only every `k` batches.

    Args:
        initial_learning_rate: Undecayed learning rate, greater than 0, given to
            every optimizer of the model. Defaults to `None`: the rate that each
            optimizer has when training begins.
        decay_steps: Positions in which the rate falls by the factor `decay_rate`,
            greater than 0. Defaults to `1`.
        decay_rate: Factor over `decay_steps`, in (0, 1]. Defaults to `0.96`.
        update: `"epoch"` sets the rate at the beginning of each epoch, `"batch"`
            before each batch; it is also the unit of `decay_steps` and
            `warmup_steps`. Defaults to `"epoch"`.
        warmup_steps: Length of a linear warm-up before the decay, at least 0.
            At its position `i` the rate is
            `initial_learning_rate * (i + 1) / (warmup_steps + 1)`, never 0; the
            decay counts from its end. Defaults to `0`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: In `fit`, if the optimizer has a schedule object.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    scheduler = callbacks.ExponentialDecayScheduler(0.1, decay_rate=0.8)
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=4, callbacks=[scheduler], verbose=0
    )
    print(np.round(history.history["learning_rate"], 4))
    # [0.1    0.08   0.064  0.0512]
    ```
    """

    def __init__(
        self,
        initial_learning_rate: float | None = None,
        decay_steps: float = 1,
        decay_rate: float = 0.96,
        update: Literal["epoch", "batch"] = "epoch",
        warmup_steps: int = 0,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(initial_learning_rate, update, warmup_steps, optimizer)
        self.decay_steps: float = checks.real(
            "decay_steps", decay_steps, low=0, low_open=True
        )
        self.decay_rate: float = checks.real(
            "decay_rate", decay_rate, low=0, high=1, low_open=True
        )

    def _factor(self, position: float) -> float:
        return curves.exponential_decay(
            position, self.decay_steps, self.decay_rate, xp=np
        )
