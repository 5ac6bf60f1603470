"""One training of `scripts/benchmark distributed`; rank 0 writes rows a second."""

import contextlib
import json
import os
import sys
import time

BATCH, STEPS, EPOCHS = 256, 12, 4


def pin(cores):
    """Keeps to some processors, with a thread for each; before Keras is imported."""
    os.sched_setaffinity(0, cores)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(len(cores))


def train(result):
    """Trains, and writes the speed of the fastest epoch and the losses."""
    import keras
    import numpy as np

    from keras_strategies.training import distributed

    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * STEPS, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, BATCH * STEPS)
    keras.utils.set_random_seed(1)
    ends = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
    )
    is_group = distributed.world_size() > 1
    with distributed.scope() if is_group else contextlib.nullcontext():
        layers = [keras.Input((28, 28, 1))]
        for filters in (16, 32):
            layers += [keras.layers.Conv2D(filters, 3, activation="relu")]
            layers += [keras.layers.MaxPooling2D()]
        layers += [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(
            x, y, BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[clock]
        ).history
    if distributed.is_chief():
        rows = len(x) / min(np.diff(ends))
        with open(result, "w") as file:
            json.dump({"rows": rows, "loss": history["loss"]}, file)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    pin(settings["cores"][int(os.environ.get("KERAS_STRATEGIES_GROUP_RANK", "0"))])
    train(settings["result"])
