"""Optimizers of the Adam family: two moments for each weight."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.types import Config, Schedule, Tensor


class MomentsOptimizer(bases.Optimizer):
    """Base of optimizers that keep `momentum` and `velocity` for each weight.

    Subclasses compute new moments and the update in `_step`.
    """

    def __init__(
        self,
        learning_rate: Schedule,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, **kwargs
        )
        self.beta_1: float = checks.real(
            "beta_1", beta_1, low=0, high=1, high_open=True
        )
        self.beta_2: float = checks.real(
            "beta_2", beta_2, low=0, high=1, low_open=True, high_open=True
        )
        self.epsilon: float = checks.real("epsilon", epsilon, low=0, low_open=True)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = (
            [self.add_variable_from_reference(v, name=name) for v in variables]
            for name in ("momentum", "velocity")
        )

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Schedule
    ) -> None:
        dtype = variable.dtype
        index = keras_private.slot(self, variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        moments, update = self._step(
            ops.cast(gradient, dtype),
            ops.convert_to_tensor(momentum),
            ops.convert_to_tensor(velocity),
            ops.cast(self.iterations + 1, dtype),
        )
        self.assign(momentum, moments[0])
        self.assign(velocity, moments[1])
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * update)

    def _step(
        self, gradient: Tensor, momentum: Tensor, velocity: Tensor, step: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Returns `((momentum, velocity), update)` without the learning rate."""
        raise NotImplementedError

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def one_minus_power(beta: float, step: Tensor) -> Tensor:
    """Computes `1 - beta ** step` without cancellation for a `beta` near 1."""
    return -ops.expm1(step * math.log(beta)) if beta > 0 else 1.0


def rectified_step(
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: Tensor,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Returns `((m, v), update)` of a step of RAdam; the formula is in `RAdam`."""
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * ops.square(gradient)
    v_correction = one_minus_power(beta_2, step)
    m_hat = m / one_minus_power(beta_1, step)
    # Length of the simple moving average that approximates the exponential one: its
    # limit, and its value at this step (Liu et al., 2020, equations 4 and 5).
    rho_inf = 2 / (1 - beta_2) - 1
    rho = rho_inf - 2 * step * (1 - v_correction) / v_correction
    # `where` computes both branches: the root of the unused one must not be NaN.
    safe = ops.maximum(rho, 5.0)
    rectifier = ops.sqrt(
        (safe - 4) * (safe - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * safe)
    )
    adaptive = rectifier * m_hat / (ops.sqrt(v / v_correction) + epsilon)
    # The variance is tractable above 4 in the paper, above 5 in the authors' code.
    return (m, v), ops.where(rho > 5.0, adaptive, m_hat)


def belief_step(
    gradient: Tensor,
    m: Tensor,
    s: Tensor,
    step: Tensor,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Returns `((m, s), update)` of a step of AdaBelief; the formula is there."""
    m = beta_1 * m + (1 - beta_1) * gradient
    s = beta_2 * s + (1 - beta_2) * ops.square(gradient - m) + epsilon
    m_hat = m / one_minus_power(beta_1, step)
    s_hat = s / one_minus_power(beta_2, step)
    return (m, s), m_hat / (ops.sqrt(s_hat) + epsilon)
