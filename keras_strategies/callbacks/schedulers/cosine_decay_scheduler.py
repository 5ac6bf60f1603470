"""Cosine decay of the learning rate."""

from typing import Literal

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks.schedulers._learning_rate_callback import (
    LearningRateCallback,
)
from keras_strategies.schedules import _curves as curves


class CosineDecayScheduler(LearningRateCallback):
    """Lowers the learning rate along half a cosine wave over the training.

    Most of the training is at a high or at a low rate, and only the length must be
    chosen, by default that of the fit. It is added to `fit`, so that the model need
    not be compiled again.

    ```
    wave = (1 + cos(pi * min(position / decay_steps, 1))) / 2
    rate(position) = initial_learning_rate * (alpha + (1 - alpha) * wave)
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

    Reference:

    - [Loshchilov & Hutter, 2017, SGDR: Stochastic Gradient Descent with Warm
      Restarts](https://arxiv.org/abs/1608.03983)

    Args:
        initial_learning_rate: Undecayed learning rate, greater than 0, given to
            every optimizer of the model. Defaults to `None`: the rate that each
            optimizer has when training begins.
        decay_steps: Positions until the end of the wave, after the warm-up,
            greater than 0; the rate stays constant afterwards. Defaults to `None`:
            the whole fit, without the warm-up.
        alpha: Rate at the end as a fraction of the initial one, in [0, 1].
            Defaults to `0.0`.
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
        ValueError: If an argument is out of its range; in `fit`, if `decay_steps`
            is `None` and the length of the fit is unknown or not longer than the
            warm-up.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    scheduler = callbacks.CosineDecayScheduler(0.1)
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=4, callbacks=[scheduler], verbose=0
    )
    print(np.round(history.history["learning_rate"], 4))
    # [0.1    0.0854 0.05   0.0146]
    ```
    """

    def __init__(
        self,
        initial_learning_rate: float | None = None,
        decay_steps: float | None = None,
        alpha: float = 0.0,
        update: Literal["epoch", "batch"] = "epoch",
        warmup_steps: int = 0,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(initial_learning_rate, update, warmup_steps, optimizer)
        self.decay_steps: float | None = checks.real(
            "decay_steps", decay_steps, low=0, low_open=True, optional=True
        )
        self.alpha: float = checks.real("alpha", alpha, low=0, high=1)
        self._length = self.decay_steps

    def _check_length(self) -> None:
        if self.decay_steps is not None:
            return
        epochs = self.params["epochs"]
        total = self._positions_in(epochs)
        if total is None:
            checks.fail(
                "With update='batch', the steps in an epoch must be known",
                fix="Give `decay_steps`, or fit(steps_per_epoch=...), or use "
                "update='epoch'.",
                decay_steps=None,
                steps_per_epoch=None,
            )
        if total <= self.warmup_steps:
            checks.fail(
                f"`warmup_steps` must be less than the {total} positions of the fit",
                fix="Train longer, warm up shorter, or give `decay_steps`.",
                warmup_steps=self.warmup_steps,
                epochs=epochs,
            )
        self._length = total - self.warmup_steps

    def _factor(self, position: float) -> float:
        return curves.cosine_decay(position, self._length, self.alpha, xp=np)
