"""One training of `scripts/benchmark distributed`; prints rows a second on rank 0."""

import json
import os
import sys
import time

settings = json.loads(sys.argv[1])
rank = int(os.environ.get("KERAS_STRATEGIES_GROUP_RANK", "0"))
cores = settings["cores"][rank]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cores)
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = str(len(cores))

import contextlib

import keras
import numpy as np

from keras_strategies.training import distributed

BATCH, STEPS, EPOCHS = 256, 12, 4

rng = np.random.default_rng(0)
x = rng.normal(size=(BATCH * STEPS, 28, 28, 1)).astype("float32")
y = rng.integers(0, 10, BATCH * STEPS)
keras.utils.set_random_seed(1)
is_group = distributed.world_size() > 1
seconds = []


class Clock(keras.callbacks.Callback):
    """Times epochs."""

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds.append(time.perf_counter() - self.begin)


with distributed.scope() if is_group else contextlib.nullcontext():
    layers = [keras.Input((28, 28, 1))]
    for filters in (16, 32):
        layers += [keras.layers.Conv2D(filters, 3, activation="relu")]
        layers += [keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(
        x, y, BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[Clock()]
    ).history
if distributed.is_chief():
    rows = len(x) / min(seconds[1:])
    with open(settings["result"], "w") as file:
        json.dump({"rows": rows, "loss": history["loss"]}, file)
