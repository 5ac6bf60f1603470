"""Sums of gradient norms, accumulated inside the training step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal.keras_private import (
    dense_gradient,
    summed_first,
    updated_variables,
)
from keras_strategies.optimizers._gradients import global_norm


def norm_sums(num_groups: int) -> keras.Variable:
    """Creates the variable of `GradientNormAccumulator`, filled with zeros."""
    return keras.Variable(
        np.zeros((4, num_groups)),
        dtype="float32",
        trainable=False,
        aggregation="only_first_replica",
        name="gradient_norms",
    )


class GradientNormAccumulator:
    """Wrapper of `optimizer.apply` that accumulates the norms of its gradients.

    The rows of `sums` are: sum of the norms, their maximum, number of steps with a
    finite norm, number of steps with a norm that is NaN or infinite. The columns are
    all gradients together and each group.

    Args:
        optimizer: The optimizer whose `apply` is wrapped.
        sums: Variable from `norm_sums`.
        groups: For each group the ids of its variables.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        sums: keras.Variable,
        groups: Sequence[Sequence[int]],
    ):
        self._optimizer, self.sums, self._groups = optimizer, sums, groups

    def __call__(
        self,
        call: Callable[..., Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> Any:
        variables = trainable_variables
        if variables is None:
            variables = updated_variables(self._optimizer)
        with summed_first(self._optimizer, grads) as gradients:
            self._add(gradients, [id(variable) for variable in variables])
            return call(gradients, trainable_variables)

    def _add(self, gradients, variable_ids):
        scale = self._optimizer.loss_scale_factor or 1.0
        by_variable = {
            variable_id: ops.cast(dense_gradient(gradient), "float32") / scale
            for variable_id, gradient in zip(variable_ids, gradients, strict=True)
            if gradient is not None
        }
        # A group without gradients in this step (of a layer that the loss does not
        # depend on) is not counted as a norm of 0.
        zero = ops.zeros((), "float32")
        norms, has_gradient = [], []
        for group in [list(by_variable), *self._groups]:
            present = [by_variable[i] for i in group if i in by_variable]
            norms.append(global_norm(present) if present else zero)
            has_gradient.append(1.0 if present else 0.0)
        norms = ops.stack(norms)
        finite = ops.cast(ops.isfinite(norms), "float32")
        has_gradient = ops.convert_to_tensor(np.float32(has_gradient))
        values = ops.where(ops.isfinite(norms), norms, 0.0)
        total, maximum, steps, nonfinite = ops.unstack(
            ops.convert_to_tensor(self.sums), 4
        )
        self.sums.assign(
            ops.stack(
                [
                    total + values,
                    ops.maximum(maximum, values),
                    steps + has_gradient * finite,
                    nonfinite + has_gradient * (1.0 - finite),
                ]
            )
        )
