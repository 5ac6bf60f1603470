"""Regularizers that Keras does not ship, for any backend.

`GroupLasso` drives whole units or filters to zero together.
"""

from keras_strategies.regularizers.group_lasso import GroupLasso

__all__ = ["GroupLasso"]
