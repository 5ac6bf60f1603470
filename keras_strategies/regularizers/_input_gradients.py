"""Wrapper models whose loss has a penalty on gradients with respect to the inputs."""

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.wrapping import WrapperModel


class InputGradientPenalty(WrapperModel):
    """Base of `JacobianPenalty` and `R1`: adds `penalty` to the loss in training."""

    def __init__(self, model, factor, name=None):
        super().__init__(model, name)
        self.factor = checks.real("factor", factor, low=0)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        if not training or self.factor == 0:
            return loss
        penalty = keras_private.additional_loss(self, self.penalty(x, y, y_pred))
        return loss + ops.cast(self.factor * penalty, loss.dtype)

    def squared_input_gradients(self, x, scalar):
        """For each sample `||d scalar(outputs) / d x||^2`, summed over all inputs.

        A second pass through the model. Its updates of moving statistics and of
        random states are dropped: those of the first pass are kept.
        """
        leaves = keras.tree.flatten(x)
        places = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
        if not places:
            checks.fail(
                "The inputs must have floating-point numbers to differentiate by",
                dtypes=[str(getattr(leaf, "dtype", None)) for leaf in leaves],
            )

        def run(tensors):
            inputs = list(leaves)
            for place, tensor in zip(places, tensors, strict=True):
                inputs[place] = tensor
            outputs = self.model(keras.tree.pack_sequence_as(x, inputs), training=True)
            return scalar(keras.tree.flatten(outputs)), None

        values = [(variable, variable.value) for variable in self.variables]
        with keras_private.kept_losses(self), keras.StatelessScope(values):
            tensors = [leaves[place] for place in places]
            _, _, found = keras_private.gradients(run, tensors)
        return sum(_squares_of_samples(gradient) for gradient in found)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def _is_float(leaf):
    dtype = keras.backend.standardize_dtype(getattr(leaf, "dtype", "string"))
    return keras.backend.is_float_dtype(dtype)


def _squares_of_samples(gradient):
    squares = ops.square(ops.cast(gradient, "float32"))
    return ops.sum(squares, axis=tuple(range(1, len(squares.shape))))
