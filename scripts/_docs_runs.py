"""Runs behind pictures of the documentation that need a process of their own.

    python scripts/_docs_runs.py NAME ...      prints one JSON object, or is killed

`scripts/docs_pictures.py` starts them.
"""

import json
import os
import signal
import sys


def resume_job(kind, folder, last, kill_at):
    """Trains with checkpoints, writes the loss of each step, and may kill itself."""
    import keras
    from sklearn.datasets import load_digits

    from keras_strategies import training

    x, y = load_digits(return_X_y=True)
    x = (x[:640] / 16).astype("float32")
    keras.utils.set_random_seed(1)
    layers = [keras.Input((64,)), keras.layers.Dense(32, activation="relu")]
    layers += [keras.layers.Dropout(0.3), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)

    class Losses(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            step = self.epoch * 20 + batch
            with open(last, "a") as file:
                file.write(json.dumps([step, float(logs["loss"])]) + "\n")
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if kind == "keras":
        keep = keras.callbacks.BackupAndRestore(folder, save_freq=10)
        data = {"x": x, "y": y[:640], "batch_size": 32}
    else:
        keep = training.ResumableTraining(folder, save_freq=10, verbose=0)
        data = {"x": training.IndexedDataset((x, y[:640]), batch_size=32, seed=0)}
    model.fit(**data, epochs=6, callbacks=[keep, Losses()], verbose=0)
    return {}


def distributed_job(way):
    """Weights after each epoch on one device, or on two, plain or in `scope`."""
    import contextlib

    import keras
    import tensorflow as tf
    from sklearn.datasets import load_digits

    from keras_strategies.training import distributed

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    x, y = load_digits(return_X_y=True)
    # 45 rows in batches of 16: the last one, of 13, cannot be shared evenly.
    x, y = (x[:45] / 16).astype("float32"), y[:45]
    names = ["CPU:0", "CPU:1"]
    scopes = {
        "one": contextlib.nullcontext,
        "plain": lambda: tf.distribute.MirroredStrategy(names).scope(),
        "scope": lambda: distributed.scope(devices=names),
    }
    keras.utils.set_random_seed(0)
    weights = []
    with scopes[way]():
        layers = [keras.Input((64,)), keras.layers.Dense(16, activation="relu")]
        layers += [keras.layers.BatchNormalization(), keras.layers.Dense(10)]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        for _ in range(10):
            model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
            values = [value.ravel().tolist() for value in model.get_weights()]
            weights.append(sum(values, []))
    return weights


def main(name, *arguments):
    if name == "resume":
        kind, folder, last, kill_at = arguments
        values = resume_job(kind, folder, last, int(kill_at))
    else:
        values = distributed_job(*arguments)
    print(json.dumps(values))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
