"""What two callbacks together do to a training, written down once more in NumPy.

One weight `w`, the loss `w * x` of one sample a batch, SGD with momentum: the gradient
is `x`. Each callback is a few lines of what its documentation promises, blind to the
order in which callbacks stand in a list.
"""

import math

import numpy as np

RATE, MOMENTUM, START = 0.1, 0.5, 1.0
GRADIENTS = (1.0, 2.0, 0.5, 1.5)
GOAL = 0.2  # the metric is the distance of the weight to it
NAN = float("nan")


class Failure(Exception):
    """The exception in the middle of a fit."""


class Training:
    """The state between fits, and `fit` with the named callbacks, in their order.

    `logs` are those of the last fit, one dict for each epoch.
    """

    def __init__(self, names, nan_batch=None):
        self.names, self.nan_batch = list(names), nan_batch
        self.w, self.v, self.rate = START, 0.0, RATE
        self.base, self.set_rates, self.scale = None, [], 1.0
        self.position = self.next_epoch = 0
        self.logs = []

    def has(self, name):
        return name in self.names

    def fit(self, epochs, initial_epoch=0, fails_at=None, stops_at=None):
        self._begin_fit(initial_epoch, epochs)
        try:
            for epoch in range(initial_epoch, epochs):
                self._epoch(epoch, fails_at, stops_at)
                if self.stopped:
                    break
        except Failure:
            return self
        self._end_fit()
        return self

    def _begin_fit(self, initial_epoch, epochs):
        self.logs, self.total, self.stopped = [], epochs * len(GRADIENTS), False
        if initial_epoch != self.next_epoch or initial_epoch == 0:
            self.position = initial_epoch * len(GRADIENTS)
        # A rate that a scheduler set does not become its initial rate.
        driven = any(math.isclose(self.rate, r, rel_tol=1e-6) for r in self.set_rates)
        if not driven:
            self.base, self.set_rates = self.rate, []
        if initial_epoch == 0:
            self.scale = 1.0
        self.average, self.count = self.w, 0
        self.best = None  # (metric, w)
        self.early = {"best": None, "wait": 0, "kept": None}
        self.plateau = {"best": None, "wait": 0}

    def _epoch(self, epoch, fails_at, stops_at):
        norms, failed, self.epoch_position = [], False, 0
        self._schedule(epoch, None)
        for batch, gradient in enumerate(GRADIENTS):
            if failed:
                self._recover()
                failed = False
            if (epoch, batch) == fails_at:
                raise Failure
            self._schedule(epoch, batch)
            if batch == 0:
                self.copy = self.w, self.v, self.rate, self.average, self.count
            gradient = NAN if batch == self.nan_batch else gradient
            norms.append(abs(gradient))
            failed = self._step(gradient, epoch)
            self.epoch_position = batch + 1
            if (epoch, batch) == stops_at:
                self.stopped = True
                break
        if failed:
            self._recover()
        self.position += self.epoch_position
        if self.has("swa"):
            self.count += 1
            old = self.average if self.count > 1 else self.w
            self.average = old + (self.w - old) / self.count
        averaged = self.has("ema") or self.has("swa")
        self.shown = self.average if averaged else self.w
        metric = abs(self.shown - GOAL)
        entry = {"val_distance": metric}
        self._watch(epoch, metric)
        self.set_rates.append(self.rate)
        if self.has("monitor"):
            finite = [norm for norm in norms if math.isfinite(norm)]
            entry["gradient_norm"] = float(np.mean(finite))
        self.next_epoch = epoch + 1
        self.logs.append(entry)

    def _schedule(self, epoch, batch):
        """Sets the rate; `batch` is `None` at the begin of an epoch."""
        rate, position = None, self.position + (batch or 0)
        if batch is None:
            if self.has("step_decay"):
                rate = self.base * self.scale * 0.5 ** (epoch // 2)
            if self.has("absolute"):
                rate = (0.1 if epoch < 2 else 0.05) * self.scale
            if self.has("relative"):
                rate = self.rate * 0.9
        elif self.has("exponential"):
            rate = self.base * self.scale * 0.5 ** (position / 4)
        elif self.has("cosine"):
            fraction = min(position / self.total, 1.0)
            rate = self.base * self.scale * (1 + math.cos(math.pi * fraction)) / 2
        if rate is not None:
            self.rate = rate
            self.set_rates.append(rate)

    def _step(self, gradient, epoch):
        """A step of SGD; returns whether it is one to recover from."""
        loss = self.w * gradient
        if self.has("clip"):
            gradient = float(np.clip(gradient, -1.2, 1.2))
        momentum = MOMENTUM
        if self.has("momentum"):
            momentum = 0.5 if epoch < 1 else 0.8
        if self.has("weight_decay"):
            self.w -= self.rate * (0.1 * (1 + epoch)) * self.w
        self.v = momentum * self.v - self.rate * gradient
        self.w += self.v
        if self.has("ema"):
            self.average = 0.5 * self.average + 0.5 * self.w
        return self.has("recovery") and not math.isfinite(loss)

    def _recover(self):
        """Everything is that of the copy; the rate is halved."""
        self.w, self.v, self.rate, self.average, self.count = self.copy
        self._reduce()

    def _reduce(self):
        self.rate, self.scale = 0.5 * self.rate, 0.5 * self.scale
        self.set_rates.append(self.rate)

    def _watch(self, epoch, metric):
        def improves(best, delta=0.0):
            return not math.isnan(metric) and (best is None or metric + delta < best)

        if self.has("best") and improves(self.best and self.best[0]):
            self.best = metric, self.shown
        rate = self.rate
        if self.has("plateau"):
            if improves(self.plateau["best"], 1e-4):
                self.plateau["best"] = metric
            else:
                self._reduce()
        if self.has("early"):
            # What stands before the other keeps the rate that the epoch had.
            stands_first = self.names[0] == "early"
            rate = rate if stands_first else self.rate
            early, kept = self.early, (self.shown, self.v, rate)
            early["kept"] = early["kept"] or kept
            early["wait"] += 1
            if improves(early["best"]):
                early.update(best=metric, wait=0, kept=kept)
            elif early["wait"] >= 2 and epoch > 0:
                self.stopped = True
        if self.has("target") and metric <= 0.25:
            self.stopped = True

    def _end_fit(self):
        if self.has("ema") or self.has("swa"):
            self.w = self.average
        if self.has("best") and self.best is not None:
            self.w = self.best[1]
        if self.has("early"):
            self.w, self.v, self.rate = self.early["kept"]
