"""Label smoothing that changes over the training."""

import contextlib

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.callbacks import (
    add_step_variable,
    function_arguments,
    loss_functions,
    remove_step_variable,
    unwrap_method,
    wrap_method,
)
from keras_strategies.callbacks._base import StatefulCallback
from keras_strategies.callbacks._smoothing import smoothed_function
from keras_strategies.callbacks._values import checked_values, value_at


class LabelSmoothingScheduler(StatefulCallback):
    """Sets the label smoothing of the loss for each epoch.

    Smoothing keeps a classifier from growing sure of wrong labels; much of it early
    and none at the end, or the reverse, is what a fixed argument of the loss cannot
    do. The loss is compiled already and nothing is compiled again when the value
    changes; integer classes are smoothed too, which Keras's
    `SparseCategoricalCrossentropy` does not offer.

    ```
    target = onehot * (1 - smoothing(epoch)) + smoothing(epoch) / classes
    binary: target * (1 - smoothing(epoch)) + 0.5 * smoothing(epoch)
    ```

    It replaces `label_smoothing` of every categorical, sparse categorical, binary or
    focal cross-entropy of the model in training steps. The loss of validation keeps
    the value that it was compiled with, so that `val_loss` stays comparable
    from epoch to epoch. Both ends of the fit rebuild the training step, which costs
    one compilation each. The value is logged as `label_smoothing`. If a fit is
    stopped by an exception, call `restore()`.

    Reference:

    - [Szegedy et al., 2016, Rethinking the Inception Architecture for Computer
      Vision](https://arxiv.org/abs/1512.00567)
    - [Müller et al., 2019, When Does Label Smoothing
      Help?](https://arxiv.org/abs/1906.02629)

    Args:
        schedule: Smoothing in [0, 1) as a function of the epoch, or as stairs
            `{0: 0.2, 10: 0.0}`, first epoch to value.

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

    def __init__(self, schedule):
        super().__init__()
        self.schedule = checked_values("schedule", schedule)
        self._value = None
        self._held = None  # (model, metric, variable) during a fit

    def on_train_begin(self, logs=None):
        self.restore()
        model = self.model
        losses = loss_functions(model)
        if losses is not None:  # else the first step makes them
            _refuse_unsuited(model, losses)
        metric, variable = add_step_variable(model, 0.0, "label_smoothing")
        self._held = model, metric, variable
        wrap_method(model, "compute_loss", self._compute_loss)
        model.make_train_function(force=True)

    def on_epoch_begin(self, epoch, logs=None):
        value = value_at(self.schedule, epoch)
        self._value = checks.real(
            "scheduled label_smoothing", value, low=0, high=1, high_open=True
        )
        self._held[2].assign(self._value)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["label_smoothing"] = self._value

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Gives the model its own loss back, after a fit that failed.

        Does nothing where it is in place, as after a fit that ended normally.
        """
        if self._held is None:
            return
        (model, metric, _), self._held = self._held, None
        unwrap_method(model, "compute_loss", self._compute_loss)
        remove_step_variable(model, metric)
        model.make_train_function(force=True)

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
        """Exchanges the functions of the losses while a step is traced."""
        model, _, variable = self._held
        losses = loss_functions(model, y, y_pred)
        _refuse_unsuited(model, losses)
        originals = [(loss, loss.fn) for loss in losses]
        try:
            for loss, function in originals:
                smoothed = smoothed_function(function, lambda: variable.value)
                loss.fn = smoothed or function
            yield
        finally:
            for loss, function in originals:
                loss.fn = function


def _refuse_unsuited(model, losses):
    suited = [loss for loss in losses if smoothed_function(loss.fn, None)]
    if not suited:
        checks.fail(
            "LabelSmoothingScheduler needs a cross-entropy of Keras among the losses",
            fix="Compile with loss='categorical_crossentropy', for example.",
            loss=model.loss,
        )
    for loss in suited:
        ignored = function_arguments(loss).get("ignore_class")
        if ignored is not None:
            checks.fail(
                "LabelSmoothingScheduler cannot smooth a loss with `ignore_class`",
                fix="Leave the class out with sample weights of 0.",
                ignore_class=ignored,
            )
