"""Timing of `evaluate` and `predict` on some batches."""

import time

import keras

from keras_strategies._internal.keras_private.base_methods import base_method
from keras_strategies.training._blocks.block_size import MAX_BLOCK_STEPS
from keras_strategies.training._candidates import BY_NAME, PLAIN, Candidate
from keras_strategies.training._measurement.candidate_timing import CandidateTiming
from keras_strategies.training._measurement.deadline import Deadline

# Calls of each candidate, the compiling one included.
CALLS = 4


def time_inference(
    kind: str, timing: CandidateTiming, deadline: Deadline
) -> dict[Candidate, float]:
    """Returns the seconds of a call by candidate, plain first, while time remains.

    Args:
        kind: `"test"` or `"predict"`.
        timing: The candidate that was selected for training.
        deadline: When the measurement has to end.
    """
    seconds = {}
    steps = min(MAX_BLOCK_STEPS, timing.batches)
    call_seconds = CALLS * steps * timing.seconds / timing.batches
    for candidate in _inference_candidates(kind, timing):
        factor = 2 if candidate.compiler == "xla" else 1
        if deadline.remaining < factor * timing.compile_seconds + call_seconds:
            break
        seconds[candidate] = inference_seconds(kind, timing, candidate)
    return seconds


def _inference_candidates(kind, timing):
    """Plain first. `predict` without XLA, which compiles for each number of rows."""
    if kind == "predict" and timing.sample.is_dataset:
        return []
    names = [PLAIN.name]
    if keras.backend.backend() == "tensorflow":
        names.append("graph-block")
    if timing.candidate.compiler == "xla" and kind == "test":
        names.append("xla-block")
    return [BY_NAME[name] for name in names]


def inference_seconds(
    kind: str, timing: CandidateTiming, candidate: Candidate
) -> float:
    """Returns the shortest time of a call, without the first, which compiles."""
    model, size, times = timing.model, timing.settings["batch_size"], []
    (x, y, weight), steps = timing.sample.part(MAX_BLOCK_STEPS)
    timing.interceptor.choices[kind] = candidate
    try:
        with timing.interceptor.installed():
            for _ in range(CALLS):
                begin = time.perf_counter()
                if kind == "test":
                    base_method(model, "evaluate")(x, y, size, 0, weight, steps)
                else:
                    base_method(model, "predict")(x, size, 0, steps)
                times.append(time.perf_counter() - begin)
    finally:
        timing.restore()
    return min(times[1:])
