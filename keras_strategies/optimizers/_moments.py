"""Optimizers of the Adam family: two moments for each weight."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.types import Config, Schedule, Tensor


class Moments(NamedTuple):
    """The state of a weight: mean, (co)variance, and its maximum with AMSGrad."""

    m: Tensor
    v: Tensor
    v_max: Tensor | None = None


class MomentsOptimizer(bases.Optimizer):
    """Base of optimizers that keep `momentum` and `velocity` for each weight.

    Subclasses compute new moments and the update in `_step`. Moments of weights in
    half precision are in float32: squares of gradients underflow there, and a decay
    rate of 0.999 is 1 in bfloat16.
    """

    def __init__(
        self,
        learning_rate: Schedule,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float | None,
        amsgrad: bool,
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
        self.amsgrad: bool = checks.boolean("amsgrad", amsgrad)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = (
            [self._add_moment(v, name) for v in variables]
            for name in ("momentum", "velocity")
        )
        if self.amsgrad:
            self._maxima = [self._add_moment(v, "velocity_max") for v in variables]

    def _add_moment(self, variable: keras.Variable, name: str) -> keras.Variable:
        if _precise_dtype(variable) == keras.backend.standardize_dtype(variable.dtype):
            return self.add_variable_from_reference(variable, name=name)
        return keras_private.add_variable_like(
            self, variable, name, _precise_dtype(variable)
        )

    def apply(
        self,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        # Gradients of embeddings are sparse on TensorFlow, with an entry for each use
        # of a row: clipping, accumulation and the squares need their sum.
        dense = [keras_private.dense_gradient(gradient) for gradient in grads]
        super().apply(dense, trainable_variables)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Schedule
    ) -> None:
        dtype = _precise_dtype(variable)
        index = keras_private.slot(self, variable)
        slots = [self._momentums[index], self._velocities[index]]
        if self.amsgrad:
            slots.append(self._maxima[index])
        moments, update = self._step(
            ops.cast(gradient, dtype),
            Moments(*(ops.convert_to_tensor(slot) for slot in slots)),
            ops.cast(self.iterations + 1, dtype),
        )
        for slot, moment in zip(slots, moments, strict=False):
            self.assign(slot, moment)
        update = ops.cast(learning_rate, dtype) * update
        self.assign_sub(variable, ops.cast(update, variable.dtype))

    def _step(
        self, gradient: Tensor, moments: Moments, step: Tensor
    ) -> tuple[Moments, Tensor]:
        """Returns the new moments and the update without the learning rate."""
        raise NotImplementedError

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


def _precise_dtype(variable: keras.Variable) -> str:
    """Returns the dtype of the moments of a weight: at least float32."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return keras.backend.result_type(dtype, "float32")


def one_minus_power(beta: float, step: Tensor) -> Tensor:
    """Computes `1 - beta ** step` without cancellation for a `beta` near 1."""
    return -ops.expm1(step * math.log(beta)) if beta > 0 else 1.0


def rectified(m_hat: Tensor, deviation: Tensor, step: Tensor, beta_2: float) -> Tensor:
    """Returns `m_hat / deviation`, rectified; `m_hat` in the first steps.

    The formula is in `RAdam`.
    """
    v_correction = one_minus_power(beta_2, step)
    # Length of the simple moving average that approximates the exponential one: its
    # limit, and its value at this step (Liu et al., 2020, equations 4 and 5).
    rho_inf = 2 / (1 - beta_2) - 1
    rho = rho_inf - 2 * step * (1 - v_correction) / v_correction
    # `where` computes both branches: the root of the unused one must not be NaN.
    safe = ops.maximum(rho, 5.0)
    rectifier = ops.sqrt(
        (safe - 4) * (safe - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * safe)
    )
    # The variance is tractable above 4 in the paper, above 5 in the authors' code.
    return ops.where(rho > 5.0, rectifier * m_hat / deviation, m_hat)


def mean_and_deviation(
    moments: Moments, step: Tensor, beta_1: float, beta_2: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Returns the mean and `sqrt(variance) + epsilon`, without the bias of zeros."""
    variance = moments.v if moments.v_max is None else moments.v_max
    deviation = ops.sqrt(variance / one_minus_power(beta_2, step))
    return moments.m / one_minus_power(beta_1, step), deviation + epsilon


def moved_moments(
    moments: Moments, m: Tensor, target: Tensor, beta_2: float, added: float = 0.0
) -> Moments:
    """Returns the moments with the mean `m` and the variance moved to `target`."""
    v = beta_2 * moments.v + (1 - beta_2) * target + added
    maximum = None if moments.v_max is None else ops.maximum(moments.v_max, v)
    return Moments(m, v, maximum)
