"""Sparsity and shared values over training, for TensorBoard."""

import os

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.compression._common.update_constraint import constrained_weights
from keras_strategies.compression.clustering._cluster_constraint import (
    ClusterConstraint,
    values_a_row,
)
from keras_strategies.compression.pruning._pruning_constraint import PruningConstraint


class SparsitySummaries(keras.callbacks.Callback):
    """Writes what pruning and clustering do to each weight, for TensorBoard.

    Use it to see whether masks follow their schedule, which layers a global scope
    prunes most, and whether centroids run empty. Give it to `fit`; it changes
    nothing. After every epoch it writes these scalars, against the optimizer's step,
    for each weight under `prune` or `cluster`:

    - `sparsity/<path of the weight>` and `sparsity/total`, the share of zeros;
    - `target_sparsity/<path>`, what the schedule of `prune` asks for;
    - `threshold/<path>`, the smallest `|w|` that is not zero;
    - `cluster_values/<path>`, how many different values a clustered weight has, in
      the channel that has most.

    The event files are TensorFlow's, on every backend; the callback imports it when
    training starts.

    Args:
        log_dir: Folder of the event files, made if it is missing.

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

    def __init__(self, log_dir):
        super().__init__()
        checks.instance("log_dir", log_dir, (str, os.PathLike))
        self.log_dir = os.fspath(log_dir)
        self._writer = None

    def on_train_begin(self, logs=None):
        from tensorflow import summary

        self._writer = summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        from tensorflow import summary

        model = self.model
        step = min(
            int(ops.copy(o.iterations)) for o in base_optimizers(model.optimizer)
        )
        with self._writer.as_default(step=step):
            for name, value in scalars(model, step).items():
                summary.scalar(name, value)
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()
        self._writer = None


def scalars(model, step):
    """`{name: number}` of all weights that are being pruned or clustered."""
    found, zeros, size = {}, 0, 0
    for weight in constrained_weights(model):
        constraint = weight.constraint
        array = ops.convert_to_numpy(ops.cast(ops.copy(weight.value), "float32"))
        left = np.abs(array[array != 0])
        zeros, size = zeros + array.size - left.size, size + array.size
        found[f"sparsity/{weight.path}"] = 1 - left.size / array.size
        if left.size:
            found[f"threshold/{weight.path}"] = left.min()
        if isinstance(constraint, PruningConstraint):
            target = float(constraint.schedule(step))
            found[f"target_sparsity/{weight.path}"] = target
        if isinstance(constraint, ClusterConstraint):
            values = values_a_row(array, constraint.axis)
            found[f"cluster_values/{weight.path}"] = values
    return found | ({"sparsity/total": zeros / size} if size else {})
