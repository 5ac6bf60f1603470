"""Polynomial sparsity schedule."""

from typing import Any

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule


def polynomial_sparsity(
    step: Any,
    initial: float,
    final: float,
    begin_step: int,
    end_step: int,
    power: float,
) -> Any:
    """`final + (initial - final) * (1 - progress)^power`, progress in [0, 1]."""
    since = ops.cast(ops.convert_to_tensor(step) - begin_step, "float32")
    # Clipped, so that the curve is constant before the begin and after the end.
    progress = ops.clip(since / (end_step - begin_step), 0.0, 1.0)
    return final + (initial - final) * ops.power(1.0 - progress, power)


@serializable
class PolynomialSparsity(SparsitySchedule):
    """Prunes gradually: much while weights are redundant, little near the end.

    The standard choice for reaching 50 to 95 % sparsity during training: the
    network recovers between two prunings. Leave some epochs after `end_step` in
    which the remaining weights settle; masks no longer change there.

    `sparsity(t) = f + (i - f) * (1 - p)^power` with
    `p = clip((t - begin_step) / (end_step - begin_step), 0, 1)`, where `t` is the
    optimizer step, `i` the initial and `f` the final sparsity. Masks follow at
    every `frequency`-th step from `begin_step`; they reach `f` exactly when
    `end_step - begin_step` is a multiple of `frequency`.

    Reference: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of
    pruning for model compression" (2017), https://arxiv.org/abs/1710.01878.

    Args:
        initial_sparsity: Share of zeros at `begin_step`, in [0, 1).
        final_sparsity: Share of zeros from `end_step` on, in [0, 1).
        begin_step: Optimizer step of the first pruning. At least 0.
        end_step: Optimizer step of the last pruning, after `begin_step`.
        power: Exponent of the curve, greater than 0; 1 is linear. Defaults to 3.
        frequency: Steps from one renewal of the masks to the next. At least 1.
            Defaults to 100.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies.compression import PolynomialSparsity

    schedule = PolynomialSparsity(0.0, 0.8, begin_step=0, end_step=1000)
    print([round(float(schedule(step)), 2) for step in (0, 200, 500, 1000, 2000)])
    # [0.0, 0.39, 0.7, 0.8, 0.8]
    ```
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        interval: dict[str, Any] = {"low": 0, "high": 1, "high_open": True}
        self.initial_sparsity: float = checks.real(
            "initial_sparsity", initial_sparsity, **interval
        )
        self.final_sparsity: float = checks.real(
            "final_sparsity", final_sparsity, **interval
        )
        self.power: float = checks.real("power", power, low=0, low_open=True)
        if self.end_step <= self.begin_step:
            checks.fail(
                "`end_step` must be greater than `begin_step`",
                fix="For one sparsity without an end use `ConstantSparsity`.",
                begin_step=begin_step,
                end_step=end_step,
            )

    def __call__(self, step: Any) -> Any:
        return polynomial_sparsity(
            step,
            self.initial_sparsity,
            self.final_sparsity,
            self.begin_step,
            self.end_step,
            self.power,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_sparsity": self.initial_sparsity,
            "final_sparsity": self.final_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
            "frequency": self.frequency,
        }
