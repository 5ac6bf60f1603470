"""Bars for epochs and batches."""

import atexit
import importlib.util
import time
import weakref

from keras_strategies._internal import checks
from keras_strategies.callbacks._resumable import ResumableCallback
from keras_strategies.callbacks.throughput_monitor import clock

_SECONDS = 0.1  # between two updates of the bars
_active = None  # weak reference to the object whose bars are shown now


class ProgressBar(ResumableCallback):
    """Shows the training as two bars, one for all epochs and one for the batches.

    It takes the place of the bar of Keras, whatever `verbose` is, and says how long
    the whole training will take. In a terminal and in a notebook a line stays for
    each epoch, with its time and metrics, above the bars; where the output goes to a
    file or a pipe, or to a notebook without `ipywidgets`, there are only the lines.
    The bars are drawn by another thread, some times a second, and no step waits for
    them.

    Args:
        metrics: Names of the metrics to show, for example `["loss", "val_loss"]`.
            Defaults to `None`, all of them.
        mode: `"bars"`, `"lines"`, or `"auto"`: bars where they can be drawn.
            Defaults to `"auto"`.
        console: A `rich.console.Console` to write to. Defaults to `None`, standard
            output.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    x, y = np.ones((64, 4)), np.ones((64, 1))
    model.fit(x, y, epochs=2, callbacks=[callbacks.ProgressBar()])
    # Epoch 1/2  0:01  loss 1.234
    # Epoch 2/2  0:00  loss 0.9876
    ```
    """

    async_safe = True
    _state_names = ()

    def __init__(self, metrics=None, mode="auto", console=None):
        super().__init__()
        if metrics is not None:
            checks.instance(
                "metrics", metrics, (list, tuple), fix="Give a list of names."
            )
            metrics = [str(name) for name in metrics]
        self.metrics = metrics
        self.mode = checks.choice("mode", mode, ("auto", "bars", "lines"))
        self.console = console
        self._bars = None

    def _reset(self):
        """Nothing is learned."""

    def set_params(self, params):
        # Keras's own bar comes after this in the list and reads the same dict.
        if params and "verbose" in params:
            params["verbose"] = 0
        super().set_params(params)

    def on_train_begin(self, logs=None):
        global _active
        super().on_train_begin(logs)
        other = _active() if _active is not None else None
        if other is not None:
            other.close()  # of a fit that failed, or around this one
        _active = None
        from rich.console import Console

        self._out = self.console or Console()
        self._epochs = self.params.get("epochs") or 1
        self._steps = self.params.get("steps")
        if self.mode == "bars" or (self.mode == "auto" and _drawable(self._out)):
            self._bars = _Bars(self._out, self._epochs)
            _active = weakref.ref(self)

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = self._shown = time.perf_counter()
        self._done = 0
        if self._bars is not None:
            self._bars.epoch(epoch, self._steps)

    def on_train_batch_end(self, batch, logs=None):
        self._done = batch + 1
        if self._bars is None:
            return
        now = time.perf_counter()
        if now - self._shown >= _SECONDS:
            self._shown = now
            self._bars.batch(self._done, self._steps, self._text(logs))

    def on_test_begin(self, logs=None):
        if self._bars is not None:
            self._bars.validation()

    def on_epoch_end(self, epoch, logs=None):
        if self._steps is None:
            self._steps = self._done or None
        seconds = clock(time.perf_counter() - self._begin)
        line = f"Epoch {epoch + 1}/{self._epochs}  {seconds}  {self._text(logs)}"
        self._out.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)
        if self._bars is not None:
            self._bars.epoch_done(epoch + 1)
        else:
            self._out.file.flush()  # who reads a log wants to see it now

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Takes the bars away, after a fit that failed.

        Does nothing where there are none, as after a fit that ended normally.
        """
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()

    def _text(self, logs):
        logs = logs or {}
        names = logs if self.metrics is None else [m for m in self.metrics if m in logs]
        return "  ".join(f"{name} {_number(logs[name])}" for name in names)


class _Bars:
    """The two bars of rich, and their thread."""

    def __init__(self, console, epochs):
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("<"),
            progress.TimeRemainingColumn(elapsed_when_finished=False),
            progress.TextColumn("{task.fields[metrics]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self._all = self._progress.add_task("epochs ", total=epochs, metrics="")
        self._one = self._progress.add_task("batches", total=None, metrics="")
        self._progress.start()
        atexit.register(self.stop)  # else a failed fit leaves no cursor behind

    def epoch(self, epoch, steps):
        self._progress.update(self._all, completed=epoch)
        self._progress.reset(self._one, total=steps, description="batches", metrics="")

    def batch(self, done, steps, text):
        done = done if steps is None else min(done, steps)
        self._progress.update(self._one, completed=done, metrics=text)

    def validation(self):
        self._progress.update(self._one, description="checking")

    def epoch_done(self, done):
        self._progress.update(self._all, completed=done)

    def stop(self):
        atexit.unregister(self.stop)
        self._progress.stop()


def _drawable(console):
    if console.is_jupyter:  # rich draws there through widgets
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal


def _number(value):
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):  # a metric that gives an array
        return str(value)
