"""Training that goes on bit for bit after its process has died."""

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Literal

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies._internal.keras_private.distribution.process_group import (
    active_group,
)
from keras_strategies._internal.keras_private.resuming import (
    is_in_fit,
    running_fit,
    set_first_epoch,
)
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.callbacks._common.siblings import siblings, wrap_list
from keras_strategies.training._resume.exit_signals import ExitSignals
from keras_strategies.training._resume.fingerprint import PARTS
from keras_strategies.training._resume.last_callback import LastCallback
from keras_strategies.training._resume.storage import storage_of
from keras_strategies.training._resume.store import CheckpointStore
from keras_strategies.training._resume.training_run import TrainingRun


class ResumableTraining(bases.Callback):
    """Callback from which a training that died goes on as if it had not.

    Run the script again: it continues from the newest checkpoint of `directory`, in the
    middle of an epoch too, and ends with the same weights, optimizer, metrics, history,
    logs and states of callbacks as one that was never interrupted, bit for bit, on the
    same machine and backend. Put back are all variables of model, metrics, optimizer,
    the states of the other callbacks (`callbacks.Stateful`, Keras's own by
    `callbacks.get_state`), the random states of Python, NumPy, Keras and Torch, and the
    position in the data. A training that has ended does nothing when it is run again.

    It stands anywhere in `callbacks` and needs neither data nor the others. Give the
    data as an `IndexedDataset`: the order of its batches needs no state, and nothing is
    read twice. Others are read again up to the batch; where their order cannot be put
    back, a warning says so. A callback with a memory that nobody can put back is named
    in a warning, too.

    A checkpoint is a folder of JSON and NumPy arrays, without pickle. It is written
    aside of the training, flushed and renamed at the end, and every byte is checked
    when it is read: one that is torn or damaged is left out with a warning, and the one
    before it is used. SIGTERM and SIGINT save and end the process; if the disk is full,
    training goes on with a warning.

    Several devices inside `training.distributed.scope` train and resume exactly, too.
    In a group of processes the chief writes, to a directory that all hosts share, and
    each process reads; `training.distributed.launch` starts the group again when a
    process has died. At SIGTERM a group of TensorFlow ends at its next checkpoint, one
    of JAX after the step.

    A checkpoint of another training (other layers, optimizer, batch size, versions) is
    refused, and the error names what differs.

    Args:
        directory: Folder for the checkpoints of this training, or a URL of fsspec such
            as `"s3://bucket/run"` (extra `cloud`). Only one training at a time can have
            it.
        save_freq: `"epoch"`, or an integer: after that many batches. Defaults to
            `"epoch"`.
        keep: How many of the newest checkpoints stay. With 1 there is none to go back
            to if it is damaged. Defaults to `3`.
        keep_every: Checkpoints of each `keep_every`-th epoch stay, too. Defaults to
            none.
        keep_best: Name in the logs, such as `"val_loss"`, of which the best checkpoint
            at the end of an epoch stays, too. Defaults to none.
        mode: Whether less or more of it is better: `"min"`, `"max"` or `"auto"`, by the
            metric. Defaults to `"auto"`.
        allow: Names of parts that may differ from those of the checkpoint: `"backend"`,
            `"callbacks"`, `"compile"`, `"data"`, `"devices"`, `"model"` (with the same
            weights), `"optimizer"`, `"versions"`. The result is then no longer that of
            one run. Defaults to none.
        on_error: What follows from a checkpoint that cannot be written: `"warn"` once,
            or `"raise"`. Defaults to `"warn"`.
        background: Whether checkpoints are written in a thread. Defaults to `True`.
        handle_signals: Whether SIGTERM and SIGINT save before they end the process.
            Defaults to `True`.
        take_over: Whether to write to a directory that another training seems to write
            to. Defaults to `False`.
        storage_options: Arguments of the file system of fsspec. Defaults to none.
        verbose: 1 prints what is resumed, 0 nothing. Defaults to `1`.

    Raises:
        RuntimeError: In `fit`, if another process writes to the directory, or there are
            checkpoints and none of them can be used.
        ValueError: In `fit`, if the checkpoint is one of another training.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    x, y = np.random.rand(12, 3), np.random.rand(12)
    data = training.IndexedDataset((x, y), batch_size=4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    resumable = training.ResumableTraining("checkpoints", save_freq=2, verbose=0)
    history = model.fit(data, epochs=2, callbacks=[resumable], verbose=0)
    print(len(history.epoch))  # 2; again after another run of the script
    ```
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        save_freq: int | Literal["epoch"] = "epoch",
        keep: int = 3,
        keep_every: int | None = None,
        keep_best: str | None = None,
        mode: Literal["auto", "min", "max"] = "auto",
        allow: Collection[str] = (),
        on_error: Literal["warn", "raise"] = "warn",
        background: bool = True,
        handle_signals: bool = True,
        take_over: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        verbose: int = 1,
    ):
        super().__init__()
        checks.instance("directory", directory, (str, os.PathLike))
        if not os.fspath(directory):
            checks.fail("`directory` must not be empty", directory=directory)
        self.directory: str = os.fspath(directory)
        if save_freq != "epoch":
            fix = "Give 'epoch' or a number of batches."
            save_freq = checks.integer("save_freq", save_freq, low=1, fix=fix)
        self.save_freq: int | str = save_freq
        self.keep: int = checks.integer("keep", keep, low=1)
        self.keep_every: int | None = checks.integer(
            "keep_every", keep_every, low=1, optional=True
        )
        self.keep_best: str | None = checks.instance(
            "keep_best", keep_best, str, optional=True
        )
        self.mode: str = checks.choice("mode", mode, ("auto", "min", "max"))
        fix = "Give a tuple of names, such as ('data',)."
        if isinstance(allow, str):
            checks.fail("`allow` must name parts", fix=fix, allow=allow)
        self.allow: tuple[str, ...] = tuple(
            checks.choice("allow", part, tuple(PARTS), fix=fix) for part in allow
        )
        self.on_error: str = checks.choice("on_error", on_error, ("warn", "raise"))
        self.background: bool = checks.boolean("background", background)
        self.handle_signals: bool = checks.boolean("handle_signals", handle_signals)
        self.take_over: bool = checks.boolean("take_over", take_over)
        self.storage_options: Mapping[str, Any] | None = storage_options
        self.verbose: int = verbose
        self._last = LastCallback(self)
        self._run: TrainingRun | None = None
        self._signals = ExitSignals(lambda frame: is_in_fit(frame, self._model))

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes the first and the last place among the callbacks, wherever it is."""
        super().set_params(params)
        self._last.set_params(params)
        self._last.set_model(self._model)
        wrap_list(self, self._last)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._end_failed_fit()
        model = self.model
        fit = running_fit(model)
        if fit is None:
            checks.fail(
                "ResumableTraining needs a fit of Keras",
                fix="Give it to model.fit(callbacks=[...]).",
                error=RuntimeError,
                model=type(model).__name__,
            )
        self._refuse_others()
        store = CheckpointStore(
            storage_of(self.directory, self.storage_options),
            self.keep,
            self.keep_every,
            self._monitor(model),
            self.on_error,
            self.background,
            self.take_over,
            self._is_chief,
        )
        others = [item for item in siblings(self) if item is not self._last]
        run = TrainingRun(model, fit, others, store, self.save_freq, self.params)
        store.open()
        try:
            message = run.find(self.allow)
        except BaseException:
            store.close()
            raise
        self._run = run
        if message and self.verbose and self._is_chief:
            print_message(message)
        if run.is_over:
            self._skip_fit(run)
        elif self.handle_signals:
            self._signals.install()

    @property
    def _is_chief(self):
        group = active_group()
        return group is None or group.is_chief

    def _monitor(self, model):
        if self.keep_best is None:
            return None
        if self.mode in ("min", "max"):
            return self.keep_best, self.mode
        fix = "Give `mode` as 'min' or 'max'."
        direction = metric_direction(
            self.keep_best, model=model, argument="keep_best", fix=fix
        )
        return self.keep_best, direction

    def _refuse_others(self):
        kinds = (ResumableTraining, keras.callbacks.BackupAndRestore)
        for other in siblings(self):
            if isinstance(other, kinds):
                checks.fail(
                    "Only one callback can resume a training",
                    fix=f"Leave {type(other).__name__} out.",
                    callback=type(other).__name__,
                )

    def _skip_fit(self, run):
        """Ends a fit that has nothing to train, before the others begin.

        What they do at the begin, such as emptying a log file, would not be undone.
        """
        run.restore()
        owner = run.owner(self)
        owner.callbacks[:] = [self]  # the list that is being gone through
        set_first_epoch(run.model, max(1, int(self.params["epochs"])))

    def _end_failed_fit(self):
        """Ends what a fit that raised has left behind."""
        self._signals.remove()
        if self._run is not None:
            self._run.store.close()
            self._run = None

    def all_have_begun(self) -> None:
        """Called when `on_train_begin` of every other callback has been."""
        run = self._current()
        wrap_list(self, self._last)
        run.begin()
        if run.step == 0:
            run.restore()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        set_first_epoch(self._model, None)

    def all_have_begun_epoch(self, epoch: int) -> None:
        """Called when `on_epoch_begin` of every other callback has been."""
        self._current().begin_epoch(epoch)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        run = self._current()
        if run.is_pending:
            # Here at last, as the others have changed something in on_epoch_begin.
            self.model  # noqa: B018  JAX: writes its state into the variables
            run.restore()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Nothing: but Keras then calls this hook of all callbacks in their order.

        Without one on JAX it calls them in threads, while the next step runs.
        """

    def all_have_ended_batch(self, batch: int) -> None:
        """Called when `on_train_batch_end` of every other callback has been."""
        run, is_asked = self._current(), self._signals.received is not None
        leaves = is_asked and run.can_save_alone
        if run.end_batch(batch, leaves) and is_asked:
            self._leave(run)

    def all_have_ended_epoch(self, epoch: int, logs: dict[str, Any] | None) -> None:
        """Called when `on_epoch_end` of every other callback has been."""
        run, is_asked = self._current(), self._signals.received is not None
        leaves = is_asked and run.can_save_alone
        if self.keep_best is not None and self.keep_best not in (logs or {}):
            self._warn_of_missing_monitor(logs)
        always = leaves or self.keep_every is not None or self.keep_best is not None
        if run.end_epoch(epoch, logs or {}, always) and is_asked:
            self._leave(run)

    def _warn_of_missing_monitor(self, logs):
        warnings.warn(
            f"`keep_best`={self.keep_best!r} is not in the logs, which have "
            f"{sorted(logs or {})}: no checkpoint is kept for it.",
            stacklevel=3,
        )

    def _leave(self, run):
        run.store.close()
        self._run = None
        if self.verbose:
            print_message("A checkpoint was written; the process ends by a signal.")
        self._signals.leave()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        set_first_epoch(self._model, None)
        if self._run is not None and self._run.is_over:  # the others are not called
            self._run.restore_end()
            self._end_failed_fit()

    def all_have_ended(self, logs: dict[str, Any] | None) -> None:
        """Called when `on_train_end` of every other callback has been."""
        run = self._current()
        run.finish(logs or {})
        self._signals.remove()
        run.store.close()
        self._run = None

    def _current(self):
        run = self._run
        if run is None:
            checks.fail(
                "ResumableTraining needs `on_train_begin` first",
                error=RuntimeError,
                directory=self.directory,
            )
        return run
