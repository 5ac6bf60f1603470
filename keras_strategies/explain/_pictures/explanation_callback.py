"""Pictures of explanations while a model is trained."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies._internal.optional import require
from keras_strategies._internal.storage import files
from keras_strategies.explain._methods import method_of, name_of, run
from keras_strategies.explain._pictures.drawing import plot_attributions


class ExplanationCallback(bases.Callback):
    """Writes a picture of explanations of some samples after each epoch.

    See what a network looks at while it learns: whether it finds the object early, or
    goes on looking at the corner where the watermark is. Pass it to `fit`; it runs the
    model at inference and does not affect training. Needs Matplotlib, in the extra
    `explain`.

    Writes `epoch_0001.png`, `epoch_0002.png`, ... and, with `log_dir`, the same
    pictures for TensorBoard under `explanations`, against the epoch.

    Args:
        inputs: A few samples, images or rows of a table; at most eight are drawn.
        target: What is explained, as for `saliency`. Defaults to `None`, the highest
            output of each sample.
        method: The name of a method of this package, such as `"grad_cam"`, a function
            of a model, inputs and a target that returns maps, or a list of them.
            Defaults to `"grad_cam"`.
        directory: Folder of the pictures, created if it is missing. Defaults to
            `"explanations"`. `None` writes none.
        log_dir: Folder of TensorBoard's event files. Defaults to `None`.
        frequency: Epochs from one picture to the next, at least 1. Defaults to `1`.
        labels: A title for each sample. Defaults to `None`.
        **options: Further arguments of the methods, such as `layer`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a method is not known, or nothing would be written.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.random.rand(32, 8, 8, 1), np.arange(32) % 2
    pictures = explain.ExplanationCallback(x[:2], labels=["0", "1"])
    model.fit(x, y, epochs=2, callbacks=[pictures], verbose=0)
    # explanations/epoch_0001.png, explanations/epoch_0002.png
    ```
    """

    def __init__(
        self,
        inputs: Any,
        target: Any = None,
        *,
        method: str | Callable[..., Any] | Sequence[Any] = "grad_cam",
        directory: str | os.PathLike[str] | None = "explanations",
        log_dir: str | os.PathLike[str] | None = None,
        frequency: int = 1,
        labels: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.inputs: np.ndarray = np.asarray(inputs)
        if self.inputs.ndim not in (2, 4) or not len(self.inputs):
            checks.fail(
                "`inputs` must be images or rows of a table, samples first",
                shape=self.inputs.shape,
            )
        self.target: Any = target
        several = isinstance(method, list | tuple)
        chosen: Any = method if several else [method]
        self.methods: dict[str, Callable[..., Any]] = {
            name_of(item): method_of("method", item) for item in chosen
        }
        for name, path in (("directory", directory), ("log_dir", log_dir)):
            checks.instance(name, path, (str, os.PathLike), optional=True)
        if directory is None and log_dir is None or not self.methods:
            checks.fail(
                "`directory` or `log_dir` must be given, and a method",
                directory=directory,
                log_dir=log_dir,
                method=method,
            )
        self.directory: str | None = None if directory is None else os.fspath(directory)
        self.log_dir: str | None = None if log_dir is None else os.fspath(log_dir)
        self.frequency: int = checks.integer("frequency", frequency, low=1)
        self.labels: list[str] | None = None if labels is None else list(labels)
        if self.labels is not None and len(self.labels) != len(self.inputs):
            checks.fail(
                "`labels` must have one for each sample",
                labels=len(self.labels),
                samples=len(self.inputs),
            )
        self.options: dict[str, Any] = options
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        require("matplotlib", "`explain.ExplanationCallback`")
        if self.log_dir is not None:
            from tensorflow import summary

            self._writer = summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (epoch + 1) % self.frequency:
            return
        maps = {
            name: run(method, self.model, self.inputs, self.target, **self.options)
            for name, method in self.methods.items()
        }
        figure = plot_attributions(self.inputs, maps, labels=self.labels)
        if self.directory is not None:
            folder = pathlib.Path(self.directory)
            folder.mkdir(parents=True, exist_ok=True)
            files.replace(folder / f"epoch_{epoch + 1:04d}.png", _png(figure))
        if self._writer is not None:
            from tensorflow import summary

            with self._writer.as_default(step=epoch):
                summary.image("explanations", _pixels(figure)[None])
            self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _png(figure):
    import io

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()


def _pixels(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
