"""Which way to train the next epochs, from the times of those before."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_strategies.training._candidates import PLAIN

# How much longer than plain `fit` a training may take for candidates tried in vain; the
# rest of a tenth is for forecasts that were too low.
MAX_WASTE = 0.06
# The gain that is hoped for in a candidate that was not tried.
HOPED_SPEEDUP = 4.0
# Epochs of a trial: one compiles, the other one is timed.
TRIAL_EPOCHS = 2
# Forecast of the compilation, in those of plain `fit`.
COMPILATION = {"graph": 1.3, "xla": 5.0}
# Forecast of how many times longer than the best an epoch of a bad candidate takes.
SLOWEST = 2.0
# The same of convolutions in a loop that XLA compiles for a CPU.
SLOWEST_CONVOLUTION = 50.0
# A graph of many steps computes what `fit` computes, without this time of a step that
# the loop of `fit` takes on a fast CPU (a third to three milliseconds were measured).
SAVED_SECONDS = 3e-4
# At most this part of an epoch is forecast to be such time.
SAVED_PART = 0.6


class CandidateTimes(NamedTuple):
    """Times of a candidate.

    Attributes:
        seconds: Median of the epochs without the first, `None` if there is none.
        compile_seconds: How much longer its first epoch took.
    """

    seconds: float | None = None
    compile_seconds: float = 0.0


class Segment(NamedTuple):
    """The next epochs and how they are run.

    Attributes:
        name: Name of the candidate.
        epochs: How many.
    """

    name: str
    epochs: int


class OngoingChoice:
    """Chooses the way to train from epoch to epoch; all of them count as training.

    Plain `fit` runs first. A candidate is tried if the training, should it turn out to
    be of no use, still ends within `MAX_WASTE` of the time of plain `fit`, and if what
    remains is long enough to earn its compilation.

    Args:
        candidates: Names of the candidates, in the order to try them.
        steps: Steps in an epoch.
        has_convolutions: Whether XLA may be slow.
        times: `{name: CandidateTimes}` of an earlier run.
    """

    def __init__(
        self,
        candidates: Sequence[str],
        steps: int,
        has_convolutions: bool = False,
        times: dict[str, CandidateTimes] | None = None,
    ):
        self._candidates, self._has_convolutions = list(candidates), has_convolutions
        self._steps = steps
        self.times: dict[str, CandidateTimes] = dict(times or {})
        # Seconds and epochs so far, of all fits, and what is compiled by now.
        self._elapsed, self._epochs, self._epochs_before = 0.0, 0, 0
        self._firsts: dict[str, float] = {}
        self._seconds: dict[str, list[float]] = {}

    def begin_fit(self) -> None:
        """Notes that another fit begins."""
        self._epochs_before = self._epochs

    def next_segment(self, remaining: int) -> Segment:
        """Returns how to run the next of `remaining` epochs of this fit."""
        # A model that was fitted before will probably be fitted as often again.
        expected = remaining + self._epochs_before
        plain = self.times.get(PLAIN.name)
        if plain is None or plain.seconds is None:
            return Segment(PLAIN.name, min(TRIAL_EPOCHS, remaining))
        for name in self._candidates:
            times = self.times.get(name)
            if times is not None and times.seconds is None:  # a trial goes on
                return Segment(name, 1)
        best = min(self.times, key=lambda name: self._cost(name, expected))
        for name in self._candidates:
            if name not in self.times and self._pays(name, best, expected):
                return Segment(name, min(TRIAL_EPOCHS, remaining))
        # Looked at again while there is something to try: its forecast may be better.
        untried = any(name not in self.times for name in self._candidates)
        epochs = max(TRIAL_EPOCHS, self._epochs) if untried else remaining
        return Segment(best, min(epochs, remaining))

    def note(self, name: str, seconds: float) -> None:
        """Notes the time of an epoch."""
        self._elapsed, self._epochs = self._elapsed + seconds, self._epochs + 1
        times = self.times.get(name)
        if name not in self._firsts:
            self._firsts[name] = seconds
            if times is None:
                self.times[name] = CandidateTimes()
            return
        self._seconds.setdefault(name, []).append(seconds)
        median = statistics.median(self._seconds[name])
        compilation = max(0.0, self._firsts[name] - median)
        if times is not None and times.seconds is not None:
            compilation = max(compilation, times.compile_seconds)
        self.times[name] = CandidateTimes(median, compilation)

    @property
    def best(self) -> str:
        """The candidate with the shortest epochs, plain `fit` if none is known."""
        known = {n: t.seconds for n, t in self.times.items() if t.seconds is not None}
        return min(known, key=known.get, default=PLAIN.name)

    @property
    def stored(self) -> dict[str, Any]:
        """The complete times, for `PlanCache`."""
        return {n: list(t) for n, t in self.times.items() if t.seconds is not None}

    def _cost(self, name, epochs):
        """Seconds of so many epochs, with a compilation that is not made yet."""
        times = self.times[name]
        compilation = 0.0 if name in self._firsts else times.compile_seconds
        return compilation + epochs * times.seconds

    def _pays(self, name, best, remaining):
        """Whether a candidate may be tried."""
        plain, seconds = self.times[PLAIN.name], self.times[best].seconds
        compiler = name.partition("-")[0]
        # On JAX plain `fit` is compiled by XLA too.
        same = compiler == "xla" and "graph-epoch" not in self._candidates
        compilation = plain.compile_seconds * (1.5 if same else COMPILATION[compiler])
        if remaining <= TRIAL_EPOCHS:
            return False
        if compiler == "graph":
            saved = min(SAVED_PART * seconds, SAVED_SECONDS * self._steps)
            in_vain = compilation + remaining * (seconds - saved)
        else:
            slow = compiler == "xla" and self._has_convolutions
            slowest = SLOWEST_CONVOLUTION if slow else SLOWEST
            in_vain = compilation + TRIAL_EPOCHS * slowest * seconds
            in_vain += self._cost(best, remaining - TRIAL_EPOCHS)
        total = plain.compile_seconds + plain.seconds * (self._epochs + remaining)
        earned = remaining * seconds * (1 - 1 / HOPED_SPEEDUP)
        is_bounded = self._elapsed + in_vain <= (1 + MAX_WASTE) * total
        return is_bounded and compilation < earned
