"""The one-cycle policy, as a callback."""

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.callbacks._hyperparameters import OptimizerNumbers, pick_momentum
from keras_strategies.callbacks._scheduler import LearningRateCallback
from keras_strategies.schedules import _cycles as cycles


class OneCycleScheduler(LearningRateCallback):
    """Raises the learning rate once and lowers it, with momentum the other way.

    The large rate in the middle regularizes, so that training ends in fewer epochs.
    Choose `max_learning_rate` a little below where the loss diverges. This is
    `schedules.OneCycle` for a model that is compiled already, with the length of the
    fit and with the momentum.

    ```
    up       = warmup_fraction * total_steps
    rate     = max / div_factor -> max              in the first `up` steps
               max -> max / div_factor / final_div_factor   afterwards
    momentum = max_momentum -> base_momentum -> max_momentum   on the same way
    ```

    where `->` is half a cosine wave or a line. The rate is set before each batch; with
    `steps_per_execution=k` only every `k` batches. Momentum is `momentum` of SGD,
    RMSprop and Muon and `beta_1` of Adam and its kin; it comes back after the fit,
    while the last rate stays. Both ends of the fit rebuild the training step, which
    costs one compilation each, unless `cycle_momentum=False`. `learning_rate` and
    `momentum` are logged at the end of each epoch. If a fit is stopped by an
    exception, `restore()` brings the momentum back.

    Reference:

    - [Smith and Topin, 2017, Super-Convergence: Very Fast Training of Neural
      Networks Using Large Learning Rates](https://arxiv.org/abs/1708.07120)
    - [Smith, 2018, A disciplined approach to neural network
      hyper-parameters](https://arxiv.org/abs/1803.09820)

    Args:
        max_learning_rate: Learning rate at the peak, greater than 0, for every
            optimizer of the model. With `None`, the default, the rate that each
            holds when training begins.
        total_steps: Length of the cycle in batches, at least 2. With `None`, the
            default, the whole fit.
        warmup_fraction: Part of the cycle before the peak, in (0, 1). Defaults to
            `0.3`.
        div_factor: Peak over start, at least 1. Defaults to `25.0`.
        final_div_factor: Start over end, at least 1. Defaults to `1e4`.
        shape: `"cosine"` or `"linear"`. Defaults to `"cosine"`.
        cycle_momentum: Whether the momentum changes too. Defaults to `True`.
        base_momentum: The lowest momentum, at the peak of the rate, in [0, 1).
            Defaults to `0.85`.
        max_momentum: The momentum at both ends, in [0, 1). Defaults to `0.95`.

    Raises:
        TypeError: In `fit`, if the optimizer holds a schedule object or has no
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
        max_learning_rate=None,
        total_steps=None,
        warmup_fraction=0.3,
        div_factor=25.0,
        final_div_factor=1e4,
        shape="cosine",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
    ):
        checks.real(
            "max_learning_rate", max_learning_rate, low=0, low_open=True, optional=True
        )
        super().__init__(max_learning_rate, "batch", 0)
        self.max_learning_rate = self.initial_learning_rate
        self.total_steps = checks.integer(
            "total_steps", total_steps, low=2, optional=True
        )
        self.warmup_fraction = checks.real(
            "warmup_fraction",
            warmup_fraction,
            low=0,
            high=1,
            low_open=True,
            high_open=True,
        )
        self.div_factor = checks.real("div_factor", div_factor, low=1)
        self.final_div_factor = checks.real("final_div_factor", final_div_factor, low=1)
        self.shape = checks.choice("shape", shape, ("cosine", "linear"))
        self.cycle_momentum = checks.boolean("cycle_momentum", cycle_momentum)
        for name, value in (
            ("base_momentum", base_momentum),
            ("max_momentum", max_momentum),
        ):
            setattr(self, name, checks.real(name, value, low=0, high=1, high_open=True))
        self._length = self.total_steps
        self._momentum = None
        self._numbers = OptimizerNumbers(self, self._pick)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.cycle_momentum:
            self._numbers.hold(self.model)

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Gives the optimizers their own momentum back, after a fit that failed.

        Does nothing where it is in place, as after a fit that ended normally.
        """
        self._numbers.release()

    def _pick(self, optimizer):
        return pick_momentum(optimizer, "OneCycleScheduler(cycle_momentum=True)")

    def _check_length(self):
        if self.total_steps is not None:
            return
        total = self._total(self.params["epochs"])
        if total is None or total < 2:
            checks.fail(
                "The batches of the fit must be known and at least 2",
                fix="Give `total_steps`, or fit(steps_per_epoch=...).",
                total_steps=None,
                batches=total,
            )
        self._length = total

    def _set(self, position, unless_same=False):
        super()._set(position, unless_same)
        if self.cycle_momentum:
            self._momentum = float(
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
            self._numbers.set([self._momentum] * len(self._numbers.originals()))

    def _factor(self, position):
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

    def _logged(self):
        logged = super()._logged()
        return logged | ({"momentum": self._momentum} if self.cycle_momentum else {})
