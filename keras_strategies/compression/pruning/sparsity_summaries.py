"""TensorBoard summaries of sparsity and of shared values."""

import os
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.compression._common.update_constraint import constrained_weights


class SparsitySummaries(bases.Callback):
    """Writes the state of pruning and clustering of each weight for TensorBoard.

    Use it to see whether masks follow their schedule, which layers a global scope
    prunes most, and whether centroids become empty. Pass it to `fit`; it does not
    affect training. At the end of every epoch it writes these scalars, against the
    optimizer's step, for each weight under `prune` or `cluster`:

    - `sparsity/<path of the weight>` and `sparsity/total`, the share of zeros;
    - `target_sparsity/<path>`, the sparsity of the schedule of `prune`;
    - `threshold/<path>`, the smallest `|w|` that is not zero;
    - `cluster_values/<path>`, the number of different values of a clustered weight,
      in the channel that has most.

    The event files are TensorFlow's, on every backend; the callback imports it when
    training starts.

    Args:
        log_dir: Folder of the event files, created if it is missing.

    Raises:
        TypeError: If `log_dir` is no path.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
    model.compile("adam", "mse")
    compression.prune(model, compression.ConstantSparsity(0.5, begin_step=0))
    summaries = compression.SparsitySummaries("logs")
    x, y = np.random.rand(64, 16), np.random.rand(64, 4)
    model.fit(x, y, epochs=2, callbacks=[summaries], verbose=0)
    # tensorboard --logdir logs
    ```
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        super().__init__()
        checks.instance("log_dir", log_dir, (str, os.PathLike))
        self.log_dir: str = os.fspath(log_dir)
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        from tensorflow import summary

        self._writer = summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        from tensorflow import summary

        model = self.model
        # With several optimizers, the step of the one that is furthest behind.
        step = min(
            int(ops.copy(o.iterations)) for o in base_optimizers(model.optimizer)
        )
        with self._writer.as_default(step=step):
            for name, value in scalars(model, step).items():
                summary.scalar(name, value)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._writer.close()
        self._writer = None


def scalars(model: keras.Model, step: int) -> dict[str, float]:
    """`{name: number}` of all weights that are being pruned or clustered."""
    figures: dict[str, float] = {}
    zeros = size = 0
    for weight in constrained_weights(model):
        array = ops.convert_to_numpy(ops.cast(ops.copy(weight.value), "float32"))
        magnitudes = np.abs(array[array != 0])
        zeros, size = zeros + array.size - magnitudes.size, size + array.size
        figures[f"sparsity/{weight.path}"] = 1 - magnitudes.size / array.size
        if magnitudes.size:
            figures[f"threshold/{weight.path}"] = magnitudes.min()
        for name, value in weight.constraint.scalars(array, step).items():
            figures[f"{name}/{weight.path}"] = value
    return figures | ({"sparsity/total": zeros / size} if size else {})
