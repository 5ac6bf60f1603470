"""Progress bars for epochs and batches."""

import atexit
import importlib.util
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks.monitors.throughput_monitor import clock

if TYPE_CHECKING:
    from rich.console import Console

_UPDATE_SECONDS = 0.1  # minimum time between two updates of the bars
_active = None  # weak reference to the callback whose bars are shown now


class ProgressBar(ResumableCallback):
    """Shows the training as two bars, one for all epochs and one for the batches.

    It replaces Keras's bar, whatever `verbose` is, and shows the remaining time of the
    whole training. In a terminal and in a notebook each finished epoch leaves a line
    with its time and metrics above the bars; if the output is a file or a pipe, or a
    notebook without `ipywidgets`, there are only the lines. The bars are drawn by
    another thread, a few times per second, and no step waits for them.

    Args:
        metrics: Names of the metrics to show, for example `["loss", "val_loss"]`.
            Defaults to `None`: all of them.
        mode: `"bars"`, `"lines"`, or `"auto"`: bars where they can be drawn.
            Defaults to `"auto"`.
        console: A `rich.console.Console` to write to. Defaults to `None`: standard
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

    def __init__(
        self,
        metrics: Sequence[str] | None = None,
        mode: Literal["auto", "bars", "lines"] = "auto",
        console: "Console | None" = None,
    ):
        super().__init__()
        if metrics is not None:
            checks.instance(
                "metrics", metrics, (list, tuple), fix="Give a list of names."
            )
            metrics = [str(name) for name in metrics]
        self.metrics: list[str] | None = metrics
        self.mode: str = checks.choice("mode", mode, ("auto", "bars", "lines"))
        self.console: Console | None = console
        self._bars = None

    def _reset(self) -> None:
        """Nothing is learned."""

    def set_params(self, params: dict[str, Any] | None) -> None:
        # Keras's own bar comes after this in the list and reads the same dict.
        if params and "verbose" in params:
            params["verbose"] = 0
        super().set_params(params)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        global _active
        super().on_train_begin(logs)
        previous = _active() if _active is not None else None
        if previous is not None:
            previous.close()  # of a fit that failed, or of one that runs this one
        _active = None
        from rich.console import Console

        self._output = self.console or Console()
        self._epochs = self.params.get("epochs") or 1
        self._steps = self.params.get("steps")
        if self.mode == "bars" or (
            self.mode == "auto" and _can_draw_bars(self._output)
        ):
            self._bars = _Bars(self._output, self._epochs)
            _active = weakref.ref(self)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = self._shown = time.perf_counter()
        self._done = 0
        if self._bars is not None:
            self._bars.epoch(epoch, self._steps)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._done = batch + 1
        if self._bars is None:
            return
        now = time.perf_counter()
        if now - self._shown >= _UPDATE_SECONDS:
            self._shown = now
            self._bars.batch(self._done, self._steps, self._text(logs))

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        return None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._bars is not None:
            self._bars.validation()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._steps is None:
            self._steps = self._done or None
        seconds = clock(time.perf_counter() - self._begin)
        line = f"Epoch {epoch + 1}/{self._epochs}  {seconds}  {self._text(logs)}"
        self._output.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)
        if self._bars is not None:
            self._bars.epoch_done(epoch + 1)
        else:
            self._output.file.flush()  # for those who follow a log file

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Removes the bars, after a fit that failed.

        Does nothing if there are none, as after a fit that ended normally.
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
        self._epoch_task = self._progress.add_task("epochs ", total=epochs, metrics="")
        self._batch_task = self._progress.add_task("batches", total=None, metrics="")
        self._progress.start()
        atexit.register(self.stop)  # shows the cursor again after a failed fit

    def epoch(self, epoch, steps):
        self._progress.update(self._epoch_task, completed=epoch)
        self._progress.reset(
            self._batch_task, total=steps, description="batches", metrics=""
        )

    def batch(self, done, steps, text):
        done = done if steps is None else min(done, steps)
        self._progress.update(self._batch_task, completed=done, metrics=text)

    def validation(self):
        self._progress.update(self._batch_task, description="validating")

    def epoch_done(self, done):
        self._progress.update(self._epoch_task, completed=done)

    def stop(self):
        atexit.unregister(self.stop)
        self._progress.stop()


def _can_draw_bars(console):
    if console.is_jupyter:  # rich draws through ipywidgets there
        return importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal


def _number(value):
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):  # a metric whose result is an array
        return str(value)
