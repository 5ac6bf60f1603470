"""Base of wrapper models with a penalty on gradients with respect to the inputs."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies._internal.wrapping import WrapperModel


class InputGradientPenalty(WrapperModel):
    """Base of `JacobianPenalty` and `R1`: adds `penalty` to the loss in training."""

    def __init__(
        self, model: keras.Model, factor: float, name: str | None = None
    ) -> None:
        super().__init__(model, name)
        self.factor: float = checks.real("factor", factor, low=0)

    def compute_loss(
        self,
        x: Tensors | None = None,
        y: Tensors | None = None,
        y_pred: Tensors | None = None,
        sample_weight: Tensors | None = None,
        training: bool = True,
    ) -> Tensor:
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if not training or self.factor == 0:
            return loss
        penalty = keras_private.additional_loss(self, self.penalty(x, y, y_pred))
        return loss + ops.cast(self.factor * penalty, loss.dtype)

    def penalty(self, x: Tensors, y: Tensors, y_pred: Tensors) -> Tensor:
        """Returns the penalty of a batch, a scalar tensor, without `factor`."""
        raise NotImplementedError

    def squared_input_gradients(
        self, x: Tensors, scalar: Callable[[list[Tensor]], Tensor]
    ) -> Tensor:
        """Returns `||d scalar(outputs) / d x||^2` of each sample, summed over inputs.

        Runs a second pass through the model. Its updates of moving statistics and of
        random states are discarded; those of the first pass remain.
        """
        leaves = keras.tree.flatten(x)
        float_indices = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
        if not float_indices:
            checks.fail(
                "The inputs must have floating-point numbers to differentiate by",
                dtypes=[str(getattr(leaf, "dtype", None)) for leaf in leaves],
            )

        def run(tensors: list[Tensor]) -> tuple[Tensor, None]:
            inputs = list(leaves)
            for index, tensor in zip(float_indices, tensors, strict=True):
                inputs[index] = tensor
            outputs = self.model(keras.tree.pack_sequence_as(x, inputs), training=True)
            return scalar(keras.tree.flatten(outputs)), None

        # The scope discards updates: statistics must not be updated twice per step.
        values = [(variable, variable.value) for variable in self.variables]
        with keras_private.preserved_losses(self), keras.StatelessScope(values):
            tensors = [leaves[index] for index in float_indices]
            _, _, gradients = keras_private.gradients(run, tensors)
        return sum(_squares_of_samples(gradient) for gradient in gradients)

    def get_config(self) -> Config:
        return {**super().get_config(), "factor": self.factor}


def _is_float(leaf: Any) -> bool:
    dtype = keras.backend.standardize_dtype(getattr(leaf, "dtype", "string"))
    return keras.backend.is_float_dtype(dtype)


def _squares_of_samples(gradient: Tensor) -> Tensor:
    squares = ops.square(ops.cast(gradient, "float32"))
    return ops.sum(squares, axis=tuple(range(1, len(squares.shape))))
