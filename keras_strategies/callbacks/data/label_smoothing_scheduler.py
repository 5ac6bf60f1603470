"""Schedules of label smoothing."""

import contextlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import changed_step
from keras_strategies._internal.keras_private.callbacks import (
    add_step_variable,
    function_arguments,
    loss_functions,
    remove_step_variable,
    unwrap_method,
    wrap_method,
)
from keras_strategies.callbacks._common.schedule_values import (
    Schedule,
    evaluate_schedule,
    validate_schedule,
)
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback
from keras_strategies.callbacks.data._smoothed_losses import smoothed_loss


class LabelSmoothingScheduler(StatefulCallback):
    """Sets the label smoothing of the loss for each epoch.

    Label smoothing keeps a classifier from becoming overconfident. A fixed argument of
    the loss cannot be high early in training and 0 at its end, or the reverse. Nothing
    is compiled again when the value changes; integer classes are smoothed too, which
    Keras's `SparseCategoricalCrossentropy` does not support.

    ```
    target = onehot * (1 - smoothing(epoch)) + smoothing(epoch) / classes
    binary: target * (1 - smoothing(epoch)) + 0.5 * smoothing(epoch)
    ```

    It replaces `label_smoothing` of every categorical, sparse categorical, binary or
    focal cross-entropy of the model in training steps. The validation loss uses the
    value that it was compiled with, so that `val_loss` is comparable from epoch to
    epoch. The training step is rebuilt at the beginning and at the end of the fit,
    which costs one compilation each. The value is logged as `label_smoothing`. If a fit
    is stopped by an exception, call `restore()`.

    Reference:

    - [Szegedy et al., 2016, Rethinking the Inception Architecture for Computer
      Vision](https://arxiv.org/abs/1512.00567)
    - [Müller et al., 2019, When Does Label Smoothing
      Help?](https://arxiv.org/abs/1906.02629)

    Args:
        schedule: Smoothing in [0, 1) as a function of the epoch, or as a dict of
            piecewise-constant values `{0: 0.2, 10: 0.0}`, first epoch to value.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict.
        ValueError: If a value is out of its range; in the first step of `fit`, if no
            loss of the model is a cross-entropy of Keras, or if one has
            `ignore_class`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy")
    smoothing = callbacks.LabelSmoothingScheduler(lambda epoch: 0.2 / 2**epoch)
    history = model.fit(
        np.ones((8, 4)), np.ones(8), epochs=3, callbacks=[smoothing], verbose=0
    )
    print(history.history["label_smoothing"])  # [0.2, 0.1, 0.05]
    ```
    """

    def __init__(self, schedule: Schedule):
        super().__init__()
        self.schedule: Schedule = validate_schedule("schedule", schedule)
        self._value = None
        self._installed = None  # (model, metric, variable) during a fit
        self._holder = None  # (metric, variable), the same in every fit

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()
        model = self.model
        losses = loss_functions(model)
        if losses is not None:  # else they are created by the first step
            _check_losses(model, losses)
        with changed_step(model):
            self._holder = add_step_variable(
                model, 0.0, "label_smoothing", self._holder
            )
            self._installed = model, *self._holder
            wrap_method(model, "compute_loss", self._compute_loss)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = evaluate_schedule(self.schedule, epoch)
        self._value = checks.real(
            "scheduled label_smoothing", value, low=0, high=1, high_open=True
        )
        self._installed[2].assign(self._value)

    def values_for_steps(
        self, start: int, count: int
    ) -> list[tuple[keras.Variable, Sequence[Any]]] | None:
        """Returns nothing: the value is that of the whole epoch."""
        return []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["label_smoothing"] = self._value

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the loss of the model, after a fit that failed.

        Does nothing if it is restored already, as after a fit that ended normally.
        """
        if self._installed is None:
            return
        (model, metric, _), self._installed = self._installed, None
        with changed_step(model):
            unwrap_method(model, "compute_loss", self._compute_loss)
            remove_step_variable(model, metric)

    # One object, as `unwrap_method` compares by identity.
    @property
    def _compute_loss(self):
        return self.__dict__.setdefault("_wrapper", self._make_wrapper())

    def _make_wrapper(self):
        def compute_loss(
            call, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            with self._smoothed(y, y_pred) if training else contextlib.nullcontext():
                return call(
                    x=x,
                    y=y,
                    y_pred=y_pred,
                    sample_weight=sample_weight,
                    training=training,
                )

        return compute_loss

    @contextlib.contextmanager
    def _smoothed(self, y, y_pred):
        """Replaces the functions of the losses while a step is traced."""
        model, _, variable = self._installed
        losses = loss_functions(model, y, y_pred)
        _check_losses(model, losses)
        originals = [(loss, loss.fn) for loss in losses]
        try:
            for loss, function in originals:
                smoothed = smoothed_loss(function, lambda: variable.value)
                loss.fn = smoothed or function
            yield
        finally:
            for loss, function in originals:
                loss.fn = function


def _check_losses(model, losses):
    smoothable = [loss for loss in losses if smoothed_loss(loss.fn, lambda: 0.0)]
    if not smoothable:
        checks.fail(
            "LabelSmoothingScheduler needs a cross-entropy of Keras among the losses",
            fix="Compile with loss='categorical_crossentropy', for example.",
            loss=model.loss,
        )
    for loss in smoothable:
        ignored = function_arguments(loss).get("ignore_class")
        if ignored is not None:
            checks.fail(
                "LabelSmoothingScheduler cannot smooth a loss with `ignore_class`",
                fix="Leave the class out with sample weights of 0.",
                ignore_class=ignored,
            )
