"""Base of regularizers whose penalty of activations is no sum over samples."""

from keras_strategies._internal import bases, keras_private
from keras_strategies._internal.types import Tensor


class BatchPenalty(bases.Regularizer):
    """Penalizes a weight, or the activations of the whole batch on all replicas."""

    def __call__(self, x: Tensor) -> Tensor:
        return keras_private.penalty_of_batch(self._penalty, x)

    def _penalty(self, x: Tensor) -> Tensor:
        """Returns the penalty, as Keras calls a regularizer for it."""
        raise NotImplementedError
