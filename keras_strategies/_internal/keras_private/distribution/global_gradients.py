"""Gradients of the whole batch for optimizers under tf.distribute.

There each replica has the gradients of its own samples, and Keras adds them up in the
last moment, after clipping, loss scaling and what a wrapper does. Here they are added
up first: by the wrappers of this package always, by all optimizers inside
`all_optimizers_global`. Keras 3.12 to 3.15.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal.keras_private.distribution.over_replicas import replicas
from keras_strategies._internal.keras_private.distribution.replaced_names import (
    replaced,
)
from keras_strategies._internal.keras_private.optimizers import nested_optimizers

# Of the thread of a replica: whether its gradients are summed up.
_state = threading.local()
_open: list[None] = []  # one for each `all_optimizers_global` that is open


@contextlib.contextmanager
def all_optimizers_global() -> Iterator[None]:
    """Has every optimizer sum the gradients up first while it is open."""
    from keras.src.backend.tensorflow.optimizer import TFOptimizer

    with replaced(
        [
            (TFOptimizer, "apply", _summing(TFOptimizer.apply)),
            (
                keras.optimizers.LossScaleOptimizer,
                "apply",
                _summing(keras.optimizers.LossScaleOptimizer.apply),
            ),
            (
                keras.optimizers.LossScaleOptimizer,
                "_stateful_handle_finite_grads",
                _summed_already(keras.optimizers.LossScaleOptimizer),
            ),
        ]
    ):
        _open.append(None)
        try:
            yield
        finally:
            _open.pop()


def are_gradients_global(model: keras.Model) -> bool:
    """Whether every optimizer of a model sees the gradients of the whole batch.

    So it is everywhere but under a strategy of tf.distribute that was entered by the
    user alone.
    """
    if keras.backend.backend() != "tensorflow" or _open:
        return True
    return model.distribute_strategy.num_replicas_in_sync == 1


def _summing(apply):
    @functools.wraps(apply)
    def apply_summed(self, grads, trainable_variables=None):
        with summed_first(self, grads) as gradients:
            return apply(self, gradients, trainable_variables)

    return apply_summed


def _summed_already(scaling):
    """Loss scaling goes on in threads of its own, which do not know of the sum."""
    original = scaling._stateful_handle_finite_grads

    def _stateful_handle_finite_grads(self, grads, trainable_variables):
        before, _state.is_summed = _is_summed(), True
        try:
            return original(self, grads, trainable_variables)
        finally:
            _state.is_summed = before

    return _stateful_handle_finite_grads


def _sum_no_more(optimizer):
    for item in nested_optimizers(optimizer):
        # By the dict of the object: TensorFlow would track what is set otherwise.
        own = item.__dict__
        if "_all_reduce_sum_gradients" not in own:
            original = item._all_reduce_sum_gradients
            own["_all_reduce_sum_gradients"] = functools.partial(
                _sum_unless_summed, original
            )


def _sum_unless_summed(original, grads_and_vars):
    return list(grads_and_vars) if _is_summed() else original(grads_and_vars)


def _is_summed():
    return getattr(_state, "is_summed", False)


@contextlib.contextmanager
def summed_first(optimizer: Any, gradients: Sequence[Any]) -> Iterator[list[Any]]:
    """Yields the gradients of the whole batch, which are then added up no more."""
    gradients = list(gradients)
    if _is_summed() or replicas() == 1:
        yield gradients
        return
    _sum_no_more(optimizer)
    present = [g for g in gradients if g is not None]
    if present:
        context = lazy_tensorflow.distribute.get_replica_context()
        summed = iter(context.all_reduce("SUM", present))
        gradients = [None if g is None else next(summed) for g in gradients]
    _state.is_summed = True
    try:
        yield gradients
    finally:
        _state.is_summed = False
