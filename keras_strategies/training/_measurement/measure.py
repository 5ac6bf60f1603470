"""Measurement of candidates within a time limit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_strategies.training._candidates import BY_NAME, PLAIN, Candidate
from keras_strategies.training._data.sample import MeasurementSample
from keras_strategies.training._measurement.candidate_timing import CandidateTiming
from keras_strategies.training._measurement.deadline import Deadline
from keras_strategies.training._measurement.selection import (
    PlanSelection,
    select,
    select_only,
)

# Promising candidates first, as the time may not suffice for all.
ORDER = [
    BY_NAME[name]
    for name in (
        "plain",
        "graph-epoch",
        "xla-epoch",
        "xla-step",
        "graph-block",
        "xla-block",
        "graph-step",
        "inductor-step",
    )
]


def measure(
    model: keras.Model,
    candidates: Sequence[Candidate],
    sample: MeasurementSample,
    settings: Mapping[str, Any],
    time_limit: float,
    restore: Callable[[], None],
) -> PlanSelection:
    """Times the candidates and selects the fastest.

    Args:
        model: The model.
        candidates: The candidates; plain `fit` is timed in any case.
        sample: Data to measure on.
        settings: Arguments of `FitInterceptor` beside model and choices.
        time_limit: Seconds that it may take.
        restore: Restores the variables of the model after each run.
    """
    if len(candidates) == 1:
        return select_only(candidates[0])
    deadline = Deadline(time_limit)
    timings, skipped = [], []
    for candidate in sorted(set(candidates) | {PLAIN}, key=ORDER.index):
        timing = CandidateTiming(model, candidate, sample, settings, restore)
        measurement = timing.without_run(timings, deadline) or timing.first_run()
        if measurement is None:
            timings.append(timing)
        else:
            skipped.append(measurement)
    return select(timings, skipped, deadline)
