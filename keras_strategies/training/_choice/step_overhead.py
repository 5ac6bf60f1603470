"""What a step of plain `fit` takes beside its computation, on this machine now."""

import time

import numpy as np

_CALLS = 30


def step_overhead() -> float:
    """Returns seconds of a step of Keras's loop on TensorFlow that computes nothing.

    The call of a compiled function that takes a batch out of a `tf.data` pipeline, and
    the conversion of its logs: what a graph of many steps saves for each of them. It
    varies by a factor of ten with the processor and its load, so that it is measured;
    that takes about as long as a few steps.
    """
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(np.zeros((8, 1), "float32"))
    batches = iter(rows.batch(1).repeat().prefetch(tf.data.AUTOTUNE))
    state = tf.Variable(0.0)

    @tf.function
    def step(iterator):
        state.assign_add(tf.reduce_sum(next(iterator)))
        return {"loss": state.read_value(), "accuracy": 2.0 * state}

    times = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        logs = step(batches)
        _ = {name: float(value) for name, value in logs.items()}
        times.append(time.perf_counter() - begin)
    return min(times[1:])  # what it takes at least
