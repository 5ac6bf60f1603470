"""Trainings in processes of their own, killed where a line of JSON says so.

    _resume_job.py       reads lines {"directory": ..., "seed": ..., "kill": [what, n]}

Each line is a training in a process that is forked before anything was computed, which
costs no import of the backend; its result is a line, too. `what` is a hook of the
callbacks, or a moment of a save: `bytes` written, `rename` before a checkpoint gets its
name, `remove` before an old one goes. The `n`-th time ends the process by SIGKILL.
"""

import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import callbacks, training
from keras_strategies.training._resume import checkpoints
from keras_strategies.training._resume.storage import LocalStorage

EPOCHS, ROWS, BATCH = 5, 52, 8


class _Kill(keras.callbacks.Callback):
    """Ends the process at the `n`-th call of one of its hooks, or moment of a save."""

    def __init__(self, what, n):
        super().__init__()
        self.what, self.n = what, n
        for hook in ("train_batch_begin", "train_batch_end", "test_begin", "epoch_end"):
            setattr(self, f"on_{hook}", lambda *_, hook=hook, **__: self.count(hook))
        self.around(checkpoints._Digest, "write", "bytes", len)
        self.around(os, "rename", "rename")
        self.around(LocalStorage, "remove", "remove")

    def count(self, what, by=1):
        if what == self.what:
            self.n -= by
            if self.n <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner, name, what, size=lambda _: 1):
        call = getattr(owner, name)

        def counted(*args):
            result = call(*args) if what == "bytes" else None
            self.count(what, size(memoryview(args[-1]).cast("B")) if result else 1)
            return call(*args) if result is None else result

        setattr(owner, name, counted)

    def get_state(self):
        return {}

    def set_state(self, state):
        """Nothing: a process is killed once."""


class _RandomRates(keras.callbacks.Callback):
    """A learning rate for each batch from the generators of Python and NumPy."""

    def on_train_batch_begin(self, batch, logs=None):
        rate = 0.005 * (1 + random.random() + np.random.rand())
        self.model.optimizer.learning_rate.assign(rate)

    def get_state(self):
        return {}

    def set_state(self, state):
        """Nothing: it is a function of the generators."""


def train(directory, seed, kill, save_freq=3):
    """Trains, or goes on; returns a digest of all that it came to."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8)).astype("float32")
    y = x[:, :1] + 0.1 * rng.normal(size=(ROWS, 1)).astype("float32")
    layers = keras.layers
    stack = [layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(1)])
    adam = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)
    model.compile(adam, "mse", metrics=["mae"])
    stop = keras.callbacks.EarlyStopping("val_loss", patience=4)
    averages = callbacks.WeightAveraging(decay=0.9, update_freq=2)
    history = model.fit(
        training.IndexedDataset((x, y), batch_size=BATCH, seed=1),
        epochs=EPOCHS,
        validation_data=(x[:16], y[:16]),
        callbacks=[
            _RandomRates(),
            stop,
            averages,
            keras.callbacks.CSVLogger(str(folder / "log.csv")),
            training.ResumableTraining(
                folder / "checkpoints", save_freq=save_freq, verbose=0
            ),
            _Kill(*kill),
        ],
        verbose=0,
    )
    return _digest(model, history, [stop, averages], folder)


def _digest(model, history, others, folder):
    digest = hashlib.sha256()
    for variable in [
        *model.variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]:
        digest.update(np.array(keras.ops.convert_to_numpy(variable)).tobytes())
    for callback in others:
        state = callbacks.get_state(callback)
        for key, value in sorted(state.items()):
            digest.update(f"{key}={_text(value)}".encode())
    about = [history.history, history.epoch, random.random(), np.random.rand()]
    digest.update(json.dumps(about).encode())
    digest.update((folder / "log.csv").read_bytes())
    return digest.hexdigest()


def _text(value):
    if isinstance(value, list | tuple):
        return [_text(entry) for entry in value]
    return value.tobytes().hex() if isinstance(value, np.ndarray) else repr(value)


def _serve():
    # Keras imports TensorFlow for this, where it is installed: once, not in each fork.
    keras.saving.serialize_keras_object(keras.layers.Dense(1))
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            code = 1
            try:
                print(json.dumps({"digest": train(**job)}), flush=True)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        status = os.waitpid(process, 0)[1]
        if os.WIFSIGNALED(status):
            print(json.dumps({"signal": os.WTERMSIG(status)}), flush=True)
        elif os.WEXITSTATUS(status):
            print(json.dumps({"error": os.WEXITSTATUS(status)}), flush=True)


if __name__ == "__main__":
    _serve()
