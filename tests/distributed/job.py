"""A training for the processes of a group; prints nothing, writes result.json."""

import json
import os
import pathlib
import signal
import sys
import time

import keras
import numpy as np

from keras_strategies import training
from keras_strategies.training import distributed

settings = json.loads(sys.argv[1])
folder = pathlib.Path(settings["folder"])


class Kill(keras.callbacks.Callback):
    """Ends one process at one step, the first time the group runs."""

    def on_train_batch_end(self, batch, logs=None):
        self.step = getattr(self, "step", 0) + 1
        group_restarts = os.environ.get("KERAS_STRATEGIES_GROUP_RESTARTS", "0")
        rank, step, kind = settings["kill"]
        if (rank, step, "0") == (distributed.rank(), self.step, group_restarts):
            if kind == "wait":  # for the test, which cuts the link or sends a signal
                (folder / "here").touch()
                while not (folder / "go").exists():
                    time.sleep(0.02)
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


if "devices" in settings:
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * settings["devices"]
    tf.config.set_logical_device_configuration(processor, devices)

rng = np.random.default_rng(0)
x = rng.normal(size=(45, 6)).astype("float32")
y = 2 * x[:, :1] + x[:, 1:2]
if not settings.get("resumed_seed"):
    keras.utils.set_random_seed(3)

with distributed.scope():
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01, clipnorm=0.1), "mse", metrics=["mae"])
    callbacks = []
    if "kill" in settings:
        callbacks = [
            training.ResumableTraining(folder / "checkpoints", save_freq=2, verbose=0),
            Kill(),
        ]
        data = {"x": training.IndexedDataset((x, y), 16, seed=1)}
    elif "shards" in settings:
        shards = {"num_shards": distributed.world_size()}
        shards["shard_index"] = distributed.rank()
        records = training.IndexedDataset((x, y), 16, drop_remainder=True, **shards)
        data = {"x": records}
    else:
        data = {"x": x, "y": y, "batch_size": 16}
    history = model.fit(
        **data,
        epochs=3,
        validation_data=(x[:11], y[:11]),
        callbacks=callbacks,
        verbose=0,
    ).history
    evaluated = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    predicted = model.predict(x, batch_size=16, verbose=0)
    model.save(folder / "model.keras")
    weights = [np.asarray(v).tolist() for v in model.get_weights()]
if distributed.is_chief():
    result = {
        "history": history,
        "evaluated": evaluated,
        "predicted": np.asarray(predicted).tolist(),
        "weights": weights,
    }
    (folder / "result.json").write_text(json.dumps(result))
