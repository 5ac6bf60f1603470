"""AdaBelief: Adam with the variance of the gradient in place of its square."""

from typing import Any

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Schedule, Tensor
from keras_strategies.optimizers._moments import MomentsOptimizer, belief_step


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

    with `m_hat`, `s_hat` divided by `1 - beta ** t`, `t` the step from 1.

    Reference:

    - [Zhuang et al., 2020, AdaBelief Optimizer: Adapting Stepsizes by the Belief in
      Observed Gradients](https://arxiv.org/abs/2010.07468)

    Args:
        learning_rate: A float or a schedule. Defaults to `0.001`.
        beta_1: Decay rate of the mean, in [0, 1). Defaults to `0.9`.
        beta_2: Decay rate of the variance, in (0, 1). Defaults to `0.999`.
        epsilon: Small constant, added inside and outside of the root. Defaults to
            `1e-14`; 1e-8 is closer to SGD.
        weight_decay: Decoupled weight decay, or `None` for none. Defaults to `None`.
        name: Name of the optimizer. Defaults to `"ada_belief"`.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, name, **kwargs
        )

    def _step(
        self, gradient: Tensor, momentum: Tensor, velocity: Tensor, step: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        return belief_step(
            gradient,
            momentum,
            velocity,
            step,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )
