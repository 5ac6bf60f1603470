"""AdaBelief: Adam with the variance of the gradient in place of its square."""

from typing import Any

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Schedule, Tensor
from keras_strategies.optimizers._moments import (
    Moments,
    MomentsOptimizer,
    mean_and_deviation,
    moved_moments,
    rectified,
)


@serializable
class AdaBelief(MomentsOptimizer):
    """Adapts step sizes to how far gradients deviate from their running mean.

    Adam divides by the magnitude of the gradients; AdaBelief divides by their deviation
    from the running mean, so that steps are large where gradients are as expected. It
    aims at the speed of Adam with the generalization of SGD.

    ```
    m <- beta_1 * m + (1 - beta_1) * g
    s <- beta_2 * s + (1 - beta_2) * (g - m) ** 2 + epsilon
    w <- w - learning_rate * m_hat / (sqrt(s_hat) + epsilon)
    ```

    with `m_hat`, `s_hat` divided by `1 - beta ** t`, `t` the step from 1. With
    `rectify` the steps are those of `RAdam` with `s` in the place of `v`; with
    `amsgrad` the largest `s` so far stands in for `s`. Moments of weights in half
    precision are in float32. `AdaBelief` of TensorFlow Addons has `rectify=True` by
    default.

    Reference:

    - [Zhuang et al., 2020, AdaBelief Optimizer: Adapting Stepsizes by the Belief in
      Observed Gradients](https://arxiv.org/abs/2010.07468)
    - [Reddi et al., 2018, On the Convergence of Adam and Beyond](
      https://arxiv.org/abs/1904.09237) (AMSGrad)

    Args:
        learning_rate: A float or a schedule. Defaults to `0.001`.
        beta_1: Decay rate of the mean, in [0, 1). Defaults to `0.9`.
        beta_2: Decay rate of the variance, in (0, 1). Defaults to `0.999`.
        epsilon: Small constant, added inside and outside of the root. Defaults to
            `1e-14`; 1e-8 is closer to SGD.
        weight_decay: Decoupled weight decay, or `None` for none. Defaults to `None`.
        name: Name of the optimizer. Defaults to `"ada_belief"`.
        amsgrad: Whether to divide by the largest variance so far (AMSGrad), so that
            steps do not grow again after a rare large gradient. Defaults to `False`.
        rectify: Whether to rectify the first steps as `RAdam` does; `beta_2` must
            then be greater than 0.6. Defaults to `False`.
        **kwargs: As for every Keras optimizer: `clipnorm`, `use_ema`, ...

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    model.compile(optimizers.AdaBelief(1e-3), loss="mse")
    ```
    """

    def __init__(
        self,
        learning_rate: Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-14,
        weight_decay: float | None = None,
        name: str = "ada_belief",
        amsgrad: bool = False,
        rectify: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            amsgrad,
            name,
            **kwargs,
        )
        self.rectify: bool = checks.boolean("rectify", rectify)
        if rectify:
            # Up to 0.6, rho_inf is at most 4 and no step would ever be adaptive.
            checks.real(
                "beta_2", beta_2, low=0.6, high=1, low_open=True, high_open=True
            )

    def _step(
        self, gradient: Tensor, moments: Moments, step: Tensor
    ) -> tuple[Moments, Tensor]:
        m = self.beta_1 * moments.m + (1 - self.beta_1) * gradient
        surprise = ops.square(gradient - m)
        moments = moved_moments(moments, m, surprise, self.beta_2, self.epsilon)
        m_hat, deviation = mean_and_deviation(
            moments, step, self.beta_1, self.beta_2, self.epsilon
        )
        if self.rectify:
            return moments, rectified(m_hat, deviation, step, self.beta_2)
        return moments, m_hat / deviation

    def get_config(self) -> Config:
        return {**super().get_config(), "rectify": self.rectify}
