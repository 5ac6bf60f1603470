"""Indices out of range, noticed inside a program that does not notice them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src import backend

# What is looked up with each function: of rows, and of classes.
KINDS = ("tokens", "labels")


@contextlib.contextmanager
def checked_indices(report: Callable[[str, Any], None]) -> Iterator[None]:
    """Reports indices out of range of what is traced in the block, on TensorFlow.

    A graph on a CPU raises for a row of an `Embedding` that is not there and for a
    class that a sparse cross-entropy does not have; XLA takes another one, or NaN.
    Nothing public is called at a lookup: the backend's functions are replaced while a
    step is traced, for this thread. `report(kind, is_bad)` gets a scalar tensor.
    Keras 3.12 to 3.15.
    """
    owner = threading.get_ident()
    take, entropy = backend.numpy.take, backend.nn.sparse_categorical_crossentropy

    def checked_take(x: Any, indices: Any, axis: int | None = None) -> Any:
        if threading.get_ident() == owner and axis is not None:
            size = x.shape[axis]
            # A negative index counts from the end.
            _report_outside(report, "tokens", indices, -(size or 0), size)
        return take(x, indices, axis=axis)

    def checked_entropy(
        target: Any, output: Any, from_logits: bool = False, axis: int = -1
    ) -> Any:
        if threading.get_ident() == owner:
            _report_outside(report, "labels", target, 0, output.shape[axis])
        return entropy(target, output, from_logits=from_logits, axis=axis)

    backend.numpy.take = checked_take
    backend.nn.sparse_categorical_crossentropy = checked_entropy
    try:
        yield
    finally:
        backend.numpy.take = take
        backend.nn.sparse_categorical_crossentropy = entropy


def _report_outside(report, kind, indices, lowest, size):
    if size is None or type(indices).__name__ in ("SparseTensor", "RaggedTensor"):
        return
    indices = keras.ops.cast(keras.ops.convert_to_tensor(indices), "int64")
    outside = keras.ops.logical_or(indices < lowest, indices >= size)
    report(kind, keras.ops.any(outside))
