"""The one-cycle policy for learning rate and momentum."""

from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks.schedulers._hyperparameters import (
    HyperparameterVariables,
    pick_momentum,
)
from keras_strategies.callbacks.schedulers._learning_rate_callback import (
    LearningRateCallback,
)
from keras_strategies.schedules import _cycles as cycles


class OneCycleScheduler(LearningRateCallback):
    """Raises the learning rate once and lowers it, with momentum the other way.

    The large rate in the middle regularizes, so that training needs fewer epochs.
    Choose `max_learning_rate` slightly below the rate at which the loss diverges. This
    is `schedules.OneCycle` for a model that is compiled already, with the length of
    the fit and with the momentum.

    ```
    up       = warmup_fraction * total_steps
    rate     = max / div_factor -> max              in the first `up` steps
               max -> max / div_factor / final_div_factor   afterwards
    momentum = max_momentum -> base_momentum -> max_momentum   in the same steps
    ```

    where `->` is half a cosine wave or a line. The rate is set before each batch; with
    `steps_per_execution=k` only every `k` batches. Momentum is `momentum` of SGD,
    RMSprop and Muon and `beta_1` of Adam and its variants; it is restored after the
    fit, while the last rate stays. Unless `cycle_momentum=False`, the training step is
    rebuilt at the beginning and at the end of the fit, one compilation each.
    `learning_rate` and `momentum` are logged at the end of each epoch. If a fit is
    stopped by an exception, `restore()` restores the momentum.

    Reference:

    - [Smith and Topin, 2017, Super-Convergence: Very Fast Training of Neural
      Networks Using Large Learning Rates](https://arxiv.org/abs/1708.07120)
    - [Smith, 2018, A disciplined approach to neural network
      hyper-parameters](https://arxiv.org/abs/1803.09820)

    Args:
        max_learning_rate: Learning rate at the peak, greater than 0, for every
            optimizer of the model. Defaults to `None`: the rate that each has when
            training begins.
        total_steps: Length of the cycle in batches, at least 2. Defaults to `None`:
            the whole fit.
        warmup_fraction: Fraction of the cycle before the peak, in (0, 1). Defaults to
            `0.3`.
        div_factor: Ratio of the peak to the first rate, at least 1. Defaults to `25.0`.
        final_div_factor: Ratio of the first rate to the last, at least 1. Defaults to
            `1e4`.
        shape: `"cosine"` or `"linear"`. Defaults to `"cosine"`.
        cycle_momentum: Whether the momentum changes too. Defaults to `True`.
        base_momentum: Lowest momentum, at the peak of the rate, in [0, 1).
            Defaults to `0.85`.
        max_momentum: Momentum at the first and the last step, in [0, 1). Defaults to
            `0.95`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: In `fit`, if the optimizer has a schedule object or no
            momentum.
        ValueError: If an argument is out of its range; in `fit`, if the length of the
            fit is unknown, or if SGD was compiled without momentum.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    one_cycle = callbacks.OneCycleScheduler(max_learning_rate=0.1)
    history = model.fit(
        np.ones((40, 4)), np.ones(40), 4, epochs=2, callbacks=[one_cycle], verbose=0
    )
    print(np.round(history.history["learning_rate"], 4))
    ```
    """

    def __init__(
        self,
        max_learning_rate: float | None = None,
        total_steps: int | None = None,
        warmup_fraction: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: Literal["cosine", "linear"] = "cosine",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        optimizer: OptimizerArgument = None,
    ):
        checks.real(
            "max_learning_rate", max_learning_rate, low=0, low_open=True, optional=True
        )
        super().__init__(max_learning_rate, "batch", 0, optimizer)
        self.max_learning_rate: float | None = self.initial_learning_rate
        self.total_steps: int | None = checks.integer(
            "total_steps", total_steps, low=2, optional=True
        )
        self.warmup_fraction: float = checks.real(
            "warmup_fraction",
            warmup_fraction,
            low=0,
            high=1,
            low_open=True,
            high_open=True,
        )
        self.div_factor: float = checks.real("div_factor", div_factor, low=1)
        self.final_div_factor: float = checks.real(
            "final_div_factor", final_div_factor, low=1
        )
        self.shape: str = checks.choice("shape", shape, ("cosine", "linear"))
        self.cycle_momentum: bool = checks.boolean("cycle_momentum", cycle_momentum)
        self.base_momentum: float = checks.real(
            "base_momentum", base_momentum, low=0, high=1, high_open=True
        )
        self.max_momentum: float = checks.real(
            "max_momentum", max_momentum, low=0, high=1, high_open=True
        )
        self._length = self.total_steps
        self._momentum = None
        self._momentum_variables = HyperparameterVariables(
            self, self._acted, self._pick
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if self.cycle_momentum:
            self._momentum_variables.install(self.model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the momentum of the optimizers, after a fit that failed.

        Does nothing if it is restored already, as after a fit that ended normally.
        """
        self._momentum_variables.release()

    def _pick(self, optimizer: keras.optimizers.Optimizer) -> str:
        return pick_momentum(optimizer, "OneCycleScheduler(cycle_momentum=True)")

    def _check_length(self) -> None:
        if self.total_steps is not None:
            return
        total = self._positions_in(self.params["epochs"])
        if total is None or total < 2:
            checks.fail(
                "The batches of the fit must be known and at least 2",
                fix="Give `total_steps`, or fit(steps_per_epoch=...).",
                total_steps=None,
                batches=total,
            )
        self._length = total

    def _step_variables(self) -> list[keras.Variable]:
        momentums = self._momentum_variables.variables if self.cycle_momentum else []
        return [*super()._step_variables(), *momentums]

    def _compute(self, position: int) -> list[float]:
        rates = super()._compute(position)
        if not self.cycle_momentum:
            return rates
        momentum = float(
            cycles.one_cycle_momentum(
                float(position),
                float(self._length),
                self.warmup_fraction,
                self.base_momentum,
                self.max_momentum,
                self.shape,
                xp=np,
            )
        )
        return [*rates, *[momentum] * len(self._momentum_variables.variables)]

    def _set(self, position: int, unless_same: bool = False) -> None:
        values = self._value_at(position)
        super()._set(position, unless_same)
        if self.cycle_momentum:
            self._momentum = values[len(self._rate_variables)]
            self._momentum_variables.assign(self._momentum)

    def _factor(self, position: float) -> float:
        # Fractions of the peak: `LearningRateCallback` multiplies by the base rate.
        start = 1 / self.div_factor
        return cycles.one_cycle(
            position,
            float(self._length),
            self.warmup_fraction,
            start,
            1.0,
            start / self.final_div_factor,
            self.shape,
            xp=np,
        )

    def _logged(self) -> dict[str, Any]:
        logged = super()._logged()
        if not self.cycle_momentum:
            return logged
        name = self._acted.log_name(self._fit_model, "momentum")
        return logged | {name: self._momentum}
