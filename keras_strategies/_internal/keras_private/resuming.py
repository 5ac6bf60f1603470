"""A `fit` that begins within an epoch, and the order in which it takes batches."""

import sys
from collections.abc import Callable
from typing import Any

import keras
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.epoch_iterator import EpochIterator


def running_fit(model: keras.Model) -> dict[str, Any] | None:
    """The arguments of the `fit` of `model` that is running, by their names.

    Beside them `epoch_iterator`, Keras's own object that goes through the data. A
    callback is given neither. Found on the stack, `None` elsewhere. Keras 3.12 to 3.15.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            values = frame.f_locals
            if isinstance(values.get("epoch_iterator"), EpochIterator):
                return dict(values)
        frame = frame.f_back
    return None


def is_in_fit(frame: Any, model: keras.Model) -> bool:
    """Whether `frame` was called, however deep, from a `fit` of `model`."""
    while frame is not None:
        values = frame.f_locals
        if frame.f_code.co_name == "fit" and values.get("self") is model:
            return True
        frame = frame.f_back
    return False


def set_first_epoch(model: keras.Model, epoch: int | None) -> None:
    """Has the `fit` that calls `on_train_begin` go on with `epoch`.

    As Keras's own BackupAndRestore does it. It never sets it back, so that a second
    `fit` trains nothing: do so in the first `on_epoch_begin`, by `None`. Keras 3.12 to
    3.15.
    """
    model._initial_epoch = epoch


def begin_within_epoch(
    iterator: Any,
    step: int,
    read_from: int,
    before_data: Callable[[], None],
    before_step: Callable[[], None],
) -> None:
    """Has the next epoch of a running `fit` begin with batch `step`.

    `fit` numbers the batches by what the epoch iterator enumerates, from 0; only a
    private method of it can begin elsewhere. The one that is put in its place does what
    Keras's does, call by call, as Torch draws a random number for each iterator that is
    made. Keras 3.12 to 3.15.

    Args:
        iterator: `epoch_iterator` of `running_fit`.
        step: Number of the first batch.
        read_from: How many batches to read and drop, where the data cannot begin
            elsewhere.
        before_data: Called before the data begin their epoch.
        before_step: Called before the first batch that is not dropped is read.
    """

    def enumerate_once():
        del iterator._enumerate_iterator  # the method of the class again
        return _enumerate(iterator, step, read_from, before_data, before_step)

    iterator._enumerate_iterator = enumerate_once


def _enumerate(iterator, step, read_from, before_data, before_step):
    before_data()
    iterator.data_adapter.on_epoch_begin()
    iterator._current_iterator = iter(iterator._get_iterator())
    for _ in range(read_from):
        next(iterator._current_iterator)
    iterator._steps_seen = max(read_from, step)
    before_step()
    size = iterator.steps_per_execution
    for begin in range(step, iterator.num_batches, size):
        iterator._steps_seen += size
        yield begin, begin + size - 1, iterator._current_iterator
    if iterator._num_batches and iterator._steps_seen >= iterator._num_batches:
        iterator._current_iterator = iter(iterator._get_iterator())
        iterator._steps_seen = 0
    iterator.data_adapter.on_epoch_end()


def data_batches(iterator: Any) -> int | None:
    """How many batches the data of `epoch_iterator` have, whatever an epoch takes.

    Its public `num_batches` is `steps_per_epoch` where that is given. Keras 3.12 to
    3.15.
    """
    return iterator._num_batches


def keep_batch_order(dataset: keras.utils.PyDataset) -> None:
    """Has the `fit` that is asking `dataset` for something leave its batches in order.

    With `shuffle=True`, which is the default of `fit`, Keras's adapter shuffles the
    batches of a `PyDataset` by Python's random numbers. It asks for `workers` once it
    has stored that argument. Keras 3.12 to 3.15.
    """
    frame = sys._getframe(2)
    for _ in range(4):
        if frame is None:
            return
        adapter = frame.f_locals.get("self")
        if isinstance(adapter, PyDatasetAdapter) and adapter.py_dataset is dataset:
            adapter.shuffle = False
            return
        frame = frame.f_back


def begins_training_epoch(dataset: Any) -> bool:
    """Whether an epoch of `fit` is what asks `dataset` to begin an epoch.

    Keras asks for one more in order to look at a batch before training, on JAX and
    Torch only, and for one for each validation. Keras 3.12 to 3.15.
    """
    frame = sys._getframe(2)
    for _ in range(12):
        if frame is None:
            return False
        name, values = frame.f_code.co_name, frame.f_locals
        if name in ("evaluate", "predict"):
            return False
        iterator = values.get("epoch_iterator")
        if name == "fit" and isinstance(iterator, EpochIterator):
            _restart_iterator(iterator)
            return "epoch" in values
        frame = frame.f_back
    return False


def _restart_iterator(iterator):
    """With `steps_per_epoch` Keras would go on where the last epoch has ended."""
    if iterator.steps_per_epoch is not None:
        iterator._current_iterator = None
