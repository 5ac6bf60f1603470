"""Trainings by hand: NumPy, float64, one formula a rule, nothing of Keras.

`Optimizer`, `Transformed` and `Lookahead` have `step(weights, gradients)`, which
returns the new weights; `Averaged` goes around the outermost of them.
"""

import numpy as np

# A rule is a function `(w, g, state, t, rate)` that returns the new weight: `state` is
# a dict that stays from step to step, `t` counts from 1.


def moments(state, g, t, b1=0.9, b2=0.999):
    """Means of gradient and square, and both without their bias."""
    state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g**2
    return state["m"] / (1 - b1**t), state["v"] / (1 - b2**t)


def sgd(w, g, state, t, rate):
    state["m"] = 0.9 * state.get("m", 0.0) - rate * g
    return w + state["m"]


def adam(w, g, state, t, rate):
    m, v = moments(state, g, t)
    # Keras adds epsilon to the root of the biased square.
    return w - rate * m / (np.sqrt(v) + 1e-7 / np.sqrt(1 - 0.999**t))


def rmsprop(w, g, state, t, rate):
    state["v"] = 0.9 * state.get("v", 0.0) + 0.1 * g**2
    return w - rate * g / np.sqrt(state["v"] + 1e-7)


def adagrad(w, g, state, t, rate):
    state["a"] = state.get("a", 0.1) + g**2
    return w - rate * g / np.sqrt(state["a"] + 1e-7)


def adadelta(w, g, state, t, rate):
    state["a"] = 0.95 * state.get("a", 0.0) + 0.05 * g**2
    step = np.sqrt(state.get("d", 0.0) + 1e-7) / np.sqrt(state["a"] + 1e-7) * g
    state["d"] = 0.95 * state.get("d", 0.0) + 0.05 * step**2
    return w - rate * step


def adamax(w, g, state, t, rate):
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    state["u"] = np.maximum(0.999 * state.get("u", 0.0), np.abs(g))
    return w - rate * state["m"] / ((1 - 0.9**t) * (state["u"] + 1e-7))


def nadam(w, g, state, t, rate):
    now, following = (0.9 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
    state["product"] = state.get("product", 1.0) * now
    _, v = moments(state, g, t)
    m = following * state["m"] / (1 - state["product"] * following)
    m = m + (1 - now) * g / (1 - state["product"])
    return w - rate * m / (np.sqrt(v) + 1e-7)


def ftrl(w, g, state, t, rate):
    before = state.get("a", 0.1)
    state["a"] = before + g**2
    sigma = (np.sqrt(state["a"]) - np.sqrt(before)) / rate
    state["z"] = state.get("z", 0.0) + g - sigma * w
    return -state["z"] / (np.sqrt(state["a"]) / rate)


def lion(w, g, state, t, rate):
    m = state.get("m", 0.0)
    state["m"] = 0.99 * m + 0.01 * g
    return w - rate * np.sign(0.9 * m + 0.1 * g)


def lamb(w, g, state, t, rate):
    m, v = moments(state, g, t)
    update = m / (np.sqrt(v) + 1e-7)
    norms = np.linalg.norm(w), np.linalg.norm(update)
    ratio = norms[0] / norms[1] if min(norms) > 0 else 1.0
    return w - rate * ratio * update


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def adafactor(w, g, state, t, rate):
    rho, b2 = min(rate, 1 / np.sqrt(t)), 1 - t**-0.8
    alpha, square = max(1e-3, rms(w)) * rho, g**2 + 1e-30
    if w.ndim < 2:
        v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * square
    else:
        for name, axis in (("r", -1), ("c", -2)):
            mean = square.mean(axis)
            state[name] = b2 * state.get(name, 0.0) + (1 - b2) * mean
        row = state["r"] / state["r"].mean(-1, keepdims=True)
        v = row[..., None] * state["c"][..., None, :]
    u = g / np.sqrt(v)
    return w - alpha * u / max(1.0, rms(u))


def schedule_free(w, g, state, t, rate):
    z = state.get("z", state["first"])
    _, v = moments(state, g, t)
    average = (w - 0.1 * z) / 0.9
    state["z"] = z - rate * g / (np.sqrt(v) + 1e-8)
    average = (1 - 1 / t) * average + state["z"] / t
    return 0.1 * state["z"] + 0.9 * average


def muon(w, g, state, t, rate):
    if w.ndim != 2 or state.get("is_embedding"):
        return adam(w, g, state, t, rate)
    state["m"] = 0.95 * state.get("m", 0.0) + g
    x = g + 0.95 * state["m"]
    x = x.T if w.shape[0] > w.shape[1] else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if w.shape[0] > w.shape[1] else x
    return w - rate * x * np.sqrt(max(w.shape)) * 0.2


def rectifier(t, b2=0.999):
    """RAdam's factor, or `None` in the first steps."""
    longest = 2 / (1 - b2) - 1
    rho = longest - 2 * t * b2**t / (1 - b2**t)
    if rho <= 5:
        return None
    return np.sqrt(
        (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
    )


def radam(amsgrad=False, b2=0.999):
    def rule(w, g, state, t, rate):
        m, v = moments(state, g, t, b2=b2)
        if amsgrad:
            state["max"] = np.maximum(state.get("max", 0.0), state["v"])
            v = state["max"] / (1 - b2**t)
        factor = rectifier(t, b2)
        if factor is None:
            return w - rate * m
        return w - rate * factor * m / (np.sqrt(v) + 1e-7)

    return rule


def ada_belief(amsgrad=False, rectify=False, b2=0.999, epsilon=1e-8):
    def rule(w, g, state, t, rate):
        m = state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
        s = b2 * state.get("s", 0.0) + (1 - b2) * (g - m) ** 2 + epsilon
        state["s"], state["max"] = s, np.maximum(state.get("max", 0.0), s)
        s, m = (state["max"] if amsgrad else s) / (1 - b2**t), m / (1 - 0.9**t)
        factor = rectifier(t, b2) if rectify else 1.0
        if factor is None:
            return w - rate * m
        return w - rate * factor * m / (np.sqrt(s) + epsilon)

    return rule


class Optimizer:
    """A rule for each weight, with weight decay and gradient accumulation."""

    def __init__(self, rule, rate, weight_decay=None, accumulation=1):
        self.rule, self.rate = rule, rate
        self.weight_decay, self.accumulation = weight_decay, accumulation
        self.batches, self.sums, self.states = 0, None, None

    @property
    def updates(self):
        return self.batches // self.accumulation

    def step(self, weights, gradients):
        if self.states is None:
            self.states = [{} for _ in weights]
            self.sums = [0.0] * len(weights)
        self.batches += 1
        sums = [s + g for s, g in zip(self.sums, gradients, strict=True)]
        if self.batches % self.accumulation:
            self.sums = sums
            return list(weights)
        self.sums = [0.0] * len(weights)
        for w, state in zip(weights, self.states, strict=True):
            state.setdefault("first", w)
        decay = 1 - (self.weight_decay or 0.0) * self.rate
        return [
            self.rule(w * decay, s / self.accumulation, state, self.updates, self.rate)
            for w, s, state in zip(weights, sums, self.states, strict=True)
        ]


class Wrapper:
    def __init__(self, inner):
        self.inner = inner

    @property
    def batches(self):
        return self.inner.batches

    @property
    def updates(self):
        return self.inner.updates

    @property
    def accumulation(self):
        return self.inner.accumulation


class Transformed(Wrapper):
    """Gradients through a function; updates times factors; steps that are skipped."""

    def __init__(self, inner, function=None, factors=None, accept=None):
        super().__init__(inner)
        self.function, self.factors, self.accept = function, factors, accept

    def step(self, weights, gradients):
        if self.function is not None:
            gradients = self.function(gradients, weights, self.updates)
        if self.accept is not None and not self.accept(gradients):
            return list(weights)
        new = self.inner.step(weights, gradients)
        factors = [1.0] * len(weights)
        if self.factors is not None:
            factors = self.factors(weights)
        return [w + f * (n - w) for w, n, f in zip(weights, new, factors, strict=True)]


class Lookahead(Wrapper):
    def __init__(self, inner, period=2, alpha=0.5):
        super().__init__(inner)
        self.period, self.alpha, self.slow = period, alpha, None

    def step(self, weights, gradients):
        if self.slow is None:
            self.slow = list(weights)
        new, before = self.inner.step(weights, gradients), self.updates
        finished = self.batches % self.accumulation == 0
        if finished and before % self.period == 0:
            self.slow = [
                s + self.alpha * (n - s) for s, n in zip(self.slow, new, strict=True)
            ]
            return list(self.slow)
        return new


class Averaged:
    """`use_ema` as Keras documents it, of the weights after a whole step."""

    def __init__(self, optimizer, momentum=None, frequency=None):
        self.optimizer, self.momentum, self.frequency = optimizer, momentum, frequency
        self.averages = None

    def step(self, weights, gradients):
        before = self.optimizer.batches
        updates = before // self.optimizer.accumulation
        weights = self.optimizer.step(weights, gradients)
        if self.momentum is None or self.optimizer.batches == before:
            return weights
        if updates == 0:
            self.averages = list(weights)
        else:
            self.averages = [
                self.momentum * a + (1 - self.momentum) * w
                for a, w in zip(self.averages, weights, strict=True)
            ]
        if self.frequency and (updates + 1) % self.frequency == 0:
            return list(self.averages)
        return weights

    def at_the_end(self, weights):
        return weights if self.averages is None else self.averages


# The two networks: weights, forward pass, gradients of the mean squared error.


class TwoDense:
    """`y = (x K1 + b1) K2 + b2`; the first layer is the backbone."""

    names = ("backbone/kernel", "backbone/bias", "head/kernel", "head/bias")
    is_embedding = (False,) * 4

    def gradients(self, weights, x, y):
        k1, b1, k2, b2 = weights
        h = x @ k1 + b1
        error = 2 * (h @ k2 + b2 - y) / y.size
        back = error @ k2.T
        return [x.T @ back, back.sum(0), h.T @ error, error.sum(0)]


class Embedded:
    """An embedding of a few tokens, flattened, and a dense layer."""

    names = ("backbone/embeddings", "head/kernel", "head/bias")
    is_embedding = (True, False, False)

    def gradients(self, weights, x, y):
        table, k, b = weights
        h = table[x].reshape(len(x), -1)
        error = 2 * (h @ k + b - y) / y.size
        back = (error @ k.T).reshape(*x.shape, table.shape[1])
        gradient = np.zeros_like(table)
        np.add.at(gradient, x, back)
        return [gradient, h.T @ error, error.sum(0)]
