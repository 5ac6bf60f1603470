"""What Adam's relatives share: two moments for each weight."""

import math

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private


class MomentsOptimizer(keras.optimizers.Optimizer):
    """Keeps `momentum` and `velocity` for each weight; `_step` computes the rest."""

    def __init__(
        self, learning_rate, beta_1, beta_2, epsilon, weight_decay, name, **kwargs
    ):
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, **kwargs
        )
        self.beta_1 = checks.real("beta_1", beta_1, low=0, high=1, high_open=True)
        self.beta_2 = checks.real(
            "beta_2", beta_2, low=0, high=1, low_open=True, high_open=True
        )
        self.epsilon = checks.real("epsilon", epsilon, low=0, low_open=True)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = (
            [self.add_variable_from_reference(v, name=name) for v in variables]
            for name in ("momentum", "velocity")
        )

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        position = keras_private.slot(self, variable)
        momentum, velocity = self._momentums[position], self._velocities[position]
        moments, update = self._step(
            ops.cast(gradient, dtype),
            ops.convert_to_tensor(momentum),
            ops.convert_to_tensor(velocity),
            ops.cast(self.iterations + 1, dtype),
        )
        self.assign(momentum, moments[0])
        self.assign(velocity, moments[1])
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * update)

    def _step(self, gradient, momentum, velocity, step):
        """Returns `((momentum, velocity), update)`; the rate is not in `update`."""
        raise NotImplementedError

    def get_config(self):
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def one_minus_power(beta, step):
    """`1 - beta ** step`, exact for a `beta` near 1."""
    return -ops.expm1(step * math.log(beta)) if beta > 0 else 1.0


def rectified_step(gradient, m, v, step, beta_1, beta_2, epsilon):
    """A step of RAdam: `((m, v), update)`, see `RAdam` for the formula."""
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * ops.square(gradient)
    left = one_minus_power(beta_2, step)
    mean = m / one_minus_power(beta_1, step)
    longest = 2 / (1 - beta_2) - 1
    length = longest - 2 * step * (1 - left) / left
    # The square root of the other branch must not become NaN.
    safe = ops.maximum(length, 5.0)
    rectifier = ops.sqrt(
        (safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe)
    )
    adaptive = rectifier * mean / (ops.sqrt(v / left) + epsilon)
    return (m, v), ops.where(length > 5.0, adaptive, mean)


def belief_step(gradient, m, s, step, beta_1, beta_2, epsilon):
    """A step of AdaBelief: `((m, s), update)`, see `AdaBelief` for the formula."""
    m = beta_1 * m + (1 - beta_1) * gradient
    s = beta_2 * s + (1 - beta_2) * ops.square(gradient - m) + epsilon
    mean = m / one_minus_power(beta_1, step)
    deviation = ops.sqrt(s / one_minus_power(beta_2, step))
    return (m, s), mean / (deviation + epsilon)
