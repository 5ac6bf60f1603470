"""Selection of the fastest candidates for training, evaluation and prediction."""

from collections.abc import Sequence
from typing import NamedTuple

from keras_strategies.training._blocks.fit_interceptor import FitInterceptor
from keras_strategies.training._candidates import BY_NAME, KINDS, PLAIN, Candidate
from keras_strategies.training._measurement.candidate_timing import CandidateTiming
from keras_strategies.training._measurement.deadline import Deadline
from keras_strategies.training._measurement.inference_timing import time_inference
from keras_strategies.training._measurement.measurement import Measurement

# Gains below this fraction are within the noise: plain `fit` is chosen.
MIN_GAIN = 0.03
# Candidates within this factor of the fastest are timed again, in turns.
CLOSE_FACTOR = 1.3


class PlanSelection(NamedTuple):
    """Selected candidates, and what was measured of all.

    Attributes:
        choices: Names of the selected candidates by kind of step.
        measurements: A `Measurement` for each candidate.
        notes: Sentences for `ExecutionPlan.explain`.
        interceptor: The compiled interceptor of the candidate for training; `None` for
            plain `fit` or if nothing was measured.
    """

    choices: dict[str, str]
    measurements: list[Measurement]
    notes: list[str]
    interceptor: FitInterceptor | None


def select_only(candidate: Candidate) -> PlanSelection:
    """Returns the selection of a single candidate, unmeasured."""
    choices = dict.fromkeys(KINDS, candidate.name)
    notes = [f"It was the only candidate; nothing was measured: {candidate.name}."]
    return PlanSelection(choices, [Measurement(candidate.name)], notes, None)


def select(
    timings: Sequence[CandidateTiming],
    skipped: Sequence[Measurement],
    deadline: Deadline,
) -> PlanSelection:
    """Times close candidates again and returns the selection for all kinds of step.

    Args:
        timings: The timed candidates.
        skipped: Measurements of the others.
        deadline: When the measurement has to end.
    """
    _repeat_close_ones(timings, deadline)
    measured = [timing.measurement for timing in timings]
    name = _fastest(measured)
    measurements, notes = [*measured, *skipped], [_explanation(name, measured)]
    if name == PLAIN.name:
        choices = dict.fromkeys(KINDS, name)
        return PlanSelection(choices, measurements, notes, None)
    timing = next(timing for timing in timings if timing.candidate.name == name)
    choices = {"train": name}
    for kind in ("test", "predict"):
        seconds = time_inference(kind, timing, deadline)
        best = min(seconds, key=seconds.get, default=PLAIN)
        if best not in seconds or seconds[best] >= (1 - MIN_GAIN) * seconds[PLAIN]:
            best = PLAIN
        timing.interceptor.choices[kind] = best
        choices[kind] = best.name
    return PlanSelection(choices, measurements, notes, timing.interceptor)


def _repeat_close_ones(timings, deadline):
    """Times the best few and plain again, in turns; the shortest time of each counts.

    In turns, as the load of the machine by other processes varies.
    """
    for _ in range(3):
        limit = CLOSE_FACTOR * min(timing.seconds for timing in timings)
        close = [t for t in timings if t.candidate == PLAIN or t.seconds < limit]
        required = 1.5 * sum(timing.run_seconds for timing in close)
        if len(close) < 2 or deadline.remaining < required:
            return
        for timing in close:
            timing.run(epochs=1)


def _fastest(measurements):
    """The name of the fastest; plain `fit` unless another one gains enough."""
    plain = next(item for item in measurements if item.name == PLAIN.name)
    best = min(measurements, key=lambda item: item.seconds)
    if best.seconds > (1 - MIN_GAIN) * plain.seconds:
        return PLAIN.name
    return best.name


def _explanation(choice, measured):
    """A sentence about XLA for `explain`."""
    seconds = {item.name: item.seconds for item in measured}

    def best(compiler):
        names = [name for name in seconds if BY_NAME[name].compiler == compiler]
        return min(names, key=seconds.get, default=None)

    xla, graph = best("xla"), best("graph")
    if xla is None or graph is None:
        return f"{choice} was the fastest of {', '.join(seconds)}."
    return (
        f"The best with XLA, {xla}, took {seconds[xla]:.3g} s per epoch; the best "
        f"without, {graph}, {seconds[graph]:.3g} s; plain fit "
        f"{seconds[PLAIN.name]:.3g} s."
    )
