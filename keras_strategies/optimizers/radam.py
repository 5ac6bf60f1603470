"""RAdam: Adam that needs no warm-up."""

from typing import Any

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Schedule, Tensor
from keras_strategies.optimizers._moments import (
    Moments,
    MomentsOptimizer,
    mean_and_deviation,
    moved_moments,
    rectified,
)


@serializable
class RAdam(MomentsOptimizer):
    """Rectified Adam: small steps while the variance estimate is unreliable.

    Adam's first steps divide by a variance estimated from a few samples and can be far
    too large, which a warm-up of the learning rate hides. RAdam scales each step by the
    reliability of the estimate and starts as SGD with momentum.

    ```
    m <- beta_1 * m + (1 - beta_1) * g,    v <- beta_2 * v + (1 - beta_2) * g ** 2
    rho_inf = 2 / (1 - beta_2) - 1
    rho = rho_inf - 2 * t * beta_2 ** t / (1 - beta_2 ** t)
    r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
    w <- w - learning_rate * r * m_hat / (sqrt(v_hat) + epsilon)     if rho > 5
    w <- w - learning_rate * m_hat                                   otherwise
    ```

    with step `t` from 1 and `m_hat`, `v_hat` divided by `1 - beta ** t`. With `amsgrad`
    the largest `v` so far stands in for `v`. Moments of weights in half precision are
    in float32.

    Reference:

    - [Liu et al., 2020, On the Variance of the Adaptive Learning Rate and Beyond](
      https://arxiv.org/abs/1908.03265)
    - [Reddi et al., 2018, On the Convergence of Adam and Beyond](
      https://arxiv.org/abs/1904.09237) (AMSGrad)

    Args:
        learning_rate: A float or a schedule. Defaults to `0.001`.
        beta_1: Decay rate of the mean, in [0, 1). Defaults to `0.9`.
        beta_2: Decay rate of the variance, in (0.6, 1). Defaults to `0.999`.
        epsilon: Small constant that prevents division by zero. Defaults to `1e-7`.
        weight_decay: Decoupled weight decay, or `None` for none. Defaults to `None`.
        name: Name of the optimizer. Defaults to `"radam"`.
        amsgrad: Whether to divide by the largest variance so far (AMSGrad), so that
            steps do not grow again after a rare large gradient. Defaults to `False`.
        **kwargs: As for every Keras optimizer: `clipnorm`, `use_ema`, ...

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    model.compile(optimizers.RAdam(1e-3, weight_decay=1e-4), loss="mse")
    ```
    """

    def __init__(
        self,
        learning_rate: Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        name: str = "radam",
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        # Up to 0.6, rho_inf is at most 4 and no step would ever be adaptive.
        checks.real("beta_2", beta_2, low=0.6, high=1, low_open=True, high_open=True)
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

    def _step(
        self, gradient: Tensor, moments: Moments, step: Tensor
    ) -> tuple[Moments, Tensor]:
        m = self.beta_1 * moments.m + (1 - self.beta_1) * gradient
        moments = moved_moments(moments, m, ops.square(gradient), self.beta_2)
        m_hat, deviation = mean_and_deviation(
            moments, step, self.beta_1, self.beta_2, self.epsilon
        )
        return moments, rectified(m_hat, deviation, step, self.beta_2)
