"""The learning-rate range test."""

import math

import numpy as np

from keras_strategies._internal import checks, optional
from keras_strategies.callbacks import _rate_suggestions, _snapshots
from keras_strategies.callbacks._resumable import ResumableCallback
from keras_strategies.callbacks._scheduler import rate_variables

_METHODS = tuple(_rate_suggestions.METHODS)


class LearningRateFinder(ResumableCallback):
    """Finds a good learning rate: trains briefly while the rate rises.

    The range test of Smith: from a rate far too low to one far too high, a step for
    each; where the loss falls fastest is a good rate, where it explodes is too much.
    `find` does it in one call. As a callback it takes `fit` with at least `steps`
    batches; leave other callbacks out. Afterwards the model is as before: weights,
    optimizer, random numbers of the layers and metrics.

    ```
    rate(i) = min_rate * (max_rate / min_rate) ** (i / (steps - 1))    exponential
    rate(i) = min_rate + (max_rate - min_rate) * i / (steps - 1)       linear
    ```

    Keras logs the mean loss of an epoch so far; here the metrics are reset before
    every step, so that each loss is that of its own batch. The test stops early when
    the smoothed loss is above `stop_factor` times its lowest, or not finite. `rates`
    and `losses` hold the curve, `smoothed_losses` what the suggestions go by. Each
    step waits for its loss.

    Reference:

    - [Smith, 2017, Cyclical Learning Rates for Training Neural Networks](
      https://arxiv.org/abs/1506.01186)
    - [Smith, 2018, A disciplined approach to neural network hyper-parameters](
      https://arxiv.org/abs/1803.09820)

    Args:
        min_rate: First learning rate, greater than 0. Defaults to `1e-7`.
        max_rate: Last learning rate, greater than `min_rate`. Defaults to `10`.
        steps: Number of rates, at least 2. Defaults to `100`.
        spacing: `"exponential"` or `"linear"`. Defaults to `"exponential"`.
        smoothing: Decay of the moving average of the losses, in [0, 1). Defaults to
            `0.9`.
        stop_factor: Multiple of the lowest smoothed loss that ends the test, greater
            than 1. Defaults to `4`.

    Raises:
        TypeError: In `fit`, if the optimizer follows a schedule.
        ValueError: If an argument is out of its range; in `fit`, if the model is not
            built or the fit is too short.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4))
    y = x @ np.array([[1.0], [2.0], [3.0], [4.0]])
    finder = callbacks.LearningRateFinder(min_rate=1e-5, steps=60)
    finder.find(model, x, y)
    model.optimizer.learning_rate = finder.suggest()
    print(1e-3 < finder.suggest() < 0.5)  # True
    ```
    """

    _state_names = ("rates", "losses")

    def __init__(
        self,
        min_rate=1e-7,
        max_rate=10.0,
        steps=100,
        spacing="exponential",
        smoothing=0.9,
        stop_factor=4.0,
    ):
        super().__init__()
        self.min_rate = checks.real("min_rate", min_rate, low=0, low_open=True)
        self.max_rate = checks.real("max_rate", max_rate, low=min_rate, low_open=True)
        self.steps = checks.integer("steps", steps, low=2)
        self.spacing = checks.choice("spacing", spacing, ("exponential", "linear"))
        self.smoothing = checks.real(
            "smoothing", smoothing, low=0, high=1, high_open=True
        )
        self.stop_factor = checks.real("stop_factor", stop_factor, low=1, low_open=True)
        self._before = None  # [(variables, their values)] while the test runs
        self.rate_variables = ()
        self._reset()

    def _reset(self):
        self.rates, self.losses = [], []
        self._position = 0

    @property
    def smoothed_losses(self):
        """The losses after smoothing, as an array."""
        return _rate_suggestions.smooth(self.losses, self.smoothing)

    def find(self, model, x, y=None, **fit_arguments):
        """Runs the test on a compiled model and leaves the model as it was.

        Args:
            model: The compiled and built model.
            x: Training inputs, or whatever `fit` takes.
            y: Targets.
            **fit_arguments: For `model.fit`: `batch_size`, `sample_weight`,
                `steps_per_epoch`, ...

        Returns:
            The finder itself.
        """
        for name in ("epochs", "initial_epoch", "callbacks"):
            if name in fit_arguments:
                checks.fail(f"`{name}` is set by find()", **{name: fit_arguments[name]})
        fit_arguments.setdefault("verbose", 0)
        try:
            model.fit(x, y, epochs=self.steps, callbacks=[self], **fit_arguments)
        finally:
            self.restore()
        return self

    def on_train_begin(self, logs=None):
        self.restore()  # what a test that failed has left behind
        super().on_train_begin(logs)
        model = self.model
        found_variables = rate_variables(model, "LearningRateFinder")
        params = self.params or {}
        if params.get("steps") is not None:
            batches = params["steps"] * params["epochs"]
            if batches < self.steps:
                checks.fail(
                    f"LearningRateFinder needs a fit of at least {self.steps} batches",
                    fix="Train more epochs, give fewer `steps`, or call find().",
                    batches=batches,
                )
        if not model.built:
            checks.fail(
                "LearningRateFinder needs a built model, to restore its weights",
                fix="Give the model an Input, or call model.build() before fit().",
                model=model.name,
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self.found_variables = found_variables
        self._before = [
            (variables, _snapshots.read(variables))
            for variables in (
                model.variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
        ]

    def on_train_batch_begin(self, batch, logs=None):
        model = self.model  # JAX: puts the values back into the variables
        model.reset_metrics()
        rate = self._rate()
        for variable in self.found_variables:
            variable.assign(rate)
        self._next_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", math.nan))
        self._position += self.model.steps_per_execution
        if math.isfinite(loss):
            self.rates.append(self._next_rate)
            self.losses.append(loss)
        smoothed = self.smoothed_losses
        diverged = not math.isfinite(loss) or (
            smoothed[-1] > self.stop_factor * smoothed.min() > 0
        )
        if diverged or self._position >= self.steps:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Puts the model back into its state before a test that failed.

        Does nothing where it is.
        """
        if self._before is not None:
            before, self._before = self._before, None
            for variables, values in before:
                _snapshots.write(variables, values)

    def _rate(self):
        fraction = min(self._position / (self.steps - 1), 1.0)
        if self.spacing == "linear":
            return self.min_rate + (self.max_rate - self.min_rate) * fraction
        return self.min_rate * (self.max_rate / self.min_rate) ** fraction

    def suggest(self, method="valley"):
        """Reads a learning rate off the curve.

        Args:
            method: `"valley"`, the middle of the longest descent of the loss;
                `"steepest"`, where the loss falls fastest against the logarithm of
                the rate; `"minimum"`, a tenth of the rate with the lowest loss.
                Defaults to `"valley"`.

        Returns:
            The learning rate, a float.
        """
        checks.choice("method", method, _METHODS)
        if len(self.losses) < 3:
            checks.fail(
                "`suggest` needs a curve of at least 3 losses",
                fix="Call find() first; if the loss was not finite at once, lower "
                "`min_rate`.",
                losses=len(self.losses),
            )
        # The first losses hang on single batches, the last ones already explode.
        begin = len(self.losses) // 10
        rates = np.array(self.rates[begin:])
        losses = self.smoothed_losses[begin:]
        return float(rates[_rate_suggestions.METHODS[method](rates, losses)])

    def plot(self, axes=None, methods=("valley",)):
        """Draws the curve with the suggestions as vertical lines.

        Args:
            axes: Matplotlib axes to draw into. Defaults to `None`, new ones.
            methods: Suggestions to mark; `()` for none. Defaults to `("valley",)`.

        Returns:
            The axes.
        """
        suggestions = {method: self.suggest(method) for method in methods}
        if axes is None:
            pyplot = optional.require("matplotlib.pyplot", "`LearningRateFinder.plot`")
            axes = pyplot.subplots()[1]
        axes.plot(self.rates, self.losses, alpha=0.3, label="loss")
        axes.plot(self.rates, self.smoothed_losses, label="smoothed")
        for i, (method, rate) in enumerate(suggestions.items()):
            label = f"{method}: {rate:.2g}"
            axes.axvline(rate, color=f"C{i + 2}", linestyle="--", label=label)
        axes.set(xlabel="learning rate", ylabel="loss")
        axes.set_xscale("log" if self.spacing == "exponential" else "linear")
        axes.legend()
        return axes
