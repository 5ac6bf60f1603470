"""An epoch of the 784-128-10 network as one program of plain JAX, without Keras.

What the mathematics of its steps costs: the least that a plan may take.
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

RATE, BETA, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
DECAY_STEPS, CLIPNORM, AVERAGING = 10_000, 1.0, 0.99


def bare_epoch(x, y, batch_size, with_callbacks, rounds):
    """Median seconds of an epoch of Adam.

    With callbacks the rate follows a cosine, gradients are clipped by their global
    norm and weights are averaged, at each step.
    """
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(x), jnp.asarray(y)
    shapes = [(x.shape[1], 128), (128,), (128, 10), (10,)]
    weights = [jnp.asarray(rng.normal(0, 0.05, s), "float32") for s in shapes]
    zeros = [jnp.zeros_like(value) for value in weights]
    state = (weights, zeros, zeros, weights, jnp.float32(0))
    epoch = jax.jit(_epoch, static_argnums=(4, 5))
    steps = len(x) // batch_size
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        order = jnp.asarray(rng.permutation(len(x))[: steps * batch_size])
        state = epoch(state, x, y, order, batch_size, with_callbacks)
        jax.block_until_ready(state)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def _loss(weights, x, y):
    kernel, bias, last_kernel, last_bias = weights
    logits = jax.nn.relu(x @ kernel + bias) @ last_kernel + last_bias
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def _epoch(state, x, y, order, batch_size, with_callbacks):
    def step(state, rows):
        weights, first, second, averages, count = state
        gradients = jax.grad(_loss)(weights, x[rows], y[rows])
        rate, count = RATE, count + 1
        if with_callbacks:
            rate = RATE * (1 + jnp.cos(jnp.pi * count / DECAY_STEPS)) / 2
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradients))
            gradients = [g * jnp.minimum(1.0, CLIPNORM / norm) for g in gradients]
        pairs = list(zip(gradients, first, second, strict=True))
        first = [m + (g - m) * (1 - BETA) for g, m, _ in pairs]
        second = [v + (g * g - v) * (1 - BETA_2) for g, _, v in pairs]
        rate *= jnp.sqrt(1 - BETA_2**count) / (1 - BETA**count)
        weights = [
            w - rate * m / (jnp.sqrt(v) + EPSILON)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        if with_callbacks:
            averages = [
                a * AVERAGING + w * (1 - AVERAGING)
                for a, w in zip(averages, weights, strict=True)
            ]
        return (weights, first, second, averages, count), None

    return jax.lax.scan(step, state, order.reshape(-1, batch_size))[0]
