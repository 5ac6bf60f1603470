"""Constant sparsity schedule."""

from typing import Any

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule


@serializable
class ConstantSparsity(SparsitySchedule):
    """Prunes to one sparsity at once and keeps it.

    Use it to fine-tune a trained model at a fixed sparsity, or to hold the
    sparsity that a `PolynomialSparsity` run has reached. For a high sparsity from
    dense weights, `PolynomialSparsity` usually costs less accuracy.

    `sparsity(step) = target_sparsity` at the steps `begin_step`,
    `begin_step + frequency`, ... up to `end_step`; masks stay fixed in between and
    after the end.

    Args:
        target_sparsity: Share of zeros in each pruned weight, in [0, 1).
        begin_step: Optimizer step of the first pruning. At least 0.
        end_step: Last optimizer step at which masks may change; -1 for no end.
            Defaults to -1.
        frequency: Steps from one renewal of the masks to the next. At least 1.
            Defaults to 100.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    from keras_strategies.compression import ConstantSparsity

    schedule = ConstantSparsity(0.5, begin_step=200, frequency=50)
    print(float(schedule(250)))  # 0.5
    print(bool(schedule.should_prune(250)), bool(schedule.should_prune(260)))
    ```
    """

    def __init__(
        self,
        target_sparsity: float,
        begin_step: int,
        end_step: int = -1,
        frequency: int = 100,
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        self.target_sparsity: float = checks.real(
            "target_sparsity",
            target_sparsity,
            low=0,
            high=1,
            high_open=True,
            fix="It is the share of zeros, e.g. 0.8 for 80 %.",
        )

    def __call__(self, step: Any) -> Any:
        return ops.convert_to_tensor(self.target_sparsity, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {"target_sparsity": self.target_sparsity, **super().get_config()}
