"""Adam with the deviation from the expected gradient in place of its size."""

from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._moments import MomentsOptimizer, belief_step


@serializable
class AdaBelief(MomentsOptimizer):
    """Takes large steps where gradients are as expected, small ones elsewhere.

    Adam divides by the size of the gradients; this one divides by how far they are
    from their running mean. It aims at Adam's speed with the generalization of SGD.

    ```
    m <- beta_1 * m + (1 - beta_1) * g
    s <- beta_2 * s + (1 - beta_2) * (g - m) ** 2 + epsilon
    w <- w - rate * m_hat / (sqrt(s_hat) + epsilon)
    ```

    with `m_hat`, `s_hat` divided by `1 - beta ** t`, `t` the step from 1.

    Reference:

    - [Zhuang et al., 2020, AdaBelief Optimizer: Adapting Stepsizes by the Belief in
      Observed Gradients](https://arxiv.org/abs/2010.07468)

    Args:
        learning_rate: A float or a schedule. Defaults to `0.001`.
        beta_1: Decay of the mean, in [0, 1). Defaults to `0.9`.
        beta_2: Decay of the deviation, in (0, 1). Defaults to `0.999`.
        epsilon: Small number inside and outside of the root. Defaults to `1e-14`;
            1e-8 is nearer to SGD.
        weight_decay: Decoupled weight decay, or `None`, the default.
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
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-14,
        weight_decay=None,
        name="ada_belief",
        **kwargs,
    ):
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, name, **kwargs
        )

    def _step(self, gradient, momentum, velocity, step):
        return belief_step(
            gradient,
            momentum,
            velocity,
            step,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )
