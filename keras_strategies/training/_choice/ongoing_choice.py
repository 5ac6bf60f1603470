"""Which way to train the next epochs, from the times of those before."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_strategies.training._candidates import PLAIN

# How much longer than plain `fit` a training may take for candidates tried in vain; the
# rest of a tenth is for forecasts that were too low.
MAX_WASTE = 0.04
# The gain that is hoped for in a candidate that was not tried.
HOPED_SPEEDUP = 4.0
# Epochs of a trial: one compiles, the other one is timed.
TRIAL_EPOCHS = 2
# Forecast of the compilation, in those of plain `fit`.
COMPILATION = {"graph": 1.3, "xla": 4.0}
# Forecast of how many times longer than the best an epoch of a bad candidate takes.
SLOWEST = 2.0
# The same of convolutions in a loop that XLA compiles for a CPU.
SLOWEST_CONVOLUTION = 50.0
# At most this part of a step is taken for overhead that a graph of steps saves.
SAVED_PART = 0.6
# Trainings that are shorter get no measurement of it.
MIN_SECONDS = 1.0


class CandidateTimes(NamedTuple):
    """Times of a candidate.

    Attributes:
        seconds: Median seconds of a step over the epochs without the first, `None` if
            there is none.
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
        has_convolutions: Whether XLA may be slow.
        times: `{name: CandidateTimes}` of an earlier run.
        overhead: Returns the seconds of a step beside its computation.
    """

    def __init__(
        self,
        candidates: Sequence[str],
        has_convolutions: bool = False,
        times: dict[str, CandidateTimes] | None = None,
        overhead: Callable[[], float] = lambda: 0.0,
    ):
        self._candidates, self._has_convolutions = list(candidates), has_convolutions
        self._measure_overhead, self._overhead = overhead, None
        self.times: dict[str, CandidateTimes] = dict(times or {})
        # Seconds and steps so far, of all fits, and steps and epochs of one.
        self._elapsed, self._done, self._done_before = 0.0, 0, 0
        self._steps, self._epochs = 1, 0
        # Seconds of a step, in the first epoch of each and in those after it.
        self._firsts: dict[str, float] = {}
        self._seconds: dict[str, list[float]] = {}

    def begin_fit(self, steps: int) -> None:
        """Notes that another fit begins, with so many steps in an epoch."""
        self._steps, self._epochs, self._done_before = max(1, steps), 0, self._done

    def next_segment(self, remaining: int) -> Segment:
        """Returns how to run the next of `remaining` epochs of this fit."""
        # A model that was fitted before will probably be fitted as often again.
        steps = remaining * self._steps + self._done_before
        plain = self.times.get(PLAIN.name)
        if plain is None or plain.seconds is None:
            return Segment(PLAIN.name, min(TRIAL_EPOCHS, remaining))
        for name in self._candidates:
            times = self.times.get(name)
            if times is not None and times.seconds is None:  # a trial goes on
                return Segment(name, 1)
        best = min(self.times, key=lambda name: self._cost(name, steps))
        for name in self._candidates:
            if name not in self.times and self._pays(name, best, steps):
                return Segment(name, min(TRIAL_EPOCHS, remaining))
        # Looked at again while there is something to try: its forecast may be better.
        untried = any(name not in self.times for name in self._candidates)
        epochs = max(TRIAL_EPOCHS, self._epochs) if untried else remaining
        return Segment(best, min(epochs, remaining))

    def note(self, name: str, seconds: float) -> None:
        """Notes the time of an epoch."""
        self._elapsed += seconds
        self._done, self._epochs = self._done + self._steps, self._epochs + 1
        times = self.times.get(name)
        if name not in self._firsts:
            self._firsts[name] = seconds
            if times is None:
                self.times[name] = CandidateTimes()
            return
        self._seconds.setdefault(name, []).append(seconds / self._steps)
        median = statistics.median(self._seconds[name])
        compilation = 0.0 if times is None else times.compile_seconds
        if len(self._seconds[name]) == 1:
            first = self._firsts[name] - median * self._steps
            compilation = max(compilation, first)
        self.times[name] = CandidateTimes(median, compilation)

    @property
    def best(self) -> str:
        """The candidate with the shortest steps, plain `fit` if none is known."""
        known = {n: t.seconds for n, t in self.times.items() if t.seconds is not None}
        return min(known, key=known.get, default=PLAIN.name)

    @property
    def stored(self) -> dict[str, Any]:
        """The complete times, for `PlanCache`."""
        return {n: list(t) for n, t in self.times.items() if t.seconds is not None}

    def _cost(self, name, steps):
        """Seconds of so many steps, with a compilation that is not made yet."""
        times = self.times[name]
        compilation = 0.0 if name in self._firsts else times.compile_seconds
        return compilation + steps * times.seconds

    def _pays(self, name, best, steps):
        """Whether a candidate may be tried."""
        plain, seconds = self.times[PLAIN.name], self.times[best].seconds
        compiler = name.partition("-")[0]
        trial = TRIAL_EPOCHS * self._steps
        # On JAX plain `fit` is compiled by XLA too.
        same = compiler == "xla" and not any("graph" in n for n in self._candidates)
        compilation = plain.compile_seconds * (1.5 if same else COMPILATION[compiler])
        total = plain.compile_seconds + plain.seconds * (self._done + steps)
        if steps <= trial or total < MIN_SECONDS:
            return False
        if compiler == "graph":
            # It computes what `fit` computes, without what surrounds each step.
            if self._overhead is None:
                self._overhead = self._measure_overhead()
            saved = min(SAVED_PART * seconds, self._overhead)
            in_vain = compilation + steps * (seconds - saved)
        else:
            slowest = SLOWEST_CONVOLUTION if self._has_convolutions else SLOWEST
            if same:
                slowest = SLOWEST
            in_vain = compilation + trial * slowest * seconds
            in_vain += self._cost(best, steps - trial)
        earned = steps * seconds * (1 - 1 / HOPED_SPEEDUP)
        is_bounded = self._elapsed + in_vain <= (1 + MAX_WASTE) * total
        return is_bounded and compilation < earned
