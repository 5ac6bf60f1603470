"""Base class of the searches: the number format and the bisection of levels."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

from keras_strategies.compression.quantization._quantize_aware import quantize_aware
from keras_strategies.compression.search._candidate_evaluator import (
    Candidate,
    CandidateEvaluator,
)
from keras_strategies.compression.search._fine_tuner import FineTuner

# Formats of numbers tried in turn; "int8 QAT" is int8 after training for it.
FORMATS = ("int8", "int8 QAT", "dynamic", "float16")

# Learning rate of quantization-aware training, relative to that of pruning.
_QAT_RATE = 0.1

_Level = TypeVar("_Level")


def bisect(
    levels: Sequence[_Level],
    first: int,
    attempt: Callable[[_Level], bool],
    can_continue: Callable[[], bool],
) -> _Level | None:
    """The strongest level that succeeds, if all up to it do; `None` for none.

    Args:
        levels: From mild to strong.
        first: Index to start at.
        attempt: A function of a level that returns its success.
        can_continue: A function that says whether another attempt may be made.
    """
    low, high, middle = -1, len(levels), first
    while low + 1 < high and can_continue():
        if attempt(levels[middle]):
            low = middle
        else:
            high = middle
        middle = (low + high) // 2
    return levels[low] if low >= 0 else None


class CompressionSearch:
    """A search for the best candidate within the budget.

    Args:
        evaluator: The `CandidateEvaluator`, which keeps the best candidate.
        fine_tuner: The `FineTuner`.
    """

    def __init__(self, evaluator: CandidateEvaluator, fine_tuner: FineTuner) -> None:
        self.evaluator, self.fine_tuner = evaluator, fine_tuner
        self.format = FORMATS[0]

    def run(self) -> None:
        """Tries candidates until there is none left to try."""
        raise NotImplementedError

    def best_model(self) -> keras.Model:
        """The Keras model of the best candidate, compiled like the given one."""
        raise NotImplementedError

    def choose_format(self, evaluate: Callable[[Candidate], Candidate]) -> bool:
        """Takes the first format in which the uncompressed model is within budget.

        Args:
            evaluate: Function that measures a candidate of that model.

        Returns:
            Whether there is one.
        """
        for quantization in FORMATS:
            self.format = quantization
            if evaluate(Candidate(self.format)).met:
                return True
        return False

    def evaluate(
        self, candidate: Candidate, model: keras.Model, keep: Any
    ) -> Candidate:
        """Measures `candidate`, for "int8 QAT" after training `model` for int8.

        Args:
            candidate: The `Candidate`, with how it was made.
            model: Its Keras model.
            keep: What to keep of it if it is the best: a model or its weights.
        """
        if candidate.quantization != "int8 QAT":
            return self.evaluator.evaluate(model, candidate, keep)
        started = time.monotonic()
        preserve: Any = "sparsity" if candidate.sparsity else None
        try:
            aware = quantize_aware(
                model, preserve="both" if candidate.clusters else preserve
            )
        except ValueError as error:  # no graph, or layers without an integer form
            return self.evaluator.record_failure(candidate, error)
        self.fine_tuner.compile(aware, _QAT_RATE)
        self.fine_tuner.fit(aware)
        candidate.seconds += time.monotonic() - started
        return self.evaluator.evaluate(aware, candidate, aware)
